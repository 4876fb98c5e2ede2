//! What the service manager hands over and what it is told: listening sockets (`sd_listen_fds(3)`), the state of the service (`sd_notify(3)`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::yaml::{FromNode, Node, Problems, Reported};

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
    /// What the service manager has bound and passes under this name (`sd_listen_fds_with_names(3)`).
    Systemd(String),
}

impl Address {
    /// Whether only this machine can reach it. A socket that was passed is asked for its own address once it is there.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Address::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Address::Unix(_) | Address::Systemd(_) => true,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// A next hop: where it listens, and what it speaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    pub place: Place,
    /// LMTP (RFC 2033), not SMTP.
    pub lmtp: bool,
}

/// Where a next hop listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A host name or address, and a port.
    Tcp {
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

impl NextHop {
    /// One that speaks SMTP over TCP.
    #[must_use]
    pub fn tcp(host: impl Into<String>, port: u16) -> NextHop {
        NextHop { place: Place::Tcp { host: host.into(), port }, lmtp: false }
    }

    /// Whether nothing between here and there can be listened to.
    #[must_use]
    pub fn is_on_this_machine(&self) -> bool {
        self.host()
            .is_none_or(|host| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback()))
    }

    /// Its host name or address; none behind a Unix socket.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match &self.place {
            Place::Tcp { host, .. } => Some(host),
            Place::Unix(_) => None,
        }
    }

    /// Whether its address is that listener's. What no file can tell (a name, a listener on all addresses) shows when a server starts and asks the next hop.
    #[must_use]
    pub fn leads_to(&self, listener: &Address) -> bool {
        match (&self.place, listener) {
            (Place::Unix(hop), Address::Unix(path)) => hop == path,
            (Place::Tcp { host, port }, Address::Tcp(address)) => {
                let host = if host.eq_ignore_ascii_case("localhost") { "127.0.0.1" } else { host };
                *port == address.port() && host.parse().is_ok_and(|hop: IpAddr| hop.to_canonical() == address.ip().to_canonical())
            }
            _ => false,
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lmtp {
            f.write_str(LMTP)?;
        }
        match &self.place {
            Place::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Place::Tcp { host, port } => write!(f, "{host}:{port}"),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// The same, a path taken relative to `directory`.
    #[must_use]
    pub fn under(self, directory: &Path) -> Address {
        match self {
            Address::Unix(path) => Address::Unix(directory.join(path)),
            other @ (Address::Tcp(_) | Address::Systemd(_)) => other,
        }
    }
}

impl NextHop {
    /// The same, a path taken relative to `directory`.
    #[must_use]
    pub fn under(self, directory: &Path) -> NextHop {
        let place = match self.place {
            Place::Unix(path) => Place::Unix(directory.join(path)),
            tcp @ Place::Tcp { .. } => tcp,
        };
        NextHop { place, ..self }
    }
}

/// What stands before the address of a next hop that speaks LMTP.
const LMTP: &str = "lmtp:";

fn unix(text: &str) -> Option<PathBuf> {
    text.strip_prefix("unix:").filter(|path| !path.is_empty() && !path.contains('\0')).map(PathBuf::from)
}

/// What may stand in `FileDescriptorName=` (systemd.socket(5)).
fn systemd(text: &str) -> Option<String> {
    let name = text.strip_prefix("systemd:")?;
    let fits = (1..=255).contains(&name.len()) && name.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b':');
    fits.then(|| name.to_owned())
}

impl FromNode for Address {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Address, Reported> {
        let text = node.scalar().unwrap_or_default();
        let passed = || systemd(text).map(Address::Systemd);
        let address = unix(text).map(Address::Unix).or_else(passed).or_else(|| text.parse().ok().map(Address::Tcp));
        address.ok_or_else(|| node.wants(crate::yaml::manual::ADDRESS, problems))
    }
}

impl FromNode for NextHop {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<NextHop, Reported> {
        let text = node.scalar().unwrap_or_default();
        let (place, lmtp) = text.strip_prefix(LMTP).map_or((text, false), |place| (place, true));
        let place = unix(place).map(Place::Unix).or_else(|| host_and_port(place));
        place.map(|place| NextHop { place, lmtp }).ok_or_else(|| {
            node.wants("a next hop such as mx1.example.org:25, \"[::1]:25\", unix:/run/mta.sock or lmtp:unix:/run/dovecot/lmtp", problems)
        })
    }
}

/// A host name or address literal, and a port that is not 0.
fn host_and_port(text: &str) -> Option<Place> {
    let (host, port) = text.rsplit_once(':')?;
    let port = Some(port).filter(|port| !port.starts_with('+'))?.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(literal) => literal.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.to_string(),
        None => Some(host).filter(|host| host.parse::<Ipv4Addr>().is_ok() || is_host_name(host))?.to_owned(),
    };
    Some(Place::Tcp { host, port })
}

