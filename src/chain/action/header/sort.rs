//! `header.sort`: brings the header into order.

use std::cmp::Ordering;

use bytes::Bytes;

use super::Choice;
use crate::chain::entry::{Entry, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::message::Field;
use crate::yaml::{Node, Reported};

/// Which fields.
#[derive(Debug)]
struct Sort(Choice);

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "header.sort",
    about: "Sorts fields by name without case, then by value as it stands. With `name`, the fields meant change places among themselves.",
    keys: &[super::NAME_OR_ALL],
    example: "header.sort",
    before: "To: b@x.example\r\nsubject: hi\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n\r\nbody\r\n",
    after: "Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nsubject: hi\r\nTo: b@x.example\r\n\r\nbody\r\n",
    load,
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = crate::chain::action::settings::spelled(node, "name");
    let mut settings = load.settings("header.sort", &node)?;
    let fields = Choice::any_named(&mut settings, load);
    settings.finish(load.problems)?;
    Ok(Box::new(Sort(fields?)))
}

impl Action for Sort {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let places = self.0.passing(run);
        let mut fields = run.mail.message.fields().to_vec();
        let mut sorted: Vec<Field> = places.iter().map(|&place| fields[place].clone()).collect();
        sorted.sort_by(order);
        if places.iter().zip(&sorted).all(|(&place, field)| fields[place] == *field) {
            return Ok(Flow::Next);
        }
        for (&place, field) in places.iter().zip(&sorted) {
            fields[place] = whole(field);
        }
        if run.is_traced() {
            let before = names(run.mail.message.fields());
            run.edited("order", &before, &names(&fields));
        }
        run.mail.message.set_fields(fields);
        Ok(Flow::Next)
    }
}

fn order(one: &Field, other: &Field) -> Ordering {
    let name = |field: &Field| field.name().to_ascii_lowercase();
    name(one).cmp(&name(other)).then_with(|| one.raw_value().cmp(other.raw_value()))
}

/// A field that can stand anywhere: the last one of a message without body may lack its line end.
fn whole(field: &Field) -> Field {
    if field.raw().ends_with(b"\n") { field.clone() } else { Field::from_raw(Bytes::from([field.raw(), b"\r\n".as_slice()].concat())) }
}

fn names(fields: &[Field]) -> String {
    fields.iter().map(|field| String::from_utf8_lossy(field.name())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::after;

    #[test]
    fn by_name_without_case_then_by_raw_value() {
        assert_eq!(after("b: 2\r\nB: 1\r\na:  z\r\n c\r\nA: y\r\n\r\n", &["header.sort"]), "a:  z\r\n c\r\nA: y\r\nB: 1\r\nb: 2\r\n\r\n");
    }

    #[test]
    fn named_fields_change_places_among_themselves() {
        assert_eq!(after("B: 2\r\nX: 0\r\nA: 1\r\nB: 1\r\n\r\n", &["header.sort: [A, B]"]), "A: 1\r\nX: 0\r\nB: 1\r\nB: 2\r\n\r\n");
    }

    #[test]
    fn a_header_in_order_stays_to_the_byte_and_one_without_a_line_end_gets_it_when_it_moves() {
        assert_eq!(after("A: 1\r\nB: 2", &["header.sort"]), "A: 1\r\nB: 2");
        assert!(after("B: 2\r\nA: 1", &["header.sort"]).starts_with("A: 1\r\nB: 2\r\n"));
    }

    #[test]
    fn lines_without_colon_keep_their_place() {
        assert_eq!(after("B: 2\r\nodd line\r\nA: 1\r\n\r\n", &["header.sort"]), "A: 1\r\nodd line\r\nB: 2\r\n\r\n");
    }
}
