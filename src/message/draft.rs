//! What is to stand in place of a content that lies in a file, written from front to back.
//!
//! A large text that a rule changes is never in memory as a whole. What stays of it are spans of the old content; only what is new is written, and what stands so
//! close between two changes that a span for it would cost more than its bytes. New bytes wait in memory, up to `limits.memory`, counted against the budget of
//! all sessions (`limits.bytes_in_flight`); more than that goes to a file of its own, counted as temporary disk until the
//! last piece of it is gone, in whatever content that lies by then.

use std::ops::Range;
use std::sync::Arc;

use super::content::{Content, Piece, hold, to_usize};
use super::{Fault, Message, Room};
use crate::base::budget::Share;
use crate::base::disk::Scratch;
use crate::base::random;

/// What stays between two changes is copied where it is shorter: a span of its own is a piece to keep and a read to send.
const CLOSE: u64 = 1024;

/// Where a run of it stands.
#[derive(Debug)]
enum Run {
    /// In the old content.
    Old(Range<u64>),
    /// Among what is new.
    New(Range<u64>),
}

/// See the module.
#[derive(Debug)]
pub struct Draft<'m> {
    old: &'m Content,
    room: Option<&'m Room>,
    /// So many new bytes stay in memory.
    most: u64,
    runs: Vec<Run>,
    /// New bytes that are not in the file, and the share of memory they take.
    new: Vec<u8>,
    share: Share,
    file: Option<(Scratch, Share)>,
    /// New bytes that are.
    written: u64,
    last: Option<u8>,
}

