//! What the targets share about messages.

use std::sync::Arc;

use bytes::Bytes;
use transom::message::{Limits, Message, PartId};

/// Small enough that the fuzzer meets them.
pub fn limits() -> Limits {
    Limits {
        message_size: 1 << 20,
        header_size: 1 << 16,
        header_fields: 100,
        depth: 10,
        parts: 40,
        part_fields: 100,
        memory: 1 << 20,
        text: 1 << 20,
    }
}

/// A message of these bytes, if the limits take it.
pub fn parse(bytes: &[u8], limits: &Limits) -> Option<Message> {
    Message::parse(Bytes::copy_from_slice(bytes), &Arc::new(limits.clone())).ok()
}

/// All bytes as they would be sent.
pub fn output(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    message
        .for_each(&mut |piece| {
            out.extend_from_slice(piece);
            Ok(())
        })
        .expect("content can be read");
    assert_eq!(out.len() as u64, message.size(), "the size that is told");
    out
}

/// The content of a part as it stands in the message.
pub fn encoded(message: &Message, part: PartId) -> Vec<u8> {
    let mut out = Vec::new();
    message.encoded(part, &mut |piece| out.extend_from_slice(piece)).expect("content can be read");
    out
}

/// The shape of the tree: depth, type and whether there is nothing below.
pub fn tree(message: &Message) -> Vec<(u32, String, bool)> {
    message.parts().iter().map(|part| (part.depth, part.media_type.to_string(), part.leaf)).collect()
}
