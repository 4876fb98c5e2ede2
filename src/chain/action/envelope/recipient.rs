//! `recipient.set`, `.add`, `.remove`, `.replace`, `.sort`: the envelope's recipients. Two that become one are one.

use std::sync::Arc;

use super::{Address, ROUTES, path_of, recipient_of, replaced, straight};
use crate::chain::action::header::replace::WITH;
use crate::chain::action::settings::{MATCHES, own_pattern, spelled, text};
use crate::chain::condition::mailbox::{self, MailboxTest};
use crate::chain::entry::{Entry, Load};
use crate::chain::pattern::Pattern;
use crate::chain::ruling::Outcome;
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::chain::text::Text;
use crate::smtp::envelope::Recipient;
use crate::smtp::path::Path;
use crate::yaml::{Node, Reported};

pub const SET: Entry<dyn Action> = Entry {
    name: "recipient.set",
    about: "Makes an address the only recipient.",
    keys: &[super::ADDRESS],
    example: "recipient.set: archive@inside.example",
    before: "(recipient a@inside.example)\r\n(recipient b@inside.example)\r\nSubject: hi\r\n\r\nbody\r\n",
    after: "(recipient archive@inside.example)\r\nSubject: hi\r\n\r\nbody\r\n",
    load: |node, load| Ok(Box::new(Set(one_address("recipient.set", node, load)?))),
};

pub const ADD: Entry<dyn Action> = Entry {
    name: "recipient.add",
    about: "Adds a recipient, unless the mail has it already.",
    keys: &[super::ADDRESS],
    example: "recipient.add: {address: copy@inside.example}",
    before: "(recipient a@inside.example)\r\nSubject: hi\r\n\r\nbody\r\n",
    after: "(recipient a@inside.example)\r\n(recipient copy@inside.example)\r\nSubject: hi\r\n\r\nbody\r\n",
    load: |node, load| Ok(Box::new(Add(one_address("recipient.add", node, load)?))),
};

pub const REMOVE: Entry<dyn Action> = Entry {
    name: "recipient.remove",
    about: "Takes recipients out. With the last one the mail is discarded, and the log says so.",
    keys: &[mailbox::ADDRESS, mailbox::LOCAL, mailbox::IN_DOMAIN],
    example: "recipient.remove: {domain: old.example}",
    before: "(recipient a@old.example)\r\n(recipient b@new.example)\r\nSubject: hi\r\n\r\nbody\r\n",
    after: "(recipient b@new.example)\r\nSubject: hi\r\n\r\nbody\r\n",
    load: load_remove,
};

pub const REPLACE: Entry<dyn Action> = Entry {
    name: "recipient.replace",
    about: "Replaces every match of a pattern in each recipient, which is seen without < and >. A domain that the rule file does not write must be inside.",
    keys: &[MATCHES, WITH],
    example: "recipient.replace: {matches: '@old\\.example$', with: '@new.example'}",
    before: "(recipient a@old.example)\r\n(recipient b@new.example)\r\n(recipient b@old.example)\r\nSubject: hi\r\n\r\nbody\r\n",
    after: "(recipient a@new.example)\r\n(recipient b@new.example)\r\nSubject: hi\r\n\r\nbody\r\n",
    load: load_replace,
};

pub const SORT: Entry<dyn Action> = Entry {
    name: "recipient.sort",
    about: "Sorts the recipients by address without case.",
    keys: &[],
    example: "recipient.sort",
    before: "(recipient b@inside.example)\r\n(recipient A@inside.example)\r\nSubject: hi\r\n\r\nbody\r\n",
    after: "(recipient A@inside.example)\r\n(recipient b@inside.example)\r\nSubject: hi\r\n\r\nbody\r\n",
    load: |node, load| {
        load.settings("recipient.sort", node)?.finish(load.problems)?;
        Ok(Box::new(Sort))
    },
};

/// The only recipient.
#[derive(Debug)]
struct Set(Address);

/// One more.
#[derive(Debug)]
struct Add(Address);

/// Which go.
#[derive(Debug)]
struct Remove(MailboxTest);

/// What becomes what.
#[derive(Debug)]
struct Replace {
    pattern: Arc<Pattern>,
    with: Text,
}

/// By address.
#[derive(Debug)]
struct Sort;

fn one_address(name: &str, node: &Node, load: &mut Load<'_>) -> Result<Address, Reported> {
    let node = spelled(node, "address");
    let mut settings = load.settings(name, &node)?;
    let address = Address::load(&mut settings, false, load);
    settings.finish(load.problems)?;
    address
}

