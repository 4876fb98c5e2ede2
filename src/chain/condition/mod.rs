//! The list of conditions, and how one is read: a mapping of several conditions means all of them.

mod address;
mod body;
mod client;
mod counts;
mod date;
mod direction;
mod header;
mod logic;
pub mod mailbox;
mod malformed;
mod measures;
mod message_id;
pub mod operand;
mod part;
mod protected;

use std::fmt::Debug;

use super::entry::{Entry, Load, find, no_settings, unknown};
use super::facts::Facts;
use super::run::ActionError;
use crate::yaml::{Kind, Node, Reported};

/// A question about a mail.
pub trait Condition: Debug + Send + Sync {
    /// # Errors
    /// Why the question cannot be answered; that is never "false".
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError>;

    /// Adds the answers of those conditions in it that tell recipients apart: what a recipient's class is made of. They need no message.
    ///
    /// # Errors
    /// Why one cannot be answered.
    fn of_recipient(&self, _facts: &dyn Facts, _answers: &mut Vec<bool>) -> Result<(), ActionError> {
        Ok(())
    }
}

/// Every condition, in the order of the manual.
pub const ENTRIES: &[&Entry<dyn Condition>] = &[
    &logic::ALL,
    &logic::ANY,
    &logic::NOT,
    &logic::TRUE,
    &logic::FALSE,
    &logic::NAMED,
    &mailbox::SENDER,
    &mailbox::RECIPIENT,
    &mailbox::RECIPIENTS,
    &direction::DIRECTION,
    &header::HEADER,
    &header::SUBJECT,
    &message_id::MESSAGE_ID,
    &date::DATE,
    &address::ADDRESS,
    &body::BODY,
    &measures::SIZE,
    &counts::PARTS,
    &counts::HOPS,
    &counts::LONGEST_LINE,
    &client::CLIENT,
    &measures::TAG,
    &measures::SCORE,
    &part::PART,
    &part::ATTACHMENT,
    &protected::PROTECTED,
    &malformed::MALFORMED,
];

/// A condition, or several as a mapping: all of them.
///
/// # Errors
/// [`Reported`], every mistake in it.
pub fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    let entries: Vec<(&str, _, Node)> = match &node.kind {
        Kind::Map(entries) => entries.iter().map(|(key, node)| (key.text.as_str(), &key.span, node.clone())).collect(),
        Kind::Scalar { text, plain: true } if text == "true" || text == "false" => vec![(text, &node.span, no_settings(node))],
        Kind::List(_) => {
            return Err(load.problems.error(
                &node.span,
                "a list of conditions does not say whether all or any is meant",
                "write `all:` or `any:` before it",
            ));
        }
        _ => return Err(load.problems.error(&node.span, "a condition is wanted", "such as `subject: {contains: text}`")),
    };
    if entries.is_empty() {
        return Err(load.problems.error(&node.span, "no condition", "leave `when` out, or write `true`"));
    }
    let mut conditions = Vec::with_capacity(entries.len());
    let mut wrong = None;
    for (name, span, node) in entries {
        let read = match find(ENTRIES, name) {
            Some(entry) => {
                load.uses.condition(entry.name, span);
                (entry.load)(&node, load).map(|condition| logic::told(name, &node, condition))
            }
            None => Err(unknown(ENTRIES, "condition", name, span, load.problems)),
        };
        match read {
            Ok(condition) => conditions.push(condition),
            Err(reported) => wrong = Some(reported),
        }
    }
    match (wrong, conditions.len()) {
        (Some(reported), _) => Err(reported),
        (None, 1) => Ok(conditions.remove(0)),
        (None, _) => Ok(Box::new(logic::All(conditions))),
    }
}

/// What stands under `unless`, told under that word: `explain` shows which of a rule's conditions kept it from firing.
///
/// # Errors
/// As [`load`].
pub fn unless(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    self::load(node, load).map(|condition| logic::told("unless", node, condition))
}

/// What tests of conditions begin with.
#[cfg(test)]
mod testing {
    use std::sync::Arc;

    use super::super::rule::Shared;
    use super::super::{ActionError, example};
    use crate::yaml::{Problems, Source, parse};

    /// Whether the condition holds for the mail, written as [`example::run`] reads it.
    pub fn asked(condition: &str, mail: &str) -> Result<bool, ActionError> {
        let mut problems = Problems::default();
        let node = parse(&Source::new("test.yaml", format!("it: {{{condition}}}")), &mut problems).expect("YAML");
        let named = Shared::default().named(&node, &mut problems);
        let it = named.get("it").unwrap_or_else(|| panic!("{}", problems.render(false)));
        Arc::clone(&it.condition).holds(&example::run(mail))
    }

    pub fn holds(condition: &str, mail: &str) -> bool {
        asked(condition, mail).unwrap()
    }

    /// Why the condition cannot be read.
    pub fn refused(condition: &str) -> String {
        let mut problems = Problems::default();
        let node = parse(&Source::new("test.yaml", format!("it: {{{condition}}}")), &mut problems).expect("YAML");
        assert!(Shared::default().named(&node, &mut problems).is_empty(), "{condition} was read");
        problems.render(false)
    }
}
