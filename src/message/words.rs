//! Header text: folds, encoded words (RFC 2047) and raw 8-bit, read with a map back to the bytes, and written.

use std::borrow::Cow;
use std::ops::Range;

use super::flags::{Flag, Flags};
use super::{base64, charset, quoted};

/// The longest line that is written where blanks allow a fold (RFC 5322 2.1.1), and the longest encoded word (RFC 2047 2).
const LINE: usize = 78;
const WORD: usize = 75;
/// A word without blanks that is longer than this is encoded, which can be broken.
const LONG: usize = 900;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes that stand for themselves; `text` is as long as `raw`, or it is one character.
    Literal,
    /// Encoded words, read as one.
    Word,
    /// A line end, or blanks between encoded words: no text.
    Silent,
}

/// A run of bytes and the text it stands for.
#[derive(Clone, Debug)]
pub struct Unit {
    pub kind: Kind,
    pub raw: Range<usize>,
    pub text: Range<usize>,
}

/// A header value as a reader sees it, with its way back.
#[derive(Debug, Default)]
pub struct Reading {
    pub text: String,
    pub units: Vec<Unit>,
    /// Whether an encoded word decoded to control characters.
    pub control: bool,
    /// Whether something has the form of an encoded word, but its charset is unknown or its letters do not decode whole.
    pub torn: bool,
}

impl Reading {
    fn add(&mut self, kind: Kind, raw: Range<usize>, text: &str) {
        let start = self.text.len();
        self.text.push_str(text);
        self.units.push(Unit { kind, raw, text: start..self.text.len() });
    }

    fn literal(&mut self, raw: &[u8], range: Range<usize>) {
        let bytes = &raw[range.clone()];
        if let Ok(text) = std::str::from_utf8(bytes) {
            if !text.is_empty() {
                self.add(Kind::Literal, range, text);
            }
            return;
        }
        // windows-1252 has one character for each byte.
        for at in range {
            let text = charset::decode(encoding_rs::WINDOWS_1252, &raw[at..=at]).into_owned();
            self.add(Kind::Literal, at..at + 1, &text);
        }
    }
}

/// Whether a decoded text has control characters that no header should hold.
#[must_use]
pub fn has_control(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && c != '\t')
}

/// One encoded word: where it stands, its charset and its bytes.
struct Encoded<'a> {
    raw: Range<usize>,
    label: &'a str,
    bytes: Vec<u8>,
    torn: bool,
}

/// Reads the encoded word at `at`, if there is one.
fn encoded_word(raw: &[u8], at: usize) -> Option<Encoded<'_>> {
    let rest = raw.get(at..)?.strip_prefix(b"=?")?;
    let label_end = memchr::memchr(b'?', &rest[..rest.len().min(WORD)])?;
    let label =
        std::str::from_utf8(&rest[..label_end]).ok().filter(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_graphic()))?;
    let method = *rest.get(label_end + 1)?;
    let text = rest.get(label_end + 2..)?.strip_prefix(b"?")?;
    let end = memchr::memchr(b'?', text)?;
    if text.get(end + 1) != Some(&b'=') || memchr::memchr3(b'\r', b'\n', 0, &text[..end]).is_some() {
        return None;
    }
    charset::find(label)?;
    let (bytes, torn) = match method {
        b'b' | b'B' => (base64::decode(&text[..end]).0, base64::is_torn(&text[..end])),
        b'q' | b'Q' => {
            let spaced: Vec<u8> = text[..end].iter().map(|byte| if *byte == b'_' { b' ' } else { *byte }).collect();
            // A blank at the end is text here, not something transport added.
            let (mut decoded, whole) = quoted::decode(&[spaced.as_slice(), b"=20"].concat());
            decoded.pop();
            (decoded, !whole)
        }
        _ => return None,
    };
    let length = 2 + label_end + 3 + end + 2;
    Some(Encoded { raw: at..at + length, label, bytes, torn })
}

