//! The one `Received` field Transom adds (RFC 5321 4.4), and the token that makes loops visible.

use std::cell::RefCell;
use std::net::IpAddr;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::field::Field;
use crate::base::clock::Second;
use crate::base::text::add_address;

/// Letters of a name that a client, or we, have.
const LONGEST: usize = 255;

/// What the field says.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// The argument of EHLO or HELO.
    pub helo: &'a str,
    /// The name of its address, where it is known.
    pub name: Option<&'a str>,
    /// None on a Unix socket, or where it is not known.
    pub address: Option<IpAddr>,
    /// Our host name.
    pub by: &'a str,
    /// What was spoken (RFC 3848): `ESMTPS`.
    pub with: &'a str,
    /// Version and cipher of TLS.
    pub tls: Option<(&'a str, &'a str)>,
    pub id: &'a str,
    /// Our instance token; it ends the id.
    pub token: &'a str,
    /// For `for`, if it may be told.
    pub recipient: Option<&'a str>,
    pub time: Timestamp,
}

/// The field, folded at its clauses.
#[must_use]
pub fn field(stamp: &Stamp<'_>) -> Field {
    let mut text = String::with_capacity(512);
    text.push_str("Received: from ");
    add_clean(if stamp.helo.is_empty() { "unknown" } else { stamp.helo }, &mut text);
    add_place(stamp.name, stamp.address, &mut text);
    text.push_str("\r\n by ");
    add_clean(stamp.by, &mut text);
    for part in [" with ", stamp.with] {
        text.push_str(part);
    }
    if let Some((version, cipher)) = stamp.tls {
        for part in [" (", version, " ", cipher, ")\r\n"] {
            text.push_str(part);
        }
    }
    for part in [" id ", stamp.id, ".", stamp.token] {
        text.push_str(part);
    }
    if let Some(recipient) = stamp.recipient {
        text.push_str("\r\n for <");
        add_recipient(recipient, &mut text);
        text.push('>');
    }
    text.push_str(";\r\n ");
    LATEST.with_borrow_mut(|latest| text.push_str(latest.text(stamp.time, date)));
    text.push_str("\r\n");
    Field::from_raw(text.into())
}

thread_local! {
    static LATEST: RefCell<Second> = RefCell::default();
}

/// A time as headers say it (RFC 5322 3.3).
#[must_use]
pub fn date(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// What TCP knows of it, as a comment (RFC 5321 4.4, 4.1.3).
fn add_place(name: Option<&str>, address: Option<IpAddr>, out: &mut String) {
    if name.is_none() && address.is_none() {
        return;
    }
    out.push_str(" (");
    if let Some(name) = name {
        add_clean(name, out);
        out.push_str(if address.is_some() { " " } else { "" });
    }
    if let Some(address) = address.map(|address| address.to_canonical()) {
        out.push_str(if address.is_ipv6() { "[IPv6:" } else { "[" });
        add_address(address, out);
        out.push(']');
    }
    out.push(')');
}

/// What a client says cannot end a clause or the field: no blanks, brackets, semicolons or control characters; and it is bounded.
/// Nor is it more than ASCII: the field has to pass where 8 bits do not.
fn add_clean(text: &str, out: &mut String) {
    let harmless =
        |c: char| c.is_ascii() && !c.is_control() && !c.is_whitespace() && !matches!(c, '(' | ')' | '<' | '>' | ';' | '\\' | '"' | ',');
    if text.len() <= LONGEST && text.bytes().all(|byte| harmless(char::from(byte))) {
        out.push_str(text);
        return;
    }
    out.extend(text.chars().map(|c| if harmless(c) { c } else { '?' }).take(LONGEST));
}

fn add_recipient(recipient: &str, out: &mut String) {
    if recipient.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'<' | b'>')) {
        out.push_str(recipient);
        return;
    }
    out.extend(recipient.chars().map(|c| if c.is_control() || matches!(c, '<' | '>') { '?' } else { c }));
}

/// How many of these fields are `Received`, and how many of them have an `id` that ends with the token.
#[must_use]
pub fn hops(fields: &[Field], token: &str) -> (usize, usize) {
    let received = fields.iter().filter(|field| field.is("received"));
    received.fold((0, 0), |(hops, own), field| (hops + 1, own + usize::from(is_own(field, token))))
}

