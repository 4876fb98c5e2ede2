//! What the next hops offer together: what may be promised to a client before it is known which of them its mail will go to (DESIGN decision 10).

use crate::smtp::client::Capabilities;

/// What the next hops offer, as last seen; unknown is without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an extension of its own, any of them may be there")]
pub struct Offered {
    /// SIZE: the largest message, if one says so.
    pub size: Option<u64>,
    /// LIMITS RCPTMAX: recipients of a transaction, if one says so.
    pub recipients: Option<usize>,
    pub smtputf8: bool,
    /// BINARYMIME, with the CHUNKING that it needs.
    pub binary: bool,
    pub dsn: bool,
    pub requiretls: bool,
    /// False until a next hop has been reached once.
    pub known: bool,
}

impl Offered {
    /// What all of these have.
    #[must_use]
    pub fn by_all<'c>(seen: impl Iterator<Item = &'c Capabilities>) -> Offered {
        let mut seen = seen.peekable();
        if seen.peek().is_none() {
            return Offered::default();
        }
        let everything = Offered { size: None, recipients: None, smtputf8: true, binary: true, dsn: true, requiretls: true, known: true };
        seen.fold(everything, |so_far, one| Offered {
            size: smaller(so_far.size, one.largest),
            recipients: smaller(so_far.recipients, one.limits.recipients),
            smtputf8: so_far.smtputf8 && one.smtputf8,
            binary: so_far.binary && one.binary,
            dsn: so_far.dsn && one.dsn,
            requiretls: so_far.requiretls && one.requiretls,
            known: true,
        })
    }
}

/// The smaller of two limits, of which each may be none.
fn smaller<N: Ord>(one: Option<N>, other: Option<N>) -> Option<N> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::client::Limits;

    #[test]
    fn only_what_all_have_is_offered_and_the_smallest_limit_counts() {
        let limits = |recipients| Limits { recipients, ..Limits::default() };
        let one = Capabilities { largest: Some(10), dsn: true, smtputf8: true, limits: limits(Some(50)), ..Capabilities::default() };
        let other = Capabilities { dsn: true, binary: true, limits: limits(Some(20)), ..Capabilities::default() };
        let offered = Offered::by_all([&one, &other].into_iter());
        assert_eq!(offered, Offered { size: Some(10), recipients: Some(20), dsn: true, known: true, ..Offered::default() });
        assert_eq!(Offered::by_all([].into_iter()), Offered::default());
    }
}