/// Whether a reader that is less strict could take this for an encoded word.
fn looks_encoded(rest: &[u8]) -> bool {
    let Some(rest) = rest.strip_prefix(b"=?") else { return false };
    let mut parts = rest[..rest.len().min(LONG)].splitn(4, |byte| *byte == b'?');
    let (label, method, text, end) = (parts.next(), parts.next(), parts.next(), parts.next());
    let labelled = label.is_some_and(|label| label.iter().all(u8::is_ascii_graphic));
    labelled
        && method.is_some_and(|method| matches!(method, b"b" | b"B" | b"q" | b"Q"))
        && text.is_some()
        && end.is_some_and(|end| end.starts_with(b"="))
}

/// Whether something with the form of an encoded word has quotes or semicolons in it, so that a reader that decodes words first sees other parameters.
#[must_use]
pub fn spans_syntax(raw: &[u8]) -> bool {
    memchr::memmem::find_iter(raw, b"=?").any(|at| {
        let rest = &raw[at..];
        let end = rest.iter().enumerate().filter(|(_, byte)| **byte == b'?').nth(3).map_or(0, |(end, _)| end);
        looks_encoded(rest) && rest[..end].iter().any(|byte| matches!(byte, b'"' | b';'))
    })
}

/// Whether there could be an encoded word in this.
#[must_use]
pub fn may_hold_words(raw: &[u8]) -> bool {
    memchr::memchr_iter(b'=', raw).any(|at| raw.get(at + 1) == Some(&b'?'))
}

/// What the encoded words in this header line raise.
#[must_use]
pub fn word_flags(line: &[u8]) -> Flags {
    let mut flags = Flags::default();
    if may_hold_words(line) {
        let reading = read(line, true);
        flags.raise_if(reading.control, Flag::ControlCharacters);
        flags.raise_if(reading.torn, Flag::BadEncoding);
    }
    flags
}

/// The value itself, where [`read`] makes no other text of it: UTF-8, without folds, nothing in it that could be an encoded word if those are decoded.
#[must_use]
pub fn as_it_stands(raw: &[u8], decode: bool) -> Option<&str> {
    let stands = |at: usize| raw[at] == b'=' && !(decode && raw.get(at + 1) == Some(&b'?'));
    memchr::memchr2_iter(b'\n', b'=', raw).all(stands).then(|| std::str::from_utf8(raw).ok()).flatten()
}

/// Reads a raw value; without `decode`, encoded words stay as they are written.
#[must_use]
pub fn read(raw: &[u8], decode: bool) -> Reading {
    let mut reading = Reading::default();
    let mut from = 0;
    let mut at = 0;
    // One reading for the whole value: UTF-8 if it is valid as a whole.
    let valid = std::str::from_utf8(raw).is_ok();
    while let Some(found) = memchr::memchr2(b'\n', b'=', raw.get(at..).unwrap_or_default()).map(|offset| at + offset) {
        at = found + 1;
        if raw[found] == b'\n' {
            let start = if found > from && raw[found - 1] == b'\r' { found - 1 } else { found };
            flush(&mut reading, raw, from..start, valid);
            reading.add(Kind::Silent, start..at, "");
            from = at;
        } else if decode && let Some(word) = encoded_word(raw, found) {
            flush(&mut reading, raw, from..found, valid);
            at = words(&mut reading, raw, word);
            from = at;
        } else if decode {
            reading.torn |= looks_encoded(&raw[found..]);
        }
    }
    flush(&mut reading, raw, from..raw.len(), valid);
    reading
}

fn flush(reading: &mut Reading, raw: &[u8], range: Range<usize>, valid: bool) {
    if valid {
        reading.literal(raw, range);
        return;
    }
    let mut from = range.start;
    for at in range.clone() {
        if raw[at] >= 0x80 {
            reading.literal(raw, from..at);
            let text = charset::decode(encoding_rs::WINDOWS_1252, &raw[at..=at]).into_owned();
            reading.add(Kind::Literal, at..at + 1, &text);
            from = at + 1;
        }
    }
    reading.literal(raw, from..range.end);
}

