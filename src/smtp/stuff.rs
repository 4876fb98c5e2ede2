//! Dot-stuffing on the way out (RFC 5321 4.5.2): done once, after all edits, without copying.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

/// Where a dot stands first in its line.
static LINE_DOT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\n."));
const DOT: Bytes = Bytes::from_static(b".");

/// Turns content into what goes over the wire, piece by piece.
#[derive(Debug)]
pub struct Stuffer {
    /// The last two bytes seen.
    tail: [u8; 2],
    /// No line in here begins with a dot.
    undotted: Bytes,
}

impl Default for Stuffer {
    fn default() -> Stuffer {
        Stuffer::knowing(Bytes::new())
    }
}

impl Stuffer {
    /// One that need not look for dots in these bytes, wherever in the content parts of them come.
    #[must_use]
    pub fn knowing(undotted: Bytes) -> Stuffer {
        Stuffer { tail: *b"\r\n", undotted }
    }

    /// Appends the wire form of `bytes` to `out`, as slices of it with dots between them.
    pub fn push(&mut self, mut bytes: Bytes, out: &mut Vec<Bytes>) {
        let (Some(first), Some(last)) = (bytes.first().copied(), bytes.last().copied()) else { return };
        // A dot after a lone LF is doubled, too: content has none, and if it had, a lenient server would take it for the end.
        if self.tail[1] == b'\n' && first == b'.' {
            out.push(DOT);
        }
        self.tail = [bytes.len().checked_sub(2).map_or(self.tail[1], |at| bytes[at]), last];
        if !self.is_undotted(&bytes) {
            while let Some(found) = LINE_DOT.find(&bytes) {
                out.extend([bytes.split_to(found + 1), DOT]);
            }
        }
        out.push(bytes);
    }

    /// Whether they are a part of those: the same memory, not the same letters.
    fn is_undotted(&self, bytes: &Bytes) -> bool {
        let (known, these) = (self.undotted.as_ptr_range(), bytes.as_ptr_range());
        known.start <= these.start && these.end <= known.end
    }

    /// What ends the data: a line end if the content has none, and the dot.
    #[must_use]
    pub fn end(&self) -> Bytes {
        Bytes::from_static(if self.tail == *b"\r\n" { b".\r\n" } else { b"\r\n.\r\n" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(pieces: &[&[u8]]) -> Vec<u8> {
        let mut stuffer = Stuffer::default();
        let mut out = Vec::new();
        for piece in pieces {
            stuffer.push(Bytes::copy_from_slice(piece), &mut out);
        }
        out.push(stuffer.end());
        out.concat()
    }

    #[test]
    fn dots_at_line_starts_are_doubled_in_any_split() {
        let content = b".a\r\n..\r\nb.c\r\n.\r\n.\r\n";
        for split in 0..=content.len() {
            for second in split..=content.len() {
                let sent = wire(&[&content[..split], &content[split..second], &content[second..]]);
                assert_eq!(sent, b"..a\r\n...\r\nb.c\r\n..\r\n..\r\n.\r\n", "split at {split} and {second}");
            }
        }
    }

    #[test]
    fn what_is_known_is_not_looked_at_and_all_else_is() {
        let known = Bytes::from_static(b"a\r\n.b\r\nc");
        let mut stuffer = Stuffer::knowing(known.slice(..6));
        let mut out = Vec::new();
        // It was told something wrong of the first; the dot that begins a piece is another matter.
        for bytes in [known.slice(..6), Bytes::from_static(b"\r\n.x\r\n"), known.slice(3..6), known.slice(1..)] {
            stuffer.push(bytes, &mut out);
        }
        assert_eq!(out.concat(), b"a\r\n.b\r\r\n..x\r\n..b\r\r\n..b\r\nc");
    }

    #[test]
    fn the_end_stands_on_its_own_line() {
        assert_eq!(wire(&[]), b".\r\n");
        assert_eq!(wire(&[b"a"]), b"a\r\n.\r\n");
        assert_eq!(wire(&[b"a\r", b"\n"]), b"a\r\n.\r\n");
        assert_eq!(wire(&[b"a", b"", b"."]), b"a.\r\n.\r\n");
    }

    #[test]
    fn nothing_is_copied() {
        let content = Bytes::from(vec![b'x'; 100]);
        let mut out = Vec::new();
        Stuffer::default().push(content.clone(), &mut out);
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].as_ptr(), content.as_ptr());
    }
}
