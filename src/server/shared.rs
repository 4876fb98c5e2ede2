//! What all sessions share: settings, budgets, the way out, the store; and what is special about a listener.
//!
//! A [`Setup`] is what one configuration makes of it, and is put in the place of another as a whole. A session takes what is in force when it begins, and
//! again between two transactions: a message keeps the rules, limits and next hops it began with.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use ulid::{ULID_LEN, Ulid};

use super::limits::{Sessions, Turns};
use super::pace::Pace;
use super::permission::Permission;
use super::receive::Intake;
use crate::base::budget::Budget;
use crate::base::clock;
use crate::base::sign::Sign;
use crate::chain::Chain;
use crate::chain::ruling::Sight;
use crate::config::{Announce, Auth, Config, Listener, ListenerTls, Malformed, Protocol, Received, Timeouts};
use crate::message::{self, Room};
use crate::relay::Relay;
use crate::smtp::extension::{Extension, Extensions, Offer, Submitter};
use crate::smtp::session::Terms;
use crate::store::Store;
use crate::store::tally::Count;

/// What is in force.
#[derive(Clone, Debug)]
pub struct Setup {
    pub shared: Arc<Shared>,
    /// In the order of the listeners that are bound.
    pub doors: Vec<Arc<Door>>,
}

/// Where a listener's sessions see what is in force.
#[derive(Clone, Debug)]
pub struct Entrance {
    setup: watch::Receiver<Setup>,
    listener: usize,
}

/// One for all listeners. The store, the budgets and the signs to stop are those of the process, whatever the configuration.
#[derive(Debug)]
pub struct Shared {
    pub terms: Arc<Terms>,
    pub timeouts: Timeouts,
    pub relay: Relay,
    pub store: Store,
    pub sessions: Arc<Sessions>,
    /// None: an address may begin any number of messages.
    pub pace: Option<Pace>,
    /// As many long rulings at once as there are cores.
    pub rulings: Arc<Semaphore>,
    /// Half as many passwords checked at once: hashing one takes a core, and mail goes on.
    pub logins: Arc<Semaphore>,
    /// And of these no two for one address, which would keep all others waiting.
    pub turns: Arc<Turns>,
    /// Sessions that have nothing under way end.
    pub stop: Sign,
    /// The rest ends, but for dots that are out.
    pub hurry: Sign,
    /// `relay.announce`.
    announce: Announce,
    limits: Arc<message::Limits>,
    room: Room,
}

/// What is known of a client beyond its address.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is asked on its own, any of them may hold")]
pub struct Standing {
    /// Its connection is protected by TLS.
    pub secured: bool,
    /// It is in `trust.xforward`: the operator's own server, which may not have read our EHLO.
    pub trusted: bool,
    /// It has been told of AUTH.
    pub may_log_in: bool,
    /// It hears of each recipient (LMTP).
    pub hears_each: bool,
}

/// What is special about one listener.
#[derive(Clone, Debug)]
pub struct Door {
    pub name: Arc<str>,
    pub permission: Permission,
    /// None: nobody can log in.
    pub auth: Option<Arc<Auth>>,
    pub chain: Arc<Chain>,
    /// It has something to say about a recipient before the message is here.
    pub looks_at_recipients: bool,
    pub intake: Intake,
    /// Where its mail goes; none: as in `relay:`.
    pub route: Option<Arc<str>>,
    pub lmtp: bool,
    /// `limits.classes`.
    pub classes: usize,
    pub behind_queue: bool,
    pub malformed: Malformed,
    pub received: Received,
    pub tls: Option<ListenerTls>,
}

impl Setup {
    /// What a configuration makes, whose listeners are those that are bound.
    #[must_use]
    pub fn new(config: &Config, shared: Shared) -> Setup {
        let doors = config.listeners.iter().map(|listener| Arc::new(shared.door(config, listener))).collect();
        Setup { shared: Arc::new(shared), doors }
    }
}

impl Entrance {
    #[must_use]
    pub fn new(setup: watch::Receiver<Setup>, listener: usize) -> Entrance {
        Entrance { setup, listener }
    }

    /// What is in force now.
    pub fn now(&mut self) -> (Arc<Shared>, Arc<Door>) {
        let setup = self.setup.borrow_and_update();
        (Arc::clone(&setup.shared), Arc::clone(&setup.doors[self.listener]))
    }

    /// The same, if it is something else than when it was last asked for.
    pub fn changed(&mut self) -> Option<(Arc<Shared>, Arc<Door>)> {
        self.setup.has_changed().is_ok_and(|changed| changed).then(|| self.now())
    }
}

fn terms(config: &Config, store: &Store) -> Arc<Terms> {
    Arc::new(Terms {
        hostname: config.hostname.clone(),
        token: store.token().into(),
        recipients: config.limits.recipients,
        commands: config.limits.commands_per_session,
        errors: config.limits.errors_per_session,
    })
}

