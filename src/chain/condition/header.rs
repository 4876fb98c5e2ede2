//! `header` and `subject`: fields of the header.

use super::Condition;
use super::operand::some;
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::facts::Facts;
use crate::chain::run::ActionError;
use crate::chain::string::{NameTest, StringTest, VALUE_TESTS, ValueTest, word};
use crate::message::Field;
use crate::yaml::{Kind, Node, Reported, Settings};

/// A test of fields, or several of them combined.
#[derive(Debug)]
enum Header {
    Field(Named),
    Combined(Combined),
}

/// Without `name`: `all any not` stand for tests of fields that have one each.
#[derive(Debug)]
struct Combined {
    all: Vec<Header>,
    any: Vec<Header>,
    not: Option<Box<Header>>,
}

/// Fields of a name whose value passes.
#[derive(Debug)]
struct Named {
    name: NameTest,
    /// None: there is such a field.
    value: Option<ValueTest>,
    raw: bool,
}

/// A field has no text apart from its value, so `text` is not among its views.
const FIELD_VIEW: KeyDoc = KeyDoc {
    name: "view",
    wants: "decoded or raw",
    about: "`decoded` (the default): unfolded, trimmed, encoded words decoded. `raw`: unfolded and trimmed only.",
};

pub const HEADER: Entry<dyn Condition> = Entry {
    name: "header",
    about: "Holds if there is a field of that name whose value passes; without a test of the value, if there is one.",
    keys: &[
        KeyDoc { name: "name", wants: "a name, a list of names or string tests", about: "Which fields; case never matters." },
        VALUE_TESTS,
        FIELD_VIEW,
    ],
    example: "header: {name: X-Mailer, contains: [bulk, blast]}",
    before: "X-Mailer: Super Blaster 3\r\nSubject: hi\r\n\r\n",
    after: "Subject: Blaster\r\n\r\n",
    load: |node, load| Ok(Box::new(header(node, load)?)),
};

pub const SUBJECT: Entry<dyn Condition> = Entry {
    name: "subject",
    about: "Tests the Subject as a reader sees it; short for `header: {name: Subject, …}`.",
    keys: &[VALUE_TESTS, FIELD_VIEW],
    example: "subject: {starts_with: '[EXT]'}",
    before: "Subject: =?utf-8?q?=5BEXT=5D_caf=C3=A9?=\r\n\r\n",
    after: "Subject: Re: [EXT] caf\r\n\r\n",
    load: subject,
};

/// With `name`, `all any not` speak of the value of the same field.
fn header(node: &Node, load: &mut Load<'_>) -> Result<Header, Reported> {
    let mut settings = load.settings("`header`", node)?;
    let named = node.map().is_some_and(|entries| entries.iter().any(|(key, _)| key.text == "name"));
    let logic = node.map().is_some_and(|entries| entries.iter().any(|(key, _)| ["all", "any", "not"].contains(&key.text.as_str())));
    if !named && logic {
        let (all, any) = (list(&mut settings, "all", load), list(&mut settings, "any", load));
        let known = load.groups.clone();
        let not = settings.node("not").map(|node| header(node, load).map(Box::new)).transpose();
        load.groups = known;
        settings.finish(load.problems)?;
        return Ok(Header::Combined(Combined { all: all?, any: any?, not: not? }));
    }
    let name = NameTest::take(&mut settings, "name", load);
    let (value, raw) = value(settings, load)?;
    let Some(name) = name? else {
        return Err(load.problems.error(&node.span, "`header` needs `name`", "which field is to be tested"));
    };
    Ok(Header::Field(Named { name, value, raw }))
}

fn list(settings: &mut Settings<'_>, key: &'static str, load: &mut Load<'_>) -> Result<Vec<Header>, Reported> {
    let Some(node) = settings.node(key) else { return Ok(Vec::new()) };
    let Some(items) = node.list().filter(|items| !items.is_empty()) else {
        return Err(load.problems.error(
            &node.span,
            format!("`{key}` wants a list of tests"),
            "at least one, each with a `-`, or in brackets",
        ));
    };
    let read: Vec<_> = items.iter().map(|item| header(item, load)).collect();
    read.into_iter().collect()
}

