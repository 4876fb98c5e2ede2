//! `header.rename`: gives fields another name and keeps every byte of their values.

use bytes::Bytes;

use super::Choice;
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::chain::string::VALUE_TESTS;
use crate::message::Field;
use crate::yaml::{Node, Reported};

/// Which fields, and their new name.
#[derive(Debug)]
struct Rename {
    fields: Choice,
    to: String,
}

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "header.rename",
    about: "Gives fields another name; the bytes of their values stay.",
    keys: &[super::NAME, VALUE_TESTS, super::WHICH, TO],
    example: "header.rename: {name: X-Spam-Flag, to: X-Original-Spam-Flag}",
    before: "X-Spam-Flag:  YES\r\nSubject: hi\r\n\r\nbody\r\n",
    after: "X-Original-Spam-Flag:  YES\r\nSubject: hi\r\n\r\nbody\r\n",
    load,
};

const TO: KeyDoc = KeyDoc { name: "to", wants: "a field name", about: "The new name." };

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let mut settings = load.settings("header.rename", node)?;
    let fields = Choice::by_name_and_value(&mut settings, load);
    let to = super::new_name(&mut settings, "to", load);
    settings.finish(load.problems)?;
    Ok(Box::new(Rename { fields: fields?, to: to? }))
}

impl Action for Rename {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let places = self.fields.places(run);
        super::edit(run, &places, |field| renamed(field, &self.to));
        Ok(Flow::Next)
    }
}

fn renamed(field: &Field, to: &str) -> Field {
    let raw = field.raw();
    let colon = memchr::memchr(b':', raw).expect("a field with a name has a colon");
    Field::from_raw(Bytes::from([to.as_bytes(), &raw[colon..]].concat()))
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::after;

    #[test]
    fn folds_and_blanks_of_the_value_stay() {
        assert_eq!(after("A :\tx\r\n  y \r\nB: z\r\n\r\n", &["header.rename: {name: A, to: C}"]), "C:\tx\r\n  y \r\nB: z\r\n\r\n");
    }

    #[test]
    fn which_last_renames_the_last() {
        assert_eq!(after("A: 1\r\nA: 2\r\n\r\n", &["header.rename: {name: A, to: B, which: last}"]), "A: 1\r\nB: 2\r\n\r\n");
    }
}
