//! Which next hop is asked: in order, those in trouble last, and the next one only on trouble before anything was said about the mail (CONFIG `next_hops`).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::connection::{Connection, Trouble};
use super::pool::{Pool, Slot, discard};
use super::{NextHop, Offered, RelayError, Settings};
use crate::smtp::client::{Answer, Capabilities, Stage};
use crate::smtp::reply::Enhanced;

/// The next hops of a relay, with their pools.
#[derive(Debug)]
pub struct Route {
    pub settings: Arc<Settings>,
    pools: Vec<Arc<Pool>>,
    /// What each offered when it was last connected to; in the order of `pools`.
    seen: Mutex<Vec<Option<Capabilities>>>,
    /// Where `spread` begins next.
    turn: AtomicUsize,
}

/// A connection and the right to have it.
#[derive(Debug)]
pub struct Lease {
    pub connection: Connection,
    slot: Slot,
}

/// The next hops that may still be asked for one mail.
#[derive(Debug)]
pub struct Attempts {
    left: VecDeque<Arc<Pool>>,
    /// A pooled connection failed: no other one is trusted.
    fresh: bool,
    last: Option<RelayError>,
}

/// A transaction that could not be opened, and where.
#[derive(Debug)]
pub struct Failed {
    pub trouble: Trouble,
    pub pool: Arc<Pool>,
    /// The connection had been idle, in the pool or between two commands of a transaction.
    pub stale: bool,
    /// A recipient had been accepted on it.
    pub accepted: bool,
}

impl Route {
    #[must_use]
    pub fn new(settings: Settings) -> Route {
        let settings = Arc::new(settings);
        let pools: Vec<_> = settings.next_hops.iter().map(|next_hop| Pool::new(next_hop.clone(), Arc::clone(&settings))).collect();
        Route { seen: Mutex::new(vec![None; pools.len()]), pools, settings, turn: AtomicUsize::new(0) }
    }

    #[must_use]
    pub fn pools(&self) -> &[Arc<Pool>] {
        &self.pools
    }

    /// All next hops, in the order in which they are asked.
    #[must_use]
    pub fn attempts(&self) -> Attempts {
        let mut left: Vec<_> = self.pools.clone();
        if self.settings.spread && !left.is_empty() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % left.len();
            left.rotate_left(turn);
        }
        left.sort_by_key(|pool| pool.is_troubled());
        Attempts { left: left.into(), fresh: false, last: None }
    }

    /// A connection to the first next hop that gives one.
    ///
    /// # Errors
    /// None does.
    pub async fn lease(&self, attempts: &mut Attempts) -> Result<Lease, RelayError> {
        while let Some(pool) = attempts.left.front().cloned() {
            let Some(slot) = pool.slot().await else { return Err(self.busy(&pool.next_hop)) };
            if attempts.fresh {
                slot.make_room();
            } else if let Some(connection) = slot.idle() {
                return Ok(Lease { connection, slot });
            }
            match self.connect(&pool).await {
                Ok(connection) => return Ok(Lease { connection, slot }),
                Err(error @ RelayError::Loop(_)) => return Err(error),
                Err(error) => attempts.give_up(&pool, error),
            }
        }
        Err(attempts.last.take().unwrap_or_else(|| RelayError::Unavailable("there is no next hop; see relay.next_hops".to_owned())))
    }

    /// A new connection, its capabilities noted.
    ///
    /// # Errors
    /// Trouble, noted with the pool; a loop.
    pub async fn connect(&self, pool: &Arc<Pool>) -> Result<Connection, RelayError> {
        match Connection::open(&pool.next_hop, &self.settings).await {
            Ok(connection) => {
                pool.note_success();
                self.remember(&pool.next_hop, &connection.capabilities);
                if connection.capabilities.token.as_deref() == Some(self.settings.token.as_str()) {
                    let text = format!(
                        "next hop {} is this Transom itself: mail would go round in circles; correct relay.next_hops",
                        pool.next_hop
                    );
                    tracing::error!("{text}");
                    discard(connection);
                    return Err(RelayError::Loop(text));
                }
                Ok(connection)
            }
            Err(trouble) => {
                pool.note_trouble();
                if matches!(&trouble, Trouble::Said(Stage::Greeting, Answer { code: 421, .. })) {
                    pool.lower();
                }
                Err(unavailable(&pool.next_hop, &trouble))
            }
        }
    }

    fn busy(&self, next_hop: &NextHop) -> RelayError {
        let text = format!(
            "all {} connections to next hop {next_hop} were busy for {} s; raise relay.connections.max or see why it is slow",
            self.settings.max,
            self.settings.wait.as_secs_f32()
        );
        tracing::error!("{text}");
        RelayError::Busy(text)
    }

    fn remember(&self, next_hop: &NextHop, capabilities: &Capabilities) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (pool, seen) in self.pools.iter().zip(seen.iter_mut()) {
            if pool.next_hop == *next_hop {
                *seen = Some(capabilities.clone());
            }
        }
    }

    /// What may be promised whichever next hop it will be (DESIGN decision 10).
    #[must_use]
    pub fn offered(&self) -> Offered {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Offered::by_all(seen.iter().flatten())
    }
}

impl Lease {
    /// Back to the pool, if it is fit for another mail.
    pub fn give_back(self) {
        self.slot.give_back(self.connection);
    }

    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        self.slot.pool()
    }

    #[must_use]
    pub fn next_hop(&self) -> String {
        self.connection.next_hop.to_string()
    }

    /// RSET, and back to the pool; closed when that fails.
    pub async fn abandon(mut self) {
        match self.connection.reset().await {
            Ok(()) => self.give_back(),
            Err(trouble) => tracing::debug!("next hop {} {trouble}", self.connection.next_hop),
        }
    }
}

impl Attempts {
    /// Whether it may be tried again after this (SEMANTICS 11): once on a new connection where the old one was stale, and at the next next hop where
    /// one closed down before it accepted a recipient.
    ///
    /// # Errors
    /// It may not; why, for the log of the mail.
    pub fn after(&mut self, failed: Failed) -> Result<(), RelayError> {
        let Failed { trouble, pool, stale, accepted } = failed;
        let error = || unavailable(&pool.next_hop, &trouble);
        match &trouble {
            Trouble::Closed if stale && !self.fresh => self.fresh = true,
            Trouble::Said(_, answer) if stale && !self.fresh && !accepted && is_farewell(answer) => self.fresh = true,
            Trouble::Said(_, Answer { code: 421, .. }) if !accepted => self.give_up(&pool, error()),
            _ => return Err(error()),
        }
        Ok(())
    }

    fn give_up(&mut self, pool: &Arc<Pool>, error: RelayError) {
        self.left.retain(|left| !Arc::ptr_eq(left, pool));
        if let Some(next) = self.left.front() {
            tracing::warn!("the next one is tried: {}", next.next_hop);
        }
        self.last = Some(error);
    }
}

/// A reply with which a server ends a connection that has lasted too long: 421, or 554 for too many commands. A 554 that speaks of addresses or policy is a verdict.
#[must_use]
pub fn is_farewell(answer: &Answer) -> bool {
    answer.code == 421 || (answer.code == 554 && matches!(answer.enhanced, None | Some(Enhanced(_, 0 | 5, _))))
}

/// Trouble as an error for the caller, logged once, here.
pub fn unavailable(next_hop: &NextHop, trouble: &Trouble) -> RelayError {
    let text = format!("next hop {next_hop} {trouble}");
    tracing::error!("{text}");
    RelayError::Unavailable(text)
}
