//! `malformed`: what readers could take in two ways.

use super::Condition;
use super::operand::some;
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::facts::Facts;
use crate::chain::run::ActionError;
use crate::chain::string::word;
use crate::message::Flag;
use crate::yaml::{Kind, Node, Reported};

/// One of these flags.
#[derive(Debug)]
struct Malformed(Vec<(Flag, &'static str)>);

pub const MALFORMED: Entry<dyn Condition> = Entry {
    name: "malformed",
    about: "Holds if the message is built in a way that programs read differently, so that a filter and a reader could see two messages; honest mail is not.",
    keys: &[KeyDoc {
        name: "",
        wants: "a flag, or a list: one of them",
        about: "`bare_line_ending`, `nul`, `duplicate_field`, `two_boundaries`, `missing_boundary`, `bad_delimiter`, `bad_header_line`, \
            `ambiguous_parameter`, `bad_encoding`, `control_characters`, `embedded_file`, `eight_bit_header`; over a limit: `deep`, `too_many_parts`, `too_many_fields`, `too_large`.",
    }],
    example: "malformed: [two_boundaries, duplicate_field]",
    before: "Subject: hi\r\nSubject: Invoice\r\n\r\n",
    after: "Subject: hi\r\nComments: a\r\nComments: b\r\n\r\n",
    load: malformed,
};

fn malformed(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    let known: Vec<_> = Flag::all().map(|(flag, name)| (name, (flag, name))).collect();
    let items = match &node.kind {
        Kind::List(items) if items.is_empty() => {
            return Err(load.problems.error(&node.span, "an empty list", "at least one flag is wanted"));
        }
        Kind::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    let flags: Vec<_> = items.into_iter().map(|item| word(item, &known, load.problems)).collect();
    Ok(Box::new(Malformed(flags.into_iter().collect::<Result<_, _>>()?)))
}

impl Condition for Malformed {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        some(&self.0, |(flag, name)| {
            let raised = facts.malformed(*flag)?;
            if raised {
                facts.saw(name);
            }
            Ok(raised)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{holds, refused};

    #[test]
    fn a_flag_is_asked_for_by_its_name() {
        assert!(holds("malformed: eight_bit_header", "Subject: \u{e9}\r\n\r\n"));
        assert!(!holds("malformed: eight_bit_header", "Subject: e\r\n\r\n\u{e9}\r\n"));
        assert!(holds("malformed: [nul, bare_line_ending]", "Subject: e\r\n\r\na\nb\r\n"));
        let wrong = refused("malformed: bad_encodings");
        assert!(wrong.contains("bad_encoding") && wrong.contains("too_large"), "{wrong}");
        assert!(refused("malformed: []").contains("at least one"));
    }

    #[test]
    fn an_encoding_is_looked_through_when_it_is_asked_for() {
        let coded = |body: &str| format!("Content-Transfer-Encoding: base64\r\n\r\n{body}\r\n");
        assert!(holds("malformed: bad_encoding", &coded("QUI=QUJD")));
        assert!(!holds("malformed: bad_encoding", &coded("QUJD")));
    }

    #[test]
    fn a_text_that_no_rule_can_test_is_too_large() {
        let large = format!("Subject: x\r\n\r\n{}\r\n", "x".repeat(16_000_000));
        assert!(holds("malformed: too_large", &large));
        assert!(!holds("malformed: too_large", &large.replacen("Subject: x", "Content-Type: image/png", 1)));
    }
}
