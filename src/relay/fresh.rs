//! What the next hops offer, asked again in the background: a connection that is made says it anyway, and where none is made it would grow old.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{Relay, probe};

/// What is older is asked for again.
const OLD: Duration = Duration::from_mins(10);
/// How often it is looked for what is old, and for next hops that could not be reached yet.
const LOOKS: Duration = Duration::from_mins(1);

impl Relay {
    /// Does so until the relay is closed. To be called where no mail is served: its timer wakes the thread.
    pub fn keep_fresh(&self) {
        let relay = self.clone();
        tokio::spawn(async move {
            while !relay.ways.pools.is_closed() {
                sleep(LOOKS).await;
                relay.refresh(OLD).await;
            }
        });
    }

    /// Connects to the next hops that were not heard of for so long.
    pub async fn refresh(&self, old: Duration) {
        for route in &self.ways.routes {
            for target in route.targets().iter().filter(|target| target.is_older(old)) {
                if let Err(error) = probe(Arc::clone(route), Arc::clone(target)).await {
                    tracing::debug!(%error, "it is not known what a next hop offers now");
                }
            }
        }
    }
}