/// Whether a field is a `Received` whose `id` ends with the token.
#[must_use]
pub fn is_own(field: &Field, token: &str) -> bool {
    // Not even looked at more closely unless the token is there.
    if token.is_empty() || !field.is("received") || memchr::memmem::find(field.raw(), token.as_bytes()).is_none() {
        return false;
    }
    let value = field.source();
    // Behind any `id`: the client may have that name.
    let mut before = "";
    value.split([' ', '\t', ';']).filter(|word| !word.is_empty()).any(|word| {
        let is_id = std::mem::replace(&mut before, word).eq_ignore_ascii_case("id");
        is_id && word.strip_suffix(token).is_some_and(|id| id.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Stamp<'static> {
        Stamp {
            helo: "mail.example.net",
            name: None,
            address: Some("192.0.2.1".parse().unwrap()),
            by: "mx.example.org",
            with: "ESMTP",
            tls: None,
            id: "00000000010000000000000002",
            token: "ABCDEFGHIJ",
            recipient: Some("a@example.org"),
            time: Timestamp::from_second(1_700_000_000).unwrap(),
        }
    }

    #[test]
    fn the_field_has_its_clauses_and_is_found_again() {
        let field = field(&example());
        assert_eq!(
            field.raw(),
            "Received: from mail.example.net ([192.0.2.1])\r\n by mx.example.org with ESMTP id 00000000010000000000000002.ABCDEFGHIJ\r\n for <a@example.org>;\r\n Tue, 14 Nov 2023 22:13:20 +0000\r\n"
        );
        assert_eq!(hops(&[field.clone(), field.clone()], "ABCDEFGHIJ"), (2, 2));
        assert_eq!(hops(&[field], "OTHER"), (1, 0));
    }

    #[test]
    fn a_name_stands_before_its_address() {
        let told = |name, address: Option<&str>| {
            let field = field(&Stamp { name, address: address.map(|address| address.parse().unwrap()), ..example() });
            String::from_utf8(field.raw()[..60].to_vec()).unwrap()
        };
        assert!(told(Some("m.example"), Some("192.0.2.1")).starts_with("Received: from mail.example.net (m.example [192.0.2.1])\r\n"));
        assert!(told(Some("m)("), None).starts_with("Received: from mail.example.net (m??)\r\n"));
        assert!(told(None, None).starts_with("Received: from mail.example.net\r\n"));
    }

    #[test]
    fn a_name_that_is_not_ascii_leaves_the_field_ascii() {
        let field = field(&Stamp { helo: "müller.example", name: Some("ü.example"), ..example() });
        assert!(field.raw().starts_with(b"Received: from m?ller.example (?.example [192.0.2.1])\r\n"), "{field:?}");
        assert!(field.raw().is_ascii());
    }

    #[test]
    fn what_protected_it_stands_behind_what_was_spoken() {
        let field = field(&Stamp { with: "ESMTPS", tls: Some(("TLSv1.3", "TLS_AES_256_GCM_SHA384")), ..example() });
        let text = String::from_utf8_lossy(field.raw());
        assert!(text.contains(" with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n id 0000"), "{text}");
        assert_eq!(hops(&[field], "ABCDEFGHIJ"), (1, 1));
    }

    #[test]
    fn a_client_cannot_write_clauses_of_its_own() {
        let evil = Stamp { helo: "x (y) id z.ABCDEFGHIJ;\r\nBcc: v", address: Some("::1".parse().unwrap()), recipient: None, ..example() };
        let field = field(&evil);
        assert!(field.raw().starts_with(b"Received: from x??y??id?z.ABCDEFGHIJ???Bcc:?v ([IPv6:::1])\r\n by mx"));
        assert_eq!(hops(&[field], "ABCDEFGHIJ"), (1, 1));
    }

    #[test]
    fn a_client_of_the_name_id_hides_no_loop() {
        for helo in ["id", "ID"] {
            for name in [None, Some("id")] {
                let field = field(&Stamp { helo, name, ..example() });
                assert_eq!(hops(&[field], "ABCDEFGHIJ"), (1, 1), "{helo} {name:?}");
            }
        }
    }
}
