//! From a place in a text back to the bytes it was read from, and new bytes for what changes there.

use std::ops::Range;

use encoding_rs::{Encoding, ISO_2022_JP, UTF_8};

use super::charset;
use super::field::Change;

/// A replacement of bytes.
pub type ByteChange = (Range<usize>, Vec<u8>);

/// The boundary of characters at a place in the text: at it, or, where it lies inside what some bytes stand for, before and after it. Bytes first, then text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    before: (usize, usize),
    after: (usize, usize),
}

/// Turns changes of a text with `\n` line ends into changes of the bytes; none where the charset cannot say the new text.
#[must_use]
pub fn locate(encoding: &'static Encoding, bytes: &[u8], changes: &[Change]) -> Option<Vec<ByteChange>> {
    let decoded = charset::decode(encoding, bytes);
    let wanted = unfold(&decoded, changes);
    locate_at(encoding, bytes, &decoded, &wanted, changes)
}

/// The same for a text whose line ends are still as received, and the starts and ends of the changes in it.
#[must_use]
pub fn locate_at(
    encoding: &'static Encoding,
    bytes: &[u8],
    decoded: &str,
    wanted: &[usize],
    changes: &[Change],
) -> Option<Vec<ByteChange>> {
    let line_end = line_end(decoded);
    // What reads as itself needs no search.
    let places = if is_itself(bytes, decoded) {
        wanted.iter().map(|at| Place { before: (*at, *at), after: (*at, *at) }).collect()
    } else {
        find(encoding, bytes, wanted)
    };
    let mut list: Vec<ByteChange> = Vec::with_capacity(changes.len());
    let mut shift = Shift { bytes, at: 0, escape: ASCII };
    for (index, change) in changes.iter().enumerate() {
        let (start, end) = (places[index * 2].before, places[index * 2 + 1].after);
        let text = [&decoded[start.1..wanted[index * 2]], &with_line_ends(&change.with, line_end), &decoded[wanted[index * 2 + 1]..end.1]]
            .concat();
        let mut new = charset::encode(encoding, &text)?;
        if encoding == ISO_2022_JP {
            new = shift.wrap(&new, start.0..end.0);
        }
        list.push((start.0..end.0, new));
    }
    // Changes that meet inside what one byte stands for cannot be told apart.
    list.windows(2).all(|pair| pair[0].0.end <= pair[1].0.start).then_some(list)
}

/// Whether a text lies in the very bytes it was decoded from.
#[must_use]
pub fn is_itself(bytes: &[u8], decoded: &str) -> bool {
    decoded.as_ptr() == bytes.as_ptr() && decoded.len() == bytes.len()
}

/// CR LF, unless the text has LF alone throughout.
#[must_use]
pub fn line_end(text: &str) -> &'static str {
    let bare = memchr::memchr(b'\n', text.as_bytes()).is_some_and(|at| at == 0 || text.as_bytes()[at - 1] != b'\r');
    if bare { "\n" } else { "\r\n" }
}

/// A text with these line ends.
#[must_use]
pub fn with_line_ends(text: &str, line_end: &str) -> String {
    let text = charset::with_lf(text);
    if line_end == "\n" || !text.contains('\n') { text.into_owned() } else { text.replace('\n', line_end) }
}

/// The starts and ends of changes, as places in the text whose line ends are still as received.
pub fn unfold(text: &str, changes: &[Change]) -> Vec<usize> {
    let mut offsets = changes.iter().flat_map(|change| [change.range.start, change.range.end]).peekable();
    let mut out = Vec::with_capacity(changes.len() * 2);
    let mut pairs = 0;
    let text_bytes = text.as_bytes();
    for at in memchr::memchr_iter(b'\n', text_bytes).filter_map(|end| end.checked_sub(1)).filter(|at| text_bytes[*at] == b'\r') {
        if offsets.peek().is_none() {
            break;
        }
        while let Some(offset) = offsets.next_if(|offset| *offset + pairs <= at) {
            out.push(offset + pairs);
        }
        pairs += 1;
    }
    out.extend(offsets.map(|offset| (offset + pairs).min(text.len())));
    out
}

/// Collects the places of sorted offsets while runs of bytes and text go by.
struct Finder<'a> {
    wanted: &'a [usize],
    found: Vec<Place>,
    /// Bytes and text so far.
    at: (usize, usize),
}

impl Finder<'_> {
    /// A run of bytes that stand for so many bytes of text; in a linear one, byte for byte.
    fn run(&mut self, bytes: usize, text: usize, linear: bool) {
        let end = (self.at.0 + bytes, self.at.1 + text);
        while let Some(&wanted) = self.wanted.get(self.found.len()).filter(|wanted| **wanted <= end.1) {
            let exact = |place| Place { before: place, after: place };
            self.found.push(if wanted == self.at.1 {
                exact(self.at)
            } else if wanted == end.1 {
                exact(end)
            } else if linear {
                exact((self.at.0 + wanted - self.at.1, wanted))
            } else {
                Place { before: self.at, after: end }
            });
        }
        self.at = end;
    }
}

fn find(encoding: &'static Encoding, bytes: &[u8], wanted: &[usize]) -> Vec<Place> {
    let mut finder = Finder { wanted, found: Vec::with_capacity(wanted.len()), at: (0, 0) };
    if encoding == UTF_8 {
        for chunk in bytes.utf8_chunks() {
            finder.run(chunk.valid().len(), chunk.valid().len(), true);
            if !chunk.invalid().is_empty() {
                finder.run(chunk.invalid().len(), '\u{fffd}'.len_utf8(), false);
            }
        }
    } else {
        let mut decoder = encoding.new_decoder_without_bom_handling();
        let mut out = [0; 32];
        let mut waiting = 0;
        for byte in bytes {
            let (_, _, written, _) = decoder.decode_to_utf8(std::slice::from_ref(byte), &mut out, false);
            waiting += 1;
            if written > 0 {
                finder.run(waiting, written, waiting == 1 && written == 1);
                waiting = 0;
            }
        }
        let (_, _, written, _) = decoder.decode_to_utf8(&[], &mut out, true);
        finder.run(waiting, written, false);
    }
    let end = Place { before: finder.at, after: finder.at };
    finder.found.resize(wanted.len(), end);
    finder.found
}

