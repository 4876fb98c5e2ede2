//! Patterns, compiled at load and shared: the same text with the same flags is one automaton (DESIGN decision 9).

mod opening;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use regex_syntax::ast;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::named::NamedPatterns;
use opening::Opening;

/// What changes the meaning of a pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// `case: exact`
    pub exact: bool,
    /// `unicode: true`: `\w \d \s \b` know all scripts.
    pub unicode: bool,
    /// `view: skeleton`: literal texts meet what looks like them.
    pub look_alikes: bool,
}

/// A text that is searched, and whether it is ASCII.
#[derive(Clone, Copy, Debug)]
pub struct Searched<'t> {
    pub text: &'t str,
    pub ascii: bool,
}

impl<'t> From<&'t str> for Searched<'t> {
    fn from(text: &'t str) -> Searched<'t> {
        Searched { text, ascii: text.is_ascii() }
    }
}

/// A compiled regular expression: linear time, `^` and `$` at each line.
pub struct Pattern {
    regex: Regex,
    text: String,
    names: Vec<String>,
    within_lines: bool,
    by_lines: bool,
    opening: Option<Opening>,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.text)
    }
}

impl Pattern {
    #[must_use]
    pub fn regex(&self) -> &Regex {
        &self.regex
    }

    /// Whether it finds something.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        match self.opening.as_ref().filter(|_| text.is_ascii()) {
            Some(opening) => opening.is_match(&self.regex, text),
            None => self.regex.is_match(text),
        }
    }

    /// What it finds, one match after the other.
    pub fn ranges<'a>(&'a self, Searched { text, ascii }: Searched<'a>) -> impl Iterator<Item = Range<usize>> + 'a {
        let opening = self.opening.as_ref().filter(|_| ascii);
        let plainly = opening.is_none().then(|| self.regex.find_iter(text).map(|found| found.range()));
        plainly.into_iter().flatten().chain(opening.into_iter().flat_map(|opening| opening.matches(&self.regex, text)))
    }

    /// The pattern as the operator wrote it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its named groups.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it finds the same in a text whose lines end in CR LF as where they end in LF: no match is empty, has a line end in it or asks for one behind it.
    #[must_use]
    pub fn keeps_within_lines(&self) -> bool {
        self.within_lines
    }

    /// Whether it also finds the same in the lines of a text one after the other as in all of them: it does not ask where the text begins or ends.
    #[must_use]
    pub fn keeps_to_lines(&self) -> bool {
        self.within_lines && self.by_lines
    }

    /// How many groups it has, the whole match not counted.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.regex.captures_len() - 1
    }
}

/// All patterns of a chain.
#[derive(Debug, Default)]
pub struct Patterns {
    known: HashMap<(String, Flags), Arc<Pattern>>,
    /// Those that `pattern: NAME` can mean.
    pub named: NamedPatterns,
}

impl Patterns {
    /// None yet, but those with a name.
    #[must_use]
    pub fn with_named(named: NamedPatterns) -> Patterns {
        Patterns { known: HashMap::new(), named }
    }

    /// The pattern `text` with these flags, compiled if it is new; no larger than `size` bytes compiled.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn compile(&mut self, text: &str, flags: Flags, size: u64) -> Result<Arc<Pattern>, String> {
        let key = (text.to_owned(), flags);
        if let Some(known) = self.known.get(&key) {
            return Ok(Arc::clone(known));
        }
        let pattern = Arc::new(compile(text, flags, size)?);
        self.known.insert(key, Arc::clone(&pattern));
        Ok(pattern)
    }
}

/// The pattern as the library is to read it, its syntax checked.
///
/// # Errors
/// What is wrong with it, in one line.
pub(super) fn source(text: &str, flags: Flags) -> Result<String, String> {
    if text.is_empty() {
        return Err("an empty pattern would match everything".to_owned());
    }
    if text.chars().any(|letter| letter.is_control() && letter != '\n') {
        return Err("a control character in a pattern: write it in single quotes".to_owned());
    }
    let source = if flags.unicode { text.to_owned() } else { ascii_classes(text)? };
    regex_syntax::parse(&source).map_err(|error| last_line(&error.to_string()))?;
    Ok(source)
}

impl Pattern {
    /// Compiles a pattern that is not shared.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub(super) fn of(text: &str, flags: Flags, size: u64) -> Result<Pattern, String> {
        compile(text, flags, size)
    }
}

