//! The MIME index: a push parser over the lines of a body (DESIGN decision 6). Iterative; what it keeps is bounded by the limits on depth, parts and fields.
//!
//! ```text
//!            delimiter            blank line, no composite
//!   Body ───────────────► Header ───────────────────────────► Body
//!    ▲ ▲                   │  ▲ │ blank line of an attached message: its own header
//!    │ └─── last delimiter ┘  └─┘
//!    └───── a limit is reached: Sealed, the rest is one opaque leaf
//! ```
//! Every byte of the body is in exactly one slot: preamble, delimiter (with the line end before it), header, blank line, content, epilogue.

use std::ops::Range;
use std::sync::Arc;

use super::Limits;
use super::boundary::{Boundaries, Found};
use super::field::Field;
use super::flags::{Flag, Flags};
use super::lines::{Line, Lines, Reader, begins_something, embedded_name, inline_pgp, is_content_line, sound_name};
use super::part::{Declared, Part, PartId, Protection, is_content_field, shown_name};
use super::slot::Slot;
use super::words::word_flags;

/// Names of files inside one text that are kept.
const EMBEDDED_NAMES: usize = 100;

/// The finished index.
#[derive(Clone, Debug, Default)]
pub struct Index {
    pub parts: Vec<Part>,
    pub slots: Vec<Slot>,
    pub flags: Flags,
}

impl Index {
    /// The index of a body that could not be read: one opaque leaf.
    #[must_use]
    pub fn closed(limits: &Arc<Limits>, outer: &Declared, span: Range<u64>) -> Index {
        let mut index = Indexer::new(Arc::clone(limits), outer, span.start).finish();
        index.slots[0].span.end = span.end;
        index.parts[0].opaque = true;
        index.parts.truncate(1);
        index.slots.truncate(1);
        index.parts[0].slots = 0..1;
        index
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    Body,
    Sealed,
}

/// The fields of the header that is being read.
#[derive(Debug, Default)]
struct Header {
    kept: Vec<Field>,
    /// The field whose lines come in, if it is to be kept.
    current: Option<Vec<u8>>,
    started: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Indexer {
    limits: Arc<Limits>,
    index: Index,
    state: State,
    header: Header,
    boundaries: Boundaries,
    /// The part of each open multipart.
    multiparts: Vec<usize>,
    /// All parts that contain this place, from outside.
    open: Vec<usize>,
    /// The leaf whose content is being read.
    leaf: Option<usize>,
    /// Whether that leaf is a message of a kind that only some readers open.
    unopened: bool,
    fields: u64,
    kept: u64,
    lines: Lines,
}

impl Indexer {
    /// An index of a body that begins at `at`, whose outer header declares this.
    #[must_use]
    pub fn new(limits: Arc<Limits>, outer: &Declared, at: u64) -> Indexer {
        let mut indexer = Indexer {
            limits,
            index: Index::default(),
            state: State::Body,
            header: Header::default(),
            boundaries: Boundaries::default(),
            multiparts: Vec::new(),
            open: Vec::new(),
            leaf: None,
            unopened: false,
            fields: 0,
            kept: 0,
            lines: Lines::new(at),
        };
        indexer.begin_part(None);
        indexer.begin_content(outer, at);
        indexer
    }

    /// Takes the next bytes. The result does not depend on how they are cut.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.push(bytes, self);
        self.lines = lines;
    }

    fn delimiter(&mut self, line: &Line<'_>) -> Option<(usize, bool)> {
        if self.state == State::Sealed || !line.bytes.starts_with(b"--") {
            return None;
        }
        match self.boundaries.find(line.bytes, !self.index.flags.has(Flag::BadDelimiter)) {
            Found::Delimiter { multipart, last } if line.is_whole() => Some((multipart, last)),
            // Blanks without end behind a delimiter: some readers take it for one.
            Found::Bad | Found::Delimiter { .. } => {
                self.index.flags.raise(Flag::BadDelimiter);
                None
            }
            Found::Other => {
                self.index.flags.raise(Flag::TwoBoundaries);
                None
            }
            Found::Nothing => None,
        }
    }