/// Reads a run of encoded words with only blanks between them (which are no text: RFC 2047 6.2). Words of one charset that cut a character in two are read together.
fn words(reading: &mut Reading, raw: &[u8], first: Encoded<'_>) -> usize {
    let mut group = vec![first];
    loop {
        let end = group.last().map_or(0, |word| word.raw.end);
        let blanks = raw[end..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
        let next = (blanks > 0).then(|| encoded_word(raw, end + blanks)).flatten().or_else(|| encoded_word(raw, end));
        let same = next.as_ref().is_some_and(|next| next.label.eq_ignore_ascii_case(group[0].label));
        if !same {
            write_group(reading, &group);
        }
        let Some(next) = next else { return end };
        if !same {
            reading.add(Kind::Silent, end..next.raw.start, "");
            group.clear();
        }
        group.push(next);
    }
}

fn write_group(reading: &mut Reading, group: &[Encoded<'_>]) {
    let Some(encoding) = charset::find(group[0].label) else { return };
    let whole = |bytes: &[u8]| encoding.decode_without_bom_handling_and_without_replacement(bytes).is_some();
    let start = reading.text.len();
    reading.torn |= group.iter().any(|word| word.torn || charset::is_odd_in_headers(word.label));
    if group.iter().all(|word| whole(&word.bytes)) {
        let mut before = None;
        for word in group {
            if let Some(before) = before {
                reading.add(Kind::Silent, before..word.raw.start, "");
            }
            reading.add(Kind::Word, word.raw.clone(), &charset::decode(encoding, &word.bytes));
            before = Some(word.raw.end);
        }
    } else {
        let bytes: Vec<u8> = group.iter().flat_map(|word| word.bytes.iter().copied()).collect();
        let range = group[0].raw.start..group[group.len() - 1].raw.end;
        reading.add(Kind::Word, range, &charset::decode(encoding, &bytes));
    }
    reading.control |= has_control(&reading.text[start..]);
}

/// Whether a text can stand in a header as it is.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    let (mut before, mut word) = (b' ', 0);
    text.bytes().all(|byte| {
        word = if matches!(byte, b'\t' | b' ') { 0 } else { word + 1 };
        let begins_word = std::mem::replace(&mut before, byte) == b'=' && byte == b'?';
        matches!(byte, b'\t' | b' '..=b'~') && !begins_word && word <= LONG
    })
}

/// Line ends and NULs in a text for a header become blanks.
#[must_use]
pub fn in_one_line(text: &str) -> String {
    text.replace("\r\n", " ").replace(['\r', '\n', '\0'], " ")
}

/// Encoded words for a text, with folds between them; `column` is where the first one begins.
#[must_use]
pub fn encode(text: &str, column: usize) -> String {
    let special = text.bytes().filter(|byte| !byte.is_ascii_alphanumeric() && *byte != b' ').count();
    let letters =
        if special * 3 > text.len() { encode_runs(text, 45, column, "B", base64::encode) } else { encode_runs(text, 62, column, "Q", q) };
    letters.unwrap_or_default()
}

/// The letters of an encoded word by method Q.
#[must_use]
pub fn q(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, byte| {
        match byte {
            b' ' => out.push('_'),
            // RFC 2047 5 (3): what may stand in a phrase.
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'*' | b'+' | b'-' | b'/' => out.push(char::from(*byte)),
            _ => write!(out, "={byte:02X}").expect("a string takes all"),
        }
        out
    })
}

/// Cuts between characters, so that each word is one alone.
fn encode_runs(text: &str, most: usize, column: usize, method: &str, letters: fn(&[u8]) -> String) -> Option<String> {
    let mut out = String::new();
    let mut run = String::new();
    let mut width = 0;
    let mut room = most.min((LINE - 2).saturating_sub(column).saturating_sub(13).max(8));
    let mut chars = text.chars();
    loop {
        let next = chars.next();
        let size = next.map_or(0, |c| if method == "B" { c.len_utf8() } else { q(c.encode_utf8(&mut [0; 4]).as_bytes()).len() });
        if !run.is_empty() && (next.is_none() || width + size > room) {
            if !out.is_empty() {
                out.push_str("\r\n ");
            }
            out.push_str("=?utf-8?");
            out.push_str(method);
            out.push('?');
            out.push_str(&letters(run.as_bytes()));
            out.push_str("?=");
            run.clear();
            width = 0;
            room = most;
        }
        let Some(c) = next else { return Some(out) };
        run.push(c);
        width += size;
    }
}

