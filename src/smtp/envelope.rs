//! The envelope: who sends, who receives, and what the client declared about the message.

use super::path::Path;

/// Sender and recipients of one transaction, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub sender: Path,
    pub recipients: Vec<Path>,
    pub declared: Declared,
}

/// Parameters of MAIL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// SIZE, in bytes (RFC 1870).
    pub size: Option<u64>,
    /// BODY (RFC 6152).
    pub body: Option<Body>,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
}

/// The BODY parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    SevenBit,
    EightBitMime,
}
