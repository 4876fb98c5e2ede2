//! A text in a file, searched and written anew run by run.
//!
//! A run is as much of the content as holds whole lines of the text and is in memory at a time. It is decoded, searched, and the bytes that change in it are written as they would
//! be for the whole, into a [`Draft`] that keeps all others where they are. That needs a charset in which a line means the same whatever stands before it, and
//! new text without line ends; anything else is left to who has the whole text in memory ([`Message::write_back`]), and so is what cannot be said so.
//!
//! | transfer encoding | a run ends with | written anew |
//! |---|---|---|
//! | none | a line | what changes |
//! | quoted-printable | a line that does not go on in the next | the lines that hold a change |
//! | base64 | a line, once decoded | everything from the first group of four that changes ([`super::rebase`]) |

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};

use super::content::{Content, PIECE, last_line};
use super::draft::Draft;
use super::field::Change;
use super::lines::inline_pgp;
use super::locate::{ByteChange, is_itself, locate_at, splice};
use super::part::{PartId, Protection};
use super::quoted::{self, Stretch};
use super::rebase::Rebase;
use super::text::Transfer;
use super::verbatim::{Changed, Form, Found, Search, stays_as_it_reads};
use super::{Fault, Message, charset};

/// So much of a file is searched at once at least, however little is to stay in memory.
const LEAST: u64 = 4096;

/// Why a text is not written to its end.
pub enum Stopped<E> {
    Undecided,
    Failed(E),
}

impl<E: From<Fault>> From<Fault> for Stopped<E> {
    fn from(fault: Fault) -> Stopped<E> {
        Stopped::Failed(fault.into())
    }
}

impl Message {
    /// Searches a text that lies in a file; see the module.
    pub(super) fn search_runs<E: From<Fault>>(&self, id: PartId, search: &mut Search<'_, E>) -> Result<Found, E> {
        let (part, slot) = self.leaf(id)?;
        let transfer = Message::transfer(part)?;
        if slot.size() / transfer.widest() > self.limits.text {
            return Ok(Found::Undecided);
        }
        let content = Content::new(slot.pieces(&self.body.content));
        let Some(letters) = Letters::of(self, id)? else { return Ok(Found::Undecided) };
        let step = self.limits.memory.clamp(LEAST, PIECE);
        let written = match transfer {
            Transfer::Base64 => Rebase::new(self, id, &content, letters).search(step, search),
            _ => Lines::new(self, id, &content, letters)?.search(step, search),
        };
        match written {
            Ok(None) => Ok(Found::Nothing),
            Ok(Some(changed)) => Ok(Found::New(changed)),
            Err(Stopped::Undecided) => Ok(Found::Undecided),
            Err(Stopped::Failed(error)) => Err(error),
        }
    }
}

/// Reads runs of decoded bytes as text, and says what becomes of them.
#[expect(clippy::struct_excessive_bools, reason = "answers to questions that each run asks, each on its own")]
pub struct Letters {
    encoding: &'static Encoding,
    /// The message names it; else the text is UTF-8, or to be guessed with all of it at hand.
    declared: bool,
    /// Its name, if readers know fewer letters by it than we do.
    narrow: bool,
    /// The bytes are ASCII as they lie.
    ascii: bool,
    /// Nothing over 127 may be put into it.
    plain: bool,
    encoded: bool,
    limit: u64,
    /// Bytes of text so far, before and after.
    old: u64,
    new: u64,
    pub changed: bool,
    pub protection: Option<Protection>,
}

impl Letters {
    /// None: its charset has lines that mean something else by what stands before them.
    fn of(message: &Message, id: PartId) -> Result<Option<Letters>, Fault> {
        let (part, slot) = message.leaf(id)?;
        let transfer = Message::transfer(part)?;
        let label = part.charset.as_deref();
        let charset = charset::declared(label, &message.decoded_start(id, 2)?);
        let encoding = charset.map_or(UTF_8, |charset| charset.encoding);
        let ascii = transfer == Transfer::Identity && !slot.eight_bit;
        Ok(encoding.is_ascii_compatible().then(|| Letters {
            encoding,
            declared: charset.is_some(),
            narrow: matches!(label, Some("iso-8859-1" | "latin1" | "l1")),
            ascii,
            plain: ascii || charset.is_none(),
            encoded: transfer != Transfer::Identity,
            limit: message.limits.text,
            old: 0,
            new: 0,
            changed: false,
            protection: None,
        }))
    }

    /// The changes in a run of decoded bytes; `ends`: it is the last.
    pub fn changes<E: From<Fault>>(&mut self, bytes: &[u8], ends: bool, search: &mut Search<'_, E>) -> Result<Vec<ByteChange>, Stopped<E>> {
        let text = if self.declared {
            charset::decode(self.encoding, bytes)
        } else {
            Cow::Borrowed(charset::utf8(bytes).ok_or(Stopped::Undecided)?)
        };
        if self.encoded && self.protection.is_none() {
            self.protection = text.lines().find_map(|line| inline_pgp(line.as_bytes()));
        }
        let changes = search(&text, self.ascii || text.is_ascii()).map_err(Stopped::Failed)?;
        let (more, less) = changes.iter().fold((0, 0), |(more, less), change| (more + change.with.len(), less + change.range.len()));
        self.old += text.len() as u64;
        self.new += (text.len() + more - less) as u64;
        // Where its last line went on in the next run, both would have to be looked at together.
        let goes_on = !ends && changes.last().is_some_and(|change| change.range.end == text.len());
        if goes_on || self.old.max(self.new) > self.limit || !changes.iter().all(|change| self.may_become(&text, change)) {
            return Err(Stopped::Undecided);
        }
        self.changed |= !changes.is_empty();
        self.located(bytes, &text, changes).ok_or(Stopped::Undecided)
    }

