//! From the client: sockets, sessions, permission, limits, commit, shutdown.
//!
//! [`Server::start`] opens the store, binds the listeners and asks the next hops what they offer; [`Server::serve`] takes mail until told to stop
//! (SEMANTICS 7: sessions with nothing under way hear 421, a message from DATA on is finished, a dot that is out is waited for whatever it takes).

pub mod commit;
mod connection;
mod cores;
mod hold;
mod input;
mod judge;
mod limits;
mod listener;
mod pace;
mod peer;
mod permission;
pub mod proxy;
mod receive;
mod reload;
mod shared;
mod summary;
mod tls;
pub mod view;

use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::Connection;
use self::cores::Cores;
pub use self::listener::{Arrival, Listening, Socket};
pub use self::peer::Peer;
pub use self::permission::Permission;
pub use self::reload::{Reload, ReloadError};
use self::shared::{Entrance, Setup, Shared};
use self::view::View;
use crate::base::clock;
use crate::base::systemd::{self, Sockets};
use crate::config::{Address, Config};
use crate::relay::{self, Relay, RelayError};
use crate::store::{self, Store, StoreError};

/// How long a start waits to learn what the next hops offer; longer, and it goes on without.
const PROBE: Duration = Duration::from_secs(3);
/// How often expired holds are looked for.
const EXPIRY: Duration = Duration::from_hours(1);
/// How often the counts of rules are written.
const COUNTS: Duration = Duration::from_secs(5);

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}: {error}{}", advice(.address, .error))]
    Listen { address: Address, error: std::io::Error },
    /// It came out, once bound, as reachable from other machines, and nothing says what is inside.
    #[error("{0} can be reached from other machines: say with `inside:` who may relay, or listen on 127.0.0.1")]
    OpenRelay(Address),
    #[error("the store cannot be opened: {0}")]
    Store(#[from] StoreError),
    #[error("a next hop is this server itself: {0}")]
    Loop(String),
    #[error("cannot start threads: {0}")]
    Threads(std::io::Error),
}

/// What to do about an address that cannot be listened on.
fn advice(address: &Address, error: &std::io::Error) -> &'static str {
    match (error.kind(), address) {
        (ErrorKind::AddrInUse, _) => "; another program, or another listener, has it: `ss -lnptx` shows who, or choose another port",
        (ErrorKind::AddrNotAvailable, _) => "; no interface of this machine has it: see `ip address`",
        (ErrorKind::PermissionDenied, Address::Tcp(_)) => {
            "; ports below 1024 want root, CAP_NET_BIND_SERVICE, or a socket of systemd (`address: \"systemd:NAME\"`)"
        }
        (ErrorKind::PermissionDenied, _) => "; this user may not write in its directory: see its owner and mode",
        (ErrorKind::NotFound, Address::Unix(_)) => "; its directory is not there: make it",
        _ => "",
    }
}

/// A server whose listeners are bound.
#[derive(Debug)]
pub struct Server {
    setup: Arc<watch::Sender<Setup>>,
    /// Each with the number of its listener; the service manager may pass several for one.
    listeners: Vec<(usize, Listening)>,
    addresses: Vec<Address>,
    sessions: TaskTracker,
    cores: Arc<Cores>,
}

/// Starts and serves until `shutdown`.
///
/// # Errors
/// Why nothing was started.
pub async fn run(config: &Config, sockets: Sockets, shutdown: CancellationToken) -> Result<(), StartError> {
    Server::start(config, sockets).await?.serve(shutdown).await
}

impl Server {
    /// Opens the store and binds the listeners, or takes from `sockets` what the service manager has bound. Nothing is accepted yet.
    ///
    /// # Errors
    /// Why nothing was started.
    pub async fn start(config: &Config, mut sockets: Sockets) -> Result<Server, StartError> {
        let quarantine = &config.store.quarantine;
        let (path, limits) = (config.store.path.clone(), store::Limits { keep: quarantine.keep, size: quarantine.size.0 });
        let opened = spawn_blocking(move || Store::open(&path, limits)).await;
        let store = opened.unwrap_or_else(|panic| Err(StoreError::Unable(panic.to_string())))?;
        let relay = Relay::new(relay::Settings::of(config, store.token()));
        let shared = Shared::new(config, relay, store);
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        for (at, listener) in config.listeners.iter().enumerate() {
            let failed = |error| StartError::Listen { address: listener.address.clone(), error };
            for listening in Listening::bind_or_take(&listener.address, &mut sockets).await.map_err(failed)? {
                let address = listening.address().map_err(failed)?;
                if config.inside.is_none() && !address.is_local() {
                    return Err(StartError::OpenRelay(address));
                }
                addresses.push(address);
                listeners.push((at, listening));
            }
        }
        for name in sockets.left() {
            tracing::warn!(
                name,
                "a socket was passed that no listener names: with `address: systemd:{name}` one would take what comes to it"
            );
        }
        let setup = Arc::new(watch::Sender::new(Setup::new(config, shared)));
        let cores = Arc::new(Cores::start().map_err(StartError::Threads)?);
        Ok(Server { setup, listeners, addresses, sessions: TaskTracker::new(), cores })
    }

    /// Where it listens, in the order of the configuration, with the port the system chose for port 0.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// What puts another configuration in the place of this one, with which it was started.
    #[must_use]
    pub fn reload(&self, config: Config) -> Reload {
        Reload::new(Arc::clone(&self.setup), config, self.addresses.clone())
    }

