//! What a certificate says (RFC 5280 4.1), as far as it is needed: names, dates and key. Nothing here decides whom to believe.

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use ring::digest::{SHA256, digest};

/// Names of one certificate that are kept.
const MOST_NAMES: usize = 100;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// 2.5.29.17, 2.5.4.3.
const ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// A certificate, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Alternative names (DNS, mail, URI, address), then the common name if it is none of them.
    pub names: Vec<String>,
    /// SHA-256 of the key as the certificate has it (its `SubjectPublicKeyInfo`, as in RFC 7469).
    pub pin: [u8; 32],
}

impl Certificate {
    /// Takes it apart; none if it is none.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Certificate> {
        let mut outer = Der(Der(der).take(SEQUENCE)?);
        let mut body = Der(outer.take(SEQUENCE)?);
        // How it is signed, and the signature.
        outer.take(SEQUENCE)?;
        outer.take(BITS)?;
        body.maybe(VERSION);
        body.take(INTEGER)?;
        body.take(SEQUENCE)?;
        body.take(SEQUENCE)?;
        let mut dates = Der(body.take(SEQUENCE)?);
        let (not_before, not_after) = (dates.time()?, dates.time()?);
        let subject = body.take(SEQUENCE)?;
        let key = body.whole(SEQUENCE)?;
        let mut names = body.after(EXTENSIONS).and_then(alternative_names).unwrap_or_default();
        if let Some(name) = common_name(subject).filter(|name| !names.contains(name)) {
            names.push(name);
        }
        Some(Certificate { not_before, not_after, names, pin: digest(&SHA256, key).as_ref().try_into().ok()? })
    }

    /// Its pin as the configuration has it.
    #[must_use]
    pub fn pin_text(&self) -> String {
        self.pin.iter().fold(String::with_capacity(64), |text, byte| text + &format!("{byte:02x}"))
    }
}

/// The names in the extension that has them (RFC 5280 4.2.1.6).
fn alternative_names(extensions: &[u8]) -> Option<Vec<String>> {
    let mut extensions = Der(Der(extensions).take(SEQUENCE)?);
    while let Some(extension) = extensions.take(SEQUENCE) {
        let mut extension = Der(extension);
        if extension.take(OID)? != ALTERNATIVE_NAME {
            continue;
        }
        extension.maybe(BOOLEAN);
        let mut names = Der(Der(extension.take(OCTETS)?).take(SEQUENCE)?);
        let mut found = Vec::new();
        while let Some((tag, _, content)) = names.next().filter(|_| found.len() < MOST_NAMES) {
            found.extend(alternative_name(tag, content));
        }
        return Some(found);
    }
    None
}

fn alternative_name(tag: u8, content: &[u8]) -> Option<String> {
    match tag {
        // Mail address, DNS name, URI.
        0x81 | 0x82 | 0x86 => text(content),
        0x87 if content.len() == 4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(content).ok()?).to_string()),
        0x87 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(content).ok()?).to_string()),
        _ => None,
    }
}

/// The last common name: the most specific one stands last.
fn common_name(subject: &[u8]) -> Option<String> {
    let (mut sets, mut found) = (Der(subject), None);
    while let Some(set) = sets.take(SET) {
        let mut attribute = Der(Der(set).take(SEQUENCE)?);
        if attribute.take(OID)? == COMMON_NAME {
            found = attribute.next().and_then(|(_, _, content)| text(content)).or(found);
        }
    }
    found
}

/// What may stand in a log, a rule and a header.
fn text(content: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(content).ok()?;
    (1..=255).contains(&text.len()).then_some(text).filter(|text| !text.contains(char::is_control)).map(str::to_owned)
}

/// What is left of a value in DER.
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    /// Tag, whole element, content.
    fn next(&mut self) -> Option<(u8, &'d [u8], &'d [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81..=0x83 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
                (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - rest.len()];
        self.0 = rest;
        Some((*tag, whole, content))
    }

    /// The content of the next element, which has this tag.
    fn take(&mut self, tag: u8) -> Option<&'d [u8]> {
        self.next().filter(|(found, ..)| *found == tag).map(|(.., content)| content)
    }

    /// The next element with its tag and length.
    fn whole(&mut self, tag: u8) -> Option<&'d [u8]> {
        self.next().filter(|(found, ..)| *found == tag).map(|(_, whole, _)| whole)
    }

    /// The same, if it is there.
    fn maybe(&mut self, tag: u8) -> Option<&'d [u8]> {
        if self.0.first() == Some(&tag) { self.take(tag) } else { None }
    }

    /// The content of the element with this tag, whatever stands before it.
    fn after(&mut self, tag: u8) -> Option<&'d [u8]> {
        while let Some((found, _, content)) = self.next() {
            if found == tag {
                return Some(content);
            }
        }
        None
    }

    /// RFC 5280 4.1.2.5: always in UTC, always with seconds.
    fn time(&mut self) -> Option<Timestamp> {
        let (tag, _, content) = self.next()?;
        let digits = std::str::from_utf8(content).ok()?.strip_suffix('Z').filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
        let (year, rest) = match (tag, digits.len()) {
            (UTC_TIME, 12) => {
                let year: i16 = digits[..2].parse().ok()?;
                (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
            }
            (GENERALIZED_TIME, 14) => (digits[..4].parse().ok()?, &digits[4..]),
            _ => return None,
        };
        let two = |at: usize| rest[at..at + 2].parse::<i8>().ok();
        let time = DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0).ok()?;
        TimeZone::UTC.to_timestamp(time).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData, SanType, date_time_ymd};

    fn der(change: impl FnOnce(&mut CertificateParams)) -> (Vec<u8>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["mx.example.org".to_owned(), "192.0.2.1".to_owned()]).unwrap();
        change(&mut params);
        (params.self_signed(&key).unwrap().der().to_vec(), key)
    }

    #[test]
    fn names_dates_and_key_are_read() {
        let (der, key) = der(|params| {
            params.not_before = date_time_ymd(2020, 2, 3);
            params.not_after = date_time_ymd(2060, 1, 1);
            params.distinguished_name.push(DnType::CommonName, "Bob");
            params.subject_alt_names.push(SanType::Rfc822Name("bob@example.org".try_into().unwrap()));
        });
        let read = Certificate::read(&der).unwrap();
        assert_eq!(read.names, ["mx.example.org", "192.0.2.1", "bob@example.org", "Bob"]);
        assert_eq!(read.not_before.to_string(), "2020-02-03T00:00:00Z");
        assert_eq!(read.not_after.to_string(), "2060-01-01T00:00:00Z");
        assert_eq!(read.pin.as_slice(), digest(&SHA256, &key.subject_public_key_info()).as_ref());
    }

    #[test]
    fn a_name_that_stands_twice_is_one() {
        let (der, _) = der(|params| params.distinguished_name.push(DnType::CommonName, "mx.example.org"));
        assert_eq!(Certificate::read(&der).unwrap().names, ["mx.example.org", "192.0.2.1"]);
    }

    #[test]
    fn what_is_cut_off_anywhere_or_changed_is_no_certificate_and_breaks_nothing() {
        let (der, _) = der(|_| {});
        for end in 0..der.len() {
            assert_eq!(Certificate::read(&der[..end]), None, "{end}");
        }
        for at in 0..der.len() {
            let mut changed = der.clone();
            changed[at] ^= 0xff;
            let _ = Certificate::read(&changed);
        }
    }
}
