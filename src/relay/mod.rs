//! Towards the next hop: connections, their pool, and a transaction as a state machine (DESIGN decisions 1, 3 and 4).

mod connection;
mod content;
mod dialog;
mod offered;
mod pool;
pub mod release;
mod route;
mod stream;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

pub use self::offered::Offered;
use self::pool::Pool;
use self::route::Route;
pub use self::transaction::Transaction;
pub use crate::config::NextHop;
use crate::config::{Balance, Config};
use crate::smtp::client::Answer;
use crate::smtp::envelope::{Declared, Recipient};
use crate::smtp::path::Path;

/// `relay:` and `timeouts:` of the configuration, as far as they concern the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub hostname: String,
    /// Our instance token; finding it in a next hop's EHLO is a loop.
    pub token: String,
    /// In order of preference.
    pub next_hops: Vec<NextHop>,
    /// Each mail begins with another of them.
    pub spread: bool,
    pub max: usize,
    pub idle: usize,
    pub messages: u64,
    pub idle_time: Duration,
    pub wait: Duration,
    pub hold: Duration,
    pub connect: Duration,
    pub next_hop: Duration,
    pub after_dot: Duration,
    /// Bytes a second.
    pub min_data_rate: u64,
}

impl Settings {
    /// From the configuration, and the token of the store.
    #[must_use]
    pub fn of(config: &Config, token: &str) -> Settings {
        let connections = &config.relay.connections;
        Settings {
            hostname: config.hostname.clone(),
            token: token.to_owned(),
            next_hops: config.relay.next_hops.clone(),
            spread: config.relay.balance == Balance::Spread,
            max: connections.max,
            idle: connections.idle,
            messages: connections.messages,
            idle_time: connections.idle_time,
            wait: connections.wait,
            hold: connections.hold,
            connect: connections.connect,
            next_hop: config.timeouts.next_hop,
            after_dot: config.timeouts.after_dot,
            min_data_rate: config.limits.min_data_rate.0,
        }
    }
}

/// Trouble with the next hop that is no verdict on the message: the client hears 451.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RelayError {
    /// No connection, no greeting, refused greeting or EHLO, 421, silence, garbage, surplus replies; the text says which, from whom and what to do.
    #[error("{0}")]
    Unavailable(String),
    /// No connection was free within `relay.connections.wait`.
    #[error("{0}")]
    Busy(String),
    /// The next hop's EHLO carries our own token.
    #[error("{0}")]
    Loop(String),
}

/// What became of a transaction.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// The dot was answered 2xx.
    Accepted { next_hop: String, answer: Answer },
    /// The dot was answered 4xx or 5xx.
    Refused { next_hop: String, answer: Answer },
    /// MAIL or DATA were answered 4xx or 5xx, before the dot.
    RefusedBefore { next_hop: String, answer: Answer },
    /// Recipients were refused when the transaction was opened anew; nothing was sent. Each with its answer.
    Recipients { next_hop: String, refused: Vec<(Recipient, Answer)> },
    /// It could not be said in the next hop's terms: its SIZE is too small, SMTPUTF8 or 8BITMIME missing and not convertible. Nothing was sent; a final answer of ours.
    Unfit(Unfit),
    /// Before the dot: unreachable, silent, unintelligible, 421, deadline over.
    Unavailable(RelayError),
    /// The client went away before the dot.
    ClientGone,
    /// The dot was sent and not answered.
    InDoubt { next_hop: String, error: String },
}

/// Why a message cannot go to this next hop at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Larger than its SIZE: 552 5.3.4.
    TooLarge,
    /// Needs SMTPUTF8: 550 5.6.7.
    NeedsSmtpUtf8,
    /// 8-bit content that may not be edited (signed): 554 5.6.3.
    EightBit,
}

/// The way out; one for the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Relay {
    route: Arc<Route>,
}

impl Relay {
    #[must_use]
    pub fn new(settings: Settings) -> Relay {
        Relay { route: Arc::new(Route::new(settings)) }
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.route.settings
    }

    /// Connects to the next hops and learns what they offer; at start.
    ///
    /// # Errors
    /// [`RelayError::Loop`] if one is ourselves; others mean that none could be reached (no reason not to start).
    pub async fn probe(&self) -> Result<(), RelayError> {
        let probes: Vec<_> = self.route.pools().iter().map(|pool| tokio::spawn(probe(Arc::clone(&self.route), Arc::clone(pool)))).collect();
        let mut reached = false;
        let mut trouble = None;
        for probe in probes {
            match probe.await {
                Ok(Ok(())) => reached = true,
                Ok(Err(error @ RelayError::Loop(_))) => return Err(error),
                Ok(Err(error)) => trouble = Some(error),
                Err(error) => trouble = Some(RelayError::Unavailable(format!("the probe of a next hop failed: {error}"))),
            }
        }
        trouble.filter(|_| !reached).map_or(Ok(()), Err)
    }

    /// What may be announced to clients now.
    #[must_use]
    pub fn offered(&self) -> Offered {
        self.route.offered()
    }

    /// A transaction that has not been opened yet.
    #[must_use]
    pub fn transaction(&self, sender: Path, declared: Declared) -> Transaction {
        Transaction::new(Arc::clone(&self.route), sender, declared)
    }

    /// Whether another session waits for a connection.
    #[must_use]
    pub fn pressed(&self) -> bool {
        self.route.pools().iter().any(|pool| pool.is_pressed())
    }

    /// Closes connections with QUIT, idle ones now, others when their transaction is over: at shutdown, and when other next hops have taken their place.
    pub async fn close(&self) {
        for pool in self.route.pools() {
            pool.close().await;
        }
    }
}

/// One next hop: a connection that is opened, and kept for the first mail.
async fn probe(route: Arc<Route>, pool: Arc<Pool>) -> Result<(), RelayError> {
    let Some(slot) = pool.slot().await else { return Ok(()) };
    let connection = route.connect(&pool).await?;
    slot.give_back(connection);
    Ok(())
}

/// Until when a message may still be sent (DESIGN decision 4).
#[derive(Clone, Copy, Debug)]
pub struct Until {
    pub deadline: std::time::Instant,
    pub hard_deadline: std::time::Instant,
}
