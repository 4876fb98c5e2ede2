//! MAIL: the sender and what it declares.

use std::sync::Arc;

use super::parameter::{after, bracketed, each, may, once};
use super::{Command, SyntaxError};
use crate::smtp::envelope::{Body, Declared, Rest, Ret};
use crate::smtp::extension::{Extension, Offer, Submitter};
use crate::smtp::path::{Path, PathError};
use crate::smtp::xtext;

/// RFC 3461 4.4.
const LONGEST_ENVID: usize = 100;
/// RFC 4954 5: what MAIL may become longer by.
const LONGEST_AUTH: usize = 500;
const NOBODY: &str = "<>";

pub(super) fn read(arguments: &str, offer: &Offer) -> Result<Command, SyntaxError> {
    let rest = after(arguments, "FROM:").ok_or(SyntaxError::Arguments)?;
    let (path, parameters) = bracketed(rest).ok_or(SyntaxError::Sender)?;
    let declared = declared(parameters, offer)?;
    let sender = Path::parse(path).map_err(|_: PathError| SyntaxError::Sender)?;
    if sender.is_bare_postmaster() {
        return Err(SyntaxError::Sender);
    }
    if !sender.is_ascii() && !declared.smtputf8 {
        return Err(SyntaxError::NeedsSmtpUtf8);
    }
    Ok(Command::Mail { sender, declared })
}

fn declared(parameters: &str, offer: &Offer) -> Result<Declared, SyntaxError> {
    let (mut declared, mut rest) = (Declared::default(), Rest::default());
    let takes_auth = offer.submitter != Submitter::Refused;
    each(parameters, |key, value| match (key, value) {
        ("SIZE", value) => once(&mut declared.size, size(value)?),
        ("BODY", Some(value)) => once(&mut declared.body, body(value, offer)?),
        ("SMTPUTF8", None) => set(&mut declared.smtputf8, Extension::SmtpUtf8, offer),
        ("REQUIRETLS", None) => set(&mut declared.require_tls, Extension::RequireTls, offer),
        ("RET", Some(value)) => may(Extension::Dsn, offer).and_then(|()| once(&mut rest.ret, ret(value)?)),
        ("ENVID", Some(value)) => may(Extension::Dsn, offer).and_then(|()| once(&mut rest.envid, envid(value)?)),
        ("AUTH", Some(value)) if takes_auth => once(&mut rest.auth, auth(value, offer.submitter)?),
        ("BODY", None) => Err(SyntaxError::Arguments),
        ("SMTPUTF8", _) => may(Extension::SmtpUtf8, offer).and(Err(SyntaxError::Arguments)),
        ("REQUIRETLS", _) => may(Extension::RequireTls, offer).and(Err(SyntaxError::Arguments)),
        ("RET" | "ENVID", _) => may(Extension::Dsn, offer).and(Err(SyntaxError::Arguments)),
        ("AUTH", None) if takes_auth => Err(SyntaxError::Arguments),
        _ => Err(SyntaxError::Parameter),
    })?;
    declared.rest = (rest != Rest::default()).then(|| Arc::new(rest));
    Ok(declared)
}

fn set(flag: &mut bool, extension: Extension, offer: &Offer) -> Result<(), SyntaxError> {
    may(extension, offer)?;
    if std::mem::replace(flag, true) { Err(SyntaxError::Arguments) } else { Ok(()) }
}

/// RFC 1870 3: up to 20 digits. More than a number holds is more than any limit.
fn size(value: Option<&str>) -> Result<u64, SyntaxError> {
    let digits = value.filter(|value| (1..=20).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit()));
    Ok(digits.ok_or(SyntaxError::Arguments)?.parse().unwrap_or(u64::MAX))
}

fn body(value: &str, offer: &Offer) -> Result<Body, SyntaxError> {
    let is = |word: &str| value.eq_ignore_ascii_case(word);
    match () {
        () if is("7BIT") => Ok(Body::SevenBit),
        () if is("8BITMIME") => Ok(Body::EightBitMime),
        () if is("BINARYMIME") => may(Extension::BinaryMime, offer).map(|()| Body::BinaryMime),
        () => Err(SyntaxError::Arguments),
    }
}

fn ret(value: &str) -> Result<Ret, SyntaxError> {
    match () {
        () if value.eq_ignore_ascii_case("FULL") => Ok(Ret::Full),
        () if value.eq_ignore_ascii_case("HDRS") => Ok(Ret::Headers),
        () => Err(SyntaxError::Arguments),
    }
}

