//! What a server keeps of a password: keys that check it, and from which it cannot be had back but by guessing.
//!
//! As text `SCRAM-SHA-256$ITERATIONS:SALT$STORED:SERVER`, the last three in base64: as `PostgreSQL` writes them (RFC 5803 has much the same).

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use subtle::{Choice, ConstantTimeEq};

use super::super::{decoded, encoded};
use super::Hash;
use crate::base::random;
use crate::base::secret::Secret;

/// How often a new password is hashed: a tenth of a second for who guesses, at each guess.
pub const ITERATIONS: u32 = 100_000;
/// Fewer is refused (RFC 7677 4).
pub const LEAST_ITERATIONS: u32 = 4096;
/// More would keep a core busy for seconds.
pub(super) const MOST_ITERATIONS: u32 = 5_000_000;
const SALT: usize = 16;
const LENGTH: usize = 32;
const PREFIX: &str = "SCRAM-SHA-256$";

/// Keys of SCRAM-SHA-256.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    pub(super) salt: Vec<u8>,
    pub(super) iterations: NonZeroU32,
    stored: [u8; LENGTH],
    server: [u8; LENGTH],
}

/// Why a text is no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("keys of SCRAM-SHA-256 as `transom user add` writes them")]
    Unreadable,
    #[error("between {LEAST_ITERATIONS} and {MOST_ITERATIONS} iterations")]
    Iterations,
}

impl Keys {
    /// Of a prepared password, with a salt of its own. Takes a while.
    #[must_use]
    pub fn new(password: &Secret) -> Keys {
        Keys::of(password, &random::bytes::<SALT>(), ITERATIONS)
    }

    /// The same with a given salt.
    #[must_use]
    pub(crate) fn of(password: &Secret, salt: &[u8], iterations: u32) -> Keys {
        let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        let salted = Hash::Sha256.salted(password.bytes(), salt, iterations);
        let client = Hash::Sha256.hmac(&salted, b"Client Key");
        let (stored, server) = (Hash::Sha256.digest(&client), Hash::Sha256.hmac(&salted, b"Server Key"));
        Keys { salt: salt.to_vec(), iterations, stored: whole(&stored), server: whole(&server) }
    }

    /// Keys of a user that does not exist: the same at each try, and no password fits. `secret` is the server's own and stays the same, else a
    /// salt that changes would tell. They look like those of one of the `others`, which only who has the secret can tell beforehand.
    #[must_use]
    pub fn decoy<'a>(user: &str, secret: &Secret, mut others: impl ExactSizeIterator<Item = &'a Keys>) -> Keys {
        let derived = |what: &str| Hash::Sha256.hmac(secret.bytes(), format!("{what}\0{user}").as_bytes());
        let number = derived("other").iter().take(8).fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        let at = number.checked_rem(others.len() as u64).and_then(|at| usize::try_from(at).ok());
        let (length, iterations) = match at.and_then(|at| others.nth(at)) {
            Some(other) => (other.salt.len(), other.iterations),
            None => (SALT, NonZeroU32::new(ITERATIONS).unwrap_or(NonZeroU32::MIN)),
        };
        Keys {
            salt: (0..).flat_map(|piece: u32| derived(&format!("salt {piece}"))).take(length).collect(),
            iterations,
            stored: whole(&derived("stored")),
            server: whole(&derived("server")),
        }
    }

    /// Whether they are this password's. Takes a while, and the same whether they are.
    #[must_use]
    pub fn is_of(&self, password: &Secret) -> bool {
        let other = Keys::of(password, &self.salt, self.iterations.get());
        self.stored.ct_eq(&other.stored).into()
    }

    #[must_use]
    pub fn iterations(&self) -> u32 {
        self.iterations.get()
    }

    /// The server's signature of an exchange, if the client's proof of it is right (RFC 5802 3).
    pub(super) fn signature(&self, exchange: &[u8], proof: &[u8]) -> Option<Vec<u8>> {
        let client = super::xor(&Hash::Sha256.hmac(&self.stored, exchange), proof);
        let right: Choice = Hash::Sha256.digest(&client).ct_eq(&self.stored) & proof.len().ct_eq(&LENGTH);
        let signature = Hash::Sha256.hmac(&self.server, exchange);
        bool::from(right).then_some(signature)
    }
}

fn whole(bytes: &[u8]) -> [u8; LENGTH] {
    bytes.try_into().expect("SHA-256 has 32 bytes")
}

/// Nothing of the keys.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Keys { salt, iterations, stored, server } = self;
        write!(f, "{PREFIX}{iterations}:{}${}:{}", encoded(salt), encoded(stored), encoded(server))
    }
}

impl FromStr for Keys {
    type Err = KeysError;

    fn from_str(text: &str) -> Result<Keys, KeysError> {
        let parts = || {
            let (head, tail) = text.strip_prefix(PREFIX)?.split_once('$')?;
            let ((iterations, salt), (stored, server)) = (head.split_once(':')?, tail.split_once(':')?);
            let key = |text: &str| decoded(text).and_then(|bytes| <[u8; LENGTH]>::try_from(bytes).ok());
            Some((iterations.parse::<NonZeroU32>().ok()?, decoded(salt).filter(|salt| !salt.is_empty())?, key(stored)?, key(server)?))
        };
        let (iterations, salt, stored, server) = parts().ok_or(KeysError::Unreadable)?;
        if !(LEAST_ITERATIONS..=MOST_ITERATIONS).contains(&iterations.get()) {
            return Err(KeysError::Iterations);
        }
        Ok(Keys { salt, iterations, stored, server })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_of_one_password_only() {
        let keys = Keys::new(&Secret::new("pencil"));
        assert!(keys.is_of(&Secret::new("pencil")) && !keys.is_of(&Secret::new("pencils")));
        assert_eq!(keys.to_string().parse::<Keys>(), Ok(keys.clone()));
        assert_eq!(format!("{keys:?}"), "Keys { iterations: 100000, .. }");
        assert_ne!(Keys::new(&Secret::new("pencil")), keys);
    }

    #[test]
    fn a_decoy_is_the_same_each_time_and_fits_nothing() {
        let decoy = |user: &str, secret: &str| Keys::decoy(user, &Secret::new(secret), [].iter());
        assert_eq!(decoy("a", "s"), decoy("a", "s"));
        assert_ne!(decoy("a", "s").salt, decoy("b", "s").salt);
        assert_ne!(decoy("a", "s").salt, decoy("a", "t").salt);
        assert_eq!(decoy("a", "s").salt.len(), Keys::of(&Secret::new("x"), &random::bytes::<SALT>(), 4096).salt.len());
        assert!(!decoy("a", "s").is_of(&Secret::new("")));
    }

    #[test]
    fn what_is_no_keys_is_told() {
        let good = Keys::of(&Secret::new("x"), b"salt", 4096).to_string();
        for wrong in
            ["", "x", "SCRAM-SHA-1$4096:YQ==$YQ==:YQ==", &good[..good.len() - 4], &good.replace("4096", "many"), &good.replace(':', "")]
        {
            assert_eq!(wrong.parse::<Keys>(), Err(KeysError::Unreadable), "{wrong}");
        }
        for iterations in ["1", "4095", "5000001"] {
            assert_eq!(good.replace("4096", iterations).parse::<Keys>(), Err(KeysError::Iterations));
        }
    }
}
