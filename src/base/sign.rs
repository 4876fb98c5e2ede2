//! A sign that is given once, to all who look out for it.
//!
//! Who waits for it beside something else would enter a list at each wait and leave it again. A [`Watch`] stays entered from one wait to the next, so that a
//! further look is one at a flag.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// It has been given, or not yet. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Sign(Arc<State>);

#[derive(Debug, Default)]
struct State {
    given: AtomicBool,
    waiting: CancellationToken,
}

impl Sign {
    pub fn give(&self) {
        // First, so that whoever is woken by it sees it.
        self.0.given.store(true, Ordering::Release);
        self.0.waiting.cancel();
    }

    #[must_use]
    pub fn is_given(&self) -> bool {
        self.0.given.load(Ordering::Acquire)
    }

    /// Returns once it has been given.
    pub async fn given(&self) {
        self.0.waiting.cancelled().await;
    }

    /// For one task that waits again and again.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch { sign: self.clone(), entered: None }
    }
}

/// Somebody who looks out for a [`Sign`].
#[derive(Debug)]
pub struct Watch {
    sign: Sign,
    /// Entered in the list, and who is woken.
    entered: Option<(Pin<Box<WaitForCancellationFutureOwned>>, Waker)>,
}

impl Watch {
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.sign.is_given()
    }

    /// Returns once the sign has been given.
    pub async fn given(&mut self) {
        poll_fn(|context| self.poll(context)).await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.sign.is_given() {
            return Poll::Ready(());
        }
        if self.entered.as_ref().is_some_and(|(_, waker)| waker.will_wake(context.waker())) {
            return Poll::Pending;
        }
        let (mut waiting, _) = self.entered.take().unwrap_or_else(|| {
            let waiting = self.sign.0.waiting.clone();
            (Box::pin(waiting.cancelled_owned()), context.waker().clone())
        });
        let given = waiting.as_mut().poll(context);
        self.entered = Some((waiting, context.waker().clone()));
        given
    }
}

/// What stays ready once it is: it may be asked again.
pub fn lasting(mut sign: Pin<&mut (impl Future<Output = ()> + Send)>) -> impl Future<Output = ()> + Send + Unpin {
    let mut given = false;
    poll_fn(move |context| {
        given = given || sign.as_mut().poll(context).is_ready();
        if given { Poll::Ready(()) } else { Poll::Pending }
    })
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;
    use crate::base::alarm::at_once;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Woken>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_given(watch: &mut Watch, woken: &Arc<Woken>) -> bool {
        let waker = Waker::from(Arc::clone(woken));
        pin!(watch.given()).poll(&mut Context::from_waker(&waker)).is_ready()
    }

    #[test]
    fn who_waits_anew_is_woken_once_and_who_waited_before_is_not() {
        let (sign, before, now) = (Sign::default(), Arc::<Woken>::default(), Arc::<Woken>::default());
        let mut watch = sign.watch();
        assert!(!is_given(&mut watch, &before));
        // Another task goes on with it, and waits more than once.
        assert!(!is_given(&mut watch, &now) && !is_given(&mut watch, &now));
        sign.give();
        assert_eq!((before.0.load(Ordering::Relaxed), now.0.load(Ordering::Relaxed)), (0, 1));
        assert!(is_given(&mut watch, &now) && is_given(&mut watch, &before) && sign.is_given());
    }

    #[tokio::test]
    async fn what_lasts_may_be_asked_after_its_end() {
        let sign = Sign::default();
        let given = pin!(async { sign.given().await });
        let mut gone = lasting(given);
        assert!(at_once(pin!(&mut gone)).await.is_none());
        sign.give();
        (&mut gone).await;
        (&mut gone).await;
    }

    #[tokio::test]
    async fn who_looks_when_it_has_been_given_does_not_wait() {
        let sign = Sign::default();
        sign.give();
        sign.given().await;
        sign.watch().given().await;
    }
}
