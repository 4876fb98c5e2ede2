//! The message: bytes as received, seen as slots, and edited slot by slot (DESIGN decisions 5 and 6).
//!
//! [`Receiver`] takes unstuffed bytes as they come in, indexes the MIME structure on the way and becomes a [`Message`]. A message is its outer header (a list of
//! [`Field`]s, each a slice of the received header block until replaced), the blank line, and a [`body::Body`]: content in memory or in a file, an index of its
//! parts, and slots that are spans of that content until an action replaces them. Output is the slots in order ([`Message::pieces`]). A clone shares everything.
//! Functions that may read content from a file block; those that only look at header and index do not.

pub mod received;

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::budget::Budget;
use crate::base::disk::Scratch;

/// What a message may be (CONFIG `limits`).
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of the whole message.
    pub message_size: u64,
    /// Bytes of the outer header.
    pub header_size: u64,
    /// Fields in the outer header.
    pub header_fields: u64,
    /// Nesting of parts.
    pub depth: u32,
    /// Parts in all.
    pub parts: u32,
    /// Fields in the headers of all parts.
    pub part_fields: u32,
    /// Bytes of content kept in memory before it moves to a file.
    pub memory: u64,
    /// Bytes of one decoded text part.
    pub text: u64,
}

/// Where the bytes of a message may live.
#[derive(Clone, Debug)]
pub struct Room {
    pub memory: Arc<Budget>,
    pub disk: Arc<Budget>,
    /// Where content that outgrows memory goes.
    pub directory: PathBuf,
    /// The first part of names in it: the owner's id.
    pub owner: String,
}

/// Why a message is not taken. Each has its reply.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the message is larger than limits.message_size")]
    TooLarge,
    #[error("the header is larger than limits.header_size")]
    HeaderTooLarge,
    #[error("the header has more fields than limits.header_fields")]
    TooManyFields,
    #[error("limits.bytes_in_flight is reached")]
    NoMemory,
    #[error("limits.temporary_disk is reached")]
    NoDisk,
    #[error("the temporary file could not be written: {0}")]
    Disk(#[from] io::Error),
}

/// Why an edit or a look inside failed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The message's own fault: a rule's `on_error` defaults to `quarantine`.
    #[error("{0}")]
    Message(String),
    /// The machine's: `on_error` defaults to `defer`.
    #[error("the content could not be read: {0}")]
    Disk(#[from] io::Error),
    /// A budget of all sessions is spent: `defer`.
    #[error("limits.bytes_in_flight is reached")]
    NoMemory,
}

/// A run of output bytes.
#[derive(Clone, Debug)]
pub enum Piece {
    Memory(Bytes),
    File { file: Arc<Scratch>, span: Range<u64> },
}

/// A replacement in a text, by range of bytes of the text as it was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub range: Range<usize>,
    pub with: String,
}

/// One field of the outer header: name, colon, value, folds and line end, as one run of bytes. A line without a colon is a field with an empty name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    bytes: Bytes,
    /// Length of the name.
    name: usize,
}

impl Field {
    /// A new field `Name: value` with a CR LF; the value is made safe for a header (no CR, LF or NUL; RFC 2047 where needed; folded at 78 where blanks allow).
    #[must_use]
    pub fn new(name: &str, value: &str) -> Field {
        let _ = (name, value);
        todo!("message helper")
    }

    /// A field of raw bytes, which must be whole: name, colon, value, folds, CR LF.
    #[must_use]
    pub fn from_raw(bytes: Bytes) -> Field {
        let _ = bytes;
        todo!("message helper")
    }

    /// The name as written, without blanks before the colon; empty for a line without colon.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.bytes[..self.name]
    }

    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name.as_bytes())
    }

    /// All bytes, line end included.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.bytes
    }

    /// Everything after the colon, leading blank and folds included, without the final line end.
    #[must_use]
    pub fn raw_value(&self) -> &[u8] {
        todo!("message helper")
    }

    /// The value a reader sees: unfolded, trimmed, RFC 2047 decoded; raw 8-bit as UTF-8, else windows-1252.
    #[must_use]
    pub fn value(&self) -> String {
        todo!("message helper")
    }

    /// The value unfolded and trimmed, not decoded (encoded words stay): what `view: raw` sees.
    #[must_use]
    pub fn source(&self) -> String {
        todo!("message helper")
    }

    /// This field with another value after the colon (raw bytes, as [`Field::raw_value`] gives them); name and colon stay.
    #[must_use]
    pub fn with_raw_value(&self, value: &[u8]) -> Field {
        let _ = value;
        todo!("message helper")
    }

    /// This field with another text: name, and what stands between colon and value, stay; the text is encoded as [`Field::new`] does.
    #[must_use]
    pub fn with_value(&self, text: &str) -> Field {
        let _ = text;
        todo!("message helper")
    }

    /// Replaces ranges of [`Field::value`] (decoded) or, with `raw`, of [`Field::source`]; every byte of the field outside the changed words stays, folds too.
    #[must_use]
    pub fn with_changes(&self, changes: &[Change], raw: bool) -> Field {
        let _ = (changes, raw);
        todo!("message helper")
    }
}

