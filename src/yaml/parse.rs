//! Text → nodes. The parser's events are put together with a stack of our own, so that nesting in a file never becomes nesting of calls.

use std::borrow::Cow;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span as Range, Tag};

use super::{Key, Kind, Node, Problems, Reported, Source, Span};

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
        let span = self.places.source.span(at, at);
        self.problems.error(&span, format!("not YAML: {}", error.info()), "look at indentation, quotes and brackets up to here")
    }

    fn refuse(&mut self, span: &Span, anchor: usize, tag: Option<&Tag>) {
        if anchor != 0 {
            self.problems.error(span, "an anchor", "anchors and aliases are not used here: write it out, or name a condition");
        }
        if let Some(tag) = tag {
            self.problems.error(span, format!("the tag `{tag}`"), "tags are not used here: a value is what its key wants");
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

/// A key; what is wrong with it is reported, and the value under it is read all the same.
fn new_key(node: Node, entries: &[(Key, Node)], problems: &mut Problems) -> Key {
    let Node { kind, span } = node;
    let text = match kind {
        Kind::Scalar { text, plain } => {
            if plain && text == "<<" {
                problems.error(&span, "a merge key", "`<<` is not used here: write the keys out");
            }
            text
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
