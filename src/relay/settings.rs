//! What of the configuration concerns the way out.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Route};

/// `relay:`, `routes:` and `timeouts:` of the configuration, as far as they concern the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub hostname: String,
    /// Our instance token; finding it in a next hop's EHLO is a loop.
    pub token: String,
    /// The one of `relay:` first, then the named ones, in the order of the file.
    pub routes: Vec<Arc<Route>>,
    pub next_hop: Duration,
    pub after_dot: Duration,
    /// Bytes a second.
    pub min_data_rate: u64,
}

impl Settings {
    /// From the configuration, and the token of the store.
    #[must_use]
    pub fn of(config: &Config, token: &str) -> Settings {
        Settings {
            hostname: config.hostname.clone(),
            token: token.to_owned(),
            routes: [&config.relay.route].into_iter().chain(&config.routes).map(Arc::clone).collect(),
            next_hop: config.timeouts.next_hop,
            after_dot: config.timeouts.after_dot,
            min_data_rate: config.limits.min_data_rate.0,
        }
    }

    /// The most connections to one address, over all routes.
    #[must_use]
    pub fn max(&self) -> usize {
        self.routes.first().map_or(1, |route| route.connections.max)
    }
}