/// Index of a part in [`Message::parts`]. Good until the MIME index is built anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartId(pub u32);

/// A node of the MIME tree, in order of appearance; 0 is the message itself.
#[derive(Clone, Debug)]
pub struct Part {
    pub id: PartId,
    pub parent: Option<PartId>,
    pub depth: u32,
    /// Lower case `type/subtype`; `text/plain` (or `message/rfc822` in a digest) where absent or unreadable.
    pub media_type: String,
    /// Every media type a reader could take it for (duplicate fields); the first is `media_type`.
    pub media_types: Vec<String>,
    pub charset: Option<String>,
    /// Lower case; `7bit` where none is declared.
    pub encoding: String,
    /// Every name a reader could show, decoded, without trailing dots, blanks or invisible characters.
    pub names: Vec<String>,
    /// Lower case: `inline`, `attachment`, …; none if not given.
    pub disposition: Option<String>,
    /// No parts below it.
    pub leaf: bool,
    /// Below a message/rfc822 part.
    pub nested: bool,
    /// Part of, or is, something signed or encrypted.
    pub protection: Option<Protection>,
    /// Bytes of its encoded content, as received.
    pub size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    Signed,
    Encrypted,
}

/// A message on its way. See the module.
#[derive(Clone, Debug)]
pub struct Message {
    fields: Arc<Vec<Field>>,
}

impl Message {
    /// Reads a message that is in memory as a whole: for samples, tests and tools.
    ///
    /// # Errors
    /// The limit it is over.
    pub fn parse(bytes: Bytes, limits: &Arc<Limits>) -> Result<Message, Refusal> {
        let _ = (bytes, limits);
        todo!("message helper")
    }

    /// Bytes as it now stands.
    #[must_use]
    pub fn size(&self) -> u64 {
        todo!("message helper")
    }

    /// Bytes as received.
    #[must_use]
    pub fn received_size(&self) -> u64 {
        todo!("message helper")
    }

    /// Whether content lies in a file, so that looking inside blocks on disk.
    #[must_use]
    pub fn in_file(&self) -> bool {
        todo!("message helper")
    }

    /// The outer header.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Puts a field above the one at `index` (0: on top).
    pub fn insert_field(&mut self, index: usize, field: Field) {
        Arc::make_mut(&mut self.fields).insert(index, field);
    }

    pub fn remove_field(&mut self, index: usize) {
        Arc::make_mut(&mut self.fields).remove(index);
    }

    /// Replaces one field; an edit of Content-Type, Content-Transfer-Encoding or MIME-Version makes the index anew.
    pub fn replace_field(&mut self, index: usize, field: Field) {
        Arc::make_mut(&mut self.fields)[index] = field;
    }

    /// Replaces the whole list (sort, dedup).
    pub fn set_fields(&mut self, fields: Vec<Field>) {
        self.fields = Arc::new(fields);
    }

