//! `header.set`: makes a field say something, whether it was there or not.

use super::Choice;
use crate::chain::action::settings::text;
use crate::chain::entry::{Entry, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::chain::text::{Place, Text};
use crate::yaml::{Node, Reported};

/// The field, and what it says afterwards.
#[derive(Debug)]
struct Set {
    name: String,
    fields: Choice,
    value: Text,
}

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "header.set",
    about: "Gives a field a value: the first of that name gets it, others go; absent, it is added on top.",
    keys: &[super::ONE_NAME, super::add::VALUE],
    example: "header.set: {name: Organization, value: Example}",
    before: "Subject: hi\r\nOrganization: Else\r\nOrganization: Other\r\n\r\nbody\r\n",
    after: "Subject: hi\r\nOrganization: Example\r\n\r\nbody\r\n",
    load,
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let mut settings = load.settings("header.set", node)?;
    let name = super::new_name(&mut settings, "name", load);
    let value = text(&mut settings, "value", None, load);
    settings.finish(load.problems)?;
    let name = name?;
    Ok(Box::new(Set { fields: Choice::named(&name), name, value: value? }))
}

impl Action for Set {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let value = self.value.fill(Place::Header, None, run)?;
        match self.fields.places(run).as_slice() {
            [] => super::put_on_top(run, &self.name, &value),
            [first, others @ ..] => {
                super::take_out(run, others);
                super::edit(run, &[*first], |field| field.with_value(&value));
            }
        }
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::after;

    #[test]
    fn an_absent_field_is_added_on_top_and_a_present_one_keeps_name_and_blank() {
        assert_eq!(after("A: 1\r\n\r\n", &["header.set: {name: B, value: 2}"]), "B: 2\r\nA: 1\r\n\r\n");
        assert_eq!(after("sUBJECT:\told\r\n fold\r\n\r\n", &["header.set: {name: Subject, value: new}"]), "sUBJECT:\tnew\r\n\r\n");
    }
}
