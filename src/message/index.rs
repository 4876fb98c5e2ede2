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
use super::part::{Declared, Part, PartId, Protection, is_content_field, shown_name};
use super::slot::Slot;

/// How much of a line is looked at. Longer header lines are a limit's matter; no delimiter is as long.
const LINE: usize = 64 * 1024;
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
    fields: u64,
    kept: u64,
    /// Where the line that is being read began.
    at: u64,
    /// A line that came in pieces: its first bytes, its length so far, and whether it has bytes over 127.
    line: Vec<u8>,
    length: u64,
    eight_bit: bool,
    /// The last two bytes.
    tail: [u8; 2],
    /// The length of the line end before `at`.
    line_end: u64,
    after_cr: bool,
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
            fields: 0,
            kept: 0,
            at,
            line: Vec::new(),
            length: 0,
            eight_bit: false,
            tail: [0; 2],
            line_end: 0,
            after_cr: false,
        };
        indexer.begin_part(None);
        indexer.begin_content(outer, at);
        indexer
    }

    /// Takes the next bytes. The result does not depend on how they are cut.
    pub fn push(&mut self, bytes: &[u8]) {
        self.look_at_bytes(bytes);
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            if self.length == 0 {
                let eight_bit = !line.is_ascii();
                self.take_line(&line[..line.len().min(LINE)], line.len() as u64, eight_bit);
                self.line_end = line_end(line);
            } else {
                self.keep(line);
                self.take_kept();
            }
            rest = after;
        }
        if !rest.is_empty() {
            self.keep(rest);
        }
    }

    fn look_at_bytes(&mut self, bytes: &[u8]) {
        if !self.index.flags.has(Flag::Nul) && memchr::memchr(0, bytes).is_some() {
            self.index.flags.raise(Flag::Nul);
        }
        if self.index.flags.has(Flag::BareLineEnding) || bytes.is_empty() {
            return;
        }
        let mut bare = self.after_cr != (bytes[0] == b'\n');
        bare |= memchr::memchr2_iter(b'\r', b'\n', bytes).any(|at| match bytes[at] {
            b'\r' => bytes.get(at + 1).is_some_and(|next| *next != b'\n'),
            _ => at > 0 && bytes[at - 1] != b'\r',
        });
        self.index.flags.raise_if(bare, Flag::BareLineEnding);
        self.after_cr = bytes.last() == Some(&b'\r');
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.length += bytes.len() as u64;
        self.eight_bit |= !bytes.is_ascii();
        self.tail = match *bytes {
            [.., before, last] => [before, last],
            [last] => [self.tail[1], last],
            [] => self.tail,
        };
    }

    fn take_kept(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        let (length, eight_bit) = (std::mem::take(&mut self.length), std::mem::take(&mut self.eight_bit));
        self.take_line(&line, length, eight_bit);
        self.line_end = line_end(&self.tail);
        line.clear();
        self.line = line;
    }

    /// One line with its end; of a long one only its beginning.
    fn take_line(&mut self, line: &[u8], length: u64, eight_bit: bool) {
        let span = self.at..self.at + length;
        match self.delimiter(line, length) {
            Some((multipart, last)) => self.delimit(multipart, last, &span, eight_bit),
            None if self.state == State::Header => self.header_line(line, &span, eight_bit),
            None => {
                self.mark(eight_bit);
                self.look_for_files(line);
            }
        }
        self.at = span.end;
    }

    fn delimiter(&mut self, line: &[u8], length: u64) -> Option<(usize, bool)> {
        if self.state == State::Sealed || line.len() as u64 != length || !line.starts_with(b"--") {
            return None;
        }
        match self.boundaries.find(line, !self.index.flags.has(Flag::BadDelimiter)) {
            Found::Delimiter { multipart, last } => Some((multipart, last)),
            Found::Bad => {
                self.index.flags.raise(Flag::BadDelimiter);
                None
            }
            Found::Nothing => None,
        }
    }

    /// A delimiter of one of the open multiparts: what is open inside it ends.
    fn delimit(&mut self, multipart: usize, last: bool, span: &Range<u64>, eight_bit: bool) {
        let mut start = span.start;
        while self.state == State::Header {
            self.end_header(start..start);
        }
        // RFC 2046 5.1.1: the line end before a delimiter belongs to it.
        let content = self.index.slots.last().map_or(start, |slot| slot.span.start);
        start = start.saturating_sub(self.line_end).max(content);
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
        self.mark(eight_bit);
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
        self.multiparts.pop();
        let closed = self.boundaries.pop();
        self.index.flags.raise_if(!closed, Flag::MissingBoundary);
    }

    /// The rest is one opaque leaf: the part just begun.
    fn seal(&mut self, at: u64) {
        self.begin_slot(at);
        self.begin_slot(at);
        let part = self.index.parts.last_mut().expect("a part has just begun");
        part.media_type = "application/octet-stream".to_owned();
        part.media_types = vec![part.media_type.clone()];
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

    fn mark(&mut self, eight_bit: bool) {
        if eight_bit && let Some(slot) = self.index.slots.last_mut() {
            slot.eight_bit = true;
        }
    }

    /// A part whose header begins with the last slot.
    fn begin_part(&mut self, parent: Option<usize>) {
        let id = PartId(u32::try_from(self.index.parts.len()).expect("parts are limited"));
        let above = parent.map(|parent| &mut self.index.parts[parent]);
        let (depth, nested, protection) = above.map_or((0, false, None), |above| {
            above.leaf = false;
            (above.depth + 1, above.nested || !above.media_type.starts_with("multipart/"), above.protection)
        });
        self.open.push(id.index());
        self.index.parts.push(Part {
            id,
            parent: parent.map(|parent| self.index.parts[parent].id),
            depth,
            media_type: "text/plain".to_owned(),
            media_types: vec!["text/plain".to_owned()],
            charset: None,
            encoding: "7bit".to_owned(),
            names: Vec::new(),
            disposition: None,
            leaf: true,
            nested,
            protection,
            opaque: false,
            embedded: false,
            size: 0,
            slots: 0..0,
            boundary: None,
            header: parent.map(|_| self.index.slots.len() - 1),
        });
    }

    fn end_part(&mut self, part: usize, at: u64) {
        let slots = self.index.slots.len();
        let part = &mut self.index.parts[part];
        part.slots.end = slots;
        part.size = at.saturating_sub(self.index.slots[part.slots.start].span.start);
    }

    /// A line of a part's header.
    fn header_line(&mut self, line: &[u8], span: &Range<u64>, eight_bit: bool) {
        if matches!(line, b"\r\n" | b"\n") {
            self.end_header(span.clone());
            return;
        }
        self.mark(eight_bit);
        self.index.flags.raise_if(eight_bit, Flag::EightBitHeader);
        let mut too_many = line.len() as u64 != span.end - span.start;
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
            self.index.flags.raise_if(is_bad_line(line), Flag::BadHeaderLine);
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
        let parent = self.index.parts[part].parent.map(|parent| self.index.parts[parent.index()].media_type.as_str());
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
            self.boundaries.push(boundary);
            self.multiparts.push(id);
        } else if inside {
            self.begin_part(Some(id));
            self.state = State::Header;
        } else {
            self.leaf = Some(id);
        }
    }

    /// Files and inline PGP inside a text (RULES `embedded_file`, `protected`).
    fn look_for_files(&mut self, line: &[u8]) {
        if !matches!(line.first(), Some(b'-' | b'b' | b'=' | b'(')) {
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
        self.index.flags.raise_if(self.after_cr, Flag::BareLineEnding);
        if self.length > 0 {
            self.take_kept();
        }
        while self.state == State::Header {
            self.end_header(self.at..self.at);
        }
        while self.boundaries.len() > 0 {
            self.leave_multipart();
        }
        if let Some(slot) = self.index.slots.last_mut() {
            slot.span.end = self.at;
        }
        while let Some(part) = self.open.pop() {
            self.end_part(part, self.at);
        }
        self.index
    }
}

