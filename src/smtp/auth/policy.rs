//! What a listener lets its clients log in with.

use std::sync::Arc;

use super::check::Check;
use super::{Bindings, Mechanism};

/// `auth` of a listener.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The users file, or what an embedder puts in its place.
    pub users: Arc<dyn Check>,
    /// In the order in which they are announced.
    pub mechanisms: Vec<Mechanism>,
    /// Mail is taken only from clients that have logged in.
    pub required: bool,
    /// Clients may log in over a connection that anybody can read.
    pub without_tls: bool,
}

impl Policy {
    /// What is offered on a connection; none: no TLS protects it.
    #[must_use]
    pub fn offered(&self, tls: Option<&Bindings>) -> Vec<Mechanism> {
        if tls.is_none() && !self.without_tls {
            return Vec::new();
        }
        let has_keys = self.users.has_keys();
        let can_bind = tls.is_some_and(|bindings| bindings.best().is_some());
        // Under TLS 1.2 most clients that bind know only the kind that rustls has not (tls-unique): there it is offered only by name.
        let binds = self.mechanisms.contains(&Mechanism::ScramSha256) && tls.is_some_and(|bindings| bindings.exporter.is_some());
        let implied = (binds && !self.mechanisms.contains(&Mechanism::ScramSha256Plus)).then_some(Mechanism::ScramSha256Plus);
        let possible = |one: &Mechanism| (one.shows_password() || has_keys) && (!one.binds() || can_bind);
        implied.into_iter().chain(self.mechanisms.iter().copied()).filter(possible).collect()
    }

    /// Whether a connection is too weak for any login.
    #[must_use]
    pub fn needs_tls(&self, tls: Option<&Bindings>) -> bool {
        tls.is_none() && !self.without_tls
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::testing::Known;
    use super::*;
    use crate::base::secret::Secret;

    fn policy(mechanisms: &[Mechanism], without_tls: bool) -> Policy {
        Policy { users: Arc::new(Known::new()), mechanisms: mechanisms.to_vec(), required: false, without_tls }
    }

    const PLUS: Mechanism = Mechanism::ScramSha256Plus;
    const SCRAM: Mechanism = Mechanism::ScramSha256;

    #[test]
    fn without_tls_nothing_is_offered_unless_that_is_said() {
        assert!(policy(&[Mechanism::Plain], false).offered(None).is_empty());
        assert_eq!(policy(&[Mechanism::Plain, SCRAM, PLUS], true).offered(None), [Mechanism::Plain, SCRAM]);
    }

    #[test]
    fn binding_comes_with_scram_where_clients_have_it_and_by_name_where_it_is_possible() {
        let both = Bindings { exporter: Some([1; 32]), end_point: Some(vec![1]) };
        let older = Bindings { exporter: None, ..both.clone() };
        assert_eq!(policy(&[Mechanism::Plain, SCRAM], false).offered(Some(&both)), [PLUS, Mechanism::Plain, SCRAM]);
        assert_eq!(policy(&[SCRAM], false).offered(Some(&older)), [SCRAM]);
        assert_eq!(policy(&[SCRAM, PLUS], false).offered(Some(&older)), [SCRAM, PLUS]);
        assert_eq!(policy(&[SCRAM, PLUS], false).offered(Some(&Bindings::default())), [SCRAM]);
        assert_eq!(policy(&[PLUS, SCRAM], false).offered(Some(&both)), [PLUS, SCRAM]);
    }

    #[test]
    fn without_keys_there_is_no_scram() {
        #[derive(Debug)]
        struct Directory;
        impl Check for Directory {
            fn password(&self, _: &str, _: &Secret) -> Result<bool, super::super::check::Unable> {
                Ok(true)
            }
        }
        let policy = Policy { users: Arc::new(Directory), ..policy(&[Mechanism::Plain, SCRAM], true) };
        assert_eq!(policy.offered(Some(&Bindings { exporter: Some([1; 32]), end_point: None })), [Mechanism::Plain]);
        assert!(policy.users.keys("user").is_err());
    }
}
