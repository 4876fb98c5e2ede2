//! SCRAM (RFC 5802, 7677): both sides show that they know the password, and neither sends it.
//!
//! ```text
//! client-first   n,,n=user,r=NONCE              gs2 header (binding, identity), then name and nonce
//! server-first   r=NONCE+MORE,s=SALT,i=4096
//! client-final   c=BINDING,r=NONCE+MORE,p=PROOF
//! server-final   v=SIGNATURE
//! ```

mod client;
mod keys;
mod server;

pub use client::{Client, ClientError};
pub use keys::{ITERATIONS, Keys, KeysError, LEAST_ITERATIONS};
pub use server::{Final, First};

use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// Random bytes of a nonce: 24 letters of base64.
const NONCE: usize = 18;

/// The digest a mechanism is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => &digest::SHA256,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }

    fn hmac(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), text).as_ref().to_vec()
    }

    /// `Hi` of RFC 5802 2.2. It takes as long as there are iterations.
    fn salted(self, password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Zeroizing<Vec<u8>> {
        let (algorithm, length) = match self {
            Hash::Sha1 => (pbkdf2::PBKDF2_HMAC_SHA1, 20),
            Hash::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, 32),
        };
        let mut out = Zeroizing::new(vec![0; length]);
        pbkdf2::derive(algorithm, iterations, salt, password, &mut out);
        out
    }
}

fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

/// The value of an attribute that has to come next.
fn attribute<'m>(parts: &mut impl Iterator<Item = &'m str>, name: &str) -> Option<&'m str> {
    parts.next()?.strip_prefix(name)?.strip_prefix('=')
}

/// Letters of a nonce (RFC 5802 7, `printable`).
fn is_nonce(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// A name on the wire: `=` is `=3D`, `,` is `=2C` (RFC 5802 5.1).
fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// The name it stands for; none where a `=` stands for nothing.
fn unescaped(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.try_fold(first, |name, part| {
        let (letter, rest) = part.strip_prefix("3D").map(|rest| ('=', rest)).or_else(|| part.strip_prefix("2C").map(|rest| (',', rest)))?;
        Some(name + letter.encode_utf8(&mut [0; 4]) + rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_commas_and_equal_signs_come_through() {
        for name in ["user", "a,b", "a=b", "=2C", ",=,=", "ünï"] {
            assert_eq!(unescaped(&escaped(name)).as_deref(), Some(name));
        }
        assert_eq!(unescaped("a=b"), None);
        assert_eq!(unescaped("a="), None);
    }
}
