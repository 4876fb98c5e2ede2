//! One field of a header: name, colon, value, folds and line end, as one run of bytes.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::header::{Lying, name_length};
use super::spots::spots;
use super::words;

/// A replacement in a text, by range of bytes of the text as it was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub range: Range<usize>,
    pub with: Arc<str>,
}

/// One field of a header. A line without a colon is a field with an empty name.
#[derive(Clone, Debug)]
pub struct Field {
    bytes: Bytes,
    /// Length of the name.
    name: usize,
    /// Where it stood in the message as received.
    place: Option<u64>,
}

impl<'a> From<&'a Field> for Lying<'a> {
    fn from(field: &'a Field) -> Lying<'a> {
        Lying::new(&field.bytes, field.name)
    }
}

/// Two fields are equal when their bytes are.
impl PartialEq for Field {
    fn eq(&self, other: &Field) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Field {}

impl Field {
    /// A new field `Name: value` with a CR LF; the value is made safe for a header (no CR, LF or NUL; RFC 2047 where needed; folded at 78 where blanks allow).
    #[must_use]
    pub fn new(name: &str, value: &str) -> Field {
        Field::from_raw([name, ": ", &words::layout(value, name.len() + 2), "\r\n"].concat().into())
    }

    /// A field of raw bytes, which must be whole: name, colon, value, folds, CR LF.
    #[must_use]
    pub fn from_raw(bytes: Bytes) -> Field {
        let name = name_length(&bytes);
        Field { bytes, name, place: None }
    }

    /// A field as it stood at `place` in the received message, with a name of that length.
    pub(super) fn received(bytes: Bytes, name: usize, place: u64) -> Field {
        Field { bytes, name, place: Some(place) }
    }

    pub(super) fn place(&self) -> Option<u64> {
        self.place
    }

    /// The name as written, without blanks before the colon; empty for a line without colon.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.bytes[..self.name]
    }

    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name.as_bytes())
    }

    /// All bytes, line end included.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether it is a first line that begins with a blank: it would fold into a field put above it.
    #[must_use]
    pub fn is_continuation(&self) -> bool {
        matches!(self.bytes.first(), Some(b' ' | b'\t'))
    }

    /// Where the value is: behind the colon, before the line end.
    fn value_range(&self) -> Range<usize> {
        Lying::from(self).value_range()
    }

    /// Everything after the colon, leading blank and folds included, without the final line end.
    #[must_use]
    pub fn raw_value(&self) -> &[u8] {
        &self.bytes[self.value_range()]
    }

    /// The value a reader sees: unfolded, trimmed, RFC 2047 decoded; raw 8-bit as UTF-8, else windows-1252.
    #[must_use]
    pub fn value(&self) -> Cow<'_, str> {
        seen(self.raw_value(), true)
    }

    /// The value unfolded and trimmed, not decoded (encoded words stay): what `view: raw` sees.
    #[must_use]
    pub fn source(&self) -> Cow<'_, str> {
        seen(self.raw_value(), false)
    }

    /// Name, colon and value on one line, not decoded: what `view: line` sees.
    #[must_use]
    pub fn line(&self) -> Cow<'_, str> {
        let line = &self.bytes[..self.value_range().end];
        words::as_it_stands(line, false).map_or_else(|| Cow::Owned(words::read(&self.bytes, false).text), Cow::Borrowed)
    }

    /// This field with another value after the colon (raw bytes, as [`Field::raw_value`] gives them); name and colon stay. A line without a name that is left
    /// without a text is a field of no bytes.
    #[must_use]
    pub fn with_raw_value(&self, value: &[u8]) -> Field {
        let range = self.value_range();
        // A line without a name must not become the end of the header, nor a part of the field above it.
        let value = if self.name > 0 || self.is_continuation() { value } else { value.trim_ascii_start() };
        if self.name == 0 && value.trim_ascii().is_empty() {
            return Field::from_raw(Bytes::new());
        }
        Field::from_raw([&self.bytes[..range.start], value, &self.bytes[range.end..]].concat().into())
    }

    /// This field with another text: name, and what stands between colon and value, stay; the text is encoded as [`Field::new`] does.
    #[must_use]
    pub fn with_value(&self, text: &str) -> Field {
        let old = self.raw_value();
        let mut lead = old[..old.len() - old.trim_ascii_start().len()].to_vec();
        if lead.len() == old.len() {
            lead = b" ".to_vec();
        }
        let column = match memchr::memrchr(b'\n', &lead) {
            Some(at) => lead.len() - at - 1,
            None => self.value_range().start + lead.len(),
        };
        lead.extend_from_slice(words::layout(text, column).as_bytes());
        self.with_raw_value(&with_sound_folds(&lead))
    }

    /// Replaces ranges of [`Field::value`] (decoded) or, with `raw`, of [`Field::source`]; every byte of the field outside the changed words stays, folds too.
    /// The ranges are in order and do not overlap.
    #[must_use]
    pub fn with_changes(&self, changes: &[Change], raw: bool) -> Field {
        let old = self.raw_value();
        if let Some(new) = words::as_it_stands(old, !raw).and_then(|text| spliced(text, changes)) {
            return self.with_raw_value(new.as_bytes());
        }
        self.with_changes_by_word(changes, raw)
    }

    /// Whatever is in it: folds, encoded words, bytes that are no UTF-8.
    fn with_changes_by_word(&self, changes: &[Change], raw: bool) -> Field {
        let old = self.raw_value();
        let reading = words::read(old, !raw);
        let (text, lead) = trimmed(&reading.text);
        if text.is_empty() {
            let all: String = changes.iter().map(|change| &*change.with).collect();
            return self.with_value(&all);
        }
        let changes = changes.iter().filter(|change| !(change.range.is_empty() && change.with.is_empty()));
        let spots = spots(&reading, changes, lead);
        let mut out = Vec::with_capacity(old.len());
        let mut done = 0;
        for spot in spots {
            let place = spot.raw(&reading);
            out.extend_from_slice(&old[done..place.start.max(done)]);
            let new = spot.new_text(&reading);
            if spot.encode && !new.is_empty() {
                let column = out.iter().rev().take_while(|byte| **byte != b'\n').count();
                let column = if out.contains(&b'\n') { column } else { column + self.value_range().start };
                out.extend_from_slice(words::encode(&new, column.min(60)).as_bytes());
            } else {
                out.extend_from_slice(new.as_bytes());
            }
            done = place.end;
        }
        out.extend_from_slice(&old[done..]);
        self.with_raw_value(&with_sound_folds(&out))
    }
}

