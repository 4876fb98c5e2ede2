//! One slot of a body: a span of what was received, until an action replaces it.
//!
//! | what stands there | where its bytes lie |
//! |---|---|
//! | as received | in the content, memory or file |
//! | replaced, [`New::Whole`] | in memory, all of them |
//! | replaced, [`New::Pieces`] | what stayed as it was in the file of the content; new bytes in memory, or in a file of their own ([`super::draft`]) |

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::content::{Content, Piece};
use super::output::LINE_END;
use super::text::Memo;

/// See the module.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Where it stands in the content.
    pub span: Range<u64>,
    /// What an action put in its place.
    pub new: Option<New>,
    /// What was received lacks its line end, and gets one of ours: a copy would no longer be what was received.
    ended: bool,
    /// Whether it has bytes over 127.
    pub eight_bit: bool,
    /// A delimiter: whether the line end before its line belongs to it.
    pub joined: bool,
    /// Its text, once it was asked for.
    pub text: Memo,
}

/// What an action put in place of a slot.
#[derive(Clone, Debug)]
pub enum New {
    Whole(Bytes),
    Pieces(Arc<Content>),
}

impl New {
    pub fn size(&self) -> u64 {
        match self {
            New::Whole(bytes) => bytes.len() as u64,
            New::Pieces(new) => new.size(),
        }
    }
}

impl Slot {
    pub fn new(at: u64) -> Slot {
        Slot { span: at..at, new: None, ended: false, eight_bit: false, joined: true, text: Memo::default() }
    }

    /// A slot with other bytes.
    pub fn replace(&mut self, bytes: Bytes) {
        let eight_bit = !bytes.is_ascii();
        self.put(New::Whole(bytes), eight_bit);
    }

    /// A slot with other bytes, of which is known whether some are over 127.
    pub fn put(&mut self, new: New, eight_bit: bool) {
        self.eight_bit = eight_bit;
        self.text = Memo::default();
        self.ended = false;
        self.new = Some(new);
    }

    /// Puts a line end behind what was received.
    pub fn end_line(&mut self) {
        self.ended = true;
    }

    /// The line end that is ours.
    pub fn line_end(&self) -> Option<Bytes> {
        self.ended.then_some(LINE_END)
    }

    /// Its bytes, where they lie in memory together.
    pub fn in_memory(&self, content: &Content) -> Option<Bytes> {
        match &self.new {
            Some(New::Whole(bytes)) => Some(bytes.clone()),
            Some(New::Pieces(_)) => None,
            None if self.ended => None,
            None => content.in_one(self.span.clone()),
        }
    }

    pub fn size(&self) -> u64 {
        let received = || self.span.end - self.span.start + self.line_end().map_or(0, |end| end.len() as u64);
        self.new.as_ref().map_or_else(received, New::size)
    }

    pub fn pieces<'a>(&'a self, content: &'a Content) -> impl Iterator<Item = Piece> + 'a {
        let (whole, lies) = match &self.new {
            Some(New::Whole(bytes)) => (Some(Piece::Memory(bytes.clone())), None),
            Some(New::Pieces(new)) => (None, Some(new.pieces(0..new.size()))),
            None => (None, Some(content.pieces(self.span.clone()))),
        };
        whole.into_iter().chain(lies.into_iter().flatten()).chain(self.line_end().map(Piece::Memory))
    }
}

/// The length of the longest line in bytes that come piece by piece, without line end.
#[derive(Debug, Default)]
pub struct Longest {
    most: u64,
    /// Of the line that is being read.
    length: u64,
    after_cr: bool,
}

impl Longest {
    pub fn push(&mut self, bytes: &[u8]) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let returned = if end > start { bytes[end - 1] == b'\r' } else { self.after_cr };
            self.most = self.most.max(self.length + (end - start) as u64 - u64::from(returned));
            (self.length, self.after_cr) = (0, false);
            start = end + 1;
        }
        if let Some(last) = bytes[start..].last() {
            self.length += (bytes.len() - start) as u64;
            self.after_cr = *last == b'\r';
        }
    }

    pub fn finish(self) -> u64 {
        self.most.max(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_line_is_counted_without_its_end() {
        for (text, longest) in [
            ("", 0),
            ("\r\n", 0),
            ("abc", 3),
            ("abc\r", 4),
            ("ab\r\nabc\r\n", 3),
            ("abc\nab\n\n", 3),
            ("abc\r\nabcd", 4),
            ("abcd\r\nabcd\n", 4),
            ("\r\r\n\n", 1),
        ] {
            for step in 1..=text.len().max(1) {
                let mut counted = Longest::default();
                text.as_bytes().chunks(step).for_each(|piece| counted.push(piece));
                assert_eq!(counted.finish(), longest, "{text:?} {step}");
            }
        }
    }
}
