//! Connections to one address: how many are open, which are idle, who waits for one.
//!
//! A [`Slot`] is the right to have one connection. Slots taken and idle connections together never exceed `max`, whichever routes they are of: who takes a
//! slot takes an idle connection of its own target with it, or closes another one that is in the way.
//!
//! Whoever waits is served in order, but for clients that have a quarter of the connections already: they wait for the others.

mod remote;
mod usage;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub use self::remote::Remote;
use super::connection::Connection;
use super::target::Target;
use crate::base::clock;

/// How long a next hop that was in trouble is asked last, and an address that takes no more connections gets no more than it has (SEMANTICS 11).
pub const TROUBLED: Duration = Duration::from_secs(10);
/// The part of the connections that one client address may have while others wait: one in so many.
const SHARE: usize = 4;

/// The pools of all addresses, over all routes.
#[derive(Debug)]
pub struct Pools {
    max: usize,
    all: Mutex<HashMap<Remote, Weak<Pool>>>,
    closed: AtomicBool,
}

impl Pools {
    /// With at most so many connections to each address.
    #[must_use]
    pub fn new(max: usize) -> Pools {
        Pools { max, all: Mutex::default(), closed: AtomicBool::new(false) }
    }

    /// The one of an address.
    #[must_use]
    pub fn at(&self, place: Remote) -> Arc<Pool> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = all.get(&place).and_then(Weak::upgrade) {
            return pool;
        }
        // Names lead elsewhere in time.
        all.retain(|_, pool| pool.strong_count() > 0);
        let pool = Arc::new(Pool { place: place.clone(), max: self.max, state: Mutex::default() });
        all.insert(place, Arc::downgrade(&pool));
        pool
    }

    /// Those there are now.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Pool>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).values().filter_map(Weak::upgrade).collect()
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Closes idle connections with QUIT and waits for that; those that are under way when they come back.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let all = self.all();
        let idle = all.iter().flat_map(|pool| pool.shut());
        let farewells: Vec<_> = idle.map(|connection| tokio::spawn(connection.quit())).collect();
        for farewell in farewells {
            // A task that was cancelled has closed its socket, too.
            let _ = farewell.await;
        }
    }
}

/// The connections to one address.
#[derive(Debug)]
pub struct Pool {
    pub place: Remote,
    max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// For whom, as far as it is counted.
    clients: Vec<IpAddr>,
    /// The one that came back last is at the end, and goes first: the others may grow old and be closed.
    #[expect(clippy::vec_box, reason = "as they are in use: they come and go with every mail")]
    idle: Vec<Box<Connection>>,
    waiting: VecDeque<Waiter>,
    /// Not more than so many, until then.
    lowered: Option<(usize, Instant)>,
    troubled: Option<Instant>,
    /// When a conversation last ended well.
    reached: Option<Instant>,
    /// A task looks after the idle ones.
    swept: bool,
    /// What comes back is closed.
    closed: bool,
}

#[derive(Debug)]
struct Waiter {
    client: Option<IpAddr>,
    slot: oneshot::Sender<Slot>,
}

/// The right to have one connection to this address; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    pool: Arc<Pool>,
    client: Option<IpAddr>,
    held: bool,
}

impl State {
    fn take(&mut self, client: Option<IpAddr>) {
        self.taken += 1;
        self.clients.extend(client);
    }

    fn give(&mut self, client: Option<IpAddr>) {
        self.taken -= 1;
        if let Some(at) = client.and_then(|client| self.clients.iter().position(|known| *known == client)) {
            self.clients.swap_remove(at);
        }
    }

    /// Who is served next: in order, those who have their share already behind the others.
    fn next(&mut self, most: usize) -> Option<Waiter> {
        self.waiting.retain(|waiter| !waiter.slot.is_closed());
        let share = (most / SHARE).max(1);
        let has_less = |client: IpAddr| self.clients.iter().filter(|known| **known == client).count() < share;
        let at = self.waiting.iter().position(|waiter| waiter.client.is_none_or(has_less)).unwrap_or(0);
        self.waiting.remove(at)
    }

    /// Takes out an idle connection of this target, of this thread's if there is one; of those the one that `wanted` prefers.
    fn idle(&mut self, target: &Arc<Target>, wanted: &dyn Fn(&Connection) -> bool) -> Option<Box<Connection>> {
        let of_it = |connection: &Connection| Arc::ptr_eq(&connection.target, target);
        let at_home = |connection: &Connection| of_it(connection) && connection.is_at_home();
        let at = self.idle.iter().rposition(|connection| at_home(connection) && wanted(connection));
        let at = at.or_else(|| self.idle.iter().rposition(|connection| of_it(connection) && wanted(connection)));
        at.map(|at| self.idle.remove(at))
    }
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot, if one is free and nobody waits.
    pub fn slot(self: &Arc<Pool>, client: Option<IpAddr>) -> Option<Slot> {
        let mut state = self.state();
        self.free(&mut state, client)
    }

