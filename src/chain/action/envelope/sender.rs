//! `sender.set` and `sender.replace`: the envelope sender. `<>` is never rewritten (SEMANTICS 14).

use std::sync::Arc;

use super::{Address, path_of, replaced};
use crate::chain::action::header::replace::WITH;
use crate::chain::action::settings::{MATCHES, own_pattern, spelled, text};
use crate::chain::entry::{Entry, Load};
use crate::chain::pattern::Pattern;
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::chain::text::Text;
use crate::smtp::path::Path;
use crate::yaml::{Node, Reported};

pub const SET: Entry<dyn Action> = Entry {
    name: "sender.set",
    about: "Makes an address the envelope sender. A null sender (`<>`) stays.",
    keys: &[super::ADDRESS],
    example: "sender.set: bounces@inside.example",
    before: "(sender anna@inside.example)\r\nSubject: hi\r\n\r\nbody\r\n",
    after: "(sender bounces@inside.example)\r\nSubject: hi\r\n\r\nbody\r\n",
    load: load_set,
};

pub const REPLACE: Entry<dyn Action> = Entry {
    name: "sender.replace",
    about: "Replaces every match of a pattern in the envelope sender, which is seen without < and >. A null sender (`<>`) stays.",
    keys: &[MATCHES, WITH],
    example: "sender.replace: {matches: '@old\\.example$', with: '@new.example'}",
    before: "(sender anna@old.example)\r\nSubject: hi\r\n\r\nbody\r\n",
    after: "(sender anna@new.example)\r\nSubject: hi\r\n\r\nbody\r\n",
    load: load_replace,
};

/// The new sender.
#[derive(Debug)]
struct Set(Address);

/// What becomes what.
#[derive(Debug)]
struct Replace {
    pattern: Arc<Pattern>,
    with: Text,
}

fn load_set(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = spelled(node, "address");
    let mut settings = load.settings("sender.set", &node)?;
    let address = Address::load(&mut settings, true, load);
    settings.finish(load.problems)?;
    Ok(Box::new(Set(address?)))
}

fn load_replace(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let mut settings = load.settings("sender.replace", node)?;
    let pattern = own_pattern(&mut settings, load);
    let with = text(&mut settings, "with", Some(&pattern), load);
    settings.finish(load.problems)?;
    Ok(Box::new(Replace { pattern: pattern?, with: with? }))
}

impl Action for Set {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        if !run.mail.envelope.sender.is_null() {
            let sender = self.0.of(run, false)?;
            put(run, sender);
        }
        Ok(Flow::Next)
    }
}

impl Action for Replace {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let sender = &run.mail.envelope.sender;
        if !sender.is_null()
            && let Some(filled) = replaced(sender.address(), self.pattern.regex(), &self.with, run)?
        {
            let sender = path_of(&filled.text, run)?;
            put(run, sender);
        }
        Ok(Flow::Next)
    }
}

/// Makes it the sender, and tells `explain`.
pub fn put(run: &mut Run, sender: Path) {
    if run.mail.envelope.sender != sender {
        let (before, after) = (run.mail.envelope.sender.to_string(), sender.to_string());
        run.edited("sender", &before, &after);
        run.mail.envelope.sender = sender;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::action::testing::{mail, refused, ruling, ruling_of};

    fn sender(actions: &[&str]) -> String {
        let ruling = ruling("Subject: hi\r\n\r\n", actions);
        assert!(ruling.failures.is_empty(), "{:?}", ruling.failures);
        ruling.mail.envelope.sender.to_string()
    }

    #[test]
    fn the_sender_is_set_and_replaced() {
        assert_eq!(sender(&["sender.set: a@b.example"]), "<a@b.example>");
        assert_eq!(sender(&["sender.set: {address: ''}"]), "<>");
        assert_eq!(sender(&["sender.replace: {matches: '^(\\w+)@OUTSIDE', with: '$1+x@other'}"]), "<sender+x@other.example>");
        assert_eq!(sender(&["sender.replace: {matches: 'nobody', with: x}"]), "<sender@outside.example>");
    }

    #[test]
    fn the_null_sender_is_never_rewritten() {
        for action in ["sender.set: a@b.example", "sender.replace: {matches: '^', with: 'a@b.example'}"] {
            let mut bounce = mail(b"Subject: hi\r\n\r\n");
            bounce.envelope.sender = Path::null();
            assert!(ruling_of(bounce, &[action]).mail.envelope.sender.is_null(), "{action}");
        }
    }

    #[test]
    fn what_does_not_parse_fails_the_rule_or_the_load() {
        let wrong = ruling("Subject: a b\r\n\r\n", &["sender.set: '${header:Subject}'"]);
        assert_eq!(wrong.failures.len(), 1);
        assert_eq!((wrong.word(), wrong.mail.envelope.sender.address()), ("quarantine", "sender@outside.example"));
        assert_eq!(ruling("\r\n", &["sender.set: '${header:X-Absent}'"]).failures.len(), 1);
        assert!(refused("sender.set: not an address")[0].contains("no address"));
    }
}
