//! An address list taken apart without rewriting its members, for `header.sort_addresses`, and its tokens (RFC 5322 3.4).

use std::cmp::Ordering;

use super::value::trim;

/// A member of the list: an address with what is written around it, or a whole group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// As written, trimmed.
    pub text: Vec<u8>,
    /// The bare address in lower case; of a group, its name.
    address: Vec<u8>,
}

impl Member {
    /// By address without case, then by text.
    #[must_use]
    pub fn order(&self, other: &Member) -> Ordering {
        (&self.address, &self.text).cmp(&(&other.address, &other.text))
    }

    #[must_use]
    pub fn same_address(&self, other: &Member) -> bool {
        self.address == other.address
    }
}

/// A piece of the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// One of `, : ; < >`.
    Special(u8),
    Comment(&'a [u8]),
    /// A quoted string, a domain literal, or any other byte.
    Word(&'a [u8]),
}

/// Takes the first token off a value that is not empty; none where a quote, comment or literal stays open or closes unopened.
#[must_use]
pub fn token(value: &[u8]) -> Option<(Token<'_>, &[u8])> {
    let length = match value[0] {
        special @ (b',' | b':' | b';' | b'<' | b'>') => return Some((Token::Special(special), &value[1..])),
        b'"' => enclosed(value, b'"', b'"')?,
        b'[' => enclosed(value, b'[', b']')?,
        b'(' => enclosed(value, b'(', b')')?,
        b')' | b']' => return None,
        _ => 1,
    };
    let (bytes, rest) = value.split_at(length);
    Some((if bytes[0] == b'(' { Token::Comment(bytes) } else { Token::Word(bytes) }, rest))
}

/// The length of what stands from an opening byte to its closing one; only comments nest.
fn enclosed(value: &[u8], open: u8, close: u8) -> Option<usize> {
    let mut depth = 1_usize;
    let mut at = 1;
    while let Some(byte) = value.get(at) {
        match *byte {
            b'\\' => at += 1,
            byte if byte == close => depth -= 1,
            byte if byte == open && open == b'(' => depth += 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// The list as far as it is read.
#[derive(Default)]
struct Walk {
    members: Vec<Member>,
    /// The member at hand, as written.
    text: Vec<u8>,
    /// Its words outside angle brackets.
    outside: Vec<u8>,
    /// Its words inside, once there are any.
    inside: Option<Vec<u8>>,
    in_angle: bool,
    /// The name of the group at hand.
    group: Option<Vec<u8>>,
}

/// The members of an unfolded value; none if it is no address list.
#[must_use]
pub fn members(value: &[u8]) -> Option<Vec<Member>> {
    let mut walk = Walk::default();
    let mut rest = value;
    while !rest.is_empty() {
        let (token, after) = token(rest)?;
        walk.take(token)?;
        rest = after;
    }
    if walk.in_angle || walk.group.is_some() {
        return None;
    }
    walk.end_member()?;
    Some(walk.members)
}

impl Walk {
    fn take(&mut self, token: Token) -> Option<()> {
        match token {
            Token::Comment(bytes) => self.text.extend_from_slice(bytes),
            Token::Word(bytes) => {
                self.text.extend_from_slice(bytes);
                match &mut self.inside {
                    Some(inside) if self.in_angle => inside.extend_from_slice(bytes),
                    Some(_) => {}
                    None => self.outside.extend_from_slice(bytes),
                }
            }
            Token::Special(b'>') if self.in_angle => {
                self.in_angle = false;
                self.text.push(b'>');
            }
            // RFC 5322 4.4: an obsolete route in angle brackets has commas and a colon of its own.
            Token::Special(byte @ (b',' | b':')) if self.in_angle => {
                self.text.push(byte);
                self.inside.get_or_insert_default().push(byte);
            }
            Token::Special(b'<') if self.inside.is_none() => {
                self.inside = Some(Vec::new());
                self.in_angle = true;
                self.text.push(b'<');
            }
            Token::Special(separator) if !self.in_angle => self.separate(separator)?,
            Token::Special(_) => return None,
        }
        Some(())
    }

    fn separate(&mut self, separator: u8) -> Option<()> {
        match separator {
            b',' if self.group.is_none() => return self.end_member(),
            b',' => self.end_in_group()?,
            b':' if self.group.is_none() && self.inside.is_none() => self.group = Some(self.take_address()),
            b';' => {
                self.end_in_group()?;
                let address = self.group.take()?;
                let text = [trim(&std::mem::take(&mut self.text)), b";"].concat();
                self.members.push(Member { text, address });
                return Some(());
            }
            _ => return None,
        }
        self.text.push(separator);
        Some(())
    }

    /// What ends here, inside a group, must be an address or nothing.
    fn end_in_group(&mut self) -> Option<()> {
        let address = self.take_address();
        (address.is_empty() || is_address(&address)).then_some(())
    }

    /// Ends a member. An empty one is dropped (RFC 5322 4.4 allows them between commas).
    fn end_member(&mut self) -> Option<()> {
        let text = trim(&std::mem::take(&mut self.text)).to_vec();
        let address = self.take_address();
        if text.is_empty() {
            return Some(());
        }
        self.members.push(Member { text, address: is_address(&address).then_some(address)? });
        Some(())
    }

    fn take_address(&mut self) -> Vec<u8> {
        let outside = std::mem::take(&mut self.outside);
        trim(&self.inside.take().unwrap_or(outside)).to_ascii_lowercase()
    }
}

/// A local part, an `@`, a domain, and no blanks outside quotes.
fn is_address(address: &[u8]) -> bool {
    let Some(at) = address.iter().rposition(|byte| *byte == b'@') else { return false };
    let (local, domain) = (&address[..at], &address[at + 1..]);
    let quoted = local.len() >= 2 && local[0] == b'"' && local[local.len() - 1] == b'"';
    !local.is_empty() && !domain.is_empty() && !domain.contains(&b' ') && (quoted || !local.contains(&b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(value: &str) -> Option<Vec<(String, String)>> {
        let members = members(value.as_bytes())?;
        Some(
            members
                .into_iter()
                .map(|member| (String::from_utf8(member.text).unwrap(), String::from_utf8(member.address).unwrap()))
                .collect(),
        )
    }

    fn pair(text: &str, address: &str) -> (String, String) {
        (text.to_owned(), address.to_owned())
    }

    #[test]
    fn members_keep_their_text_and_know_their_address() {
        let found =
            parts(r#""Doe, John" <J@Example.org>, b@example.org (Bob, the second) ,, =?utf-8?Q?J=C3=B6rg?= <"a b"@x.example>"#).unwrap();
        assert_eq!(
            found,
            [
                pair(r#""Doe, John" <J@Example.org>"#, "j@example.org"),
                pair("b@example.org (Bob, the second)", "b@example.org"),
                pair(r#"=?utf-8?Q?J=C3=B6rg?= <"a b"@x.example>"#, r#""a b"@x.example"#),
            ]
        );
    }

    #[test]
    fn a_group_is_one_member() {
        let found = parts("z@x.example, Team: a@x.example, B <b@x.example>;, Nobody:;").unwrap();
        assert_eq!(
            found,
            [pair("z@x.example", "z@x.example"), pair("Team: a@x.example, B <b@x.example>;", "team"), pair("Nobody:;", "nobody")]
        );
    }

    #[test]
    fn what_is_no_address_list_is_not_taken_apart() {
        for value in [
            "just words",
            "\"open",
            "a@x.example (open",
            "<a@x.example",
            "a@x.example>",
            "Team: a@x.example",
            "a@",
            "<a@x> <b@x>",
            "a b@x.example",
            "undisclosed",
        ] {
            assert_eq!(parts(value), None, "{value}");
        }
    }

    #[test]
    fn comments_and_quotes_with_escapes_and_literals_are_read() {
        let found = parts(r#"(a (nested\) ) "quote) a@[192.0.2.1], "x\"y, z" <c@x.example(in)>"#).unwrap();
        assert_eq!(
            found,
            [pair(r#"(a (nested\) ) "quote) a@[192.0.2.1]"#, "a@[192.0.2.1]"), pair(r#""x\"y, z" <c@x.example(in)>"#, "c@x.example")]
        );
    }
}
