//! How many sessions there may be, how many passwords one address may have checked, and how slowly a message may come in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::view::Usage;

/// The sessions that are open.
#[derive(Debug)]
pub struct Sessions {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    most: usize,
    most_per_address: usize,
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A session's place; given back when dropped.
#[derive(Debug)]
pub struct Admitted {
    sessions: Arc<Sessions>,
    address: Option<IpAddr>,
}

impl Sessions {
    #[must_use]
    pub fn new(most: usize, most_per_address: usize) -> Arc<Sessions> {
        Arc::new(Sessions { open: Mutex::new(Open { most, most_per_address, ..Open::default() }) })
    }

    /// Other limits from now on. Who has a place keeps it.
    pub fn set_limits(&self, most: usize, most_per_address: usize) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        (open.most, open.most_per_address) = (most, most_per_address);
    }

    /// How many there are now, of how many.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        Usage { used: open.all as u64, limit: open.most as u64 }
    }

    /// A place for a session that counts for this address (none: in the total only), if there is one.
    #[must_use]
    pub fn admit(self: &Arc<Sessions>, address: Option<IpAddr>) -> Option<Admitted> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= open.most || !address.is_none_or(|address| open.enter(address)) {
            return None;
        }
        open.all += 1;
        Some(Admitted { sessions: Arc::clone(self), address })
    }
}

impl Open {
    /// Whether there is room for one more of this address; then it is taken.
    fn enter(&mut self, address: IpAddr) -> bool {
        let most = self.most_per_address;
        if self.by_address.get(&address).is_some_and(|count| *count >= most) {
            return false;
        }
        *self.by_address.entry(address).or_default() += 1;
        true
    }

    fn leave(&mut self, address: IpAddr) {
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Admitted {
    /// It is another address's from now on. False if that has no room: then it stays what it was.
    #[must_use]
    pub fn count_for(&mut self, address: Option<IpAddr>) -> bool {
        let mut open = self.sessions.open.lock().unwrap_or_else(PoisonError::into_inner);
        if address == self.address {
            return true;
        }
        if !address.is_none_or(|address| open.enter(address)) {
            return false;
        }
        if let Some(before) = std::mem::replace(&mut self.address, address) {
            open.leave(before);
        }
        true
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.sessions.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(address) = self.address {
            open.leave(address);
        }
    }
}

/// One at a time of each address; the others of that address wait.
#[derive(Debug, Default)]
pub struct Turns {
    by_address: Mutex<HashMap<IpAddr, Weak<Semaphore>>>,
}

impl Turns {
    /// This address's turn, given back when dropped. At once for who is not counted.
    pub async fn take(&self, address: Option<IpAddr>) -> Option<OwnedSemaphorePermit> {
        let turn = self.of(address?);
        turn.acquire_owned().await.ok()
    }

    fn of(&self, address: IpAddr) -> Arc<Semaphore> {
        let mut known = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = known.get(&address).and_then(Weak::upgrade) {
            return turn;
        }
        // Those of whom nobody waits any more.
        known.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Semaphore::new(1));
        known.insert(address, Arc::downgrade(&turn));
        turn
    }
}

/// How long one slot of the sliding minute is.
pub const SLOT: Duration = Duration::from_secs(5);
const SLOTS: usize = 12;

/// Bytes over the last minute of waiting for a client. Time that we spend on its bytes is not held against it.
#[derive(Debug)]
pub struct Rate {
    least: u64,
    /// The minute's slots, the newest at `now % SLOTS`.
    slots: [u64; SLOTS],
    now: usize,
    /// Waited in the newest slot.
    waited: Duration,
}

impl Rate {
    /// At least so many bytes a second; zero is any.
    #[must_use]
    pub fn new(bytes_a_second: u64) -> Rate {
        Rate { least: bytes_a_second.saturating_mul(60), slots: [0; SLOTS], now: 0, waited: Duration::ZERO }
    }

