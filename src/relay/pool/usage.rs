//! How a pool stands, for whoever watches the server.

use std::sync::Arc;

use super::super::health::Connections;
use super::super::target::Target;
use super::{Pool, State};

impl Pool {
    /// Idle connections of this target.
    #[must_use]
    pub fn ready(&self, target: &Arc<Target>) -> usize {
        self.state().idle.iter().filter(|connection| Arc::ptr_eq(&connection.target, target)).count()
    }

    /// Whether there may be one connection more, and nobody waits for it.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let mut state = self.state();
        state.waiting.is_empty() && state.taken + state.idle.len() < self.most(&mut state)
    }

    /// Slots that are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.state().taken
    }

    /// As it stands now.
    #[must_use]
    pub fn connections(&self) -> Connections {
        let mut state = self.state();
        let most = self.most(&mut state);
        let waiting = state.waiting.iter().filter(|waiter| !waiter.slot.is_closed()).count();
        let State { taken, idle, reached, .. } = &*state;
        Connections { address: self.place.to_string(), busy: *taken, idle: idle.len(), most, waiting, reached: *reached }
    }
}