/// Writes a text as a header value, folded before blanks; `column` is where it begins. No line is without text.
#[must_use]
pub fn layout(text: &str, column: usize) -> Cow<'_, str> {
    if column + text.len() <= LINE && is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut column = column;
    for (blanks, word) in tokens(&in_one_line(text)) {
        let encoded = if is_plain(&word) { word } else { encode(&word, column + blanks.len()) };
        let first = encoded.split("\r\n").next().unwrap_or_default().len();
        if !blanks.is_empty() && column + blanks.len() + first > LINE && !out.is_empty() && first > 0 {
            out.push_str("\r\n");
            column = 0;
        }
        out.push_str(&blanks);
        out.push_str(&encoded);
        column = encoded.rfind('\n').map_or(column + blanks.len() + encoded.len(), |at| encoded.len() - at - 1);
    }
    Cow::Owned(out)
}

/// Blanks, and the word after them; words next to each other that both must be encoded are one, with the blanks between them.
fn tokens(text: &str) -> Vec<(String, String)> {
    let mut list: Vec<(String, String)> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let end = rest[blanks..].find([' ', '\t']).map_or(rest.len(), |at| blanks + at);
        let (blank, word) = (&rest[..blanks], &rest[blanks..end]);
        match list.last_mut() {
            Some((_, before)) if !is_plain(before) && !is_plain(word) => {
                before.push_str(blank);
                before.push_str(word);
            }
            _ => list.push((blank.to_owned(), word.to_owned())),
        }
        rest = &rest[end..];
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(raw: &str) -> String {
        read(raw.as_bytes(), true).text
    }

    #[test]
    fn encoded_words_are_read_and_the_blanks_between_them_are_none() {
        assert_eq!(text("=?utf-8?q?caf=C3=A9_?= =?ISO-8859-1?B?6Q==?= x"), "café é x");
        assert_eq!(text("a =?utf-8?q?b?=\r\n =?utf-8?q?c?=\r\n d"), "a bc d");
        assert_eq!(text("=?utf-8?q?a?= b =?utf-8?q?c?="), "a b c");
        assert_eq!(text("=?x-nobody?q?a?="), "=?x-nobody?q?a?=");
    }

    #[test]
    fn a_character_cut_in_two_words_is_read_whole() {
        assert_eq!(text("=?utf-8?q?caf=C3?= =?utf-8?q?=A9?="), "café");
    }

    #[test]
    fn raw_bytes_are_utf8_or_else_windows_1252() {
        assert_eq!(text("é"), "é");
        assert_eq!(read(b"caf\xe9 \x80", true).text, "café €");
    }

    #[test]
    fn a_word_that_hides_a_line_end_is_seen() {
        assert!(read(b"=?utf-8?q?a=0D=0ABcc:?=", true).control);
    }

    #[test]
    fn words_that_readers_decode_in_different_ways_are_torn() {
        for raw in ["=?x-nobody?q?a?=", "=??q?a?=", "=?utf-7?q?a+AC4-?=", "=?utf-8?b?aA==aA==?=", "=?utf-8?q?a=2?="] {
            assert!(read(raw.as_bytes(), true).torn, "{raw}");
        }
        for raw in ["=?utf-8?b?aA==?=", "=?utf-8?b?aA?=", "=?utf-8?q?a=2E?= b", "1=?2", "=?utf-8?x?a?="] {
            assert!(!read(raw.as_bytes(), true).torn, "{raw}");
        }
    }

    #[test]
    fn a_word_across_quotes_is_told() {
        assert!(spans_syntax(b"a; f*0=\"=?utf-8?q?x=\"; f*1=\"2Ey?=\""));
        assert!(!spans_syntax(b"a; f=\"=?utf-8?q?x?=\"; g=\"=?utf-8?q?y?=\""));
    }

    #[test]
    fn long_values_fold_before_blanks() {
        let words = "word ".repeat(40);
        let value = layout(&words, 9);
        assert!(value.split("\r\n").all(|line| line.len() <= LINE));
        assert_eq!(value.replace("\r\n", ""), "word ".repeat(40));
        assert_eq!(layout("short", 9), "short");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(value in "[a-zA-Zé日😀 =?_.,<>@-]{0,200}", column in 1_usize..60) {
            let written = layout(&value, column);
            prop_assert!(written.is_ascii());
            prop_assert!(written.split("\r\n").skip(1).all(|line| !line.trim().is_empty() && line.starts_with([' ', '\t'])));
            prop_assert_eq!(text(&written), value);
        }
    }
}
