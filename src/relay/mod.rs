//! Towards the next hop: connections, their pool, and a transaction as a state machine (DESIGN decisions 1, 3 and 4).

mod connection;
mod content;
mod dialog;
mod fit;
mod fresh;
mod handshake;
pub mod health;
pub mod identity;
mod login;
mod mark;
mod offered;
mod pool;
mod reach;
pub mod release;
mod route;
mod sent;
mod settings;
mod stream;
mod target;
mod transaction;
mod warm;

use std::sync::Arc;

pub use self::offered::Offered;
use self::pool::Pools;
pub use self::route::Behalf;
use self::route::Route;
pub use self::settings::Settings;
use self::target::Target;
pub use self::transaction::Transaction;
use crate::chain::route::DEFAULT;
use crate::config;
pub use crate::config::NextHop;
use crate::smtp::client::Answer;
use crate::smtp::envelope::{Declared, Recipient};
use crate::smtp::path::Path;

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
    /// More recipients than the next hop takes in a transaction (LIMITS RCPTMAX), or than can have one reply between them (LMTP): 452 4.5.3.
    #[error("the next hop takes no more recipients in this transaction")]
    TooMany,
    /// It could never be said to this next hop; it has been logged.
    #[error("{}", .0.text())]
    Unfit(Unfit),
}

/// What became of a transaction.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// The dot was answered 2xx.
    Accepted { next_hop: Arc<str>, answer: Answer },
    /// The dot was answered 4xx or 5xx.
    Refused { next_hop: Arc<str>, answer: Answer },
    /// MAIL or DATA were answered 4xx or 5xx, before the dot.
    RefusedBefore { next_hop: Arc<str>, answer: Answer },
    /// LMTP: the end was answered for each of several recipients.
    Each { next_hop: Arc<str>, words: Vec<(Recipient, Word)> },
    /// Recipients were refused when the transaction was opened anew; nothing was sent. Each with its answer.
    Recipients { next_hop: Arc<str>, refused: Vec<(Recipient, Answer)> },
    /// They are more than it takes in one transaction; nothing was sent. Those who are, each with an answer in its place.
    Beyond { next_hop: Arc<str>, refused: Vec<(Recipient, Answer)> },
    /// It could not be said in the next hop's terms. Nothing was sent; a final answer of ours.
    Unfit(Unfit),
    /// Before the dot: unreachable, silent, unintelligible, 421, deadline over.
    Unavailable(RelayError),
    /// The client went away before the dot.
    ClientGone,
    /// The dot was sent and not answered.
    InDoubt { next_hop: Arc<str>, error: String },
}

/// What became of one recipient in LMTP.
#[derive(Clone, Debug)]
pub enum Word {
    /// 2xx, 4xx or 5xx.
    Said(Answer),
    /// Nothing that tells; why.
    Unknown(String),
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
    /// Content that is not made of lines, and may not be edited (RFC 3030 3): 554 5.6.3.
    Binary,
    /// REQUIRETLS, and no verified TLS or no REQUIRETLS there (RFC 8689 4.2.1): 550 5.7.30.
    NeedsTls,
}

impl Unfit {
    /// For people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Unfit::TooLarge => "it is larger than the next hop's SIZE",
            Unfit::NeedsSmtpUtf8 => "it needs SMTPUTF8, which the next hop does not have",
            Unfit::EightBit => "it needs 8BITMIME, which the next hop does not have, and a signed part may not be converted",
            Unfit::Binary => "it needs BINARYMIME, which the next hop does not have, and a part of it may not be converted",
            Unfit::NeedsTls => "its sender requires TLS, and the next hop offers no REQUIRETLS over verified TLS",
        }
    }
}

/// The way out; one for the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Relay {
    ways: Arc<Ways>,
}

#[derive(Debug)]
struct Ways {
    settings: Arc<Settings>,
    pools: Arc<Pools>,
    /// As in the settings.
    routes: Vec<Arc<Route>>,
    introduces: bool,
    lmtp: bool,
    /// Some next hop has to prove who it is.
    verifies: bool,
}

