//! `sender`, `recipient` and `recipients`: the envelope. The tests of one mailbox.

use super::Condition;
use super::operand::{DOMAIN, DomainTest, Number, Operand, passes, some, string};
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::facts::Facts;
use crate::chain::run::ActionError;
use crate::chain::string::StringTest;
use crate::smtp::path::Path;
use crate::yaml::{Kind, Node, Reported, Settings};

/// Tests of one mailbox of the envelope: `address`, `local`, `domain`.
#[derive(Debug)]
pub struct MailboxTest(Operand<Keys>);

#[derive(Debug, Default)]
struct Keys {
    address: Option<StringTest>,
    local: Option<StringTest>,
    domain: Option<DomainTest>,
}

/// The keys of a mailbox, for the manual.
pub const ADDRESS: KeyDoc =
    KeyDoc { name: "address", wants: "string tests", about: "The address without its angle brackets; empty for the null sender." };
/// See [`ADDRESS`].
pub const LOCAL: KeyDoc = KeyDoc { name: "local", wants: "string tests", about: "What stands before the `@`, as written." };
/// See [`ADDRESS`].
pub const IN_DOMAIN: KeyDoc = KeyDoc { name: "domain", wants: DOMAIN, about: "What stands after the `@`." };

impl MailboxTest {
    /// A text or a list (the address), or a mapping of `address`, `local` and `domain`.
    ///
    /// # Errors
    /// [`Reported`], every mistake in it.
    pub fn load(what: &str, node: &Node, load: &mut Load<'_>) -> Result<MailboxTest, Reported> {
        if matches!(node.kind, Kind::Map(_)) {
            return Operand::load(what, node, keys, load).map(MailboxTest);
        }
        let address = StringTest::load(node, load)?;
        Ok(MailboxTest(Operand::of(Keys { address: Some(address), ..Keys::default() })))
    }

    /// Whether the mailbox passes.
    ///
    /// # Errors
    /// None today: an address is always there to be tested.
    pub fn holds(&self, path: &Path, facts: &dyn Facts) -> Result<bool, ActionError> {
        self.0.holds(&mut |keys| {
            Ok(passes(keys.address.as_ref(), Some(path.address()), facts)
                && passes(keys.local.as_ref(), (!path.is_null()).then(|| path.local()), facts)
                && keys.domain.as_ref().is_none_or(|test| test.holds(path.domain(), facts)))
        })
    }
}

fn keys(settings: &mut Settings<'_>, load: &mut Load<'_>) -> Result<Keys, Reported> {
    let (address, local) = (string(settings, "address", load), string(settings, "local", load));
    let domain = DomainTest::take(settings, "domain", load);
    Ok(Keys { address: address?, local: local?, domain: domain? })
}

#[derive(Debug)]
struct Sender(MailboxTest);

pub const SENDER: Entry<dyn Condition> = Entry {
    name: "sender",
    about: "Tests the sender of the envelope (MAIL FROM).",
    keys: &[ADDRESS, LOCAL, IN_DOMAIN],
    example: "sender: {domain: [partner.example, .partner.example]}",
    before: "(sender anna@mail.Partner.example)\r\nSubject: hi\r\n\r\n",
    after: "(sender anna@notpartner.example)\r\nSubject: hi\r\n\r\n",
    load: |node, load| Ok(Box::new(Sender(MailboxTest::load("`sender`", node, load)?))),
};

impl Condition for Sender {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        self.0.holds(facts.sender(), facts)
    }
}

#[derive(Debug)]
struct Recipient(MailboxTest);

pub const RECIPIENT: Entry<dyn Condition> = Entry {
    name: "recipient",
    about: "Tests this recipient, as the rules with `at: recipient` left it. Recipients for whom the answers differ go separate ways: the message comes once for each kind.",
    keys: &[ADDRESS, LOCAL, IN_DOMAIN],
    example: "recipient: {local: [sales, support]}",
    before: "(recipient Sales@inside.example)\r\nSubject: hi\r\n\r\n",
    after: "(recipient anna@inside.example)\r\nSubject: hi\r\n\r\n",
    load: load_recipient,
};

fn load_recipient(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    let known = std::mem::take(&mut load.groups);
    let test = MailboxTest::load("`recipient`", node, load);
    load.uses.groups.extend(load.groups.iter().cloned());
    load.groups.extend(known);
    Ok(Box::new(Recipient(test?)))
}