/// Labels of letters, digits, `-` and `_` between dots (RFC 1123 2.1; `_` is seen in inner names); a last label of digits alone would be a mistyped address.
#[must_use]
pub fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253
        && name.split('.').all(label)
        && !name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Source, parse};

    fn read<T: FromNode>(text: &str) -> Option<T> {
        let mut problems = Problems::default();
        let node = parse(&Source::new("test.yaml", format!("'{text}'")), &mut problems).unwrap();
        T::from_node(&node, &mut problems).ok()
    }

    #[test]
    fn a_next_hop_is_written_as_it_is_shown() {
        for text in [
            "mx1.example.org:25",
            "127.0.0.1:10026",
            "[::1]:25",
            "unix:/run/mta.sock",
            "relay:2525",
            "localhost:25",
            "lmtp:mx1:24",
            "lmtp:unix:/run/lmtp",
        ] {
            assert_eq!(read::<NextHop>(text).unwrap().to_string(), text);
        }
        for wrong in [
            "mx1.example.org",
            "mx1:0",
            "mx1:65536",
            "::1:25",
            "lmtp:",
            "lmtp:lmtp:mx1:24",
            "lmtp:25",
            "lmtp:unix:",
            "unix:",
            "a b:25",
            "[mx]:25",
            "-a:25",
            "10.0.0.300:25",
            ":25",
            "mx:+25",
        ] {
            assert_eq!(read::<NextHop>(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_listener_is_bound_to_an_address_never_to_a_name() {
        for text in ["0.0.0.0:25", "[::]:25", "unix:transom.sock", "systemd:smtp"] {
            assert_eq!(read::<Address>(text).unwrap().to_string(), text);
        }
        for wrong in ["localhost:25", "25", ":25", "127.0.0.1", "systemd:", "systemd:a:b"] {
            assert_eq!(read::<Address>(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_loopback_and_unix_sockets_are_local() {
        for (text, local) in [
            ("127.0.0.2:25", true),
            ("[::1]:25", true),
            ("[::ffff:127.0.0.1]:25", true),
            ("unix:s", true),
            ("0.0.0.0:25", false),
            ("[::]:25", false),
            ("10.0.0.1:25", false),
        ] {
            assert_eq!(read::<Address>(text).unwrap().is_local(), local, "{text}");
        }
    }

    #[test]
    fn a_next_hop_that_is_the_listener_itself_is_recognised() {
        for (hop, listener, same) in [
            ("127.0.0.1:25", "127.0.0.1:25", true),
            ("127.0.0.1:25", "127.0.0.1:26", false),
            ("localhost:25", "127.0.0.1:25", true),
            ("[::1]:25", "[::1]:25", true),
            ("127.0.0.1:25", "0.0.0.0:25", false),
            ("mx1.example.org:25", "0.0.0.0:25", false),
            ("unix:a", "unix:a", true),
            ("unix:a", "unix:b", false),
            ("lmtp:unix:a", "unix:a", true),
        ] {
            assert_eq!(read::<NextHop>(hop).unwrap().leads_to(&read(listener).unwrap()), same, "{hop} {listener}");
        }
    }
}
