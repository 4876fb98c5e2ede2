//! MAIL: the sender and what it declares.

use super::parameter::{after, bracketed};
use super::{Command, SyntaxError};
use crate::smtp::envelope::{Body, Declared};
use crate::smtp::extension::Offer;
use crate::smtp::path::{Path, PathError};

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
    let mut declared = Declared::default();
    for parameter in parameters.split([' ', '\t']).filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').map_or((parameter, None), |(key, value)| (key, Some(value)));
        match (key.to_ascii_uppercase().as_str(), value) {
            ("SIZE", value) if declared.size.is_none() => declared.size = Some(size(value)?),
            ("BODY", Some(value)) if declared.body.is_none() => declared.body = Some(body(value)?),
            ("SMTPUTF8", None) if !declared.smtputf8 => match offer.smtputf8 {
                Some(true) => declared.smtputf8 = true,
                Some(false) => return Err(SyntaxError::Parameter),
                None => return Err(SyntaxError::NotJudged),
            },
            ("SIZE" | "BODY" | "SMTPUTF8", _) => return Err(SyntaxError::Arguments),
            _ => return Err(SyntaxError::Parameter),
        }
    }
    Ok(declared)
}

/// RFC 1870 3: up to 20 digits. More than a number holds is more than any limit.
fn size(value: Option<&str>) -> Result<u64, SyntaxError> {
    let digits = value.filter(|value| (1..=20).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit()));
    Ok(digits.ok_or(SyntaxError::Arguments)?.parse().unwrap_or(u64::MAX))
}

fn body(value: &str) -> Result<Body, SyntaxError> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(Body::SevenBit),
        "8BITMIME" => Ok(Body::EightBitMime),
        // RFC 3030 3: BINARYMIME is a parameter value of an extension that is not offered.
        "BINARYMIME" => Err(SyntaxError::Parameter),
        _ => Err(SyntaxError::Arguments),
    }
}
