//! `header.append_text`: puts a text behind the value of a field.

use super::{Choice, once};
use crate::chain::action::settings::text;
use crate::chain::entry::{Entry, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::chain::text::{Place, Text};
use crate::message::Change;
use crate::yaml::{Node, Reported};

/// Which fields, and what they get.
#[derive(Debug)]
struct Append {
    fields: Choice,
    text: Text,
    once: bool,
}

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "header.append_text",
    about: "Puts a text behind the value of fields; a missing Subject is made.",
    keys: &[super::NAME, super::WHICH, super::prepend_text::TEXT, super::ONCE],
    example: "header.append_text: {name: Subject, text: ' (external)'}",
    before: "Subject: Invoice 4711\r\n\r\nbody\r\n",
    after: "Subject: Invoice 4711 (external)\r\n\r\nbody\r\n",
    load,
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let mut settings = load.settings("header.append_text", node)?;
    let fields = Choice::by_name(&mut settings, load);
    let text = text(&mut settings, "text", None, load);
    let once = settings.take::<bool>("once", load.problems);
    settings.finish(load.problems)?;
    Ok(Box::new(Append { fields: fields?, text: text?, once: once?.unwrap_or_default() }))
}

impl Action for Append {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let text = self.text.fill(Place::Header, None, run)?;
        let places = self.fields.places(run);
        super::edit(run, &places, |field| {
            let value = field.value();
            let end = value.len();
            let changes = if self.once { once::behind(&value, &text) } else { vec![Change { range: end..end, with: (*text).into() }] };
            if changes.is_empty() { field.clone() } else { field.with_changes(&changes, false) }
        });
        super::make_missing_subject(run, &self.fields, &text);
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::after;

    #[test]
    fn the_text_stands_behind_the_last_word() {
        let left = after("Subject: =?utf-8?Q?=C3=A4?=\r\n b  \r\n\r\n", &["header.append_text: {name: Subject, text: ' [x]'}"]);
        assert_eq!(left, "Subject: =?utf-8?Q?=C3=A4?=\r\n b [x]  \r\n\r\n");
    }

    #[test]
    fn older_copies_are_taken_out() {
        let action = "header.append_text: {name: Subject, text: ' [x]', once: true}";
        assert_eq!(after("Subject: a [x]\r\n [X]\r\n\r\n", &[action]), "Subject: a\r\n [x]\r\n\r\n");
        assert_eq!(after("Subject: a\r\n [x]\r\n\r\n", &[action, action]), "Subject: a\r\n [x]\r\n\r\n");
    }

    #[test]
    fn a_missing_subject_is_made() {
        assert_eq!(after("A: 1\r\n\r\n", &["header.append_text: {name: Subject, text: ' [x]'}"]), "Subject: [x]\r\nA: 1\r\n\r\n");
    }
}
