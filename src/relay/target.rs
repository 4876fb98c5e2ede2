//! A next hop of a route: its addresses, what it offered when it was last seen, and whether it is in trouble.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::lookup_host;

use super::connection::Trouble;
use super::pool::{Pool, Pools, Remote, TROUBLED};
use super::{NextHop, Settings};
use crate::base::clock;
use crate::config::{Place, Policy, Route};
use crate::smtp::client::Capabilities;

/// How it is talked to: connections are of one target, and never change to another.
#[derive(Debug)]
pub struct Target {
    pub next_hop: NextHop,
    /// The same as text.
    pub name: Arc<str>,
    pub route: Arc<Route>,
    pub settings: Arc<Settings>,
    /// TLS with it.
    pub policy: Policy,
    addresses: Addresses,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
enum Addresses {
    /// Said by the configuration.
    One([Arc<Pool>; 1]),
    /// As its name was resolved last, in the order of the resolver.
    Named { pools: Arc<Pools>, last: Mutex<Arc<[Arc<Pool>]>> },
}

#[derive(Debug, Default)]
struct Seen {
    capabilities: Option<Arc<Capabilities>>,
    /// When it said so.
    heard: Option<Instant>,
    troubled: Option<Instant>,
}

impl Target {
    #[must_use]
    pub fn new(next_hop: NextHop, route: Arc<Route>, settings: Arc<Settings>, pools: &Arc<Pools>) -> Arc<Target> {
        let one = |place| Addresses::One([pools.at(place)]);
        let addresses = match &next_hop.place {
            Place::Unix(path) => one(Remote::Unix(path.clone())),
            Place::Tcp { host, port } => match host.parse::<IpAddr>() {
                Ok(address) => one(Remote::Tcp((address, *port).into())),
                Err(_) => Addresses::Named { pools: Arc::clone(pools), last: Mutex::new(Arc::from([])) },
            },
        };
        let policy = route.tls.policy(&next_hop).clone();
        let name = next_hop.to_string().into();
        Arc::new(Target { next_hop, name, route, settings, policy, addresses, seen: Mutex::default() })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something at each address known by now, until it gives something.
    pub fn at_known<T>(&self, mut ask: impl FnMut(&Arc<Pool>) -> Option<T>) -> Option<T> {
        match &self.addresses {
            Addresses::One([pool]) => ask(pool),
            Addresses::Named { last, .. } => {
                let known = Arc::clone(&last.lock().unwrap_or_else(PoisonError::into_inner));
                known.iter().find_map(ask)
            }
        }
    }

    /// Its addresses, a name resolved anew; those that did not answer last.
    ///
    /// # Errors
    /// The name does not lead anywhere now.
    pub async fn resolved(&self) -> Result<Vec<Arc<Pool>>, Trouble> {
        let (pools, last, host, port) = match (&self.addresses, &self.next_hop.place) {
            (Addresses::One(one), _) => return Ok(one.to_vec()),
            (Addresses::Named { .. }, Place::Unix(_)) => return Ok(Vec::new()),
            (Addresses::Named { pools, last }, Place::Tcp { host, port }) => (pools, last, host, *port),
        };
        let unknown = |why: &dyn std::fmt::Display| {
            Trouble::Other(format!("cannot be reached: its name cannot be resolved: {why}; correct {}, or see to DNS", self.route.key()))
        };
        let found = match tokio::time::timeout(self.route.connections.connect, lookup_host((host.as_str(), port))).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(unknown(&error)),
            Err(_) => return Err(unknown(&"no answer in time (connections.connect)")),
        };
        let mut all: Vec<Arc<Pool>> = Vec::new();
        for address in found {
            let pool = pools.at(Remote::Tcp(address));
            if !all.iter().any(|known| Arc::ptr_eq(known, &pool)) {
                all.push(pool);
            }
        }
        if all.is_empty() {
            return Err(unknown(&"it has no address"));
        }
        *last.lock().unwrap_or_else(PoisonError::into_inner) = Arc::from(all.as_slice());
        all.sort_by_key(|pool| pool.is_troubled());
        Ok(all)
    }

    /// It was reached and has said what it offers; whether that is something else than before.
    pub fn note_success(&self, capabilities: &Capabilities) -> bool {
        let mut seen = self.seen();
        seen.troubled = None;
        seen.heard = Some(clock::monotonic());
        let changed = seen.capabilities.as_deref() != Some(capabilities);
        if changed {
            seen.capabilities = Some(Arc::new(capabilities.clone()));
        }
        changed
    }

    /// At none of its addresses could it be talked to: other next hops are asked first for a while.
    pub fn note_trouble(&self) {
        self.seen().troubled = Some(clock::monotonic() + TROUBLED);
    }

    #[must_use]
    pub fn is_troubled(&self) -> bool {
        self.seen().troubled.is_some_and(|until| clock::monotonic() < until)
    }

    /// What it offered when it was last connected to.
    #[must_use]
    pub fn offered(&self) -> Option<Arc<Capabilities>> {
        self.seen().capabilities.clone()
    }

    /// Whether it was not heard of for so long.
    #[must_use]
    pub fn is_older(&self, old: Duration) -> bool {
        self.seen().heard.is_none_or(|heard| clock::monotonic().duration_since(heard) >= old)
    }

    /// Whether fewer connections lie ready than these, and one more would be in nobody's way.
    #[must_use]
    pub fn wants_more(self: &Arc<Target>, warm: usize) -> bool {
        let (mut ready, mut room, mut known) = (0, false, false);
        self.at_known::<()>(|pool| {
            ready += pool.ready(self);
            room |= pool.has_room();
            known = true;
            None
        });
        // A name that was not resolved yet has no addresses.
        ready < warm && (room || !known)
    }

    /// Connections that are used now.
    #[must_use]
    pub fn load(&self) -> usize {
        let mut load = 0;
        self.at_known::<()>(|pool| {
            load += pool.taken();
            None
        });
        load
    }
}