fn compile(text: &str, flags: Flags, size: u64) -> Result<Pattern, String> {
    let source = source(text, flags)?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let regex = RegexBuilder::new(&source)
        .case_insensitive(!flags.exact)
        .multi_line(true)
        .size_limit(size)
        .dfa_size_limit(size)
        .build()
        .map_err(|error| told(&error))?;
    let names = regex.capture_names().flatten().map(str::to_owned).collect();
    let tree = regex_syntax::ParserBuilder::new().case_insensitive(!flags.exact).multi_line(true).build().parse(&source);
    let within_lines = tree.as_ref().is_ok_and(|tree| tree.properties().minimum_len() > Some(0) && knows_no_line_end(tree));
    let looks = tree.as_ref().map(|tree| tree.properties().look_set());
    let by_lines = looks.is_ok_and(|looks| !looks.contains(Look::Start) && !looks.contains(Look::End));
    let opening = tree.ok().and_then(|tree| Opening::of(&tree));
    Ok(Pattern { regex, text: text.to_owned(), names, within_lines, by_lines, opening })
}

/// Whether CR and LF stop every search, and nothing tells the one from the other: to `^` both mean what stands before, to `\b` they are alike.
fn knows_no_line_end(tree: &Hir) -> bool {
    match tree.kind() {
        HirKind::Empty => true,
        HirKind::Literal(text) => memchr::memchr2(b'\r', b'\n', &text.0).is_none(),
        HirKind::Class(Class::Unicode(class)) => !class.iter().any(|range| range.start() <= '\r' && range.end() >= '\n'),
        HirKind::Class(Class::Bytes(class)) => !class.iter().any(|range| range.start() <= b'\r' && range.end() >= b'\n'),
        HirKind::Look(look) => !matches!(look, Look::EndLF | Look::StartCRLF | Look::EndCRLF),
        HirKind::Repetition(inner) => knows_no_line_end(&inner.sub),
        HirKind::Capture(inner) => knows_no_line_end(&inner.sub),
        HirKind::Concat(list) | HirKind::Alternation(list) => list.iter().all(knows_no_line_end),
    }
}

pub(super) fn told(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => format!("larger than limits.chain.pattern_size ({limit} bytes) when compiled"),
        other => last_line(&other.to_string()),
    }
}

/// The library draws the pattern above its message; the excerpt of the file is drawn here already.
fn last_line(message: &str) -> String {
    let line = message.lines().rfind(|line| !line.trim().is_empty()).unwrap_or(message);
    line.trim().trim_start_matches("error: ").to_owned()
}

/// The pattern with `\w \d \s \b` in ASCII. The library's own switch would also make case and `.` speak of bytes.
fn ascii_classes(text: &str) -> Result<String, String> {
    let tree = ast::parse::Parser::new().parse(text).map_err(|error| error.kind().to_string())?;
    let places = ast::visit(&tree, Finder { found: Vec::new() })?;
    let mut source = String::with_capacity(text.len() + places.len() * 8);
    let mut done = 0;
    for (start, end, with) in places {
        source.push_str(&text[done..start]);
        source.push_str(with);
        done = end;
    }
    source.push_str(&text[done..]);
    Ok(source)
}