    /// A delimiter of one of the open multiparts: what is open inside it ends.
    fn delimit(&mut self, multipart: usize, last: bool, line: &Line<'_>) {
        let span = &line.span;
        let mut start = span.start;
        while self.state == State::Header {
            self.end_header(start..start);
        }
        // RFC 2046 5.1.1: the line end before a delimiter belongs to it.
        let content = self.index.slots.last().map_or(start, |slot| slot.span.start);
        start = start.saturating_sub(line.end_before).max(content);
        while self.boundaries.len() > multipart + 1 {
            self.leave_multipart();
        }
        let part = self.multiparts[multipart];
        while let Some(inner) = self.open.pop_if(|open| *open != part) {
            self.end_part(inner, start);
        }
        self.leaf = None;
        self.begin_slot(start);
        self.index.slots.last_mut().expect("it has just begun").joined = start < span.start;
        self.passed(line.eight_bit);
        if last {
            self.boundaries.close(multipart);
            self.begin_slot(span.end);
            self.state = State::Body;
            return;
        }
        self.begin_slot(span.end);
        self.begin_part(Some(part));
        if self.index.parts.len() > self.limits.parts as usize {
            self.index.flags.raise(Flag::TooManyParts);
            self.seal(span.end);
        } else {
            self.state = State::Header;
        }
    }

    fn leave_multipart(&mut self) {
        let empty = self.multiparts.pop().is_some_and(|part| self.index.parts[part].leaf);
        let closed = self.boundaries.pop();
        self.index.flags.raise_if(!closed || empty, Flag::MissingBoundary);
    }

    /// The rest is one opaque leaf: the part just begun.
    fn seal(&mut self, at: u64) {
        self.begin_slot(at);
        self.begin_slot(at);
        let part = self.index.parts.last_mut().expect("a part has just begun");
        part.media_type = "application/octet-stream".into();
        part.other_types.clear();
        part.encoding = "7bit".into();
        part.opaque = true;
        part.slots.start = self.index.slots.len() - 1;
        self.header = Header::default();
        self.state = State::Sealed;
    }

    fn begin_slot(&mut self, at: u64) {
        if let Some(slot) = self.index.slots.last_mut() {
            slot.span.end = at;
        }
        self.index.slots.push(Slot::new(at));
    }

    /// A part whose header begins with the last slot. What it declares comes behind the header, or it is sealed.
    fn begin_part(&mut self, parent: Option<usize>) {
        let id = PartId(u32::try_from(self.index.parts.len()).expect("parts are limited"));
        let header = parent.map(|_| self.index.slots.len() - 1);
        let part = Part::begun(id, parent.map(|parent| &self.index.parts[parent]), header);
        if let Some(parent) = parent {
            self.index.parts[parent].leaf = false;
        }
        self.open.push(id.index());
        self.index.parts.push(part);
    }

    fn end_part(&mut self, part: usize, at: u64) {
        let slots = self.index.slots.len();
        let part = &mut self.index.parts[part];
        part.slots.end = slots;
        part.size = at.saturating_sub(self.index.slots[part.slots.start].span.start);
    }

    fn header_line(&mut self, whole: &Line<'_>) {
        let Line { bytes: line, span, eight_bit, .. } = whole;
        if matches!(*line, b"\r\n" | b"\n") {
            self.end_header(span.clone());
            return;
        }
        self.passed(*eight_bit);
        self.index.flags.raise_if(*eight_bit, Flag::EightBitHeader);
        self.index.flags = self.index.flags.and(word_flags(line));
        let mut too_many = !whole.is_whole();
        if matches!(line[0], b' ' | b'\t') {
            self.index.flags.raise_if(!self.header.started, Flag::BadHeaderLine);
            if let Some(current) = &mut self.header.current {
                current.extend_from_slice(line);
                self.kept += line.len() as u64;
            }
        } else {
            self.fields += 1;
            too_many |= self.fields > u64::from(self.limits.part_fields);
            self.end_field();
            self.index.flags.raise_if(sound_name(line).is_none(), Flag::BadHeaderLine);
            let name = &line[..memchr::memchr(b':', line).unwrap_or(0)];
            if is_content_field(name.trim_ascii_end()) {
                self.header.current = Some(line.to_vec());
                self.kept += line.len() as u64;
            }
        }
        self.header.started = true;
        if too_many || self.kept > self.limits.header_size {
            self.index.flags.raise(Flag::TooManyFields);
            self.seal(span.end);
        }
    }

