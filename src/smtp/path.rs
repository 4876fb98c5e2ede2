//! Mailboxes and reverse-paths (RFC 5321 4.1.2).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes of a local part. RFC 5321 4.5.3.1.1 says 64, but asks for no limit where possible, and bounce addresses (VERP, SRS) are longer in practice.
const LONGEST_LOCAL: usize = 255;
/// RFC 5321 4.5.3.1.2.
const LONGEST_DOMAIN: usize = 255;
/// What still fits a command line of 512 bytes beside `RCPT TO:` and its parameters.
const LONGEST: usize = 400;

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

    /// Reads an address without its angle brackets. The empty text is the null path; `postmaster` alone is accepted. Letters beyond ASCII are accepted
    /// (RFC 6531 3.3); whether the transaction may use them is for the session to say.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(address: &str) -> Result<Path, PathError> {
        let address = without_route(address)?;
        if address.is_empty() {
            return Ok(Path::null());
        }
        let local = local_part(address)?;
        let Some(domain) = address[local..].strip_prefix('@') else {
            return match &address[local..] {
                "" if address.eq_ignore_ascii_case("postmaster") => Ok(Path { address: Arc::from(address), at: None }),
                "" => Err(PathError::NoDomain),
                _ => Err(PathError::Syntax),
            };
        };
        if domain.is_empty() {
            return Err(PathError::NoDomain);
        }
        if local > LONGEST_LOCAL || domain.len() > LONGEST_DOMAIN || address.len() > LONGEST {
            return Err(PathError::TooLong);
        }
        if !is_domain(domain) && !is_literal(domain) {
            return Err(PathError::Syntax);
        }
        Ok(Path { address: Arc::from(address), at: Some(local) })
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

    /// `<postmaster>`, the one recipient without a domain (RFC 5321 4.5.1).
    #[must_use]
    pub fn is_bare_postmaster(&self) -> bool {
        self.at.is_none() && !self.is_null()
    }

    /// Whether it can be said without SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.address.is_ascii()
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
        ["<", &self.address, ">"].into_iter().try_for_each(|text| f.write_str(text))
    }
}

/// As its address.
impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.address)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Path, D::Error> {
        let address = String::deserialize(deserializer)?;
        Path::parse(&address).map_err(de::Error::custom)
    }
}

/// `@one,@two:user@example.org` is read as `user@example.org` (RFC 5321 4.1.1.3: the route SHOULD be ignored).
fn without_route(address: &str) -> Result<&str, PathError> {
    if !address.starts_with('@') {
        return Ok(address);
    }
    // The colon of an IPv6 literal in the route does not end it.
    let mut in_literal = false;
    let colon = address.find(|letter| {
        match letter {
            '[' => in_literal = true,
            ']' => in_literal = false,
            _ => {}
        }
        letter == ':' && !in_literal
    });
    let (route, rest) = address.split_at(colon.ok_or(PathError::Syntax)?);
    let hops = route.split(',').all(|hop| hop.strip_prefix('@').is_some_and(|domain| is_domain(domain) || is_literal(domain)));
    if hops && rest.len() > 1 { Ok(&rest[1..]) } else { Err(PathError::Syntax) }
}

/// Length of the local part at the start of `address`.
fn local_part(address: &str) -> Result<usize, PathError> {
    if let Some(quoted) = address.strip_prefix('"') {
        return quoted_string(quoted).map(|length| length + 1);
    }
    let length = address.bytes().position(|byte| byte == b'@').unwrap_or(address.len());
    // Two dots in a row are no Dot-string, but addresses with them exist; what the next hop thinks of them is its answer.
    let local = &address[..length];
    let usual = local.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+'));
    let fits = length > 0 && (usual || local.chars().all(|letter| is_atom_letter(letter) || letter == '.'));
    if fits { Ok(length) } else { Err(PathError::Syntax) }
}

/// Length of a quoted string up to and including its closing quote; the opening one is not in `text`.
fn quoted_string(text: &str) -> Result<usize, PathError> {
    let mut escaped = false;
    for (place, letter) in text.char_indices() {
        match letter {
            _ if letter.is_control() => return Err(PathError::Syntax),
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Ok(place + 1),
            _ => {}
        }
    }
    Err(PathError::Syntax)
}

fn is_atom_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(letter) || is_utf8_letter(letter)
}

fn is_utf8_letter(letter: char) -> bool {
    !letter.is_ascii() && !letter.is_control()
}

