//! Named patterns: `pattern: card_number` and those under `patterns:` of transom.yaml, each with the check that its matches have to pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use super::pattern::{self, Flags, Pattern, Patterns};
use super::string::word;
use crate::yaml::manual::Key;
use crate::yaml::{FromNode, Node, Problems, Reported, Settings, Span, nearest};

/// How long a match that is checked can be: after one that fails, the next is looked for from its second letter on, and a search that may run on to the end of
/// the text each time would take its square.
const CHECKED: usize = 1000;

/// What a match has to pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Check {
    #[default]
    None,
    /// ISO/IEC 7812-1 annex B, over the digits of the match.
    Luhn,
    /// ISO 7064 MOD 97-10, over the letters and digits of an IBAN.
    Iban,
}

impl FromNode for Check {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Check, Reported> {
        word(node, &[("none", Check::None), ("luhn", Check::Luhn)], problems)
    }
}

impl Check {
    fn passes(self, text: &str) -> bool {
        match self {
            Check::None => true,
            Check::Luhn => luhn(text),
            Check::Iban => iban(text),
        }
    }
}

fn luhn(text: &str) -> bool {
    let doubled = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let digits = text.chars().rev().filter_map(|letter| letter.to_digit(10));
    let values = digits.enumerate().map(|(at, digit)| if at % 2 == 1 { doubled(digit) } else { digit });
    let (count, sum) = values.fold((0, 0), |(count, sum), value| (count + 1, sum + value));
    count > 1 && sum.is_multiple_of(10)
}

/// The country and its check digits move behind the rest, letters count from 10.
fn iban(text: &str) -> bool {
    let letters: Vec<u32> = text.chars().filter_map(|letter| letter.to_digit(36)).collect();
    if !(15..=34).contains(&letters.len()) {
        return false;
    }
    let moved = letters[4..].iter().chain(&letters[..4]);
    moved.fold(0, |rest, letter| (rest * if *letter > 9 { 100 } else { 10 } + letter) % 97) == 1
}

/// Every key of a named pattern, for the manual.
pub const KEYS: &[Key] = &[
    Key::need("matches", "a regular expression", r"'\bS-[0-9]{6}\b'", "What it looks for."),
    Key::or("check", "none or luhn", "none", "The check digit that a match has to have."),
    Key::or("case", "exact or ignore", "ignore", "Whether case matters."),
    Key::or("unicode", "true or false", "false", "Whether \\w \\d \\s \\b know all scripts."),
];

/// A pattern and its check.
#[derive(Debug)]
pub struct NamedPattern {
    pattern: Arc<Pattern>,
    check: Check,
}

impl NamedPattern {
    /// Whether it matches somewhere in the text, with a match that passes the check.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        let mut from = 0;
        while let Some(found) = self.pattern.regex().find_at(text, from) {
            if self.check.passes(found.as_str()) {
                return true;
            }
            let Some(letter) = text[found.start()..].chars().next() else { break };
            from = found.start() + letter.len_utf8();
        }
        false
    }
}

/// The patterns that everybody has.
const BUILT_IN: [(&str, &str, bool, Check); 2] = [
    // As it stands on a card: in one piece, in fours, or 4-6-5 and 4-6-4.
    ("card_number", r"\b(?:[2-6]\d{12,18}|[2-6]\d{3}(?:[ -]\d{4}){3}|3\d{3}[ -]\d{6}[ -]\d{4,5})\b", false, Check::Luhn),
    // ISO 13616: capitals, in one piece or in fours.
    ("iban", r"\b[A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)\b", true, Check::Iban),
];

/// Patterns by name.
#[derive(Clone, Debug)]
pub struct NamedPatterns {
    known: BTreeMap<String, Arc<NamedPattern>>,
    /// Those that could not be read: that was told, so nothing is said of who uses them.
    broken: BTreeSet<String>,
}

impl Default for NamedPatterns {
    fn default() -> NamedPatterns {
        static ALL: LazyLock<NamedPatterns> = LazyLock::new(built_in);
        ALL.clone()
    }
}

fn built_in() -> NamedPatterns {
    let all = BUILT_IN.into_iter().map(|(name, text, exact, check)| {
        let pattern = Pattern::of(text, Flags { exact, unicode: false, ..Flags::default() }, 1_000_000).expect("a built-in pattern");
        (name.to_owned(), Arc::new(NamedPattern { pattern: Arc::new(pattern), check }))
    });
    NamedPatterns { known: all.collect(), broken: BTreeSet::new() }
}

impl NamedPatterns {
    /// The pattern that a word names.
    ///
    /// # Errors
    /// [`Reported`] if there is none of that name.
    pub fn get(&self, node: &Node, problems: &mut Problems) -> Result<Arc<NamedPattern>, Reported> {
        let name = String::from_node(node, problems)?;
        if let Some(pattern) = self.known.get(&name) {
            return Ok(Arc::clone(pattern));
        }
        if self.broken.contains(&name) {
            return Err(Reported);
        }
        let label = if let Some(near) = nearest(&name, self.known.keys().map(String::as_str)) {
            format!("did you mean `{near}`?")
        } else {
            let known: Vec<&str> = self.known.keys().map(String::as_str).collect();
            format!("known: {}; `patterns:` in transom.yaml adds more; a pattern itself stands under `matches`", known.join(", "))
        };
        Err(problems.error(&node.span, format!("no pattern is called `{name}`"), label))
    }

