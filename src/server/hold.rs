//! A transaction with the next hop that a session holds, and when its connection goes back (DESIGN decision 1).

use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::time::sleep;

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
}

/// Waits for `work`; when that takes so long that the held connection is due, gives it back meanwhile.
///
/// It is given pinned: what is given by value is moved and kept again in each future it goes through.
pub async fn holding<T>(held: &mut Option<Held>, mut work: Pin<&mut impl Future<Output = T>>) -> T {
    let Some(open) = held.as_mut().filter(|held| held.transaction.is_open()) else { return work.await };
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = due(open) => {}
    }
    // The client does not wait for the next hop's answer to RSET: when it goes on before that, the connection is closed instead.
    tokio::select! {
        biased;
        done = &mut work => done,
        () = Box::pin(open.transaction.give_back()) => work.await,
    }
}

async fn due(held: &Held) {
    let limit = held.transaction.hold();
    loop {
        let age = clock::monotonic().saturating_duration_since(held.since);
        if age >= limit || (age >= WHEN_PRESSED && held.transaction.is_pressed()) {
            return;
        }
        sleep(WHEN_PRESSED.min(limit.saturating_sub(age))).await;
    }
}
