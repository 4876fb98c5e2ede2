//! Bytes to lines, however they are cut; and what a line of a text can be besides text.

use std::ops::Range;

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
    /// The length of the line end before it.
    pub end_before: u64,
}

impl Line<'_> {
    /// Whether all of it is in `bytes`.
    pub fn is_whole(&self) -> bool {
        self.bytes.len() as u64 == self.span.end - self.span.start
    }
}

/// Who reads lines.
pub trait Reader {
    /// Whether every line is to be read. Else those are that [begin something](begins_something).
    fn wants_all(&self) -> bool;

    /// One line. Some that are not wanted are handed out, too.
    fn line(&mut self, line: &Line<'_>);

    /// Lines that were not wanted: whether they have bytes over 127.
    fn passed(&mut self, eight_bit: bool);
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
}

impl Lines {
    /// Lines that begin at this offset.
    pub fn new(at: u64) -> Lines {
        Lines { at, ..Lines::default() }
    }

    /// Takes the next bytes. The lines do not depend on how they are cut.
    pub fn push(&mut self, bytes: &[u8], reader: &mut impl Reader) {
        let mut rest = bytes;
        if self.length > 0 {
            let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
            self.keep(&bytes[..end]);
            rest = &bytes[end..];
            if self.tail[1] == b'\n' {
                self.hand_out_kept(reader);
            }
        }
        self.whole_lines(rest, reader);
    }

    /// The lines that begin and end here; what is left behind them is kept.
    fn whole_lines(&mut self, bytes: &[u8], reader: &mut impl Reader) {
        let wanted = |reader: &mut _, at: usize| {
            bytes.get(at).is_some_and(|first| Reader::wants_all(reader) || begins_something(*first)).then_some(at)
        };
        // What is passed over begins at `from`; a line that is wanted has begun, perhaps, and its end is not found yet.
        let (mut from, mut begun) = (0, wanted(reader, 0));
        let mut at = 0;
        while at < bytes.len() {
            let end = (at + BLOCK).min(bytes.len());
            let some = match (bytes[at..].first_chunk(), bytes[at + 1..].first_chunk()) {
                (Some(block), Some(next)) => begin_in_block(block, next),
                _ => begin_in(&bytes[at..end], &bytes[at + 1..]),
            };
            if some || begun.is_some() {
                for behind in memchr::memchr_iter(b'\n', &bytes[at..end]).map(|found| at + found + 1) {
                    if let Some(start) = begun {
                        self.pass(&bytes[from..start], reader);
                        self.hand_out(&bytes[start..behind], reader);
                        from = behind;
                    }
                    begun = wanted(reader, behind);
                }
            }
            at = end;
        }
        let start = begun.unwrap_or_else(|| memchr::memrchr(b'\n', &bytes[from..]).map_or(from, |found| from + found + 1));
        self.pass(&bytes[from..start], reader);
        if start < bytes.len() {
            self.keep(&bytes[start..]);
        }
    }

    /// Whole lines that are not wanted.
    fn pass(&mut self, lines: &[u8], reader: &mut impl Reader) {
        if !lines.is_empty() {
            reader.passed(!lines.is_ascii());
            self.at += lines.len() as u64;
            self.end_before = line_end(lines);
        }
    }

    fn hand_out(&mut self, line: &[u8], reader: &mut impl Reader) {
        let span = self.at..self.at + line.len() as u64;
        self.at = span.end;
        let bytes = &line[..line.len().min(LONGEST)];
        reader.line(&Line { bytes, span, eight_bit: !line.is_ascii(), end_before: self.end_before });
        self.end_before = line_end(line);
    }

