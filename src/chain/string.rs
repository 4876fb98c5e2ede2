//! String tests, the same in every operand: `equals contains starts_with ends_with matches glob in pattern from_address exists empty`, with `case` and `unicode`; `all any not` inside.

mod read;
mod received;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use super::entry::{KeyDoc, Load};
use super::facts::{Facts, Groups};
use super::list::List;
use super::named::NamedPattern;
use super::network::Networks;
use super::pattern::{Flags, Pattern};
use crate::yaml::{FromNode, Kind, Node, Problems, Reported, Settings};

/// The keys of a string test, as one line of the manual.
pub const VALUE_TESTS: KeyDoc = KeyDoc {
    name: "equals, contains, starts_with, ends_with, matches, glob, in, pattern, from_address, exists, empty",
    wants: "a text, or a list: one of them (`in`: the name of a list, or texts in brackets; `pattern`: the name of a pattern; `from_address`: networks; `exists`, `empty`: true or false)",
    about: "Tests of the value; several are all of them, on the same value. `from_address` is for Received: the address of the client it names. Case is ignored unless `case: exact`; `unicode: true` lets \\w \\d \\s \\b in `matches` know all scripts; `all`, `any`, `not` combine tests.",
};

/// Which form of a value a test sees or an edit touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    Decoded,
    Text,
    Raw,
}

/// The manual's line on [`View`].
pub const VIEW: KeyDoc = KeyDoc {
    name: "view",
    wants: "decoded, text or raw",
    about: "Which form is meant: `decoded` (transfer encoding and charset undone), `text` (what a reader sees: HTML without its tags) or `raw` (as it is sent).",
};

impl FromNode for View {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<View, Reported> {
        word(node, &[("decoded", View::Decoded), ("text", View::Text), ("raw", View::Raw)], problems)
    }
}