    /// The MIME tree in order of appearance. Never empty.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        todo!("message helper")
    }

    /// The names of the `malformed` flags raised (RULES.md), sorted.
    #[must_use]
    pub fn malformed(&self) -> Vec<&'static str> {
        todo!("message helper")
    }

    /// The leaf parts whose text a reader sees inline (type text/*, not an attachment), those of attached messages too if `nested`.
    #[must_use]
    pub fn readable(&self, nested: bool) -> Vec<PartId> {
        let _ = nested;
        todo!("message helper")
    }

    /// The leaf parts a reader would save, and attached messages.
    #[must_use]
    pub fn attachments(&self) -> Vec<PartId> {
        todo!("message helper")
    }

    /// The text of a text part: transfer encoding and charset decoded, line ends `\n`. Kept, so asking twice costs once.
    ///
    /// # Errors
    /// Too large (`limits.chain.text`), does not decode, disk.
    pub fn text(&self, part: PartId) -> Result<Arc<str>, Fault> {
        let _ = part;
        todo!("message helper")
    }

    /// Replaces ranges of [`Message::text`], which must be in order and not overlap, and writes the part back in its own encoding and charset (UTF-8 with the charset parameter changed
    /// where that cannot represent the result). Bytes outside what DESIGN decision 5 allows stay.
    ///
    /// # Errors
    /// As [`Message::text`].
    pub fn edit_text(&mut self, part: PartId, changes: &[Change]) -> Result<(), Fault> {
        let _ = (part, changes);
        todo!("message helper")
    }

    /// The content of a leaf, transfer encoding decoded.
    ///
    /// # Errors
    /// Does not decode, budget, disk.
    pub fn decoded(&self, part: PartId) -> Result<Bytes, Fault> {
        let _ = part;
        todo!("message helper")
    }

    /// At most `most` bytes from the start of a leaf's decoded content, for telling its true type.
    ///
    /// # Errors
    /// Disk.
    pub fn decoded_start(&self, part: PartId, most: usize) -> Result<Bytes, Fault> {
        let _ = (part, most);
        todo!("message helper")
    }

    /// The encoded content of a part as it now stands, in pieces of at most 256 KiB.
    ///
    /// # Errors
    /// What `each` returned, or disk.
    pub fn encoded(&self, part: PartId, each: &mut dyn FnMut(&[u8])) -> Result<(), Fault> {
        let _ = (part, each);
        todo!("message helper")
    }

    /// Makes `text` the content of a leaf, its Content-Transfer-Encoding quoted-printable (set in place, or added); `content_type` replaces its Content-Type value if given.
    ///
    /// # Errors
    /// Disk.
    pub fn replace_leaf(&mut self, part: PartId, text: &str, content_type: Option<&str>) -> Result<(), Fault> {
        let _ = (part, text, content_type);
        todo!("message helper")
    }

    /// Makes `text` the whole body: one text/plain part in quoted-printable, UTF-8, its content fields in the outer header set to match.
    ///
    /// # Errors
    /// Disk.
    pub fn replace_body(&mut self, text: &str) -> Result<(), Fault> {
        let _ = text;
        todo!("message helper")
    }

    /// The whole body as it now stands, at most `limits.text` bytes.
    ///
    /// # Errors
    /// Too large, disk.
    pub fn raw_body(&self) -> Result<Bytes, Fault> {
        todo!("message helper")
    }

    /// Makes these bytes the body (bare line ends become CR LF) and builds the index anew.
    ///
    /// # Errors
    /// Budget.
    pub fn set_raw_body(&mut self, body: Bytes) -> Result<(), Fault> {
        let _ = body;
        todo!("message helper")
    }

    /// The output: header fields, blank line, body, in runs as long as they come.
    #[must_use]
    pub fn pieces(&self) -> Vec<Piece> {
        todo!("message helper")
    }

    /// All output bytes, in pieces of at most 256 KiB.
    ///
    /// # Errors
    /// Disk.
    pub fn for_each(&self, each: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let _ = each;
        todo!("message helper")
    }

    /// Top-level `Received` fields, and how many of them have an `id` that ends with `token`.
    #[must_use]
    pub fn hops(&self, token: &str) -> (usize, usize) {
        let _ = token;
        todo!("message helper")
    }

    /// Whether the content has bytes over 127 or lines over 998 bytes: (header has 8-bit, body has 8-bit).
    #[must_use]
    pub fn eight_bit(&self) -> (bool, bool) {
        todo!("message helper")
    }

    /// This message for a next hop without 8BITMIME: parts that need it become quoted-printable.
    ///
    /// # Errors
    /// [`Fault::Message`] if such a part may not be edited (signed, encrypted).
    pub fn seven_bit(&self) -> Result<Message, Fault> {
        todo!("message helper")
    }
}

/// Takes a message in, piece by piece.
#[derive(Debug)]
pub struct Receiver {
    limits: Arc<Limits>,
}

impl Receiver {
    #[must_use]
    pub fn new(limits: Arc<Limits>, room: Room) -> Receiver {
        let _ = room;
        Receiver { limits }
    }

    /// Takes unstuffed bytes. Does not block: content that has to go to the file waits for [`Receiver::flush`]. Over a limit: refused, and everything later is swallowed at no cost.
    ///
    /// # Errors
    /// The limit.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let _ = (bytes, &self.limits);
        todo!("message helper")
    }

    /// Whether 256 KiB or more wait to be written to the file.
    #[must_use]
    pub fn wants_flush(&self) -> bool {
        todo!("message helper")
    }

    /// Writes what waits to the file. Blocks.
    ///
    /// # Errors
    /// Disk or its budget.
    pub fn flush(&mut self) -> Result<(), Refusal> {
        todo!("message helper")
    }

    /// The message. Blocks if [`Receiver::in_file`].
    ///
    /// # Errors
    /// The limit.
    pub fn finish(self) -> Result<Message, Refusal> {
        todo!("message helper")
    }

    #[must_use]
    pub fn in_file(&self) -> bool {
        todo!("message helper")
    }
}
