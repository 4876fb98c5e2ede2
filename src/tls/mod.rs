//! TLS as both sides use it: certificates from files, who is believed, a stream that speaks it. Knows no SMTP; rustls with ring, and nothing else.
//!
//! | file | what it is |
//! |---|---|
//! | `cipher` | the cipher suites by name, the versions |
//! | `pem` | files → certificates and keys |
//! | `certificate` | what a certificate says: names, dates, key |
//! | `server` | a listener's side, with files that may change |
//! | `client` | our side towards another server: what its certificate has to prove |
//! | `stream` | the bytes on either side |
//! | `failure` | a handshake that failed, in an operator's words |

pub mod certificate;
pub mod cipher;
pub mod client;
pub mod failure;
pub mod pem;
pub mod server;
pub mod stream;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

pub use certificate::Certificate;
pub use pem::Fault;
pub use stream::TlsStream;

/// The only provider of cryptography; which suites it may use is the caller's choice.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What a handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// By its registered name.
    pub cipher: &'static str,
    /// The keying material of RFC 9266, where the version makes it unique.
    pub exporter: Option<[u8; 32]>,
    /// It took up a session again: who the other side is was proved in that one.
    pub resumed: bool,
}

#[cfg(test)]
mod tests;