    fn add(&mut self, name: &str, span: &Span, pattern: NamedPattern, problems: &mut Problems) {
        if self.known.contains_key(name) {
            problems.error(span, format!("`{name}` is the name of a built-in pattern"), "another name is wanted");
        } else {
            self.known.insert(name.to_owned(), Arc::new(pattern));
        }
    }
}

impl Patterns {
    /// Reads `patterns:`. Every problem in every pattern is reported.
    pub fn load_named(&mut self, node: &Node, size: u64, problems: &mut Problems) {
        let Some(entries) = node.map() else {
            problems.error(&node.span, "`patterns` wants a mapping", "names, each with `matches`");
            return;
        };
        for (name, node) in entries {
            match self.named_pattern(&name.text, node, size, problems) {
                Ok(pattern) => self.named.add(&name.text, &name.span, pattern, problems),
                Err(Reported) => drop(self.named.broken.insert(name.text.clone())),
            }
        }
    }

    fn named_pattern(&mut self, name: &str, node: &Node, size: u64, problems: &mut Problems) -> Result<NamedPattern, Reported> {
        let mut settings = Settings::of(format!("the pattern `{name}`"), node, problems)?;
        let exact = settings.node("case").map(|node| word(node, &[("exact", true), ("ignore", false)], problems)).transpose();
        let unicode = settings.or("unicode", false, problems);
        let text = settings.need::<String>("matches", problems);
        let check = settings.take::<Check>("check", problems).map(Option::unwrap_or_default);
        settings.finish(problems)?;
        let flags = Flags { exact: exact?.unwrap_or(false), unicode, ..Flags::default() };
        let place = node.get("matches").unwrap_or(node);
        let (text, check) = (text?, check?);
        let pattern = self.compile(&text, flags, size).map_err(|why| problems.error(&place.span, "this pattern cannot be used", why))?;
        if check != Check::None && longest(&text, flags).is_none_or(|longest| longest > CHECKED) {
            let label = format!("say how often at most, such as `{{1,20}}` for `+`: {CHECKED} bytes at most");
            return Err(problems.error(&place.span, "a checked pattern whose matches can be of any length", label));
        }
        Ok(NamedPattern { pattern, check })
    }
}

/// How many bytes a match can have; none: any number.
fn longest(text: &str, flags: Flags) -> Option<usize> {
    regex_syntax::parse(&pattern::source(text, flags).ok()?).ok()?.properties().maximum_len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Source, parse};

    fn named(name: &str, text: &str) -> bool {
        NamedPatterns::default().known[name].is_in(text)
    }

    fn load(text: &str) -> Result<Patterns, Vec<String>> {
        let (mut problems, mut patterns) = (Problems::default(), Patterns::default());
        let node = parse(&Source::new("transom.yaml", text), &mut problems).unwrap();
        patterns.load_named(&node, 1_000_000, &mut problems);
        let told: Vec<_> = problems.iter().map(|problem| format!("{} | {}", problem.title, problem.label)).collect();
        if told.is_empty() { Ok(patterns) } else { Err(told) }
    }

    #[test]
    fn a_card_number_has_its_form_and_its_check_digit() {
        for text in
            ["card 4111 1111 1111 1111.", "4111-1111-1111-1111", "5555555555554444", "3782 822463 10005", "id 2234 4111 1111 1111 1111"]
        {
            assert!(named("card_number", text), "{text}");
        }
        for text in ["4111 1111 1111 1112", "41111111111111110000000000", "4111 1111", "x4111111111111111", "1111 1111 1111 1117"] {
            assert!(!named("card_number", text), "{text}");
        }
    }

    #[test]
    fn an_iban_has_its_check_digits() {
        for text in ["DE89 3704 0044 0532 0130 00", "to GB82WEST12345698765432, please", "NO93 8601 1117 947"] {
            assert!(named("iban", text), "{text}");
        }
        for text in ["DE88 3704 0044 0532 0130 00", "gb82west12345698765432", "DE89 3704"] {
            assert!(!named("iban", text), "{text}");
        }
    }

    #[test]
    fn a_match_that_fails_its_check_hides_no_later_one() {
        let patterns = load(r"{four: {matches: '\d{4}', check: luhn}, any: {matches: 'x{0,2}', check: luhn}}").unwrap();
        assert!(patterns.named.known["four"].is_in("a 10018"));
        assert!(!patterns.named.known["four"].is_in("1111 x"));
        assert!(!patterns.named.known["any"].is_in("aé xx"));
    }

    #[test]
    fn many_matches_that_fail_their_check_are_looked_at_in_linear_time() {
        assert!(!named("card_number", &"4111 ".repeat(100_000)));
        assert!(load(r"{free: {matches: '\d+x'}}").unwrap().named.known["free"].is_in("1x"));
    }

    #[test]
    fn mistakes_are_told() {
        for (text, expected) in [
            ("{a: {}}", "the pattern `a` has no `matches`"),
            ("{a: {matches: 'x('}}", "this pattern cannot be used"),
            ("{a: {matches: x, check: lun}}", "did you mean `luhn`?"),
            ("{iban: {matches: x}}", "built-in"),
            (r"{a: {matches: '\d+', check: luhn}}", "of any length"),
            ("[a]", "`patterns` wants a mapping"),
        ] {
            let told = load(text).map(|_| ()).unwrap_err();
            assert!(told.len() == 1 && told[0].contains(expected), "{expected}: {told:#?}");
        }
    }
}
