//! LOGIN: two prompts, two answers. Nobody wrote it down but in a draft (draft-murchison-sasl-login), and everybody speaks it.

use super::check::{Claim, Proof};
use super::prepare;

/// What a server asks. Clients look at the order, if at anything; these are the texts the oldest of them look for.
pub const ASK_NAME: &[u8] = b"Username:";
pub const ASK_PASSWORD: &[u8] = b"Password:";

/// The two answers. None for what can be no name or password.
#[must_use]
pub fn read(user: &[u8], password: &[u8]) -> Option<Claim> {
    let (user, password) = (std::str::from_utf8(user).ok()?, std::str::from_utf8(password).ok()?);
    Some(Claim { user: prepare::name(user)?, identity: None, proof: Proof::Password(prepare::password(password)?) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    #[test]
    fn two_answers_are_a_claim() {
        let claim = Claim { user: "tim".into(), identity: None, proof: Proof::Password(Secret::new("pass word")) };
        assert_eq!(read(b"tim", b"pass word"), Some(claim));
        for (user, password) in [(&b""[..], &b"x"[..]), (b"tim", b""), (b"\xff", b"x"), (b"tim", b"\xff"), (b"a\0b", b"x")] {
            assert_eq!(read(user, password), None);
        }
    }
}
