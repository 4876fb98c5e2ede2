//! The address of the client that a Received field names (RFC 5321 4.4, and how servers write it).
//!
//! | written by         | the `from` clause                                           | taken                       |
//! |--------------------|-------------------------------------------------------------|-----------------------------|
//! | Postfix, Sendmail  | `from HELO (name [192.0.2.1])`                              | in brackets, in a comment   |
//! | Exim               | `from name ([192.0.2.1] helo=HELO)`, `from [192.0.2.1] (helo=HELO)` | the same; else outside |
//! | qmail              | `from unknown (HELO name) (192.0.2.1)`                      | bare, in a comment          |
//! | Exchange           | `from name (192.0.2.1) by …`                                | bare, in a comment          |
//!
//! What the client said of itself is not taken while the server says more: not the HELO before the comment, nor one marked as such in it.

use std::net::IpAddr;

/// The client's address. None: the field does not name it.
pub(super) fn client(value: &str) -> Option<IpAddr> {
    let words = words(value);
    let find = |commented: bool, bracketed: bool| {
        words.iter().find(|word| word.commented == commented && word.bracketed == bracketed).map(|word| word.address)
    };
    find(true, true).or_else(|| find(true, false)).or_else(|| find(false, true)).or_else(|| find(false, false))
}

/// An address in the `from` clause.
struct Word {
    address: IpAddr,
    commented: bool,
    bracketed: bool,
}

/// The addresses between `from` and the first word that begins the next clause.
fn words(value: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let Some(clause) = value.trim_start().get(..5).filter(|start| start.eq_ignore_ascii_case("from ")) else { return words };
    let mut depth = 0_usize;
    let (mut said, mut begun) = (false, false);
    let separate = |letter: char| letter.is_whitespace() || matches!(letter, '(' | ')' | ',' | ';');
    for piece in value.trim_start()[clause.len()..].split_inclusive(separate) {
        let word = piece.trim_end_matches(separate);
        // What the client calls itself comes first, whatever it is.
        if begun && depth == 0 && ["by", "via", "with", "id", "for"].iter().any(|next| word.eq_ignore_ascii_case(next)) {
            break;
        }
        let claim = said || word.get(..5).is_some_and(|start| ["helo=", "ehlo="].iter().any(|mark| start.eq_ignore_ascii_case(mark)));
        if !word.is_empty() {
            begun = true;
            if let Some((address, bracketed)) = address(word).filter(|_| !claim) {
                words.push(Word { address, commented: depth > 0, bracketed });
            }
            said = depth > 0 && (word.eq_ignore_ascii_case("HELO") || word.eq_ignore_ascii_case("EHLO"));
        }
        match piece.chars().next_back() {
            Some('(') => depth += 1,
            Some(')') => depth = depth.saturating_sub(1),
            Some(';') if depth == 0 => break,
            _ => {}
        }
    }
    words
}

/// An address, and whether it stands in brackets; `IPv6:` before and a port or a zone behind it do not matter.
fn address(word: &str) -> Option<(IpAddr, bool)> {
    let inner = word.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(inner, _)| inner);
    let text = inner.unwrap_or(word);
    let text = text.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")).map_or(text, |tag| &text[tag.len()..]);
    let text = text.split('%').next().unwrap_or(text);
    text.parse().ok().map(|address| (address, inner.is_some()))
}

#[cfg(test)]
mod tests {
    use super::client;

    #[test]
    fn the_address_that_the_server_saw_is_taken() {
        for (value, expected) in [
            ("from mail.example (host.example [192.0.2.1]) by mx.example with ESMTP id 1; Sat, 21 Nov 2026 10:00:00 +0000", "192.0.2.1"),
            ("from [10.0.0.1] (host.example [192.0.2.1]) by mx.example", "192.0.2.1"),
            ("from [10.0.0.1] (unknown [IPv6:2001:db8::1]) by mx.example", "2001:db8::1"),
            ("from host.example ([192.0.2.1] helo=[10.0.0.1]) by mx.example", "192.0.2.1"),
            ("from [192.0.2.1] (helo=[10.0.0.1]) by mx.example", "192.0.2.1"),
            ("from [192.0.2.1] (port=4711 helo=mail.example) by mx.example", "192.0.2.1"),
            ("from unknown (HELO 10.0.0.1) (192.0.2.1) by mx.example", "192.0.2.1"),
            ("from unknown (HELO [10.0.0.1]) (a@b.example@192.0.2.1) by x", ""),
            ("from EX1.corp.example (192.0.2.1) by EX2.corp.example (10.0.0.2) with Microsoft SMTP Server", "192.0.2.1"),
            ("from EX1 (fe80::1%12) by EX2", "fe80::1"),
            ("from mail.example (10.0.0.1 [192.0.2.1]) by mx.example", "192.0.2.1"),
            ("from mail.example (host (odd) [192.0.2.1]:4711) by mx.example", "192.0.2.1"),
            ("FROM 192.0.2.1 BY x", "192.0.2.1"),
            ("from by (host.example [192.0.2.1]) by mx.example", "192.0.2.1"),
            ("from ID ([192.0.2.1])\tby mx.example", "192.0.2.1"),
            ("from for ([192.0.2.1]) by mx.example ([10.0.0.1])", "192.0.2.1"),
        ] {
            let found = client(value).map(|address| address.to_string()).unwrap_or_default();
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn other_clauses_and_other_fields_name_no_client() {
        for value in ["by mx.example ([10.0.0.1]) with SMTP", "from mail.example by mx.example ([10.0.0.1])", "[10.0.0.1]", "", "fröm"] {
            assert_eq!(client(value), None, "{value}");
        }
    }
}
