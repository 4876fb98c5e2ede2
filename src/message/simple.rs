//! A structured value as nearly all are written: words, and quoted strings with nothing odd in them. There is one way to read it, so it is read in one pass.

use super::common::{Word, lower_word, word};
use super::flags::Flag;
use super::parameter::Structured;

/// Parameters of such a value.
const MOST: usize = 20;

/// The value, if it is that simple.
#[must_use]
pub fn read(raw: &[u8]) -> Option<Structured> {
    let mut pieces = raw.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let value = pieces.next().filter(|value| value.split(|byte| *byte == b'/').all(is_word))?;
    let mut structured = Structured { value: lower(value), ..Structured::default() };
    for piece in pieces.filter(|piece| !piece.is_empty()) {
        let equals = memchr::memchr(b'=', piece)?;
        let name = piece[..equals].trim_ascii_end();
        let written = piece[equals + 1..].trim_ascii_start();
        let value = match written.strip_prefix(b"\"") {
            Some(quoted) => quoted.strip_suffix(b"\"").filter(|inner| inner.iter().all(|byte| is_quoted(*byte)))?,
            None => Some(written).filter(|word| is_word(word))?,
        };
        if !is_word(name) || structured.parameters.len() >= MOST {
            return None;
        }
        let (name, text) = (lower(name), text(value));
        structured.flags.raise_if(structured.get(&name).is_some_and(|known| known != text), Flag::AmbiguousParameter);
        if name == "boundary" {
            structured.boundaries.push(value.to_vec());
        }
        structured.parameters.push((name, text));
    }
    Some(structured)
}

/// RFC 2045 5.1: a token; without what begins something in RFC 2231.
fn is_word(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._+!#$&^{}|~`".contains(byte))
}

/// What stands for itself in quotes, and begins no encoded word and nothing in RFC 2231.
fn is_quoted(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" -._+!#$&^{}|~`=/:,@()<>[]".contains(&byte)
}

fn lower(ascii: &[u8]) -> Word {
    lower_word(&String::from_utf8_lossy(ascii))
}

fn text(ascii: &[u8]) -> Word {
    word(&String::from_utf8_lossy(ascii))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn common_values_are_simple() {
        for raw in [
            " text/plain; charset=utf-8",
            " Text/HTML;\r\n\tcharset=\"UTF-8\" ; format=flowed;",
            " multipart/mixed;\r\n boundary=\"----=_Part_1 (x)\"",
            " 7bit",
            " attachment; filename=\"my file.pdf\"",
        ] {
            assert_eq!(read(raw.as_bytes()), Some(Structured::parse_closely(raw.as_bytes())), "{raw}");
        }
    }

    #[test]
    fn what_readers_take_in_more_than_one_way_is_not() {
        for raw in [
            "",
            "a; b",
            "a; b=c d",
            "a; b=\"c\\d\"",
            "a; b=c/d",
            "a; b*=c",
            "a; b=\"it's\"",
            "a; b=\"=?utf-8?q?c?=\"",
            "a (b)",
            "a; b=\"c;d\"",
        ] {
            assert_eq!(read(raw.as_bytes()), None, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn what_is_simple_reads_as_it_does_closely(pieces in proptest::collection::vec(prop_oneof![
            Just("a"), Just("text/plain"), Just("; "), Just(";"), Just("name"), Just("Boundary"), Just("="), Just("="), Just("\""), Just("\""), Just(" "), Just("\t"),
            Just("\r\n "), Just("("), Just(")"), Just("\\"), Just("'"), Just("*"), Just("*0"), Just("%41"), Just("?"), Just("=?"), Just("/"), Just("<"), Just(","),
            Just("\u{e9}"), Just("\0"), Just("; name=x"), Just("; name=\"x y\""), Just(";boundary = b"), Just("\u{c}"), Just("\u{b}")], 0..12)) {
            let raw = pieces.concat();
            if let Some(found) = read(raw.as_bytes()) {
                prop_assert_eq!(found, Structured::parse_closely(raw.as_bytes()));
            }
        }
    }
}
