//! The one place that asks for randomness.

use std::cell::RefCell;

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

thread_local! {
    /// Random bytes for identifiers, so that not every message asks the operating system.
    static SUPPLY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A new identifier that sorts by time, to the millisecond.
#[must_use]
pub fn ulid() -> Ulid {
    let milliseconds = u64::try_from(clock::now().as_millisecond()).unwrap_or(0);
    Ulid::from_parts(milliseconds, supplied(size_of::<u128>()))
}

/// A number below this one, each as likely.
///
/// # Panics
/// Nothing is below 0.
#[must_use]
pub fn below(limit: usize) -> usize {
    assert_ne!(limit, 0, "there is a number below it");
    // Of 64 bits more than any limit here needs, so what is left over does not weigh.
    usize::try_from(supplied(size_of::<u64>()) % limit as u128).expect("it is below a usize")
}

/// So many random bytes, as a number.
fn supplied(length: usize) -> u128 {
    SUPPLY.with_borrow_mut(|supply| {
        if supply.len() < length {
            *supply = bytes::<1024>().to_vec();
        }
        let left = supply.len() - length;
        let number = supply[left..].iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
        supply.truncate(left);
        number
    })
}

/// Ten letters of base32, enough that two instances never share them.
#[must_use]
pub fn token() -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    bytes::<10>().iter().map(|byte| char::from(LETTERS[usize::from(byte & 31)])).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_identifiers_are_the_same() {
        let all: HashSet<Ulid> = (0..1000).map(|_| ulid()).collect();
        assert_eq!(all.len(), 1000);
        let random: HashSet<u128> = all.iter().map(Ulid::random).collect();
        assert_eq!(random.len(), 1000);
    }
}
