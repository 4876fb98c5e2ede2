//! Takes a message in, piece by piece.
//!
//! | content | bytes pushed | `flush` |
//! |---|---|---|
//! | in memory | added; over `limits.memory`, or no budget left: goes to the file | nothing |
//! | going to the file | added to what waits | written |
//! | refused | swallowed | nothing |

use std::sync::Arc;

use bytes::Bytes;

use super::body::{Body, Tree};
use super::content::{Content, PIECE, Piece, hold};
use super::ends::{Ends, is_bare_inside};
use super::flags::{Flag, Flags};
use super::header::{places, split};
use super::index::Indexer;
use super::lines::sound_name;
use super::part::Declared;
use super::words::{may_hold_words, word_flags};
use super::{Header, Limits, Message, Refusal, Room};
use crate::base::budget::{Budget, Share};
use crate::base::disk::Scratch;
use crate::base::random;

/// See the module.
#[derive(Debug)]
pub struct Receiver {
    limits: Arc<Limits>,
    room: Option<Room>,
    budget: Arc<Budget>,
    /// Budget for the header, which stays in memory, and for the content while it is there.
    header_share: Share,
    share: Share,
    /// Everything from the first byte on while in memory; then what waits to be written.
    buffer: Vec<u8>,
    header: Search,
    /// The header block, once it is known and the content goes to a file.
    header_block: Option<Bytes>,
    /// Of content that goes to a file: what lies in memory is looked into when something asks for it.
    parsed: Option<Parsed>,
    flags: Flags,
    undotted: bool,
    file: Option<File>,
    size: u64,
    refused: Option<Refusal>,
    /// A header over its limits is no reason to refuse: it is left unread, and everything is text.
    leaves_unread: bool,
    unread: Option<Refusal>,
}

/// The header, once it is known, and what comes behind it.
#[derive(Debug)]
struct Parsed {
    declared: Declared,
    indexer: Indexer,
    ends: Ends,
}

/// The search for the end of the header.
#[derive(Debug, Default)]
struct Search {
    /// Where it ends, blank line included; and the length of that line.
    end: Option<(usize, usize)>,
    /// Where the line that is being read begins.
    line: usize,
    searched: usize,
    fields: u64,
}

/// Where content that outgrew memory goes.
#[derive(Debug)]
struct File {
    scratch: Option<Scratch>,
    written: u64,
    share: Share,
}

impl Parsed {
    fn push(&mut self, bytes: &[u8]) {
        self.indexer.push(bytes);
        self.ends.push(bytes);
    }
}

impl Receiver {
    #[must_use]
    pub fn new(limits: Arc<Limits>, room: Room) -> Receiver {
        Receiver::make(limits, Arc::clone(&room.memory), Some(room))
    }

    pub(super) fn make(limits: Arc<Limits>, budget: Arc<Budget>, room: Option<Room>) -> Receiver {
        Receiver {
            limits,
            header_share: budget.share(),
            share: budget.share(),
            budget,
            room,
            buffer: Vec::new(),
            header: Search::default(),
            header_block: None,
            parsed: None,
            flags: Flags::default(),
            undotted: false,
            file: None,
            size: 0,
            refused: None,
            leaves_unread: false,
            unread: None,
        }
    }

    /// One that takes a message whose header is over its limits, too, as a text without a header.
    #[must_use]
    pub fn leaving_unread(self) -> Receiver {
        Receiver { leaves_unread: true, ..self }
    }

    /// Notes that line ends were not CR LF before they were normalised.
    pub fn note_bare_line_ending(&mut self) {
        self.flags.raise(Flag::BareLineEnding);
    }

    /// Notes that no line begins with a dot.
    pub fn note_undotted(&mut self) {
        self.undotted = true;
    }

