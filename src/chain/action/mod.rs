//! The list of actions.

mod address;
mod body;
mod ending;
mod envelope;
mod found;
mod header;
mod log;
mod quarantine;
mod route;
mod score;
mod settings;
mod tag;
#[cfg(test)]
pub(super) mod testing;
mod verdict;

use super::{Action, Entry};

/// Every action, in the order of the manual.
pub const ENTRIES: &[&Entry<dyn Action>] = &[
    &header::add::ENTRY,
    &header::set::ENTRY,
    &header::remove::ENTRY,
    &header::rename::ENTRY,
    &header::replace::ENTRY,
    &header::prepend_text::ENTRY,
    &header::append_text::ENTRY,
    &address::REPLACE,
    &header::mask::ENTRY,
    &header::hash::ENTRY,
    &header::strip_whitespace::ENTRY,
    &header::normalize_whitespace::ENTRY,
    &header::dedup::ENTRY,
    &header::sort::ENTRY,
    &header::sort_addresses::ENTRY,
    &header::sort_words::ENTRY,
    &body::replace::ENTRY,
    &body::hash::ENTRY,
    &envelope::sender::SET,
    &envelope::sender::REPLACE,
    &envelope::recipient::SET,
    &envelope::recipient::ADD,
    &envelope::recipient::REMOVE,
    &envelope::recipient::REPLACE,
    &envelope::recipient::SORT,
    &route::ENTRY,
    &tag::ENTRY,
    &score::ENTRY,
    &log::ENTRY,
    &quarantine::ENTRY,
    &verdict::REJECT,
    &verdict::DEFER,
    &ending::DISCARD,
    &ending::DELIVER,
    &ending::LEAVE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::example;

    #[test]
    fn every_example_does_what_the_manual_says() {
        for entry in ENTRIES {
            let file = testing::file(&testing::rules(&[entry.example])).unwrap_or_else(|problems| panic!("{}: {problems:#?}", entry.name));
            let mut run = example::run(entry.before);
            file.rules[0].then[0].action.apply(&mut run).unwrap();
            assert_eq!(example::written(&run), entry.after, "{}", entry.name);
        }
    }

    #[test]
    fn every_key_of_every_entry_is_known_to_it() {
        for entry in ENTRIES {
            for key in entry.keys.iter().flat_map(|key| key.name.split(", ")) {
                let problems = testing::refused(&format!("{}: {{{key}: [{{}}]}}", entry.name));
                assert!(
                    !problems.iter().any(|problem| problem.contains(&format!("unknown key `{key}`"))),
                    "{} does not know `{key}`: {problems:?}",
                    entry.name
                );
            }
        }
    }

    #[test]
    fn an_unknown_action_is_told_with_the_nearest() {
        assert!(testing::refused("header.delete: X")[0].contains("unknown action"));
        assert!(testing::refused("header.remov: X")[0].contains("did you mean `header.remove`?"));
    }
}
