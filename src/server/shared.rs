//! What all sessions share: settings, budgets, the chain, the way out, the store.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::limits::Sessions;
use super::permission::Permission;
use super::receive::Intake;
use crate::base::budget::Budget;
use crate::chain::Chain;
use crate::config::{Config, Listener, Malformed, Received, Timeouts};
use crate::message::{self, Room};
use crate::relay::Relay;
use crate::smtp::extension::Offer;
use crate::smtp::session::Terms;
use crate::store::Store;

/// One for the process.
#[derive(Debug)]
pub struct Shared {
    pub terms: Arc<Terms>,
    pub timeouts: Timeouts,
    /// `relay.connections.hold`.
    pub hold: std::time::Duration,
    pub relay: Relay,
    pub store: Store,
    pub sessions: Arc<Sessions>,
    /// As many long rulings at once as there are cores.
    pub rulings: Semaphore,
    /// Sessions that have nothing under way end.
    pub stop: CancellationToken,
    /// The rest ends, but for dots that are out.
    pub hurry: CancellationToken,
    limits: Arc<message::Limits>,
    room: Room,
}

/// What is special about one listener.
#[derive(Clone, Debug)]
pub struct Door {
    pub name: Arc<str>,
    pub permission: Permission,
    pub chain: Arc<Chain>,
    pub intake: Intake,
    pub behind_queue: bool,
    pub malformed: Malformed,
    pub received: Received,
}

impl Shared {
    #[must_use]
    pub fn new(config: &Config, relay: Relay, store: Store) -> Shared {
        let limits = &config.limits;
        let terms = Terms {
            hostname: config.hostname.clone(),
            token: store.token().to_owned(),
            recipients: limits.recipients,
            commands: limits.commands_per_session,
            errors: limits.errors_per_session,
        };
        let room = Room {
            memory: Budget::new(limits.bytes_in_flight.0),
            disk: Budget::new(limits.temporary_disk.0),
            directory: store.temporary(),
            owner: store.owner().to_owned(),
        };
        Shared {
            terms: Arc::new(terms),
            timeouts: config.timeouts.clone(),
            hold: config.relay.connections.hold,
            relay,
            sessions: Sessions::new(limits.sessions, limits.sessions_per_address),
            rulings: Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)),
            stop: CancellationToken::new(),
            hurry: CancellationToken::new(),
            limits: Arc::new(config.limits.of_message()),
            room,
            store,
        }
    }

    /// The door that a listener is.
    #[must_use]
    pub fn door(&self, config: &Config, listener: &Listener) -> Door {
        let inside = config.inside.clone().map(Arc::new);
        Door {
            name: Arc::clone(&listener.name),
            permission: Permission::new(inside, listener.origin),
            chain: Arc::clone(&config.chain),
            intake: Intake {
                limits: Arc::clone(&self.limits),
                room: self.room.clone(),
                line_endings: listener.line_endings,
                min_data_rate: config.limits.min_data_rate.0,
                silence: config.timeouts.command,
            },
            behind_queue: listener.behind_queue,
            malformed: listener.malformed,
            received: listener.received,
        }
    }

    /// What may be promised to a client now.
    #[must_use]
    pub fn offer(&self) -> Offer {
        let next_hop = self.relay.offered();
        // RFC 1870 4: SIZE 0 is no limit.
        let size = next_hop.size.filter(|size| *size > 0).map_or(self.limits.message_size, |size| size.min(self.limits.message_size));
        // What fits in memory needs no disk.
        let room = self.room.disk.free().max(self.limits.memory);
        Offer { size, room, smtputf8: next_hop.known.then_some(next_hop.smtputf8) }
    }
}
