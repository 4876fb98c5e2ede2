//! Who a client is, as one server tells another: the attributes of XCLIENT and XFORWARD, as Postfix documents them (`XCLIENT_README`, `XFORWARD_README`).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use super::xtext;

/// The longest value, decoded.
const LONGEST_VALUE: usize = 255;
const LONGEST_PROTOCOL: usize = 64;
/// The longest command, with its line end (RFC 5321 4.5.3.1.4).
const LONGEST_COMMAND: usize = 512;
const CRLF: &str = "\r\n";
const UNAVAILABLE: &str = "[UNAVAILABLE]";
const UNAVAILABLE_FOR_NOW: &str = "[TEMPUNAVAIL]";

/// What XCLIENT may tell, as EHLO announces it.
pub const XCLIENT: &[&str] = &["NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT"];
/// What XFORWARD may tell.
pub const XFORWARD: &[&str] = &["NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"];

/// One attribute with its value; none where the peer says that it does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// The host name.
    Name(Option<Arc<str>>),
    Address(Option<IpAddr>),
    Port(Option<u16>),
    /// `SMTP`, `ESMTP` and the like.
    Protocol(Option<Arc<str>>),
    Helo(Option<Arc<str>>),
    /// Who logged in.
    Login(Option<Arc<str>>),
    /// Where the client connected to.
    DestinationAddress(Option<IpAddr>),
    DestinationPort(Option<u16>),
    /// The id of the message at the peer.
    Ident(Option<Arc<str>>),
    Source(Option<Source>),
}

/// Where a message came from, seen from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From its own machine, or from a network of its own.
    Local,
    Remote,
}

/// What is known of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub name: Option<Arc<str>>,
    pub address: Option<IpAddr>,
    pub port: Option<u16>,
    pub protocol: Option<Arc<str>>,
    pub helo: Option<Arc<str>>,
    pub login: Option<Arc<str>>,
    pub destination_address: Option<IpAddr>,
    pub destination_port: Option<u16>,
    pub ident: Option<Arc<str>>,
    pub source: Option<Source>,
}

/// The arguments of a command that may tell these: none if there are none or one cannot be read.
#[must_use]
pub fn attributes(arguments: &str, known: &[&str]) -> Option<Vec<Attribute>> {
    let words = arguments.split([' ', '\t']).filter(|word| !word.is_empty());
    let told: Vec<Attribute> = words.map(|word| Attribute::parse(word, known)).collect::<Option<_>>()?;
    Some(told).filter(|told| !told.is_empty())
}

impl Attribute {
    /// `NAME=value`.
    fn parse(word: &str, known: &[&str]) -> Option<Attribute> {
        let (name, value) = word.split_once('=')?;
        let name = known.iter().find(|known| known.eq_ignore_ascii_case(name))?;
        let value = xtext::decode(value).filter(|value| value.len() <= LONGEST_VALUE && !value.contains(char::is_control))?;
        let value = Some(value).filter(|value| ![UNAVAILABLE, UNAVAILABLE_FOR_NOW].iter().any(|none| value.eq_ignore_ascii_case(none)));
        Some(match *name {
            "NAME" => Attribute::Name(checked(value, |name| word_of(name, LONGEST_VALUE))?),
            "ADDR" => Attribute::Address(checked(value, address)?),
            "PORT" => Attribute::Port(checked(value, port)?),
            "PROTO" => Attribute::Protocol(checked(value, |name| word_of(name, LONGEST_PROTOCOL))?),
            "HELO" => Attribute::Helo(checked(value, |name| word_of(name, LONGEST_VALUE))?),
            "LOGIN" => Attribute::Login(checked(value, |name| (!name.is_empty()).then(|| name.into()))?),
            "DESTADDR" => Attribute::DestinationAddress(checked(value, address)?),
            "DESTPORT" => Attribute::DestinationPort(checked(value, port)?),
            "IDENT" => Attribute::Ident(checked(value, |name| word_of(name, LONGEST_VALUE))?),
            "SOURCE" => Attribute::Source(checked(value, source)?),
            _ => return None,
        })
    }

