//! Charsets: the name a message declares, bytes to text and back.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// How the bytes of a text are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charset {
    pub encoding: &'static Encoding,
    /// Whether the message named it; else it was guessed.
    pub declared: bool,
}

/// Finds a charset by its label. UTF-7 and others that let one text hide in another are unknown.
#[must_use]
pub fn find(label: &str) -> Option<&'static Encoding> {
    // As nearly all write it.
    match label {
        "utf-8" | "UTF-8" => return Some(UTF_8),
        "us-ascii" | "iso-8859-1" | "windows-1252" => return Some(WINDOWS_1252),
        _ => {}
    }
    let label = label.trim();
    // RFC 2231 5: a language may follow the charset of an encoded word.
    let label = label.split('*').next().unwrap_or(label);
    match label.to_ascii_lowercase().as_str() {
        "ansi-x3.4-1968" | "ansi_x3.110-1983" | "cp1252" | "cp-1252" => Some(WINDOWS_1252),
        "utf8mb4" | "unicode-1-1-utf-8" => Some(UTF_8),
        "iso-2022-jp-1" | "iso-2022-jp-2" | "iso-2022-jp-3" | "iso-2022-jp-ms" => Some(encoding_rs::ISO_2022_JP),
        "cp932" => Some(encoding_rs::SHIFT_JIS),
        "cp936" => Some(encoding_rs::GBK),
        "cp949" => Some(encoding_rs::EUC_KR),
        "cp950" => Some(encoding_rs::BIG5),
        label => Encoding::for_label(label.as_bytes()).filter(|found| *found != encoding_rs::REPLACEMENT),
    }
}

/// The charset for a text: the declared one, else UTF-8 if the bytes are valid, else windows-1252 (RULES, "Details").
#[must_use]
pub fn choose(label: Option<&str>, bytes: &[u8]) -> Charset {
    let guess = || Charset { encoding: if utf8(bytes).is_some() { UTF_8 } else { WINDOWS_1252 }, declared: false };
    declared(label, bytes).unwrap_or_else(guess)
}

/// The declared one, by the first two bytes of a text; none if it is to be guessed.
#[must_use]
pub fn declared(label: Option<&str>, start: &[u8]) -> Option<Charset> {
    // A declared us-ascii is windows-1252 to encoding_rs; bytes over 127 in it are read as everywhere where nothing was declared.
    let plain = label.is_some_and(|label| {
        matches!(label.trim().to_ascii_lowercase().as_str(), "us-ascii" | "ascii" | "ansi_x3.4-1968" | "ansi-x3.4-1968")
    });
    match label.filter(|_| !plain).map(find) {
        // RFC 2781 3.2: a byte order mark says which of the two it is.
        Some(Some(encoding)) if is_utf16(encoding) => Some(Charset { encoding: utf16_by_mark(start).unwrap_or(encoding), declared: true }),
        Some(Some(encoding)) => Some(Charset { encoding, declared: true }),
        _ => None,
    }
}

/// Whether readers could take such bytes in two ways: UTF-16 that says its order nowhere, an escape sequence that leads nowhere.
#[must_use]
pub fn is_ambiguous(label: Option<&str>, bytes: &[u8]) -> bool {
    let Some(encoding) = label.and_then(find) else { return false };
    let silent = is_utf16(encoding) && !label.is_some_and(|label| label.ends_with("le") || label.ends_with("be"));
    let odd = is_utf16(encoding) && utf16_by_mark(bytes).is_some_and(|marked| !silent && marked != encoding);
    let open = encoding == encoding_rs::ISO_2022_JP && encoding.decode_without_bom_handling_and_without_replacement(bytes).is_none();
    odd || open || (silent && !bytes.is_empty() && utf16_by_mark(bytes).is_none())
}

/// Whether a charset in a header is one that not all readers know there.
#[must_use]
pub fn is_odd_in_headers(label: &str) -> bool {
    find(label).is_none_or(is_utf16)
}

