//! The message: bytes as received, seen as slots, and edited slot by slot (DESIGN decisions 5 and 6).
//!
//! [`Receiver`] takes unstuffed bytes as they come in, indexes the MIME structure on the way and becomes a [`Message`]. A message is its outer header (a list of
//! [`Field`]s, each a slice of the received header block until replaced), the blank line, and a body: content in memory or in a file, an index of its
//! parts, and slots that are spans of that content until an action replaces them. Output is the slots in order ([`Message::pieces`]). A clone shares everything.
//! Functions that may read content from a file block; those that only look at header and index do not.
//!
//! | file | what |
//! |---|---|
//! | `receiver`, `header` | bytes in → `Message` |
//! | `index`, `lines`, `ends`, `boundary`, `flags` | the MIME tree and what is malformed about it |
//! | `part`, `parameter`, `simple`, `written`, `common`, `field`, `spots`, `words` | what headers say |
//! | `body` | what is known of a body, and when it is looked up |
//! | `content`, `slot`, `output` | where the bytes lie, and the way out |
//! | `text`, `stream`, `verbatim`, `charset`, `base64`, `quoted`, `locate`, `edit`, `convert` | a part's text, and the way back into its bytes |
//! | `rewrite`, `rebase`, `put`, `draft` | a large text changed run by run, and new bytes in place of a part's |
//! | `digest`, `received`, `wrap` | hashes, the field that Transom adds, a message made the text of another |

mod ascii;
mod base64;
mod body;
mod boundary;
mod charset;
mod common;
mod content;
mod convert;
pub mod digest;
mod draft;
mod edit;
mod ends;
mod field;
mod flags;
mod header;
mod index;
mod lines;
mod locate;
mod output;
mod parameter;
mod part;
mod put;
mod quoted;
mod rebase;
pub mod received;
mod receiver;
mod rewrite;
mod simple;
mod slot;
mod spots;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod verbatim;
mod words;
mod wrap;
mod written;

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

pub use content::{Content, Piece};
pub use field::{Change, Field};
pub use flags::Flag;
pub use part::{Part, PartId, Protection};
pub use receiver::Receiver;
pub use text::Decoded;
pub use verbatim::{Changed, Found};

use crate::base::budget::Budget;
use body::Body;
use part::{Declared, is_content_field};
use slot::Longest;

/// What a message may be (CONFIG `limits`).
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of the whole message.
    pub message_size: u64,
    /// Bytes of the outer header; of all content fields of the parts, too.
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
    pub directory: Arc<Path>,
    /// The first part of names in it: the owner's id.
    pub owner: Arc<str>,
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

impl Refusal {
    /// The same once more, for who asks later.
    fn again(&self) -> Refusal {
        match self {
            Refusal::TooLarge => Refusal::TooLarge,
            Refusal::HeaderTooLarge => Refusal::HeaderTooLarge,
            Refusal::TooManyFields => Refusal::TooManyFields,
            Refusal::NoMemory => Refusal::NoMemory,
            Refusal::NoDisk => Refusal::NoDisk,
            Refusal::Disk(error) => Refusal::Disk(io::Error::new(error.kind(), error.to_string())),
        }
    }
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
    #[error("limits.temporary_disk is reached")]
    NoDisk,
    /// The machine's.
    #[error("what rules made of the content could not be written: {0}")]
    Write(io::Error),
}

/// A message on its way. See the module.
#[derive(Clone, Debug)]
pub struct Message {
    limits: Arc<Limits>,
    budget: Arc<Budget>,
    fields: Arc<Vec<Field>>,
    blank: Bytes,
    /// The blank line is ours: the message came without one.
    separated: bool,
    /// What was received, where no line of it begins with a dot.
    undotted: Option<Bytes>,
    body: Arc<Body>,
    received_size: u64,
    /// Of one whose content lies in a file: where that is, and more of its bytes may be.
    room: Option<Arc<Room>>,
}

/// The outer header as received.
struct Header {
    fields: Vec<Field>,
    blank: Bytes,
}

impl Message {
    /// Reads a message that is in memory as a whole: for samples, tests and tools.
    ///
    /// # Errors
    /// The limit it is over.
    #[expect(clippy::needless_pass_by_value, reason = "who has a message as a whole need not keep it")]
    pub fn parse(bytes: Bytes, limits: &Arc<Limits>) -> Result<Message, Refusal> {
        let mut receiver = Receiver::make(Arc::clone(limits), Budget::new(u64::MAX), None);
        receiver.push(&bytes)?;
        receiver.finish()
    }

    fn new(limits: Arc<Limits>, budget: Arc<Budget>, header: Header, body: Body, room: Option<Arc<Room>>) -> Message {
        let received_size = body.content.size();
        let (fields, blank, body) = (Arc::new(header.fields), header.blank, Arc::new(body));
        Message { limits, budget, fields, blank, separated: false, undotted: None, body, received_size, room }
    }

    /// Bytes as received.
    #[must_use]
    pub fn received_size(&self) -> u64 {
        self.received_size
    }

    /// Whether content lies in a file, so that looking inside blocks on disk.
    #[must_use]
    pub fn in_file(&self) -> bool {
        self.body.content.in_file()
    }

    /// The outer header.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Puts a field above the one at `index` (0: on top).
    pub fn insert_field(&mut self, index: usize, field: Field) {
        let content = self.before_edit(field.name());
        self.fields_mut().insert(index, field);
        self.after_edit(content);
    }

    pub fn remove_field(&mut self, index: usize) {
        let content = self.before_edit(self.fields[index].name());
        self.fields_mut().remove(index);
        self.after_edit(content);
    }

