//! The one place that asks for randomness.

use ring::rand::{SecureRandom, SystemRandom};
use ulid::Ulid;

use super::clock;

/// `N` random bytes from the operating system.
///
/// # Panics
/// When the operating system has no randomness to give; nothing safe can be done then.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A new identifier that sorts by time, to the millisecond.
#[must_use]
pub fn ulid() -> Ulid {
    let milliseconds = u64::try_from(clock::now().as_millisecond()).unwrap_or(0);
    Ulid::from_parts(milliseconds, u128::from_le_bytes(bytes()))
}

/// Ten letters of base32, enough that two instances never share them.
#[must_use]
pub fn token() -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    bytes::<10>().iter().map(|byte| char::from(LETTERS[usize::from(byte & 31)])).collect()
}
