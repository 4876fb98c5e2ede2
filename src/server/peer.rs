//! Who is at the other end of a connection, or whom a trusted peer speaks for.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::mail::Client;

/// A client as far as permission and limits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// On a Unix socket.
    Unix,
    /// With its port, 0 if that is not known.
    At(SocketAddr),
    /// A proxy that introduces nobody: a check of its health, or a client of which it says nothing. A stranger, whatever else its address may do.
    Proxy(SocketAddr),
    /// A trusted peer speaks for somebody whose address it does not know: a stranger.
    Unknown,
}

impl Peer {
    #[must_use]
    pub fn new(address: SocketAddr) -> Peer {
        Peer::At(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    #[must_use]
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Peer::At(address) | Peer::Proxy(address) => Some(address.ip()),
            Peer::Unix | Peer::Unknown => None,
        }
    }

    /// A proxy that has said nothing of a client.
    #[must_use]
    pub fn unintroduced(self) -> Peer {
        match self {
            Peer::At(address) => Peer::Proxy(address),
            other => other,
        }
    }

    /// As rules and logs see it, where nobody says more.
    #[must_use]
    pub fn client(self) -> Client {
        let port = match self {
            Peer::At(address) | Peer::Proxy(address) => Some(address.port()).filter(|port| *port != 0),
            Peer::Unix | Peer::Unknown => None,
        };
        Client { address: self.address(), port, local: self == Peer::Unix, ..Client::default() }
    }
}

/// For logs.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.client().fmt(f)
    }
}
