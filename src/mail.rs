//! A mail: where it came from, its envelope and its message. The value that travels through the chain.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use ulid::Ulid;

use crate::message::Message;
use crate::smtp::envelope::Envelope;
use crate::smtp::path::Path;

/// One message on its way, for one class of recipients. A copy shares all bytes.
#[derive(Clone, Debug)]
pub struct Mail {
    pub origin: Arc<Origin>,
    pub envelope: Envelope,
    pub message: Message,
}

/// Where a mail came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The other end of the socket; none on a Unix socket. Permission and limits go by it.
    pub peer: Option<IpAddr>,
    /// Whom rules and logs speak of: the peer, unless a trusted one named another.
    pub client: Client,
    /// Where the client stands.
    pub standing: Standing,
    /// The argument of EHLO, LHLO or HELO; of the client that a trusted peer speaks for, if it says.
    pub helo: Arc<str>,
    /// What the session spoke, for `Received` (RFC 3848).
    pub protocol: Protocol,
    /// What protects the connection of the peer.
    pub tls: Option<Arc<Secured>>,
    /// Who logged in.
    pub user: Option<Arc<str>>,
    /// The name of the listener (its address if it has none).
    pub listener: Arc<str>,
    /// When the transaction began.
    pub time: Timestamp,
    pub session: Ulid,
    /// The id of this message, in logs and in its `Received`.
    pub id: Ulid,
    /// What ends the `id` of each `Received` this instance wrote: no rule takes such a field away (SEMANTICS 19). Empty where there is no instance.
    pub token: Arc<str>,
}

impl Origin {
    /// What was spoken, as `Received` says it (RFC 3848; RFC 6531 4.3 for a transaction with SMTPUTF8).
    #[must_use]
    pub fn with(&self, smtputf8: bool) -> &'static str {
        const WITH: [[&str; 4]; 4] = [
            ["ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA"],
            ["LMTP", "LMTPS", "LMTPA", "LMTPSA"],
            ["UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA"],
            ["UTF8LMTP", "UTF8LMTPS", "UTF8LMTPA", "UTF8LMTPSA"],
        ];
        if self.protocol == Protocol::Smtp {
            return "SMTP";
        }
        let row = usize::from(self.protocol == Protocol::Lmtp) + 2 * usize::from(smtputf8);
        WITH[row][usize::from(self.tls.is_some()) + 2 * usize::from(self.user.is_some())]
    }
}

/// The client as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    pub address: Option<IpAddr>,
    pub name: Option<String>,
    pub port: Option<u16>,
    /// On a Unix socket; or, as a trusted peer says, on its own machine.
    pub local: bool,
    /// The id that the message has at the trusted peer.
    pub ident: Option<Arc<str>>,
}

/// For logs: its address, else what else is known of where it is.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.local) {
            (Some(address), _) => address.fmt(f),
            (None, true) => f.write_str("unix"),
            (None, false) => f.write_str("unknown"),
        }
    }
}

/// What a session speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Since HELO.
    Smtp,
    /// Since EHLO.
    #[default]
    Esmtp,
    Lmtp,
}

/// What TLS found out about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secured {
    /// `TLSv1.3`.
    pub version: &'static str,
    /// `TLS13_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// Names in the client's certificate, if it showed one that was verified: its subject alternative names.
    pub certificate: Vec<String>,
}

/// Where a client stands, from the listener's `origin`, its login or its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Inside,
    Outside,
    /// A rule test says the direction itself, whoever the recipient is.
    Stated(Direction),
}

/// Which way a mail goes, for one recipient. Never from what a sender can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Inbound,
    Outbound,
    /// From inside to inside.
    Internal,
    /// From outside to outside.
    Transit,
}

impl Direction {
    /// All of them.
    pub const ALL: [Direction; 4] = [Direction::Inbound, Direction::Outbound, Direction::Internal, Direction::Transit];

    /// As the rule language spells it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
            Direction::Internal => "internal",
            Direction::Transit => "transit",
        }
    }
}

/// What the operator calls inside (`inside:` in the configuration).
#[derive(Clone, Debug, Default)]
pub struct Inside {
    /// Lower case; with a leading dot: its subdomains.
    pub domains: Vec<String>,
    pub networks: Vec<IpNet>,
}

impl Inside {
    /// Whether a domain is inside. A final dot is ignored.
    #[must_use]
    pub fn has_domain(&self, domain: &str) -> bool {
        let domain = domain.strip_suffix('.').unwrap_or(domain).to_ascii_lowercase();
        self.domains.iter().any(|known| domain_matches(known, &domain))
    }

    /// Which way a mail of a client that stands there goes to a recipient. `<postmaster>` is ours.
    #[must_use]
    pub fn direction(&self, standing: Standing, recipient: &Path) -> Direction {
        let to_us = recipient.domain().map_or_else(|| recipient.is_bare_postmaster(), |domain| self.has_domain(domain));
        match (standing, to_us) {
            (Standing::Stated(direction), _) => direction,
            (Standing::Inside, true) => Direction::Internal,
            (Standing::Inside, false) => Direction::Outbound,
            (Standing::Outside, true) => Direction::Inbound,
            (Standing::Outside, false) => Direction::Transit,
        }
    }

    /// Whether an address is in one of the networks; an IPv4 address mapped into IPv6 counts as itself.
    #[must_use]
    pub fn has_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// `x` is exactly x, `.x` its subdomains. Both in lower case.
#[must_use]
pub fn domain_matches(pattern: &str, domain: &str) -> bool {
    match pattern.strip_prefix('.') {
        Some(parent) => domain.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        None => domain == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_dot_means_the_subdomains_and_only_them() {
        assert!(domain_matches(".example.org", "a.example.org"));
        assert!(!domain_matches(".example.org", "example.org"));
        assert!(!domain_matches(".example.org", "badexample.org"));
        assert!(domain_matches("example.org", "example.org"));
        assert!(!domain_matches("example.org", "a.example.org"));
    }

    #[test]
    fn the_direction_comes_from_where_the_client_stands_and_from_the_recipient() {
        let inside = Inside { domains: vec!["example.org".into()], networks: Vec::new() };
        let going = |standing, to: &str| inside.direction(standing, &Path::parse(to).unwrap());
        assert_eq!(going(Standing::Outside, "a@Example.org."), Direction::Inbound);
        assert_eq!(going(Standing::Outside, "a@example.net"), Direction::Transit);
        assert_eq!(going(Standing::Inside, "a@example.net"), Direction::Outbound);
        assert_eq!(going(Standing::Inside, "postmaster"), Direction::Internal);
        assert_eq!(going(Standing::Stated(Direction::Transit), "a@example.org"), Direction::Transit);
    }

    #[test]
    fn a_final_dot_and_case_do_not_matter() {
        let inside = Inside { domains: vec!["example.org".into()], networks: vec!["10.0.0.0/8".parse().unwrap()] };
        assert!(inside.has_domain("Example.ORG."));
        assert!(inside.has_address("::ffff:10.1.2.3".parse().unwrap()));
    }
}
