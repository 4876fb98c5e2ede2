//! Quoted-printable (RFC 2045 6.7): reading it as readers do, writing it, and writing again only the lines that hold a change.

use std::ops::Range;

/// The longest line RFC 2045 allows, a soft break's `=` included.
const LINE: usize = 76;
const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// How a line ends: with nothing (the last), softly, or with the line end itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    None,
    Soft,
    Hard,
}

/// One line: what stands before its end (blanks at the end, which transport may have added, left out), its end, and its length in all.
fn split_line(rest: &[u8]) -> (&[u8], End, usize) {
    let (line, length, ended) = match memchr::memchr(b'\n', rest) {
        Some(at) => (rest[..at].strip_suffix(b"\r").unwrap_or(&rest[..at]), at + 1, true),
        None => (rest, rest.len(), false),
    };
    let blanks = line.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let text = &line[..line.len() - blanks];
    match text.strip_suffix(b"=") {
        Some(text) => (text, End::Soft, length),
        None if ended => (text, End::Hard, length),
        None => (line, End::None, length),
    }
}

/// The bytes a token stands for: `=XX` one, any other byte itself; and the token's length. An `=` without two digits is itself.
fn token(text: &[u8]) -> (u8, usize, bool) {
    match text {
        [b'=', high, low, ..] => match (hex(*high), hex(*low)) {
            (Some(high), Some(low)) => (high << 4 | low, 3, true),
            _ => (b'=', 1, false),
        },
        [b'=', ..] => (b'=', 1, false),
        [byte, ..] => (*byte, 1, true),
        [] => (0, 0, true),
    }
}

fn decode_line(text: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = text;
    let mut clean = true;
    while !rest.is_empty() {
        let plain = memchr::memchr(b'=', rest).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        if !rest.is_empty() {
            let (byte, length, good) = token(rest);
            out.push(byte);
            clean &= good;
            rest = &rest[length..];
        }
    }
    clean
}

/// Decodes all; false with it if something was no quoted-printable. Line ends come out as they are.
#[must_use]
pub fn decode(encoded: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(encoded.len());
    let mut clean = true;
    let mut at = 0;
    while at < encoded.len() {
        let (text, end, length) = split_line(&encoded[at..]);
        clean &= decode_line(text, &mut out);
        if end == End::Hard {
            out.extend_from_slice(line_end(&encoded[..at + length]));
        }
        at += length;
    }
    (out, clean)
}

fn line_end(upto: &[u8]) -> &'static [u8] {
    if upto.ends_with(b"\r\n") { b"\r\n" } else { b"\n" }
}

/// Writes tokens in lines of at most 76, breaking softly where needed.
struct Writer {
    out: Vec<u8>,
    column: usize,
    /// Where the last token begins, for a blank that turns out to end its line.
    last: usize,
}

impl Writer {
    fn token(&mut self, token: &[u8]) {
        // One column is kept for the `=` of a soft break.
        if self.column + token.len() > LINE - 1 {
            self.out.extend_from_slice(b"=\r\n");
            self.column = 0;
        }
        // RFC 2046 5.1.1: a line must not be taken for a delimiter.
        let dash = token == b"-" && self.column == 1 && self.out.last() == Some(&b'-');
        self.last = self.out.len();
        self.out.extend_from_slice(if dash { b"=2D" } else { token });
        self.column += if dash { 3 } else { token.len() };
    }

