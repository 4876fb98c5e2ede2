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

/// A second as text, kept while it lasts: most of what is written in a row is of the same.
#[derive(Clone, Debug, Default)]
pub struct Second {
    of: Option<Timestamp>,
    text: String,
}

impl Second {
    /// The text of the second that a time is in.
    pub fn text(&mut self, time: Timestamp, write: impl FnOnce(Timestamp) -> String) -> &str {
        let second = Timestamp::from_second(time.as_second()).unwrap_or(time);
        if self.of != Some(second) {
            (self.of, self.text) = (Some(second), write(second));
        }
        &self.text
    }
}
