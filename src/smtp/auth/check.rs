//! Who knows the users: a trait, so that an embedder can ask a directory in the place of the users file.

use std::fmt;
use std::sync::Arc;

use super::scram::Keys;
use crate::base::secret::Secret;

/// What a client says of itself, to be checked with [`Claim::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Prepared as in [`super::prepare`].
    pub user: String,
    /// As whom it wants to act, if that is said.
    pub identity: Option<String>,
    pub proof: Proof,
}

/// How it shows that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    Password(Secret),
    /// By a proof that only the user's keys can tell right from wrong.
    Keys,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is right, and the session is this user's.
    User(Arc<str>),
    /// With these the proof can be checked; then the session is this user's, or nobody's where it may not act as whom it named.
    Keys(Keys, Option<Arc<str>>),
    /// No such user, another password, or not allowed to act as whom it named: who asks must not learn which.
    Nobody,
}

/// The users cannot be asked at the moment; a text for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unable(pub String);

/// Knows users and their passwords. It is asked on threads that may wait, a few at a time.
pub trait Check: fmt::Debug + Send + Sync {
    /// Whether this is the user's password. A user that does not exist has to cost as much time as one that does.
    ///
    /// # Errors
    /// The users cannot be asked.
    fn password(&self, user: &str, password: &Secret) -> Result<bool, Unable>;

    /// Whether there are keys for SCRAM; without them only PLAIN and LOGIN are offered.
    fn has_keys(&self) -> bool {
        false
    }

    /// The keys of a user; of one that does not exist [`Keys::decoy`], so that nobody learns which names there are.
    ///
    /// # Errors
    /// The users cannot be asked, or there are no keys.
    fn keys(&self, user: &str) -> Result<Keys, Unable> {
        let _ = user;
        Err(Unable("there are no keys for SCRAM".to_owned()))
    }

    /// Whether a user may act as somebody else (the authorization identity of PLAIN and SCRAM).
    fn may_act_as(&self, user: &str, identity: &str) -> bool {
        user == identity
    }

    /// Whether there is still one of this name, under which a session goes on after a reload. It is asked between two commands, so it may not wait;
    /// who cannot tell leaves the session as it is.
    fn knows(&self, user: &str) -> bool {
        let _ = user;
        true
    }
}

impl Claim {
    /// Asks who knows the users. This may take long.
    ///
    /// # Errors
    /// They cannot be asked.
    pub fn check(&self, users: &dyn Check) -> Result<Found, Unable> {
        let name = self.identity.as_deref().unwrap_or(&self.user);
        let allowed = self.identity.is_none() || users.may_act_as(&self.user, name);
        match &self.proof {
            // The password first: what is not allowed takes the same time as what is wrong.
            Proof::Password(password) => {
                let right = users.password(&self.user, password)?;
                Ok(if right && allowed { Found::User(name.into()) } else { Found::Nobody })
            }
            Proof::Keys => Ok(Found::Keys(users.keys(&self.user)?, allowed.then(|| name.into()))),
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Knows `user` with the password `pencil`; `admin` may act as anybody.
    #[derive(Debug)]
    pub struct Known {
        pub keys: Keys,
    }

    impl Known {
        pub fn new() -> Known {
            Known { keys: Keys::of(&Secret::new("pencil"), b"0123456789abcdef", 4096) }
        }
    }

    impl Check for Known {
        fn password(&self, user: &str, password: &Secret) -> Result<bool, Unable> {
            Ok(self.keys(user)?.is_of(password))
        }

        fn has_keys(&self) -> bool {
            true
        }

        fn keys(&self, user: &str) -> Result<Keys, Unable> {
            match user {
                "user" | "admin" => Ok(self.keys.clone()),
                "broken" => Err(Unable("the disk is on fire".to_owned())),
                _ => Ok(Keys::decoy(user, &Secret::new("secret"), [].iter())),
            }
        }

        fn may_act_as(&self, user: &str, identity: &str) -> bool {
            user == identity || user == "admin"
        }

        fn knows(&self, user: &str) -> bool {
            user != "nobody"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Known;
    use super::*;

    fn found(user: &str, identity: Option<&str>, password: &str) -> Result<Found, Unable> {
        let proof = Proof::Password(Secret::new(password));
        Claim { user: user.into(), identity: identity.map(Into::into), proof }.check(&Known::new())
    }

    #[test]
    fn the_password_decides_and_then_who_may_act_as_whom() {
        assert_eq!(found("user", None, "pencil"), Ok(Found::User("user".into())));
        assert_eq!(found("user", Some("user"), "pencil"), Ok(Found::User("user".into())));
        assert_eq!(found("admin", Some("other"), "pencil"), Ok(Found::User("other".into())));
        assert_eq!(found("user", Some("other"), "pencil"), Ok(Found::Nobody));
        assert_eq!(found("user", None, "pen"), Ok(Found::Nobody));
        assert_eq!(found("nobody", None, "pencil"), Ok(Found::Nobody));
        assert!(found("broken", None, "pencil").is_err());
    }
}
