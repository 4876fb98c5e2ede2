//! SASL for SMTP (RFC 4422, 4954), without I/O: one file a mechanism, each from both sides.
//!
//! | mechanism          | as server | as client | the password crosses the wire | file    |
//! |--------------------|-----------|-----------|-------------------------------|---------|
//! | PLAIN              | yes       | yes       | yes                           | `plain` |
//! | LOGIN              | yes       | yes       | yes                           | `login` |
//! | SCRAM-SHA-1        |           | yes       |                               | `scram` |
//! | SCRAM-SHA-256      | yes       | yes       |                               | `scram` |
//! | SCRAM-SHA-256-PLUS | yes       | yes       |                               | `scram` |
//!
//! `server` is a client's login here: it asks ([`check::Claim`]) whoever knows the users ([`check::Check`]). `client` is our login at a next hop. Both are machines
//! that take what came and give what is to be said; base64 and replies are the session's.

use std::fmt;

pub mod check;
pub mod client;
pub mod login;
pub mod plain;
pub mod policy;
pub mod prepare;
pub mod scram;
pub mod server;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How a client shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    Plain,
    Login,
    ScramSha1,
    ScramSha256,
    ScramSha256Plus,
}

impl Mechanism {
    /// The best first: what binds the login to the TLS connection, then what keeps the password to itself.
    pub const BEST_FIRST: [Mechanism; 5] =
        [Mechanism::ScramSha256Plus, Mechanism::ScramSha256, Mechanism::ScramSha1, Mechanism::Plain, Mechanism::Login];

    /// Those a listener can offer.
    pub const OF_SERVER: [Mechanism; 4] = [Mechanism::ScramSha256Plus, Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login];

    /// Its registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }

    /// The mechanism of a name, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Mechanism> {
        Mechanism::BEST_FIRST.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// Whether the password itself crosses the wire, so that who listens has it.
    #[must_use]
    pub fn shows_password(self) -> bool {
        matches!(self, Mechanism::Plain | Mechanism::Login)
    }

    /// Whether it proves that both ends see the same TLS connection.
    #[must_use]
    pub fn binds(self) -> bool {
        self == Mechanism::ScramSha256Plus
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What of a TLS connection both ends see and nobody between them could have (RFC 5929, 9266).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bindings {
    /// `tls-exporter`: 32 bytes of exported keying material. Of TLS 1.3 only: before it they prove something only under conditions.
    pub exporter: Option<[u8; 32]>,
    /// `tls-server-end-point`: the digest of the server's certificate, as [`end_point`] makes it.
    pub end_point: Option<Vec<u8>>,
}

/// The label under which TLS exports `tls-exporter`; its context is empty (RFC 9266 2).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

impl Bindings {
    /// The bytes of a kind of binding; none where this connection has no such.
    #[must_use]
    pub fn of_kind(&self, kind: &str) -> Option<&[u8]> {
        match kind {
            "tls-exporter" => self.exporter.as_ref().map(<[u8; 32]>::as_slice),
            "tls-server-end-point" => self.end_point.as_deref(),
            _ => None,
        }
    }

    /// The kind to use as client.
    #[must_use]
    pub fn best(&self) -> Option<&'static str> {
        ["tls-exporter", "tls-server-end-point"].into_iter().find(|kind| self.of_kind(kind).is_some())
    }
}

/// `tls-server-end-point` of a certificate in DER (RFC 5929 4.1): the digest its signature was made with, SHA-256 in the place of MD5 and SHA-1. None for
/// a signature without such a digest (Ed25519), where nothing is defined.
#[must_use]
pub fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    use ring::digest;
    // 1.2.840.113549.1.1.N (RFC 8017) and 1.2.840.10045.4.1 or 4.3.N (RFC 3279, 5758).
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    let algorithm = signature_algorithm(certificate)?;
    let digest = match (algorithm.strip_prefix(RSA), algorithm.strip_prefix(ECDSA)) {
        (Some([4 | 5 | 11]), _) | (_, Some([1] | [3, 2])) => &digest::SHA256,
        (Some([12]), _) | (_, Some([3, 3])) => &digest::SHA384,
        (Some([13]), _) | (_, Some([3, 4])) => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(digest, certificate).as_ref().to_vec())
}

/// The object identifier of a certificate's `signatureAlgorithm` (RFC 5280 4.1): `SEQUENCE { tbs SEQUENCE, SEQUENCE { OID …`.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const OBJECT: u8 = 0x06;
    let (whole, _) = element(certificate, SEQUENCE)?;
    let (_, after_signed) = element(whole, SEQUENCE)?;
    let (algorithm, _) = element(after_signed, SEQUENCE)?;
    element(algorithm, OBJECT).map(|(object, _)| object)
}

/// The content of a DER element with this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = der.strip_prefix(&[tag])?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// What goes over the wire (RFC 4954 4).
#[must_use]
pub fn encoded(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes that a line of the other side stands for; none for what is no base64.
#[must_use]
pub fn decoded(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mechanism_is_known_by_its_name_in_any_case() {
        for mechanism in Mechanism::BEST_FIRST {
            assert_eq!(Mechanism::named(&mechanism.name().to_lowercase()), Some(mechanism));
        }
        assert_eq!(Mechanism::named("CRAM-MD5"), None);
    }

    #[test]
    fn an_end_point_is_the_digest_of_the_certificate() {
        let certificate = rcgen::generate_simple_self_signed(["mx.example.org".to_owned()]).unwrap().cert;
        let expected = ring::digest::digest(&ring::digest::SHA256, certificate.der());
        assert_eq!(end_point(certificate.der()).as_deref(), Some(expected.as_ref()));
    }

    #[test]
    fn a_certificate_signed_without_a_digest_has_no_end_point_nor_has_what_is_no_certificate() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let certificate = rcgen::CertificateParams::new(["mx.example.org".to_owned()]).unwrap().self_signed(&key).unwrap();
        assert_eq!(end_point(certificate.der()), None);
        for wrong in [&b""[..], b"\x30", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x30\x03\x30\x01\x00", b"\x31\x00"] {
            assert_eq!(end_point(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_exporter_goes_before_the_end_point() {
        let both = Bindings { exporter: Some([7; 32]), end_point: Some(vec![1]) };
        assert_eq!(both.best(), Some("tls-exporter"));
        assert_eq!(Bindings { exporter: None, ..both }.best(), Some("tls-server-end-point"));
        assert_eq!(Bindings::default().best(), None);
    }
}