    /// How it stands, to be asked at any time.
    #[must_use]
    pub fn view(&self) -> View {
        View::new(self.setup.subscribe())
    }

    /// What is in force now.
    fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.setup.borrow().shared)
    }

    /// Serves one client that came to the listener of this number in another way than through its socket, on the runtime of whoever awaits it. None where
    /// there is no place for it.
    pub fn session(
        &self,
        listener: usize,
        stream: Box<dyn Socket>,
        peer: Option<IpAddr>,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let mut entrance = Entrance::new(self.setup.subscribe(), listener);
        let (shared, door) = entrance.now();
        let peer = peer.map_or(Peer::Unix, |address| Peer::new((address, 0).into()));
        let place = shared.sessions.admit(door.permission.counted(peer))?;
        let mut connection = Connection::new(stream, peer, entrance, place);
        Some(async move { connection.serve().await })
    }

    /// Takes mail until `shutdown`, and returns when the last session has ended.
    ///
    /// # Errors
    /// A next hop turned out to be this server.
    pub async fn serve(mut self, shutdown: CancellationToken) -> Result<(), StartError> {
        let accepting = TaskTracker::new();
        for (at, listening) in std::mem::take(&mut self.listeners) {
            let entrance = Entrance::new(self.setup.subscribe(), at);
            accepting.spawn(accept(listening, entrance, self.sessions.clone(), Arc::clone(&self.cores)));
        }
        accepting.spawn(expire(self.shared()));
        accepting.spawn(write_counts(self.shared()));
        accepting.spawn(tls::watch(Arc::clone(&self.setup)));
        accepting.close();
        let alive = tokio::spawn(keep_alive(Arc::clone(&self.cores)));
        let probed = probe(self.shared().relay.clone()).await.map_err(StartError::Loop);
        if probed.is_ok() {
            self.shared().relay.keep_warm();
            self.shared().relay.keep_fresh();
            for address in &self.addresses {
                tracing::info!("listening on {address}");
            }
            systemd::ready("taking mail");
            shutdown.cancelled().await;
            tracing::info!(sessions = self.sessions.len(), "shutting down");
        }
        let shared = self.shared();
        systemd::stopping(shared.timeouts.shutdown + shared.timeouts.after_dot);
        shared.stop.give();
        self.sessions.close();
        accepting.wait().await;
        if timeout(shared.timeouts.shutdown, self.sessions.wait()).await.is_err() {
            tracing::warn!(sessions = self.sessions.len(), "timeouts.shutdown is over: messages without a dot sent are given up");
            shared.hurry.give();
            self.sessions.wait().await;
        }
        shared.store.end_again();
        // A reload may have brought another one meanwhile.
        self.shared().relay.close().await;
        alive.abort();
        probed
    }
}

/// Learns what the next hops offer. One that does not answer in time is asked on, beside the mail; one that is ourselves is an error.
async fn probe(relay: Relay) -> Result<(), String> {
    let mut probe = tokio::spawn(async move { relay.probe().await });
    let in_time = timeout(PROBE, &mut probe).await;
    if let Ok(Ok(Err(RelayError::Loop(text)))) = in_time { Err(text) } else { Ok(()) }
}

async fn accept(listening: Listening, mut entrance: Entrance, sessions: TaskTracker, cores: Arc<Cores>) {
    let (mut shared, mut door) = entrance.now();
    loop {
        let (arrival, peer) = tokio::select! {
            biased;
            () = shared.stop.given() => return,
            accepted = listening.accept() => accepted,
        };
        if let Some(now) = entrance.changed() {
            (shared, door) = now;
        }
        if let Some(place) = shared.sessions.admit(door.permission.counted(peer)) {
            let entrance = entrance.clone();
            cores.spawn(&sessions, |core| async move {
                let _core = core;
                if let Some(stream) = opened(arrival) {
                    let mut connection = Connection::new(stream, peer, entrance, place);
                    connection.serve().await;
                }
            });
        } else {
            tracing::warn!(client = %peer, "session refused: limits.sessions or limits.sessions_per_address is reached");
            if let Some(stream) = opened(arrival) {
                let secure = door.tls.as_ref().is_some_and(|tls| tls.implicit);
                sessions.spawn(connection::turn_away(stream, secure));
            }
        }
    }
}

/// Tells the service manager that all threads answer, if it wants to know.
async fn keep_alive(cores: Arc<Cores>) {
    let Some(pause) = systemd::watchdog() else { return };
    let mut times = interval(pause);
    loop {
        times.tick().await;
        cores.answer().await;
        systemd::alive();
    }
}

/// Writes the counts of rules now and then; what is left at the end goes with the store.
async fn write_counts(shared: Arc<Shared>) {
    let mut times = interval(COUNTS);
    loop {
        tokio::select! {
            biased;
            () = shared.stop.given() => return,
            _ = times.tick() => shared.store.write_counts(clock::now()),
        }
    }
}

fn opened(arrival: Arrival) -> Option<Box<dyn Socket>> {
    arrival
        .open()
        .inspect_err(|error| tracing::error!(%error, "a client's connection could not be taken; see the limit of open files"))
        .ok()
}

/// Deletes holds that are older than `store.quarantine.keep`, now and every hour.
async fn expire(shared: Arc<Shared>) {
    let mut hours = interval(EXPIRY);
    loop {
        tokio::select! {
            biased;
            () = shared.stop.given() => return,
            _ = hours.tick() => {}
        }
        if let Err(error) = shared.store.expire(clock::now()).await {
            tracing::error!(%error, "expired holds could not be deleted; trying again in an hour");
        }
    }
}
