//! `direction`: which way the mail goes to this recipient.

use super::Condition;
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::facts::Facts;
use crate::chain::run::ActionError;
use crate::chain::string::word;
use crate::mail;
use crate::yaml::{Kind, Node, Reported};

#[derive(Debug)]
struct Direction(Vec<mail::Direction>);

pub const DIRECTION: Entry<dyn Condition> = Entry {
    name: "direction",
    about: "Tests which way the mail goes to this recipient: from where the client stands and whether the recipient is inside (`inside:` in transom.yaml), never from what a sender can write. Recipients for whom the answers differ go separate ways.",
    keys: &[KeyDoc {
        name: "",
        wants: "`inbound`, `outbound`, `internal` or `transit`, or a list of them",
        about: "`internal` is from inside to inside, `transit` from outside to outside.",
    }],
    example: "direction: [inbound, internal]",
    before: "(recipient a@inside.example)\r\nSubject: hi\r\n\r\n",
    after: "(inside)\r\n(recipient a@outside.example)\r\nSubject: hi\r\n\r\n",
    load,
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    let items = match &node.kind {
        Kind::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    if load.without_inside {
        let label = "name your domains and networks under `inside:` in transom.yaml";
        return Err(load.problems.error(&node.span, "`direction` needs to know what is inside", label));
    }
    let words = mail::Direction::ALL.map(|one| (one.word(), one));
    let read: Vec<_> = items.into_iter().map(|item| word(item, &words, load.problems)).collect();
    Ok(Box::new(Direction(read.into_iter().collect::<Result<_, _>>()?)))
}

impl Condition for Direction {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        let direction = facts.direction();
        facts.saw(&direction.word());
        Ok(self.0.contains(&direction))
    }

    fn of_recipient(&self, facts: &dyn Facts, answers: &mut Vec<bool>) -> Result<(), ActionError> {
        answers.push(self.holds(facts)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{holds, refused};

    #[test]
    fn it_is_one_of_four() {
        let mail = |inside: bool, to: &str| format!("{}(recipient {to})\r\n\r\n", if inside { "(inside)\r\n" } else { "" });
        for (direction, inside, to) in [
            ("inbound", false, "a@inside.example"),
            ("transit", false, "a@outside.example"),
            ("internal", true, "a@inside.example"),
            ("outbound", true, "a@outside.example"),
        ] {
            assert!(holds(&format!("direction: {direction}"), &mail(inside, to)));
            assert!(!holds(&format!("direction: {direction}"), &mail(!inside, to)));
        }
        assert!(refused("direction: inbuond").contains("inbound"));
        assert!(refused("direction: {is: inbound}").contains("direction") || !refused("direction: {is: inbound}").is_empty());
    }
}