/// Finds what has to be rewritten, in order of place.
struct Finder {
    found: Vec<(usize, usize, &'static str)>,
}

impl Finder {
    fn class(&mut self, class: &ast::ClassPerl) {
        let with = match (&class.kind, class.negated) {
            (ast::ClassPerlKind::Digit, false) => "[0-9]",
            (ast::ClassPerlKind::Digit, true) => "[^0-9]",
            (ast::ClassPerlKind::Space, false) => r"[\t\n\v\f\r\x20]",
            (ast::ClassPerlKind::Space, true) => r"[^\t\n\v\f\r\x20]",
            (ast::ClassPerlKind::Word, false) => "[0-9A-Za-z_]",
            (ast::ClassPerlKind::Word, true) => "[^0-9A-Za-z_]",
        };
        self.found.push((class.span.start.offset, class.span.end.offset, with));
    }
}

impl ast::Visitor for Finder {
    type Output = Vec<(usize, usize, &'static str)>;
    type Err = String;

    fn finish(mut self) -> Result<Self::Output, String> {
        self.found.sort_unstable();
        Ok(self.found)
    }

    fn visit_pre(&mut self, node: &ast::Ast) -> Result<(), String> {
        match node {
            ast::Ast::ClassPerl(class) => self.class(class),
            ast::Ast::Assertion(assertion) => {
                use ast::AssertionKind as At;
                let with = match assertion.kind {
                    At::WordBoundary => r"(?-u:\b)",
                    At::NotWordBoundary => r"(?-u:\B)",
                    At::WordBoundaryStart | At::WordBoundaryStartAngle => r"(?-u:\b{start})",
                    At::WordBoundaryEnd | At::WordBoundaryEndAngle => r"(?-u:\b{end})",
                    At::WordBoundaryStartHalf => r"(?-u:\b{start-half})",
                    At::WordBoundaryEndHalf => r"(?-u:\b{end-half})",
                    At::StartLine | At::EndLine | At::StartText | At::EndText => return Ok(()),
                };
                self.found.push((assertion.span.start.offset, assertion.span.end.offset, with));
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ast::ClassSetItem) -> Result<(), String> {
        if let ast::ClassSetItem::Perl(class) = item {
            self.class(class);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Arc<Pattern> {
        Patterns::default().compile(text, Flags::default(), 1_000_000).unwrap()
    }

    #[test]
    fn the_same_text_with_the_same_flags_is_one_pattern() {
        let mut patterns = Patterns::default();
        let one = patterns.compile("a+", Flags::default(), 1_000_000).unwrap();
        let two = patterns.compile("a+", Flags::default(), 1_000_000).unwrap();
        let other = patterns.compile("a+", Flags { exact: true, ..Flags::default() }, 1_000_000).unwrap();
        assert!(Arc::ptr_eq(&one, &two));
        assert!(!Arc::ptr_eq(&one, &other));
    }

    #[test]
    fn classes_and_word_borders_are_ascii_unless_unicode_is_asked_for() {
        assert!(!pattern(r"^\w+$").regex().is_match("né"));
        assert!(pattern(r"^[\w-]+$").regex().is_match("a-b_1"));
        assert!(!pattern(r"\d").regex().is_match("٣"));
        assert!(pattern(r"caf\b").regex().is_match("café"));
        assert!(pattern(r"a\Bb").regex().is_match("ab"));
        assert!(pattern(r"^[^\s\d]$").regex().is_match("x"));
        let unicode = Patterns::default().compile(r"^\w+$", Flags { unicode: true, ..Flags::default() }, 1_000_000).unwrap();
        assert!(unicode.regex().is_match("né"));
    }

    #[test]
    fn case_is_ignored_beyond_ascii() {
        assert!(pattern("ÄRGER").regex().is_match("ärger"));
    }

    #[test]
    fn a_caret_stands_for_each_line() {
        assert!(pattern("^second$").regex().is_match("first\nsecond\nthird"));
    }

    #[test]
    fn patterns_that_keep_within_lines_are_known() {
        for text in ["abc", r"SECRET-[0-9]+", r"\b\d{4}-\d{4}\b", r"^From \S+", r"https?://[^\s<>]+", r"(a|b)c*", r"\Aa", r"a\z", "é"] {
            assert!(pattern(text).keeps_within_lines(), "{text}");
        }
        for text in ["a.", "a$", r"a\s", "[^b]", "a*", r"\b", "a\nb", r"a\r", r"(?R)^a", r"(?s)a.", "^", r"\D", "[\\x00-\\x20]"] {
            assert!(!pattern(text).keeps_within_lines(), "{text}");
        }
    }

    #[test]
    fn patterns_that_ask_where_a_text_begins_or_ends_do_not_keep_to_lines() {
        for text in ["abc", r"SECRET-[0-9]+", r"\b\d{4}-\d{4}\b", r"^From \S+", r"(a|b)c*", "é"] {
            assert!(pattern(text).keeps_to_lines(), "{text}");
        }
        for text in [r"\Aa", r"a\z", r"(?-m)^a", r"b|(\Aa)", "a$"] {
            assert!(!pattern(text).keeps_to_lines(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_pattern_is_told_in_one_line() {
        let error = |text: &str| Patterns::default().compile(text, Flags::default(), 10_000).unwrap_err();
        assert!(error("").contains("empty"));
        assert!(error("a\u{8}b").contains("single quotes"));
        assert_eq!(error("a(").lines().count(), 1);
        assert_eq!(error("(?=x)").lines().count(), 1);
        assert!(error("(a{1000}){1000}").contains("pattern_size"), "{}", error("(a{1000}){1000}"));
    }

    #[test]
    fn the_rewriting_leaves_verbose_patterns_whole() {
        assert!(pattern("(?x) \\d+ # a number\n \\s x").regex().is_match("12 x"));
    }
}
