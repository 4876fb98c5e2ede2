//! Whether mail can come in and go on: what `/readyz` says.
//!
//! | asked, the first that fails is told | |
//! |---|---|
//! | not shutting down | known |
//! | the store takes what has to be held | asked each time, for [`PATIENCE`] |
//! | a next hop can be reached | known if a conversation ended well in the last [`LATELY`]; else they are connected to, and what came of that holds for [`HOLDS`] |
//!
//! Listeners are bound and the store is open before anything here can be asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::base::clock;
use crate::server::view::View;

/// How long a good conversation with a next hop speaks for it.
const LATELY: Duration = Duration::from_secs(30);
/// How long what was found out by asking holds: nobody makes us connect more often than this.
const HOLDS: Duration = Duration::from_secs(5);
/// How long the store, and next hops, may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Clone, Debug)]
pub struct Health {
    view: View,
    asked: Arc<Mutex<Option<Asked>>>,
}

/// What came of asking the next hops, and when.
#[derive(Debug)]
struct Asked {
    when: Instant,
    found: Result<(), String>,
}

impl Health {
    #[must_use]
    pub fn new(view: View) -> Health {
        Health { view, asked: Arc::default() }
    }

    /// Whether mail can be taken now.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self) -> Result<(), String> {
        if self.view.is_ending() {
            return Err("shutting down".to_owned());
        }
        match timeout(PATIENCE, self.view.store().responds()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(format!("the store: {error}")),
            Err(_) => return Err(format!("the store did not answer within {} s; see to its disk", PATIENCE.as_secs())),
        }
        self.next_hop().await
    }

    async fn next_hop(&self) -> Result<(), String> {
        // One asks, and who comes meanwhile hears the same.
        let mut asked = self.asked.lock().await;
        if let Some(Asked { when, found }) = &*asked
            && clock::monotonic().duration_since(*when) < HOLDS
        {
            return found.clone();
        }
        let found = match timeout(PATIENCE, self.view.relay().reachable(LATELY)).await {
            Ok(reached) => reached.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no next hop answered within {} s", PATIENCE.as_secs())),
        };
        *asked = Some(Asked { when: clock::monotonic(), found: found.clone() });
        found
    }
}
