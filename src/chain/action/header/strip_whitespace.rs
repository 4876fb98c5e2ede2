//! `header.strip_whitespace`: takes white space off both ends of each line of a value.

use super::Choice;
use crate::chain::entry::{Entry, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::yaml::{Node, Reported};

/// Which fields.
#[derive(Debug)]
struct StripWhitespace(Choice);

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "header.strip_whitespace",
    about: "Takes white space off both ends of each line of values; folds stay, with one blank.",
    keys: &[super::NAME_OR_ALL, super::WHICH],
    example: "header.strip_whitespace: {name: Subject}",
    before: "Subject:   hi  \r\n\t there \t\r\n\r\nbody\r\n",
    after: "Subject: hi\r\n there\r\n\r\nbody\r\n",
    load,
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = crate::chain::action::settings::spelled(node, "name");
    let mut settings = load.settings("header.strip_whitespace", &node)?;
    let fields = Choice::all_or_named(&mut settings, load);
    settings.finish(load.problems)?;
    Ok(Box::new(StripWhitespace(fields?)))
}

impl Action for StripWhitespace {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let places = self.0.places(run);
        super::edit(run, &places, |field| field.with_raw_value(&super::whitespace::strip(field.raw_value())));
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::after;

    #[test]
    fn all_fields_are_meant_without_a_name_and_lines_without_colon_stay() {
        assert_eq!(
            after("A:1 \r\nno colon  \r\nB:  2\r\n\r\n body \r\n", &["header.strip_whitespace"]),
            "A: 1\r\nno colon  \r\nB: 2\r\n\r\n body \r\n"
        );
    }
}