impl<'m> Draft<'m> {
    /// An empty one, of a message's content.
    pub fn new(message: &'m Message, old: &'m Content) -> Draft<'m> {
        Draft {
            old,
            room: message.room.as_deref(),
            most: message.limits.memory,
            runs: Vec::new(),
            new: Vec::new(),
            share: message.budget.share(),
            file: None,
            written: 0,
            last: None,
        }
    }

    /// The last byte so far.
    pub fn last(&self) -> Option<u8> {
        self.last
    }

    /// Goes on with old bytes, which stand at this place.
    ///
    /// # Errors
    /// Budget, disk.
    pub fn keep(&mut self, at: u64, bytes: &[u8]) -> Result<(), Fault> {
        let Some(last) = bytes.last() else { return Ok(()) };
        let span = at..at + bytes.len() as u64;
        match self.runs.last_mut() {
            Some(Run::Old(before)) if before.end == span.start => before.end = span.end,
            Some(_) if (bytes.len() as u64) < CLOSE => return self.add(bytes),
            _ => self.runs.push(Run::Old(span)),
        }
        self.last = Some(*last);
        Ok(())
    }

    /// Goes on with a span of old bytes, however long.
    ///
    /// # Errors
    /// Disk.
    pub fn span(&mut self, span: Range<u64>) -> Result<(), Fault> {
        if span.is_empty() {
            return Ok(());
        }
        self.last = self.old.read(span.end - 1..span.end)?.last().copied();
        self.runs.push(Run::Old(span));
        Ok(())
    }

    /// Goes on with new bytes.
    ///
    /// # Errors
    /// Budget, disk.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Some(last) = bytes.last() else { return Ok(()) };
        if !self.share.grow(bytes.len() as u64) {
            return Err(Fault::NoMemory);
        }
        let start = self.written + self.new.len() as u64;
        self.new.extend_from_slice(bytes);
        let end = self.written + self.new.len() as u64;
        match self.runs.last_mut() {
            Some(Run::New(before)) => before.end = end,
            _ => self.runs.push(Run::New(start..end)),
        }
        self.last = Some(*last);
        if self.new.len() as u64 > self.most && self.room.is_some() { self.write() } else { Ok(()) }
    }

    /// Moves what is new to the file.
    fn write(&mut self) -> Result<(), Fault> {
        let Some(room) = self.room else { return Ok(()) };
        let (scratch, share) = match &mut self.file {
            Some(file) => file,
            file => {
                let name = format!("{}.{}", room.owner, random::ulid());
                let scratch = Scratch::create(&room.directory, &name).map_err(Fault::Write)?;
                file.insert((scratch, room.disk.share()))
            }
        };
        if !share.grow(self.new.len() as u64) {
            return Err(Fault::NoDisk);
        }
        scratch.write_at(&self.new, self.written).map_err(Fault::Write)?;
        self.written += self.new.len() as u64;
        self.share.shrink(self.new.len() as u64);
        self.new.clear();
        Ok(())
    }

    /// All that was written, in order.
    ///
    /// # Errors
    /// Disk or its budget.
    pub fn finish(mut self) -> Result<Arc<Content>, Fault> {
        if self.file.is_some() {
            self.write()?;
        }
        let Draft { old, runs, mut new, share, file, .. } = self;
        new.shrink_to_fit();
        let file = file.map(|(scratch, share)| Arc::new(scratch.counted(share)));
        let new = hold(new, share);
        let pieces = runs.into_iter().flat_map(|run| {
            let (old, new) = match (run, &file) {
                (Run::Old(span), _) => (Some(old.pieces(span)), None),
                (Run::New(span), Some(file)) => (None, Some(Piece::File { file: Arc::clone(file), span })),
                (Run::New(span), None) => (None, Some(Piece::Memory(new.slice(to_usize(span.start)..to_usize(span.end))))),
            };
            old.into_iter().flatten().chain(new)
        });
        Ok(Arc::new(Content::new(pieces)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::parse_into_file;

    fn all(made: &Content) -> Vec<u8> {
        made.read(0..made.size()).unwrap().to_vec()
    }

    #[test]
    fn what_stays_is_not_copied_but_where_new_texts_stand_close() {
        let directory = tempfile::tempdir().unwrap();
        let text = [b"\r\n".as_slice(), &[b'x'; 9000]].concat();
        let message = parse_into_file(&text, 100, directory.path());
        let content = Content::new(message.pieces());
        let free = message.budget.free();
        let mut draft = Draft::new(&message, &content);
        for (at, length) in [(0, 4000), (4000, 100), (4200, 2000), (6200, 800)] {
            draft.keep(at, &text[to_usize(at)..][..length]).unwrap();
            draft.add(if at == 6200 { b"" } else { b"new" }).unwrap();
        }
        let wanted = [&text[..4000], b"new", &text[4000..4100], b"new", &text[4200..6200], b"new", &text[6200..7000]].concat();
        assert_eq!(draft.last(), Some(b'x'));
        let made = draft.finish().unwrap();
        assert_eq!(all(&made), wanted);
        let pieces: Vec<u64> = made.pieces(0..made.size()).map(|piece| piece.size()).collect();
        assert_eq!(pieces, [4000, 106, 2000, 803]);
        // More new bytes than stay in memory.
        assert_eq!((message.budget.free(), made.pieces(4000..4001).all(|piece| matches!(piece, Piece::File { .. }))), (free, true));
    }

    #[test]
    fn deletions_that_stand_close_do_not_make_a_piece_each() {
        let directory = tempfile::tempdir().unwrap();
        let text = [b"\r\n".as_slice(), &b"x,".repeat(50_000)].concat();
        let message = parse_into_file(&text, 1000, directory.path());
        let content = Content::new(message.pieces());
        let mut draft = Draft::new(&message, &content);
        let (mut at, mut wanted) = (0, Vec::new());
        // Some of what stays is long.
        for length in [[1; 400].as_slice(), &[30, 2000, 1500, 700]].concat().into_iter().cycle() {
            let Some(kept) = text.get(at..at + length) else { break };
            draft.keep(at as u64, kept).unwrap();
            draft.add(b"").unwrap();
            wanted.extend_from_slice(kept);
            at += length + 1;
        }
        let made = draft.finish().unwrap();
        assert_eq!(all(&made), wanted);
        assert!(made.pieces(0..made.size()).count() <= 2 * text.len() / 1024 + 2);
    }

    #[test]
    fn a_file_counts_as_long_as_a_piece_of_it_lies_in_another_content() {
        let directory = tempfile::tempdir().unwrap();
        let message = parse_into_file(&[b"\r\n".as_slice(), &[b'x'; 4998]].concat(), 1000, directory.path());
        let disk = &message.room.as_ref().unwrap().disk;
        let before = disk.free();
        let nothing = Content::default();
        let mut draft = Draft::new(&message, &nothing);
        draft.add(&[b'x'; 1800]).unwrap();
        let first = draft.finish().unwrap();
        let mut draft = Draft::new(&message, &first);
        draft.keep(0, &[b'x'; 1500]).unwrap();
        draft.add(b"new").unwrap();
        let second = draft.finish().unwrap();
        drop(first);
        assert_eq!(disk.free(), before - 1800);
        // The same of the file that the message came in.
        let pieces = message.pieces();
        let disk = Arc::clone(disk);
        drop(message);
        assert_eq!(disk.free(), before - 1800);
        drop(pieces);
        assert_eq!(disk.free(), before + 5000 - 1800);
        drop(second);
        assert_eq!(disk.free(), disk.limit());
    }

    #[test]
    fn budgets_are_kept_to_and_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let text = [b"\r\n".as_slice(), &[b'x'; 4998]].concat();
        let message = parse_into_file(&text, 1000, directory.path());
        let disk = &message.room.as_ref().unwrap().disk;
        let (content, before) = (Content::default(), (message.budget.free(), disk.free()));
        let mut draft = Draft::new(&message, &content);
        draft.add(&[b'x'; 900]).unwrap();
        assert_eq!((message.budget.free(), disk.free()), (before.0 - 900, before.1));
        draft.add(&[b'x'; 900]).unwrap();
        let made = draft.finish().unwrap();
        assert_eq!((message.budget.free(), disk.free()), (before.0, before.1 - 1800));
        drop(made);
        assert_eq!((message.budget.free(), disk.free()), before);
        disk.set_limit(6000);
        assert!(matches!(Draft::new(&message, &content).add(&[b'x'; 1100]), Err(Fault::NoDisk)));
        message.budget.set_limit(message.budget.used() + 5);
        assert!(matches!(Draft::new(&message, &content).add(b"longer"), Err(Fault::NoMemory)));
    }
}
