//! What is counted while mail flows: for the whole process, from its start, and for whoever asks to see (`/metrics`).
//!
//! Each counter has its place in memory from the beginning, so counting is one relaxed addition: no lock, no look-up, no allocation. What can be asked for when
//! somebody wants to know (open sessions, connections, the quarantine, rules) is not counted here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The counts of this process.
pub static COUNTS: Counts = Counts::new();

/// What becomes of a message: the words of the log, where each has its count.
pub const OUTCOMES: [&str; 14] = [
    "deliver",
    "quarantine",
    "discard",
    "reject",
    "defer",
    "refused",
    "unavailable",
    "in doubt",
    "not stored",
    "not ruled",
    "gone",
    "shutdown",
    "loop",
    "other",
];
/// What a reply of a next hop may answer, at most.
pub const STAGES: usize = 24;
/// The first digits of replies: 1 to 5.
pub const CLASSES: usize = 5;
/// The upper bounds of a histogram's buckets; one without bound follows.
pub const BOUNDS: [Duration; 16] = [
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_mins(1),
    Duration::from_mins(5),
];

/// See [`COUNTS`].
#[derive(Debug)]
pub struct Counts {
    /// Clients that were greeted, and those for whom there was no place.
    pub sessions: Counter,
    pub turned_away: Counter,
    /// Messages that were refused at MAIL, their address having begun too many.
    pub too_many: Counter,
    /// Clients that have logged in, and logins that failed.
    pub logins: Counter,
    pub logins_failed: Counter,
    messages: [Counter; OUTCOMES.len()],
    /// Of messages that came whole, as received; of messages that were sent whole.
    pub received: Counter,
    pub relayed: Counter,
    replies: [[Counter; CLASSES]; STAGES],
    pub receive: Histogram,
    pub chain: Histogram,
    pub relay: Histogram,
    pub reloads: Counter,
    pub reloads_refused: Counter,
}

/// A number that grows.
#[derive(Debug)]
pub struct Counter(AtomicU64);

/// How often something took how long.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    /// Nanoseconds: room for five centuries.
    sum: AtomicU64,
}

/// A [`Histogram`] at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// Of each bucket alone, the unbounded one last.
    pub counts: [u64; BOUNDS.len() + 1],
    pub sum: Duration,
}

impl Counts {
    const fn new() -> Counts {
        Counts {
            sessions: Counter::new(),
            turned_away: Counter::new(),
            too_many: Counter::new(),
            logins: Counter::new(),
            logins_failed: Counter::new(),
            messages: [const { Counter::new() }; OUTCOMES.len()],
            received: Counter::new(),
            relayed: Counter::new(),
            replies: [const { [const { Counter::new() }; CLASSES] }; STAGES],
            receive: Histogram::new(),
            chain: Histogram::new(),
            relay: Histogram::new(),
            reloads: Counter::new(),
            reloads_refused: Counter::new(),
        }
    }

    /// A message of which this became; a word that is not in [`OUTCOMES`] is `other`.
    pub fn message(&self, outcome: &str) {
        let at = OUTCOMES.iter().position(|word| *word == outcome).unwrap_or(OUTCOMES.len() - 1);
        self.messages[at].add(1);
    }

    /// Messages so far, by outcome.
    pub fn messages(&self) -> impl Iterator<Item = (&'static str, u64)> {
        OUTCOMES.into_iter().zip(self.messages.iter().map(Counter::get))
    }

    /// A reply of a next hop with this code, to what is of this number among the things it can answer.
    pub fn reply(&self, stage: usize, code: u16) {
        let class = usize::from(code / 100).wrapping_sub(1);
        if let Some(counter) = self.replies.get(stage).and_then(|classes| classes.get(class)) {
            counter.add(1);
        }
    }

    /// Replies so far to that, by first digit.
    pub fn replies(&self, stage: usize) -> impl Iterator<Item = (usize, u64)> {
        self.replies[stage].iter().enumerate().map(|(class, counter)| (class + 1, counter.get()))
    }
}

impl Counter {
    const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// So many so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Histogram {
    const fn new() -> Histogram {
        Histogram { buckets: [const { AtomicU64::new(0) }; BOUNDS.len() + 1], sum: AtomicU64::new(0) }
    }

    /// Once more, and so long.
    pub fn note(&self, time: Duration) {
        // What is quick is frequent, and found first.
        let at = BOUNDS.iter().position(|bound| time <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// As it is now.
    #[must_use]
    pub fn now(&self) -> Distribution {
        let counts = std::array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed));
        Distribution { counts, sum: Duration::from_nanos(self.sum.load(Ordering::Relaxed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_under_its_word_and_an_unknown_word_under_other() {
        let counts = Counts::new();
        for outcome in ["in doubt", "in doubt", "deliver", "new word"] {
            counts.message(outcome);
        }
        let seen: Vec<_> = counts.messages().filter(|(_, count)| *count > 0).collect();
        assert_eq!(seen, [("deliver", 1), ("in doubt", 2), ("other", 1)]);
    }

    #[test]
    fn replies_count_by_what_they_answer_and_their_first_digit() {
        let counts = Counts::new();
        for (stage, code) in [(3, 250), (3, 251), (3, 451), (0, 554), (0, 99), (0, 700), (STAGES, 250)] {
            counts.reply(stage, code);
        }
        let seen = |stage| counts.replies(stage).filter(|(_, count)| *count > 0).collect::<Vec<_>>();
        assert_eq!((seen(3), seen(0)), (vec![(2, 2), (4, 1)], vec![(5, 1)]));
    }

    #[test]
    fn a_time_lies_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::new();
        for time in [Duration::ZERO, BOUNDS[0], BOUNDS[0] + Duration::from_nanos(1), BOUNDS[15], Duration::from_hours(1)] {
            histogram.note(time);
        }
        let now = histogram.now();
        assert_eq!((now.counts[0], now.counts[1], now.counts[15], now.counts[16]), (2, 1, 1, 1));
        assert_eq!(now.counts.iter().sum::<u64>(), 5);
        assert_eq!(now.sum, BOUNDS[0] * 2 + Duration::from_nanos(1) + BOUNDS[15] + Duration::from_hours(1));
        assert!(BOUNDS.is_sorted());
    }
}
