//! `header` and `subject`: fields of the header.

use std::borrow::Cow;

use super::Condition;
use super::operand::{EVERY, Which, some};
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::facts::Facts;
use crate::chain::run::ActionError;
use crate::chain::skeleton;
use crate::chain::string::{NameTest, StringTest, VALUE_TESTS, ValueTest, word};
use crate::message::{Field, Part};
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
    /// None: every field, lines without a name too (`view: line`).
    name: Option<NameTest>,
    /// None: there is such a field.
    value: Option<ValueTest>,
    view: View,
    scope: Scope,
    which: Which,
}

/// What a test sees of a field. It has no text apart from its value, so `text` is not among these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    Decoded,
    Raw,
    Line,
    Skeleton,
}

/// Whose fields are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Outer,
    Parts,
    Nested,
    All,
}

const VIEWS: [(&str, View); 4] = [("decoded", View::Decoded), ("raw", View::Raw), ("line", View::Line), ("skeleton", View::Skeleton)];
const SCOPES: [(&str, Scope); 4] = [("outer", Scope::Outer), ("parts", Scope::Parts), ("nested", Scope::Nested), ("all", Scope::All)];

const FIELD_VIEW: KeyDoc = KeyDoc {
    name: "view",
    wants: "decoded, raw, line or skeleton",
    about: "`decoded` (the default): unfolded, trimmed, encoded words decoded. `raw`: unfolded and trimmed only. `line`: name, colon and value, unfolded, encoded, \
        as header_checks sees it. `skeleton`: decoded, with compatibility forms made plain, invisible characters removed and look-alikes folded.",
};