    /// Its name in a command.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Attribute::Name(_) => "NAME",
            Attribute::Address(_) => "ADDR",
            Attribute::Port(_) => "PORT",
            Attribute::Protocol(_) => "PROTO",
            Attribute::Helo(_) => "HELO",
            Attribute::Login(_) => "LOGIN",
            Attribute::DestinationAddress(_) => "DESTADDR",
            Attribute::DestinationPort(_) => "DESTPORT",
            Attribute::Ident(_) => "IDENT",
            Attribute::Source(_) => "SOURCE",
        }
    }

    fn value(&self) -> Option<String> {
        match self {
            Attribute::Address(address) | Attribute::DestinationAddress(address) => address.map(|address| match address.to_canonical() {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("IPV6:{address}"),
            }),
            Attribute::Port(port) | Attribute::DestinationPort(port) => port.map(|port| port.to_string()),
            Attribute::Source(source) => source.map(|source| if source == Source::Local { "LOCAL" } else { "REMOTE" }.to_owned()),
            Attribute::Name(text) | Attribute::Protocol(text) | Attribute::Helo(text) | Attribute::Login(text) | Attribute::Ident(text) => {
                text.as_deref().map(str::to_owned)
            }
        }
    }
}

/// As in a command: `NAME=value`, the value in xtext.
impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value().map(|value| xtext::encode(&value));
        write!(f, "{}={}", self.name(), value.as_deref().unwrap_or(UNAVAILABLE))
    }
}

impl Identity {
    /// What of it a peer takes that announces these attributes, as commands of this verb: what is not known as such, none longer than a command may be.
    #[must_use]
    pub fn commands(&self, verb: &str, announced: &[String]) -> Vec<String> {
        let mut commands: Vec<String> = Vec::new();
        for attribute in self.attributes().iter().filter(|one| announced.iter().any(|known| known == one.name())) {
            let mut word = attribute.to_string();
            if verb.len() + 1 + word.len() + CRLF.len() > LONGEST_COMMAND {
                word = format!("{}={UNAVAILABLE}", attribute.name());
            }
            match commands.last_mut().filter(|last| last.len() + 1 + word.len() + CRLF.len() <= LONGEST_COMMAND) {
                Some(last) => last.extend([" ", &word]),
                None => commands.push(format!("{verb} {word}")),
            }
        }
        for command in &mut commands {
            command.push_str(CRLF);
        }
        commands
    }

    fn attributes(&self) -> [Attribute; 10] {
        let Identity { name, address, port, protocol, helo, login, destination_address, destination_port, ident, source } = self.clone();
        [
            Attribute::Name(name),
            Attribute::Address(address),
            Attribute::Port(port),
            Attribute::Protocol(protocol),
            Attribute::Helo(helo),
            Attribute::Login(login),
            Attribute::DestinationAddress(destination_address),
            Attribute::DestinationPort(destination_port),
            Attribute::Ident(ident),
            Attribute::Source(source),
        ]
    }

    /// The same with what was told now; what was not mentioned stays.
    #[must_use]
    pub fn told(mut self, attributes: Vec<Attribute>) -> Identity {
        for attribute in attributes {
            match attribute {
                Attribute::Name(name) => self.name = name,
                Attribute::Address(address) => self.address = address,
                Attribute::Port(port) => self.port = port,
                Attribute::Protocol(protocol) => self.protocol = protocol,
                Attribute::Helo(helo) => self.helo = helo,
                Attribute::Login(login) => self.login = login,
                Attribute::DestinationAddress(address) => self.destination_address = address,
                Attribute::DestinationPort(port) => self.destination_port = port,
                Attribute::Ident(ident) => self.ident = ident,
                Attribute::Source(source) => self.source = source,
            }
        }
        self
    }
}

/// A value that is known must be readable.
#[expect(clippy::option_option, reason = "unreadable, unknown, known")]
fn checked<T>(value: Option<String>, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    match value {
        Some(value) => read(&value).map(Some),
        None => Some(None),
    }
}

/// What becomes part of a log line or a field: not empty and without blanks.
fn word_of(value: &str, longest: usize) -> Option<Arc<str>> {
    let fits = (1..=longest).contains(&value.len()) && !value.contains(char::is_whitespace);
    fits.then(|| value.into())
}

/// IPv6 is announced by a tag that not every client writes.
fn address(value: &str) -> Option<IpAddr> {
    let tagged = value.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPV6:")).map(|_| &value[5..]);
    let address = tagged.map_or_else(|| value.parse().ok(), |value| value.parse::<Ipv6Addr>().ok().map(IpAddr::from));
    address.map(|address| address.to_canonical())
}

fn port(value: &str) -> Option<u16> {
    value.bytes().all(|digit| digit.is_ascii_digit()).then(|| value.parse().ok()).flatten()
}

