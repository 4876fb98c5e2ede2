//! `header.normalize_whitespace`: makes runs of white space one blank.

use super::Choice;
use crate::chain::entry::{Entry, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::yaml::{Node, Reported};

/// Which fields.
#[derive(Debug)]
struct NormalizeWhitespace(Choice);

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "header.normalize_whitespace",
    about: "Makes each run of white space in values one blank, `, ` around a comma and nothing at the ends; folds go.",
    keys: &[super::NAME_OR_ALL, super::WHICH],
    example: "header.normalize_whitespace: {name: To}",
    before: "To:  a@x.example ,\r\n\tb@x.example,c@x.example \r\n\r\nbody\r\n",
    after: "To: a@x.example, b@x.example, c@x.example\r\n\r\nbody\r\n",
    load,
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = crate::chain::action::settings::spelled(node, "name");
    let mut settings = load.settings("header.normalize_whitespace", &node)?;
    let fields = Choice::all_or_named(&mut settings, load);
    settings.finish(load.problems)?;
    Ok(Box::new(NormalizeWhitespace(fields?)))
}

impl Action for NormalizeWhitespace {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let places = self.0.places(run);
        super::edit(run, &places, |field| {
            let value = super::whitespace::normalize(field.raw_value());
            field.with_raw_value(&super::value::bounded(field.name().len() + 1, value))
        });
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::after;

    #[test]
    fn a_line_never_grows_beyond_what_mail_allows() {
        let ids = "<0123456789@host.example>\r\n ".repeat(60);
        let left = after(&format!("References: {ids}<last@x.example>\r\n\r\n"), &["header.normalize_whitespace: {name: References}"]);
        assert!(left.lines().all(|line| line.len() <= 998), "{left}");
        assert!(left.lines().count() < 5, "{left}");
    }
}
