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
    let label = label.trim();
    // RFC 2231 5: a language may follow the charset of an encoded word.
    let label = label.split('*').next().unwrap_or(label);
    match label.to_ascii_lowercase().as_str() {
        "ansi_x3.110-1983" | "cp1252" | "cp-1252" => Some(WINDOWS_1252),
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
    // A declared us-ascii is windows-1252 to encoding_rs; bytes over 127 in it are read as everywhere where nothing was declared.
    let plain = label.is_some_and(|label| matches!(label.trim().to_ascii_lowercase().as_str(), "us-ascii" | "ascii" | "ansi_x3.4-1968"));
    match label.filter(|_| !plain).map(find) {
        Some(Some(encoding)) => Charset { encoding, declared: true },
        _ => Charset { encoding: if std::str::from_utf8(bytes).is_ok() { UTF_8 } else { WINDOWS_1252 }, declared: false },
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
    fn what_a_charset_cannot_say_is_not_written() {
        assert_eq!(encode(find("iso-8859-1").unwrap(), "é"), Some(vec![0xe9]));
        assert_eq!(encode(find("iso-8859-2").unwrap(), "日"), None);
        assert_eq!(encode(find("utf-16le").unwrap(), "a"), Some(vec![b'a', 0]));
    }
}
