//! Messages in: whatever comes, and however it is cut, leaves as it came, reads the same, and can be made 7-bit.

use std::sync::Arc;

use transom::base::budget::Budget;
use transom::message::{Field, Limits, Message, Receiver, Room};

use super::case::{Case, with_crlf};
use super::mail::{encoded, limits, output, parse, tree};

pub fn run(input: &[u8]) {
    let mut case = Case::of(input);
    let limits = match case.number(8) {
        1 => Limits { depth: 2, parts: 5, part_fields: 6, ..limits() },
        2 => Limits { header_size: 100, header_fields: 5, message_size: 1000, ..limits() },
        3 => Limits { depth: 0, parts: 1, ..limits() },
        4 => Limits { text: 30, ..limits() },
        _ => limits(),
    };
    // Else bare line ends stay, which a tool may hand in.
    let as_served = case.number(4) != 1;
    let in_file = case.number(16) == 1;
    let content = if as_served { with_crlf(case.content) } else { case.content.to_vec() };
    let Some(whole) = parse(&content, &limits) else {
        assert!(in_pieces(&case, &content, &limits, false).is_none(), "taken in pieces, refused as a whole");
        return;
    };
    assert!(output(&whole) == content, "it leaves as it came");
    let pieces = in_pieces(&case, &content, &limits, in_file).expect("refused in pieces, taken as a whole");
    assert!(output(&pieces) == content, "it leaves as it came in pieces");
    assert_eq!(pieces.parts(), whole.parts());
    assert_eq!(pieces.malformed(), whole.malformed());
    assert_eq!(pieces.eight_bit(), whole.eight_bit());
    assert_eq!(pieces.fields(), whole.fields());
    sound_tree(&whole, &limits);
    every_look_inside(&whole, &pieces);
    if as_served {
        seven_bit(&whole, &limits);
    }
}

fn in_pieces(case: &Case<'_>, content: &[u8], limits: &Limits, in_file: bool) -> Option<Message> {
    let room =
        Room { memory: Budget::new(u64::MAX), disk: Budget::new(u64::MAX), directory: std::env::temp_dir().into(), owner: "fuzz".into() };
    let memory = if in_file { 0 } else { limits.memory };
    let mut receiver = Receiver::new(Arc::new(Limits { memory, ..limits.clone() }), room);
    for piece in case.pieces(content) {
        receiver.push(piece).ok()?;
        if receiver.wants_flush() {
            receiver.flush().expect("the temporary directory can be written");
        }
    }
    receiver.finish().ok()
}

fn sound_tree(message: &Message, limits: &Limits) {
    let parts = message.parts();
    assert!(!parts.is_empty() && parts.len() as u64 <= u64::from(limits.parts) + 1, "{} parts", parts.len());
    for (index, part) in parts.iter().enumerate() {
        assert_eq!(part.id.0 as usize, index);
        assert!(part.depth <= limits.depth + 1, "depth {}", part.depth);
        match part.parent {
            None => assert_eq!((index, part.depth), (0, 0)),
            Some(parent) => {
                let parent = &parts[parent.0 as usize];
                assert!((parent.id.0 as usize) < index && !parent.leaf && part.depth == parent.depth + 1);
                assert!(part.nested >= parent.nested && (part.protection.is_some() || parent.protection.is_none()));
            }
        }
        assert_eq!(encoded(message, part.id).len() as u64, part.size, "part {index}");
    }
}

/// Nothing panics, and asking in one way is asking in another.
fn every_look_inside(message: &Message, again: &Message) {
    let _ = (message.hops("x"), message.first_protected().is_ok(), message.raw_body().is_ok());
    let (readable, attachments) = (message.readable(true), message.attachments());
    for part in message.parts() {
        assert_eq!(readable.contains(&part.id), again.readable(true).contains(&part.id));
        let (text, decoded) = (message.text(part.id), message.decoded(part.id));
        assert!(part.leaf && !part.opaque || text.is_err() && decoded.is_err(), "what is no leaf has no text");
        assert_eq!(text.as_deref().ok(), again.text(part.id).as_deref().ok());
        assert_eq!(decoded.as_ref().ok(), again.decoded(part.id).as_ref().ok());
        let _ = (message.protection(part.id).is_ok(), message.decodes_whole(part.id).is_ok());
        if let Ok(decoded) = decoded {
            for most in [0, 1, 7, 100] {
                let start = message.decoded_start(part.id, most).expect("what decodes has a start");
                assert_eq!(start, decoded[..most.min(decoded.len())], "the first {most} bytes of part {}", part.id.0);
            }
        }
        assert!(!part.opaque || readable.contains(&part.id) && attachments.contains(&part.id), "nobody knows what is in there");
    }
    for field in message.fields() {
        let _ = (field.value(), field.source(), field.name().len());
    }
}

fn seven_bit(message: &Message, limits: &Limits) {
    let Ok(seven) = message.seven_bit() else { return };
    for part in message.parts() {
        if part.leaf {
            assert!(encoded(&seven, part.id).is_ascii(), "part {} has bytes over 127", part.id.0);
            assert_eq!(message.decoded(part.id).ok(), seven.decoded(part.id).ok(), "part {} decodes to something else", part.id.0);
        }
    }
    // The added fields count towards limits, so what a limit kept closed could be another part now; a first line that begins with a blank becomes body when
    // a field is put above it (SEMANTICS 19).
    if message.fields().iter().any(Field::is_continuation) || message.parts().iter().any(|part| part.opaque) {
        return;
    }
    let limits = Limits { part_fields: u32::MAX, header_fields: u64::MAX, header_size: u64::MAX, message_size: u64::MAX, ..limits.clone() };
    let again = parse(&output(&seven), &limits).expect("nothing is over these limits");
    assert_eq!(tree(&again), tree(&seven), "what is sent reads otherwise");
}
