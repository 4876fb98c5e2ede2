//! A part's content without its transfer encoding, and its text.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::Bytes;

use super::charset::{self, Charset};
use super::content::{Content, hold_in, to_usize};
use super::part::{Part, PartId, Protection};
use super::slot::Slot;
use super::{Fault, Message, base64, lines, quoted};
use crate::base::budget::Share;

/// A text without its transfer encoding and charset, with the budget it takes.
#[derive(Debug)]
pub struct Decoded {
    content: String,
    pub(super) charset: Charset,
    _share: Option<Share>,
}

impl Deref for Decoded {
    type Target = str;

    fn deref(&self) -> &str {
        &self.content
    }
}

impl From<String> for Decoded {
    /// What was made of a text; it takes no budget.
    fn from(content: String) -> Decoded {
        Decoded { content, charset: Charset { encoding: encoding_rs::UTF_8, declared: false }, _share: None }
    }
}

impl PartialEq for Decoded {
    fn eq(&self, other: &Decoded) -> bool {
        self.content == other.content
    }
}

impl PartialEq<str> for Decoded {
    fn eq(&self, other: &str) -> bool {
        self.content == other
    }
}

impl Eq for Decoded {}

/// The text of a slot, once it was asked for. Where its bytes lie in memory it is kept with them; of a file's it is known as long as somebody reads it, so that what
/// waits to be sent takes no memory; what it was asked stays known.
#[derive(Debug, Default)]
pub struct Memo {
    kept: OnceLock<Arc<Decoded>>,
    lent: Mutex<Weak<Decoded>>,
    too_large: OnceLock<bool>,
    protection: OnceLock<Option<Protection>>,
}

impl Clone for Memo {
    fn clone(&self) -> Memo {
        Memo {
            kept: self.kept.clone(),
            lent: Mutex::new(self.lent().clone()),
            too_large: self.too_large.clone(),
            protection: self.protection.clone(),
        }
    }
}

impl Memo {
    fn get(&self) -> Option<Arc<Decoded>> {
        self.kept.get().cloned().or_else(|| self.lent().upgrade())
    }

    fn put(&self, text: Decoded, keep: bool) -> Arc<Decoded> {
        if keep {
            return Arc::clone(self.kept.get_or_init(|| Arc::new(text)));
        }
        let text = Arc::new(text);
        *self.lent() = Arc::downgrade(&text);
        text
    }

    fn lent(&self) -> MutexGuard<'_, Weak<Decoded>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

    /// So many encoded bytes stand for at most so many decoded ones.
    pub fn most(self, encoded: u64) -> u64 {
        if self == Transfer::Base64 { encoded / 4 * 3 + 3 } else { encoded }
    }

