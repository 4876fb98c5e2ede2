//! `header.prepend_text`: puts a text before the value of a field.

use super::{Choice, once};
use crate::chain::action::settings::text;
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::chain::text::{Place, Text};
use crate::message::Change;
use crate::yaml::{Node, Reported};

/// Which fields, and what they get.
#[derive(Debug)]
struct Prepend {
    fields: Choice,
    text: Text,
    once: bool,
}

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "header.prepend_text",
    about: "Puts a text before the value of fields; a missing Subject is made.",
    keys: &[super::NAME, super::WHICH, TEXT, super::ONCE],
    example: "header.prepend_text: {name: Subject, text: '[EXT] ', once: true}",
    before: "Subject: Re: [EXT] Invoice 4711\r\n\r\nbody\r\n",
    after: "Subject: [EXT] Re: Invoice 4711\r\n\r\nbody\r\n",
    load,
};

pub const TEXT: KeyDoc = KeyDoc { name: "text", wants: "a text", about: "What is put there, blanks included." };

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let mut settings = load.settings("header.prepend_text", node)?;
    let fields = Choice::by_name(&mut settings, load);
    let text = text(&mut settings, "text", None, load);
    let once = settings.take::<bool>("once", load.problems);
    settings.finish(load.problems)?;
    Ok(Box::new(Prepend { fields: fields?, text: text?, once: once?.unwrap_or_default() }))
}

impl Action for Prepend {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let text = self.text.fill(Place::Header, None, run)?;
        let places = self.fields.places(run);
        super::edit(run, &places, |field| {
            let changes =
                if self.once { once::in_front(&field.value(), &text) } else { vec![Change { range: 0..0, with: (*text).into() }] };
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
    fn the_rest_of_the_value_keeps_its_bytes() {
        let mail = "Subject:  =?iso-8859-1?Q?Gr=FC=DFe?= from\r\n\there\r\nTo: a@x.example\r\n\r\n";
        let left = after(mail, &["header.prepend_text: {name: Subject, text: '[EXT] '}"]);
        assert_eq!(left, "Subject:  [EXT] =?iso-8859-1?Q?Gr=FC=DFe?= from\r\n\there\r\nTo: a@x.example\r\n\r\n");
    }

    #[test]
    fn older_copies_are_taken_out_and_what_stands_right_keeps_its_bytes() {
        let action = "header.prepend_text: {name: Subject, text: '[EXT] ', once: true}";
        let standing = "Subject:  [EXT] Re:\r\n  Gr\r\n\r\n";
        assert_eq!(after(standing, &[action]), standing);
        assert_eq!(after("Subject: AW:\r\n\t[EXT] a\r\n b\r\n\r\n", &[action]), "Subject: [EXT] AW:\r\n\ta\r\n b\r\n\r\n");
        let encoded = after("Subject: Re: =?utf-8?Q?=5BEXT=5D_Gr=C3=BC=C3=9Fe?=\r\n\r\n", &[action, action]);
        assert_eq!(encoded, "Subject: [EXT] Re: =?utf-8?B?R3LDvMOfZQ==?=\r\n\r\n");
        assert_eq!(after("A: 1\r\n\r\n", &[action, action]), "Subject: [EXT]\r\nA: 1\r\n\r\n");
        assert_eq!(after("Subject: \r\n\r\n", &[action, action]), "Subject: [EXT] \r\n\r\n");
    }

    #[test]
    fn a_missing_subject_is_made_and_other_fields_are_not() {
        assert_eq!(after("A: 1\r\n\r\n", &["header.prepend_text: {name: Subject, text: '[EXT] '}"]), "Subject: [EXT]\r\nA: 1\r\n\r\n");
        assert_eq!(after("A: 1\r\n\r\n", &["header.prepend_text: {name: B, text: x}"]), "A: 1\r\n\r\n");
    }
}
