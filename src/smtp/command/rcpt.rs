//! RCPT: one recipient and what is asked for it.

use super::SyntaxError;
use super::parameter::{after, bracketed};
use crate::smtp::envelope::Recipient;
use crate::smtp::path::{Path, PathError};

pub(super) fn read(arguments: &str) -> Result<Recipient, SyntaxError> {
    let rest = after(arguments, "TO:").ok_or(SyntaxError::Arguments)?;
    let (path, parameters) = bracketed(rest).ok_or(SyntaxError::Recipient)?;
    let path = Path::parse(path).map_err(|_: PathError| SyntaxError::Recipient)?;
    if path.is_null() {
        return Err(SyntaxError::Recipient);
    }
    if !parameters.is_empty() {
        return Err(SyntaxError::Parameter);
    }
    Ok(path.into())
}
