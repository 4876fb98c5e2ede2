//! One slot of a body: a span of what was received, until an action replaces it.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::content::{Content, Piece};
use super::text::Text;

/// See the module.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Where it stands in the content.
    pub span: Range<u64>,
    /// What an action put in its place.
    pub new: Option<Bytes>,
    /// Whether it has bytes over 127.
    pub eight_bit: bool,
    /// The length of its longest line as received, without line end.
    pub longest: u64,
    /// A delimiter: whether the line end before its line belongs to it.
    pub joined: bool,
    /// Its text, once it was asked for.
    pub text: OnceLock<Arc<Text>>,
}

impl Slot {
    pub fn new(at: u64) -> Slot {
        Slot { span: at..at, new: None, eight_bit: false, longest: 0, joined: true, text: OnceLock::new() }
    }

    /// A slot with other bytes.
    pub fn replace(&mut self, bytes: Bytes) {
        let eight_bit = !bytes.is_ascii();
        self.put(bytes, eight_bit);
    }

    /// A slot with other bytes, of which is known whether some are over 127.
    pub fn put(&mut self, bytes: Bytes, eight_bit: bool) {
        self.eight_bit = eight_bit;
        self.text = OnceLock::new();
        self.new = Some(bytes);
    }

    /// The length of its longest line, without line end.
    pub fn longest_line(&self) -> u64 {
        self.new.as_deref().map_or(self.longest, longest_line)
    }

    /// Its bytes, where they lie in memory together.
    pub fn in_memory(&self, content: &Content) -> Option<Bytes> {
        self.new.clone().or_else(|| content.in_one(self.span.clone()))
    }

    pub fn size(&self) -> u64 {
        self.new.as_ref().map_or(self.span.end - self.span.start, |bytes| bytes.len() as u64)
    }

    pub fn pieces<'a>(&'a self, content: &'a Content) -> impl Iterator<Item = Piece> + 'a {
        let original = self.new.is_none().then(|| content.pieces(self.span.clone()));
        self.new.iter().cloned().map(Piece::Memory).chain(original.into_iter().flatten())
    }
}

/// The length of the longest line, without line end.
pub fn longest_line(bytes: &[u8]) -> u64 {
    let mut start = 0;
    let mut longest = 0;
    for end in memchr::memchr_iter(b'\n', bytes).chain([bytes.len()]) {
        let length = end - start;
        if length > longest {
            let returned = end < bytes.len() && bytes[start..end].ends_with(b"\r");
            longest = longest.max(length - usize::from(returned));
        }
        start = end + 1;
    }
    longest as u64
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
        ] {
            assert_eq!(longest_line(text.as_bytes()), longest, "{text:?}");
        }
    }
}
