//! `header.sort_addresses`: sorts the addresses in fields.

use super::Choice;
use super::addresses::{Member, members};
use super::value::{bounded, unfolded};
use crate::chain::action::settings::spelled;
use crate::chain::entry::{Entry, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::yaml::{Node, Reported};

/// Which fields, and whether duplicates go.
#[derive(Debug)]
struct SortAddresses {
    fields: Choice,
    unique: bool,
}

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "header.sort_addresses",
    about: "Sorts the addresses of a list by address without case, then by text, joined with `, `. A value that is no address list stays, and the log says so.",
    keys: &[super::NAME_OR_ALL, super::UNIQUE, super::WHICH],
    example: "header.sort_addresses: {name: To, unique: true}",
    before: "To: Zoe <zoe@x.example>, \"Doe, Ann\" <Ann@x.example>,\r\n zoe@x.example\r\n\r\nbody\r\n",
    after: "To: \"Doe, Ann\" <Ann@x.example>, Zoe <zoe@x.example>\r\n\r\nbody\r\n",
    load,
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = spelled(node, "name");
    let mut settings = load.settings("header.sort_addresses", &node)?;
    let fields = Choice::all_or_named(&mut settings, load);
    let unique = settings.take::<bool>("unique", load.problems);
    settings.finish(load.problems)?;
    Ok(Box::new(SortAddresses { fields: fields?, unique: unique?.unwrap_or(false) }))
}

impl Action for SortAddresses {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let places = self.fields.places(run);
        let mut odd = Vec::new();
        super::edit(run, &places, |field| {
            if let Some(value) = sorted(field.raw_value(), self.unique) {
                return field.with_raw_value(&bounded(field.name().len() + 1, value));
            }
            odd.push(String::from_utf8_lossy(field.name()).into_owned());
            field.clone()
        });
        for name in odd {
            run.noted(&format!("{name} is no address list"));
            run.log(format!("{name} is no address list and stays as it is"));
        }
        Ok(Flow::Next)
    }
}

/// The value with its addresses in order; none if it is no address list.
fn sorted(raw: &[u8], unique: bool) -> Option<Vec<u8>> {
    let (lead, value) = unfolded(raw);
    let mut members = members(&value)?;
    members.sort_by(Member::order);
    if unique {
        members.dedup_by(|one, other| one.same_address(other));
    }
    let texts: Vec<&[u8]> = members.iter().map(|member| member.text.as_slice()).collect();
    Some([lead, &texts.join(b", ".as_slice())].concat())
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::{after, bytes, ruling};

    #[test]
    fn what_is_no_list_stays_and_is_logged() {
        let ruling = ruling("To: some people\r\nCc: b@x.example, a@x.example\r\n\r\n", &["header.sort_addresses: [To, Cc]"]);
        assert_eq!(bytes(&ruling), "To: some people\r\nCc: a@x.example, b@x.example\r\n\r\n");
        assert!(ruling.logs[0].1.contains("To"), "{:?}", ruling.logs);
    }

    #[test]
    fn only_unique_drops_and_only_the_same_address() {
        let mail = "To:  B <b@x.example>, a@x.example, b@X.example\r\n\r\n";
        assert_eq!(after(mail, &["header.sort_addresses: To"]), "To:  a@x.example, B <b@x.example>, b@X.example\r\n\r\n");
        assert_eq!(after(mail, &["header.sort_addresses: {name: To, unique: true}"]), "To:  a@x.example, B <b@x.example>\r\n\r\n");
    }
}