fn load_remove(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let known = load.groups.clone();
    let test = MailboxTest::load("recipient.remove", node, load);
    load.groups = known;
    Ok(Box::new(Remove(test?)))
}

fn load_replace(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let mut settings = load.settings("recipient.replace", node)?;
    let pattern = own_pattern(&mut settings, load);
    let with = text(&mut settings, "with", Some(&pattern), load);
    settings.finish(load.problems)?;
    Ok(Box::new(Replace { pattern: pattern?, with: with? }))
}

impl Action for Set {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let address = self.0.of(run, true)?;
        let set = match run.mail.envelope.recipients.as_slice() {
            [only] => only.rewritten(address),
            _ => address.into(),
        };
        put(run, vec![set]);
        Ok(Flow::Next)
    }
}

impl Action for Add {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let address = self.0.of(run, true)?;
        let mut recipients = run.mail.envelope.recipients.clone();
        if !recipients.iter().any(|known| known.same_mailbox(&address)) {
            run.count_added_recipient()?;
            recipients.push(address.into());
            put(run, recipients);
        }
        Ok(Flow::Next)
    }
}

impl Action for Remove {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let mut recipients = Vec::new();
        for path in &run.mail.envelope.recipients {
            if !self.0.holds(path, run)? {
                recipients.push(path.clone());
            }
        }
        if recipients.is_empty() {
            // An envelope without recipients cannot be sent, and nobody is left who waits for it. What was there stays to be seen.
            run.log("no recipient is left: the message is discarded");
            run.noted("no recipient is left: discarded");
            return Ok(Flow::End(Outcome::Discard));
        }
        put(run, recipients);
        Ok(Flow::Next)
    }
}

impl Action for Replace {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        replace_each(run, |old, run| self.replaced(old, run))?;
        Ok(Flow::Next)
    }
}

/// Makes each recipient what `replaced` gives for it, if anything; those that become one are one.
///
/// # Errors
/// As `replaced`.
pub fn replace_each(run: &mut Run, replaced: impl Fn(&Path, &Run) -> Result<Option<Path>, ActionError>) -> Result<(), ActionError> {
    // Each with whether the rule changed it: what was not touched is not compared, so that it stays as the client gave it.
    let mut recipients: Vec<(Recipient, bool)> = Vec::with_capacity(run.mail.envelope.recipients.len());
    for old in &run.mail.envelope.recipients {
        let new = replaced(old, run)?;
        let changed = new.is_some();
        let path = new.map_or_else(|| old.clone(), |new| old.rewritten(new));
        if !recipients.iter().any(|(known, other)| (changed || *other) && known.same_mailbox(&path)) {
            recipients.push((path, changed));
        }
    }
    put(run, recipients.into_iter().map(|(path, _)| path).collect());
    Ok(())
}

impl Replace {
    /// The recipient that `old` becomes, if it becomes another.
    fn replaced(&self, old: &Path, run: &Run) -> Result<Option<Path>, ActionError> {
        let Some(filled) = replaced(old.address(), self.pattern.regex(), &self.with, run)? else { return Ok(None) };
        let new = path_of(&filled.text, run)?;
        // A domain that stays is the client's own, which permission has judged.
        let same = matches!((new.domain(), old.domain()), (Some(new), Some(old)) if new.eq_ignore_ascii_case(old));
        if !same {
            recipient_of(&filled, run)?;
        }
        let new = if old.local().contains(ROUTES) { new } else { straight(&filled, new)? };
        Ok((new != *old).then_some(new))
    }
}

impl Action for Sort {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let mut recipients = run.mail.envelope.recipients.clone();
        recipients.sort_by_cached_key(|path| (path.address().to_ascii_lowercase(), path.address().to_owned()));
        put(run, recipients);
        Ok(Flow::Next)
    }
}

