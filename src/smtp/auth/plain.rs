//! PLAIN (RFC 4616): identity, name and password in one message, NUL between them.

use zeroize::Zeroizing;

use super::check::{Claim, Proof};
use super::prepare;
use crate::base::secret::Secret;

/// What a client says. None for what is no such message, or can be no name or password.
#[must_use]
pub fn read(message: &[u8]) -> Option<Claim> {
    let mut parts = message.split(|byte| *byte == 0).map(std::str::from_utf8);
    let (identity, user, password) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    if parts.next().is_some() {
        return None;
    }
    let identity = if identity.is_empty() { None } else { Some(prepare::name(identity)?) };
    Some(Claim { user: prepare::name(user)?, identity, proof: Proof::Password(prepare::password(password)?) })
}

/// What we say.
#[must_use]
pub fn write(user: &str, password: &Secret) -> Zeroizing<Vec<u8>> {
    let mut message = Zeroizing::new(Vec::with_capacity(2 + user.len() + password.bytes().len()));
    message.push(0);
    message.extend_from_slice(user.as_bytes());
    message.push(0);
    message.extend_from_slice(password.bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(identity: Option<&str>) -> Claim {
        Claim { user: "tim".into(), identity: identity.map(Into::into), proof: Proof::Password(Secret::new("tanstaaftanstaaf")) }
    }

    /// RFC 4616 4.
    #[test]
    fn the_examples_of_the_rfc() {
        assert_eq!(read(b"\0tim\0tanstaaftanstaaf"), Some(claim(None)));
        assert_eq!(read(b"Ursel\0tim\0tanstaaftanstaaf"), Some(claim(Some("Ursel"))));
        assert_eq!(write("tim", &Secret::new("tanstaaftanstaaf")).as_slice(), b"\0tim\0tanstaaftanstaaf");
    }

    #[test]
    fn what_is_no_such_message_is_none() {
        for wrong in
            [&b""[..], b"\0", b"\0tim", b"\0tim\0", b"\0\0x", b"a\0b\0c\0", b"a\0b\0c\0d", b"\0t\xff\0x", b"\0tim\0a\nb", b"a\nb\0tim\0x"]
        {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
