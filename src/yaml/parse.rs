//! Text → nodes. The parser's events are put together with a stack of our own, so that nesting in a file never becomes nesting of calls.

use std::borrow::Cow;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span as Range, Tag};

use super::{Key, Kind, Node, Problems, Reported, Source, Span, slip};

/// Far more than any rule needs; whoever reads the tree may recurse.
const DEEPEST: usize = 64;

/// The tree of a file of one document, or none if it cannot be read as YAML. Duplicate keys, anchors, aliases, tags, merge keys and second documents are problems.
/// An empty file is [`Kind::Null`].
pub fn parse(source: &Arc<Source>, problems: &mut Problems) -> Option<Node> {
    Builder { places: Places::of(source), open: Vec::new(), root: None, problems }.build().ok()
}

/// Characters → bytes: the parser counts characters.
struct Places<'s> {
    source: &'s Arc<Source>,
    /// The byte each character begins at; empty if all are ASCII.
    starts: Vec<usize>,
}

impl<'s> Places<'s> {
    fn of(source: &'s Arc<Source>) -> Places<'s> {
        let text = &source.text;
        let starts = if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at).collect() };
        Places { source, starts }
    }

    fn byte(&self, mark: Marker) -> usize {
        let end = self.source.text.len();
        if self.starts.is_empty() { mark.index().min(end) } else { self.starts.get(mark.index()).copied().unwrap_or(end) }
    }

    fn span(&self, range: Range) -> Span {
        let start = self.byte(range.start);
        self.source.span(start, self.byte(range.end).max(start))
    }
}

/// A list or mapping that has not ended.
struct Open {
    kind: Collection,
    span: Span,
}

enum Collection {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, key: Option<Key> },
}

struct Builder<'s, 'p> {
    places: Places<'s>,
    open: Vec<Open>,
    root: Option<Node>,
    problems: &'p mut Problems,
}

impl Builder<'_, '_> {
    fn build(mut self) -> Result<Node, Reported> {
        let text = Arc::clone(self.places.source);
        let mut parser = Parser::new_from_str(&text.text);
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, range) = event.map_err(|error| self.unreadable(&error))?;
            let span = self.places.span(range);
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(self.problems.error(
                            &span,
                            "a second document in one file",
                            "one file holds one document: no second `---`",
                        ));
                    }
                }
                Event::Alias(_) => {
                    self.problems.error(&span, "an alias", "anchors and aliases are not used here: write it out, or name a condition");
                    self.put(Node { kind: Kind::Null, span });
                }
                Event::Scalar(text, style, anchor, tag) => {
                    self.refuse(&span, anchor, tag.as_deref());
                    self.put(scalar(text, style, span));
                }
                Event::SequenceStart(anchor, tag) => self.begin(Collection::List(Vec::new()), span, anchor, tag.as_deref())?,
                Event::MappingStart(anchor, tag) => {
                    self.begin(Collection::Map { entries: Vec::new(), key: None }, span, anchor, tag.as_deref())?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.end(&span),
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(self.root.take().unwrap_or(Node { kind: Kind::Null, span: text.span(0, 0) }))
    }

    fn unreadable(&mut self, error: &ScanError) -> Reported {
        let at = self.places.byte(*error.marker());
        let source = self.places.source;
        let says_so = ["found a tab", "tabs disallowed"].iter().any(|tab| error.info().contains(tab));
        if let Some(tab) = indenting_tab(&source.text, at).filter(|tab| says_so || *tab < at) {
            let told = self.problems.error(&source.span(tab, tab + 1), "a tab at the beginning of a line", "YAML is indented with blanks");
            self.mend(source.span(tab, tab + 1).line_column().0);
            return told;
        }
        // The scanner says so of both kinds of quotes.
        let info = error.info().replace("double-quoted scalar", "quoted scalar");
        let told = self.problems.error(&source.span(at, at), format!("not YAML: {info}"), advice(&info));
        self.mend(error.marker().line());
        told
    }

    /// Shows the line as it was meant with the problem told last, if that can be guessed.
    fn mend(&mut self, line: usize) {
        if let Some(edit) = slip::mend(&self.places.source.text, line) {
            self.problems.mend(&[edit]);
        }
    }

    fn refuse(&mut self, span: &Span, anchor: usize, tag: Option<&Tag>) {
        if anchor != 0 {
            self.problems.error(span, "an anchor", "anchors and aliases are not used here: write it out, or name a condition");
        }
        if let Some(tag) = tag {
            self.problems.error(span, format!("the tag `{tag}`"), "tags are not used here; a text that begins with `!` wants quotes");
            self.mend(span.line_column().0);
        }
    }

    fn begin(&mut self, kind: Collection, span: Span, anchor: usize, tag: Option<&Tag>) -> Result<(), Reported> {
        self.refuse(&span, anchor, tag);
        if self.open.len() == DEEPEST {
            return Err(self.problems.error(&span, format!("nested deeper than {DEEPEST} levels"), ""));
        }
        self.open.push(Open { kind, span });
        Ok(())
    }

    fn end(&mut self, end: &Span) {
        let Some(Open { kind, mut span }) = self.open.pop() else { return };
        // A block has no closing mark: the parser names the place where the next thing begins.
        let closed_by_mark = end.end > end.start;
        let last = match &kind {
            Collection::List(items) => items.last().map(|item| item.span.end),
            Collection::Map { entries, .. } => entries.last().map(|(key, value)| value.span.end.max(key.span.end)),
        };
        span.end = if closed_by_mark { end.end } else { last.unwrap_or(span.end) }.max(span.start);
        let kind = match kind {
            Collection::List(items) => Kind::List(items),
            Collection::Map { entries, .. } => Kind::Map(entries),
        };
        self.put(Node { kind, span });
    }

    /// Puts a finished node where it belongs: into the innermost open collection, as a key or a value.
    fn put(&mut self, node: Node) {
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(Collection::List(items)) => items.push(node),
            Some(Collection::Map { entries, key }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => *key = Some(new_key(node, entries, self.problems)),
            },
        }
    }
}

