//! BDAT: so many bytes of the message follow the line (RFC 3030 2).

use super::{Command, SyntaxError};

/// Reads `SIZE [LAST]`. More than a number holds is more than any limit.
pub(super) fn read(arguments: &str) -> Result<Command, SyntaxError> {
    let mut words = arguments.split([' ', '\t']).filter(|word| !word.is_empty());
    let digits = words.next().filter(|word| word.len() <= 20 && word.bytes().all(|byte| byte.is_ascii_digit()));
    let size = digits.ok_or(SyntaxError::Chunk)?.parse().unwrap_or(u64::MAX);
    let last = match (words.next(), words.next()) {
        (None, _) => false,
        (Some(word), None) if word.eq_ignore_ascii_case("LAST") => true,
        _ => return Err(SyntaxError::Chunk),
    };
    Ok(Command::Bdat { size, last })
}

/// Whether a line that cannot be read was to be a BDAT.
pub(super) fn begins(line: &[u8]) -> bool {
    line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT")) && line.get(4).is_none_or(|byte| !byte.is_ascii_alphanumeric())
}