/// A raw value as it reads, without blanks around it.
fn seen(raw: &[u8], decode: bool) -> Cow<'_, str> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = raw.iter().position(|byte| !blank(byte)).unwrap_or(raw.len());
    let end = raw.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    match words::as_it_stands(&raw[start..end], decode) {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(trimmed(&words::read(raw, decode).text).0.to_owned()),
    }
}

/// A value that stands as it reads, with its changes, where they can stand in a header as they are. One without a text is left to who lays a value out.
fn spliced(value: &str, changes: &[Change]) -> Option<String> {
    let (text, lead) = trimmed(value);
    if text.is_empty() || !changes.iter().all(|change| words::is_plain(&change.with)) {
        return None;
    }
    let mut out = String::with_capacity(value.len() + 64);
    let mut done = 0;
    for change in changes {
        out.push_str(&value[done..change.range.start + lead]);
        out.push_str(&change.with);
        done = change.range.end + lead;
    }
    out.push_str(&value[done..]);
    Some(out)
}

/// The text without blanks around it, and how many bytes stand before it.
fn trimmed(text: &str) -> (&str, usize) {
    let blank = [' ', '\t', '\r', '\n'];
    let start = text.trim_start_matches(blank);
    (start.trim_end_matches(blank), text.len() - start.len())
}

