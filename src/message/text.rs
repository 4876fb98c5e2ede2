//! A part's content without its transfer encoding, and its text.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::charset::{self, Charset};
use super::content::{Content, hold_in, to_usize};
use super::part::{Part, PartId, Protection};
use super::slot::Slot;
use super::{Fault, Message, base64, lines, quoted};
use crate::base::budget::Share;

/// A text as it was handed out, with the budget it takes.
#[derive(Debug)]
pub struct Text {
    pub content: Arc<str>,
    pub charset: Charset,
    _share: Share,
}

/// How bytes are written for transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    Identity,
    Base64,
    Quoted,
}

impl Transfer {
    /// The encoding of this name; none if nobody knows it.
    pub fn find(name: &str) -> Option<Transfer> {
        match name {
            "7bit" | "8bit" | "binary" => Some(Transfer::Identity),
            "base64" => Some(Transfer::Base64),
            "quoted-printable" => Some(Transfer::Quoted),
            _ => None,
        }
    }

    pub fn decode(self, encoded: &Bytes) -> Cow<'_, [u8]> {
        match self {
            Transfer::Identity => Cow::Borrowed(encoded),
            Transfer::Base64 => Cow::Owned(base64::decode(encoded).0),
            Transfer::Quoted => Cow::Owned(quoted::decode(encoded).0),
        }
    }

    /// At most so many encoded bytes stand for one decoded byte, soft breaks included.
    fn widest(self) -> u64 {
        if self == Transfer::Identity { 1 } else { 4 }
    }
}

impl Message {
    pub(super) fn part(&self, part: PartId) -> &Part {
        &self.parts()[part.index()]
    }

    /// The one slot of a leaf's content.
    pub(super) fn leaf(&self, part: PartId) -> Result<(&Part, &Slot), Fault> {
        let found = self.part(part);
        if found.opaque {
            return Err(Fault::Message(format!("part {} was not looked into: beyond limits.mime", part.0)));
        }
        if !found.leaf {
            return Err(Fault::Message(format!("part {} ({}) has parts of its own", part.0, found.media_type)));
        }
        Ok((found, &self.tree().slots[found.slots.start]))
    }

    pub(super) fn slot_bytes(&self, slot: &Slot) -> Result<Bytes, Fault> {
        match slot.in_memory(&self.body.content) {
            Some(bytes) => Ok(bytes),
            None => Ok(Content::new(slot.pieces(&self.body.content)).read(0..slot.size())?),
        }
    }

    pub(super) fn transfer(part: &Part) -> Result<Transfer, Fault> {
        // RFC 2045 6.4: no encoding but the plain ones makes sense on a multipart, and most readers ignore it.
        if part.media_type.starts_with("multipart/") {
            return Ok(Transfer::Identity);
        }
        Transfer::find(&part.encoding)
            .ok_or_else(|| Fault::Message(format!("part {} has the unknown transfer encoding {:?}", part.id.0, part.encoding)))
    }

    /// The text of a text part: transfer encoding and charset decoded, line ends `\n`. Kept, so asking twice costs once.
    ///
    /// # Errors
    /// Too large (`limits.chain.text`), does not decode, disk.
    pub fn text(&self, part: PartId) -> Result<Arc<str>, Fault> {
        Ok(Arc::clone(&self.text_of(part)?.content))
    }

    pub(super) fn text_of(&self, id: PartId) -> Result<Arc<Text>, Fault> {
        let (part, slot) = self.leaf(id)?;
        if let Some(text) = slot.text.get() {
            return Ok(Arc::clone(text));
        }
        let text = self.read_text(part, slot)?;
        let text = text.ok_or_else(|| Fault::Message(format!("part {} is larger than limits.chain.text", id.0)))?;
        Ok(Arc::clone(slot.text.get_or_init(|| Arc::new(text))))
    }

    /// None: it is larger than `limits.text`.
    fn read_text(&self, part: &Part, slot: &Slot) -> Result<Option<Text>, Fault> {
        let transfer = Message::transfer(part)?;
        let limit = self.limits.text;
        if slot.size() / transfer.widest() > limit {
            return Ok(None);
        }
        let mut share = self.budget.share();
        if !share.grow(slot.size()) {
            return Err(Fault::NoMemory);
        }
        let encoded = self.slot_bytes(slot)?;
        let decoded = transfer.decode(&encoded);
        let charset = charset::choose(part.charset.as_deref(), &decoded);
        let text = charset::decode(charset.encoding, &decoded);
        if text.len() as u64 > limit {
            return Ok(None);
        }
        let text: Arc<str> = charset::with_lf(&text).into();
        share.shrink(u64::MAX);
        if !share.grow(text.len() as u64) {
            return Err(Fault::NoMemory);
        }
        Ok(Some(Text { content: text, charset, _share: share }))
    }

