//! `header.dedup`: of fields of one name that follow each other, the last stays.

use super::Choice;
use crate::chain::entry::{Entry, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::yaml::{Node, Reported};

/// Which fields.
#[derive(Debug)]
struct Dedup(Choice);

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "header.dedup",
    about: "Of fields of the same name that stand one after the other, only the last stays.",
    keys: &[super::NAME_OR_ALL],
    example: "header.dedup: {name: Subject}",
    before: "Subject: one\r\nsubject: two\r\nTo: a@x.example\r\nSubject: three\r\n\r\nbody\r\n",
    after: "subject: two\r\nTo: a@x.example\r\nSubject: three\r\n\r\nbody\r\n",
    load,
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = crate::chain::action::settings::spelled(node, "name");
    let mut settings = load.settings("header.dedup", &node)?;
    let fields = Choice::any_named(&mut settings, load);
    settings.finish(load.problems)?;
    Ok(Box::new(Dedup(fields?)))
}

impl Action for Dedup {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let places = self.0.places(run);
        let fields = run.mail.message.fields();
        let goes = |pair: &&[usize]| pair[0] + 1 == pair[1] && fields[pair[0]].name().eq_ignore_ascii_case(fields[pair[1]].name());
        let gone: Vec<usize> = places.windows(2).filter(goes).map(|pair| pair[0]).collect();
        super::take_out(run, &gone);
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::after;

    #[test]
    fn only_runs_of_one_name_shrink_and_lines_without_colon_stay() {
        let left = after("A: 1\r\na: 2\r\nA: 3\r\nB: 1\r\nB: 1\r\nA: 4\r\nx\r\nx\r\n\r\n", &["header.dedup"]);
        assert_eq!(left, "A: 3\r\nB: 1\r\nA: 4\r\nx\r\nx\r\n\r\n");
    }
}