    fn end_field(&mut self) {
        if let Some(bytes) = self.header.current.take() {
            self.header.kept.push(Field::from_raw(bytes.into()));
        }
    }

    /// The header ends with its blank line, which is empty where a delimiter or the end comes first.
    fn end_header(&mut self, blank: Range<u64>) {
        self.end_field();
        let header = std::mem::take(&mut self.header);
        let part = *self.open.last().expect("a header belongs to a part");
        let parent = self.index.parts[part].parent.map(|parent| &*self.index.parts[parent.index()].media_type);
        let default = if parent == Some("multipart/digest") { "message/rfc822" } else { "text/plain" };
        let declared = Declared::read(header.kept.iter(), default);
        self.begin_slot(blank.start);
        self.begin_slot(blank.end);
        self.begin_content(&declared, blank.end);
    }

    /// The content of the innermost part begins.
    fn begin_content(&mut self, declared: &Declared, at: u64) {
        if self.index.slots.is_empty() {
            self.begin_slot(at);
        }
        let id = *self.open.last().expect("content belongs to a part");
        let slot = self.index.slots.len() - 1;
        let full = self.index.parts.len() >= self.limits.parts as usize;
        let part = &mut self.index.parts[id];
        part.declare(declared);
        part.slots.start = slot;
        part.protection = stronger(part.protection, declared.protection);
        self.index.flags = self.index.flags.and(declared.flags);
        self.state = State::Body;
        self.leaf = None;
        self.unopened = false;
        self.boundaries.strays.clear();
        let multipart = part.media_type.starts_with("multipart/");
        let boundary = declared.boundary.as_deref().filter(|_| multipart);
        let inside = boundary.is_some() || declared.is_message();
        if inside && part.depth >= self.limits.depth {
            part.opaque = true;
            self.index.flags.raise(Flag::Deep);
        } else if inside && full {
            part.opaque = true;
            self.index.flags.raise(Flag::TooManyParts);
        } else if let Some(boundary) = boundary {
            part.boundary = Some(boundary.into());
            self.boundaries.push(boundary, &declared.other_boundaries);
            self.multiparts.push(id);
        } else if inside {
            self.begin_part(Some(id));
            self.state = State::Header;
        } else {
            self.leaf = Some(id);
            self.unopened = part.media_type.starts_with("message/");
            self.boundaries.strays.extend(declared.boundary.iter().chain(&declared.other_boundaries).cloned());
        }
    }

    /// Files and inline PGP inside a text (RULES `embedded_file`, `protected`).
    fn look_for_files(&mut self, line: &[u8]) {
        if self.unopened && is_content_line(line) {
            self.index.flags.raise(Flag::EmbeddedFile);
        }
        if !line.first().is_some_and(|first| begins_something(*first)) {
            return;
        }
        let Some(leaf) = self.leaf else { return };
        let part = &mut self.index.parts[leaf];
        if let Some(protection) = inline_pgp(line) {
            part.protection = stronger(part.protection, Some(protection));
        } else if let Some(name) = embedded_name(line) {
            self.index.flags.raise(Flag::EmbeddedFile);
            part.embedded = true;
            let name = shown_name(&String::from_utf8_lossy(name));
            if part.names.len() < EMBEDDED_NAMES && !name.is_empty() && !part.names.contains(&name) {
                part.names.push(name);
            }
        }
    }