impl Relay {
    #[must_use]
    pub fn new(settings: Settings) -> Relay {
        let pools = Arc::new(Pools::new(settings.max()));
        let settings = Arc::new(settings);
        let routes: Vec<_> = settings.routes.iter().map(|route| Arc::new(Route::new(route, &settings, &pools))).collect();
        let introduces = settings.routes.iter().any(|route| route.identity != config::Identity::None);
        let lmtp = settings.routes.iter().all(|route| route.next_hops.iter().all(|hop| hop.lmtp));
        let verifies = routes.iter().flat_map(|route| route.targets()).any(|target| target.policy.is_secure());
        Relay { ways: Arc::new(Ways { settings, pools, routes, introduces, lmtp, verifies }) }
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.ways.settings
    }

    /// Connects to the next hops of all routes and learns what they offer; at start.
    ///
    /// # Errors
    /// [`RelayError::Loop`] if one is ourselves; others mean that none could be reached (no reason not to start).
    pub async fn probe(&self) -> Result<(), RelayError> {
        let targets = self.ways.routes.iter().flat_map(|route| route.targets().iter().map(move |target| (route, target)));
        let probes: Vec<_> = targets.map(|(route, target)| tokio::spawn(probe(Arc::clone(route), Arc::clone(target)))).collect();
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

    /// What may be announced to clients now: what every next hop that could be reached has, whichever route a mail will take (DESIGN decision 10).
    #[must_use]
    pub fn offered(&self) -> Offered {
        let offered = Offered::by_all(self.ways.routes.iter().flat_map(|route| route.targets()).filter_map(|target| target.offered()));
        if self.ways.verifies { offered } else { offered.without_proof() }
    }

    /// Whether every next hop answers for each recipient (LMTP), so that a client that hears one reply has one recipient a transaction.
    #[must_use]
    pub fn answers_each(&self) -> bool {
        self.ways.lmtp
    }

    /// Whether some next hop is told who the client is.
    #[must_use]
    pub fn introduces(&self) -> bool {
        self.ways.introduces
    }

    /// A transaction on a route, none being that of `relay:`, that has not been opened yet.
    #[must_use]
    pub fn transaction(&self, route: Option<&str>, behalf: Behalf, sender: Path, declared: Declared) -> Transaction {
        Transaction::new(self.route(route), behalf, sender, declared)
    }

    /// Sends a transaction another way, none being that of `relay:`; whether it went there before does not matter.
    pub fn direct(&self, transaction: &mut Transaction, route: Option<&str>) {
        if transaction.route() != route.unwrap_or(DEFAULT) {
            transaction.take_route(self.route(route));
        }
    }

    fn route(&self, name: Option<&str>) -> Arc<Route> {
        let name = name.unwrap_or(DEFAULT);
        let known = self.ways.routes.iter().find(|route| *route.config.name == *name);
        known.map_or_else(|| Arc::new(Route::missing(name, &self.ways.settings)), Arc::clone)
    }

    /// The connections to each address.
    #[must_use]
    pub fn connections(&self) -> Vec<health::Connections> {
        let mut all: Vec<_> = self.ways.pools.all().iter().map(|pool| pool.connections()).collect();
        all.sort_by(|one, other| one.address.cmp(&other.address));
        all
    }

    /// Closes connections with QUIT, idle ones now, others when their transaction is over: at shutdown, and when other next hops have taken their place.
    pub async fn close(&self) {
        self.ways.pools.close().await;
    }
}

/// One next hop: a connection that is opened, and kept for the first mail.
async fn probe(route: Arc<Route>, target: Arc<Target>) -> Result<(), RelayError> {
    route.connect(&target, &Behalf::default()).await.map(route::Lease::give_back)
}

/// Until when a message may still be sent (DESIGN decision 4).
#[derive(Clone, Copy, Debug)]
pub struct Until {
    pub deadline: std::time::Instant,
    pub hard_deadline: std::time::Instant,
}
