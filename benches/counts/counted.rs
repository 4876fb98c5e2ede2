//! The part of a case that counts: what [`count`] does, but for what is [`leave_out`] or [`LeftOut`] inside.
//!
//! Callgrind turns its counting over where one of the private functions here is entered or left (`callgrind::TOGGLES`). So they stay functions, with names
//! that occur nowhere else, and no two alike, or the compiler would make them one; and nothing is left out while nothing counts.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

static COUNTING: AtomicBool = AtomicBool::new(false);

/// Counts what this does, so many times.
pub fn count(work: &mut dyn FnMut(u32), times: u32) {
    COUNTING.store(true, Ordering::Relaxed);
    counted_part(work, times);
    COUNTING.store(false, Ordering::Relaxed);
}

#[inline(never)]
fn counted_part(work: &mut dyn FnMut(u32), times: u32) {
    work(times);
}

/// What has to be made ready between two times.
pub fn leave_out(work: &mut dyn FnMut()) {
    if COUNTING.load(Ordering::Relaxed) { left_out_part(work) } else { work() }
}

#[inline(never)]
fn left_out_part(work: &mut dyn FnMut()) {
    work();
}

/// The other ends of a conversation, which are no part of what is measured.
pub struct LeftOut<F>(Pin<Box<F>>);

impl<F> LeftOut<F> {
    pub fn new(future: F) -> LeftOut<F> {
        LeftOut(Box::pin(future))
    }
}

impl<F: Future<Output = ()>> Future for LeftOut<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let future = self.0.as_mut();
        if COUNTING.load(Ordering::Relaxed) { left_out_poll(future, context) } else { future.poll(context) }
    }
}

#[inline(never)]
fn left_out_poll(future: Pin<&mut dyn Future<Output = ()>>, context: &mut Context<'_>) -> Poll<()> {
    future.poll(context)
}