/// RFC 5322 3.2.2: a folded line that is all blanks would be taken for the end of the header by some, one without a blank at its start is a field of its own.
/// The line end before it goes.
fn with_sound_folds(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for (index, line) in value.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if index > 0 && (line.trim_ascii().is_empty() || !matches!(line[0], b' ' | b'\t')) {
            let end = out.strip_suffix(b"\r\n").or_else(|| out.strip_suffix(b"\n")).map_or(out.len(), <[u8]>::len);
            out.truncate(end);
        }
        out.extend_from_slice(line);
    }
    // The value's own last line has no end.
    let end = out.strip_suffix(b"\r\n").or_else(|| out.strip_suffix(b"\n")).map_or(out.len(), <[u8]>::len);
    out.truncate(end);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_that_stands_as_it_reads_is_read_and_changed_like_others(
            value in "[ \t]{0,2}[a=?é_ -]{0,12}(=\\?utf-8\\?q\\?x\\?=)?(\r\n [a=]{0,3})?[ a\r]{0,2}",
            cuts in proptest::collection::vec(0_usize..30, 0..6), with in proptest::collection::vec("[a=?é\r\n ]{0,3}", 3), raw: bool,
        ) {
            let field = Field::from_raw(format!("A:{value}\r\n").into());
            let read = words::read(field.raw_value(), !raw).text;
            let seen = if raw { field.source() } else { field.value() };
            prop_assert_eq!(&*seen, trimmed(&read).0);
            prop_assert_eq!(field.line(), words::read(&field.bytes, false).text);
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (seen.len() + 1)).filter(|at| seen.is_char_boundary(*at)).collect();
            places.sort_unstable();
            let pairs = places.chunks_exact(2).zip(&with);
            let changes: Vec<Change> = pairs.map(|(pair, with)| Change { range: pair[0]..pair[1], with: with.as_str().into() }).collect();
            prop_assert_eq!(field.with_changes(&changes, raw), field.with_changes_by_word(&changes, raw));
        }
    }

    fn field(raw: &'static str) -> Field {
        Field::from_raw(Bytes::from_static(raw.as_bytes()))
    }

    fn change(field: &Field, what: &str, with: &str) -> String {
        let value = field.value();
        let start = value.find(what).unwrap();
        let changes = [Change { range: start..start + what.len(), with: with.into() }];
        let new = field.with_changes(&changes, false);
        assert_eq!(new.value(), value.replacen(what, with, 1));
        String::from_utf8(new.raw().to_vec()).unwrap()
    }

    #[test]
    fn names_values_and_line_ends_are_told_apart() {
        let subject = field("Subject : a\r\n b\r\n");
        assert_eq!(subject.name(), b"Subject");
        assert_eq!(subject.raw_value(), b" a\r\n b");
        assert_eq!(subject.value(), "a b");
        assert_eq!(field("no colon\r\n").name(), b"");
        assert_eq!(field("no colon\r\n").raw_value(), b"no colon");
        assert_eq!(field("A:").raw_value(), b"");
        assert_eq!(field(": x\r\n").name(), b"");
    }

    #[test]
    fn a_new_value_cannot_open_another_field() {
        let evil = Field::new("Subject", "a\r\nBcc: x\0y");
        assert_eq!(evil.raw(), "Subject: a Bcc: x y\r\n");
        assert_eq!(field("Subject:  old\r\n").with_value("new").raw(), "Subject:  new\r\n");
        assert_eq!(field("Subject:\r\n").with_value("new").raw(), "Subject: new\r\n");
    }

    #[test]
    fn a_change_leaves_folds_and_other_words() {
        assert_eq!(change(&field("S:  a\r\n\tsecret  here\r\n x\r\n"), "secret", "XXX"), "S:  a\r\n\tXXX  here\r\n x\r\n");
        let words = field("S: =?utf-8?q?caf=C3=A9?= secret =?iso-8859-1?q?=E9?=\r\n");
        assert_eq!(change(&words, "secret", "XXX"), "S: =?utf-8?q?caf=C3=A9?= XXX =?iso-8859-1?q?=E9?=\r\n");
        assert_eq!(change(&words, "caf", "Caf"), "S: =?utf-8?B?Q2Fmw6k=?= secret =?iso-8859-1?q?=E9?=\r\n");
    }

    #[test]
    fn text_that_needs_encoding_takes_its_word_with_it() {
        assert_eq!(change(&field("S: one two three\r\n"), "w", "ö"), "S: one =?utf-8?B?dMO2bw==?= three\r\n");
        assert_eq!(change(&field("S: one =?utf-8?q?=C3=A9?=\r\n"), "one", "ä"), "S: =?utf-8?B?w6Qgw6k=?=\r\n");
    }

    #[test]
    fn a_line_that_loses_its_text_loses_its_fold() {
        assert_eq!(change(&field("S: a\r\n b\r\n c\r\n"), "b", ""), "S: a \r\n c\r\n");
    }

    #[test]
    fn the_raw_view_sees_encoded_words_as_written() {
        let subject = field("S: =?utf-8?q?a?= b\r\n");
        let at = subject.source().find("utf-8").unwrap();
        let changed = subject.with_changes(&[Change { range: at..at + 5, with: "us-ascii".into() }], true);
        assert_eq!(changed.raw(), "S: =?us-ascii?q?a?= b\r\n");
    }

    #[test]
    fn a_line_without_a_name_never_ends_the_header_and_never_folds() {
        let line = Field::from_raw("no colon\r\n".into());
        assert_eq!(line.with_value("").raw(), "");
        assert_eq!(line.with_changes(&[Change { range: 0..2, with: "".into() }], false).raw(), "colon\r\n");
        let first = Field::from_raw(" fold\r\n".into());
        assert_eq!(first.with_changes(&[Change { range: 0..4, with: "".into() }], false).raw(), "");
        assert_eq!(first.with_value("x").raw(), " x\r\n");
    }

    proptest! {
        #[test]
        fn any_change_reads_as_the_new_text(
            parts in proptest::collection::vec(prop_oneof![
                Just(" abc".to_owned()), Just(" d ".to_owned()), Just("\r\n folded".to_owned()), Just(" =?utf-8?q?w=C3=B6rd?=".to_owned()),
                Just(" =?iso-8859-1?b?6SA=?=".to_owned()), Just("x,".to_owned()), Just(" ü ".to_owned())], 1..8),
            from in 0_usize..40, length in 0_usize..10, with in "[a-cé ]{0,12}"
        ) {
            let raw = format!("Subject:{}\r\n", parts.concat());
            let field = Field::from_raw(raw.into());
            let value = field.value();
            let from = value.char_indices().map(|(at, _)| at).chain([value.len()]).nth(from.min(value.chars().count())).unwrap();
            let to = value[from..].char_indices().map(|(at, _)| from + at).chain([value.len()]).nth(length.min(value[from..].chars().count())).unwrap();
            let changed = field.with_changes(&[Change { range: from..to, with: with.as_str().into() }], false);
            let wanted = format!("{}{}{}", &value[..from], with, &value[to..]);
            prop_assert_eq!(changed.value(), wanted.trim().to_owned());
            let raw = changed.raw();
            prop_assert!(raw.ends_with(b"\r\n"));
            prop_assert!(raw.split(|byte| *byte == b'\n').skip(1).all(|line| line.is_empty() || line.starts_with(b" ") || line.starts_with(b"\t")));
        }
    }
}