impl Condition for Recipient {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        facts.of_this_recipient(&|path| self.0.holds(path, facts))
    }

    fn of_recipient(&self, facts: &dyn Facts, answers: &mut Vec<bool>) -> Result<(), ActionError> {
        answers.push(self.holds(facts)?);
        Ok(())
    }
}

#[derive(Debug)]
struct Recipients {
    count: Option<Number<u64>>,
    some: Option<MailboxTest>,
    every: Option<MailboxTest>,
}

pub const RECIPIENTS: Entry<dyn Condition> = Entry {
    name: "recipients",
    about: "Tests the recipients of the envelope: how many there are, and what some or every one of them is.",
    keys: &[
        KeyDoc { name: "some", wants: "mailbox tests", about: "One recipient passes: `address`, `local`, `domain`." },
        KeyDoc { name: "every", wants: "mailbox tests", about: "All recipients pass." },
        KeyDoc { name: "over, under, at_least, at_most, equals", wants: "a number", about: "How many recipients there are." },
    ],
    example: "recipients: {over: 1, some: {domain: example.net}}",
    before: "(recipient a@example.org)\r\n(recipient b@example.net)\r\nSubject: hi\r\n\r\n",
    after: "(recipient a@example.org)\r\n(recipient b@example.org)\r\nSubject: hi\r\n\r\n",
    load: recipients,
};

fn recipients(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    let mut settings = load.settings("`recipients`", node)?;
    let count = Number::take(&mut settings, load);
    let some = settings.node("some").map(|node| MailboxTest::load("`some`", node, load)).transpose();
    let every = settings.node("every").map(|node| MailboxTest::load("`every`", node, load)).transpose();
    let left = settings.finish(load.problems);
    let test = Recipients { count: count?, some: some?, every: every? };
    left?;
    if test.count.is_none() && test.some.is_none() && test.every.is_none() {
        return Err(load.problems.error(
            &node.span,
            "`recipients` tests nothing",
            "`some`, `every` or a number such as `over: 10` is wanted",
        ));
    }
    Ok(Box::new(test))
}

impl Condition for Recipients {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        let all = facts.recipients();
        if let Some(count) = &self.count {
            facts.saw(&all.len());
            if !count.holds(all.len() as u64) {
                return Ok(false);
            }
        }
        if let Some(test) = &self.some
            && !some(all, |path| test.holds(path, facts))?
        {
            return Ok(false);
        }
        match &self.every {
            Some(test) => Ok(!all.is_empty() && !some(all, |path| test.holds(path, facts).map(|holds| !holds))?),
            None => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{holds, refused};

    #[test]
    fn the_null_sender_is_an_empty_address_without_domain() {
        let bounce = "(sender )\r\nSubject: hi\r\n\r\n";
        assert!(holds("sender: ''", bounce));
        assert!(holds("sender: {domain: {exists: false}}", bounce));
        assert!(!holds("sender: {domain: example.org}", bounce));
        assert!(!holds("sender: {local: {empty: true}}", bounce));
    }

    #[test]
    fn all_keys_speak_of_the_same_recipient() {
        let mail = "(recipient a@one.example)\r\n(recipient b@two.example)\r\nSubject: hi\r\n\r\n";
        assert!(holds("recipients: {some: {local: a, domain: one.example}}", mail));
        assert!(!holds("recipients: {some: {local: a, domain: two.example}}", mail));
        assert!(holds("recipients: {every: {domain: {ends_with: .example}}}", mail));
        assert!(!holds("recipients: {every: {local: a}}", mail));
        assert!(holds("recipients: {some: {domain: one.example, not: {local: b}}}", mail));
        assert!(holds("recipients: {at_least: 2, under: 3}", mail));
        assert!(!holds("recipients: {over: 2}", mail));
    }

    #[test]
    fn a_bare_text_is_the_address_and_a_domain_forgets_case_and_final_dot() {
        let mail = "(sender Anna@Example.ORG.)\r\nSubject: hi\r\n\r\n";
        assert!(holds("sender: [x@y.example, anna@example.org.]", mail));
        assert!(holds("sender: {domain: example.org}", mail));
        assert!(!holds("sender: {domain: .example.org}", mail));
        assert!(refused("sender: {domian: x}").contains("domain"));
        assert!(refused("recipients: {}").contains("nothing"));
    }
}