    /// Takes unstuffed bytes. Does not block: content that has to go to the file waits for [`Receiver::flush`]. Over a limit: refused, and everything later is swallowed at no cost.
    ///
    /// # Errors
    /// The limit.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.size += bytes.len() as u64;
        if self.refused.is_some() || bytes.is_empty() {
            return Ok(());
        }
        self.take(bytes).map_err(|refusal| self.refuse(refusal))
    }

    /// Forgets everything but why.
    fn refuse(&mut self, refusal: Refusal) -> Refusal {
        self.refused = Some(refusal.again());
        self.buffer = Vec::new();
        self.parsed = None;
        self.header_block = None;
        self.file = None;
        self.share = self.budget.share();
        self.header_share = self.budget.share();
        refusal
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if self.size > self.limits.message_size {
            return Err(Refusal::TooLarge);
        }
        let granted = self.share.grow(bytes.len() as u64);
        if !granted && (self.header.end.is_none() || self.room.is_none()) {
            return Err(Refusal::NoMemory);
        }
        self.buffer.extend_from_slice(bytes);
        if let Some(parsed) = &mut self.parsed {
            parsed.push(bytes);
        } else if self.header.end.is_none()
            && let Err(refusal) = self.search_header()
        {
            self.leave_unread(refusal)?;
        }
        // Where memory is short, content moves early; what waits then is at most one piece.
        let outgrown = self.buffer.len() as u64 > self.limits.memory && self.room.is_some();
        if self.header.end.is_some() && self.file.is_none() && (!granted || outgrown) {
            self.move_out()?;
        }
        Ok(())
    }

    fn search_header(&mut self) -> Result<(), Refusal> {
        while let Some(at) = memchr::memchr(b'\n', &self.buffer[self.header.searched..]) {
            let end = self.header.searched + at + 1;
            let line = &self.buffer[self.header.line..end];
            self.header.searched = end;
            if matches!(line, b"\r\n" | b"\n") {
                self.header.end = Some((end, line.len()));
                break;
            }
            self.header.fields += u64::from(self.header.line == 0 || !matches!(line[0], b' ' | b'\t'));
            self.header.line = end;
        }
        let end = self.header.end.map_or(self.buffer.len(), |(end, _)| end);
        if self.header.end.is_none() {
            self.header.searched = end;
        }
        if end as u64 > self.limits.header_size {
            return Err(Refusal::HeaderTooLarge);
        }
        if self.header.fields > self.limits.header_fields {
            return Err(Refusal::TooManyFields);
        }
        Ok(())
    }

    /// Goes on as if there were no header, if that is wanted.
    fn leave_unread(&mut self, refusal: Refusal) -> Result<(), Refusal> {
        if !self.leaves_unread {
            return Err(refusal);
        }
        self.unread = Some(refusal);
        self.header = Search { end: Some((0, 0)), ..Search::default() };
        Ok(())
    }

    /// No more will come. Why the header was left unread, if it was.
    ///
    /// # Errors
    /// The limit.
    pub fn end(&mut self) -> Result<Option<Refusal>, Refusal> {
        if let Some(refusal) = self.refused.take() {
            return Err(refusal);
        }
        let fields = self.header.fields + u64::from(self.header.line < self.buffer.len());
        if self.header.end.is_none() && fields > self.limits.header_fields {
            self.leave_unread(Refusal::TooManyFields)?;
        }
        Ok(self.unread.as_ref().map(Refusal::again))
    }

    /// Reads the header, and what is there of the body.
    fn parse(&mut self) -> Parsed {
        let (end, blank) = self.header.end.unwrap_or((self.buffer.len(), 0));
        let block = &self.buffer[..end - blank];
        self.flags = self.flags.and(outer_flags(block, blank as u64));
        let declared = Declared::read(places(block).map(|place| place.of(block)), "text/plain");
        let indexer = Indexer::new(Arc::clone(&self.limits), &declared, end as u64);
        let mut parsed = Parsed { declared, indexer, ends: Ends::default() };
        parsed.push(&self.buffer[end..]);
        parsed
    }

    fn move_out(&mut self) -> Result<(), Refusal> {
        let Some(room) = &self.room else { return Ok(()) };
        let disk = room.disk.share();
        let end = self.header.end.map_or(0, |(end, _)| end);
        if !self.header_share.grow(end as u64) {
            return Err(Refusal::NoMemory);
        }
        self.parsed = Some(self.parse());
        let share = std::mem::replace(&mut self.header_share, self.budget.share());
        self.header_block = Some(hold(self.buffer[..end].to_vec(), share));
        self.file = Some(File { scratch: None, written: 0, share: disk });
        Ok(())
    }

    /// Whether 256 KiB or more wait to be written to the file.
    #[must_use]
    pub fn wants_flush(&self) -> bool {
        self.file.is_some() && (self.buffer.len() as u64 >= PIECE || self.share.bytes() < self.buffer.len() as u64)
    }

    /// Writes what waits to the file. Blocks.
    ///
    /// # Errors
    /// Disk or its budget.
    pub fn flush(&mut self) -> Result<(), Refusal> {
        self.write().map_err(|refusal| self.refuse(refusal))
    }

    fn write(&mut self) -> Result<(), Refusal> {
        let (Some(file), Some(room)) = (&mut self.file, &self.room) else { return Ok(()) };
        if self.buffer.is_empty() {
            return Ok(());
        }
        if !file.share.grow(self.buffer.len() as u64) {
            return Err(Refusal::NoDisk);
        }
        if file.scratch.is_none() {
            let name = format!("{}.{}", room.owner, random::ulid());
            file.scratch = Some(Scratch::create(&room.directory, &name)?);
        }
        let scratch = file.scratch.as_ref().expect("it was made above");
        scratch.write_at(&self.buffer, file.written)?;
        file.written += self.buffer.len() as u64;
        self.buffer = Vec::new();
        self.share = self.budget.share();
        Ok(())
    }

    /// The message. Blocks if [`Receiver::in_file`].
    ///
    /// # Errors
    /// The limit.
    pub fn finish(mut self) -> Result<Message, Refusal> {
        self.end()?;
        let (end, blank) = self.header.end.unwrap_or((self.buffer.len(), 0));
        self.write()?;
        let header = |block: &Bytes| Header { fields: split(&block.slice(..end - blank)), blank: block.slice(end - blank..end) };
        if let (Some(File { scratch: Some(scratch), written, share }), Some(parsed)) = (self.file.take(), self.parsed.take()) {
            let block = self.header_block.take().unwrap_or_default();
            let content = Content::new([Piece::File { file: Arc::new(scratch.counted(share)), span: 0..written }]);
            let header = header(&block);
            let tree = Tree::new(parsed.declared, parsed.indexer.finish());
            let body = Body::known(content, end as u64, tree, self.flags.and(parsed.ends.finish()));
            return Ok(Message::new(self.limits, self.budget, header, body, self.room.take().map(Arc::new)));
        }
        let all = hold(std::mem::take(&mut self.buffer), self.share);
        let header = header(&all);
        let undotted = self.undotted.then(|| all.clone());
        let body = Body::received(Content::new([Piece::Memory(all)]), (end - blank) as u64, end as u64, self.flags);
        Ok(Message { undotted, ..Message::new(self.limits, self.budget, header, body, None) })
    }

    #[must_use]
    pub fn in_file(&self) -> bool {
        self.file.is_some()
    }
}