/// The first tab from `from` on that stands where a line is indented.
fn indenting_tab(text: &str, from: usize) -> Option<usize> {
    let start = text.get(..from)?.rfind('\n').map_or(0, |end| end + 1);
    let mut at = start;
    for line in text[start..].split_inclusive('\n') {
        let tab = at + line.bytes().take_while(|byte| *byte == b' ').count();
        if text.as_bytes().get(tab) == Some(&b'\t') {
            return Some(tab);
        }
        at += line.len();
    }
    None
}

/// What an operator most likely did, by what the scanner stumbled over.
fn advice(info: &str) -> &'static str {
    const ADVICE: &[(&str, &str)] = &[
        ("mapping values are not allowed", "a text with `: ` in it wants quotes; else a key stands deeper than those above it"),
        ("may not precede", "a blank is wanted behind the colon of a key"),
        ("unknown escape character", "a pattern stands in single quotes: '\\d'"),
        ("unknown anchor", "a text that begins with `*` wants quotes"),
        ("expected ',' or '}'", "a text with one of { } [ ] , in it wants quotes; else a bracket is not closed"),
        ("expected ',' or ']'", "a text with one of { } [ ] , in it wants quotes; else a bracket is not closed"),
        (
            "block mapping, did not find expected key",
            "a text that begins with `[` or `{` wants quotes; else this line is not indented as those above it",
        ),
        ("expected '-' indicator", "this line is not indented as the items or keys above it"),
        ("in flow construct", "a bracket above is not closed"),
        ("trailing content after", "the quote is closed before; in single quotes a `'` is written twice: 'don''t'"),
        ("in quoted scalar", "the quote is not closed"),
        ("unexpected end of stream", "the quote is not closed"),
        ("expected node content", "a bracket is not closed, or a text that begins with `]`, `}` or `,` wants quotes"),
        ("unexpected character", "a text that begins with this character wants quotes"),
        ("sequence entries are not allowed", "a text that begins with `- ` wants quotes; a list begins on the next line"),
        ("expect ':'", "the line above has no `: ` after its key"),
    ];
    let found = ADVICE.iter().find(|(part, _)| info.contains(part));
    found.map_or("look at indentation, quotes and brackets up to here", |(_, advice)| advice)
}

