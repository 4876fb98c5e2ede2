//! What `header.strip_whitespace` and `header.normalize_whitespace` do to a raw value.

use super::value::{is_space, trim};

/// RFC 2047 2 allows 75 letters; readers take longer ones too, and without a bound each `=?` would be looked far ahead from.
const ENCODED_WORD: usize = 1000;

/// Each line trimmed; folds stay, with one blank; one blank between colon and value.
#[must_use]
pub fn strip(raw: &[u8]) -> Vec<u8> {
    let mut stripped = Vec::with_capacity(raw.len() + 1);
    for (index, line) in raw.split(|byte| *byte == b'\n').enumerate() {
        let text = trim(line);
        if index > 0 {
            stripped.extend_from_slice(b"\r\n ");
        } else if !text.is_empty() {
            stripped.push(b' ');
        }
        stripped.extend_from_slice(text);
    }
    stripped
}

/// Runs of white space become one blank, `", "` stands around each comma, nothing at the ends; one blank between colon and value.
#[must_use]
pub fn normalize(raw: &[u8]) -> Vec<u8> {
    let mut normal = Vec::with_capacity(raw.len() + 1);
    for word in words_and_commas(raw) {
        // Before a comma stands none; after one, and between words, one blank.
        if word != b"," || normal.is_empty() {
            normal.push(b' ');
        }
        normal.extend_from_slice(word);
    }
    normal
}

/// Runs of bytes that are neither white space nor comma, and the commas.
fn words_and_commas(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|byte| !is_space(*byte))?;
        rest = &rest[start..];
        let end = if rest[0] == b',' { 1 } else { word_length(rest) };
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

/// The length of the word at the start. A comma in an encoded word is a letter of it (RFC 2047 4.2): a blank there would break the word.
fn word_length(rest: &[u8]) -> usize {
    let mut at = 0;
    while at < rest.len() && !is_space(rest[at]) && rest[at] != b',' {
        at += encoded_word(&rest[at..]).unwrap_or(1);
    }
    at
}

/// The length of an encoded word: `=?charset?encoding?text?=`, without white space.
fn encoded_word(rest: &[u8]) -> Option<usize> {
    let length = rest.iter().position(|byte| is_space(*byte)).unwrap_or(rest.len()).min(ENCODED_WORD);
    let inner = rest[..length].strip_prefix(b"=?")?;
    let encoding = memchr::memchr(b'?', inner)? + 1;
    let text = inner.get(encoding..)?.strip_prefix(b"B?").or_else(|| inner[encoding..].strip_prefix(b"b?"));
    let text = text.or_else(|| inner[encoding..].strip_prefix(b"Q?")).or_else(|| inner[encoding..].strip_prefix(b"q?"))?;
    Some(length - text.len() + memchr::memmem::find(text, b"?=")? + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(raw: &str) -> String {
        String::from_utf8(strip(raw.as_bytes())).unwrap()
    }

    fn normalized(raw: &str) -> String {
        String::from_utf8(normalize(raw.as_bytes())).unwrap()
    }

    #[test]
    fn the_example_of_the_forebear_comes_out_as_there() {
        assert_eq!(normalized("  a b   c\n d, e  \r  , \n f,g  \n "), " a b c d, e, f, g");
    }

    #[test]
    fn commas_without_words_keep_their_number() {
        assert_eq!(normalized(",a,,b,"), " , a,, b,");
        assert_eq!(normalized(" \r\n "), "");
    }

    #[test]
    fn a_comma_in_an_encoded_word_is_a_letter_of_it() {
        assert_eq!(normalized("=?utf-8?Q?a,b?=  <x@y>,=?utf-8?q?c,?=,d"), " =?utf-8?Q?a,b?= <x@y>, =?utf-8?q?c,?=, d");
        assert_eq!(normalized("=?x,y =?utf-8?Q?open,z"), " =?x, y =?utf-8?Q?open, z");
    }

    #[test]
    fn lines_are_trimmed_and_folds_stay() {
        assert_eq!(stripped("  a b \t\r\n\t\tc  \r\n d"), " a b\r\n c\r\n d");
        assert_eq!(stripped("a"), " a");
        assert_eq!(stripped("\r\n  a"), "\r\n a");
        assert_eq!(stripped("   "), "");
    }
}
