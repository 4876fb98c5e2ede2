//! How it stands with the next hops, for whoever watches the server.

use std::time::{Duration, Instant};

use super::{Relay, RelayError};
use crate::base::clock;

/// The connections to one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections {
    pub address: String,
    /// In use, kept for the next mail, and at most now.
    pub busy: usize,
    pub idle: usize,
    pub most: usize,
    /// Sessions that wait for one.
    pub waiting: usize,
    /// When a conversation over one of them last ended well, if none has failed to begin since.
    pub reached: Option<Instant>,
}

impl Relay {
    /// Whether a next hop can be reached: one was not long ago, or can be now.
    ///
    /// # Errors
    /// None of them, and why not the last one.
    pub async fn reachable(&self, lately: Duration) -> Result<(), RelayError> {
        let now = clock::monotonic();
        if self.connections().iter().any(|known| known.reached.is_some_and(|reached| now.duration_since(reached) < lately)) {
            return Ok(());
        }
        match self.probe().await {
            // It has more to do than it may be given.
            Ok(()) | Err(RelayError::Busy(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
