//! Budgets shared by all sessions: bytes of memory in flight and bytes of temporary disk. A budget is tried, never waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An amount of bytes that all sessions share.
#[derive(Debug)]
pub struct Budget {
    limit: AtomicU64,
    used: AtomicU64,
}

/// A part of a [`Budget`], given back when dropped.
#[derive(Debug)]
pub struct Share {
    of: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Budget> {
        Arc::new(Budget { limit: AtomicU64::new(limit), used: AtomicU64::new(0) })
    }

    /// Another limit from now on. What is taken stays taken, even if that is more.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// An empty share, to be grown.
    #[must_use]
    pub fn share(self: &Arc<Budget>) -> Share {
        Share { of: Arc::clone(self), bytes: 0 }
    }

    /// Bytes there are in all.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Bytes that are taken.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes not taken.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.limit().saturating_sub(self.used())
    }
}

impl Share {
    /// Takes `more` bytes; false, and nothing taken, when the budget has not that many left.
    #[must_use]
    pub fn grow(&mut self, more: u64) -> bool {
        let limit = self.of.limit.load(Ordering::Relaxed);
        let taken =
            self.of.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| used.checked_add(more).filter(|after| *after <= limit));
        if taken.is_ok() {
            self.bytes += more;
        }
        taken.is_ok()
    }

    /// Gives `less` bytes back, at most what was taken.
    pub fn shrink(&mut self, less: u64) {
        let less = less.min(self.bytes);
        self.of.used.fetch_sub(less, Ordering::Relaxed);
        self.bytes -= less;
    }

    /// Bytes this share holds.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_given_back_when_dropped_and_never_exceeds_the_limit() {
        let budget = Budget::new(10);
        let mut one = budget.share();
        assert!(one.grow(6));
        let mut two = budget.share();
        assert!(!two.grow(5));
        assert!(two.grow(4));
        assert_eq!(budget.free(), 0);
        drop(one);
        assert_eq!(budget.free(), 6);
        two.shrink(100);
        assert_eq!(budget.free(), 10);
    }

    #[test]
    fn a_lower_limit_takes_nothing_away_and_gives_nothing_more() {
        let budget = Budget::new(10);
        let mut share = budget.share();
        assert!(share.grow(8));
        budget.set_limit(5);
        assert_eq!(budget.free(), 0);
        assert!(!share.grow(1));
        share.shrink(4);
        assert!(share.grow(1) && !share.grow(1));
    }
}
