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
    /// The length of its longest line, without line end.
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
        self.eight_bit = !bytes.is_ascii();
        self.longest = longest_line(&bytes);
        self.text = OnceLock::new();
        self.new = Some(bytes);
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
    let length = |line: &[u8]| line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line)).len();
    bytes.split_inclusive(|byte| *byte == b'\n').map(length).max().unwrap_or(0) as u64
}
