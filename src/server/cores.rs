//! The threads that serve sessions: one a core, each with a runtime of its own. A session, its connection to the next hop and whatever wakes them stay on one
//! thread, so that no message waits for another thread to be woken.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often a core's pulse beats, and after how many beats without mail it stops.
const BEAT: Duration = Duration::from_millis(20);
const QUIET_BEATS: u32 = 50;

thread_local! {
    /// Beats since the last mail; none while there is no pulse.
    static PULSE: Cell<Option<u32>> = const { Cell::new(None) };
}

/// All of them. Dropped, they end; what still runs on them is dropped with them.
#[derive(Debug)]
pub struct Cores {
    cores: Vec<Core>,
    end: CancellationToken,
}

#[derive(Debug)]
struct Core {
    runtime: Handle,
    /// Sessions on it.
    load: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// Mail comes in on this thread. A timer that is earlier than all others makes the runtime wake its own thread through the kernel, and the limits of
/// time of each command are such timers again and again; while mail flows a pulse that is earlier than any of them takes that away.
pub fn pulse() {
    if PULSE.replace(Some(0)).is_none() {
        tokio::spawn(async {
            while PULSE.get().is_some_and(|beats| beats < QUIET_BEATS) {
                PULSE.set(PULSE.get().map(|beats| beats + 1));
                sleep(BEAT).await;
            }
            PULSE.set(None);
        });
    }
}

/// A session's place on a core: for as long as the session lasts.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Cores {
    /// Starts as many as the machine has.
    ///
    /// # Errors
    /// The system gives no thread, or no files for it.
    pub fn start() -> io::Result<Cores> {
        let end = CancellationToken::new();
        let count = thread::available_parallelism().map_or(1, usize::from);
        let cores = (0..count).map(|number| Core::start(number, end.clone())).collect::<io::Result<_>>()?;
        Ok(Cores { cores, end })
    }

    /// Runs a session on the core that has the fewest.
    pub fn spawn<F>(&self, sessions: &TaskTracker, session: impl FnOnce(Place) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let load = |core: &&Core| core.load.load(Ordering::Relaxed);
        let Some(core) = self.cores.iter().min_by_key(load) else { return };
        core.load.fetch_add(1, Ordering::Relaxed);
        sessions.spawn_on(session(Place(Arc::clone(&core.load))), &core.runtime);
    }
}

impl Cores {
    /// Returns when each of them has had a moment for something else than its sessions.
    pub async fn answer(&self) {
        for core in &self.cores {
            // Only one that ends does not.
            let _ = core.runtime.spawn(async {}).await;
        }
    }
}

impl Core {
    fn start(number: usize, end: CancellationToken) -> io::Result<Core> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let thread = thread::Builder::new().name(format!("core-{number}")).spawn(move || runtime.block_on(end.cancelled()))?;
        Ok(Core { runtime: handle, load: Arc::default(), thread: Some(thread) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        self.end.cancel();
        for thread in self.cores.iter_mut().filter_map(|core| core.thread.take()) {
            // A panic has been told when it happened.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_pulse_stops_when_no_mail_comes() {
        pulse();
        tokio::task::yield_now().await;
        sleep(BEAT * QUIET_BEATS / 2).await;
        pulse();
        sleep(BEAT * QUIET_BEATS * 3 / 4).await;
        assert!(PULSE.get().is_some());
        sleep(BEAT * QUIET_BEATS).await;
        assert_eq!(PULSE.get(), None);
    }

    #[tokio::test]
    async fn a_core_that_hangs_does_not_answer() {
        let cores = Cores::start().unwrap();
        cores.answer().await;
        let (told, hang) = channel::<()>();
        cores.cores[0].runtime.spawn(async move { hang.recv() });
        assert!(tokio::time::timeout(Duration::from_millis(50), cores.answer()).await.is_err());
        drop(told);
        cores.answer().await;
    }

    #[test]
    fn sessions_are_spread_evenly() {
        let cores = Cores::start().unwrap();
        let (sessions, end) = (TaskTracker::new(), CancellationToken::new());
        let (told, threads) = channel();
        let count = cores.cores.len() * 5;
        for _ in 0..count {
            let (told, end) = (told.clone(), end.clone());
            cores.spawn(&sessions, |place| async move {
                let _place = place;
                told.send(thread::current().id()).unwrap();
                end.cancelled().await;
            });
        }
        let mut seen = HashMap::new();
        for thread in threads.iter().take(count) {
            *seen.entry(thread).or_insert(0) += 1;
        }
        assert!(seen.len() == cores.cores.len() && seen.values().all(|count| *count == 5), "{seen:?}");
        end.cancel();
        drop(cores);
    }
}
