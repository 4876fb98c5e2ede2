//! A text in base64 in a file, searched and written anew: what stands before the first group of four that changes stays, all behind it is encoded again.

use super::base64::{Counter, Decoder, Encoder, line_length_of};
use super::content::{Content, PIECE, last_line, to_usize};
use super::draft::Draft;
use super::locate::splice;
use super::part::PartId;
use super::rewrite::{Letters, Stopped};
use super::verbatim::{Changed, Form, Search};
use super::{Fault, Message};

/// See the module.
pub struct Rebase<'m> {
    message: &'m Message,
    part: PartId,
    content: &'m Content,
    letters: Letters,
    draft: Draft<'m>,
    /// Decoded bytes so far, and the last two of them, which may be of the group that changes.
    at: u64,
    before: Vec<u8>,
    again: Option<Again>,
}

/// What is encoded again.
struct Again {
    /// So much of the old content stays, until something was written behind it.
    kept: Option<u64>,
    encoder: Encoder,
    out: Vec<u8>,
}

/// What ends a look through the content.
enum Found {
    Place(u64, usize),
    Fault(Fault),
}

impl From<Fault> for Found {
    fn from(fault: Fault) -> Found {
        Found::Fault(fault)
    }
}

impl<'m> Rebase<'m> {
    pub fn new(message: &'m Message, part: PartId, content: &'m Content, letters: Letters) -> Rebase<'m> {
        Rebase { message, part, content, letters, draft: Draft::new(message, content), at: 0, before: Vec::new(), again: None }
    }

    /// None: nothing changes. What is not clean base64 is left to others.
    pub fn search<E: From<Fault>>(mut self, step: u64, search: &mut Search<'_, E>) -> Result<Option<Changed>, Stopped<E>> {
        let (mut decoder, mut counter) = (Decoder::default(), Counter::default());
        // A line may be as long as the text.
        let (mut open, mut share) = (Vec::new(), self.message.budget.share());
        let (content, limit) = (self.content, self.message.limits.text);
        content.in_runs(step, &mut |_, run| {
            counter.push(run, u64::MAX);
            let searched = open.len();
            decoder.push(run, &mut open);
            // No text, whatever follows, and no reason to take more of the budget.
            if open.len() as u64 > limit {
                return Err(Stopped::Undecided);
            }
            let more = (open.len() as u64).saturating_sub(share.bytes());
            if !share.grow(more) {
                return Err(Fault::NoMemory.into());
            }
            if let Some(end) = last_line(&open, searched) {
                self.run(&open[..end], false, search)?;
                open.drain(..end);
            }
            Ok::<(), Stopped<E>>(())
        })?;
        let clean = decoder.finish(&mut open);
        self.run(&open, true, search)?;
        if !self.letters.changed {
            return Ok(None);
        }
        let Some(again) = self.again.as_mut().filter(|_| clean) else { return Err(Stopped::Undecided) };
        again.encoder.finish(&mut again.out);
        self.write()?;
        let end = counter.end().0;
        if let Some(kept) = self.again.and_then(|again| again.kept) {
            // Nothing follows what stays: one line end is enough.
            let is_line_end = |at: u64| Ok::<bool, Fault>(content.read(at..at + 2).map_err(Fault::Disk)? == b"\r\n".as_slice());
            let twice = kept >= 2 && is_line_end(kept - 2)? && is_line_end(end)?;
            self.draft.span(0..if twice { kept - 2 } else { kept })?;
        }
        self.draft.span(end..content.size())?;
        let end = self.message.wanted_end(self.part, self.draft.last());
        self.draft.add(end)?;
        Ok(Some(Changed { form: Form::Pieces(self.draft.finish()?, false), protection: self.letters.protection }))
    }

    /// A run of decoded lines.
    fn run<E: From<Fault>>(&mut self, bytes: &[u8], ends: bool, search: &mut Search<'_, E>) -> Result<(), Stopped<E>> {
        let changes = self.letters.changes(bytes, ends, search)?;
        if let Some(again) = &mut self.again {
            again.encoder.push(&splice(bytes, &changes), &mut again.out);
            return Ok(self.write()?);
        }
        if changes.is_empty() {
            self.at += bytes.len() as u64;
            self.before.extend_from_slice(&bytes[bytes.len().saturating_sub(2)..]);
            self.before.drain(..self.before.len().saturating_sub(2));
            return Ok(());
        }
        let new = splice(bytes, &changes);
        let same = self.at + bytes.iter().zip(&new).take_while(|(old, new)| old == new).count() as u64;
        let first = same / 3 * 3;
        let (kept, column) = self.place(first / 3 * 4)?;
        let beginning = self.content.read(0..PIECE).map_err(Fault::Disk)?;
        let length = line_length_of(&beginning).ok_or(Stopped::Undecided)?;
        let mut again = Again { kept: Some(kept), encoder: Encoder::new(column, length), out: Vec::new() };
        let open = to_usize(self.at.saturating_sub(first));
        again.encoder.push(&self.before[self.before.len() - open..], &mut again.out);
        again.encoder.push(&new[to_usize(first.saturating_sub(self.at))..], &mut again.out);
        self.again = Some(again);
        Ok(self.write()?)
    }

    /// Behind so many letters: where the next stands, and in what column.
    fn place(&self, letters: u64) -> Result<(u64, usize), Fault> {
        let mut counter = Counter::default();
        let sought = self.content.in_runs(PIECE, &mut |_, run| match counter.push(run, letters) {
            Some((at, column)) => Err(Found::Place(at, column)),
            None => Ok(()),
        });
        match sought {
            Ok(()) => Ok(counter.end()),
            Err(Found::Place(at, column)) => Ok((at, column)),
            Err(Found::Fault(fault)) => Err(fault),
        }
    }

    /// Moves what was encoded to the draft, behind what stays.
    fn write(&mut self) -> Result<(), Fault> {
        let Some(again) = self.again.as_mut().filter(|again| !again.out.is_empty()) else { return Ok(()) };
        if let Some(kept) = again.kept.take() {
            self.draft.span(0..kept)?;
        }
        self.draft.add(&again.out)?;
        again.out.clear();
        Ok(())
    }
}