/// The value that a word stands for; what it may be is told.
///
/// # Errors
/// [`Reported`] if it is none of them.
pub fn word<T: Copy>(node: &Node, words: &[(&'static str, T)], problems: &mut Problems) -> Result<T, Reported> {
    let found = match &node.kind {
        Kind::Scalar { text, .. } => text.as_str(),
        _ => "",
    };
    if let Some((_, value)) = words.iter().find(|(name, _)| *name == found) {
        return Ok(*value);
    }
    let list = words.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let label = match crate::yaml::nearest(found, words.iter().map(|(name, _)| *name)) {
        Some(near) => format!("did you mean `{near}`? one of {list} is wanted"),
        None => format!("one of {list} is wanted"),
    };
    Err(problems.error(&node.span, if found.is_empty() { "a word is wanted".to_owned() } else { format!("unknown word `{found}`") }, label))
}

/// A test of one text.
#[derive(Clone, Debug)]
pub struct StringTest {
    tests: Vec<Test>,
    all: Vec<StringTest>,
    any: Vec<StringTest>,
    not: Option<Box<StringTest>>,
}

/// A test of a value whose keys stand beside other keys (such as `name`) in one mapping.
pub type ValueTest = StringTest;

/// A test of a field's name: a text, a list of them, or a string test.
#[derive(Clone, Debug)]
pub struct NameTest {
    test: StringTest,
    /// What it asks for if that is a few names, or what they begin with.
    names: Option<Vec<String>>,
    beginnings: bool,
}

/// More names than this are found faster by their hash.
const FEW: usize = 8;

#[derive(Clone, Debug)]
enum Test {
    /// Folded unless exact.
    Equals {
        texts: HashSet<String>,
        exact: bool,
    },
    /// A literal test or a glob, compiled to a pattern.
    Literal(Arc<Pattern>),
    /// What begins with one of these texts in ASCII, in lower case unless exact. The pattern says the same of letters beyond ASCII.
    Starts {
        texts: Vec<String>,
        exact: bool,
        pattern: Arc<Pattern>,
    },
    /// Any of these patterns.
    Matches(Vec<Arc<Pattern>>),
    /// In a named list.
    Listed {
        list: Arc<List>,
        exact: bool,
    },
    /// A named pattern matches.
    Named(Arc<NamedPattern>),
    /// The client that a Received names is in one of these networks.
    FromAddress(Networks),
    Exists(bool),
    Empty(bool),
}

impl StringTest {
    /// A text (equals), a list (one of) or a mapping of tests.
    ///
    /// # Errors
    /// [`Reported`], every mistake in it.
    pub fn load(node: &Node, load: &mut Load<'_>) -> Result<StringTest, Reported> {
        read::read(node, Flags::default(), load)
    }

    /// The tests whose keys stand in `settings`, beside others. None if there is no such key.
    ///
    /// # Errors
    /// [`Reported`], every mistake in them.
    pub fn take(settings: &mut Settings<'_>, load: &mut Load<'_>) -> Result<Option<ValueTest>, Reported> {
        let test = read::take(settings, Flags::default(), load)?;
        Ok((!test.is_nothing()).then_some(test))
    }

    /// As [`StringTest::take`], for values that were folded as [`super::skeleton`] says.
    ///
    /// # Errors
    /// [`Reported`], every mistake in them.
    pub fn take_skeleton(settings: &mut Settings<'_>, load: &mut Load<'_>) -> Result<Option<ValueTest>, Reported> {
        let test = read::take(settings, Flags { look_alikes: true, ..Flags::default() }, load)?;
        Ok((!test.is_nothing()).then_some(test))
    }

    /// Whether the value passes. A value that is not there passes nothing but `exists: false`.
    #[must_use]
    pub fn holds(&self, value: Option<&str>) -> bool {
        self.answer(value, &mut None).unwrap_or(false)
    }

    /// As [`StringTest::holds`]; what named groups match is kept for the texts of the rule.
    pub fn holds_in(&self, value: Option<&str>, facts: &dyn Facts) -> bool {
        if !self.captures() {
            return self.holds(value);
        }
        let mut groups = Some(Groups::new());
        let holds = self.answer(value, &mut groups).unwrap_or(false);
        if let Some(groups) = groups.filter(|groups| holds && !groups.is_empty()) {
            facts.capture(groups);
        }
        holds
    }

    /// Whether one of several values of one element passes; none at all is a value that is not there.
    pub fn some_in<'v>(&self, values: impl IntoIterator<Item = &'v str>, facts: &dyn Facts) -> bool {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return self.holds_in(None, facts);
        }
        values.any(|value| self.holds_in(Some(value), facts))
    }

    /// None: the value is not there, and the test does not ask whether it is.
    pub(super) fn answer(&self, value: Option<&str>, groups: &mut Option<Groups>) -> Option<bool> {
        if let [only] = self.tests.as_slice()
            && self.is_single()
        {
            return only.answer(value, groups);
        }
        let own = every(self.tests.iter().map(|test| test.answer(value, groups)));
        let all = every(self.all.iter().map(|test| test.answer(value, groups)));
        let any = if self.any.is_empty() { Some(true) } else { some(self.any.iter().map(|test| test.answer(value, groups))) };
        let not = self.not.as_ref().map_or(Some(true), |test| test.answer(value, &mut None).map(|holds| !holds));
        every([own, all, any, not].into_iter())
    }

    fn is_nothing(&self) -> bool {
        self.tests.is_empty() && self.all.is_empty() && self.any.is_empty() && self.not.is_none()
    }

    /// Whether it has patterns with named groups, whose texts a rule may use.
    fn captures(&self) -> bool {
        let named = |test: &Test| matches!(test, Test::Matches(patterns) if patterns.iter().any(|pattern| !pattern.names().is_empty()));
        self.tests.iter().any(named) || self.all.iter().chain(&self.any).any(StringTest::captures)
    }

    /// Whether it is one test and no more.
    fn is_single(&self) -> bool {
        self.tests.len() == 1 && self.all.is_empty() && self.any.is_empty() && self.not.is_none()
    }

    fn nothing() -> StringTest {
        StringTest { tests: Vec::new(), all: Vec::new(), any: Vec::new(), not: None }
    }

    fn only(test: Test) -> StringTest {
        StringTest { tests: vec![test], ..StringTest::nothing() }
    }
}

