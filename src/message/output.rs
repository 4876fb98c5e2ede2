//! The way out: header, blank line and slots in order, as runs of what was received and of what is new.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::content::{Content, Piece, add_piece};
use super::slot::{New, Slot};
use super::{Fault, Message, PartId};

pub(super) const LINE_END: Bytes = Bytes::from_static(b"\r\n");

/// Collects runs; spans that follow each other become one.
struct Runs<'a> {
    content: &'a Content,
    span: Range<u64>,
    pieces: Vec<Piece>,
}

impl Runs<'_> {
    fn span(&mut self, span: Range<u64>) {
        if self.span.end == span.start {
            self.span.end = span.end;
        } else {
            self.flush();
            self.span = span;
        }
    }

    fn bytes(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.flush();
            self.pieces.push(Piece::Memory(bytes));
        }
    }

    fn slot(&mut self, slot: &Slot) {
        match &slot.new {
            Some(New::Whole(bytes)) => self.bytes(bytes.clone()),
            Some(New::Pieces(new)) => {
                self.flush();
                for piece in new.pieces(0..new.size()) {
                    add_piece(&mut self.pieces, piece);
                }
            }
            None => {
                self.span(slot.span.clone());
                self.bytes(slot.line_end().unwrap_or_default());
            }
        }
    }

    fn flush(&mut self) {
        let span = std::mem::take(&mut self.span);
        for piece in self.content.pieces(span) {
            add_piece(&mut self.pieces, piece);
        }
    }
}

impl Message {
    /// Bytes as it now stands.
    #[must_use]
    pub fn size(&self) -> u64 {
        let mut size = self.blank.len() as u64 + self.body.size();
        self.each_field(|bytes, _| size += bytes.len() as u64);
        size
    }

    /// Whether the output is the same, byte for byte. What cannot be read is not.
    #[must_use]
    pub fn is_same_as(&self, other: &Message) -> bool {
        let untouched = Arc::ptr_eq(&self.fields, &other.fields) && Arc::ptr_eq(&self.body, &other.body);
        let digest = |message: &Message| {
            let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
            let read = message.for_each(&mut |piece| {
                digest.update(piece);
                Ok(())
            });
            read.ok().map(|()| digest.finish().as_ref().to_vec())
        };
        untouched || self.size() == other.size() && digest(self).is_some_and(|bytes| digest(other) == Some(bytes))
    }

    /// The output: header fields, blank line, body, in runs as long as they come.
    #[must_use]
    pub fn pieces(&self) -> Vec<Piece> {
        let body = &self.body;
        let mut runs = Runs { content: &body.content, span: 0..0, pieces: Vec::with_capacity(8) };
        // A file's header is read from it only where all of it is as received: then message and file are the same.
        let untouched = self.header_untouched();
        let from_content = untouched || !body.content.in_file();
        self.each_field(|bytes, place| match place {
            Some(place) if from_content => runs.span(place..place + bytes.len() as u64),
            _ => runs.bytes(bytes.clone()),
        });
        if untouched {
            runs.span(body.start - self.blank.len() as u64..body.start);
        } else {
            runs.bytes(self.blank.clone());
        }
        match body.slots() {
            Some(slots) => slots.iter().for_each(|slot| runs.slot(slot)),
            None => runs.span(body.start..body.content.size()),
        }
        runs.flush();
        runs.pieces
    }

    /// Bytes, some of the output among them, in which no line begins with a dot; as far as that is known from receiving.
    #[must_use]
    pub fn undotted(&self) -> Option<&Bytes> {
        self.undotted.as_ref()
    }

    /// All header bytes before the blank line. A line end is put where one is missing, and an empty line before a first line that would fold into what was put
    /// above it (SEMANTICS 19).
    fn each_field(&self, mut each: impl FnMut(&Bytes, Option<u64>)) {
        for (index, field) in self.fields.iter().enumerate() {
            if index > 0 && field.is_continuation() {
                each(&LINE_END, None);
            }
            each(field.raw(), field.place());
            let more = index + 1 < self.fields.len() || !self.blank.is_empty();
            if more && !field.raw().is_empty() && !field.raw().ends_with(b"\n") {
                each(&LINE_END, None);
            }
        }
    }

    fn header_untouched(&self) -> bool {
        let mut at = 0;
        for field in self.fields.iter() {
            if field.place() != Some(at) {
                return false;
            }
            at += field.raw().len() as u64;
        }
        !self.separated && at + self.blank.len() as u64 == self.body.start
    }

    /// All output bytes, in pieces of at most 256 KiB.
    ///
    /// # Errors
    /// Disk.
    pub fn for_each(&self, each: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.pieces().iter().try_for_each(|piece| piece.for_each(each))
    }

    /// The encoded content of a part as it now stands, in pieces of at most 256 KiB.
    ///
    /// # Errors
    /// Disk.
    pub fn encoded(&self, part: PartId, each: &mut dyn FnMut(&[u8])) -> Result<(), Fault> {
        let slots = &self.tree().slots[self.parts()[part.index()].slots.clone()];
        for piece in slots.iter().flat_map(|slot| slot.pieces(&self.body.content)) {
            piece.for_each(&mut |run| {
                each(run);
                io::Result::Ok(())
            })?;
        }
        Ok(())
    }

    /// The whole body as it now stands, at most `limits.text` bytes.
    ///
    /// # Errors
    /// Too large, disk.
    pub fn raw_body(&self) -> Result<Bytes, Fault> {
        let size = self.body.size();
        if size > self.limits.text {
            return Err(Fault::Message(format!(
                "the body has {size} bytes, more than limits.chain.text; raise that, or have a rule before it test `size`"
            )));
        }
        Ok(Content::new(self.body_pieces()).read(0..size)?)
    }
}