fn source(value: &str) -> Option<Source> {
    let known = [("LOCAL", Source::Local), ("REMOTE", Source::Remote)];
    known.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(value)).map(|(_, source)| source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(arguments: &str, known: &[&str]) -> Option<Identity> {
        attributes(arguments, known).map(|told| Identity::default().told(told))
    }

    #[test]
    fn what_is_told_is_read_and_written_alike() {
        for line in [
            "NAME=spike.example ADDR=192.0.2.1 PORT=1234 PROTO=ESMTP HELO=a+2Bb LOGIN=x+20y DESTADDR=IPV6:2001:db8::1 DESTPORT=25",
            "NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] LOGIN=[UNAVAILABLE]",
        ] {
            let written: Vec<_> = attributes(line, XCLIENT).unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(written.join(" "), line);
        }
        let line = "NAME=spike.example IDENT=4FyX SOURCE=LOCAL";
        let written: Vec<_> = attributes(line, XFORWARD).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(written.join(" "), line);
    }

    #[test]
    fn only_what_is_announced_is_told_and_no_command_is_too_long() {
        let announced = |names: &str| names.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let known = Identity { name: Some("a+b".into()), address: Some("2001:db8::1".parse().unwrap()), ..Identity::default() };
        assert_eq!(
            known.commands("XFORWARD", &announced("ADDR NAME IDENT NEW")),
            ["XFORWARD NAME=a+2Bb ADDR=IPV6:2001:db8::1 IDENT=[UNAVAILABLE]\r\n"]
        );
        assert!(known.commands("XFORWARD", &announced("NEW")).is_empty());
        let long = Identity {
            name: Some("n".repeat(255).into()),
            helo: Some("h".repeat(255).into()),
            login: Some("+".repeat(255).into()),
            ..known
        };
        let commands = long.commands("XCLIENT", &announced("NAME HELO ADDR LOGIN"));
        assert_eq!(commands.len(), 2);
        assert!(commands.iter().all(|command| command.len() <= 512 && command.starts_with("XCLIENT ") && command.ends_with("\r\n")));
        assert!(commands[1].ends_with(" LOGIN=[UNAVAILABLE]\r\n"), "{commands:?}");
    }

    #[test]
    fn names_and_words_have_no_case_and_addresses_many_forms() {
        let found = identity("name=[tempunavail] Addr=ipv6:::ffff:192.0.2.1 source=remote", XFORWARD).unwrap();
        assert_eq!((found.name, found.address, found.source), (None, Some("192.0.2.1".parse().unwrap()), Some(Source::Remote)));
        assert_eq!(identity("ADDR=2001:db8::1", XCLIENT).unwrap().address, Some("2001:db8::1".parse().unwrap()));
        assert_eq!(identity("ADDR=[UNAVAILABLE]", XCLIENT), Some(Identity::default()));
    }

    #[test]
    fn what_was_not_mentioned_stays() {
        let first = identity("NAME=a.example ADDR=192.0.2.1", XCLIENT).unwrap();
        let second = first.clone().told(attributes("LOGIN=bob", XCLIENT).unwrap());
        assert_eq!(second, Identity { login: Some("bob".into()), ..first });
    }

    #[test]
    fn each_command_has_its_own_attributes_and_nonsense_is_refused() {
        for (line, known) in [
            ("", XCLIENT),
            (" ", XCLIENT),
            ("NAME", XCLIENT),
            ("NAME=", XCLIENT),
            ("NAME=a+20b", XCLIENT),
            ("NAME=a+0Ab", XCLIENT),
            ("NAME=+zz", XCLIENT),
            ("ADDR=10.0.0.300", XCLIENT),
            ("ADDR=IPV6:10.0.0.1", XCLIENT),
            ("ADDR=mx.example", XCLIENT),
            ("PORT=65536", XCLIENT),
            ("PORT=+1", XCLIENT),
            ("PORT=", XCLIENT),
            ("LOGIN=", XCLIENT),
            ("IDENT=x", XCLIENT),
            ("SOURCE=LOCAL", XCLIENT),
            ("LOGIN=x", XFORWARD),
            ("DESTADDR=192.0.2.1", XFORWARD),
            ("SOURCE=elsewhere", XFORWARD),
            ("COLOUR=red", XFORWARD),
            ("NAME=a ADDR", XFORWARD),
        ] {
            assert_eq!(attributes(line, known), None, "{line}");
        }
        assert_eq!(attributes(&format!("HELO={}", "x".repeat(256)), XCLIENT), None);
        assert_eq!(attributes(&format!("PROTO={}", "x".repeat(65)), XCLIENT), None);
        assert!(attributes(&format!("HELO={}", "x".repeat(255)), XCLIENT).is_some());
    }
}
