//! AUTH: a mechanism, and perhaps the first thing it has to say (RFC 4954 4).

use super::{Command, SyntaxError};
use crate::base::secret::Secret;

pub(super) fn read(arguments: &str) -> Result<Command, SyntaxError> {
    let mut words = arguments.split(' ').filter(|word| !word.is_empty());
    let mechanism = words.next().ok_or(SyntaxError::Arguments)?;
    let initial = words.next().map(Secret::new);
    if words.next().is_some() {
        return Err(SyntaxError::Arguments);
    }
    Ok(Command::Auth { mechanism: mechanism.to_owned(), initial })
}
