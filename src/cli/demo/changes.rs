//! What differs between a message as it was sent and as it arrived, field by field and part by part, found from the bytes alone.

use std::sync::Arc;

use bytes::Bytes;

use crate::message::{Limits, Message};

/// Each difference in a few words: `+X-External-Sender`, `-Received ×2`, `~Subject`, `~text/plain`. The topmost `Received` of what arrived is Transom's own.
pub fn between(sent: &[u8], arrived: &[u8]) -> Vec<String> {
    let limits = Arc::new(limits());
    let mut sent = sent.to_vec();
    // Data over SMTP ends with a line end (RFC 5321 4.1.1.4), whether the file does or not.
    if !sent.ends_with(b"\r\n") {
        sent.extend_from_slice(b"\r\n");
    }
    let sent = Bytes::from(sent);
    let before = Message::parse(sent.clone(), &limits);
    let after = Message::parse(Bytes::copy_from_slice(arrived), &limits);
    let (Ok(before), Ok(after)) = (before, after) else { return vec!["not readable".to_owned()] };
    let mut changes = fields(&before, &after);
    changes.extend(body(&before, &after));
    let own = after.fields().first().filter(|field| field.is("Received")).map_or(0, |field| field.raw().len());
    if changes.is_empty() && sent != arrived[own..] {
        changes.push("bytes between the parts".to_owned());
    }
    changes
}

/// A demo reads what its own samples and rules made; nothing here needs to be small.
fn limits() -> Limits {
    let most = u64::from(u32::MAX);
    Limits {
        message_size: most,
        header_size: most,
        header_fields: most,
        depth: 100,
        parts: 10_000,
        part_fields: 100_000,
        memory: most,
        text: most,
    }
}

type Field = (String, Bytes);

fn fields(before: &Message, after: &Message) -> Vec<String> {
    let list = |message: &Message, skip| -> Vec<Field> {
        let named = |field: &crate::message::Field| (String::from_utf8_lossy(field.name()).into_owned(), field.raw().clone());
        message.fields().iter().skip(skip).map(named).collect()
    };
    let own = usize::from(after.fields().first().is_some_and(|field| field.is("Received")));
    let (mut gone, mut come) = (list(before, 0), list(after, own));
    let same_order = |gone: &[Field], come: &[Field]| {
        gone.iter().filter(|field| come.contains(field)).eq(come.iter().filter(|field| gone.contains(field)))
    };
    let moved = !same_order(&gone, &come);
    gone.retain(|field| match come.iter().position(|other| other == field) {
        Some(at) => {
            come.remove(at);
            false
        }
        None => true,
    });
    let mut changes = Vec::new();
    gone.retain(|(name, _)| match come.iter().position(|(other, _)| other.eq_ignore_ascii_case(name)) {
        Some(at) => {
            come.remove(at);
            changes.push(format!("~{name}"));
            false
        }
        None => true,
    });
    changes.extend(come.into_iter().map(|(name, _)| format!("+{name}")));
    changes.extend(gone.into_iter().map(|(name, _)| format!("-{name}")));
    if moved {
        changes.push("order of fields".to_owned());
    }
    counted(changes)
}

fn body(before: &Message, after: &Message) -> Vec<String> {
    let leaves = |message: &Message| -> Vec<(String, Vec<u8>)> {
        let leaf = |part: &crate::message::Part| {
            let mut content = Vec::new();
            message.encoded(part.id, &mut |piece| content.extend_from_slice(piece)).ok()?;
            Some((part.media_type.to_string(), content))
        };
        message.parts().iter().filter(|part| part.leaf).filter_map(leaf).collect()
    };
    let (before, after) = (leaves(before), leaves(after));
    if before.len() != after.len() {
        return vec![format!("{} parts became {}", before.len(), after.len())];
    }
    counted(before.iter().zip(&after).filter(|(one, other)| one != other).map(|((kind, _), _)| format!("~{kind}")).collect())
}

/// Equal ones once, with their number.
fn counted(changes: Vec<String>) -> Vec<String> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for change in changes {
        match counts.iter_mut().find(|(known, _)| *known == change) {
            Some((_, count)) => *count += 1,
            None => counts.push((change, 1)),
        }
    }
    counts.into_iter().map(|(change, count)| if count > 1 { format!("{change} ×{count}") } else { change }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_came_went_and_changed_are_told_apart() {
        let sent = b"Received: a\r\nReceived: b\r\nSubject: x\r\nTo: y\r\n\r\ntext\r\n";
        let arrived = b"Received: ours\r\nX-New: 1\r\nSubject: z\r\nTo: y\r\n\r\ntext\r\n";
        assert_eq!(between(sent, arrived), ["~Subject", "+X-New", "-Received ×2"]);
    }

    #[test]
    fn a_changed_part_is_named_by_its_type() {
        let sent = b"Subject: x\r\n\r\none\r\n";
        assert_eq!(between(sent, b"Received: ours\r\nSubject: x\r\n\r\ntwo\r\n"), ["~text/plain"]);
        assert!(between(b"Subject: x\r\n\r\none", b"Received: ours\r\nSubject: x\r\n\r\none\r\n").is_empty());
    }

    #[test]
    fn no_byte_may_differ_without_being_told() {
        let sent = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\none\r\n--b\r\n\r\ntext\r\n--b--\r\n";
        let arrived = format!("Received: ours\r\n{}", sent.replace("one", "two"));
        assert_eq!(between(sent.as_bytes(), arrived.as_bytes()), ["bytes between the parts"]);
    }

    #[test]
    fn a_new_order_is_told() {
        assert_eq!(between(b"A: 1\r\nB: 2\r\n\r\n", b"Received: ours\r\nB: 2\r\nA: 1\r\n\r\n"), ["order of fields"]);
    }
}