/// RFC 3461 4.4: it stands for printable ASCII.
fn envid(value: &str) -> Result<Arc<str>, SyntaxError> {
    let printable = |text: String| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let fits = (1..=LONGEST_ENVID).contains(&value.len()) && xtext::is_strict(value) && xtext::decode(value).is_some_and(printable);
    if fits { Ok(value.into()) } else { Err(SyntaxError::Arguments) }
}

/// RFC 4954 5: an address in xtext, or `<>`.
fn auth(value: &str, submitter: Submitter) -> Result<Arc<str>, SyntaxError> {
    let fits = value == NOBODY || ((1..=LONGEST_AUTH).contains(&value.len()) && xtext::is_strict(value));
    let passed = if submitter == Submitter::Passed { value } else { NOBODY };
    if fits { Ok(passed.into()) } else { Err(SyntaxError::Arguments) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::offer;
    use super::*;
    use crate::smtp::extension::Extensions;

    fn mail(parameters: &str, offer: &Offer) -> Result<Declared, SyntaxError> {
        match Command::parse(format!("MAIL FROM:<a@example.org> {parameters}\r\n").as_bytes(), offer)? {
            Command::Mail { declared, .. } => Ok(declared),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_declared_is_read_in_any_case() {
        let read = mail("ret=hdrs ENVID=QQ+2B1 AUTH=a+3Db@example.org REQUIRETLS BODY=BinaryMime smtputf8 SIZE=3", &offer()).unwrap();
        let rest = Rest { ret: Some(Ret::Headers), envid: Some("QQ+2B1".into()), auth: Some("a+3Db@example.org".into()) };
        let declared =
            Declared { size: Some(3), body: Some(Body::BinaryMime), smtputf8: true, require_tls: true, rest: Some(Arc::new(rest)) };
        assert_eq!(read, declared);
        assert_eq!(mail("AUTH=<> RET=FULL", &offer()).unwrap().rest.unwrap().auth.as_deref(), Some("<>"));
        assert_eq!(mail("SIZE=1", &offer()).unwrap().rest, None);
    }

    #[test]
    fn a_submitter_goes_on_only_from_a_client_that_is_trusted_to_know() {
        let hidden = Offer { submitter: Submitter::Hidden, ..offer() };
        assert_eq!(mail("AUTH=b@example.org", &hidden).unwrap().rest.unwrap().auth.as_deref(), Some("<>"));
        assert_eq!(mail("AUTH=b@example.org+", &hidden), Err(SyntaxError::Arguments));
    }

    #[test]
    fn a_parameter_that_is_understood_and_wrong_is_501() {
        let long = |name: &str, length: usize| format!("{name}={}", "x".repeat(length));
        for wrong in [
            "RET",
            "RET=ALL",
            "RET=FULL RET=FULL",
            "ENVID",
            "ENVID=",
            "ENVID=a+b",
            "ENVID=a=b",
            "ENVID=a+2b",
            "ENVID=a+0A",
            "ENVID=a+FF",
            "ENVID=a ENVID=b",
            &long("ENVID", 101),
            "AUTH",
            "AUTH=",
            "AUTH=a+",
            &long("AUTH", 501),
            "SMTPUTF8=yes",
            "SMTPUTF8 SMTPUTF8",
            "REQUIRETLS=1",
            "BODY",
            "BODY=BINARY",
        ] {
            assert_eq!(mail(wrong, &offer()), Err(SyntaxError::Arguments), "{wrong}");
        }
        assert!(mail(&long("ENVID", 100), &offer()).is_ok() && mail(&long("AUTH", 500), &offer()).is_ok());
    }

    #[test]
    fn what_is_not_announced_is_refused_and_what_cannot_be_judged_yet_comes_again() {
        let none = Offer { understood: Extensions::default(), submitter: Submitter::Refused, ..offer() };
        let unknown = Offer { known: false, ..none };
        for parameter in ["SMTPUTF8", "SMTPUTF8=x", "REQUIRETLS", "RET=FULL", "RET", "ENVID=x", "BODY=BINARYMIME"] {
            assert_eq!(mail(parameter, &none), Err(SyntaxError::Parameter), "{parameter}");
            assert_eq!(mail(parameter, &unknown), Err(SyntaxError::NotJudged), "{parameter}");
        }
        for parameter in ["AUTH=<>", "AUTH", "X-WISH=1", "AVERYLONGKEYWORD"] {
            assert_eq!(mail(parameter, &unknown), Err(SyntaxError::Parameter), "{parameter}");
        }
    }
}
