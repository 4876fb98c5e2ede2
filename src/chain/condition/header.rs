//! `header` and `subject`: fields of the header.

use super::Condition;
use super::operand::{EVERY, every, over};
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::facts::Facts;
use crate::chain::run::ActionError;
use crate::chain::string::{NameTest, StringTest, VALUE_TESTS, ValueTest, word};
use crate::message::Field;
use crate::yaml::{Kind, Node, Reported, Settings};

/// Fields of a name whose value passes.
#[derive(Debug)]
struct Header {
    name: NameTest,
    /// None: there is such a field.
    value: Option<ValueTest>,
    raw: bool,
    every: bool,
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
        EVERY,
    ],
    example: "header: {name: X-Mailer, contains: [bulk, blast]}",
    before: "X-Mailer: Super Blaster 3\r\nSubject: hi\r\n\r\n",
    after: "Subject: Blaster\r\n\r\n",
    load: header,
};

pub const SUBJECT: Entry<dyn Condition> = Entry {
    name: "subject",
    about: "Tests the Subject as a reader sees it; short for `header: {name: Subject, …}`.",
    keys: &[VALUE_TESTS, FIELD_VIEW, EVERY],
    example: "subject: {starts_with: '[EXT]'}",
    before: "Subject: =?utf-8?q?=5BEXT=5D_caf=C3=A9?=\r\n\r\n",
    after: "Subject: Re: [EXT] caf\r\n\r\n",
    load: subject,
};

fn header(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    let mut settings = load.settings("`header`", node)?;
    let name = NameTest::take(&mut settings, "name", load);
    let (value, raw, every) = value(settings, load)?;
    let Some(name) = name? else {
        return Err(load.problems.error(&node.span, "`header` needs `name`", "which field is to be tested"));
    };
    Ok(Box::new(Header { name, value, raw, every }))
}

fn subject(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    let (value, raw, every) = if let Kind::Map(_) = node.kind {
        let settings = load.settings("`subject`", node)?;
        value(settings, load)?
    } else {
        (Some(StringTest::load(node, load)?), false, false)
    };
    Ok(Box::new(Header { name: NameTest::of("Subject"), value, raw, every }))
}

fn value(mut settings: Settings<'_>, load: &mut Load<'_>) -> Result<(Option<ValueTest>, bool, bool), Reported> {
    let value = StringTest::take(&mut settings, load);
    let raw = settings.node("view").map(|node| word(node, &[("decoded", false), ("raw", true)], load.problems)).transpose();
    let every = every(&mut settings, load);
    settings.finish(load.problems)?;
    Ok((value?, raw?.unwrap_or(false), every?))
}

impl Header {
    fn fields<'f>(&self, facts: &'f dyn Facts) -> Vec<&'f Field> {
        facts.fields().iter().filter(|field| self.name.holds(field.name())).collect()
    }
}

impl Condition for Header {
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
        over(fields, self.every, |field| {
            let value = if self.raw { field.source() } else { field.value() };
            facts.saw(&value);
            Ok(test.holds_in(Some(&value), facts))
        })
    }
}
