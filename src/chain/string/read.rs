//! String tests as YAML spells them. Every mistake is told at its place; patterns are compiled here, once.

use std::sync::Arc;

use super::{StringTest, Test, fold, word};
use crate::chain::entry::Load;
use crate::chain::network::Networks;
use crate::chain::pattern::{Flags, Pattern};
use crate::chain::skeleton;
use crate::yaml::{FromNode, Kind, Node, Reported, Settings};

pub(super) fn read(node: &Node, flags: Flags, load: &mut Load<'_>) -> Result<StringTest, Reported> {
    match &node.kind {
        Kind::Map(_) => {
            let mut settings = load.settings("a string test", node)?;
            let test = take(&mut settings, flags, load);
            settings.finish(load.problems)?;
            let test = test?;
            if test.is_nothing() {
                return Err(load.problems.error(&node.span, "no test", "one such as `contains: text` is wanted"));
            }
            Ok(test)
        }
        _ => equals(node, flags, load).map(StringTest::only),
    }
}

pub(super) fn take(settings: &mut Settings<'_>, outer: Flags, load: &mut Load<'_>) -> Result<StringTest, Reported> {
    let mut wrong = None;
    let mut note = |result: Result<(), Reported>| {
        if let Err(reported) = result {
            wrong = Some(reported);
        }
    };
    let mut flags = outer;
    if let Some(node) = settings.node("case") {
        note(word(node, &[("exact", true), ("ignore", false)], load.problems).map(|exact| flags.exact = exact));
    }
    note(settings.take::<bool>("unicode", load.problems).map(|unicode| flags.unicode = unicode.unwrap_or(outer.unicode)));
    let mut test = StringTest::nothing();
    for (key, kind) in TESTS {
        if let Some(node) = settings.node(key) {
            note(kind(node, flags, load).map(|one| test.tests.push(one)));
        }
    }
    for (key, into) in [("all", &mut test.all), ("any", &mut test.any)] {
        if let Some(node) = settings.node(key) {
            note(several(key, node, flags, load).map(|tests| *into = tests));
        }
    }
    if let Some(node) = settings.node("not") {
        // What a `not` matches is what is absent: its groups are nothing a text can use.
        let known = load.groups.clone();
        note(read(node, flags, load).map(|one| test.not = Some(Box::new(one))));
        load.groups = known;
    }
    wrong.map_or(Ok(test), Err)
}

fn several(key: &str, node: &Node, flags: Flags, load: &mut Load<'_>) -> Result<Vec<StringTest>, Reported> {
    let Kind::List(items) = &node.kind else {
        return Err(load.problems.error(&node.span, format!("`{key}` wants a list of tests"), "each item with a `-`, or in brackets"));
    };
    if items.is_empty() {
        return Err(load.problems.error(&node.span, format!("`{key}` is empty"), "at least one test is wanted"));
    }
    let tests: Vec<_> = items.iter().map(|item| read(item, flags, load)).collect();
    tests.into_iter().collect()
}

