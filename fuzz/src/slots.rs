//! Edits: whatever an action names, every byte of the message that it did not name is still there, in its place.
//!
//! A message in memory is one run of bytes. What comes out after edits is runs of those bytes and new ones; where a run lies is told by its address. So the
//! bytes that are gone are known, and each must lie where an edit was allowed to change something.

use std::ops::Range;

use bytes::Bytes;
use transom::message::{Field, Message, PartId, Piece};

use super::case::{Case, with_crlf};
use super::mail::{limits, output, parse, tree};
use super::text::{changed, changes};

const VALUES: [&str; 8] = [
    "x",
    "",
    "text/plain; charset=utf-8",
    "multipart/mixed; boundary=b",
    "multipart/mixed; boundary=\"a b\"",
    "message/rfc822",
    "b\u{e9}\r\nA: b",
    "a b c",
];

const NAMES: [&str; 5] = ["Subject", "X-New", "Content-Type", "MIME-Version", "Content-Transfer-Encoding"];

pub fn run(input: &[u8]) {
    let mut case = Case::of(input);
    let content = with_crlf(case.content);
    let Some(mut message) = parse(&content, &limits()) else { return };
    let base = Base::of(&message);
    let mut allowed: Vec<Range<usize>> = Vec::new();
    for _ in 0..8 {
        if !case.more() {
            break;
        }
        edit(&mut case, &mut message, &base, &mut allowed);
        base.check(&message, &content, &allowed);
    }
    // The tree that the rules saw is the tree of what is sent. A first line that would fold into what was put above it becomes body (SEMANTICS 19).
    if message.fields().iter().any(Field::is_continuation) || message.parts().iter().any(|part| part.opaque) {
        return;
    }
    let again = parse(&output(&message), &roomy()).expect("an edited message is a message");
    assert_eq!(tree(&again), tree(&message), "what is sent reads otherwise");
    let raw = |message: &Message| {
        message.fields().iter().map(|field| field.raw().trim_ascii_end().to_vec()).filter(|raw| !raw.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(raw(&again), raw(&message));
}

fn roomy() -> transom::message::Limits {
    transom::message::Limits { message_size: u64::MAX, header_size: u64::MAX, header_fields: 1000, part_fields: 1000, ..limits() }
}

/// Where the bytes of the message lie.
struct Base {
    start: usize,
    length: usize,
}

impl Base {
    fn of(message: &Message) -> Base {
        match message.pieces().as_slice() {
            [] => Base { start: 0, length: 0 },
            [Piece::Memory(bytes)] => Base { start: bytes.as_ptr() as usize, length: bytes.len() },
            other => panic!("a message in memory is one piece, not {}", other.len()),
        }
    }

    /// Where these bytes stood as received, if they are not new.
    fn place(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let at = (bytes.as_ptr() as usize).checked_sub(self.start)?;
        (at < self.length).then_some(at..at + bytes.len())
    }

    /// What is left of the received bytes is in order, and what is gone was allowed to go.
    fn check(&self, message: &Message, content: &[u8], allowed: &[Range<usize>]) {
        let mut gone = vec![true; self.length];
        let mut done = 0;
        for piece in message.pieces() {
            let Piece::Memory(bytes) = piece else { panic!("nothing lies in a file") };
            let Some(place) = self.place(&bytes) else { continue };
            assert!(place.start >= done, "what stood behind comes before");
            assert_eq!(&bytes[..], &content[place.clone()]);
            gone[place.clone()].fill(false);
            done = place.end;
        }
        for range in allowed {
            gone[range.clone()].fill(false);
        }
        if let Some(at) = gone.iter().position(|gone| *gone) {
            let end = gone[at..].iter().position(|gone| !gone).map_or(self.length, |more| at + more);
            panic!("{:?} at {at}, which no edit named, is gone", String::from_utf8_lossy(&content[at..end]));
        }
    }
}

fn edit(case: &mut Case<'_>, message: &mut Message, base: &Base, allowed: &mut Vec<Range<usize>>) {
    let count = message.fields().len();
    let index = case.number(count.max(1));
    match case.number(8) {
        0 if count > 0 => {
            allowed.extend(base.place(message.fields()[index].raw()));
            message.remove_field(index);
        }
        1 => message.insert_field(index, Field::new(case.one(&NAMES), case.one(&VALUES))),
        2 if count > 0 => {
            let old = message.fields()[index].clone();
            allowed.extend(base.place(old.raw()));
            message.replace_field(index, old.with_value(case.one(&VALUES)));
        }
        3 if count > 0 => {
            let old = message.fields()[index].clone();
            let changes = changes(case, &old.value());
            allowed.extend(base.place(old.raw()));
            message.replace_field(index, old.with_changes(&changes, false));
        }
        4 => {
            let part = PartId(u32::try_from(case.number(message.parts().len())).expect("few parts"));
            let named = named(message, base, part, true);
            if message.replace_leaf(part, case.one(&VALUES), None).is_ok() {
                allowed.extend(named);
            }
        }
        5 => {
            let body = Bytes::from(with_crlf(case.one(&VALUES).as_bytes()));
            let start = message.fields().iter().filter_map(|field| base.place(field.raw())).map(|place| place.end).max();
            allowed.push(start.unwrap_or(0).min(base.length)..base.length);
            message.set_raw_body(body).expect("there is room");
        }
        _ => edit_text(case, message, base, allowed),
    }
}

fn edit_text(case: &mut Case<'_>, message: &mut Message, base: &Base, allowed: &mut Vec<Range<usize>>) {
    let part = PartId(u32::try_from(case.number(message.parts().len())).expect("few parts"));
    let Ok(text) = message.text(part) else { return };
    let changes = changes(case, &text);
    let before = message.parts()[part.0 as usize].clone();
    let (content, with_header) = (named(message, base, part, false), named(message, base, part, true));
    if message.edit_text(part, &changes).is_err() {
        return;
    }
    let after = &message.parts()[part.0 as usize];
    let header_may = (&before.charset, &before.encoding) != (&after.charset, &after.encoding);
    allowed.extend(if header_may { with_header } else { content });
    let read = message.text(part).expect("what was written can be read");
    assert_eq!(read.trim_end_matches('\n'), changed(&text, &changes).trim_end_matches('\n'));
}

/// Where the content of a part stands, and, if asked for, its header: between it and what stands before.
fn named(message: &Message, base: &Base, part: PartId, header: bool) -> Vec<Range<usize>> {
    let places = |part: PartId| {
        let mut places = Vec::new();
        message.encoded(part, &mut |bytes| places.extend(base.place(bytes))).expect("content can be read");
        places
    };
    let mut named = places(part);
    if header {
        if part.0 == 0 {
            named.extend(
                message
                    .fields()
                    .iter()
                    .filter(|field| field.name().to_ascii_lowercase().starts_with(b"content-"))
                    .filter_map(|field| base.place(field.raw())),
            );
        }
        let before = message.parts()[..part.0 as usize].iter().filter(|other| other.leaf).flat_map(|other| places(other.id));
        let fields = message.fields().iter().filter_map(|field| base.place(field.raw()));
        let start = before.chain(fields).map(|place| place.end).max().unwrap_or(0);
        let after = message.parts()[part.0 as usize + 1..].iter().filter(|other| other.leaf).flat_map(|other| places(other.id));
        let end = named.iter().map(|place| place.start).chain(after.map(|place| place.start)).filter(|end| *end >= start).min();
        if part.0 != 0 {
            named.push(start..end.unwrap_or(base.length));
        }
    }
    named
}
