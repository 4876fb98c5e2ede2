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

/// Who reads lines.
pub trait Reader {
    /// Whether a line that begins with this byte is to be read. Of others only length and bytes are told, and of many at once.
    fn wants(&self, first: u8) -> bool;

    /// One line. Some that are not wanted are handed out, too.
    fn line(&mut self, line: &Line<'_>);

    /// Lines that were not wanted: the length of the longest without its line end, and whether they have bytes over 127.
    fn passed(&mut self, longest: u64, eight_bit: bool);
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
    pub fn push(&mut self, bytes: &[u8], reader: &mut impl Reader) {
        if bytes.is_empty() {
            return;
        }
        if !self.flags.has(Flag::Nul) && memchr::memchr(0, bytes).is_some() {
            self.flags.raise(Flag::Nul);
        }
        let mut ends = Ends::default();
        let mut rest = bytes;
        if self.length > 0 {
            let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
            self.keep(&bytes[..end]);
            rest = &bytes[end..];
            if self.tail[1] == b'\n' {
                ends.note(self.tail[0] == b'\r');
                self.hand_out_kept(reader);
            }
        }
        self.whole_lines(rest, &mut ends, reader);
        self.look_for_bare(bytes, &ends);
    }

    /// The lines that begin and end here; what is left behind them is kept.
    fn whole_lines(&mut self, bytes: &[u8], ends: &mut Ends, reader: &mut impl Reader) {
        let base = self.at + self.length;
        let ascii = bytes.is_ascii();
        let pass = |lines: &[u8], longest: usize, reader: &mut _| {
            if !lines.is_empty() {
                Reader::passed(reader, longest as u64, !ascii && !lines.is_ascii());
            }
        };
        let (mut from, mut start, mut longest) = (0, 0, 0);
        for at in memchr::memchr_iter(b'\n', bytes) {
            let returned = at > start && bytes[at - 1] == b'\r';
            if reader.wants(bytes[start]) {
                pass(&bytes[from..start], longest, reader);
                let line = &bytes[start..=at];
                let span = base + start as u64..base + at as u64 + 1;
                let bytes = &line[..line.len().min(LONGEST)];
                reader.line(&Line {
                    bytes,
                    span,
                    eight_bit: !ascii && !line.is_ascii(),
                    end: 1 + u64::from(returned),
                    end_before: self.end_before,
                });
                (from, longest) = (at + 1, 0);
            } else {
                longest = longest.max(at - start - usize::from(returned));
            }
            ends.note(returned);
            self.end_before = 1 + u64::from(returned);
            start = at + 1;
        }
        pass(&bytes[from..start], longest, reader);
        self.at += start as u64;
        if start < bytes.len() {
            self.keep(&bytes[start..]);
        }
    }

    /// The end: a last line without an end. Returns where it is.
    pub fn finish(&mut self, reader: &mut impl Reader) -> u64 {
        self.flags.raise_if(self.after_cr, Flag::BareLineEnding);
        if self.length > 0 {
            self.hand_out_kept(reader);
        }
        self.at
    }

    /// Every LF must have a CR before it, and no other CR may be there, but for a last one whose LF may come.
    fn look_for_bare(&mut self, bytes: &[u8], ends: &Ends) {
        let before = usize::from(std::mem::replace(&mut self.after_cr, bytes.ends_with(b"\r")));
        if !self.flags.has(Flag::BareLineEnding) {
            let returns = before + memchr::memchr_iter(b'\r', bytes).count() - usize::from(self.after_cr);
            self.flags.raise_if(ends.all != ends.returned || returns != ends.returned, Flag::BareLineEnding);
        }
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

    fn hand_out_kept(&mut self, reader: &mut impl Reader) {
        let span = self.at..self.at + std::mem::take(&mut self.length);
        self.at = span.end;
        let end = line_end(&self.tail);
        let eight_bit = std::mem::take(&mut self.eight_bit);
        reader.line(&Line { bytes: &self.kept, span, eight_bit, end, end_before: self.end_before });
        self.end_before = end;
        self.kept.clear();
    }
}

/// The line ends in one piece.
#[derive(Debug, Default)]
struct Ends {
    all: usize,
    /// Those with a CR.
    returned: usize,
}

impl Ends {
    fn note(&mut self, returned: bool) {
        self.all += 1;
        self.returned += usize::from(returned);
    }
}

fn line_end(line: &[u8]) -> u64 {
    if line.ends_with(b"\r\n") { 2 } else { u64::from(line.ends_with(b"\n")) }
}

/// The length of the name of a header line that is written as it should be: neither empty nor with blanks in it or behind it.
#[must_use]
pub fn sound_name(line: &[u8]) -> Option<usize> {
    let end = line.iter().position(|byte| *byte == b':' || !byte.is_ascii_graphic())?;
    (end > 0 && line[end] == b':').then_some(end)
}

/// Whether a line would be a content field, were it in a header.
#[must_use]
pub fn is_content_line(line: &[u8]) -> bool {
    memchr::memchr(b':', line).is_some_and(|colon| is_content_field(line[..colon].trim_ascii()))
}

/// Whether a line that begins so could be more than text: a delimiter, inline PGP, a file.
#[must_use]
pub fn begins_something(first: u8) -> bool {
    matches!(first, b'-' | b'b' | b'=' | b'(')
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
    use proptest::prelude::*;

    /// Its bytes, where it stands, whether it has bytes over 127, the length of the line end before it, and its own without its line end.
    type OneLine = (Vec<u8>, Range<u64>, bool, u64, u64);

    /// Wants lines that begin with a letter of `wanted`, and keeps of each what is told, which of others is added up.
    #[derive(Debug, Default)]
    struct Told {
        wanted: &'static [u8],
        lines: Vec<OneLine>,
        longest: u64,
        eight_bit: bool,
    }

    impl Reader for Told {
        fn wants(&self, first: u8) -> bool {
            self.wanted.contains(&first)
        }

        fn line(&mut self, line: &Line<'_>) {
            if self.wants(line.bytes[0]) {
                self.lines.push((line.bytes.to_vec(), line.span.clone(), line.eight_bit, line.end_before, line.length()));
            } else {
                self.passed(line.length(), line.eight_bit);
            }
        }

        fn passed(&mut self, longest: u64, eight_bit: bool) {
            self.longest = self.longest.max(longest);
            self.eight_bit |= eight_bit;
        }
    }

    fn read<'a>(wanted: &'static [u8], pieces: impl Iterator<Item = &'a [u8]>) -> (Told, Flags, u64) {
        let (mut lines, mut told) = (Lines::new(5), Told { wanted, ..Told::default() });
        for piece in pieces {
            lines.push(piece, &mut told);
        }
        let end = lines.finish(&mut told);
        (told, lines.flags, end)
    }

    /// The same, told line by line.
    fn plainly(wanted: &'static [u8], text: &[u8]) -> (Told, Flags) {
        let (mut told, mut flags, mut at, mut end_before) = (Told { wanted, ..Told::default() }, Flags::default(), 5, 0);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let end = if line.ends_with(b"\r\n") { 2 } else { u64::from(line.ends_with(b"\n")) };
            let span = at..at + line.len() as u64;
            at = span.end;
            told.line(&Line {
                bytes: &line[..line.len().min(LONGEST)],
                span,
                eight_bit: line.iter().any(|byte| *byte > 127),
                end,
                end_before,
            });
            end_before = end;
        }
        for (at, byte) in text.iter().enumerate() {
            let bare = match byte {
                b'\r' => text.get(at + 1) != Some(&b'\n'),
                b'\n' => at == 0 || text[at - 1] != b'\r',
                _ => false,
            };
            flags.raise_if(bare, Flag::BareLineEnding);
            flags.raise_if(*byte == 0, Flag::Nul);
        }
        (told, flags)
    }

