//! `message_id`: the name the sender's program gave the message.

use super::Condition;
use super::operand::some;
use crate::chain::entry::{Entry, Load};
use crate::chain::facts::Facts;
use crate::chain::run::ActionError;
use crate::chain::string::{StringTest, VALUE_TESTS};
use crate::message::Field;
use crate::yaml::{Node, Reported};

#[derive(Debug)]
struct MessageId(StringTest);

pub const MESSAGE_ID: Entry<dyn Condition> = Entry {
    name: "message_id",
    about: "Tests the Message-ID without its angle brackets; of several, each.",
    keys: &[VALUE_TESTS],
    example: "message_id: {ends_with: '@localhost'}",
    before: "Message-ID: <1234@localhost>\r\nSubject: hi\r\n\r\n",
    after: "Message-ID: <1234@localhost.example>\r\nSubject: hi\r\n\r\n",
    load: message_id,
};

fn message_id(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    Ok(Box::new(MessageId(StringTest::load(node, load)?)))
}

impl Condition for MessageId {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        let fields = facts.fields().iter().filter(|field| field.is("message-id"));
        let ids: Vec<String> = fields.flat_map(ids).collect();
        if ids.is_empty() {
            return Ok(self.0.holds_in(None, facts));
        }
        some(&ids, |id| {
            facts.saw(id);
            Ok(self.0.holds_in(Some(id), facts))
        })
    }
}

/// What stands in angle brackets; without any, the whole value.
fn ids(field: &Field) -> Vec<String> {
    let value = field.value();
    let mut ids = Vec::new();
    let mut rest = &*value;
    while let Some((id, behind)) = rest.split_once('<').and_then(|(_, rest)| rest.split_once('>')) {
        ids.push(id.trim().to_owned());
        rest = behind;
    }
    if ids.is_empty() {
        ids.push(value.trim_start_matches('<').to_owned());
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::super::testing::holds;

    #[test]
    fn the_brackets_do_not_count_and_what_stands_beside_them_neither() {
        assert!(holds("message_id: a@b.example", "Message-ID: <A@b.example>\r\n\r\n"));
        assert!(holds("message_id: a@b.example", "Message-ID:\r\n (made by x) < a@b.example > y\r\n\r\n"));
        assert!(holds("message_id: a@b.example", "Message-ID: a@b.example\r\n\r\n"));
        assert!(holds("message_id: a@b.example", "Message-ID: <a@b.example\r\n\r\n"));
    }

    #[test]
    fn of_several_ids_each_counts_and_none_is_a_value_that_is_not_there() {
        let two = "Message-ID: <a@x.example> <b@x.example>\r\nMessage-ID: <c@x.example>\r\n\r\n";
        for id in ["a", "b", "c"] {
            assert!(holds(&format!("message_id: {id}@x.example"), two));
        }
        assert!(holds("message_id: {exists: false}", "Subject: x\r\n\r\n"));
        assert!(!holds("message_id: {not: {contains: x}}", "Subject: x\r\n\r\n"));
        assert!(holds("message_id: {empty: true}", "Message-ID: <>\r\n\r\n"));
    }
}