/// All of three-valued answers: false wins, then unknown.
fn every(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut result = Some(true);
    for answer in answers {
        match answer {
            Some(false) => return Some(false),
            None => result = None,
            Some(true) => {}
        }
    }
    result
}

/// Some of three-valued answers: true wins, then unknown.
fn some(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    every(answers.map(|answer| answer.map(|holds| !holds))).map(|none| !none)
}

impl NameTest {
    /// Reads a name: a text, a list or a string test.
    ///
    /// # Errors
    /// [`Reported`], every mistake in it.
    pub fn load(node: &Node, load: &mut Load<'_>) -> Result<NameTest, Reported> {
        // Names are found again and again; what they capture is nothing a text can use.
        let known = load.groups.clone();
        let test = StringTest::load(node, load);
        load.groups = known;
        test.map(NameTest::new)
    }

    fn new(test: StringTest) -> NameTest {
        let (names, beginnings): (Vec<String>, bool) = match test.tests.as_slice() {
            [Test::Equals { texts, exact: false }] => (texts.iter().cloned().collect(), false),
            [Test::Starts { texts, exact: false, .. }] => (texts.clone(), true),
            _ => (Vec::new(), false),
        };
        let known = test.is_single() && (1..=FEW).contains(&names.len()) && names.iter().all(|name| name.is_ascii() && !name.is_empty());
        NameTest { test, names: known.then_some(names), beginnings }
    }

    /// The test under `key`, if it is there.
    ///
    /// # Errors
    /// [`Reported`], every mistake in it.
    pub fn take(settings: &mut Settings<'_>, key: &'static str, load: &mut Load<'_>) -> Result<Option<NameTest>, Reported> {
        settings.node(key).map(|node| NameTest::load(node, load)).transpose()
    }

    /// Exactly this name.
    #[must_use]
    pub fn of(name: &str) -> NameTest {
        NameTest::new(StringTest::only(Test::Equals { texts: HashSet::from([fold(name).into_owned()]), exact: false }))
    }

    /// Whether a field of that name is meant. A line without a name never is.
    #[must_use]
    pub fn holds(&self, name: &[u8]) -> bool {
        let Some(first) = name.first() else { return false };
        if let Some(names) = &self.names {
            // Most differ in the first letter.
            let alike = |known: &&String| known.as_bytes()[0] == first.to_ascii_lowercase();
            let start = |known: &String| name.get(..if self.beginnings { known.len() } else { name.len() });
            if names.iter().filter(alike).any(|known| start(known).is_some_and(|start| start.eq_ignore_ascii_case(known.as_bytes()))) {
                return true;
            }
            // Letters beyond ASCII may be the other case of one in it.
            if name.is_ascii() {
                return false;
            }
        }
        match std::str::from_utf8(name) {
            Ok(name) => self.test.holds(Some(name)),
            Err(_) => self.test.holds(Some(&String::from_utf8_lossy(name))),
        }
    }
}

impl Test {
    fn answer(&self, value: Option<&str>, groups: &mut Option<Groups>) -> Option<bool> {
        let Some(value) = value else {
            return match self {
                Test::Exists(wanted) => Some(!wanted),
                _ => None,
            };
        };
        Some(match self {
            Test::Equals { texts, exact: true } => texts.contains(value),
            Test::Equals { texts, exact: false } => texts.contains(fold(value).as_ref()),
            Test::Literal(pattern) => pattern.is_match(value),
            Test::Starts { texts, exact, pattern } => starts(value.as_bytes(), texts, *exact).unwrap_or_else(|| pattern.is_match(value)),
            Test::Matches(patterns) => patterns.iter().any(|pattern| matches(pattern, value, groups)),
            Test::Listed { list, exact } => list.has(value, *exact),
            Test::Named(pattern) => pattern.is_in(value),
            Test::FromAddress(networks) => received::client(value).is_some_and(|address| networks.hold(address)),
            Test::Exists(wanted) => *wanted,
            Test::Empty(wanted) => value.trim().is_empty() == *wanted,
        })
    }
}

