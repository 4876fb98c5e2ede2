//! Which next hop is asked: in order or the less busy one, those in trouble last, and the next one only on trouble before anything was said about the mail
//! (CONFIG `next_hops`).

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::connection::{Connection, Trouble};
use super::handshake::Unopened;
use super::pool::{Pool, Pools, Slot, discard};
use super::reach;
use super::target::Target;
use super::{NextHop, RelayError, Settings};
use crate::base::random;
use crate::config::{self, Balance, Identity as Introduces};
use crate::smtp::client::{Answer, Capabilities};
use crate::smtp::identity::Identity;
use crate::smtp::reply::Enhanced;

/// Next hops, one of which takes a mail.
#[derive(Debug)]
pub struct Route {
    pub config: Arc<config::Route>,
    pub settings: Arc<Settings>,
    targets: Vec<Arc<Target>>,
}

/// On whose behalf next hops are talked to.
#[derive(Clone, Debug, Default)]
pub struct Behalf {
    /// Whose connections are counted; none where there is no sharing out.
    pub client: Option<IpAddr>,
    /// What next hops are told of the client, where they are told (`identity`).
    pub identity: Option<Arc<Identity>>,
}

/// A connection and the right to have it.
#[derive(Debug)]
pub struct Lease {
    /// On the heap, for it goes from hand to hand with each state of a transaction.
    pub connection: Box<Connection>,
    /// The client that each transaction is said to be of (XFORWARD).
    pub forwards: Option<Arc<Identity>>,
    slot: Slot,
}

/// The next hops that may still be asked for one mail.
#[derive(Debug, Default)]
pub struct Attempts {
    /// The one that is asked now.
    now: Option<usize>,
    given_up: Vec<usize>,
    /// A pooled connection failed: no other one is trusted.
    fresh: bool,
    last: Option<RelayError>,
}

/// A transaction that could not be opened, and where.
#[derive(Debug)]
pub struct Failed {
    pub trouble: Trouble,
    pub target: Arc<Target>,
    /// The connection had been idle, in the pool or between two commands of a transaction.
    pub stale: bool,
    /// A recipient had been accepted on it.
    pub accepted: bool,
}

impl Route {
    #[must_use]
    pub fn new(config: &Arc<config::Route>, settings: &Arc<Settings>, pools: &Arc<Pools>) -> Route {
        let target = |next_hop: &NextHop| Target::new(next_hop.clone(), Arc::clone(config), Arc::clone(settings), pools);
        Route { targets: config.next_hops.iter().map(target).collect(), config: Arc::clone(config), settings: Arc::clone(settings) }
    }

    /// One that the configuration does not have any more: nothing goes there, and the log says why.
    #[must_use]
    pub fn missing(name: &str, settings: &Arc<Settings>) -> Route {
        let config = config::Route { name: name.into(), ..config::Route::default() };
        Route { targets: Vec::new(), config: Arc::new(config), settings: Arc::clone(settings) }
    }

    #[must_use]
    pub fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    /// The next hop that is to be asked now, those in trouble after the others.
    fn choose(&self, attempts: &mut Attempts) -> Option<usize> {
        if attempts.now.is_none() {
            let left = || (0..self.targets.len()).filter(|at| !attempts.given_up.contains(at));
            let sound = || left().filter(|at| !self.targets[*at].is_troubled());
            attempts.now = match (self.targets.len(), self.config.balance) {
                (1, _) => left().next(),
                (_, Balance::Order) => sound().next().or_else(|| left().next()),
                (_, Balance::Spread) => self.less_busy(sound().collect()).or_else(|| self.less_busy(left().collect())),
            };
        }
        attempts.now
    }

    /// Of two at random the one with less to do: nearly as good as the best of all, and no crowd runs to the same one.
    fn less_busy(&self, mut among: Vec<usize>) -> Option<usize> {
        let mut draw = || (!among.is_empty()).then(|| among.swap_remove(random::below(among.len())));
        let (one, other) = (draw()?, draw());
        let load = |at: usize| self.targets[at].load();
        Some(other.filter(|other| load(*other) < load(one)).unwrap_or(one))
    }

    /// A connection to the first next hop that gives one.
    ///
    /// # Errors
    /// None does.
    pub async fn lease(&self, attempts: &mut Attempts, behalf: &Behalf) -> Result<Lease, RelayError> {
        while let Some(at) = self.choose(attempts) {
            let target = &self.targets[at];
            let idle = if attempts.fresh { None } else { self.idle(target, behalf) };
            let lease = match idle {
                Some((slot, connection)) => Ok(Lease { connection, forwards: None, slot }),
                None => Box::pin(self.open(target, attempts.fresh, behalf)).await,
            };
            let lease = match lease {
                Ok(lease) => lease,
                Err(error @ (RelayError::Loop(_) | RelayError::Busy(_))) => return Err(error),
                Err(error) => {
                    self.give_up(attempts, at, error);
                    continue;
                }
            };
            match self.on_behalf(lease, behalf).await {
                Ok(lease) => return Ok(lease),
                Err(failed) => {
                    if let Err(error) = self.after(attempts, failed) {
                        self.give_up(attempts, at, error);
                    }
                }
            }
        }
        Err(attempts.last.take().unwrap_or_else(|| {
            let text = format!("there is no route called `{}` any more: put it back under `routes:`", self.config.name);
            tracing::error!("{text}");
            RelayError::Unavailable(text)
        }))
    }

