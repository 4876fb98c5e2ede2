//! New bytes in place of a part's content, and the line ends around it that they need.

use std::sync::Arc;

use super::content::{Content, PIECE, Piece, to_usize};
use super::draft::Draft;
use super::output::LINE_END;
use super::part::PartId;
use super::slot::New;
use super::{Fault, Message};

impl Message {
    /// Puts encoded bytes in place of a leaf's content.
    pub(super) fn put_content(&mut self, part: PartId, new: Vec<u8>) -> Result<(), Fault> {
        let eight_bit = !new.is_ascii();
        self.put_bytes(part, new, eight_bit)
    }

    /// The same, where it is known whether some bytes are over 127.
    pub(super) fn put_bytes(&mut self, part: PartId, mut new: Vec<u8>, eight_bit: bool) -> Result<(), Fault> {
        new.extend_from_slice(self.wanted_end(part, new.last().copied()));
        if self.has_delimiter(part, &new) {
            return Err(Message::would_delimit(part));
        }
        let new = if self.room.is_some() && new.len() as u64 > self.limits.memory {
            let nothing = Content::default();
            let mut draft = Draft::new(self, &nothing);
            new.chunks(to_usize(PIECE)).try_for_each(|piece| draft.add(piece))?;
            New::Pieces(draft.finish()?)
        } else {
            New::Whole(self.room_for(new)?)
        };
        self.put_new(part, new, eight_bit)
    }

    /// Puts what is ready in place of a leaf's content.
    pub(super) fn put_new(&mut self, part: PartId, new: New, eight_bit: bool) -> Result<(), Fault> {
        let found = self.part(part);
        let (at, header, empty) = (found.slots.start, found.header, new.size() == 0);
        self.separate(empty);
        self.end_line_before(part, empty)?;
        if let Some(header) = header
            && self.tree().slots[header + 1].size() == 0
            && !empty
        {
            self.end_line(header)?;
            self.tree_mut().slots[header + 1].replace(LINE_END);
        }
        self.tree_mut().slots[at].put(new, eight_bit);
        Ok(())
    }

    /// Where the delimiter behind a leaf has no line end of its own before it, the content must bring one: what it lacks, by its last byte.
    pub(super) fn wanted_end(&self, part: PartId, last: Option<u8>) -> &'static [u8] {
        let next = self.tree().slots.get(self.part(part).slots.start + 1);
        let lacks = next.is_some_and(|next| !next.joined) && last.is_some_and(|last| last != b'\n');
        if lacks { b"\r\n" } else { b"" }
    }

    pub(super) fn would_delimit(part: PartId) -> Fault {
        Fault::Message(format!("the new text of part {} has a line that is a boundary of the message", part.0))
    }

    /// Before anything is put into a part, the line above it gets the end it lacks: its delimiter, or the header of the message it is in, and that header its blank line.
    pub(super) fn end_line_before(&mut self, part: PartId, empty: bool) -> Result<(), Fault> {
        let mut part = (!empty).then_some(part);
        while let Some((header, parent)) = part.and_then(|part| self.part(part).header.zip(self.part(part).parent)) {
            let Some(before) = header.checked_sub(1) else { break };
            let Some(above) = self.part(parent).header.filter(|above| above + 1 == before) else { return self.end_line(before) };
            if self.tree().slots[before].size() > 0 {
                break;
            }
            self.tree_mut().slots[before].replace(LINE_END);
            if self.tree().slots[above].size() > 0 {
                return self.end_line(above);
            }
            part = Some(parent);
        }
        Ok(())
    }

    fn end_line(&mut self, slot: usize) -> Result<(), Fault> {
        let found = &self.tree().slots[slot];
        let size = found.size();
        let last = match found.in_memory(&self.body.content) {
            Some(bytes) => bytes.last().copied(),
            None => Content::new(found.pieces(&self.body.content)).read(size.saturating_sub(1)..size)?.last().copied(),
        };
        if last.is_none_or(|last| last == b'\n') {
            return Ok(());
        }
        match &found.new {
            None => self.tree_mut().slots[slot].end_line(),
            Some(New::Whole(bytes)) => {
                let ended = self.room_for([bytes, b"\r\n".as_slice()].concat())?;
                self.tree_mut().slots[slot].replace(ended);
            }
            Some(New::Pieces(content)) => {
                let (ended, eight_bit) = (Arc::new(content.with(Piece::Memory(LINE_END))), found.eight_bit);
                self.tree_mut().slots[slot].put(New::Pieces(ended), eight_bit);
            }
        }
        Ok(())
    }

    /// Whether a line of a part could be a boundary.
    pub(super) fn is_bounded(&self, part: PartId) -> bool {
        std::iter::successors(Some(part), |part| self.part(*part).parent).any(|part| self.part(part).boundary.is_some())
    }

    /// Whether a line would end the part, or, in a multipart that held none, begin one.
    pub(super) fn has_delimiter(&self, part: PartId, content: &[u8]) -> bool {
        let lines = || content.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"--")).map(<[u8]>::trim_ascii_end);
        let mut above = Some(part);
        while let Some(parent) = above {
            let parent = self.part(parent);
            if let Some(boundary) = &parent.boundary
                && memchr::memmem::find(content, boundary).is_some()
                && lines().any(|line| line == &**boundary || line.strip_suffix(b"--") == Some(boundary))
            {
                return true;
            }
            above = parent.parent;
        }
        false
    }
}
