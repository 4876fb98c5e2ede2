//! Words of headers: those that nearly every message uses are known, the others are copied.

use std::borrow::Cow;

/// One word: a media type, a charset, the name of a parameter.
pub type Word = Cow<'static, str>;

macro_rules! known {
    ($text:expr; $($word:literal)*) => {
        match $text {
            $($word => Some($word),)*
            _ => None,
        }
    };
}

fn known(text: &str) -> Option<&'static str> {
    known! { text;
        "text/plain" "text/html" "text/calendar" "multipart/mixed" "multipart/alternative" "multipart/related" "multipart/signed" "multipart/report"
        "message/rfc822" "message/delivery-status" "application/octet-stream" "application/pdf" "image/png" "image/jpeg" "image/gif"
        "7bit" "8bit" "binary" "base64" "quoted-printable" "inline" "attachment"
        "charset" "boundary" "name" "filename" "format" "delsp" "type" "micalg" "protocol" "method"
        "utf-8" "UTF-8" "us-ascii" "US-ASCII" "iso-8859-1" "ISO-8859-1" "iso-8859-15" "windows-1252" "flowed" "yes"
    }
}

/// The word as it is written.
#[must_use]
pub fn word(text: &str) -> Word {
    known(text).map_or_else(|| Cow::Owned(text.to_owned()), Cow::Borrowed)
}

/// The word in lower case (ASCII).
#[must_use]
pub fn lower_word(text: &str) -> Word {
    if !text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return word(text);
    }
    let lower = text.to_ascii_lowercase();
    known(&lower).map_or(Cow::Owned(lower), Cow::Borrowed)
}

/// The media type, if it is a known one.
#[must_use]
pub fn known_type(text: &str) -> Option<Word> {
    known(text).filter(|word| word.contains('/')).map(Cow::Borrowed)
}