    /// At most so many encoded bytes stand for one decoded byte, soft breaks included.
    pub fn widest(self) -> u64 {
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

    /// The text of a text part: transfer encoding and charset decoded, line ends `\n`. Asking again costs nothing: where the part lies in memory it is kept, else
    /// as long as somebody has it.
    ///
    /// # Errors
    /// Too large (`limits.chain.text`), does not decode, disk.
    pub fn text(&self, id: PartId) -> Result<Arc<Decoded>, Fault> {
        let (part, slot) = self.leaf(id)?;
        self.text_of(part, slot)?.ok_or_else(|| {
            let advice = "raise that, or have a rule before it say what becomes of such mail (`malformed: too_large`)";
            Fault::Message(format!("part {} is larger than limits.chain.text: {advice}", id.0))
        })
    }

    /// None: it is larger than `limits.text`. Decodes only what is not known.
    fn text_of(&self, part: &Part, slot: &Slot) -> Result<Option<Arc<Decoded>>, Fault> {
        if let Some(text) = slot.text.get() {
            return Ok(Some(text));
        }
        if slot.text.too_large.get() == Some(&true) {
            return Ok(None);
        }
        let text = self.read_text(part, slot)?;
        slot.text.too_large.get_or_init(|| text.is_none());
        Ok(text.map(|text| slot.text.put(text, slot.in_memory(&self.body.content).is_some())))
    }

    /// None: it is larger than `limits.text`.
    fn read_text(&self, part: &Part, slot: &Slot) -> Result<Option<Decoded>, Fault> {
        let transfer = Message::transfer(part)?;
        let limit = self.limits.text;
        if slot.size() / transfer.widest() > limit {
            return Ok(None);
        }
        let (mut share, memory) = (self.budget.share(), slot.in_memory(&self.body.content));
        // Of a file, no more than a text may have is gathered.
        if !share.grow(if memory.is_some() { slot.size() } else { slot.size().min(limit) }) {
            return Err(Fault::NoMemory);
        }
        let read = match memory {
            Some(encoded) => {
                let decoded = transfer.decode(&encoded);
                let charset = charset::choose(part.charset.as_deref(), &decoded);
                let text = charset::decode(charset.encoding, &decoded);
                (text.len() as u64 <= limit).then(|| (charset::with_lf(&text).into_owned(), charset))
            }
            None => self.streamed(part, slot, transfer)?,
        };
        let Some((content, charset)) = read else { return Ok(None) };
        share.shrink(u64::MAX);
        if !share.grow(content.len() as u64) {
            return Err(Fault::NoMemory);
        }
        Ok(Some(Decoded { content, charset, _share: Some(share) }))
    }

    /// Whether the text of a part is larger than `limits.text`, so that no rule can test it (`malformed: too_large`). Decodes only where the size leaves it open.
    ///
    /// # Errors
    /// Unopened, does not decode, budget, disk.
    pub fn too_large(&self, id: PartId) -> Result<bool, Fault> {
        // No charset needs more than three bytes of UTF-8 for a byte.
        const WIDEST: u64 = 3;
        let (part, slot) = self.leaf(id)?;
        if let Some(known) = slot.text.too_large.get() {
            return Ok(*known);
        }
        if slot.size().saturating_mul(WIDEST) <= self.limits.text {
            return Ok(false);
        }
        if !slot.eight_bit && Message::transfer(part)? == Transfer::Identity {
            // A letter for each byte, if any.
            let label = part.charset.as_deref();
            if label.and_then(charset::find).is_none_or(encoding_rs::Encoding::is_ascii_compatible) {
                return Ok(slot.size() > self.limits.text);
            }
        }
        Ok(self.text_of(part, slot)?.is_none())
    }

    /// The content of a leaf, transfer encoding decoded.
    ///
    /// # Errors
    /// Does not decode, budget, disk.
    pub fn decoded(&self, part: PartId) -> Result<Bytes, Fault> {
        let (part, slot) = self.leaf(part)?;
        let transfer = Message::transfer(part)?;
        match slot.in_memory(&self.body.content) {
            Some(bytes) if transfer == Transfer::Identity => Ok(bytes),
            Some(bytes) => self.room_for(transfer.decode(&bytes).into_owned()),
            None => self.all_decoded(slot, transfer),
        }
    }

    /// Hands out the content of a leaf in order, transfer encoding decoded.
    ///
    /// # Errors
    /// Does not decode, budget, disk.
    pub fn each_of_content(&self, part: PartId, each: &mut dyn FnMut(&[u8])) -> Result<(), Fault> {
        let (part, slot) = self.leaf(part)?;
        let handed = self.each_decoded(slot, Message::transfer(part)?, &mut |run| {
            each(run);
            Ok(())
        });
        handed.map(|_: bool| ())
    }

    /// At most `most` bytes from the start of a leaf's decoded content, for telling its true type.
    ///
    /// # Errors
    /// Disk.
    pub fn decoded_start(&self, part: PartId, most: usize) -> Result<Bytes, Fault> {
        let (part, slot) = self.leaf(part)?;
        let transfer = Message::transfer(part)?;
        let enough = (most as u64).saturating_mul(transfer.widest()).saturating_add(512).min(slot.size());
        let mut start = Content::new(slot.pieces(&self.body.content)).read(0..enough)?;
        let all = enough == slot.size();
        if transfer == Transfer::Quoted && !all {
            start.truncate(quoted::settled(&start, 0).unwrap_or(0));
        }
        let mut decoded = transfer.decode(&start).into_owned();
        if decoded.len() < most && !all {
            // Most of it stands for nothing.
            decoded = self.first_decoded(slot, transfer, most)?;
        }
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
        let (_, slot) = self.leaf(part)?;
        if let Some(known) = slot.text.protection.get() {
            return Ok(*known);
        }
        let text = self.text(part)?;
        Ok(*slot.text.protection.get_or_init(|| text.lines().find_map(|line| lines::inline_pgp(line.as_bytes()))))
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
            Some(Transfer::Identity) => true,
            Some(transfer) => self.each_decoded(slot, transfer, &mut |_| Ok::<(), Fault>(()))?,
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
