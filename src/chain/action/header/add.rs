//! `header.add`: puts a new field on top of the header.

use crate::chain::action::settings::text;
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::chain::text::{Place, Text};
use crate::yaml::{Node, Reported};

/// The field to be made.
#[derive(Debug)]
struct Add {
    name: String,
    value: Text,
}

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "header.add",
    about: "Puts a new field on top of the header; each further one stands above the one before.",
    keys: &[super::ONE_NAME, VALUE],
    example: "header.add: {name: X-Checked-For, value: '${sender}'}",
    before: "Subject: hi\r\n\r\nbody\r\n",
    after: "X-Checked-For: sender@outside.example\r\nSubject: hi\r\n\r\nbody\r\n",
    load,
};

pub const VALUE: KeyDoc = KeyDoc { name: "value", wants: "a text", about: "What the field says." };

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let mut settings = load.settings("header.add", node)?;
    let name = super::new_name(&mut settings, "name", load);
    let value = text(&mut settings, "value", None, load);
    settings.finish(load.problems)?;
    Ok(Box::new(Add { name: name?, value: value? }))
}

impl Action for Add {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let value = self.value.fill(Place::Header, None, run)?;
        super::put_on_top(run, &self.name, &value);
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::{after, refused, ruling};

    #[test]
    fn a_second_field_stands_above_the_first() {
        let left = after("Subject: hi\r\n\r\n", &["header.add: {name: X-A, value: one}", "header.add: {name: X-A, value: two}"]);
        assert_eq!(left, "X-A: two\r\nX-A: one\r\nSubject: hi\r\n\r\n");
    }

    #[test]
    fn a_value_from_the_message_cannot_make_a_second_field() {
        let left = after("Subject: =?utf-8?Q?a=0D=0AX-Evil:_yes?=\r\n\r\n", &["header.add: {name: X-Copy, value: '${header:Subject}'}"]);
        assert!(left.starts_with("X-Copy: a X-Evil: yes\r\nSubject: ="), "{left}");
    }

    #[test]
    fn a_value_that_reads_like_an_encoded_word_stays_what_it_is() {
        let ruling =
            ruling("Subject: =?utf-8?Q?=3D=3Futf-8=3FQ=3F=41=3F=3D?=\r\n\r\n", &["header.add: {name: X-Copy, value: '${header:Subject}'}"]);
        assert_eq!(ruling.mail.message.fields()[0].value(), "=?utf-8?Q?A?=");
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let problems = refused("header.add: {name: 'X A', valu: x}");
        assert!(problems.iter().any(|problem| problem.contains("no field name")), "{problems:?}");
        assert!(problems.iter().any(|problem| problem.contains("value")), "{problems:?}");
        assert!(problems.len() >= 3, "{problems:?}");
    }
}
