//! Connections that are open before there is mail for them (`connections.warm`).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Relay;
use super::pool::Pools;
use super::route::{Behalf, Lease, Route};
use super::target::Target;
use crate::config::Balance;

/// How often it is looked after them at most, and at least.
const LOOKS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

impl Relay {
    /// Opens them, and others in their place, until the relay is closed. To be called where no mail is served: its timers wake the thread.
    pub fn keep_warm(&self) {
        for route in self.ways.routes.iter().filter(|route| route.config.connections.warm > 0) {
            tokio::spawn(keep(Arc::clone(route), Arc::clone(&self.ways.pools)));
        }
    }
}

async fn keep(route: Arc<Route>, pools: Arc<Pools>) {
    let connections = &route.config.connections;
    let pause = (connections.idle_time / 4).clamp(LOOKS.0, LOOKS.1);
    while !pools.is_closed() {
        for target in wanted(&route) {
            while !pools.is_closed() && target.wants_more(connections.warm) {
                match route.connect(target, &Behalf::default()).await.map(Lease::give_back) {
                    Ok(()) => {}
                    // It has been told, and is tried again.
                    Err(_) => break,
                }
            }
        }
        sleep(pause).await;
    }
}

/// Those whose turn it will be: in order the first one that works, else all that work.
fn wanted(route: &Route) -> impl Iterator<Item = &Arc<Target>> {
    let most = if route.config.balance == Balance::Order { 1 } else { usize::MAX };
    route.targets().iter().filter(|target| !target.is_troubled()).take(most)
}
