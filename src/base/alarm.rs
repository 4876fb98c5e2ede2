//! Limits of time on waits that mostly end long before them.
//!
//! A timer made for each wait is entered with the runtime and taken out again, and reads the clock for it: with a limit on every line, reply and write that was a
//! tenth of the instructions of a message. An [`Alarm`] serves one wait after another. What has been set is left to ring, too early for the wait
//! that is on by then, and is set again for what is left: once in the time of a limit, not once a wait.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::task::coop::unconstrained;
use tokio::time::{Sleep, sleep_until};

use super::clock;

/// What `work` gives, if it need not wait for it.
pub async fn at_once<T>(mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    poll_fn(|context| {
        Poll::Ready(match work.as_mut().poll(context) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        })
    })
    .await
}

/// One timer for the waits of one task, one at a time.
#[derive(Debug, Default)]
pub struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whom that wakes.
    waker: Option<Waker>,
}

impl Alarm {
    /// What `work` gives, unless it takes longer than `limit` from when it first has to wait.
    pub async fn within<T>(&mut self, limit: Duration, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let mut due = None;
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll(*due.get_or_insert_with(|| clock::monotonic() + limit), context).map(|()| None),
        })
        .await
    }

    /// What `work` gives, unless it has to wait beyond `due`.
    pub async fn until<T>(&mut self, due: Instant, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll(due, context).map(|()| None),
        })
        .await
    }

    /// Returns once `due` is over.
    pub async fn rings(&mut self, due: Instant) {
        poll_fn(|context| self.poll(due, context)).await;
    }

    fn poll(&mut self, due: Instant, context: &mut Context<'_>) -> Poll<()> {
        let due = tokio::time::Instant::from_std(due);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        let wakes = self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if wakes && sleep.deadline() <= due && !sleep.is_elapsed() {
            return Poll::Pending;
        }
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        // A task that has done its share for now would not be entered, and who is noted as entered is not entered again.
        while pin!(unconstrained(sleep.as_mut())).poll(context).is_ready() {
            if sleep.deadline() >= due {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
        if !wakes {
            self.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::task::coop::{consume_budget, has_budget_remaining};
    use tokio::time::timeout;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Since `start`, in whole milliseconds of the runtime's clock.
    fn elapsed(start: tokio::time::Instant) -> u128 {
        start.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn each_wait_ends_at_its_own_limit() {
        let (mut alarm, start) = (Alarm::default(), tokio::time::Instant::now());
        let due = |seconds| (start + SECOND * seconds).into_std();
        alarm.rings(due(2)).await;
        assert_eq!(elapsed(start), 2000);
        // A wait that ended early leaves the alarm set; the next is longer, the one after it shorter.
        assert_eq!(alarm.until(due(4), pin!(async { tokio::task::yield_now().await })).await, Some(()));
        alarm.rings(due(9)).await;
        assert_eq!(elapsed(start), 9000);
        assert_eq!(alarm.until(due(60), pin!(async { tokio::task::yield_now().await })).await, Some(()));
        assert_eq!(alarm.until(due(12), pin!(pending::<()>())).await, None);
        assert_eq!(elapsed(start), 12_000);
        // What is over rings at once.
        alarm.rings(due(5)).await;
        assert_eq!(elapsed(start), 12_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_has_done_its_share_is_woken_all_the_same() {
        for before in [0, 1] {
            let (mut alarm, start) = (Alarm::default(), tokio::time::Instant::now());
            // One that has rung in the meantime is set again.
            if before > 0 {
                let _ = alarm.until((start + SECOND).into_std(), pin!(async { tokio::task::yield_now().await })).await;
                tokio::time::sleep(SECOND * 2).await;
            }
            tokio::task::yield_now().await;
            while has_budget_remaining() {
                consume_budget().await;
            }
            timeout(SECOND * 20, alarm.rings((start + SECOND * 10).into_std())).await.unwrap();
            assert_eq!(elapsed(start), 10_000);
        }
    }

    #[tokio::test]
    async fn what_is_ready_needs_no_timer() {
        let mut alarm = Alarm::default();
        assert_eq!(at_once(pin!(ready(0))).await, Some(0));
        assert_eq!(at_once(pin!(pending::<()>())).await, None);
        assert_eq!(alarm.within(SECOND, pin!(ready(1))).await, Some(1));
        assert_eq!(alarm.until(clock::monotonic(), pin!(ready(2))).await, Some(2));
        assert!(alarm.sleep.is_none());
    }

    #[tokio::test]
    async fn a_limit_counts_from_when_there_is_a_wait() {
        let mut alarm = Alarm::default();
        let before = clock::monotonic();
        assert_eq!(alarm.within(Duration::from_millis(20), pin!(pending::<()>())).await, None);
        assert!(before.elapsed() >= Duration::from_millis(20));
    }
}