    /// Replaces one field; an edit of Content-Type, Content-Transfer-Encoding or MIME-Version makes the index anew.
    pub fn replace_field(&mut self, index: usize, field: Field) {
        let content = self.before_edit(field.name()) | self.before_edit(self.fields[index].name());
        self.fields_mut()[index] = field;
        self.after_edit(content);
    }

    /// Replaces the whole list (sort, dedup).
    pub fn set_fields(&mut self, fields: Vec<Field>) {
        self.tree();
        self.fields = Arc::new(fields);
        self.after_edit(true);
    }

    /// The list, to be changed: where copies share it, a new one with room for a few more.
    fn fields_mut(&mut self) -> &mut Vec<Field> {
        if Arc::get_mut(&mut self.fields).is_none() {
            let mut fields = Vec::with_capacity(self.fields.len() + 4);
            fields.extend_from_slice(&self.fields);
            self.fields = Arc::new(fields);
        }
        Arc::make_mut(&mut self.fields)
    }

    /// Whether a field of that name bears on the index: then it is made for the fields that were received, before one changes.
    fn before_edit(&self, name: &[u8]) -> bool {
        let content = is_content_field(name);
        if content {
            self.tree();
        }
        content
    }

    /// Reads the outer content fields again; where the tree depends on them, it is made anew.
    fn after_edit(&mut self, content_fields: bool) {
        if !content_fields {
            return;
        }
        let declared = Declared::read(self.fields.iter(), "text/plain");
        let known = &self.tree().declared;
        if declared == **known {
            return;
        }
        if declared.structure() != known.structure() {
            self.index_again(declared);
            return;
        }
        let tree = self.tree_mut();
        Arc::make_mut(&mut tree.parts)[0].declare(&declared);
        if let Some(slot) = tree.slots.first_mut() {
            slot.text = text::Memo::default();
        }
        tree.declared = Arc::new(declared);
    }

    /// Makes the index of the body as it now stands.
    fn index_again(&mut self, declared: Declared) {
        let header = self.body.content.pieces(0..self.body.start);
        self.put_content_of(Content::new(header.chain(self.body_pieces())), declared);
    }

    /// The MIME tree in order of appearance. Never empty.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.tree().parts
    }

    /// The names of the `malformed` flags raised (RULES.md), sorted.
    #[must_use]
    pub fn malformed(&self) -> Vec<&'static str> {
        self.flags().names()
    }

    /// Whether a flag was raised when the message came in. `bad_encoding` and `too_large` are raised by parts that do not decode, too: [`Message::decodes_whole`],
    /// [`Message::too_large`].
    #[must_use]
    pub fn has_flag(&self, flag: Flag) -> bool {
        self.flags().has(flag)
    }

    /// The length of the longest line as the message now stands, header included, without its line end.
    ///
    /// # Errors
    /// Disk.
    pub fn longest_line(&self) -> Result<u64, Fault> {
        let mut longest = 0;
        let mut look_at = |pieces: &mut dyn Iterator<Item = Piece>| {
            let mut line = Longest::default();
            for piece in pieces {
                piece.for_each(&mut |run| {
                    line.push(run);
                    io::Result::Ok(())
                })?;
            }
            longest = longest.max(line.finish());
            Ok::<(), Fault>(())
        };
        for field in self.fields.iter() {
            look_at(&mut std::iter::once(Piece::Memory(field.raw().clone())))?;
        }
        match self.body.slots() {
            Some(slots) => slots.iter().try_for_each(|slot| look_at(&mut slot.pieces(&self.body.content)))?,
            None => look_at(&mut self.body_pieces())?,
        }
        Ok(longest)
    }

    /// The header of a part as it now stands; that of an attached message is the header of the part below it.
    ///
    /// # Errors
    /// Larger than `limits.header_size`, disk, budget.
    pub fn header(&self, part: PartId) -> Result<Vec<Field>, Fault> {
        match self.part(part).header {
            None => Ok(self.fields.to_vec()),
            Some(slot) => {
                let slot = &self.tree().slots[slot];
                if slot.size() > self.limits.header_size {
                    return Err(Fault::Message(format!("the header of part {} is larger than limits.header_size", part.0)));
                }
                let bytes = self.slot_bytes(slot)?;
                Ok(header::split(&if self.in_file() { self.room_for(bytes.into())? } else { bytes }))
            }
        }
    }

    /// The leaf parts whose text a reader sees inline (type text/*, not an attachment); with `nested` those of attached messages too, and what only some readers
    /// show as text. What a limit kept closed is among them: nobody knows what a reader sees there.
    #[must_use]
    pub fn readable(&self, nested: bool) -> Vec<PartId> {
        self.parts().iter().filter(|part| part.is_readable(nested)).map(|part| part.id).collect()
    }

    /// The leaf parts a reader would save, and attached messages; what a limit kept closed, too.
    #[must_use]
    pub fn attachments(&self) -> Vec<PartId> {
        let saved = |part: &&Part| {
            let inline = part.disposition.as_deref().is_none_or(|disposition| disposition == "inline");
            let read = part.is_text() && inline && part.names.is_empty() && !part.embedded;
            part.opaque || (part.leaf && !read) || part::opens(&part.media_type)
        };
        self.parts().iter().filter(saved).map(|part| part.id).collect()
    }

    /// Top-level `Received` fields, and how many of them have an `id` that ends with `token`.
    #[must_use]
    pub fn hops(&self, token: &str) -> (usize, usize) {
        received::hops(&self.fields, token)
    }
}