    fn may_become(&self, text: &str, change: &Change) -> bool {
        let plain = change.with.is_ascii();
        let with = if plain { &*change.with } else { "" };
        (plain || !self.plain && !change.with.contains(['\r', '\n'])) && stays_as_it_reads(text.as_bytes(), &change.range, with)
    }

    /// Changes of a text as changes of its bytes; none where they cannot be said, or what stands beside them would be read otherwise.
    fn located(&self, bytes: &[u8], text: &str, changes: Vec<Change>) -> Option<Vec<ByteChange>> {
        if is_itself(bytes, text) && (self.encoding == UTF_8 || changes.iter().all(|change| change.with.is_ascii())) {
            return Some(changes.into_iter().map(|change| (change.range, change.with.as_bytes().to_vec())).collect());
        }
        let places: Vec<usize> = changes.iter().flat_map(|change| [change.range.start, change.range.end]).collect();
        let list = locate_at(self.encoding, bytes, text, &places, &changes)?;
        // What encoding_rs calls windows-1252 has more letters than the charset that was declared.
        if self.narrow && list.iter().flat_map(|(_, with)| with).any(|byte| matches!(byte, 0x80..=0x9f)) {
            return None;
        }
        let wanted: Vec<ByteChange> = changes.into_iter().map(|change| (change.range, change.with.as_bytes().to_vec())).collect();
        let reads = charset::decode(self.encoding, &splice(bytes, &list)).as_bytes() == splice(text.as_bytes(), &wanted);
        reads.then_some(list)
    }
}

/// A text without transfer encoding, or in quoted-printable.
struct Lines<'m> {
    message: &'m Message,
    part: PartId,
    content: &'m Content,
    quoted: bool,
    letters: Letters,
    draft: Draft<'m>,
    /// Of a content that is more than ASCII: whether bytes over 127 have come by and stay.
    eight_bit: Option<bool>,
    /// Where a line can be a boundary: whether one would be.
    delimits: Option<bool>,
}

impl<'m> Lines<'m> {
    fn new(message: &'m Message, part: PartId, content: &'m Content, letters: Letters) -> Result<Lines<'m>, Fault> {
        let eight_bit = message.leaf(part)?.1.eight_bit.then_some(false);
        let (draft, delimits) = (Draft::new(message, content), message.is_bounded(part).then_some(false));
        Ok(Lines { message, part, content, quoted: letters.encoded, letters, draft, eight_bit, delimits })
    }

    /// None: nothing changes.
    fn search<E: From<Fault>>(mut self, step: u64, search: &mut Search<'_, E>) -> Result<Option<Changed>, Stopped<E>> {
        let cut = if self.quoted { quoted::last_hard_break } else { last_line };
        self.content.in_cuts(step, cut, &self.message.budget, &mut |at, bytes| self.run(at, bytes, search))?;
        if !self.letters.changed {
            return Ok(None);
        }
        if self.delimits == Some(true) {
            return Err(Message::would_delimit(self.part).into());
        }
        let end = self.message.wanted_end(self.part, self.draft.last());
        self.draft.add(end)?;
        let form = Form::Pieces(self.draft.finish()?, self.eight_bit == Some(true));
        Ok(Some(Changed { form, protection: self.letters.protection }))
    }

    fn run<E: From<Fault>>(&mut self, at: u64, bytes: &[u8], search: &mut Search<'_, E>) -> Result<(), Stopped<E>> {
        let ends = at + bytes.len() as u64 == self.content.size();
        let decoded = if self.quoted { Cow::Owned(quoted::decode(bytes).0) } else { Cow::Borrowed(bytes) };
        let changes = self.letters.changes(&decoded, ends, search)?;
        if changes.is_empty() {
            self.draft.keep(at, bytes)?;
            self.look(bytes, false);
            return Ok(());
        }
        let mut stretches = Vec::new();
        if self.quoted {
            quoted::rewrite_into(bytes, &changes, &mut |stretch| match (stretches.last_mut(), stretch) {
                (Some(Stretch::Kept(before)), Stretch::Kept(next)) if before.end == next.start => before.end = next.end,
                (_, stretch) => stretches.push(stretch),
            });
        } else {
            let mut done = 0;
            for (range, with) in changes.iter().cloned() {
                stretches.extend([Stretch::Kept(done..range.start), Stretch::New(with)]);
                done = range.end;
            }
            stretches.push(Stretch::Kept(done..bytes.len()));
        }
        for stretch in &stretches {
            match stretch {
                Stretch::Kept(range) => self.draft.keep(at + range.start as u64, &bytes[range.clone()])?,
                Stretch::New(new) => self.draft.add(new)?,
            }
        }
        if self.quoted || self.eight_bit.is_some() || self.delimits.is_some() {
            let new = put_together(bytes, &stretches);
            if self.quoted && quoted::decode(&new).0 != splice(&decoded, &changes) {
                return Err(Stopped::Undecided);
            }
            self.look(&new, true);
        }
        Ok(())
    }

    /// What a run has become.
    fn look(&mut self, run: &[u8], changed: bool) {
        if let Some(seen) = &mut self.eight_bit {
            *seen |= !run.is_ascii();
        }
        if let Some(found) = self.delimits.as_mut().filter(|_| changed) {
            *found |= self.message.has_delimiter(self.part, run);
        }
    }
}

fn put_together(old: &[u8], stretches: &[Stretch]) -> Vec<u8> {
    let bytes = stretches.iter().map(|stretch| match stretch {
        Stretch::Kept(range) => &old[range.clone()],
        Stretch::New(new) => new,
    });
    bytes.collect::<Vec<_>>().concat()
}