fn is_utf16(encoding: &'static Encoding) -> bool {
    encoding == encoding_rs::UTF_16LE || encoding == encoding_rs::UTF_16BE
}

fn utf16_by_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    match bytes {
        [0xfe, 0xff, ..] => Some(encoding_rs::UTF_16BE),
        [0xff, 0xfe, ..] => Some(encoding_rs::UTF_16LE),
        _ => None,
    }
}

/// Bytes as the text they are, if they are UTF-8.
#[must_use]
pub fn utf8(bytes: &[u8]) -> Option<&str> {
    // Three times as fast as the standard library.
    match UTF_8.decode_without_bom_handling_and_without_replacement(bytes) {
        Some(Cow::Borrowed(text)) => Some(text),
        _ => None,
    }
}

/// Bytes to text; what cannot be read becomes U+FFFD. A byte order mark is no text of its own.
#[must_use]
pub fn decode<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> Cow<'a, str> {
    encoding.decode_without_bom_handling(bytes).0
}

/// Text to bytes; none where the charset has no place for it.
#[must_use]
pub fn encode(encoding: &'static Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding.name() {
        "UTF-16LE" => Some(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        "UTF-16BE" => Some(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        _ => {
            let (bytes, _, lossy) = encoding.encode(text);
            (!lossy).then(|| bytes.into_owned())
        }
    }
}

/// A text with its CR LF line ends as LF.
#[must_use]
pub fn with_lf(text: &str) -> Cow<'_, str> {
    let mut returns = memchr::memchr_iter(b'\r', text.as_bytes()).filter(|at| text.as_bytes().get(at + 1) == Some(&b'\n')).peekable();
    if returns.peek().is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for at in returns {
        out.push_str(&text[done..at]);
        done = at + 1;
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_charset_text_is_utf8_if_valid_else_windows_1252() {
        assert_eq!(choose(None, "é".as_bytes()).encoding, UTF_8);
        assert_eq!(choose(Some("us-ascii"), b"\xe9").encoding, WINDOWS_1252);
        let unknown = choose(Some("x-klingon"), b"abc");
        assert!(!unknown.declared && unknown.encoding == UTF_8);
    }

    #[test]
    fn only_cr_lf_becomes_lf() {
        for text in ["", "a", "a\r\nb", "\r\n\r\n", "a\rb\nc\r", "\r\r\n\n", "é\r\né\r\n"] {
            assert_eq!(with_lf(text), text.replace("\r\n", "\n"), "{text:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_says_which_utf_16_it_is_and_without_one_it_is_ambiguous() {
        assert_eq!(choose(Some("utf-16"), b"\xfe\xff\0a").encoding, encoding_rs::UTF_16BE);
        assert_eq!(choose(Some("utf-16"), b"\xff\xfea\0").encoding, encoding_rs::UTF_16LE);
        assert!(!is_ambiguous(Some("utf-16"), b"\xfe\xff\0a") && is_ambiguous(Some("utf-16"), b"\0a"));
        assert!(!is_ambiguous(Some("utf-16le"), b"a\0") && is_ambiguous(Some("utf-16le"), b"\xfe\xff\0a"));
    }

    #[test]
    fn an_escape_sequence_that_leads_nowhere_is_ambiguous() {
        assert!(is_ambiguous(Some("iso-2022-jp"), b"a \x1b$B bcd"));
        assert!(!is_ambiguous(Some("iso-2022-jp"), b"a \x1b$BF|\x1b(B b") && !is_ambiguous(Some("utf-8"), b"\xff"));
    }

    #[test]
    fn what_a_charset_cannot_say_is_not_written() {
        assert_eq!(encode(find("iso-8859-1").unwrap(), "é"), Some(vec![0xe9]));
        assert_eq!(encode(find("iso-8859-2").unwrap(), "日"), None);
        assert_eq!(encode(find("utf-16le").unwrap(), "a"), Some(vec![b'a', 0]));
    }
}
