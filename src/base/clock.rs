//! The one place that asks for the time.
#![allow(clippy::disallowed_methods, reason = "the place the ban points to")]

use std::time::Instant;

use jiff::Timestamp;

/// The wall clock, for what is written down: logs, `Received`, the store.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A clock that never goes back, for measuring.
#[must_use]
pub fn monotonic() -> Instant {
    Instant::now()
}
