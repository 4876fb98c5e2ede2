//! A handshake that failed: why, and what to do about it.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// Of whom this was the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    Client,
    Server,
}

/// What a server's certificate does not prove, with the pin of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unproven {
    pub pinned: bool,
    pub pin: String,
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unproven { pinned, pin } = self;
        if *pinned {
            write!(f, "its key is not the one in `pin`; if it has a new one, write `pin: {pin}`")
        } else {
            write!(f, "nobody who is trusted vouches for its certificate; name who does with `ca`, or its key with `pin: {pin}`")
        }
    }
}

impl std::error::Error for Unproven {}

/// Why, and what to do: "it speaks no TLS 1.2 or newer; update it, or …".
#[must_use]
pub fn explain(error: &io::Error, with: With) -> String {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => "it closed the connection in the middle of the handshake; look into its log".to_owned(),
            _ => format!("the connection broke: {error}"),
        };
    };
    match (error, with) {
        (Error::InvalidCertificate(reason), _) => certificate(reason),
        (Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon), With::Client) => {
            "it knows none of the ciphers that are allowed here; add one to `ciphers`, or a certificate with a key of another kind"
                .to_owned()
        }
        (Error::PeerIncompatible(reason), With::Client) if is_version(reason) => {
            "it speaks no version of TLS that is allowed here; have it updated, or lower `minimum`".to_owned()
        }
        (Error::PeerIncompatible(reason), With::Server) if is_version(reason) => OLD_SERVER.to_owned(),
        (Error::AlertReceived(AlertDescription::ProtocolVersion), With::Server) => OLD_SERVER.to_owned(),
        (Error::AlertReceived(AlertDescription::HandshakeFailure), With::Server) => {
            "it knows no cipher or certificate that both sides have; look into its log".to_owned()
        }
        (Error::AlertReceived(alert), With::Client) if is_distrust(*alert) => {
            format!(
                "it does not believe our certificate ({alert:?}); see that `certificate` has all intermediate ones and the name it connects to"
            )
        }
        (Error::AlertReceived(alert), _) => format!("it ended the handshake ({alert:?}); look into its log"),
        (Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion), With::Client) => {
            "what it says is not TLS; see which port it should use, and in which `mode`".to_owned()
        }
        (Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion), With::Server) => {
            "what it says is not TLS; see whether this port wants `mode: implicit`, or does not".to_owned()
        }
        (error, _) => format!("{error}; look into its log"),
    }
}

const OLD_SERVER: &str = "it speaks no TLS 1.2 or newer; have it updated, or allow clear text to it with `mode: if_available` or `never`";

fn is_version(reason: &PeerIncompatible) -> bool {
    matches!(
        reason,
        PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            // Clients of the versions before 1.2 have none.
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
    )
}

fn is_distrust(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
    )
}

fn certificate(reason: &CertificateError) -> String {
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; have it renewed, and look at the clock here".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; look at the clock here and there".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            // They come as `DnsName("mx.example.org")`.
            let names: Vec<&str> = presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name)).collect();
            let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
            format!("its certificate is for {names}, not for {}; if that is the right server, say so with `name`", expected.to_str())
        }
        CertificateError::NotValidForName => {
            "its certificate is for another name; if that is the right server, say so with `name`".to_owned()
        }
        CertificateError::Other(other) => other.to_string(),
        other => format!("its certificate proves nothing: {other}"),
    }
}
