//! How many messages one address may begin within a minute.
//!
//! What is known is bounded and never looked through: who begins a message is kept among the recent ones, who was there before and has not come again is
//! forgotten as a whole, after a minute or when there are too many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The step in which the minute slides.
const STEP: Duration = Duration::from_secs(5);
/// The steps of a minute, and the one that has begun.
const STEPS: usize = 13;
/// Addresses of one generation, of which there are two. Beyond them the oldest are forgotten: nobody is refused for what others do.
const MOST: usize = 32_768;

/// `limits.messages_per_address`, and who has begun how many. Configurations that follow each other share what is known.
#[derive(Clone, Debug)]
pub struct Pace {
    most: u64,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug)]
struct Known {
    start: Instant,
    /// When the older ones were put aside, in steps.
    turned: u64,
    recent: HashMap<IpAddr, Begun>,
    older: HashMap<IpAddr, Begun>,
}

/// The messages of one address.
#[derive(Clone, Copy, Debug, Default)]
struct Begun {
    /// The newest step.
    now: u64,
    /// What was begun in it, and in those before.
    steps: [u32; STEPS],
}

impl Pace {
    /// At most so many a minute, zero being any; on top of what was known `before`.
    #[must_use]
    pub fn new(most: u64, before: Option<&Pace>, now: Instant) -> Option<Pace> {
        let nobody = || Known { start: now, turned: 0, recent: HashMap::new(), older: HashMap::new() };
        let known = || before.map_or_else(|| Arc::new(Mutex::new(nobody())), |before| Arc::clone(&before.known));
        (most > 0).then(|| Pace { most, known: known() })
    }

    /// Whether this address may begin one more message now; then it is counted.
    #[must_use]
    pub fn begin(&self, address: IpAddr, now: Instant) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let step = now.saturating_duration_since(known.start).as_secs() / STEP.as_secs();
        known.of(address, step).begin(self.most, step)
    }
}

impl Known {
    fn of(&mut self, address: IpAddr, step: u64) -> &mut Begun {
        if step >= self.turned + STEPS as u64 || (self.recent.len() >= MOST && !self.recent.contains_key(&address)) {
            self.turned = step;
            self.older = std::mem::take(&mut self.recent);
        }
        let older = &mut self.older;
        self.recent.entry(address).or_insert_with(|| older.remove(&address).unwrap_or_default())
    }
}

impl Begun {
    fn begin(&mut self, most: u64, step: u64) -> bool {
        // Threads may come here in another order than they looked at the clock.
        let passed = usize::try_from(step.saturating_sub(self.now)).unwrap_or(STEPS).min(STEPS);
        self.steps.copy_within(..STEPS - passed, passed);
        self.steps[..passed].fill(0);
        self.now = self.now.max(step);
        let may = self.steps.iter().copied().map(u64::from).sum::<u64>() < most;
        if may {
            self.steps[0] = self.steps[0].saturating_add(1);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ANNA: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const BOB: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    /// A limit, and a clock that tells the time so many seconds later.
    fn pace(most: u64) -> (Pace, impl Fn(u64) -> Instant) {
        let start = crate::base::clock::monotonic();
        (Pace::new(most, None, start).unwrap(), move |seconds| start + Duration::from_secs(seconds))
    }

    #[test]
    fn each_address_has_its_own_number_and_who_is_refused_is_not_counted() {
        let (pace, at) = pace(2);
        assert!(pace.begin(ANNA, at(0)) && pace.begin(ANNA, at(59)));
        assert!((0..50).all(|_| !pace.begin(ANNA, at(59))));
        assert!(pace.begin(BOB, at(59)));
        assert!(pace.begin(ANNA, at(65)), "the first is a minute ago");
        assert!(!pace.begin(ANNA, at(65)));
    }

    #[test]
    fn the_minute_slides_and_no_minute_has_more() {
        let (pace, at) = pace(30);
        let begun: Vec<u64> = (0..1000).filter(|second| pace.begin(ANNA, at(*second))).collect();
        for first in &begun {
            assert!(begun.iter().filter(|other| (*first..first + 60).contains(other)).count() <= 30);
        }
        assert!(begun.len() > 1000 / 65 * 30, "{}", begun.len());
    }

    #[test]
    fn a_steady_client_below_the_number_is_never_refused() {
        let (pace, at) = pace(13);
        assert!((0..3600).step_by(5).all(|second| pace.begin(ANNA, at(second))));
    }

    #[test]
    fn a_client_that_was_away_for_long_begins_anew() {
        let (pace, at) = pace(1);
        assert!(pace.begin(ANNA, at(3)) && !pace.begin(ANNA, at(4)));
        assert!(pace.begin(ANNA, at(1_000_000)) && !pace.begin(ANNA, at(1_000_001)));
        assert!(!pace.begin(ANNA, at(999_999)), "a thread that looked at the clock before");
    }

    #[test]
    fn many_addresses_take_bounded_room_and_push_out_the_oldest_only() {
        let (pace, at) = pace(1);
        assert!(pace.begin(ANNA, at(0)));
        for number in 0..3 * MOST {
            let number = u32::try_from(number).unwrap();
            assert!(pace.begin(IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 | number)), at(1)));
            // Who goes on coming stays known.
            assert!(number % 10_000 > 0 || !pace.begin(ANNA, at(1)));
        }
        let known = pace.known.lock().unwrap();
        assert!(known.recent.len() <= MOST && known.older.len() <= MOST);
    }

    #[test]
    fn who_does_not_come_again_is_forgotten() {
        let (pace, at) = pace(5);
        for number in 0..100 {
            assert!(pace.begin(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)), at(0)));
        }
        assert!(pace.begin(ANNA, at(70)) && pace.begin(ANNA, at(140)));
        let known = pace.known.lock().unwrap();
        assert_eq!((known.recent.len(), known.older.len()), (1, 0));
    }

    #[test]
    fn another_number_counts_what_was_begun_before_and_none_is_any() {
        let (before, at) = pace(3);
        assert!((0..3).all(|_| before.begin(ANNA, at(0))));
        let more = Pace::new(4, Some(&before), at(1)).unwrap();
        assert!(more.begin(ANNA, at(1)) && !more.begin(ANNA, at(1)));
        let fewer = Pace::new(1, Some(&more), at(2)).unwrap();
        assert!(!fewer.begin(ANNA, at(2)) && fewer.begin(BOB, at(2)));
        assert!(Pace::new(0, Some(&fewer), at(3)).is_none());
    }
}
