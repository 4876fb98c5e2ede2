//! What may be seen of a running server from outside: how it stands, never a message.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::shared::{Setup, Shared};
use crate::base::budget::Budget;
use crate::chain::link::Mode;
use crate::relay::Relay;
use crate::store::Store;
use crate::store::tally::Sum;

/// See the module. It keeps the store open: to be dropped with the server.
#[derive(Clone, Debug)]
pub struct View {
    setup: watch::Receiver<Setup>,
}

/// What is used of what a limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub used: u64,
    pub limit: u64,
}

impl Usage {
    fn of(budget: &Budget) -> Usage {
        Usage { used: budget.used(), limit: budget.limit() }
    }
}

impl View {
    pub(super) fn new(setup: watch::Receiver<Setup>) -> View {
        View { setup }
    }

    fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.setup.borrow().shared)
    }

    /// Whether it has been told to stop.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.shared().stop.is_given()
    }

    /// The way out, as in force now.
    #[must_use]
    pub fn relay(&self) -> Relay {
        self.shared().relay.clone()
    }

    #[must_use]
    pub fn store(&self) -> Store {
        self.shared().store.clone()
    }

    /// Sessions open now, and `limits.sessions`.
    #[must_use]
    pub fn sessions(&self) -> Usage {
        self.shared().sessions.usage()
    }

    /// `limits.bytes_in_flight` and `limits.temporary_disk`.
    #[must_use]
    pub fn budgets(&self) -> (Usage, Usage) {
        let shared = self.shared();
        let room = shared.room();
        (Usage::of(&room.memory), Usage::of(&room.disk))
    }

    /// What became of each rule of the configuration since this process began, by name and whether it is only observed. Chain entries have their place
    /// here once their own condition has failed. Rules that are not in the configuration any more have none: their number is bounded by what an operator
    /// writes.
    #[must_use]
    pub fn rules(&self) -> BTreeMap<(Arc<str>, bool), Sum> {
        let known = self.shared().store.since_start();
        let mut rules = BTreeMap::new();
        for link in self.setup.borrow().doors.iter().flat_map(|door| door.chain.links()) {
            for rule in link.files.iter().flat_map(|file| &file.rules) {
                let mode = link.mode.max(rule.mode);
                if mode != Mode::Disabled {
                    let key = (Arc::clone(&rule.name), mode == Mode::Observe);
                    let sum = known.get(&key).copied().unwrap_or_default();
                    rules.insert(key, sum);
                }
            }
            let key = (Arc::clone(&link.name), link.mode == Mode::Observe);
            if let Some(sum) = known.get(&key) {
                rules.insert(key, *sum);
            }
        }
        rules
    }
}
