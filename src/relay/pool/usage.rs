//! How a pool stands, for whoever watches the server.

use super::super::health::Connections;
use super::{Pool, State};

impl Pool {
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