    #[test]
    fn lines_are_the_same_for_every_cut_and_long_ones_are_cut_short() {
        let text = [b"a\r\n\r\n".as_slice(), &vec![b'x'; LONGEST + 10], b"\r\nb\nc\xe9"].concat();
        for step in [1, 2, 3, 1000, usize::MAX] {
            let (told, flags, end) = read(b"abcx\r", text.chunks(step));
            assert_eq!(end, 5 + text.len() as u64);
            assert_eq!(told.lines.iter().map(|line| line.0.len()).collect::<Vec<_>>(), [3, 2, LONGEST, 2, 2], "{step}");
            assert_eq!(told.lines.iter().map(|line| line.3).collect::<Vec<_>>(), [0, 2, 2, 2, 1], "{step}");
            assert_eq!(told.lines.iter().map(|line| line.4).collect::<Vec<_>>(), [1, 0, LONGEST as u64 + 10, 1, 2], "{step}");
            assert_eq!(told.lines.iter().map(|line| line.2).collect::<Vec<_>>(), [false, false, false, false, true], "{step}");
            assert!(flags.has(Flag::BareLineEnding) && !flags.has(Flag::Nul));
        }
    }

    proptest! {
        #[test]
        fn what_is_told_of_many_lines_at_once_is_what_each_of_them_tells(
            pieces in proptest::collection::vec(prop_oneof![
                4 => (0_usize..90).prop_map(|length| vec![b'x'; length]), 8 => Just(b"\r\n".to_vec()), 2 => Just(b"\r\n--".to_vec()),
                1 => Just(b"\r".to_vec()), 1 => Just(b"\n".to_vec()), 1 => Just(b"\xe9".to_vec()), 1 => Just(b"\0".to_vec())], 0..40),
            bare in any::<bool>(),
            cuts in proptest::collection::vec(1_usize..200, 1..40)
        ) {
            let text: Vec<u8> = pieces.into_iter().filter(|piece| bare || !matches!(piece.as_slice(), b"\r" | b"\n")).flatten().collect();
            let mut list = Vec::new();
            let mut rest = text.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                list.push(now);
                rest = later;
            }
            let (wanted, flags) = plainly(b"-", &text);
            for (told, found, end) in [read(b"-", list.into_iter()), read(b"-", std::iter::once(text.as_slice()))] {
                prop_assert_eq!(end, 5 + text.len() as u64);
                prop_assert_eq!(&told.lines, &wanted.lines);
                prop_assert_eq!((told.longest, told.eight_bit, found), (wanted.longest, wanted.eight_bit, flags));
            }
        }
    }

    #[test]
    fn files_inside_a_text_are_known_by_their_first_line() {
        assert_eq!(embedded_name(b"begin 644 a.exe\r\n"), Some(b"a.exe".as_slice()));
        assert_eq!(embedded_name(b"begin with a word\r\n"), None);
        assert_eq!(embedded_name(b"=ybegin line=128 size=1 name=b.exe\r\n"), Some(b"b.exe".as_slice()));
    }
}