fn subject(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    let (value, raw) = if let Kind::Map(_) = node.kind {
        let settings = load.settings("`subject`", node)?;
        value(settings, load)?
    } else {
        (Some(StringTest::load(node, load)?), false)
    };
    Ok(Box::new(Named { name: NameTest::of("Subject"), value, raw }))
}

fn value(mut settings: Settings<'_>, load: &mut Load<'_>) -> Result<(Option<ValueTest>, bool), Reported> {
    let value = StringTest::take(&mut settings, load);
    let raw = settings.node("view").map(|node| word(node, &[("decoded", false), ("raw", true)], load.problems)).transpose();
    settings.finish(load.problems)?;
    Ok((value?, raw?.unwrap_or(false)))
}

impl Named {
    fn fields<'f>(&self, facts: &'f dyn Facts) -> Vec<&'f Field> {
        facts.fields().iter().filter(|field| self.name.holds(field.name())).collect()
    }
}

impl Condition for Header {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        match self {
            Header::Field(test) => test.holds(facts),
            Header::Combined(tests) => tests.holds(facts),
        }
    }
}

impl Condition for Combined {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        for test in &self.all {
            if !test.holds(facts)? {
                return Ok(false);
            }
        }
        if !self.any.is_empty() && !some(&self.any, |test| test.holds(facts))? {
            return Ok(false);
        }
        match &self.not {
            Some(test) => Ok(!test.holds(facts)?),
            None => Ok(true),
        }
    }
}

impl Condition for Named {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        let fields = self.fields(facts);
        let Some(test) = &self.value else {
            for field in &fields {
                facts.saw(&field.value());
            }
            return Ok(!fields.is_empty());
        };
        if fields.is_empty() {
            return Ok(test.holds_in(None, facts));
        }
        some(fields, |field| {
            let value = if self.raw { field.source() } else { field.value() };
            facts.saw(&value);
            Ok(test.holds_in(Some(&value), facts))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{holds, refused};

    const MAIL: &str = "Received: from a\r\nReceived: from\r\n b\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\nX-Empty:\r\n\r\n";

    #[test]
    fn one_field_has_to_pass_all_tests() {
        assert!(holds("header: {name: Received, contains: from, ends_with: b}", MAIL));
        assert!(!holds("header: {name: Received, ends_with: [x, y]}", MAIL));
        assert!(holds("header: {name: received, equals: from b}", MAIL));
        assert!(holds("header: {name: Received, any: [{equals: from a}, {equals: none}]}", MAIL));
        assert!(!holds("header: {name: Received, contains: a, not: {contains: from}}", MAIL));
    }

    #[test]
    fn a_field_can_be_asked_for_without_a_value() {
        assert!(holds("header: {name: X-Empty}", MAIL));
        assert!(holds("header: {name: X-Empty, empty: true}", MAIL));
        assert!(!holds("header: {name: X-None}", MAIL));
        assert!(holds("header: {name: X-None, exists: false}", MAIL));
        assert!(!holds("header: {name: [X-None, Subject], exists: false}", MAIL));
        assert!(!holds("header: {name: X-None, not: {contains: x}}", MAIL));
    }

    #[test]
    fn without_a_name_tests_of_fields_are_combined() {
        assert!(holds("header: {all: [{name: Subject, equals: café}, {not: {name: X-None, exists: true}}]}", MAIL));
        assert!(holds("header: {any: [{name: X-None}, {name: X-Empty}]}", MAIL));
        assert!(!holds("header: {not: {name: Subject}}", MAIL));
        assert!(refused("header: {contains: x}").contains("needs `name`"));
        assert!(refused("header: {name: x, view: text}").contains("raw"));
    }

    #[test]
    fn raw_sees_the_encoded_words() {
        assert!(holds("subject: {starts_with: '=?utf-8', view: raw}", MAIL));
        assert!(holds("subject: CAFÉ", MAIL));
    }
}