/// Names of hosts as they are met: letters, digits, hyphens, underscores; a final dot is left for others to ignore.
fn is_domain(domain: &str) -> bool {
    is_usual_domain(domain.as_bytes()) || has_labels(domain)
}

fn has_labels(domain: &str) -> bool {
    let labels = domain.strip_suffix('.').unwrap_or(domain);
    labels.split('.').all(|label| {
        !label.is_empty()
            && (label.len() <= 63 || label.chars().count() <= 63)
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_' || is_utf8_letter(letter))
    })
}

/// One of letters, digits and single dots, short: most are.
fn is_usual_domain(domain: &[u8]) -> bool {
    let mut before = b'.';
    for byte in domain {
        if !byte.is_ascii_alphanumeric() && (*byte != b'.' || before == b'.') {
            return false;
        }
        before = *byte;
    }
    before != b'.' && domain.len() <= 63
}

/// RFC 5321 4.1.3.
fn is_literal(domain: &str) -> bool {
    let Some(inner) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else { return false };
    match inner.split_once(':') {
        None => inner.parse::<Ipv4Addr>().is_ok(),
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6") => address.parse::<Ipv6Addr>().is_ok(),
        Some((tag, content)) => {
            let standardized = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
            !tag.is_empty()
                && tag.chars().all(standardized)
                && !tag.ends_with('-')
                && !content.is_empty()
                && content.bytes().all(|byte| matches!(byte, 33..=90 | 94..=126))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_kept_as_written() {
        for address in [
            "a@example.org",
            "A.b+c@Example.ORG.",
            "\"a b\"@example.org",
            "\"a\\\"@b\"@example.org",
            "a@[192.0.2.1]",
            "a@[IPv6:2001:db8::1]",
            "a@[x-tag:content]",
            "a..b@example.org",
            "o'brien@my_host.example",
            "grün@exämple.org",
        ] {
            let path = Path::parse(address).unwrap();
            assert_eq!(path.address(), address);
            assert_eq!(format!("{}@{}", path.local(), path.domain().unwrap()), address);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for address in [
            "a b@example.org",
            "a@b@example.org",
            "a@exa mple.org",
            "a@-example.org",
            "a@example..org",
            "a@.",
            "@example.org",
            "\"a@example.org",
            "\"a\"b@example.org",
            "a@[300.1.1.1]",
            "a@[IPv6:zz]",
            "a@[IPv6:::1",
            "a@<b>",
            "a\r\nb@example.org",
            "\"a\0b\"@example.org",
        ] {
            assert_eq!(Path::parse(address), Err(PathError::Syntax), "{address}");
        }
        assert_eq!(Path::parse("user"), Err(PathError::NoDomain));
        assert_eq!(Path::parse("user@"), Err(PathError::NoDomain));
        assert_eq!(Path::parse(&format!("{}@example.org", "a".repeat(256))), Err(PathError::TooLong));
        assert_eq!(Path::parse(&format!("a@{}", "a.".repeat(128))), Err(PathError::TooLong));
    }

    #[test]
    fn what_is_usual_is_right_by_the_whole_rule_too() {
        for domain in ["example.org", "a", "A1.b2", &"a".repeat(63)] {
            assert!(is_usual_domain(domain.as_bytes()) && has_labels(domain), "{domain}");
        }
        for other in ["", ".", "a.", ".a", "a..b", "a-b.example", "a_b", "ä.example", &"a".repeat(64)] {
            assert!(!is_usual_domain(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_source_route_is_stripped() {
        assert_eq!(Path::parse("@one.example,@[IPv6:::1]:user@example.org").unwrap().address(), "user@example.org");
        assert_eq!(Path::parse("@one.example:"), Err(PathError::Syntax));
        assert_eq!(Path::parse("@one.example:@two.example:user@example.org"), Err(PathError::Syntax));
    }

    #[test]
    fn postmaster_needs_no_domain() {
        let path = Path::parse("PostMaster").unwrap();
        assert!(path.is_bare_postmaster() && path.domain().is_none() && path.local() == "PostMaster");
        assert!(Path::parse("").unwrap().is_null());
        assert!(!Path::null().is_bare_postmaster());
    }

    #[test]
    fn the_same_mailbox_differs_only_in_the_case_of_its_domain() {
        let path = |text| Path::parse(text).unwrap();
        assert!(path("a@Example.org").same_mailbox(&path("a@example.ORG")));
        assert!(!path("A@example.org").same_mailbox(&path("a@example.org")));
        assert!(!path("postmaster").same_mailbox(&path("postmaster@example.org")));
    }
}