    /// An idle connection: where clients are introduced, one that speaks for this one, else one that can be made to.
    fn idle(&self, target: &Arc<Target>, behalf: &Behalf) -> Option<(Slot, Box<Connection>)> {
        let fitting = |wanted: &dyn Fn(&Connection) -> bool| target.at_known(|pool| pool.idle(target, behalf.client, wanted));
        if self.config.identity != Introduces::XClient {
            return fitting(&any);
        }
        let identity = behalf.identity.as_deref();
        fitting(&|connection| connection.speaks_for(identity)).or_else(|| fitting(&|connection| connection.can_speak_for(identity)))
    }

    /// The connection, and whom it speaks for from now on.
    async fn on_behalf(&self, mut lease: Lease, behalf: &Behalf) -> Result<Lease, Failed> {
        match (self.config.identity, &behalf.identity) {
            (Introduces::None, _) | (_, None) => {}
            (Introduces::XForward, Some(identity)) => lease.forwards = Some(Arc::clone(identity)),
            (Introduces::XClient, Some(identity)) => {
                let (stale, target) = (lease.connection.reused, Arc::clone(lease.target()));
                let introduced = Box::pin(lease.connection.introduce(identity)).await;
                introduced.map_err(|trouble| Failed { trouble, target, stale, accepted: false })?;
            }
        }
        Ok(lease)
    }

    /// A new connection to this next hop.
    ///
    /// # Errors
    /// As [`Route::lease`].
    pub async fn connect(&self, target: &Arc<Target>, behalf: &Behalf) -> Result<Lease, RelayError> {
        self.open(target, true, behalf).await
    }

    /// A connection to this next hop, when there is a slot at one of its addresses; a new one, if none came back meanwhile.
    async fn open(&self, target: &Arc<Target>, fresh: bool, behalf: &Behalf) -> Result<Lease, RelayError> {
        let mut left = told(target, target.resolved().await)?;
        let within = self.config.connections.connect;
        loop {
            let (slot, stream) = match reach::first(&mut left, behalf.client, within).await {
                Ok(reached) => reached,
                Err(Some(trouble)) if left.is_empty() => return told(target, Err(trouble)),
                Err(_) => {
                    let Some(slot) = self.in_turn(&left, behalf.client).await else { return Err(self.busy(&target.next_hop)) };
                    let identity = behalf.identity.as_deref();
                    let fits = |connection: &Connection| connection.can_speak_for(identity);
                    let idle = if fresh { None } else { slot.idle(target, &fits) };
                    match idle {
                        Some(connection) => return Ok(Lease { connection, forwards: None, slot }),
                        None => match reach::to(slot, within).await {
                            Ok(reached) => reached,
                            Err((pool, trouble)) => {
                                left.retain(|other| !Arc::ptr_eq(other, &pool));
                                if left.is_empty() {
                                    return told(target, Err(trouble));
                                }
                                continue;
                            }
                        },
                    }
                }
            };
            let pool = Arc::clone(slot.pool());
            match Connection::open(stream, target, &pool.place).await {
                Ok(connection) => return self.welcome(Box::new(connection), slot),
                Err(Unopened { trouble, greeted }) => {
                    note(&pool, &trouble, greeted);
                    left.retain(|other| !Arc::ptr_eq(other, &pool));
                    if left.is_empty() {
                        return told(target, Err(trouble));
                    }
                    tracing::warn!("next hop {} at {} {trouble}; another address of it is tried", target.next_hop, pool.place);
                }
            }
        }
    }

    /// A new connection, its capabilities noted; no loop.
    fn welcome(&self, connection: Box<Connection>, slot: Slot) -> Result<Lease, RelayError> {
        let target = Arc::clone(&connection.target);
        slot.pool().note_success();
        if target.note_success(&connection.capabilities) && self.config.identity != Introduces::None {
            self.warn_of_silence(&connection);
        }
        if connection.capabilities.token.as_deref() != Some(self.settings.token.as_str()) {
            return Ok(Lease { connection, forwards: None, slot });
        }
        let text =
            format!("next hop {} is this Transom itself: mail would go round in circles; correct {}", target.next_hop, self.config.key());
        tracing::error!("{text}");
        discard(connection);
        Err(RelayError::Loop(text))
    }

    /// It was told to introduce clients to one that does not want to know.
    fn warn_of_silence(&self, connection: &Connection) {
        let Capabilities { xforward, xclient, .. } = &connection.capabilities;
        let (verb, taken) = if self.config.identity == Introduces::XClient { ("XCLIENT", xclient) } else { ("XFORWARD", xforward) };
        if taken.is_empty() {
            tracing::warn!(
                "next hop {} takes no {verb} from us, so it is not told who the client is: have its operator name this host (Postfix: smtpd_authorized_{}_hosts), or leave `identity` out",
                connection.next_hop,
                verb.to_ascii_lowercase()
            );
        }
    }