type Reader = fn(&Node, Flags, &mut Load<'_>) -> Result<Test, Reported>;

const TESTS: [(&str, Reader); 11] = [
    ("equals", equals),
    ("in", |node, flags, load| match &node.kind {
        Kind::List(_) => equals(node, flags, load),
        _ => load.lists.named(node, load.problems).map(|list| Test::Listed { list, exact: flags.exact }),
    }),
    ("pattern", |node, _, load| load.patterns.named.get(node, load.problems).map(Test::Named)),
    ("from_address", |node, _, load| Networks::load(node, load).map(Test::FromAddress)),
    ("contains", |node, flags, load| literal(node, flags, load, |text, plain| plain(text))),
    ("starts_with", |node, flags, load| {
        let test = literal(node, flags, load, |text, plain| format!(r"\A{}", plain(text)))?;
        let texts = texts(node, load)?.into_iter().map(|(text, _)| if flags.exact { text } else { text.to_ascii_lowercase() });
        let texts: Vec<String> = texts.collect();
        Ok(match test {
            Test::Literal(pattern) if !flags.look_alikes && texts.iter().all(|text| text.is_ascii()) => {
                Test::Starts { texts, exact: flags.exact, pattern }
            }
            other => other,
        })
    }),
    ("ends_with", |node, flags, load| literal(node, flags, load, |text, plain| format!(r"{}\z", plain(text)))),
    ("glob", |node, flags, load| literal(node, flags, load, glob)),
    ("matches", |node, flags, load| {
        let texts = texts(node, load)?;
        let patterns: Vec<_> = texts.iter().map(|(text, node)| pattern(text, node, flags, load)).collect();
        let patterns = patterns.into_iter().collect::<Result<Vec<_>, _>>()?;
        load.groups.extend(patterns.iter().flat_map(|pattern| pattern.names().iter().cloned()));
        Ok(Test::Matches(patterns))
    }),
    ("exists", |node, _, load| bool::from_node(node, load.problems).map(Test::Exists)),
    ("empty", |node, _, load| bool::from_node(node, load.problems).map(Test::Empty)),
];

fn equals(node: &Node, flags: Flags, load: &mut Load<'_>) -> Result<Test, Reported> {
    let texts = texts(node, load)?;
    if flags.look_alikes {
        let sources: Vec<_> = texts.iter().map(|(text, _)| format!(r"\A{}\z", skeleton::literal(text))).collect();
        return pattern(&sources.join("|"), node, Flags { unicode: true, ..flags }, load).map(Test::Literal);
    }
    let texts = texts.into_iter().map(|(text, _)| if flags.exact { text } else { fold(&text).into_owned() }).collect();
    Ok(Test::Equals { texts, exact: flags.exact })
}

/// Makes a pattern for a text, of a pattern for each run of it.
type Form = fn(&str, fn(&str) -> String) -> String;

/// Literal texts as one pattern: the library searches for all of them at once.
fn literal(node: &Node, flags: Flags, load: &mut Load<'_>, form: Form) -> Result<Test, Reported> {
    let plain = if flags.look_alikes { skeleton::literal } else { regex::escape };
    let mut sources = Vec::new();
    for (text, node) in texts(node, load)? {
        if text.is_empty() {
            return Err(load.problems.error(
                &node.span,
                "an empty text is in every value",
                "write `empty: true` or `exists: true` if that is meant",
            ));
        }
        sources.push(form(&text, plain));
    }
    // Nothing in it for `unicode` to change: one automaton for both.
    pattern(&sources.join("|"), node, Flags { unicode: true, ..flags }, load).map(Test::Literal)
}

fn glob(text: &str, plain: fn(&str) -> String) -> String {
    let mut source = String::from(r"\A");
    for run in text.split_inclusive(['*', '?']) {
        let literal = run.trim_end_matches(['*', '?']);
        source.push_str(&plain(literal));
        source.push_str(match &run[literal.len()..] {
            "*" => "(?s:.*)",
            "?" => "(?s:.)",
            _ => "",
        });
    }
    source.push_str(r"\z");
    source
}

fn pattern(text: &str, node: &Node, flags: Flags, load: &mut Load<'_>) -> Result<Arc<Pattern>, Reported> {
    load.patterns
        .compile(text, flags, load.limits.pattern_size)
        .map_err(|why| load.problems.error(&node.span, "this pattern cannot be used", why))
}

/// One text or a list of them, each with its place.
fn texts<'n>(node: &'n Node, load: &mut Load<'_>) -> Result<Vec<(String, &'n Node)>, Reported> {
    let items = match &node.kind {
        Kind::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    if items.is_empty() {
        return Err(load.problems.error(&node.span, "an empty list", "at least one text is wanted"));
    }
    if let Some(name) = node.get("in").and_then(Node::scalar) {
        let label = format!("`in: {name}` stands without it and asks for the whole value, in a list of `kind: regex` for what is in it");
        return Err(load.problems.error(&node.span, "a text is wanted here, found a list by its name", label));
    }
    let texts: Vec<_> = items.into_iter().map(|item| String::from_node(item, load.problems).map(|text| (text, item))).collect();
    texts.into_iter().collect()
}

impl Load<'_> {
    /// The pattern under `matches` of an action, compiled with the `case` and `unicode` that stand beside it.
    ///
    /// # Errors
    /// [`Reported`]: not there, or no pattern.
    pub fn matches(&mut self, settings: &mut Settings<'_>) -> Result<Option<Arc<Pattern>>, Reported> {
        let exact = settings.node("case").map(|node| word(node, &[("exact", true), ("ignore", false)], self.problems)).transpose();
        let unicode = settings.take::<bool>("unicode", self.problems);
        let Some(node) = settings.node("matches") else { return Ok(None) };
        let text = String::from_node(node, self.problems)?;
        let flags = Flags { exact: exact?.unwrap_or(false), unicode: unicode?.unwrap_or(false), ..Flags::default() };
        pattern(&text, node, flags, self).map(Some)
    }
}
