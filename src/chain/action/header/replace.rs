//! `header.replace`: replaces what a pattern finds in fields.

use std::sync::Arc;

use super::Choice;
use crate::chain::action::found;
use crate::chain::action::settings::{MATCHES, own_pattern, text};
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::pattern::Pattern;
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::chain::string::{VIEW, View};
use crate::chain::text::{Place, Text};
use crate::yaml::{Node, Reported};

/// Every match in these fields becomes the text.
#[derive(Debug)]
struct Replace {
    fields: Choice,
    pattern: Arc<Pattern>,
    with: Text,
    raw: bool,
}

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "header.replace",
    about: "Replaces every match of a pattern in the values of fields; what stands around the matches stays as it is.",
    keys: &[super::NAME, super::WHICH, MATCHES, WITH, VIEW],
    example: "header.replace: {name: Subject, matches: 'ticket (\\d+)', with: 'case $1'}",
    before: "Subject: Re: Ticket 4711\r\n is open\r\n\r\nbody\r\n",
    after: "Subject: Re: case 4711\r\n is open\r\n\r\nbody\r\n",
    load,
};

pub const WITH: KeyDoc =
    KeyDoc { name: "with", wants: "a text", about: "What stands in place of each match; `$1`, `${name}` are groups of `matches`." };

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let mut settings = load.settings("header.replace", node)?;
    let fields = Choice::by_name(&mut settings, load);
    let pattern = own_pattern(&mut settings, load);
    let with = text(&mut settings, "with", Some(&pattern), load);
    let view = settings.take::<View>("view", load.problems);
    settings.finish(load.problems)?;
    let raw = view?.unwrap_or(View::Decoded) == View::Raw;
    Ok(Box::new(Replace { fields: fields?, pattern: pattern?, with: with?, raw }))
}

impl Action for Replace {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let places = self.fields.places(run);
        let mut edits = Vec::with_capacity(places.len());
        for &place in &places {
            run.check_time()?;
            let field = &run.mail.message.fields()[place];
            let value = if self.raw { field.source() } else { field.value() };
            edits.push(found::changes(&self.pattern, (&*value).into(), &self.with, Place::Header, run)?);
        }
        let mut edits = edits.into_iter();
        super::edit(run, &places, |field| {
            let changes = edits.next().unwrap_or_default();
            if changes.is_empty() { field.clone() } else { field.with_changes(&changes, self.raw) }
        });
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::{after, refused};

    #[test]
    fn every_match_is_replaced_and_other_fields_stay() {
        let left = after("Subject: a b a\r\nX:  a\r\n\r\n", &["header.replace: {name: Subject, matches: A, with: c}"]);
        assert_eq!(left, "Subject: c b c\r\nX:  a\r\n\r\n");
    }

    #[test]
    fn the_decoded_view_sees_through_encoded_words_and_raw_does_not() {
        let mail = "Subject: =?utf-8?Q?J=C3=B6rg?= writes\r\n\r\n";
        assert_eq!(
            after(mail, &["header.replace: {name: Subject, matches: writes, with: wrote}"]),
            "Subject: =?utf-8?Q?J=C3=B6rg?= wrote\r\n\r\n"
        );
        assert_eq!(
            after(mail, &["header.replace: {name: Subject, matches: 'jörg', with: Bob}"]),
            "Subject: =?utf-8?Q?Bob?= writes\r\n\r\n"
        );
        assert_eq!(
            after(mail, &["header.replace: {name: Subject, view: raw, matches: 'utf-8', with: UTF-8, case: exact}"]),
            "Subject: =?UTF-8?Q?J=C3=B6rg?= writes\r\n\r\n"
        );
    }

    #[test]
    fn groups_are_checked_at_load_and_a_pattern_must_not_be_empty() {
        assert!(refused("header.replace: {name: Subject, matches: 'a(b)', with: $2}")[0].contains("no group 2"));
        assert!(refused("header.replace: {name: Subject, matches: '', with: x}")[0].contains("regular expression"));
    }
}
