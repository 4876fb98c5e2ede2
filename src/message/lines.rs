//! Bytes to lines, however they are cut; and what a line of a text can be besides text.

use std::ops::Range;

use super::flags::{Flag, Flags};
use super::part::{Protection, is_content_field};

/// How much of a line is looked at. Longer header lines are a limit's matter; no delimiter is as long.
const LONGEST: usize = 64 * 1024;

/// One line with its end; of a long one only its beginning.
#[derive(Debug)]
pub struct Line<'a> {
    pub bytes: &'a [u8],
    /// Where it stands, in full.
    pub span: Range<u64>,
    pub eight_bit: bool,
    /// The length of its line end.
    pub end: u64,
    /// The length of the line end before it.
    pub end_before: u64,
}

impl Line<'_> {
    /// Whether all of it is in `bytes`.
    pub fn is_whole(&self) -> bool {
        self.bytes.len() as u64 == self.span.end - self.span.start
    }

    /// Its length without its line end.
    pub fn length(&self) -> u64 {
        self.span.end - self.span.start - self.end
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Lines {
    /// Where the line that is being read began.
    at: u64,
    /// A line that came in pieces: its first bytes, its length so far, whether it has bytes over 127, and its last two bytes.
    kept: Vec<u8>,
    length: u64,
    eight_bit: bool,
    tail: [u8; 2],
    /// The length of the line end before `at`.
    end_before: u64,
    after_cr: bool,
    pub flags: Flags,
}

impl Lines {
    /// Lines that begin at this offset.
    pub fn new(at: u64) -> Lines {
        Lines { at, ..Lines::default() }
    }

    /// Takes the next bytes. The lines do not depend on how they are cut.
    pub fn push(&mut self, bytes: &[u8], each: &mut dyn FnMut(&Line<'_>)) {
        self.look_at_bytes(bytes);
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            if self.length == 0 {
                self.hand_out(&line[..line.len().min(LONGEST)], line.len() as u64, !line.is_ascii(), line_end(line), each);
            } else {
                self.keep(line);
                self.hand_out_kept(each);
            }
            rest = after;
        }
        if !rest.is_empty() {
            self.keep(rest);
        }
    }

    /// The end: a last line without an end. Returns where it is.
    pub fn finish(&mut self, each: &mut dyn FnMut(&Line<'_>)) -> u64 {
        self.flags.raise_if(self.after_cr, Flag::BareLineEnding);
        if self.length > 0 {
            self.hand_out_kept(each);
        }
        self.at
    }

    fn look_at_bytes(&mut self, bytes: &[u8]) {
        if !self.flags.has(Flag::Nul) && memchr::memchr(0, bytes).is_some() {
            self.flags.raise(Flag::Nul);
        }
        if self.flags.has(Flag::BareLineEnding) || bytes.is_empty() {
            return;
        }
        let mut bare = self.after_cr != (bytes[0] == b'\n');
        self.after_cr = bytes.last() == Some(&b'\r');
        // Every CR but a last one belongs to an LF, and every LF but a first one to a CR.
        let mut pairs = usize::from(self.after_cr);
        for at in memchr::memchr_iter(b'\n', bytes).filter(|at| *at > 0) {
            if bytes[at - 1] == b'\r' { pairs += 1 } else { bare = true }
        }
        bare |= memchr::memchr_iter(b'\r', bytes).count() != pairs;
        self.flags.raise_if(bare, Flag::BareLineEnding);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LONGEST - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.length += bytes.len() as u64;
        self.eight_bit |= !bytes.is_ascii();
        self.tail = match *bytes {
            [.., before, last] => [before, last],
            [last] => [self.tail[1], last],
            [] => self.tail,
        };
    }

    fn hand_out_kept(&mut self, each: &mut dyn FnMut(&Line<'_>)) {
        let mut line = std::mem::take(&mut self.kept);
        let (length, eight_bit) = (std::mem::take(&mut self.length), std::mem::take(&mut self.eight_bit));
        self.hand_out(&line, length, eight_bit, line_end(&self.tail), each);
        line.clear();
        self.kept = line;
    }

    fn hand_out(&mut self, bytes: &[u8], length: u64, eight_bit: bool, end: u64, each: &mut dyn FnMut(&Line<'_>)) {
        let span = self.at..self.at + length;
        self.at = span.end;
        each(&Line { bytes, span, eight_bit, end, end_before: self.end_before });
        self.end_before = end;
    }
}

fn line_end(line: &[u8]) -> u64 {
    if line.ends_with(b"\r\n") { 2 } else { u64::from(line.ends_with(b"\n")) }
}

/// Not a header line: no colon, an empty name, or a blank in or after the name.
#[must_use]
pub fn is_bad_header_line(line: &[u8]) -> bool {
    match memchr::memchr(b':', line) {
        None | Some(0) => true,
        Some(colon) => !line[..colon].iter().all(u8::is_ascii_graphic),
    }
}

/// Whether a line would be a content field, were it in a header.
#[must_use]
pub fn is_content_line(line: &[u8]) -> bool {
    memchr::memchr(b':', line).is_some_and(|colon| is_content_field(line[..colon].trim_ascii()))
}

/// What inline PGP (RFC 9580 6.2) a line begins.
#[must_use]
pub fn inline_pgp(line: &[u8]) -> Option<Protection> {
    match line.strip_prefix(b"-----BEGIN PGP ")?.trim_ascii_end() {
        b"SIGNED MESSAGE-----" => Some(Protection::Signed),
        rest if rest.starts_with(b"MESSAGE") => Some(Protection::Encrypted),
        _ => None,
    }
}

/// The name of the file that begins with this line (uuencode, yEnc, `BinHex`); empty where it has none.
#[must_use]
pub fn embedded_name(line: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = line.strip_prefix(b"begin ") {
        let digits = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
        return (matches!(digits, 3 | 4) && rest.get(digits) == Some(&b' ')).then(|| rest[digits..].trim_ascii());
    }
    if line.starts_with(b"=ybegin ") {
        return Some(memchr::memmem::find(line, b" name=").map_or(b"".as_slice(), |at| line[at + 6..].trim_ascii()));
    }
    line.starts_with(b"(This file must be converted with BinHex").then_some(b"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_for_every_cut_and_long_ones_are_cut_short() {
        let text = [b"a\r\n\r\n".as_slice(), &vec![b'x'; LONGEST + 10], b"\r\nb\nc\xe9"].concat();
        let read = |step: usize| {
            let mut lines = Lines::new(5);
            let mut list = Vec::new();
            let mut each =
                |line: &Line<'_>| list.push((line.bytes.len(), line.span.clone(), line.eight_bit, line.end_before, line.length()));
            for chunk in text.chunks(step) {
                lines.push(chunk, &mut each);
            }
            assert_eq!(lines.finish(&mut each), 5 + text.len() as u64);
            (list, lines.flags)
        };
        let whole = read(usize::MAX);
        assert_eq!(whole.0[2].0, LONGEST);
        assert_eq!(whole.0[3].3, 2);
        assert_eq!(whole.0[4].3, 1);
        let lengths: Vec<u64> = whole.0.iter().map(|line| line.4).collect();
        assert_eq!(lengths, [1, 0, LONGEST as u64 + 10, 1, 2]);
        for step in [1, 2, 3, 1000] {
            assert_eq!(read(step), whole, "{step}");
        }
    }

    #[test]
    fn files_inside_a_text_are_known_by_their_first_line() {
        assert_eq!(embedded_name(b"begin 644 a.exe\r\n"), Some(b"a.exe".as_slice()));
        assert_eq!(embedded_name(b"begin with a word\r\n"), None);
        assert_eq!(embedded_name(b"=ybegin line=128 size=1 name=b.exe\r\n"), Some(b"b.exe".as_slice()));
    }
}
