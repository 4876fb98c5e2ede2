//! What the conditions see of a message, for programs: its parts with every name, type and text, and its `malformed` flags.

use serde_json::{Value, json as object};

use crate::chain::html::Visible;
use crate::message::{Flag, Message, Part};

/// Characters of one text that are told.
const TEXT: usize = 16_384;

/// The MIME tree in order of appearance.
pub(super) fn parts(message: &Message) -> Vec<Value> {
    let (readable, attachments) = (message.readable(true), message.attachments());
    let one = |part: &Part| -> Value {
        let mut told = object!({
            "depth": part.depth, "type": part.media_type, "types": part.media_types().collect::<Vec<_>>(), "charset": part.charset, "encoding": part.encoding,
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
            if part.media_types().any(|kind| kind == "text/html") {
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
    let leaves = || message.parts().iter().filter(|part| part.leaf && !part.opaque);
    let mut flags = message.malformed();
    let mut raise = |flag: Flag, raised: bool| {
        if raised && !flags.contains(&flag.name()) {
            flags.push(flag.name());
        }
    };
    raise(Flag::BadEncoding, leaves().any(|part| matches!(message.decodes_whole(part.id), Ok(false))));
    raise(Flag::TooLarge, leaves().any(|part| part.is_text() && matches!(message.too_large(part.id), Ok(true))));
    flags.sort_unstable();
    flags
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::base::disk;
    use crate::chain::example;

    /// What the readers show of the tricks, and what honest programs write, as `tests/interop/readers/compare.py --update` wrote it down.
    fn expectations(file: &str) -> Vec<Value> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/readers").join(file);
        serde_json::from_slice(&disk::read(&file).unwrap()).unwrap()
    }

    fn parse(message: &str) -> Option<Message> {
        let bytes: Vec<u8> = message.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
        Message::parse(bytes.into(), &example::limits()).ok()
    }

    fn keys(expected: &Value) -> Vec<&str> {
        expected.as_object().unwrap().keys().map(String::as_str).collect()
    }

    /// As a reader would save it, and as compare.py has it.
    fn saved(name: &str) -> String {
        let file = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let words: Vec<&str> = file.split_whitespace().collect();
        words.join(" ").trim_matches([' ', '\'', '"']).trim_end_matches(['.', ' ']).to_owned()
    }

    /// Where a reader could not read a character, it may be any.
    fn same(shown: &str, seen: &str) -> bool {
        let mut rest = seen;
        let found = shown.split('\u{fffd}').all(|piece| rest.find(piece).map(|at| rest = &rest[at + piece.len()..]).is_some());
        if shown.contains('\u{fffd}') { found } else { shown == seen }
    }

    /// What of a trick is neither seen nor flagged.
    fn hidden(trick: &Value) -> Vec<String> {
        let Some(message) = parse(trick["message"].as_str().unwrap()) else { return Vec::new() };
        if !malformed(&message).is_empty() {
            return Vec::new();
        }
        let parts = parts(&message);
        let attached = || parts.iter().filter(|part| part["attachment"] == true);
        let names: Vec<String> =
            attached().flat_map(|part| part["names"].as_array().unwrap()).map(|name| saved(name.as_str().unwrap())).collect();
        let texts: Vec<&str> = parts.iter().flat_map(|part| [&part["text"], &part["shown"]]).filter_map(Value::as_str).collect();
        let lost_names = keys(&trick["names"]).into_iter().filter(|shown| !names.iter().any(|seen| same(shown, seen)));
        let lost_words = keys(&trick["words"]).into_iter().filter(|word| !texts.iter().any(|text| text.contains(word)));
        lost_names.chain(lost_words).map(str::to_owned).collect()
    }

    #[test]
    fn no_trick_hides_a_name_or_a_text_that_a_common_reader_shows() {
        let tricks = expectations("expectations.json");
        assert!(tricks.len() >= 900);
        let lost: Vec<String> =
            tricks.iter().flat_map(|trick| hidden(trick).into_iter().map(move |lost| format!("{}: {lost}", trick["trick"]))).collect();
        assert!(lost.is_empty(), "{}", lost.join("\n"));
    }

    #[test]
    fn most_odd_names_and_pages_are_seen_without_a_flag() {
        let mut tricks = expectations("expectations.json");
        tricks
            .retain(|trick| ["name/", "encoded-word/", "page/"].iter().any(|family| trick["trick"].as_str().unwrap().starts_with(family)));
        let flagged = |trick: &&Value| parse(trick["message"].as_str().unwrap()).is_none_or(|message| !malformed(&message).is_empty());
        assert!(tricks.iter().filter(flagged).count() * 2 < tricks.len());
    }

    #[test]
    fn what_honest_programs_write_raises_no_flag_and_shows_its_names() {
        let messages = expectations("honest.json");
        assert!(messages.len() >= 150);
        for one in messages {
            let message = parse(one["message"].as_str().unwrap()).unwrap();
            assert!(malformed(&message).is_empty(), "{:?}: {one}", malformed(&message));
            let parts = parts(&message);
            let mut names = parts.iter().filter(|part| part["attachment"] == true).flat_map(|part| part["names"].as_array().unwrap());
            assert!(one["name"].is_null() || names.any(|name| *name == one["name"]), "{one}");
        }
    }

    #[test]
    fn the_text_of_an_html_part_is_told_as_source_and_as_shown() {
        let message = parse("Content-Type: text/html\r\n\r\n<p>one<b>two</b></p>").unwrap();
        let parts = parts(&message);
        assert_eq!((&parts[0]["text"], &parts[0]["shown"]), (&"<p>one<b>two</b></p>".into(), &"onetwo\n".into()));
        assert_eq!((&parts[0]["attachment"], &parts[0]["opened"]), (&false.into(), &true.into()));
    }
}