const ESCAPE: u8 = 0x1b;
const ASCII: &[u8] = b"\x1b(B";

/// Follows the shifts of ISO-2022-JP (RFC 1468), so that new text begins and ends in the state its neighbours need.
struct Shift<'a> {
    bytes: &'a [u8],
    at: usize,
    escape: &'a [u8],
}

impl<'a> Shift<'a> {
    fn forward(&mut self, to: usize) -> &'a [u8] {
        if let Some(found) = memchr::memrchr(ESCAPE, &self.bytes[self.at..to]) {
            self.escape = &self.bytes[self.at + found..(self.at + found + 3).min(self.bytes.len())];
        }
        self.at = to;
        self.escape
    }

    /// Encoded text begins and ends in ASCII. No two escapes may meet: readers take that for a fault.
    fn wrap(&mut self, new: &[u8], range: Range<usize>) -> Vec<u8> {
        let mut state = self.forward(range.start);
        let after = self.forward(range.end);
        let mut out = Vec::with_capacity(new.len() + 6);
        for run in new.split(|byte| *byte == ESCAPE).enumerate() {
            // What stands before the first escape is ASCII; others begin with their own.
            let (escape, text) = match run {
                (0, text) => (ASCII, text),
                (_, text) => (escape(&text[..2.min(text.len())]), text.get(2..).unwrap_or_default()),
            };
            if !text.is_empty() {
                if state != escape {
                    out.extend_from_slice(escape);
                    state = escape;
                }
                out.extend_from_slice(text);
            }
        }
        if state != after && self.bytes.get(range.end) != Some(&ESCAPE) {
            out.extend_from_slice(after);
        }
        out
    }
}

/// The whole escape sequence for what follows the escape character.
fn escape(letters: &[u8]) -> &'static [u8] {
    const ALL: [&[u8]; 5] = [b"\x1b(J", b"\x1b(I", b"\x1b$@", b"\x1b$B", ASCII];
    ALL.into_iter().find(|escape| escape[1..] == *letters).unwrap_or(ASCII)
}

/// Applies changes to bytes.
#[must_use]
pub fn splice(bytes: &[u8], changes: &[ByteChange]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut done = 0;
    for (range, with) in changes {
        out.extend_from_slice(&bytes[done..range.start]);
        out.extend_from_slice(with);
        done = range.end;
    }
    out.extend_from_slice(&bytes[done..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn replace(label: &str, bytes: &[u8], what: &str, with: &str) -> Option<Vec<u8>> {
        let encoding = charset::find(label).unwrap();
        let text = charset::decode(encoding, bytes).replace("\r\n", "\n");
        let start = text.find(what).unwrap();
        let change = Change { range: start..start + what.len(), with: with.into() };
        locate(encoding, bytes, &[change]).map(|changes| splice(bytes, &changes))
    }

    #[test]
    fn bytes_beside_the_change_stay_even_if_they_are_no_text() {
        assert_eq!(replace("utf-8", b"a\xff secret\r\nb\xc3", "secret", "X").unwrap(), b"a\xff X\r\nb\xc3");
        assert_eq!(replace("utf-8", b"one\r\ntwo", "\n", "\n\n").unwrap(), b"one\r\n\r\ntwo");
        assert_eq!(replace("utf-8", b"one\ntwo", "one", "1\n").unwrap(), b"1\n\ntwo");
    }

    #[test]
    fn what_the_charset_cannot_say_is_told() {
        assert_eq!(replace("iso-8859-2", b"a secret", "secret", "日"), None);
        assert_eq!(replace("windows-1252", b"caf\xe9 x", "x", "é").unwrap(), b"caf\xe9 \xe9");
    }

    #[test]
    fn shifted_japanese_keeps_its_state() {
        let (bytes, ..) = ISO_2022_JP.encode("日本語 abc テスト");
        for (what, with) in [("本", "X"), ("本", "木"), ("abc", "語"), ("日本語", ""), ("テスト", "end")] {
            let out = replace("iso-2022-jp", &bytes, what, with).unwrap();
            assert_eq!(charset::decode(ISO_2022_JP, &out), "日本語 abc テスト".replace(what, with), "{what} {with}");
        }
    }

    proptest! {
        #[test]
        fn a_change_reads_back_in_every_charset(
            label in prop_oneof![Just("utf-8"), Just("shift_jis"), Just("euc-jp"), Just("iso-2022-jp"), Just("utf-16le"), Just("gb18030")],
            before in "[a日本ア\n]{0,8}", old in "[b語テ\n]{0,5}", after in "[c本ス\n]{0,8}", with in "[x木\n]{0,5}"
        ) {
            let encoding = charset::find(label).unwrap();
            let bytes = charset::encode(encoding, &format!("{before}{old}{after}").replace('\n', "\r\n")).unwrap();
            let change = Change { range: before.len()..before.len() + old.len(), with: with.as_str().into() };
            let changes = locate(encoding, &bytes, &[change]).unwrap();
            let out = splice(&bytes, &changes);
            prop_assert_eq!(charset::decode(encoding, &out).replace("\r\n", "\n"), format!("{before}{with}{after}"));
        }
    }
}