    fn free(self: &Arc<Pool>, state: &mut State, client: Option<IpAddr>) -> Option<Slot> {
        if !state.waiting.is_empty() {
            state.waiting.retain(|waiter| !waiter.slot.is_closed());
        }
        (state.waiting.is_empty() && state.taken < self.most(state)).then(|| {
            state.take(client);
            Slot { pool: Arc::clone(self), client, held: true }
        })
    }

    /// A slot with an idle connection of this target that is still good, if both are there. The stale ones on the way to it are closed.
    pub fn idle(
        self: &Arc<Pool>,
        target: &Arc<Target>,
        client: Option<IpAddr>,
        wanted: &dyn Fn(&Connection) -> bool,
    ) -> Option<(Slot, Box<Connection>)> {
        let (slot, connection) = {
            let mut state = self.state();
            let connection = state.idle(target, wanted)?;
            let Some(slot) = self.free(&mut state, client) else {
                state.idle.push(connection);
                return None;
            };
            (slot, connection)
        };
        match good(connection) {
            Some(connection) => Some((slot, connection)),
            None => slot.idle(target, wanted).map(|connection| (slot, connection)),
        }
    }

    /// A place in the queue: who waits there is given a slot in turn.
    pub fn queue(self: &Arc<Pool>, client: Option<IpAddr>) -> oneshot::Receiver<Slot> {
        let (slot, receiver) = oneshot::channel();
        self.state().waiting.push_back(Waiter { client, slot });
        self.serve();
        receiver
    }

    fn most(&self, state: &mut State) -> usize {
        match state.lowered {
            None => self.max,
            Some((most, until)) if clock::monotonic() < until => most.min(self.max),
            Some(_) => {
                state.lowered = None;
                self.max
            }
        }
    }

    /// Hands free slots to those who wait.
    fn serve(self: &Arc<Pool>) {
        loop {
            let (waiter, slot) = {
                let mut state = self.state();
                let most = self.most(&mut state);
                if state.waiting.is_empty() || state.taken >= most {
                    return;
                }
                let Some(waiter) = state.next(most) else { return };
                state.take(waiter.client);
                let slot = Slot { pool: Arc::clone(self), client: waiter.client, held: true };
                (waiter, slot)
            };
            // One who gave up does not take it: the slot comes back and goes to the next one, without a second call of this function.
            if let Err(mut slot) = waiter.slot.send(slot) {
                slot.held = false;
                self.state().give(slot.client);
            }
        }
    }

