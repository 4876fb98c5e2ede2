//! Mailboxes and reverse-paths (RFC 5321 4.1.2).

use std::fmt;
use std::sync::Arc;

/// A mailbox as it stands between `<` and `>`, or the null path. The text is kept as received; a source route is gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    address: Arc<str>,
    /// Where the `@` that ends the local part stands; none for `<>` and `<postmaster>`.
    at: Option<usize>,
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("not an address")]
    Syntax,
    #[error("no domain")]
    NoDomain,
    #[error("longer than SMTP allows")]
    TooLong,
}

impl Path {
    /// `<>`.
    #[must_use]
    pub fn null() -> Path {
        Path { address: Arc::from(""), at: None }
    }

    /// Reads an address without its angle brackets. The empty text is the null path; `postmaster` alone is accepted.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(address: &str) -> Result<Path, PathError> {
        let _ = address;
        todo!("smtp helper")
    }

    /// The address without angle brackets; empty for the null path.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The local part as written, quotes included.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.address[..self.at.unwrap_or(self.address.len())]
    }

    /// The domain as written, or the address literal with its brackets.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.at.map(|at| &self.address[at + 1..])
    }

    #[must_use]
    pub fn is_null(&self) -> bool {
        self.address.is_empty()
    }

    /// The same mailbox: local parts equal, domains equal without case (RFC 5321 2.4).
    #[must_use]
    pub fn same_mailbox(&self, other: &Path) -> bool {
        self.local() == other.local()
            && match (self.domain(), other.domain()) {
                (Some(one), Some(two)) => one.eq_ignore_ascii_case(two),
                (one, two) => one == two,
            }
    }
}

/// With angle brackets, as on the wire.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.address)
    }
}
