//! RCPT: one recipient and what its sender wishes to hear of it.

use std::sync::Arc;

use super::SyntaxError;
use super::parameter::{after, bracketed, each, may, once};
use crate::smtp::envelope::{LONGEST_ORCPT, Notify, Recipient, Wishes};
use crate::smtp::extension::{Extension, Offer};
use crate::smtp::path::{Path, PathError};
use crate::smtp::xtext;

const LONGEST_TYPE: usize = 32;

pub(super) fn read(arguments: &str, offer: &Offer) -> Result<Recipient, SyntaxError> {
    let rest = after(arguments, "TO:").ok_or(SyntaxError::Arguments)?;
    let (path, parameters) = bracketed(rest).ok_or(SyntaxError::Recipient)?;
    let path = Path::parse(path).map_err(|_: PathError| SyntaxError::Recipient)?;
    if path.is_null() {
        return Err(SyntaxError::Recipient);
    }
    if parameters.is_empty() {
        return Ok(path.into());
    }
    let mut wishes = Wishes::default();
    each(parameters, |key, value| match (key, value) {
        ("NOTIFY", Some(value)) => may(Extension::Dsn, offer).and_then(|()| once(&mut wishes.notify, notify(value)?)),
        ("ORCPT", Some(value)) => may(Extension::Dsn, offer).and_then(|()| once(&mut wishes.orcpt, orcpt(value)?)),
        ("NOTIFY" | "ORCPT", None) => may(Extension::Dsn, offer).and(Err(SyntaxError::Arguments)),
        _ => Err(SyntaxError::Parameter),
    })?;
    Ok(Recipient::new(path, wishes))
}

/// RFC 3461 4.1: NEVER, or some of the others.
fn notify(value: &str) -> Result<Notify, SyntaxError> {
    let mut notify = Notify::default();
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(notify);
    }
    for word in value.split(',') {
        let wish = match () {
            () if word.eq_ignore_ascii_case("SUCCESS") => &mut notify.success,
            () if word.eq_ignore_ascii_case("FAILURE") => &mut notify.failure,
            () if word.eq_ignore_ascii_case("DELAY") => &mut notify.delay,
            () => return Err(SyntaxError::Arguments),
        };
        *wish = true;
    }
    Ok(notify)
}

/// RFC 3461 4.2: a type and an address in xtext. One of type `utf-8` may have letters beyond ASCII, and `\x{2B}` for others (RFC 6533 3).
fn orcpt(value: &str) -> Result<Arc<str>, SyntaxError> {
    let (kind, address) = value.split_once(';').ok_or(SyntaxError::Arguments)?;
    let is_word = |kind: &str| kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_address = xtext::is_strict(address) || (kind.eq_ignore_ascii_case("utf-8") && is_unitext(address));
    let fits = (1..=LONGEST_TYPE).contains(&kind.len()) && is_word(kind) && !address.is_empty() && value.len() <= LONGEST_ORCPT;
    if fits && is_address { Ok(value.into()) } else { Err(SyntaxError::Arguments) }
}

fn is_unitext(address: &str) -> bool {
    let mut pieces = address.split('\\');
    let plain = |text: &str| text.chars().all(|letter| !letter.is_ascii() || (letter.is_ascii_graphic() && !matches!(letter, '+' | '=')));
    let embedded = |piece: &str| {
        let (digits, rest) = piece.strip_prefix("x{").and_then(|rest| rest.split_once('}')).unwrap_or(("", ""));
        (1..=6).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) && plain(rest)
    };
    plain(pieces.next().unwrap_or_default()) && pieces.all(embedded)
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::tests::offer;
    use super::*;
    use crate::smtp::extension::Extensions;

    fn rcpt(parameters: &str, offer: &Offer) -> Result<Recipient, SyntaxError> {
        match Command::parse(format!("RCPT TO:<b@example.org> {parameters}\r\n").as_bytes(), offer)? {
            Command::Rcpt(recipient) => Ok(recipient),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn wishes_are_read_in_any_case() {
        let wishes = |text: &str| rcpt(text, &offer()).unwrap().wishes().cloned().unwrap();
        let notify = Notify { success: true, delay: true, failure: false };
        assert_eq!(wishes("notify=Success,DELAY"), Wishes { notify: Some(notify), orcpt: None });
        assert_eq!(wishes("NOTIFY=never"), Wishes { notify: Some(Notify::default()), orcpt: None });
        for orcpt in ["rfc822;a+2Bb@example.org", "x-local-1;a", "utf-8;gr\u{fc}n\\x{2B}a@example.org", "UTF-8;a+2B"] {
            assert_eq!(wishes(&format!("ORCPT={orcpt}")).orcpt.as_deref(), Some(orcpt));
        }
        assert_eq!(rcpt("", &offer()).unwrap().wishes(), None);
    }

    #[test]
    fn a_wish_that_cannot_be_read_is_501_and_one_that_is_not_announced_555() {
        let long = format!("ORCPT=rfc822;{}", "x".repeat(494));
        for wrong in [
            "NOTIFY",
            "NOTIFY=",
            "NOTIFY=NEVER,SUCCESS",
            "NOTIFY=SOMETIMES",
            "NOTIFY=NEVER NOTIFY=NEVER",
            "ORCPT",
            "ORCPT=a@example.org",
            "ORCPT=;a",
            "ORCPT=rfc822;",
            "ORCPT=rfc822;a=b",
            "ORCPT=rfc822;a+2b",
            "ORCPT=rf_c;a",
            "ORCPT=rfc822;gr\u{fc}n",
            "ORCPT=utf-8;gr\u{fc}n\\x{}",
            "ORCPT=utf-8;gr\u{fc}n\\y",
            &long,
        ] {
            assert_eq!(rcpt(wrong, &offer()), Err(SyntaxError::Arguments), "{wrong}");
        }
        let none = Offer { understood: Extensions::default(), ..offer() };
        for wish in ["NOTIFY=NEVER", "NOTIFY", "ORCPT=rfc822;a"] {
            assert_eq!(rcpt(wish, &none), Err(SyntaxError::Parameter), "{wish}");
            assert_eq!(rcpt(wish, &Offer { known: false, ..none }), Err(SyntaxError::NotJudged), "{wish}");
        }
        assert_eq!(rcpt("X-WISH=1", &offer()), Err(SyntaxError::Parameter));
    }
}