/// A key; what is wrong with it is reported, and the value under it is read all the same.
fn new_key(node: Node, entries: &[(Key, Node)], problems: &mut Problems) -> Key {
    let Node { kind, span } = node;
    let text = match kind {
        Kind::Scalar { text, plain } => {
            if plain && text == "<<" {
                problems.error(&span, "a merge key", "`<<` is not used here: write the keys out");
                String::new()
            } else {
                text
            }
        }
        Kind::Null => {
            problems.error(&span, "a key without a name", "");
            String::new()
        }
        Kind::List(_) | Kind::Map(_) => {
            problems.error(&span, "a key that is no text", "a key is one word; a text that begins with `{`, `[` or `?` needs quotes");
            String::new()
        }
    };
    if let Some((first, _)) = entries.iter().find(|(key, _)| key.text == text && !text.is_empty()) {
        let (line, _) = first.span.line_column();
        problems.error(&span, format!("`{text}` stands twice in one mapping"), format!("it is already in line {line}"));
    }
    Key { text, span }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, span: Span) -> Node {
    let plain = style == ScalarStyle::Plain;
    let kind = match &*text {
        "" | "~" | "null" | "Null" | "NULL" if plain => Kind::Null,
        _ => Kind::Scalar { text: text.into_owned(), plain },
    };
    Node { kind, span }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Node>, Vec<String>) {
        let mut problems = Problems::default();
        let node = parse(&Source::new("test.yaml", text), &mut problems);
        let told = problems.iter().map(|problem| {
            let (line, column) = problem.span.as_ref().unwrap().line_column();
            format!("{line}:{column} {}", problem.title)
        });
        (node, told.collect())
    }

    fn told(text: &str) -> Vec<String> {
        read(text).1
    }

    /// Every scalar of a tree with the bytes its span names.
    fn spans(node: &Node, found: &mut Vec<(String, String)>) {
        let at = |span: &Span| span.source.text[span.start..span.end].to_owned();
        match &node.kind {
            Kind::Null => {}
            Kind::Scalar { text, .. } => found.push((text.clone(), at(&node.span))),
            Kind::List(items) => items.iter().for_each(|item| spans(item, found)),
            Kind::Map(entries) => {
                for (key, value) in entries {
                    found.push((key.text.clone(), at(&key.span)));
                    spans(value, found);
                }
            }
        }
    }

    #[test]
    fn a_span_is_exactly_the_words_in_the_file() {
        for newline in ["\n", "\r\n"] {
            let text =
                "# ä comment\na: 1.10   # more\n\"käy\": ['ö', x y, {z: 0x1F}]\n\nlist:\n  - word  \n  - last".replace('\n', newline);
            let (node, told) = read(&text);
            assert_eq!(told, [""; 0]);
            let mut found = Vec::new();
            spans(&node.unwrap(), &mut found);
            let expected = [
                ("a", "a"),
                ("1.10", "1.10"),
                ("käy", "\"käy\""),
                ("ö", "'ö'"),
                ("x y", "x y"),
                ("z", "z"),
                ("0x1F", "0x1F"),
                ("list", "list"),
                ("word", "word"),
                ("last", "last"),
            ];
            assert_eq!(found, expected.map(|(text, at)| (text.to_owned(), at.to_owned())));
        }
    }

    #[test]
    fn a_collection_ends_where_its_last_word_ends() {
        let (node, _) = read("a:\n  - {b: c}\n  - [d,\n     e]\n\n# end\nf: g\n");
        let node = node.unwrap();
        let list = &node.map().unwrap()[0].1;
        assert_eq!(&node.span.source.text[list.span.start..list.span.end], "- {b: c}\n  - [d,\n     e]");
        assert_eq!(&node.span.source.text[node.span.start..node.span.end], "a:\n  - {b: c}\n  - [d,\n     e]\n\n# end\nf: g");
    }

    #[test]
    fn scalars_keep_their_text_and_only_plain_ones_can_be_null() {
        let (node, _) = read("[1.10, 'null', null, ~, yes, '', 007]");
        let kinds: Vec<_> = node.unwrap().list().unwrap().iter().map(|item| item.scalar().map(str::to_owned)).collect();
        assert_eq!(kinds, [Some("1.10"), Some("null"), None, None, Some("yes"), Some(""), Some("007")].map(|text| text.map(str::to_owned)));
    }

    #[test]
    fn what_hides_a_value_is_refused_where_it_stands() {
        assert_eq!(told("a: 1\nb: 2\na: 3"), ["3:1 `a` stands twice in one mapping"]);
        assert_eq!(told("a: &x 1\nb: *x"), ["1:4 an anchor", "2:4 an alias"]);
        assert_eq!(told("a: !secret b"), ["1:4 the tag `!secret`"]);
        assert_eq!(told("a: {<<: {b: c}}"), ["1:5 a merge key"]);
        assert_eq!(told("a: 1\n---\nb: 2"), ["2:1 a second document in one file"]);
        assert_eq!(told("? [a, b]\n: c"), ["1:3 a key that is no text"]);
    }

    #[test]
    fn a_quoted_word_is_never_a_merge_key() {
        assert_eq!(told("a: {'<<': b}"), [""; 0]);
    }

    #[test]
    fn nesting_is_bounded_however_it_is_written() {
        assert_eq!(told(&"[".repeat(100_000)).len(), 1);
        assert_eq!(told(&"- ".repeat(10_000)), ["1:129 nested deeper than 64 levels"]);
    }

    #[test]
    fn the_usual_slips_are_told_with_what_to_do() {
        for (text, place, advice) in [
            ("a: {b: [x] y}", "1:12", "wants quotes"),
            ("a: {b: ${c}}", "1:9", "wants quotes"),
            ("a: b\nc: d: e\n", "2:5", "`: `"),
            ("a: \"\\d\"", "1:4", "single quotes"),
            ("a: {b: *c}", "1:8", "begins with `*`"),
            ("a:\n  b: [c] d\n", "2:10", "begins with `[`"),
            ("a:\n  - b: c\n   d: e\n", "3:4", "not indented"),
            ("a: {b: c\nd: e\n", "2:2", "not closed"),
            ("a: 'b\nc: d\n", "1:4", "not closed"),
            ("a: \"b\n", "1:4", "not closed"),
            ("a: @x\n", "1:4", "wants quotes"),
            ("a: {b: 'don't}\n", "1:13", "written twice"),
            ("a: x\nb\nc: d\n", "3:1", "the line above"),
            ("a:\n  - b: c\n\td: e\n", "3:1", "with blanks"),
            ("a:\n  - b: c\n    d:\n\t  e: f\n", "4:1", "with blanks"),
            ("a:\n  - b: c\nd: e\n\tf: {g: h}\n", "4:1", "with blanks"),
            ("a: {b:{c: d}}\n", "1:6", "behind the colon"),
        ] {
            let mut problems = Problems::default();
            assert!(parse(&Source::new("test.yaml", text), &mut problems).is_none(), "{text}");
            let problem = problems.iter().next().unwrap();
            let (line, column) = problem.span.as_ref().unwrap().line_column();
            assert_eq!(format!("{line}:{column}"), place, "{text}: {}", problem.title);
            assert!(problem.label.contains(advice), "{text}: {} / {}", problem.title, problem.label);
        }
    }

    #[test]
    fn text_that_is_no_yaml_is_told_with_its_place() {
        let told = told("a: b\nc: d: e\n");
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("2:5 not YAML: "), "{told:?}");
    }

    proptest::proptest! {
        #[test]
        fn whatever_stands_in_a_file_every_place_is_in_it(text in r#"([-?:,{}\[\]#&*!|>'"%@`~ a0ä\u{2028}\u{feff}\x00\t\r\n]|- |: |<<|\n  |\n    |---\n|\.\.\.){0,40}"#) {
            let source = Source::new("test.yaml", text);
            let mut problems = Problems::default();
            if let Some(node) = parse(&source, &mut problems) {
                spans(&node, &mut Vec::new());
            } else {
                assert!(problems.any_error());
            }
            assert_eq!(problems.render(false).is_empty(), problems.is_empty());
        }
    }

    #[test]
    fn an_empty_file_is_nothing() {
        for text in ["", "# only a comment\n", "---\n", "\u{feff}"] {
            let (node, told) = read(text);
            assert!(matches!(node.unwrap().kind, Kind::Null), "{text:?}");
            assert_eq!(told, [""; 0]);
        }
    }
}
