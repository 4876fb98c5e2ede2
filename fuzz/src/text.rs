//! Text of parts and fields: what is decoded, changed and written back reads as the changed text, and the bytes beside it stay.

use bytes::Bytes;
use transom::chain::html::Visible;
use transom::message::{Change, Field, Message, PartId};

use super::case::{Case, with_crlf};
use super::mail::{encoded, limits, output, parse, tree};

const CHARSETS: [&str; 22] = [
    "utf-8",
    "us-ascii",
    "iso-8859-1",
    "windows-1252",
    "iso-8859-2",
    "koi8-r",
    "shift_jis",
    "euc-jp",
    "iso-2022-jp",
    "gb18030",
    "gbk",
    "big5",
    "euc-kr",
    "utf-16le",
    "utf-16be",
    "utf-16",
    "utf-7",
    "iso-8859-8-i",
    "macintosh",
    "x-user-defined",
    "nobody-knows-it",
    "",
];

const ENCODINGS: [&str; 8] = ["7bit", "8bit", "quoted-printable", "base64", "binary", "BASE64 ", "x-unknown", ""];

const NEW: [&str; 12] = [
    "",
    "x",
    "\u{e9}",
    "\u{65e5}\u{672c}",
    "a\nb",
    "\n",
    "--b",
    "=41",
    " ",
    "\u{20ac}",
    "\u{1f600}\r\nlong enough to make a line that has to be broken somewhere",
    "-----BEGIN PGP MESSAGE-----",
];

pub fn run(input: &[u8]) {
    let mut case = Case::of(input);
    match case.number(4) {
        0 | 1 => part(&mut case),
        2 => field(&mut case),
        _ => html(&mut case),
    }
}

fn part(case: &mut Case<'_>) {
    let content = with_crlf(case.content);
    let (charset, encoding) = (case.one(&CHARSETS), case.one(&ENCODINGS));
    // CR LF is no line end in UTF-16: without base64 no mail can carry it.
    if charset.starts_with("utf-16") && encoding != "base64" {
        return;
    }
    let header = format!("Content-Type: text/plain; charset=\"{charset}\"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n");
    let (before, after) = match case.number(4) {
        0 => ("MIME-Version: 1.0\r\n", ""),
        1 => ("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", "\r\n--b\r\n\r\nother\r\n--b--\r\n"),
        2 => ("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n", "\r\n--b--\r\n"),
        _ => ("Subject: x\r\n", ""),
    };
    let source = [before.as_bytes(), header.as_bytes(), &content, after.as_bytes()].concat();
    let Some(original) = parse(&source, &limits()) else { return };
    let Some(part) = original.readable(true).into_iter().next() else { return };
    let Ok(text) = original.text(part) else { return };
    let changes = changes(case, &text);
    let mut message = original.clone();
    if message.edit_text(part, &changes).is_err() {
        return;
    }
    let wanted = changed(&text, &changes);
    let read = message.text(part).expect("what was written can be read");
    assert_eq!(read.trim_end_matches('\n'), wanted.trim_end_matches('\n'), "{charset} {encoding}");
    let again = parse(&output(&message), &limits()).expect("an edited message is a message");
    assert_eq!(tree(&again), tree(&message), "what is sent reads otherwise");
    // Where a delimiter has no line end of its own before it, the text brings one, which then is the delimiter's.
    let read_again = again.text(part).expect("it is read the same way");
    assert_eq!(read_again.trim_end_matches('\n'), read.trim_end_matches('\n'));
    others_stay(&original, &message, part);
    start_stays(&original, &message, part, &text, &changes);
}

/// Changes in order, at most five, between characters.
pub fn changes(case: &mut Case<'_>, text: &str) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for _ in 0..=case.number(4) {
        let from = changes.last().map_or(0, |last| last.range.end);
        let near = |at: usize| (from..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(from);
        let start = near(from + case.number(300));
        let end = near(start + case.number(20)).max(start);
        changes.push(Change { range: start..end, with: case.one(&NEW).into() });
    }
    changes
}

/// The text with its changes, line ends `\n`.
pub fn changed(text: &str, changes: &[Change]) -> String {
    let mut out = text.to_owned();
    for change in changes.iter().rev() {
        out.replace_range(change.range.clone(), &change.with.replace("\r\n", "\n"));
    }
    out
}

/// Every other part is as it was.
pub fn others_stay(before: &Message, after: &Message, edited: PartId) {
    for part in before.parts().iter().filter(|part| part.leaf && part.id != edited) {
        assert_eq!(encoded(before, part.id), encoded(after, part.id), "part {} changed with part {}", part.id.0, edited.0);
    }
}

/// What stands before the first change keeps its bytes, as far as the encoding allows (DESIGN decision 5).
fn start_stays(before: &Message, after: &Message, part: PartId, text: &str, changes: &[Change]) {
    let (old, new) = (&before.parts()[part.0 as usize], &after.parts()[part.0 as usize]);
    if (&old.charset, &old.encoding) != (&new.charset, &new.encoding) || !text.is_ascii() {
        return;
    }
    let first = changes.iter().find(|change| text[change.range.clone()] != *change.with).map_or(text.len(), |change| change.range.start);
    let (was, is) = (encoded(before, part), encoded(after, part));
    let same = was.iter().zip(&is).take_while(|(one, other)| one == other).count();
    if matches!(&*old.encoding, "7bit" | "8bit") && was.is_ascii() {
        assert!(same >= first.min(was.len()), "{same} bytes are the same, {first} letters should be");
    }
}

/// A field whose text is changed reads as the changed text.
fn field(case: &mut Case<'_>) {
    let mut raw = b"Subject:".to_vec();
    for (number, line) in with_crlf(case.content).split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.trim_ascii().is_empty() {
            raw.extend_from_slice(if number == 0 { b" " } else { b"\r\n " });
            raw.extend_from_slice(line);
        }
    }
    raw.extend_from_slice(b"\r\n");
    let field = Field::from_raw(Bytes::from(raw));
    let encoded = case.number(2) == 1;
    let value = if encoded { field.source() } else { field.value() };
    let changes = changes(case, &value);
    let new = field.with_changes(&changes, encoded);
    sound(&new, &field);
    sound(&field.with_value(&changes[0].with), &field);
    sound(&Field::new("Subject", &value), &field);
}

/// One field, of the same name, that no reader takes for two or for the end of the header.
fn sound(new: &Field, old: &Field) {
    assert_eq!(new.name(), old.name());
    let raw = new.raw();
    assert!(raw.ends_with(b"\r\n"));
    let mut lines = raw[..raw.len() - 2].split(|byte| *byte == b'\n');
    lines.next();
    for line in lines {
        assert!(line.starts_with(b" ") || line.starts_with(b"\t"), "a line that begins something else in {raw:?}");
        assert!(!line.trim_ascii().is_empty(), "a fold of nothing in {raw:?}");
    }
}

/// Whatever is called HTML can be read, and what is changed in it lies in it.
fn html(case: &mut Case<'_>) {
    let source = String::from_utf8_lossy(case.content);
    let seen = Visible::of(&source);
    for change in changes(case, &seen.text) {
        let mut done = 0;
        for change in seen.change(&change.range, &change.with).into_iter().flatten() {
            assert!(change.range.start >= done && source.get(change.range.clone()).is_some());
            done = change.range.end;
        }
    }
}