impl Shared {
    #[must_use]
    pub fn new(config: &Config, relay: Relay, store: Store) -> Shared {
        let limits = &config.limits;
        let room = Room {
            memory: Budget::new(limits.bytes_in_flight.0),
            disk: Budget::new(limits.temporary_disk.0),
            directory: store.temporary().into(),
            owner: store.owner().into(),
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Shared {
            terms: terms(config, &store),
            timeouts: config.timeouts.clone(),
            relay,
            sessions: Sessions::new(limits.sessions, limits.sessions_per_address),
            pace: Pace::new(limits.messages_per_address, None, clock::monotonic()),
            rulings: Arc::new(Semaphore::new(cores)),
            logins: Arc::new(Semaphore::new(cores.div_ceil(2))),
            turns: Arc::default(),
            stop: Sign::default(),
            hurry: Sign::default(),
            announce: config.relay.announce,
            limits: Arc::new(config.limits.of_message()),
            room,
            store,
        }
    }

    /// The same under another configuration. The process's own limits change at once, for all.
    #[must_use]
    pub fn under(&self, config: &Config, relay: Relay) -> Shared {
        let limits = &config.limits;
        self.sessions.set_limits(limits.sessions, limits.sessions_per_address);
        self.room.memory.set_limit(limits.bytes_in_flight.0);
        self.room.disk.set_limit(limits.temporary_disk.0);
        Shared {
            terms: terms(config, &self.store),
            timeouts: config.timeouts.clone(),
            relay,
            store: self.store.clone(),
            sessions: Arc::clone(&self.sessions),
            pace: Pace::new(limits.messages_per_address, self.pace.as_ref(), clock::monotonic()),
            rulings: Arc::clone(&self.rulings),
            logins: Arc::clone(&self.logins),
            turns: Arc::clone(&self.turns),
            stop: self.stop.clone(),
            hurry: self.hurry.clone(),
            announce: config.relay.announce,
            limits: Arc::new(limits.of_message()),
            room: self.room.clone(),
        }
    }

    /// Counts what became of the rules for a message.
    pub fn count(&self, id: Ulid, seen: &[Sight]) {
        let counts = seen.iter().map(|Sight { rule, observed, fired, error, different }| Count {
            rule,
            observed: *observed,
            fired: *fired,
            failed: error.is_some(),
            different: *different,
        });
        if !seen.is_empty() {
            self.store.count(id.array_to_str(&mut [0; ULID_LEN]), clock::now(), counts);
        }
    }

    /// The door that a listener is: the one place that says which chain its mail takes.
    fn door(&self, config: &Config, listener: &Listener) -> Door {
        let inside = config.inside.clone().map(Arc::new);
        let chain = listener.chain.as_ref().unwrap_or(&config.chain);
        Door {
            name: Arc::clone(&listener.name),
            permission: Permission::new(inside, listener.origin, listener.trust.clone()),
            auth: listener.auth.clone(),
            chain: Arc::clone(chain),
            looks_at_recipients: chain.looks_at_recipients(),
            intake: Intake {
                limits: Arc::clone(&self.limits),
                room: self.room.clone(),
                line_endings: listener.line_endings,
                min_data_rate: config.limits.min_data_rate.0,
                silence: config.timeouts.command,
                leaves_unread: listener.behind_queue,
            },
            route: listener.route.clone(),
            lmtp: listener.protocol == Protocol::Lmtp,
            classes: config.limits.classes,
            behind_queue: listener.behind_queue,
            malformed: listener.malformed,
            received: listener.received,
            tls: listener.tls.clone(),
        }
    }

    /// The budgets of all messages.
    #[must_use]
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// What may be promised to a client now.
    #[must_use]
    pub fn offer(&self, client: Standing) -> Offer {
        let next_hop = self.relay.offered();
        // RFC 1870 4: SIZE 0 is no limit.
        let size = next_hop.size.filter(|size| *size > 0).map_or(self.limits.message_size, |size| size.min(self.limits.message_size));
        // What fits in memory needs no disk.
        let room = self.room.disk.free().max(self.limits.memory);
        let one = (self.relay.answers_each() && !client.hears_each).then_some(1);
        let recipients = [next_hop.recipients, one].into_iter().flatten().fold(self.terms.recipients, usize::min);
        let (extensions, known) = match self.announce {
            Announce::Mirror => (next_hop.extensions, next_hop.known),
            Announce::These(extensions) => (extensions, true),
        };
        // RFC 8689 4.2.1: without TLS there is nothing to require.
        let possible = |extensions: Extensions| if client.secured { extensions } else { extensions.without(Extension::RequireTls) };
        let announced = possible(extensions);
        let understood = if client.trusted { possible(Extensions::ALL) } else { announced };
        let submitter = match client {
            Standing { trusted: true, .. } => Submitter::Passed,
            Standing { may_log_in: true, .. } => Submitter::Hidden,
            _ => Submitter::Refused,
        };
        Offer { size, room, recipients, announced, understood, submitter, known }
    }
}