    /// The end of the message.
    #[must_use]
    pub fn finish(mut self) -> Index {
        let mut lines = std::mem::take(&mut self.lines);
        let end = lines.finish(&mut self);
        while self.state == State::Header {
            self.end_header(end..end);
        }
        while self.boundaries.len() > 0 {
            self.leave_multipart();
        }
        if let Some(slot) = self.index.slots.last_mut() {
            slot.span.end = end;
        }
        while let Some(part) = self.open.pop() {
            self.end_part(part, end);
        }
        self.index
    }
}

impl Reader for Indexer {
    fn wants_all(&self) -> bool {
        self.state == State::Header || self.unopened
    }

    fn line(&mut self, line: &Line<'_>) {
        match self.delimiter(line) {
            Some((multipart, last)) => self.delimit(multipart, last, line),
            None if self.state == State::Header => self.header_line(line),
            None => {
                self.passed(line.eight_bit);
                self.look_for_files(line.bytes);
            }
        }
    }

    fn passed(&mut self, eight_bit: bool) {
        if let Some(slot) = self.index.slots.last_mut() {
            slot.eight_bit |= eight_bit;
        }
    }
}

/// Encrypted says more than signed.
fn stronger(one: Option<Protection>, other: Option<Protection>) -> Option<Protection> {
    if other == Some(Protection::Encrypted) { other } else { one.or(other) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::content::to_usize;
    use crate::message::tests::limits;

    fn index(body: &str) -> Index {
        let field = Field::new("Content-Type", "multipart/mixed; boundary=b");
        let mut indexer = Indexer::new(Arc::new(limits()), &Declared::read([field].iter(), "text/plain"), 100);
        indexer.push(body.as_bytes());
        indexer.finish()
    }

    #[test]
    fn every_byte_is_in_one_slot_and_a_delimiter_owns_the_line_end_before_it() {
        let body = "pre\r\n--b\r\nA: b\r\n\r\none\r\n--b--\r\npost";
        let spans = |index: &Index| {
            index
                .slots
                .iter()
                .map(|slot| body[to_usize(slot.span.start - 100)..to_usize(slot.span.end - 100)].to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(spans(&index(body)), ["pre", "\r\n--b\r\n", "A: b\r\n", "\r\n", "one", "\r\n--b--\r\n", "post"]);
    }

    #[test]
    fn a_delimiter_inside_a_header_ends_the_part() {
        let index = index("--b\r\nA: b\r\n--b\r\nContent-Type: message/rfc822\r\n--b--\r\n");
        let sizes: Vec<u64> = index.parts.iter().map(|part| part.size).collect();
        assert_eq!(sizes[1..], [0, 0, 0]);
        assert_eq!(index.parts[3].media_type, "text/plain");
        assert!(index.flags.names().is_empty());
    }

    #[test]
    fn a_part_that_holds_a_file_in_its_text_has_its_name() {
        let index = index("--b\r\n\r\nhello\r\nbegin 644 a.exe\r\n--b--\r\n");
        assert!(index.parts[1].embedded);
        assert_eq!(index.parts[1].names, ["a.exe"]);
        assert_eq!(index.flags.names(), ["embedded_file"]);
    }

    #[test]
    fn a_message_that_only_some_readers_open_is_flagged_for_its_content_fields() {
        let with = |kind: &str, line: &str| index(&format!("--b\r\nContent-Type: message/{kind}\r\n\r\n{line}\r\n\r\nx\r\n--b--\r\n"));
        assert_eq!(with("http", "Content-Disposition: attachment; filename=x.exe").flags.names(), ["embedded_file"]);
        assert!(with("delivery-status", "Reporting-MTA: dns; a.example").flags.names().is_empty());
        assert_eq!(with("news", "Content-Type: a/b; name=x.exe").parts[2].names, ["x.exe"]);
    }

    #[test]
    fn parts_of_a_digest_are_messages() {
        let field = Field::new("Content-Type", "multipart/digest; boundary=b");
        let mut indexer = Indexer::new(Arc::new(limits()), &Declared::read([field].iter(), "text/plain"), 0);
        indexer.push(b"--b\r\n\r\nSubject: x\r\n\r\ny\r\n--b--\r\n");
        let types: Vec<_> = indexer.finish().parts.into_iter().map(|part| part.media_type).collect();
        assert_eq!(types, ["multipart/digest", "message/rfc822", "text/plain"]);
    }
}
