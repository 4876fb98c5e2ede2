//! `header.mask`: hides what fields say.

use super::Choice;
use crate::chain::action::settings::spelled;
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::chain::string::VALUE_TESTS;
use crate::chain::text::{Place, Text};
use crate::yaml::{Node, Reported};

/// Which fields, and what they say afterwards.
#[derive(Debug)]
struct Mask {
    fields: Choice,
    with: Text,
}

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "header.mask",
    about: "Hides what fields say: the whole value becomes `XXX`.",
    keys: &[super::NAME, VALUE_TESTS, super::WHICH, WITH],
    example: "header.mask: {name: X-Customer}",
    before: "Subject: hi\r\nX-Customer: Doe, 4711\r\n\r\nbody\r\n",
    after: "Subject: hi\r\nX-Customer: XXX\r\n\r\nbody\r\n",
    load,
};

const WITH: KeyDoc = KeyDoc { name: "with", wants: "a text", about: "What the value becomes; `XXX` if absent." };

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = spelled(node, "name");
    let mut settings = load.settings("header.mask", &node)?;
    let fields = Choice::by_name_and_value(&mut settings, load);
    let with = settings.node("with").map(|node| Text::load(node, None, load)).transpose();
    settings.finish(load.problems)?;
    Ok(Box::new(Mask { fields: fields?, with: with?.unwrap_or_else(|| Text::literal("XXX")) }))
}

impl Action for Mask {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let with = self.with.fill(Place::Header, None, run)?;
        let places = self.fields.places(run);
        super::edit(run, &places, |field| field.with_value(&with));
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::after;

    #[test]
    fn the_blank_that_stood_there_stays_and_folds_go_with_the_value() {
        assert_eq!(after("A:\t1\r\n 2\r\nB:3\r\n\r\n", &["header.mask: {name: [A, B], with: '?'}"]), "A:\t?\r\nB:?\r\n\r\n");
    }
}