    fn byte(&mut self, byte: u8) {
        match byte {
            b' ' | b'\t' | b'!'..=b'<' | b'>'..=b'~' => self.token(&[byte]),
            _ => self.token(&[b'=', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
    }

    /// RFC 2045 6.7 (3): no blank stands at the end of a line.
    fn guard_blank(&mut self) {
        if let [.., blank @ (b' ' | b'\t')] = *self.out
            && self.last + 1 == self.out.len()
        {
            self.out.pop();
            self.column -= 1;
            self.token(&[b'=', HEX[usize::from(blank >> 4)], HEX[usize::from(blank & 15)]]);
        }
    }

    fn hard(&mut self, end: &[u8]) {
        self.guard_blank();
        self.out.extend_from_slice(end);
        self.column = 0;
    }

    fn text(&mut self, text: &[u8]) {
        let mut rest = text;
        while !rest.is_empty() {
            if rest.starts_with(b"\r\n") {
                self.hard(b"\r\n");
                rest = &rest[2..];
            } else {
                self.byte(rest[0]);
                rest = &rest[1..];
            }
        }
    }
}

/// Encodes a text whose lines end in CR LF; any other control character is written as `=XX`.
#[must_use]
pub fn encode(text: &[u8]) -> Vec<u8> {
    let mut writer = Writer { out: Vec::with_capacity(text.len() + text.len() / 8), column: 0, last: usize::MAX };
    writer.text(text);
    writer.guard_blank();
    writer.out
}

/// A line of the encoded content with what it stands for.
struct Line {
    encoded: Range<usize>,
    decoded: Range<usize>,
}

/// Replaces ranges of the decoded content (in order, apart from each other) and writes again only the lines they touch. Tokens that did not change keep their spelling.
#[must_use]
pub fn rewrite(encoded: &[u8], changes: &[(Range<usize>, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded.len());
    rewrite_into(encoded, changes, &mut |stretch| match stretch {
        Stretch::Kept(range) => out.extend_from_slice(&encoded[range]),
        Stretch::New(bytes) => out.extend_from_slice(&bytes),
    });
    out
}

/// Lines of a content that was written again.
#[derive(Debug)]
pub enum Stretch {
    /// As they are.
    Kept(Range<usize>),
    New(Vec<u8>),
}

/// The same, stretch by stretch.
pub fn rewrite_into(encoded: &[u8], changes: &[(Range<usize>, Vec<u8>)], out: &mut dyn FnMut(Stretch)) {
    let mut changes = changes.iter().peekable();
    let mut at = Line { encoded: 0..0, decoded: 0..0 };
    while at.encoded.end < encoded.len() {
        at = next_line(encoded, &at);
        let more = at.encoded.end < encoded.len();
        let touches = |range: &Range<usize>, line: &Line| range.start < line.decoded.end || !more;
        if !changes.peek().is_some_and(|(range, _)| touches(range, &at)) {
            out(Stretch::Kept(at.encoded.clone()));
            continue;
        }
        // All lines up to the one in which the last change that overlaps them ends.
        let mut region = at;
        let mut inside = Vec::new();
        while let Some((range, with)) =
            changes.next_if(|(range, _)| range.start < region.decoded.end || region.encoded.end == encoded.len())
        {
            inside.push((range.clone(), with.as_slice()));
            while region.encoded.end < encoded.len() && (range.end > region.decoded.end || ends_at_break(encoded, &region, range.end)) {
                let next = next_line(encoded, &region);
                region = Line { encoded: region.encoded.start..next.encoded.end, decoded: region.decoded.start..next.decoded.end };
            }
        }
        let mut new = Vec::new();
        write_region(encoded, &region, &inside, &mut new);
        out(Stretch::New(new));
        at = region;
    }
    if encoded.is_empty() {
        out(Stretch::New(changes.flat_map(|(_, with)| encode(with)).collect()));
    }
}

/// Behind the last line that does not go on in the next; what stands before it stands for itself. The first so many bytes were looked at before.
#[must_use]
pub fn last_hard_break(encoded: &[u8], searched: usize) -> Option<usize> {
    memchr::memrchr_iter(b'\n', &encoded[searched..]).map(|at| searched + at).find_map(|at| {
        let start = memchr::memrchr(b'\n', &encoded[..at]).map_or(0, |before| before + 1);
        (split_line(&encoded[start..=at]).1 == End::Hard).then_some(at + 1)
    })
}

/// Behind the last byte that means the same whatever follows: no blank that may end a line, and nothing of a token or a line end that goes on. The first so
/// many bytes were looked at before.
#[must_use]
pub fn settled(encoded: &[u8], searched: usize) -> Option<usize> {
    (searched + 1..=encoded.len()).rev().find(|end| match &encoded[..*end] {
        [.., b' ' | b'\t' | b'\r' | b'='] => false,
        [.., b'=', last] => *last == b'\n',
        _ => true,
    })
}

/// Whether a change that ends where the region does takes its hard line end away, so that the next line moves up.
fn ends_at_break(encoded: &[u8], region: &Line, end: usize) -> bool {
    end == region.decoded.end && end > region.decoded.start && encoded[..region.encoded.end].ends_with(b"\n") && {
        let start = memchr::memrchr(b'\n', &encoded[..region.encoded.end - 1]).map_or(0, |before| before + 1);
        split_line(&encoded[start..region.encoded.end]).1 == End::Hard
    }
}

fn next_line(encoded: &[u8], before: &Line) -> Line {
    let start = before.encoded.end;
    let (text, end, length) = split_line(&encoded[start..]);
    let mut size = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (_, length, _) = token(rest);
        rest = &rest[length..];
        size += 1;
    }
    if end == End::Hard {
        size += line_end(&encoded[..start + length]).len();
    }
    Line { encoded: start..start + length, decoded: before.decoded.end..before.decoded.end + size }
}

fn write_region(encoded: &[u8], region: &Line, changes: &[(Range<usize>, &[u8])], out: &mut Vec<u8>) {
    let mut writer = Writer { out: Vec::new(), column: 0, last: usize::MAX };
    let mut changes = changes.iter().peekable();
    let mut skip_to = 0;
    let mut at = region.decoded.start;
    let mut rest = &encoded[region.encoded.clone()];
    let mut ended = End::None;
    while !rest.is_empty() {
        let (text, end, length) = split_line(rest);
        let mut tokens = text;
        loop {
            while let Some((range, with)) = changes.next_if(|(range, _)| range.start <= at) {
                writer.text(with);
                skip_to = skip_to.max(range.end);
            }
            if tokens.is_empty() {
                break;
            }
            let (_, length, _) = token(tokens);
            if at >= skip_to {
                writer.token(&tokens[..length]);
            }
            at += 1;
            tokens = &tokens[length..];
        }
        if end == End::Hard {
            let line_end = line_end(&rest[..length]);
            if at >= skip_to {
                writer.hard(line_end);
            }
            at += line_end.len();
        }
        ended = end;
        rest = &rest[length..];
    }
    for (_, with) in changes {
        writer.text(with);
    }
    // What follows the region goes on in the same line of the text.
    if ended == End::Soft && writer.column > 0 {
        writer.out.extend_from_slice(b"=\r\n");
    } else if ended != End::Soft {
        writer.guard_blank();
    }
    out.extend_from_slice(&writer.out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn soft_breaks_and_transport_blanks_vanish_and_bad_escapes_stay() {
        assert_eq!(decode(b"a=\r\nb  \r\nc=20\r\n=E9"), (b"ab\r\nc \r\n\xe9".to_vec(), true));
        assert_eq!(decode(b"a=zz"), (b"a=zz".to_vec(), false));
        assert_eq!(decode(b"a=6=\r\nFb"), (b"a=6Fb".to_vec(), false));
    }

    #[test]
    fn only_the_line_with_the_change_is_written_again() {
        let encoded = b"one =41\r\nsecret =e9 here\r\n=54hree\r\n";
        let (decoded, _) = decode(encoded);
        let start = memchr::memmem::find(&decoded, b"secret").unwrap();
        let out = rewrite(encoded, &[(start..start + 6, b"XXX".to_vec())]);
        assert_eq!(out, b"one =41\r\nXXX =e9 here\r\n=54hree\r\n");
    }

    #[test]
    fn a_line_that_grows_breaks_softly() {
        let out = rewrite(b"ab\r\ncd\r\n", &[(1..1, vec![b'x'; 100])]);
        assert!(out.split(|byte| *byte == b'\n').all(|line| line.len() <= 77));
        assert_eq!(decode(&out).0, [b"a".as_slice(), &[b'x'; 100], b"b\r\ncd\r\n"].concat());
        assert!(out.ends_with(b"cd\r\n"));
    }

    #[test]
    fn a_written_line_cannot_look_like_a_delimiter() {
        assert_eq!(encode(b"--b\r\n-- \r\n"), b"-=2Db\r\n-=2D=20\r\n");
    }

    proptest! {
        #[test]
        fn what_is_settled_means_the_same_whatever_follows(text in "[aF4 =\t\r\n]{0,24}", searched in 0_usize..24) {
            let text = text.as_bytes();
            let Some(end) = settled(text, searched.min(text.len())) else { return Ok(()) };
            let ((mut start, sound), (rest, sound_rest)) = (decode(&text[..end]), decode(&text[end..]));
            start.extend_from_slice(&rest);
            prop_assert_eq!((start, sound && sound_rest), decode(text));
        }

        #[test]
        fn a_rewritten_text_decodes_to_the_new_one_and_other_lines_stay(
            old in "([a-c =é\t-]{0,90}(\r\n)?){0,6}", with in "([a-c é-]{0,90}(\r\n)?){0,3}", from in 0_usize..300, length in 0_usize..120
        ) {
            let old = old.as_bytes();
            let encoded = encode(old);
            prop_assert_eq!(decode(&encoded).0, old);
            let from = from.min(old.len());
            let to = (from + length).min(old.len());
            let cuts = |at: usize| at > 0 && at < old.len() && &old[at - 1..=at] == b"\r\n";
            prop_assume!(!cuts(from) && !cuts(to));
            let out = rewrite(&encoded, &[(from..to, with.as_bytes().to_vec())]);
            let wanted = [&old[..from], with.as_bytes(), &old[to..]].concat();
            prop_assert_eq!(String::from_utf8_lossy(&decode(&out).0).into_owned(), String::from_utf8_lossy(&wanted).into_owned());
            prop_assert!(out.split(|byte| *byte == b'\n').all(|line| line.len() <= 77));
        }
    }
}
