//! `header.hash`: replaces what fields say by its SHA-256.

use super::Choice;
use crate::chain::action::settings::spelled;
use crate::chain::entry::{Entry, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::chain::string::VALUE_TESTS;
use crate::yaml::{Node, Reported};

/// Which fields.
#[derive(Debug)]
struct Hash(Choice);

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "header.hash",
    about: "Replaces the value of fields by the SHA-256 of its bytes as they stood, leading blank and folds included, line ends as LF. What has few values (an address) can be guessed from it.",
    keys: &[super::NAME, VALUE_TESTS, super::WHICH],
    example: "header.hash: {name: X-Customer}",
    before: "Subject: hi\r\nX-Customer: 4711\r\n\r\nbody\r\n",
    after: "Subject: hi\r\nX-Customer: [hidden : sha256 = BD3AEED2814A4636104F1E1D70D352AFEB140A394E3890EC4BFF548F5B6C688F]\r\n\r\nbody\r\n",
    load,
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = spelled(node, "name");
    let mut settings = load.settings("header.hash", &node)?;
    let fields = Choice::by_name_and_value(&mut settings, load);
    settings.finish(load.problems)?;
    Ok(Box::new(Hash(fields?)))
}

impl Action for Hash {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let places = self.0.places(run);
        super::edit(run, &places, |field| {
            let lead = super::value::unfolded(field.raw_value()).0;
            field.with_raw_value(&[lead, hidden(field.raw_value()).as_bytes()].concat())
        });
        Ok(Flow::Next)
    }
}

/// What a hashed value reads.
fn hidden(raw: &[u8]) -> String {
    let mut digest = crate::message::digest::LfDigest::default();
    digest.update(raw);
    format!("[hidden : sha256 = {}]", digest.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::action::testing::after;

    #[test]
    fn the_raw_value_is_hashed_with_its_blank_and_folds_as_lf() {
        // printf ' a\n b' | sha256sum
        assert_eq!(hidden(b" a\r\n b"), "[hidden : sha256 = AD132B5F3C4C6302FADCA7750E375D9D004A7C738B2024A6509778BE706EF25E]");
    }

    #[test]
    fn the_blank_that_stood_there_stays() {
        let left = after("A:\t1\r\nB:1\r\n\r\n", &["header.hash: [A, B]"]);
        assert!(left.starts_with("A:\t[hidden : sha256 = "), "{left}");
        assert!(left.contains("\r\nB:[hidden"), "{left}");
    }
}
