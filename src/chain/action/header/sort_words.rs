//! `header.sort_words`: sorts the words in fields.

use super::Choice;
use super::value::{bounded, is_space, unfolded};
use crate::chain::action::settings::spelled;
use crate::chain::entry::{Entry, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::yaml::{Node, Reported};

/// Which fields, and whether duplicates go.
#[derive(Debug)]
struct SortWords {
    fields: Choice,
    unique: bool,
}

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "header.sort_words",
    about: "Sorts the words of values, joined with one blank; an encoded word is one word.",
    keys: &[super::NAME_OR_ALL, super::UNIQUE, super::WHICH],
    example: "header.sort_words: {name: Keywords, unique: true}",
    before: "Keywords: pear apple\r\n fig apple\r\n\r\nbody\r\n",
    after: "Keywords: apple fig pear\r\n\r\nbody\r\n",
    load,
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = spelled(node, "name");
    let mut settings = load.settings("header.sort_words", &node)?;
    let fields = Choice::all_or_named(&mut settings, load);
    let unique = settings.take::<bool>("unique", load.problems);
    settings.finish(load.problems)?;
    Ok(Box::new(SortWords { fields: fields?, unique: unique?.unwrap_or(false) }))
}

impl Action for SortWords {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let places = self.fields.places(run);
        super::edit(run, &places, |field| {
            let value = sorted(field.raw_value(), self.unique);
            field.with_raw_value(&bounded(field.name().len() + 1, value))
        });
        Ok(Flow::Next)
    }
}

/// The value with its words in order.
fn sorted(raw: &[u8], unique: bool) -> Vec<u8> {
    let (lead, value) = unfolded(raw);
    let mut words: Vec<&[u8]> = value.split(|byte| is_space(*byte)).filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    if unique {
        words.dedup();
    }
    [lead, &words.join(b" ".as_slice())].concat()
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::after;

    #[test]
    fn words_are_sorted_by_their_bytes() {
        assert_eq!(after("K:b a\tB  a\r\n\r\n", &["header.sort_words: K"]), "K:B a a b\r\n\r\n");
    }
}