fn line_end(line: &[u8]) -> u64 {
    if line.ends_with(b"\r\n") { 2 } else { u64::from(line.ends_with(b"\n")) }
}

/// Encrypted says more than signed.
fn stronger(one: Option<Protection>, other: Option<Protection>) -> Option<Protection> {
    if other == Some(Protection::Encrypted) { other } else { one.or(other) }
}

/// No colon, an empty name, or a blank in or after the name.
#[must_use]
pub fn is_bad_line(line: &[u8]) -> bool {
    match memchr::memchr(b':', line) {
        None | Some(0) => true,
        Some(colon) => !line[..colon].iter().all(u8::is_ascii_graphic),
    }
}

/// What inline PGP (RFC 9580 6.2) a line begins.
#[must_use]
pub fn inline_pgp(line: &[u8]) -> Option<Protection> {
    match line.strip_prefix(b"-----BEGIN PGP ")?.trim_ascii_end() {
        b"SIGNED MESSAGE-----" => Some(Protection::Signed),
        rest if rest.starts_with(b"MESSAGE") => Some(Protection::Encrypted),
        _ => None,
    }
}

/// The name of the file that begins with this line.
fn embedded_name(line: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = line.strip_prefix(b"begin ") {
        let digits = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
        return (matches!(digits, 3 | 4) && rest.get(digits) == Some(&b' ')).then(|| rest[digits..].trim_ascii());
    }
    if line.starts_with(b"=ybegin ") {
        return Some(memchr::memmem::find(line, b" name=").map_or(b"".as_slice(), |at| line[at + 6..].trim_ascii()));
    }
    line.starts_with(b"(This file must be converted with BinHex").then_some(b"")
}