/// Whether a value begins with one of these texts; none where letters beyond ASCII, which may be the other case of one in it, leave that open.
fn starts(value: &[u8], texts: &[String], exact: bool) -> Option<bool> {
    let begins = |text: &String| {
        value
            .get(..text.len())
            .is_some_and(|start| if exact { start == text.as_bytes() } else { start.eq_ignore_ascii_case(text.as_bytes()) })
    };
    let longest = texts.iter().map(String::len).max().unwrap_or(0);
    if texts.iter().any(begins) {
        return Some(true);
    }
    (exact || value[..longest.min(value.len())].is_ascii()).then_some(false)
}

fn matches(pattern: &Pattern, value: &str, groups: &mut Option<Groups>) -> bool {
    let Some(groups) = groups.as_mut().filter(|_| !pattern.names().is_empty()) else {
        return pattern.is_match(value);
    };
    let Some(found) = pattern.regex().captures(value) else { return false };
    for name in pattern.names() {
        let text = found.name(name).map_or("", |group| group.as_str());
        groups.insert(name.clone(), text.to_owned());
    }
    true
}

/// A text without its case, letter by letter, as the patterns compare.
#[must_use]
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) { Cow::Owned(text.to_ascii_lowercase()) } else { Cow::Borrowed(text) }
    } else {
        let lower = text.chars().flat_map(char::to_lowercase);
        // Letters whose lower case is themselves but that regex folds into another (Unicode CaseFolding, status C).
        Cow::Owned(
            lower
                .map(|letter| match letter {
                    'ς' => 'σ',
                    'ſ' => 's',
                    'µ' => 'μ',
                    other => other,
                })
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::NamedConditions;
    use super::super::list::Lists;
    use super::super::pattern::Patterns;
    use super::*;
    use crate::chain::Limits;
    use crate::mail::Inside;
    use crate::yaml::{Source, parse};

    fn lists() -> Lists {
        let mut problems = Problems::default();
        let text = "{partners: {kind: domain, values: [.partner.example]}, names: {kind: text, values: [Anna, Bo]}}";
        let node = parse(&Source::new("transom.yaml", text), &mut problems).unwrap();
        Lists::load(&node, std::path::Path::new(""), Limits::default(), &mut problems)
    }

    fn load(text: &str) -> Result<StringTest, String> {
        let mut problems = Problems::default();
        let node = parse(&Source::new("test.yaml", text), &mut problems).unwrap();
        let (inside, conditions, mut patterns) = (Inside::default(), NamedConditions::new(), Patterns::default());
        let (lists, routes) = (lists(), crate::chain::route::Routes::default());
        let mut load = Load {
            problems: &mut problems,
            limits: Limits::default(),
            inside: &inside,
            conditions: &conditions,
            lists: &lists,
            routes: &routes,
            patterns: &mut patterns,
            groups: std::collections::BTreeSet::default(),
            rule: Arc::from("r"),
            break_signatures: false,
            without_inside: false,
            uses: crate::chain::entry::Uses::default(),
        };
        let read = StringTest::load(&node, &mut load);
        read.map_err(|_| problems.iter().map(|problem| format!("{}: {}", problem.title, problem.label)).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn each_test_holds_for_what_it_says() {
        for (test, yes, no) in [
            ("abc", "ABC", "abcd"),
            ("[a, b]", "B", "c"),
            ("equals: Straße", "STRAßE", "strasse"),
            ("contains: [x1, y2]", "aY2b", "x2"),
            ("starts_with: '[EXT]'", "[ext] hi", "Re: [EXT]"),
            ("ends_with: .exe", "a.EXE", "a.exe.txt"),
            ("matches: '^b+$'", "a\nbb\nc", "abb"),
            ("glob: 'in?oice*.pdf'", "Invoice\n1.PDF", "my invoice.pdf"),
            ("in: [1.10, no, 386]", "1.10", "1.1"),
            ("in: partners", "a.PARTNER.example", "partner.example"),
            ("in: names", "ANNA", "Ann"),
            ("{in: names, case: exact}", "Anna", "anna"),
            ("pattern: card_number", "card 4111 1111 1111 1111", "card 4111 1111 1111 1112"),
            ("from_address: [10.0.0.0/8]", "from x (y [10.1.1.1]) by z", "from [10.1.1.1] (y [192.0.2.1]) by z"),
            ("exists: true", "", "-"),
            ("empty: true", " \t", "x"),
            ("empty: false", "x", ""),
            ("{contains: a, not: {contains: b}}", "ac", "abc"),
            ("any: [{equals: a}, {equals: b}]", "b", "c"),
            ("all: [{contains: a}, {contains: b}]", "xbay", "a"),
            ("{equals: A, case: exact}", "A", "a"),
            ("{case: exact, any: [{contains: A}]}", "xA", "xa"),
            ("{matches: '^\\w$', unicode: true}", "é", "-"),
        ] {
            let test = load(test).unwrap_or_else(|error| panic!("{test}: {error}"));
            assert!(test.holds(Some(yes)), "{test:?} should hold for {yes}");
            if no != "-" || !test.holds(Some("-")) {
                assert!(!test.holds(Some(no)), "{test:?} should not hold for {no}");
            }
        }
    }

    #[test]
    fn short_ways_of_comparing_say_what_the_long_ones_do() {
        let values =
            ["Subject", "subjec", "\u{17f}ubject", "SUBJECT", "subjekt", "sub\u{e9}ct", "", "kim", "\u{212a}im", "\u{212a}\u{17f}"];
        for text in ["subject", "Sub", "kim", "s", "ks", "\u{17f}ub", "\u{e9}"] {
            let name = NameTest::of(text);
            for value in values {
                let equal = Test::Equals { texts: HashSet::from([fold(text).into_owned()]), exact: false };
                let wanted = !value.is_empty() && equal.answer(Some(value), &mut None) == Some(true);
                assert_eq!(name.holds(value.as_bytes()), wanted, "{text} {value}");
                for case in ["ignore", "exact"] {
                    let starts = load(&format!("{{starts_with: '{text}', case: {case}}}")).unwrap();
                    let matches = load(&format!("{{matches: '\\A{text}', case: {case}}}")).unwrap();
                    assert_eq!(starts.holds(Some(value)), matches.holds(Some(value)), "{text} {value} {case}");
                }
            }
        }
    }

    #[test]
    fn a_value_that_is_not_there_passes_only_exists_false() {
        for test in ["a", "contains: a", "not: {contains: a}", "empty: true", "exists: true", "{exists: false, contains: a}"] {
            assert!(!load(test).unwrap().holds(None), "{test}");
        }
        for test in ["exists: false", "not: {exists: true}", "any: [{exists: false}, {equals: a}]"] {
            assert!(load(test).unwrap().holds(None), "{test}");
            assert!(!load(test).unwrap().holds(Some("x")), "{test}");
        }
    }

    #[test]
    fn empty_patterns_and_leftover_keys_are_refused() {
        for test in ["contains: ''", "starts_with: ''", "ends_with: [a, '']", "matches: ''", "glob: ''"] {
            assert!(load(test).unwrap_err().contains("empty"), "{test}");
        }
        assert!(load("containz: a").unwrap_err().contains("contains"));
        assert!(load("{}").unwrap_err().contains("no test"));
        assert!(load("matches: 'a('").unwrap_err().contains("pattern"));
        assert!(load("contains: {in: names}").unwrap_err().contains("a list of `kind: regex`"));
        assert!(load("{equals: a, case: upper}").unwrap_err().contains("exact"));
    }
}
