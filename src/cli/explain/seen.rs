//! What the conditions see of a message, for programs: its parts with every name, type and text, and its `malformed` flags.

use serde_json::{Value, json as object};

use crate::chain::html::Visible;
use crate::message::{Message, Part};

const BAD_ENCODING: &str = "bad_encoding";
/// Characters of one text that are told.
const TEXT: usize = 16_384;

/// The MIME tree in order of appearance.
pub(super) fn parts(message: &Message) -> Vec<Value> {
    let (readable, attachments) = (message.readable(true), message.attachments());
    let one = |part: &Part| -> Value {
        let mut told = object!({
            "depth": part.depth, "type": part.media_type, "types": part.media_types, "charset": part.charset, "encoding": part.encoding,
            "names": part.names, "disposition": part.disposition, "size": part.size, "attachment": attachments.contains(&part.id),
            "opened": !part.opaque,
        });
        if readable.contains(&part.id) {
            text(message, part, &mut told);
        }
        told
    };
    message.parts().iter().map(one).collect()
}

/// The decoded source, and what a reader sees of HTML; or why there is none.
fn text(message: &Message, part: &Part, told: &mut Value) {
    match message.text(part.id) {
        Ok(text) => {
            told["text"] = beginning(&text);
            if part.media_types.iter().any(|kind| kind == "text/html") {
                told["shown"] = beginning(&Visible::of(&text).text);
            }
        }
        Err(fault) => told["error"] = fault.to_string().into(),
    }
}

fn beginning(text: &str) -> Value {
    text.chars().take(TEXT).collect::<String>().into()
}

/// The flags, those included that only a look into the parts raises. A part that cannot be asked says so in its `error`.
pub(super) fn malformed(message: &Message) -> Vec<&'static str> {
    let mut flags = message.malformed();
    let broken = |part: &Part| part.leaf && !part.opaque && matches!(message.decodes_whole(part.id), Ok(false));
    if !flags.contains(&BAD_ENCODING) && message.parts().iter().any(broken) {
        flags.push(BAD_ENCODING);
        flags.sort_unstable();
    }
    flags
}