    /// Notes that `bytes` came after waiting so long. False when the last minute brought too few.
    #[must_use]
    pub fn note(&mut self, waited: Duration, bytes: u64) -> bool {
        self.waited += waited;
        while self.waited >= SLOT {
            self.waited -= SLOT;
            self.now += 1;
            if self.now >= SLOTS && bytes + self.slots.iter().sum::<u64>() < self.least {
                return false;
            }
            self.slots[self.now % SLOTS] = 0;
        }
        self.slots[self.now % SLOTS] += bytes;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_own_limit_and_who_is_not_counted_has_none() {
        let sessions = Sessions::new(3, 1);
        let peer = |text: &str| Some(text.parse().unwrap());
        let first = sessions.admit(peer("192.0.2.1")).unwrap();
        assert!(sessions.admit(peer("192.0.2.1")).is_none());
        let _second = sessions.admit(None).unwrap();
        let _third = sessions.admit(None).unwrap();
        assert!(sessions.admit(None).is_none());
        drop(first);
        assert!(sessions.admit(peer("192.0.2.1")).is_some());
        assert_eq!(sessions.open.lock().unwrap().by_address.len(), 0);
    }

    #[test]
    fn a_session_that_turns_out_to_be_anothers_counts_for_that_one() {
        let sessions = Sessions::new(9, 1);
        let peer = |text: &str| Some(text.parse().unwrap());
        let mut first = sessions.admit(None).unwrap();
        assert!(first.count_for(peer("192.0.2.1")) && first.count_for(peer("192.0.2.1")));
        let mut second = sessions.admit(None).unwrap();
        assert!(!second.count_for(peer("192.0.2.1")));
        assert!(first.count_for(peer("192.0.2.2")) && second.count_for(peer("192.0.2.1")));
        drop((first, second));
        let open = sessions.open.lock().unwrap();
        assert!(open.all == 0 && open.by_address.is_empty());
    }

    #[tokio::test]
    async fn one_address_has_one_turn_at_a_time_and_takes_none_of_anothers() {
        let turns = Turns::default();
        let address = |text: &str| Some(text.parse().unwrap());
        let first = turns.take(address("192.0.2.1")).await;
        assert!(first.is_some() && turns.take(address("192.0.2.2")).await.is_some());
        assert!(turns.take(None).await.is_none());
        let mut second = Box::pin(turns.take(address("192.0.2.1")));
        assert!(tokio::time::timeout(Duration::ZERO, &mut second).await.is_err());
        drop(first);
        assert!(second.await.is_some());
        drop(turns.take(address("192.0.2.3")).await);
        assert_eq!(turns.by_address.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_lower_limit_sends_nobody_away() {
        let sessions = Sessions::new(3, 3);
        let places: Vec<_> = (0..3).map(|_| sessions.admit(None).unwrap()).collect();
        sessions.set_limits(1, 1);
        assert!(sessions.admit(None).is_none());
        drop(places);
        let _one = sessions.admit(None).unwrap();
        assert!(sessions.admit(None).is_none());
    }

    #[test]
    fn a_client_below_the_rate_for_a_whole_minute_is_too_slow() {
        let mut rate = Rate::new(10);
        assert!((0..11).all(|_| rate.note(SLOT, 49)));
        assert!(!rate.note(SLOT, 49));
    }

    #[test]
    fn a_client_at_the_rate_may_go_on_for_hours() {
        let mut rate = Rate::new(10);
        assert!((0..3600).all(|_| rate.note(Duration::from_secs(1), 10)));
    }

    #[test]
    fn silence_after_a_fast_start_counts_within_a_minute() {
        let mut rate = Rate::new(10);
        assert!(rate.note(Duration::from_secs(1), 1_000_000));
        let silent = (0..100).take_while(|_| rate.note(SLOT, 0)).count();
        assert!((11..=12).contains(&silent), "{silent}");
    }

    #[test]
    fn without_a_rate_silence_is_left_to_the_timeouts() {
        let mut rate = Rate::new(0);
        assert!((0..1000).all(|_| rate.note(SLOT, 0)));
    }
}
