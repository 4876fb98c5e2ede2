//! A transaction with the next hop that a session holds, and when its connection goes back (DESIGN decision 1).

use std::pin::Pin;
use std::time::{Duration, Instant};

use crate::base::alarm::Alarm;
use crate::base::clock;
use crate::relay::Transaction;

/// After this long a connection goes back already when another session waits for one.
const WHEN_PRESSED: Duration = Duration::from_millis(200);

/// An open transaction and when the client last had something for it.
#[derive(Debug)]
pub struct Held {
    pub transaction: Transaction,
    since: Instant,
}

impl Held {
    #[must_use]
    pub fn new(transaction: Transaction) -> Held {
        Held { transaction, since: clock::monotonic() }
    }

    /// The client had something for it just now.
    pub fn touch(&mut self) {
        self.since = clock::monotonic();
    }

    /// Returns when the connection is to go back.
    async fn is_due(&self, alarm: &mut Alarm) {
        let limit = self.transaction.hold();
        let mut next = self.since + WHEN_PRESSED.min(limit);
        loop {
            alarm.rings(next).await;
            let now = clock::monotonic();
            let age = now.saturating_duration_since(self.since);
            if age >= limit || (age >= WHEN_PRESSED && self.transaction.is_pressed()) {
                return;
            }
            next = now + WHEN_PRESSED.min(limit.saturating_sub(age));
        }
    }
}

/// Waits for `work`; when that takes so long that the held connection is due, gives it back meanwhile.
///
/// `due` is the alarm for that. The work is given pinned: what is given by value is moved and kept again in each future it goes through.
pub async fn holding<T>(held: &mut Option<Held>, due: &mut Alarm, mut work: Pin<&mut impl Future<Output = T>>) -> T {
    let Some(open) = held.as_mut().filter(|held| held.transaction.is_open()) else { return work.await };
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = open.is_due(due) => {}
    }
    // The client does not wait for the next hop's answer to RSET: when it goes on before that, the connection is closed instead.
    tokio::select! {
        biased;
        done = &mut work => done,
        () = Box::pin(open.transaction.give_back()) => work.await,
    }
}
