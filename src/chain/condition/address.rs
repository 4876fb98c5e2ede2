//! `address`: the mailboxes that fields such as From and To name.

use mail_parser::parsers::MessageStream;
use mail_parser::{Addr, HeaderValue};

use super::Condition;
use super::operand::{DOMAIN, DomainTest, EVERY, Operand, Which, bare, passes, string};
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::facts::Facts;
use crate::chain::run::ActionError;
use crate::chain::string::{NameTest, StringTest};
use crate::yaml::{FromNode, Node, Reported, Settings};

#[derive(Debug)]
struct Address {
    header: NameTest,
    test: Operand<Keys>,
    which: Which,
}

#[derive(Debug)]
struct Keys {
    domain: Option<DomainTest>,
    local: Option<StringTest>,
    display_name: Option<StringTest>,
    name_has_address: Option<bool>,
    same_domain_as: Option<String>,
}

/// One mailbox as a field names it.
#[derive(Debug, PartialEq, Eq)]
struct Mailbox {
    name: Option<String>,
    address: String,
}

pub const ADDRESS: Entry<dyn Condition> = Entry {
    name: "address",
    about: "Tests the mailboxes in address fields, one at a time; groups are looked into.",
    keys: &[
        KeyDoc {
            name: "header",
            wants: "a name, a list of names or string tests",
            about: "Which fields, such as From, Reply-To, To and Cc.",
        },
        KeyDoc { name: "domain", wants: DOMAIN, about: "What stands after the `@`." },
        KeyDoc { name: "local", wants: "string tests", about: "What stands before the `@`." },
        KeyDoc { name: "display_name", wants: "string tests", about: "The name beside the address, decoded." },
        KeyDoc {
            name: "name_has_address",
            wants: "true or false",
            about: "Whether the display name holds an address, another one than the mailbox's own.",
        },
        KeyDoc {
            name: "same_domain_as",
            wants: "`sender`, `user` or the name of a field",
            about: "Whether its domain is that of the envelope sender, of the name the client logged in with, or of a mailbox in that field.",
        },
        EVERY,
    ],
    example: "address: {header: From, name_has_address: true}",
    before: "From: \"boss@example.org\" <x1@mailer.example>\r\n\r\n",
    after: "From: \"x1@mailer.example\" <x1@mailer.example>\r\n\r\n",
    load: address,
};

fn address(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    let mut settings = load.settings("`address`", node)?;
    let header = NameTest::take(&mut settings, "header", load);
    let which = Which::take(&mut settings, load);
    let test = Operand::take("`address`", &mut settings, keys, load);
    settings.finish(load.problems)?;
    let Some(header) = header? else {
        return Err(load.problems.error(&node.span, "`address` needs `header`", "which field's mailboxes are meant, such as From"));
    };
    Ok(Box::new(Address { header, test: test?, which: which? }))
}

fn keys(settings: &mut Settings<'_>, load: &mut Load<'_>) -> Result<Keys, Reported> {
    let domain = DomainTest::take(settings, "domain", load);
    let (local, display_name) = (string(settings, "local", load), string(settings, "display_name", load));
    let name_has_address = settings.take::<bool>("name_has_address", load.problems);
    let same_domain_as = settings.node("same_domain_as").map(|node| field_name(node, load)).transpose();
    Ok(Keys {
        domain: domain?,
        local: local?,
        display_name: display_name?,
        name_has_address: name_has_address?,
        same_domain_as: same_domain_as?,
    })
}

/// `sender`, `user`, or a field: with a capital, as fields are written, so that a word that will mean something else one day is not taken for one.
fn field_name(node: &Node, load: &mut Load<'_>) -> Result<String, Reported> {
    let name = String::from_node(node, load.problems)?;
    if name == "sender" || name == "user" || name.starts_with(|letter: char| letter.is_ascii_uppercase()) {
        return Ok(name);
    }
    Err(load.problems.error(
        &node.span,
        format!("`{name}` has no domain to compare with"),
        "`sender`, `user` or the name of a field such as Reply-To is wanted",
    ))
}

impl Condition for Address {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        let mailboxes = mailboxes(facts, |name| self.header.holds(name));
        self.which.pass(&mailboxes, false, |mailbox| {
            facts.saw(&mailbox.told());
            self.test.holds(&mut |keys| Ok(keys.hold(mailbox, facts)))
        })
    }
}

impl Keys {
    fn hold(&self, mailbox: &Mailbox, facts: &dyn Facts) -> bool {
        self.domain.as_ref().is_none_or(|test| test.holds(mailbox.domain(), facts))
            && passes(self.local.as_ref(), mailbox.local(), facts)
            && passes(self.display_name.as_ref(), mailbox.name.as_deref(), facts)
            && self.name_has_address.is_none_or(|wanted| mailbox.name_has_address() == wanted)
            && self.same_domain_as.as_ref().is_none_or(|other| same_domain(mailbox, other, facts))
    }
}