fn put(run: &mut Run, recipients: Vec<Recipient>) {
    if run.mail.envelope.recipients == recipients {
        return;
    }
    let list = |recipients: &[Recipient]| recipients.iter().map(Recipient::to_string).collect::<Vec<_>>().join(" ");
    if run.is_traced() {
        let (before, after) = (list(&run.mail.envelope.recipients), list(&recipients));
        run.edited("recipients", &before, &after);
    }
    run.mail.envelope.recipients = recipients;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::action::testing::{mail, recipients, refused, ruling, ruling_of};

    #[test]
    fn two_that_become_one_are_one() {
        let replace = "recipient.replace: {matches: '@(a|b)\\.example$', with: '@c.example'}";
        assert_eq!(recipients(&["x@a.example", "x@b.example", "x@C.example", "y@a.example"], &[replace]), ["x@c.example", "y@c.example"]);
        assert_eq!(recipients(&["a@x.example", "b@x.example"], &["recipient.set: c@x.example"]), ["c@x.example"]);
        assert_eq!(
            recipients(&["a@x.example"], &["recipient.add: a@X.example", "recipient.add: b@x.example"]),
            ["a@x.example", "b@x.example"]
        );
    }

    #[test]
    fn what_the_rule_does_not_touch_stays_as_the_client_gave_it() {
        let replace = "recipient.replace: {matches: '@b\\.example$', with: '@c.example'}";
        assert_eq!(recipients(&["x@a.example", "x@A.example"], &[replace]), ["x@a.example", "x@A.example"]);
    }

    #[test]
    fn removing_the_last_discards_and_says_so() {
        assert_eq!(recipients(&["a@x.example", "b@y.example"], &["recipient.remove: {domain: x.example}"]), ["b@y.example"]);
        let gone = ruling("Subject: hi\r\n\r\n", &["recipient.remove: {local: recipient}", "tag: never"]);
        assert_eq!((gone.word(), gone.tags.len()), ("discard", 0));
        assert!(gone.logs[0].1.contains("no recipient is left"));
    }

    #[test]
    fn a_stranger_cannot_choose_the_domain() {
        for (action, allowed) in [
            ("recipient.replace: {matches: '^(.*)-at-(.*)@inside.example$', with: '$1@$2'}", false),
            ("recipient.replace: {matches: '-at-.*@inside', with: '@elsewhere'}", false),
            ("recipient.replace: {matches: '-at-.*$', with: '@elsewhere.example'}", true),
            ("recipient.replace: {matches: '-at-evil', with: ''}", true),
            ("recipient.set: '${header:X-To}'", false),
            ("recipient.add: 'x@${header:X-Domain}'", false),
            ("recipient.add: '${header:X-Local}@elsewhere.example'", true),
            ("recipient.set: 'x@${header:X-Inside}'", true),
            ("recipient.set: '${header:X-Percent}@inside.example'", false),
            ("recipient.add: '\"${header:X-To}\"@inside.example'", false),
            ("recipient.set: '${header:X-Route}@inside.example'", false),
            ("recipient.replace: {matches: '^u', with: '${header:X-Percent}'}", false),
            ("recipient.replace: {matches: '-at-', with: '%'}", true),
        ] {
            let mut mail = mail(b"X-To: a@evil.example\r\nX-Domain: evil.example\r\nX-Local: z\r\nX-Inside: inside.example\r\nX-Percent: a%evil.example\r\nX-Route: @evil.example:x\r\n\r\n");
            mail.envelope.recipients = vec![Path::parse("u-at-evil.example@inside.example").unwrap().into()];
            let ruling = ruling_of(mail, &[action]);
            assert_eq!(ruling.failures.is_empty(), allowed, "{action}: {:?} {:?}", ruling.failures, ruling.mail.envelope);
        }
    }

    #[test]
    fn a_route_that_the_client_itself_may_give_stays() {
        for action in
            ["recipient.replace: {matches: '@x\\.example$', with: '@y.example'}", "recipient.replace: {matches: '^a', with: '${sender}'}"]
        {
            let mut mail = mail(b"Subject: hi\r\n\r\n");
            (mail.envelope.recipients, mail.envelope.sender) =
                (vec![Path::parse("a%b@x.example").unwrap().into()], Path::parse("postmaster").unwrap());
            assert!(ruling_of(mail, &[action]).failures.is_empty(), "{action}");
        }
    }

    #[test]
    fn recipients_are_sorted_without_case() {
        assert_eq!(
            recipients(&["b@x.example", "A@x.example", "a@x.example"], &["recipient.sort"]),
            ["A@x.example", "a@x.example", "b@x.example"]
        );
    }

    #[test]
    fn an_empty_recipient_is_refused_at_load_and_added_ones_are_counted() {
        assert!(refused("recipient.set: {address: ''}")[0].contains("cannot be empty"));
        assert!(refused("recipient.add: {}")[0].contains("`address`"));
        let many: Vec<String> = (0..101).map(|n| format!("recipient.add: r{n}@x.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(ruling("\r\n", &many).failures[0].error.contains("added_recipients"));
    }
}
