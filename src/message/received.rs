//! The one `Received` field Transom adds (RFC 5321 4.4), and the token that makes loops visible.

use std::net::IpAddr;

use jiff::Timestamp;

use super::Field;

/// What our `Received` says.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// The argument of EHLO or HELO.
    pub helo: &'a str,
    /// None on a Unix socket.
    pub address: Option<IpAddr>,
    /// Our host name.
    pub by: &'a str,
    /// It said EHLO (RFC 3848).
    pub extended: bool,
    /// It declared SMTPUTF8 (RFC 6531 4.3).
    pub smtputf8: bool,
    pub id: &'a str,
    /// Our instance token; it ends the id.
    pub token: &'a str,
    /// For `for`, if it may be told.
    pub recipient: Option<&'a str>,
    pub time: Timestamp,
}

/// The field.
#[must_use]
pub fn field(stamp: &Stamp<'_>) -> Field {
    let _ = stamp;
    todo!("message helper")
}