    /// A slot at one of these addresses, after all who waited there before; none when it takes longer than `connections.wait`.
    async fn in_turn(&self, pools: &[Arc<Pool>], client: Option<IpAddr>) -> Option<Slot> {
        let mut queues: Vec<oneshot::Receiver<Slot>> = pools.iter().map(|pool| pool.queue(client)).collect();
        let first = poll_fn(|context| {
            for queue in &mut queues {
                if let Poll::Ready(Ok(slot)) = Pin::new(queue).poll(context) {
                    return Poll::Ready(slot);
                }
            }
            Poll::Pending
        });
        timeout(self.config.connections.wait, first).await.ok()
    }

    fn busy(&self, next_hop: &NextHop) -> RelayError {
        let text = format!(
            "all {} connections to next hop {next_hop} were busy for {} s; raise relay.connections.max or see why it is slow",
            self.settings.max(),
            self.config.connections.wait.as_secs_f32()
        );
        tracing::error!("{text}");
        RelayError::Busy(text)
    }

    /// Whether somebody waits for a connection to one of its next hops.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        let pressed = |target: &Arc<Target>| target.at_known(|pool| pool.is_pressed().then_some(())).is_some();
        self.targets.iter().any(pressed)
    }

    /// Whether it may be tried again after this (SEMANTICS 11): once on a new connection where the old one was stale, and at the next next hop where
    /// one closed down before it accepted a recipient.
    ///
    /// # Errors
    /// It may not; why, for the log of the mail.
    pub fn after(&self, attempts: &mut Attempts, failed: Failed) -> Result<(), RelayError> {
        let Failed { trouble, target, stale, accepted } = failed;
        let error = || unavailable(&target.next_hop, &trouble);
        let at = self.targets.iter().position(|known| Arc::ptr_eq(known, &target));
        match &trouble {
            Trouble::Closed if stale && !attempts.fresh => attempts.again(at),
            Trouble::Said(_, answer) if stale && !attempts.fresh && !accepted && is_farewell(answer) => attempts.again(at),
            Trouble::Said(_, Answer { code: 421, .. }) if !accepted => {
                let error = error();
                match at {
                    Some(at) => self.give_up(attempts, at, error),
                    // Of another route; nobody here has said no.
                    None => attempts.last = Some(error),
                }
            }
            _ => return Err(error()),
        }
        Ok(())
    }

    fn give_up(&self, attempts: &mut Attempts, at: usize, error: RelayError) {
        attempts.given_up.push(at);
        attempts.now = None;
        attempts.last = Some(error);
        if let Some(next) = self.choose(attempts) {
            tracing::warn!("the next one is tried: {}", self.targets[next].next_hop);
        }
    }
}

impl Attempts {
    /// The same next hop, on a new connection.
    fn again(&mut self, at: Option<usize>) {
        self.fresh = true;
        self.now = at;
    }
}

impl Lease {
    /// Back to the pool, if it is fit for another mail.
    pub fn give_back(self) {
        self.slot.give_back(self.connection);
    }

    #[must_use]
    pub fn target(&self) -> &Arc<Target> {
        &self.connection.target
    }

    #[must_use]
    pub fn next_hop(&self) -> Arc<str> {
        Arc::clone(&self.target().name)
    }

    /// RSET, and back to the pool; closed when that fails.
    pub async fn abandon(mut self) {
        match self.connection.reset().await {
            Ok(()) => self.give_back(),
            Err(trouble) => tracing::debug!("next hop {} {trouble}", self.connection.next_hop),
        }
    }
}

/// Trouble with all addresses of a next hop, noted.
fn told<T>(target: &Arc<Target>, result: Result<T, Trouble>) -> Result<T, RelayError> {
    result.map_err(|trouble| {
        target.note_trouble();
        unavailable(&target.next_hop, &trouble)
    })
}

/// Notes that an address took a connection and nothing came of it; one that takes no more, or has no word for it, gets no more for a while.
fn note(pool: &Arc<Pool>, trouble: &Trouble, greeted: bool) {
    pool.note_trouble();
    if !greeted || matches!(trouble, Trouble::Said(_, Answer { code: 421, .. })) {
        pool.lower();
    }
}

/// A reply with which a server ends a connection that has lasted too long: 421, or 554 for too many commands. A 554 that speaks of addresses or policy is a verdict.
#[must_use]
pub fn is_farewell(answer: &Answer) -> bool {
    answer.code == 421 || (answer.code == 554 && matches!(answer.enhanced, None | Some(Enhanced(_, 0 | 5, _))))
}

/// Any connection will do.
fn any(_: &Connection) -> bool {
    true
}

/// Trouble as an error for the caller, logged once, here.
pub fn unavailable(next_hop: &NextHop, trouble: &Trouble) -> RelayError {
    let text = format!("next hop {next_hop} {trouble}");
    tracing::error!("{text}");
    RelayError::Unavailable(text)
}