    /// The end: a last line without an end. Returns where it is.
    pub fn finish(&mut self, reader: &mut impl Reader) -> u64 {
        if self.length > 0 {
            self.hand_out_kept(reader);
        }
        self.at
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
        reader.line(&Line { bytes: &self.kept, span, eight_bit, end_before: self.end_before });
        self.end_before = end;
        self.kept.clear();
    }
}

/// Bytes that are looked at together, without a branch between them.
const BLOCK: usize = 256;

/// Whether some line that [begins something](begins_something) begins in a block, given the same one byte later; the first byte counts only as what stands
/// before another. By itself, and on arrays: together with the loop around it, a compiler makes three times as many instructions of it.
#[inline(never)]
fn begin_in_block(block: &[u8; BLOCK], next: &[u8; BLOCK]) -> bool {
    begin_in(block, next)
}

/// The same for any length.
#[inline]
fn begin_in(bytes: &[u8], next: &[u8]) -> bool {
    bytes.iter().zip(next).fold(false, |some, (one, next)| some | ((*one == b'\n') & begins_something(*next)))
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
#[inline]
#[expect(clippy::needless_bitwise_bool, reason = "without a branch, many bytes are asked at once")]
pub fn begins_something(first: u8) -> bool {
    (first == b'-') | (first == b'b') | (first == b'=') | (first == b'(')
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

    /// Its bytes, where it stands, whether it has bytes over 127, and the length of the line end before it.
    type OneLine = (Vec<u8>, Range<u64>, bool, u64);

    /// Keeps of each line that is wanted what is told, which of others is added up.
    #[derive(Debug, Default)]
    struct Told {
        all: bool,
        lines: Vec<OneLine>,
        eight_bit: bool,
    }

    impl Reader for Told {
        fn wants_all(&self) -> bool {
            self.all
        }

        fn line(&mut self, line: &Line<'_>) {
            if self.all || begins_something(line.bytes[0]) {
                self.lines.push((line.bytes.to_vec(), line.span.clone(), line.eight_bit, line.end_before));
            } else {
                self.passed(line.eight_bit);
            }
        }

        fn passed(&mut self, eight_bit: bool) {
            self.eight_bit |= eight_bit;
        }
    }

    fn read<'a>(all: bool, pieces: impl Iterator<Item = &'a [u8]>) -> (Told, u64) {
        let (mut lines, mut told) = (Lines::new(5), Told { all, ..Told::default() });
        for piece in pieces {
            lines.push(piece, &mut told);
        }
        let end = lines.finish(&mut told);
        (told, end)
    }

    /// The same, told line by line.
    fn plainly(all: bool, text: &[u8]) -> Told {
        let (mut told, mut at, mut end_before) = (Told { all, ..Told::default() }, 5, 0);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let end = if line.ends_with(b"\r\n") { 2 } else { u64::from(line.ends_with(b"\n")) };
            let span = at..at + line.len() as u64;
            at = span.end;
            told.line(&Line { bytes: &line[..line.len().min(LONGEST)], span, eight_bit: line.iter().any(|byte| *byte > 127), end_before });
            end_before = end;
        }
        told
    }

    #[test]
    fn lines_are_the_same_for_every_cut_and_long_ones_are_cut_short() {
        let text = [b"a\r\n\r\n".as_slice(), &vec![b'x'; LONGEST + 10], b"\r\nb\nc\xe9"].concat();
        for step in [1, 2, 3, 1000, usize::MAX] {
            let (told, end) = read(true, text.chunks(step));
            assert_eq!(end, 5 + text.len() as u64);
            assert_eq!(told.lines.iter().map(|line| line.0.len()).collect::<Vec<_>>(), [3, 2, LONGEST, 2, 2], "{step}");
            assert_eq!(told.lines.iter().map(|line| line.3).collect::<Vec<_>>(), [0, 2, 2, 2, 1], "{step}");
            assert_eq!(told.lines.iter().map(|line| line.2).collect::<Vec<_>>(), [false, false, false, false, true], "{step}");
        }
    }

    proptest! {
        #[test]
        fn what_is_told_of_many_lines_at_once_is_what_each_of_them_tells(
            pieces in proptest::collection::vec(prop_oneof![
                4 => (0_usize..90).prop_map(|length| vec![b'x'; length]), 8 => Just(b"\r\n".to_vec()), 2 => Just(b"\r\n--".to_vec()), 1 => Just(b"\r\nb".to_vec()),
                1 => Just(b"\r".to_vec()), 1 => Just(b"\n".to_vec()), 1 => Just(b"\xe9".to_vec())], 0..40),
            cuts in proptest::collection::vec(1_usize..900, 1..40), all in any::<bool>()
        ) {
            let text: Vec<u8> = pieces.concat();
            let mut list = Vec::new();
            let mut rest = text.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                list.push(now);
                rest = later;
            }
            let wanted = plainly(all, &text);
            for (told, end) in [read(all, list.into_iter()), read(all, std::iter::once(text.as_slice()))] {
                prop_assert_eq!(end, 5 + text.len() as u64);
                prop_assert_eq!(&told.lines, &wanted.lines);
                prop_assert_eq!(told.eight_bit, wanted.eight_bit);
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