    /// Whether the text of a part is larger than `limits.text`, so that no rule can test it (`malformed: too_large`). Decodes only where the size leaves it open.
    ///
    /// # Errors
    /// Unopened, does not decode, budget, disk.
    pub fn too_large(&self, id: PartId) -> Result<bool, Fault> {
        // No charset needs more than three bytes of UTF-8 for a byte.
        const WIDEST: u64 = 3;
        let (part, slot) = self.leaf(id)?;
        if slot.text.get().is_some() || slot.size().saturating_mul(WIDEST) <= self.limits.text {
            return Ok(false);
        }
        let text = self.read_text(part, slot)?;
        Ok(text.map(|text| slot.text.get_or_init(|| Arc::new(text))).is_none())
    }

    /// The content of a leaf, transfer encoding decoded.
    ///
    /// # Errors
    /// Does not decode, budget, disk.
    pub fn decoded(&self, part: PartId) -> Result<Bytes, Fault> {
        let (part, slot) = self.leaf(part)?;
        let transfer = Message::transfer(part)?;
        let mut share = self.budget.share();
        if slot.in_memory(&self.body.content).is_none() && !share.grow(slot.size()) {
            return Err(Fault::NoMemory);
        }
        let encoded = self.slot_bytes(slot)?;
        if transfer == Transfer::Identity && !self.in_file() {
            return Ok(encoded);
        }
        let decoded = transfer.decode(&encoded).into_owned();
        drop(share);
        hold_in(decoded, &self.budget).ok_or(Fault::NoMemory)
    }

    /// At most `most` bytes from the start of a leaf's decoded content, for telling its true type.
    ///
    /// # Errors
    /// Disk.
    pub fn decoded_start(&self, part: PartId, most: usize) -> Result<Bytes, Fault> {
        let (part, slot) = self.leaf(part)?;
        let transfer = Message::transfer(part)?;
        let enough = (most as u64).saturating_mul(transfer.widest()).saturating_add(512).min(slot.size());
        let start = Content::new(slot.pieces(&self.body.content)).read(0..enough)?;
        let mut decoded = transfer.decode(&start).into_owned();
        decoded.truncate(most);
        Ok(decoded.into())
    }

    /// Whether a part is signed or encrypted, inline PGP inside an encoded text included, which [`Part::protection`] does not see.
    ///
    /// # Errors
    /// As [`Message::text`].
    pub fn protection(&self, part: PartId) -> Result<Option<Protection>, Fault> {
        let found = self.part(part);
        if found.protection.is_some() || !found.leaf || found.opaque || !found.is_text() || Message::transfer(found)? == Transfer::Identity
        {
            return Ok(found.protection);
        }
        let text = self.text(part)?;
        Ok(text.lines().find_map(|line| lines::inline_pgp(line.as_bytes())))
    }

    /// The first part that is signed or encrypted. A text that cannot be read is none.
    ///
    /// # Errors
    /// Disk, budget.
    pub fn first_protected(&self) -> Result<Option<PartId>, Fault> {
        for part in self.parts() {
            match self.protection(part.id) {
                Ok(Some(_)) => return Ok(Some(part.id)),
                Ok(None) | Err(Fault::Message(_)) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(None)
    }

    /// Whether base64 or quoted-printable of a leaf, and the charset of a text, decode whole (`malformed: bad_encoding` looks here, too).
    ///
    /// # Errors
    /// Unopened, budget, disk.
    pub fn decodes_whole(&self, part: PartId) -> Result<bool, Fault> {
        let (part, slot) = self.leaf(part)?;
        let whole = match Transfer::find(&part.encoding) {
            Some(Transfer::Base64) => {
                let (mut decoder, mut content) = (base64::Decoder::default(), Vec::new());
                self.encoded(part.id, &mut |piece| {
                    decoder.push(piece, &mut content);
                    content.clear();
                })?;
                decoder.finish(&mut content)
            }
            Some(Transfer::Quoted) => {
                let mut share = self.budget.share();
                if self.in_file() && !share.grow(slot.size()) {
                    return Err(Fault::NoMemory);
                }
                quoted::decode(&self.slot_bytes(slot)?).1
            }
            Some(Transfer::Identity) => true,
            None => return Ok(false),
        };
        let label = part.charset.as_deref();
        // Only the rarest charsets need a look at the text itself.
        let rare = part.is_text() && label.and_then(charset::find).is_some_and(|found| !found.is_ascii_compatible());
        Ok(whole && !(rare && charset::is_ambiguous(label, &self.decoded(part.id)?)))
    }

    pub(super) fn room_for(&self, bytes: Vec<u8>) -> Result<Bytes, Fault> {
        hold_in(bytes, &self.budget).ok_or(Fault::NoMemory)
    }

    /// Bytes of a span of text in memory, for limits that are counted in `u64`.
    pub(super) fn text_limit(&self) -> usize {
        to_usize(self.limits.text)
    }
}