impl Mailbox {
    fn domain(&self) -> Option<&str> {
        self.address.rsplit_once('@').map(|(_, domain)| domain)
    }

    fn local(&self) -> Option<&str> {
        self.address.rsplit_once('@').map(|(local, _)| local)
    }

    fn told(&self) -> String {
        match &self.name {
            Some(name) => format!("{name} <{}>", self.address),
            None => self.address.clone(),
        }
    }

    /// Whether the name shows an address that is not this mailbox's.
    fn name_has_address(&self) -> bool {
        let Some(name) = &self.name else { return false };
        let apart = |letter: char| letter.is_whitespace() || "<>()[]\"',;:".contains(letter);
        // A full-width at sign reads as one.
        name.replace('\u{ff20}', "@").split(apart).any(|token| {
            let token = token.trim_matches('.');
            let shown = token.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'));
            shown && !token.eq_ignore_ascii_case(&self.address)
        })
    }
}

fn same_domain(mailbox: &Mailbox, other: &str, facts: &dyn Facts) -> bool {
    let Some(domain) = mailbox.domain().map(bare) else { return false };
    if other == "sender" {
        return facts.sender().domain().is_some_and(|sender| bare(sender) == domain);
    }
    // A name without a domain is of none.
    if other == "user" {
        return facts.user().and_then(|user| user.rsplit_once('@')).is_some_and(|(_, of_user)| bare(of_user) == domain);
    }
    mailboxes(facts, |name| name.eq_ignore_ascii_case(other.as_bytes()))
        .iter()
        .any(|one| one.domain().is_some_and(|other| bare(other) == domain))
}

fn mailboxes(facts: &dyn Facts, wanted: impl Fn(&[u8]) -> bool) -> Vec<Mailbox> {
    facts.fields().iter().filter(|field| wanted(field.name())).flat_map(|field| read(field.raw_value())).collect()
}

/// The mailboxes in a field's value, in order.
fn read(value: &[u8]) -> Vec<Mailbox> {
    let mut line = value.to_vec();
    // The parser stops at a line end that no blank follows.
    line.extend_from_slice(b"\r\n");
    match MessageStream::new(&line).parse_address() {
        HeaderValue::Address(address) => address.iter().filter_map(mailbox).collect(),
        _ => Vec::new(),
    }
}

fn mailbox(address: &Addr<'_>) -> Option<Mailbox> {
    let name = address.name.as_deref().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
    let address = address.address.as_deref().unwrap_or("").trim().to_owned();
    (name.is_some() || !address.is_empty()).then_some(Mailbox { name, address })
}

#[cfg(test)]
mod tests {
    use super::super::testing::holds;
    use super::*;

    #[test]
    fn every_asks_it_of_all_mailboxes_and_of_one_at_least() {
        let every = "address: {header: [To, Cc], domain: inside.example, every: true}";
        assert!(holds(every, "To: a@inside.example, b@inside.example\r\nCc: c@inside.example\r\n\r\n"));
        assert!(!holds(every, "To: a@inside.example\r\nCc: c@inside.example, d@outside.example\r\n\r\n"));
        assert!(!holds(every, "Subject: hi\r\n\r\n"));
    }

    #[test]
    fn a_user_has_the_domain_behind_its_at_sign() {
        let own = "address: {header: From, same_domain_as: user}";
        assert!(holds(own, "(user anna@Inside.example)\r\nFrom: x@inside.example\r\n\r\n"));
        for other in [
            "(user anna@inside.example)\r\nFrom: x@other.example\r\n\r\n",
            "(user anna)\r\nFrom: x@anna\r\n\r\n",
            "From: x@y.example\r\n\r\n",
        ] {
            assert!(!holds(own, other), "{other}");
        }
    }

    fn read_all(value: &str) -> Vec<String> {
        read(value.as_bytes()).iter().map(Mailbox::told).collect()
    }

    #[test]
    fn lists_groups_comments_and_encoded_names_are_read() {
        assert_eq!(read_all(" a@b.example, \"Doe, Jane\" <jane@c.example>"), ["a@b.example", "Doe, Jane <jane@c.example>"]);
        assert_eq!(read_all(" team: x@y.example, z@y.example;"), ["x@y.example", "z@y.example"]);
        assert_eq!(read_all(" =?utf-8?q?J=C3=B6rg?=\r\n <j@d.example>"), ["Jörg <j@d.example>"]);
    }

    #[test]
    fn a_name_has_an_address_only_if_it_is_another_one() {
        let has = |value: &str| read(value.as_bytes())[0].name_has_address();
        assert!(has(" \"boss@example.org\" <x@y.example>"));
        assert!(has(" \"Boss (boss@example.org)\" <x@y.example>"));
        assert!(!has(" \"X@Y.example\" <x@y.example>"));
        assert!(!has(" \"me @ home\" <x@y.example>"));
        assert!(!has(" x@y.example"));
    }
}
