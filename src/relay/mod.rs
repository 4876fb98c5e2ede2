//! Towards the next hop: connections, their pool, and a transaction as a state machine (DESIGN decisions 1, 3 and 4).

use std::sync::Arc;
use std::time::Duration;

pub use crate::config::NextHop;
use crate::message::Message;
use crate::smtp::client::Answer;
use crate::smtp::envelope::{Declared, Envelope};
use crate::smtp::path::Path;

/// `relay:` and `timeouts:` of the configuration, as far as they concern the way out.
#[derive(Clone, Debug)]
pub struct Settings {
    pub hostname: String,
    /// Our instance token; finding it in a next hop's EHLO is a loop.
    pub token: String,
    /// In order of preference.
    pub next_hops: Vec<NextHop>,
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

/// What the next hops offer, as last seen; unknown is without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// SIZE: the largest message, if it says one.
    pub size: Option<u64>,
    pub smtputf8: bool,
    /// False until a next hop has been reached once.
    pub known: bool,
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
    Recipients { next_hop: String, refused: Vec<(Path, Answer)> },
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
    settings: Arc<Settings>,
}

impl Relay {
    #[must_use]
    pub fn new(settings: Settings) -> Relay {
        Relay { settings: Arc::new(settings) }
    }

    /// Connects to the next hops and learns what they offer; at start.
    ///
    /// # Errors
    /// [`RelayError::Loop`] if one is ourselves; others mean that none could be reached (no reason not to start).
    pub async fn probe(&self) -> Result<(), RelayError> {
        let _ = &self.settings;
        todo!("relay helper")
    }

    /// What may be announced to clients now.
    #[must_use]
    pub fn offered(&self) -> Offered {
        todo!("relay helper")
    }

    /// A transaction that has not been opened yet.
    #[must_use]
    pub fn transaction(&self, sender: Path, declared: Declared) -> Transaction {
        let _ = (sender, declared);
        todo!("relay helper")
    }

    /// Whether another session waits for a connection.
    #[must_use]
    pub fn pressed(&self) -> bool {
        todo!("relay helper")
    }

    /// Closes idle connections with QUIT; at shutdown.
    pub async fn close(&self) {
        todo!("relay helper")
    }
}

/// One session's transaction with the next hop. Holds at most one connection; dropping it abandons (RSET if DATA was not sent, else close).
#[derive(Debug)]
pub struct Transaction {}

impl Transaction {
    /// Asks the next hop about recipients (adjacent ones, at most 100 unanswered), opening or reopening the transaction when needed. One result each, in order;
    /// a refused MAIL is each one's answer. Recipients accepted are remembered.
    pub async fn recipients(&mut self, paths: &[Path]) -> Vec<Result<Answer, RelayError>> {
        let _ = paths;
        todo!("relay helper")
    }

    /// Whether it holds a connection now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        todo!("relay helper")
    }

    /// RSET, and the connection goes back to the pool; the accepted recipients are remembered for reopening.
    pub async fn give_back(&mut self) {
        todo!("relay helper")
    }

    /// Sends a mail: on the open transaction if sender and accepted recipients are exactly the envelope's, else on a fresh one. `message` is final (`Received` included). Nothing is sent after
    /// `deadline` (a transfer that keeps the rate may run to `hard_deadline`) or once `gone` resolves before the dot; after the dot it waits `after_dot`, client or no client.
    pub async fn deliver(
        &mut self,
        envelope: &Envelope,
        message: &Message,
        until: Until,
        gone: &mut (dyn Future<Output = ()> + Send + Unpin),
    ) -> Delivery {
        let _ = (envelope, message, until, gone);
        todo!("relay helper")
    }
}

/// Until when a message may still be sent (DESIGN decision 4).
#[derive(Clone, Copy, Debug)]
pub struct Until {
    pub deadline: std::time::Instant,
    pub hard_deadline: std::time::Instant,
}
