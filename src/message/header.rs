//! A header block and where its fields lie in it, before there are fields.

use std::ops::Range;

use bytes::Bytes;

use super::field::Field;
use super::lines::sound_name;

/// A field as it lies in its header block.
#[derive(Clone, Copy, Debug)]
pub struct Lying<'a> {
    bytes: &'a [u8],
    name: usize,
}

impl<'a> Lying<'a> {
    /// One whose name is that long.
    pub fn new(bytes: &'a [u8], name: usize) -> Lying<'a> {
        Lying { bytes, name }
    }

    /// All bytes, line end included.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// See [`Field::name`].
    pub fn name(self) -> &'a [u8] {
        &self.bytes[..self.name]
    }

    /// Whether it is called so, in whatever case.
    pub fn is(self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name.as_bytes())
    }

    /// Where the value is: behind the colon, before the line end.
    pub fn value_range(self) -> Range<usize> {
        let end = self.bytes.strip_suffix(b"\r\n").or_else(|| self.bytes.strip_suffix(b"\n")).unwrap_or(self.bytes).len();
        let colon = || self.bytes[self.name..].iter().position(|byte| *byte == b':').map_or(0, |colon| self.name + colon + 1);
        let start = if self.name == 0 { 0 } else { colon() };
        start.min(end)..end
    }

    /// See [`Field::raw_value`].
    pub fn raw_value(self) -> &'a [u8] {
        &self.bytes[self.value_range()]
    }
}

/// Where a field stands in its header block.
#[derive(Debug)]
pub struct Place {
    span: Range<usize>,
    name: usize,
}

impl Place {
    /// The field, in the block it was found in.
    pub fn of<'a>(&self, block: &'a [u8]) -> Lying<'a> {
        Lying::new(&block[self.span.clone()], self.name)
    }
}

/// Where the fields of a header block stand.
pub fn places(block: &[u8]) -> impl Iterator<Item = Place> + '_ {
    let mut end = 0;
    std::iter::from_fn(move || {
        let start = end;
        while end < block.len() && (end == start || matches!(block[end], b' ' | b'\t')) {
            end = memchr::memchr(b'\n', &block[end..]).map_or(block.len(), |at| end + at + 1);
        }
        (start < end).then(|| Place { span: start..end, name: name_length(&block[start..end]) })
    })
}

/// Most headers have no more fields than this.
const FIELDS: usize = 32;

/// The fields of a header block.
pub fn split(block: &Bytes) -> Vec<Field> {
    let mut fields = Vec::with_capacity(FIELDS);
    fields.extend(places(block).map(|place| Field::received(block.slice(place.span.clone()), place.name, place.span.start as u64)));
    fields
}

/// The length of the name; 0 for a line that has none.
pub fn name_length(bytes: &[u8]) -> usize {
    if let Some(length) = sound_name(bytes) {
        return length;
    }
    if matches!(bytes.first(), Some(b' ' | b'\t')) {
        return 0;
    }
    let line = &bytes[..memchr::memchr(b'\n', bytes).unwrap_or(bytes.len())];
    memchr::memchr(b':', line).map_or(0, |colon| line[..colon].trim_ascii_end().len())
}