    /// Whether somebody waits for a slot.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.state().waiting.iter().any(|waiter| !waiter.slot.is_closed())
    }

    /// After a 421 for a greeting, or none: no more connections than there are besides the one that was refused, for a while.
    pub fn lower(self: &Arc<Pool>) {
        let (most, waiting) = {
            let mut state = self.state();
            let most = (state.taken.saturating_sub(1) + state.idle.len()).max(1);
            state.lowered = Some((most, clock::monotonic() + TROUBLED));
            (most, state.waiting.len())
        };
        tracing::warn!(
            "{} takes no more connections: at most {most} to it for {} s, {waiting} sessions wait (relay.connections.max is {}; lower it if this is seen often)",
            self.place,
            TROUBLED.as_secs(),
            self.max
        );
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(TROUBLED).await;
            pool.serve();
        });
    }

    /// Nobody could be talked to there: other addresses of the same name are asked first for a while.
    pub fn note_trouble(&self) {
        let mut state = self.state();
        (state.troubled, state.reached) = (Some(clock::monotonic() + TROUBLED), None);
    }

    pub fn note_success(&self) {
        self.state().troubled = None;
    }

    #[must_use]
    pub fn is_troubled(&self) -> bool {
        self.state().troubled.is_some_and(|until| clock::monotonic() < until)
    }

    /// What is idle, to be closed, like all that comes back.
    #[expect(clippy::vec_box, reason = "as they lie there")]
    fn shut(&self) -> Vec<Box<Connection>> {
        let mut state = self.state();
        state.closed = true;
        std::mem::take(&mut state.idle)
    }

    /// Closes idle connections when their time is over, until there are none.
    async fn sweep(self: Arc<Pool>) {
        loop {
            let shortest = self.state().idle.iter().map(|connection| connection.target.route.connections.idle_time).min();
            tokio::time::sleep(shortest.unwrap_or_default().max(Duration::from_millis(100)) / 2).await;
            let (old, done): (Vec<Box<Connection>>, bool) = {
                let mut state = self.state();
                let old = state.idle.extract_if(.., |connection| connection.has_outlived()).collect();
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
    /// An idle connection of this target that is still good. The stale ones on the way to it are closed.
    #[must_use]
    pub fn idle(&self, target: &Arc<Target>, wanted: &dyn Fn(&Connection) -> bool) -> Option<Box<Connection>> {
        loop {
            let connection = self.pool.state().idle(target, wanted)?;
            if let Some(connection) = good(connection) {
                return Some(connection);
            }
        }
    }

    /// Makes room for a new connection where an idle one would otherwise be taken.
    pub fn make_room(&self) {
        let oldest = {
            let mut state = self.pool.state();
            let most = self.pool.most(&mut state);
            (state.taken + state.idle.len() > most && !state.idle.is_empty()).then(|| state.idle.remove(0))
        };
        oldest.into_iter().for_each(discard);
    }

    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Gives slot and connection back. One that has said too much, has done enough or is one idle connection too many is closed.
    pub fn give_back(self, mut connection: Box<Connection>) {
        // Whether it has stayed quiet is asked before it is used again.
        connection.idle_since = clock::monotonic();
        let fit = connection.is_answered().is_ok() && !connection.is_spent(connection.idle_since);
        let connections = &connection.target.route.connections;
        let most = connections.idle.max(connections.warm);
        let mut state = self.pool.state();
        let same = state.idle.iter().filter(|other| Arc::ptr_eq(&other.target, &connection.target)).count();
        if fit {
            state.reached = Some(connection.idle_since);
        }
        // One that waits gets it, however few may lie idle.
        if fit && !state.closed && (same < most || !state.waiting.is_empty()) {
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
            let waiting = {
                let mut state = self.pool.state();
                state.give(self.client);
                !state.waiting.is_empty()
            };
            if waiting {
                self.pool.serve();
            }
        }
    }
}

/// The connection, known to this thread, if it is still good for a mail.
fn good(mut connection: Box<Connection>) -> Option<Box<Connection>> {
    if connection.quiet().is_err() || connection.has_outlived() {
        discard(connection);
        return None;
    }
    let mut connection = if connection.is_at_home() { connection } else { Box::new(connection.moved_here()?) };
    connection.reused = true;
    Some(connection)
}

/// QUIT, if it is not in the middle of something; nobody waits for it.
pub fn discard(mut connection: Box<Connection>) {
    if connection.quiet().is_ok()
        && let Ok(runtime) = tokio::runtime::Handle::try_current()
    {
        runtime.spawn(connection.quit());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(max: usize) -> Arc<Pool> {
        let (pools, place) = (Pools::new(max), Remote::Unix("next-hop".into()));
        let pool = pools.at(place.clone());
        assert!(Arc::ptr_eq(&pool, &pools.at(place)), "one address has one pool");
        pool
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the pool asks for it")]
    fn client(last: u8) -> Option<IpAddr> {
        Some([192, 0, 2, last].into())
    }

    /// Takes slots until there are none.
    fn all(pool: &Arc<Pool>, of: Option<IpAddr>) -> Vec<Slot> {
        std::iter::from_fn(|| pool.slot(of)).collect()
    }

    /// Those in a queue who have been served by now.
    fn served(queue: &mut [oneshot::Receiver<Slot>]) -> Vec<Option<Slot>> {
        queue.iter_mut().map(|one| one.try_recv().ok()).collect()
    }

    #[tokio::test]
    async fn a_client_alone_may_have_all_and_one_with_its_share_waits_for_others() {
        let pool = pool(8);
        let mut slots = all(&pool, client(1));
        assert_eq!((slots.len(), pool.taken()), (8, 8));
        let mut queue = [1, 1, 2, 2, 2].map(|last| pool.queue(client(last)));
        assert!(pool.is_pressed());
        slots.truncate(5);
        let got = served(&mut queue);
        // A quarter of eight is two; then nobody has less than a share, and it goes in order.
        assert_eq!(got.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true, true, false]);
        assert_eq!(pool.taken(), 8);
        drop((got, slots));
        // Whoever gave up is passed over.
        assert!(served(&mut queue).iter().filter(|slot| slot.is_some()).count() == 2);
    }

    #[tokio::test]
    async fn nobody_overtakes_those_who_wait() {
        let pool = pool(2);
        let slots = all(&pool, None);
        let mut queue = [pool.queue(client(1)), pool.queue(None)];
        drop(slots);
        assert_eq!(served(&mut queue).iter().flatten().count(), 2);
        let held = all(&pool, None);
        let mut queue = [pool.queue(client(1))];
        drop(held);
        // The slot is on its way to the one who waited, and there is one more.
        assert!(pool.slot(None).is_some() && served(&mut queue)[0].is_some());
        // Who left the queue holds up nobody.
        let held = all(&pool, None);
        drop(pool.queue(None));
        drop(held);
        assert_eq!(all(&pool, None).len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_takes_no_more_gets_no_more_for_a_while() {
        let pool = pool(5);
        let slots: Vec<Slot> = (0..3).filter_map(|_| pool.slot(None)).collect();
        pool.lower();
        assert!(pool.slot(None).is_none(), "two besides the one that was refused");
        drop(slots);
        assert_eq!(all(&pool, None).len(), 2);
        let lowest = self::pool(5);
        let only = lowest.slot(None);
        lowest.lower();
        drop(only);
        assert_eq!(all(&lowest, None).len(), 1, "never none at all");
    }
}