pub const HEADER: Entry<dyn Condition> = Entry {
    name: "header",
    about: "Holds if there is a field of that name whose value passes; without a test of the value, if there is one.",
    keys: &[
        KeyDoc {
            name: "name",
            wants: "a name, a list of names or string tests",
            about: "Which fields; case never matters. With `view: line` it may be absent: every field.",
        },
        VALUE_TESTS,
        FIELD_VIEW,
        KeyDoc {
            name: "scope",
            wants: "outer, parts, nested or all",
            about: "Whose fields: the message's own (`outer`, the default), those of its parts, all those inside attached messages, or all of these.",
        },
        EVERY,
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
    let scope = settings.node("scope").map(|node| word(node, &SCOPES, load.problems)).transpose();
    let which = Which::take(&mut settings, load);
    let (value, view) = value(settings, load)?;
    let name = name?;
    if name.is_none() && view != View::Line {
        return Err(load.problems.error(&node.span, "`header` needs `name`", "which field is to be tested"));
    }
    Ok(Header::Field(Named { name, value, view, scope: scope?.unwrap_or(Scope::Outer), which: which? }))
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
    let (value, view) = if let Kind::Map(_) = node.kind {
        let settings = load.settings("`subject`", node)?;
        value(settings, load)?
    } else {
        (Some(StringTest::load(node, load)?), View::Decoded)
    };
    Ok(Box::new(Named { name: Some(NameTest::of("Subject")), value, view, scope: Scope::Outer, which: Which::Some }))
}

fn value(mut settings: Settings<'_>, load: &mut Load<'_>) -> Result<(Option<ValueTest>, View), Reported> {
    let view = settings.node("view").map(|node| word(node, &VIEWS, load.problems)).transpose();
    let value = match view {
        Ok(Some(View::Skeleton)) => StringTest::take_skeleton(&mut settings, load),
        _ => StringTest::take(&mut settings, load),
    };
    settings.finish(load.problems)?;
    Ok((value?, view?.unwrap_or(View::Decoded)))
}

impl Scope {
    fn has(self, part: &Part) -> bool {
        match self {
            Scope::Outer => false,
            Scope::Parts => !part.nested,
            Scope::Nested => part.nested,
            Scope::All => true,
        }
    }

    /// The fields that are meant, and whether a limit kept some of them closed.
    fn fields(self, facts: &dyn Facts) -> Result<(Cow<'_, [Field]>, bool), ActionError> {
        if self == Scope::Outer {
            return Ok((Cow::Borrowed(facts.fields()), false));
        }
        let mut fields = if self == Scope::All { facts.fields().to_vec() } else { Vec::new() };
        let closed = facts.parts().iter().any(|part| part.opaque);
        for part in facts.parts().iter().filter(|part| part.depth > 0 && self.has(part)) {
            fields.extend(facts.header(part.id)?);
        }
        Ok((Cow::Owned(fields), closed))
    }
}

impl View {
    fn of(self, field: &Field) -> Cow<'_, str> {
        match self {
            View::Decoded => field.value(),
            View::Raw => field.source(),
            View::Line => field.line(),
            View::Skeleton => Cow::Owned(skeleton::fold(&field.value())),
        }
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
        let (fields, closed) = self.scope.fields(facts)?;
        let meant = |field: &&Field| self.name.as_ref().is_none_or(|name| name.holds(field.name()));
        let mut fields = fields.iter().filter(meant).peekable();
        if let (None, false, Some(test)) = (fields.peek(), closed, &self.value) {
            return Ok(self.which == Which::Some && test.holds_in(None, facts));
        }
        self.which.pass(fields, closed, |field| {
            let value = self.view.of(field);
            facts.saw(&value);
            Ok(self.value.as_ref().is_none_or(|test| test.holds_in(Some(&value), facts)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{asked, holds, refused};

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

    #[test]
    fn a_line_is_the_field_as_it_is_sent_on_one_line() {
        assert!(holds("header: {name: Received, view: line, equals: 'Received: from b'}", MAIL));
        assert!(holds("header: {view: line, matches: '^subject:[ ]=\\?utf-8'}", MAIL));
        assert!(holds("header: {view: line, contains: no colon}", "A: b\r\nno colon\r\n\r\n"));
        assert!(!holds("header: {view: line, matches: '^received: .*subject:'}", MAIL));
        assert!(refused("header: {view: raw, contains: x}").contains("needs `name`"));
    }

    #[test]
    fn a_skeleton_meets_what_the_eye_takes_for_it() {
        let mail = "Subject: P\u{430}yP\u{430}1 invo\u{200b}ice\r\n\r\n";
        assert!(holds("subject: {contains: paypal, view: skeleton}", mail));
        assert!(holds("subject: {equals: PayPal invoice, view: skeleton}", mail));
        assert!(holds("subject: {glob: 'paypa* inv*e', view: skeleton}", mail));
        assert!(holds("header: {name: Subject, matches: '^PayPa1 ', case: exact, view: skeleton}", mail));
        assert!(!holds("subject: {contains: paypal}", mail));
        assert!(!holds("subject: {any: [{contains: paypax}, {starts_with: ayp}], view: skeleton}", mail));
    }

    const TREE: &str = "X-A: outer\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX-A: part\r\n\r\nhi\r\n--b\r\nX-B: part\r\nContent-Type: \
        message/rfc822\r\n\r\nX-A: nested\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nX-A: inside\r\n\r\nhi\r\n--c--\r\n--b--\r\n";

    #[test]
    fn the_scope_says_whose_fields_are_meant() {
        for (scope, seen) in [
            ("outer", ["outer"].as_slice()),
            ("parts", &["part"]),
            ("nested", &["nested", "inside"]),
            ("all", &["outer", "part", "nested", "inside"]),
        ] {
            for value in ["outer", "part", "nested", "inside"] {
                let holds = holds(&format!("header: {{name: X-A, scope: {scope}, equals: {value}}}"), TREE);
                assert_eq!(holds, seen.contains(&value), "{scope}: {value}");
            }
        }
        assert!(holds("header: {name: X-B, scope: parts}", TREE));
        assert!(!holds("header: {name: X-B, scope: nested}", TREE));
        assert!(holds("header: {name: X-B, scope: nested, exists: false}", TREE));
    }

    #[test]
    fn every_asks_it_of_all_fields_and_of_one_at_least() {
        assert!(holds("header: {name: Received, starts_with: from, every: true}", MAIL));
        assert!(!holds("header: {name: Received, ends_with: a, every: true}", MAIL));
        assert!(!holds("header: {name: X-None, not: {contains: a}, every: true}", MAIL));
        assert!(!holds("header: {name: X-None, exists: false, every: true}", MAIL));
        assert!(holds("header: {name: X-A, scope: nested, contains: n, every: true}", TREE));
    }

    #[test]
    fn fields_in_what_was_left_unopened_are_not_known() {
        let deep = (0..60).fold(String::new(), |mail, _| mail + "X-A: b\r\nContent-Type: message/rfc822\r\n\r\n");
        assert!(holds("header: {name: X-A, scope: nested}", &deep));
        assert!(asked("header: {name: X-C, scope: nested}", &deep).is_err());
        assert!(asked("header: {name: X-C, scope: nested, exists: false}", &deep).is_err());
        assert!(!holds("header: {name: X-C}", &deep));
    }
}
