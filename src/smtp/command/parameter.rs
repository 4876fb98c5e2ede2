//! What MAIL and RCPT have in common: a path, and parameters behind it.

use super::SyntaxError;
use crate::smtp::extension::{Extension, Offer};

/// REQUIRETLS.
const LONGEST_KEYWORD: usize = 10;

/// What follows a keyword; blanks after its colon are not SMTP, but common.
pub(super) fn after<'t>(text: &'t str, keyword: &str) -> Option<&'t str> {
    let found = text.get(..keyword.len()).is_some_and(|start| start.eq_ignore_ascii_case(keyword));
    found.then(|| text[keyword.len()..].trim_start_matches(' '))
}

/// The text between `<` and its `>`, which a quoted local part may contain, and what follows it.
pub(super) fn bracketed(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('<')?;
    let (mut quoted, mut escaped) = (false, false);
    for (place, letter) in inner.bytes().enumerate() {
        match letter {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => {
                let rest = &inner[place + 1..];
                return (rest.is_empty() || rest.starts_with(' ')).then(|| (&inner[..place], rest.trim_matches(' ')));
            }
            _ => {}
        }
    }
    None
}

/// Goes over `KEYWORD` and `KEYWORD=VALUE`; keywords in upper case, an unknown long one empty.
pub(super) fn each(parameters: &str, mut take: impl FnMut(&str, Option<&str>) -> Result<(), SyntaxError>) -> Result<(), SyntaxError> {
    for parameter in parameters.split([' ', '\t']).filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').map_or((parameter, None), |(key, value)| (key, Some(value)));
        take(upper(key, &mut [0; LONGEST_KEYWORD]), value)?;
    }
    Ok(())
}

/// A word in upper case; empty if it is longer than any that is known.
pub(super) fn upper<'l>(word: &str, letters: &'l mut [u8]) -> &'l str {
    let Some(letters) = letters.get_mut(..word.len()) else { return "" };
    letters.copy_from_slice(word.as_bytes());
    letters.make_ascii_uppercase();
    std::str::from_utf8(letters).unwrap_or_default()
}

/// Whether a parameter of this extension is taken. What was not announced is refused, for good once it is known what the next hops have.
pub(super) fn may(extension: Extension, offer: &Offer) -> Result<(), SyntaxError> {
    match (offer.understood.has(extension), offer.known) {
        (true, _) => Ok(()),
        (false, true) => Err(SyntaxError::Parameter),
        (false, false) => Err(SyntaxError::NotJudged),
    }
}

/// Takes a value that may be given once.
pub(super) fn once<T>(place: &mut Option<T>, value: T) -> Result<(), SyntaxError> {
    if place.replace(value).is_some() { Err(SyntaxError::Arguments) } else { Ok(()) }
}
