//! Connections to one next hop: how many are open, which are idle, who waits for one.
//!
//! A [`Slot`] is the right to have one connection. Whoever waits for a slot is served in order. Slots taken and idle connections together never exceed `max`:
//! who takes a slot takes an idle connection with it, if there is one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::connection::Connection;
use super::{NextHop, Settings};
use crate::base::clock;

/// How long a next hop that was in trouble is asked last, and one that answered 421 to its greeting gets no more connections than it has (SEMANTICS 11).
pub const TROUBLED: Duration = Duration::from_secs(10);

/// The connections to one next hop.
#[derive(Debug)]
pub struct Pool {
    pub next_hop: NextHop,
    settings: Arc<Settings>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// The one that came back last is at the end, and goes first: the others may grow old and be closed.
    idle: Vec<Connection>,
    waiting: VecDeque<oneshot::Sender<Slot>>,
    /// Not more than so many, until then.
    lowered: Option<(usize, Instant)>,
    troubled: Option<Instant>,
    /// A task looks after the idle ones.
    swept: bool,
    /// What comes back is closed.
    closed: bool,
}

/// The right to have one connection to this next hop; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    pool: Arc<Pool>,
    held: bool,
}

impl Pool {
    #[must_use]
    pub fn new(next_hop: NextHop, settings: Arc<Settings>) -> Arc<Pool> {
        Arc::new(Pool { next_hop, settings, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot, after all who waited before; none when it takes longer than `relay.connections.wait`.
    pub async fn slot(self: &Arc<Pool>) -> Option<Slot> {
        let receiver = {
            let mut state = self.state();
            state.waiting.retain(|waiter| !waiter.is_closed());
            if state.waiting.is_empty() && state.taken < self.most(&mut state) {
                state.taken += 1;
                return Some(Slot { pool: Arc::clone(self), held: true });
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.push_back(sender);
            receiver
        };
        tokio::time::timeout(self.settings.wait, receiver).await.ok()?.ok()
    }

    fn most(&self, state: &mut State) -> usize {
        match state.lowered {
            Some((most, until)) if clock::monotonic() < until => most.min(self.settings.max),
            _ => {
                state.lowered = None;
                self.settings.max
            }
        }
    }

    /// Hands free slots to those who wait, in order.
    fn serve(self: &Arc<Pool>) {
        loop {
            let (waiter, slot) = {
                let mut state = self.state();
                if state.taken >= self.most(&mut state) {
                    return;
                }
                let Some(waiter) = state.waiting.pop_front() else { return };
                state.taken += 1;
                (waiter, Slot { pool: Arc::clone(self), held: true })
            };
            // One who gave up does not take it: the slot comes back and goes to the next one, without a second call of this function.
            if let Err(mut slot) = waiter.send(slot) {
                slot.held = false;
                self.state().taken -= 1;
            }
        }
    }

    /// Whether somebody waits for a slot.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.state().waiting.iter().any(|waiter| !waiter.is_closed())
    }

    /// After a 421 greeting: no more connections than there are besides the one that was refused, for a while.
    pub fn lower(self: &Arc<Pool>) {
        let (most, waiting) = {
            let mut state = self.state();
            let most = (state.taken.saturating_sub(1) + state.idle.len()).max(1);
            state.lowered = Some((most, clock::monotonic() + TROUBLED));
            (most, state.waiting.len())
        };
        tracing::warn!(
            "next hop {} answered 421 to the greeting: at most {most} connections to it for {} s, {waiting} sessions wait (relay.connections.max is {}; lower it if this is seen often)",
            self.next_hop,
            TROUBLED.as_secs(),
            self.settings.max
        );
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(TROUBLED).await;
            pool.serve();
        });
    }

    /// It could not be reached, or refused the connection: the other next hops are asked first for a while.
    pub fn note_trouble(&self) {
        self.state().troubled = Some(clock::monotonic() + TROUBLED);
    }

    pub fn note_success(&self) {
        self.state().troubled = None;
    }

    #[must_use]
    pub fn is_troubled(&self) -> bool {
        self.state().troubled.is_some_and(|until| clock::monotonic() < until)
    }

    /// Closes all idle connections with QUIT and waits for that; those that are under way when they come back.
    pub async fn close(&self) {
        let idle = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.idle)
        };
        let farewells: Vec<_> = idle.into_iter().map(|connection| tokio::spawn(connection.quit())).collect();
        for farewell in farewells {
            // A task that was cancelled has closed its socket, too.
            let _ = farewell.await;
        }
    }

    fn has_outlived(&self, connection: &Connection) -> bool {
        connection.is_spent(self.settings.messages) || clock::monotonic().duration_since(connection.idle_since) >= self.settings.idle_time
    }

    /// Closes idle connections when their time is over, until there are none.
    async fn sweep(self: Arc<Pool>) {
        loop {
            tokio::time::sleep(self.settings.idle_time.max(Duration::from_millis(100)) / 2).await;
            let (old, done): (Vec<Connection>, bool) = {
                let mut state = self.state();
                let old = state.idle.extract_if(.., |connection| self.has_outlived(connection)).collect();
                state.swept = !state.idle.is_empty();
                (old, !state.swept)
            };
            old.into_iter().for_each(discard);
            if done {
                return;
            }
        }
    }
}

impl Slot {
    /// An idle connection that is still good, of this thread's if there is one. The stale ones on the way to it are closed.
    #[must_use]
    pub fn idle(&self) -> Option<Connection> {
        loop {
            let connection = {
                let idle = &mut self.pool.state().idle;
                let at = idle.iter().rposition(Connection::is_at_home).or(idle.len().checked_sub(1))?;
                idle.remove(at)
            };
            if connection.quiet().is_err() || self.pool.has_outlived(&connection) {
                discard(connection);
            } else if let Some(mut connection) = connection.moved_here() {
                connection.reused = true;
                return Some(connection);
            }
        }
    }

    /// Makes room for a new connection where an idle one would otherwise be taken.
    pub fn make_room(&self) {
        let oldest = {
            let mut state = self.pool.state();
            (state.taken + state.idle.len() > self.pool.settings.max && !state.idle.is_empty()).then(|| state.idle.remove(0))
        };
        oldest.into_iter().for_each(discard);
    }

    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Gives slot and connection back. One that has said too much, has done enough or is one idle connection too many is closed.
    pub fn give_back(self, mut connection: Connection) {
        // Whether it has stayed quiet is asked before it is used again.
        let fit = connection.is_answered().is_ok() && !connection.is_spent(self.pool.settings.messages);
        connection.idle_since = clock::monotonic();
        let mut state = self.pool.state();
        // One that waits gets it, however few may lie idle.
        if fit && !state.closed && (state.idle.len() < self.pool.settings.idle || !state.waiting.is_empty()) {
            state.idle.push(connection);
            if !std::mem::replace(&mut state.swept, true) {
                tokio::spawn(Arc::clone(&self.pool).sweep());
            }
        } else {
            drop(state);
            discard(connection);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.held {
            self.pool.state().taken -= 1;
            self.pool.serve();
        }
    }
}

/// QUIT, if it is not in the middle of something; nobody waits for it.
pub fn discard(connection: Connection) {
    if connection.quiet().is_ok()
        && let Ok(runtime) = tokio::runtime::Handle::try_current()
    {
        runtime.spawn(connection.quit());
    }
}