/// Fields that must not come twice (RFC 5322 3.6).
const ONCE: [&str; 7] = ["from", "sender", "to", "cc", "subject", "date", "message-id"];

/// What a header raises, before a blank line of that length.
pub fn outer_flags(block: &[u8], blank: u64) -> Flags {
    let mut flags = Flags::default();
    flags.raise_if(blank == 1, Flag::BareLineEnding);
    flags.raise_if(memchr::memchr(0, block).is_some(), Flag::Nul);
    flags.raise_if(!block.is_ascii(), Flag::EightBitHeader);
    // A last CR has no LF yet where no line end was found at all.
    flags.raise_if(is_bare_inside(block) || block.first() == Some(&b'\n'), Flag::BareLineEnding);
    let words = may_hold_words(block);
    let mut seen = [false; ONCE.len()];
    for place in places(block) {
        let field = place.of(block);
        flags.raise_if(sound_name(field.bytes()).is_none(), Flag::BadHeaderLine);
        if words {
            flags = flags.and(word_flags(field.raw_value()));
        }
        if let Some(which) = ONCE.iter().position(|name| field.is(name)) {
            flags.raise_if(seen[which], Flag::DuplicateField);
            seen[which] = true;
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::{limits, output};
    use proptest::prelude::*;

    fn room(directory: &std::path::Path, memory: u64, disk: u64) -> Room {
        Room { memory: Budget::new(memory), disk: Budget::new(disk), directory: directory.into(), owner: "owner".into() }
    }

    const MESSAGE: &[u8] = b"Subject: a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: text/html\r\n\r\ntwo\r\n--b--\r\nepilogue\r\n";

    #[test]
    fn content_moves_to_a_file_as_a_whole_and_comes_out_in_one_piece() {
        let directory = tempfile::tempdir().unwrap();
        let room = room(directory.path(), 1 << 20, 1 << 20);
        let mut receiver = Receiver::new(Arc::new(Limits { memory: 20, ..limits() }), room.clone());
        for chunk in MESSAGE.chunks(7) {
            receiver.push(chunk).unwrap();
            receiver.flush().unwrap();
        }
        assert!(receiver.in_file());
        let message = receiver.finish().unwrap();
        assert!(matches!(message.pieces().as_slice(), [Piece::File { span, .. }] if *span == (0..MESSAGE.len() as u64)));
        assert_eq!(output(&message), MESSAGE);
        assert_eq!(message.parts().len(), 3);
        assert_eq!(room.disk.free(), (1 << 20) - MESSAGE.len() as u64);
        drop(message);
        assert_eq!((room.disk.free(), room.memory.free()), (1 << 20, 1 << 20));
    }

    #[test]
    fn short_memory_spills_early_and_short_disk_refuses() {
        let directory = tempfile::tempdir().unwrap();
        let small = room(directory.path(), 200, 1 << 20);
        let mut receiver = Receiver::new(Arc::new(limits()), small);
        receiver.push(&MESSAGE[..60]).unwrap();
        for _ in 0..10 {
            receiver.push(&[b'x'; 80]).unwrap();
            if receiver.wants_flush() {
                receiver.flush().unwrap();
            }
        }
        assert!(receiver.in_file());
        assert_eq!(receiver.finish().unwrap().size(), 860);
        let mut receiver = Receiver::new(Arc::new(Limits { memory: 0, ..limits() }), room(directory.path(), 1 << 20, 10));
        receiver.push(MESSAGE).unwrap();
        assert!(matches!(receiver.flush(), Err(Refusal::NoDisk)));
        receiver.push(MESSAGE).unwrap();
        assert!(matches!(receiver.finish(), Err(Refusal::NoDisk)));
    }

    #[test]
    fn limits_refuse_once_and_then_swallow() {
        let refused = |limits: Limits, bytes: &[u8]| {
            let mut receiver = Receiver::make(Arc::new(limits), Budget::new(1 << 20), None);
            let first = receiver.push(bytes);
            receiver.push(bytes).unwrap();
            assert_eq!(receiver.buffer.len(), 0);
            assert!(receiver.finish().is_err());
            first.unwrap_err()
        };
        assert!(matches!(refused(Limits { message_size: 10, ..limits() }, MESSAGE), Refusal::TooLarge));
        assert!(matches!(refused(Limits { header_size: 10, ..limits() }, MESSAGE), Refusal::HeaderTooLarge));
        assert!(matches!(refused(Limits { header_fields: 1, ..limits() }, MESSAGE), Refusal::TooManyFields));
        assert!(matches!(refused(Limits { header_size: 10, ..limits() }, b"no end of line in this"), Refusal::HeaderTooLarge));
    }

    #[test]
    fn a_header_over_its_limits_can_be_left_unread_as_text() {
        let directory = tempfile::tempdir().unwrap();
        let unread = |limits: Limits, bytes: &[u8]| {
            let room = room(directory.path(), 1 << 20, 1 << 20);
            let mut receiver = Receiver::new(Arc::new(limits), room).leaving_unread();
            for chunk in bytes.chunks(7) {
                receiver.push(chunk).unwrap();
                receiver.flush().unwrap();
            }
            let why = receiver.end().unwrap().expect("it was left unread");
            let message = receiver.finish().unwrap();
            assert_eq!(output(&message), bytes);
            assert_eq!((message.fields().len(), message.parts().len()), (0, 1));
            why
        };
        assert!(matches!(unread(Limits { header_size: 10, ..limits() }, MESSAGE), Refusal::HeaderTooLarge));
        assert!(matches!(unread(Limits { header_fields: 1, memory: 20, ..limits() }, MESSAGE), Refusal::TooManyFields));
        assert!(matches!(unread(Limits { header_fields: 1, ..limits() }, b"A: b\r\nC: d"), Refusal::TooManyFields));
        let mut receiver = Receiver::new(Arc::new(limits()), room(directory.path(), 1 << 20, 1 << 20)).leaving_unread();
        receiver.push(MESSAGE).unwrap();
        assert!(receiver.end().unwrap().is_none());
        assert_eq!(receiver.finish().unwrap().fields().len(), 2);
    }

    #[test]
    fn an_outer_header_that_could_be_read_in_two_ways_is_flagged() {
        let flags = |text: &'static str| Message::parse(text.into(), &Arc::new(limits())).unwrap().malformed();
        assert_eq!(flags("From: a\r\nFrom: b\r\n\r\n"), ["duplicate_field"]);
        assert_eq!(flags("Fr om: a\r\n\r\n"), ["bad_header_line"]);
        assert_eq!(flags(" a\r\n\r\n"), ["bad_header_line"]);
        assert_eq!(flags("A: \u{e9}\r\n\r\n"), ["eight_bit_header"]);
        assert_eq!(flags("A: b\n\r\nx\rx\0"), ["bare_line_ending", "nul"]);
        assert_eq!(flags("A: =?utf-8?q?=0A?=\r\n\r\n"), ["control_characters"]);
        assert!(flags("A: b\r\n\r\nx\r\n").is_empty());
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_how_the_bytes_are_cut(
            lines in proptest::collection::vec(prop_oneof![
                Just("--b\r\n"), Just("--b--\r\n"), Just("--c  \r\n"), Just("--c--\r\n"), Just("--bx\r\n"), Just("\r\n"), Just("text\r\n"), Just("bare\n"), Just("a\rb"),
                Just("Content-Type: multipart/mixed; boundary=c\r\n"), Just("Content-Type: message/rfc822\r\n"), Just(" fold\r\n"), Just("begin 644 a.exe\r\n"),
                Just("-----BEGIN PGP MESSAGE-----\r\n"), Just("caf\u{e9}\0\r\n")], 0..30),
            cuts in proptest::collection::vec(1_usize..9, 1..40), memory in 0_u64..200
        ) {
            // In memory it is looked into as a whole, on its way to a file in pieces.
            let directory = tempfile::tempdir().unwrap();
            let text = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", lines.concat());
            let limits = Limits { depth: 3, parts: 9, ..limits() };
            let whole = Message::parse(text.clone().into(), &Arc::new(limits.clone())).unwrap();
            let mut receiver = Receiver::new(Arc::new(Limits { memory, ..limits }), room(directory.path(), 1 << 20, 1 << 20));
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                receiver.push(now).unwrap();
                rest = later;
            }
            let pieces = receiver.finish().unwrap();
            prop_assert_eq!(pieces.in_file(), text.len() as u64 > memory);
            prop_assert_eq!(pieces.parts(), whole.parts());
            prop_assert_eq!(pieces.malformed(), whole.malformed());
            prop_assert_eq!(pieces.eight_bit(), whole.eight_bit());
            prop_assert_eq!(output(&pieces), text.as_bytes());
            let slots: Vec<_> = whole.tree().slots.iter().map(|slot| slot.span.clone()).collect();
            prop_assert!(slots.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }
}
