//! What may be promised to clients, whichever next hop takes their mail (DESIGN decision 10).

use std::ops::Deref;

use crate::smtp::client::Capabilities;
use crate::smtp::extension::{Extension, Extensions};

/// What the next hops offer, as last seen; unknown is without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// The smallest of the largest messages, if one says one.
    pub size: Option<u64>,
    /// The fewest recipients of a transaction, if one says a number.
    pub recipients: Option<usize>,
    /// What all of them have.
    pub extensions: Extensions,
    /// False until a next hop has been reached once.
    pub known: bool,
}

impl Offered {
    /// What all of them have in common; each is one next hop that could be reached.
    #[must_use]
    pub fn by_all(all: impl Iterator<Item: Deref<Target = Capabilities>>) -> Offered {
        all.map(|one| Offered::by_one(&one)).reduce(Offered::and).unwrap_or_default()
    }

    fn by_one(one: &Capabilities) -> Offered {
        let extensions = Extensions::default()
            .and(Extension::SmtpUtf8, one.smtputf8)
            .and(Extension::BinaryMime, one.binary)
            .and(Extension::Dsn, one.dsn)
            .and(Extension::RequireTls, one.requiretls);
        Offered { size: one.largest, recipients: one.limits.recipients, extensions, known: true }
    }

    /// The same where no next hop proves who it is: REQUIRETLS could be kept for no mail at all (RFC 8689 4.2.1).
    #[must_use]
    pub fn without_proof(self) -> Offered {
        Offered { extensions: self.extensions.without(Extension::RequireTls), ..self }
    }

    fn and(self, other: Offered) -> Offered {
        Offered {
            size: least(self.size, other.size),
            recipients: least(self.recipients, other.recipients),
            extensions: self.extensions.common(other.extensions),
            known: true,
        }
    }
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::client::Limits;

    #[test]
    fn what_one_next_hop_lacks_is_not_promised() {
        let one = Capabilities { smtputf8: true, dsn: true, largest: Some(900), ..Capabilities::default() };
        let other = Capabilities {
            dsn: true,
            binary: true,
            largest: Some(700),
            limits: Limits { recipients: Some(5), transactions: None },
            ..Capabilities::default()
        };
        let both = Offered::by_all([&one, &other].into_iter());
        let extensions = Extensions::default().and(Extension::Dsn, true);
        assert_eq!(both, Offered { size: Some(700), recipients: Some(5), extensions, known: true });
    }

    #[test]
    fn without_proof_of_any_next_hop_only_requiretls_is_not_promised() {
        let one = Capabilities { dsn: true, requiretls: true, ..Capabilities::default() };
        let offered = Offered::by_all([&one].into_iter());
        let dsn = Extensions::default().and(Extension::Dsn, true);
        assert_eq!(offered.extensions, dsn.and(Extension::RequireTls, true));
        assert_eq!(offered.without_proof(), Offered { extensions: dsn, ..offered });
    }

    #[test]
    fn of_no_next_hop_nothing_is_known() {
        assert_eq!(Offered::by_all(std::iter::empty::<&Capabilities>()), Offered::default());
        assert!(Offered::by_all([&Capabilities::default()].into_iter()).known);
    }
}
