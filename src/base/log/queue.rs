//! Lines on their way to a slow reader: a bounded queue and the thread that writes it out.
//!
//! Putting never waits. What finds the queue full is counted, and the count is written as soon as there is room again. A line after a pause is written at
//! once; those that follow it closely are gathered, so that a busy server wakes the thread a hundred times a second and not once a message.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::Format;
use super::line::Line;
use crate::base::clock;

/// Bytes that may wait: some ten thousand lines.
const ROOM: usize = 4 << 20;
/// How long lines are gathered after a write.
const GATHER: Duration = Duration::from_millis(10);
/// How long the end of the process waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(5);

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    json: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines that found no room.
    lost: u64,
    /// The thread waits to be woken by the next line.
    asleep: bool,
    /// No more will come.
    ended: bool,
    /// The thread has written everything and is gone.
    done: bool,
}

impl Queue {
    /// A queue, and the thread that empties it into `output`.
    pub(super) fn start(format: Format, output: Box<dyn Write + Send>) -> Arc<Queue> {
        let queue = Arc::new(Queue::default());
        queue.set_format(format);
        let reader = Arc::clone(&queue);
        let started = thread::Builder::new().name("log".to_owned()).spawn(move || reader.write_out(output));
        // A machine that cannot start a thread cannot serve; whoever starts the server's threads says so.
        queue.lock().done = started.is_err();
        queue
    }

    /// How lines look now.
    pub(super) fn format(&self) -> Format {
        if self.json.load(Ordering::Relaxed) { Format::Json } else { Format::Text }
    }

    /// How they look from now on.
    pub(super) fn set_format(&self, format: Format) {
        self.json.store(format == Format::Json, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a line in, if there is room.
    pub(super) fn put(&self, line: &str) {
        let mut state = self.lock();
        if state.waiting.len() + line.len() > ROOM {
            state.lost += 1;
            return;
        }
        state.waiting.extend_from_slice(line.as_bytes());
        let asleep = std::mem::take(&mut state.asleep);
        drop(state);
        if asleep {
            self.changed.notify_all();
        }
    }

    /// Says that no more will come, and waits until all is written or patience is over.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        self.changed.notify_all();
        let waited = self.changed.wait_timeout_while(state, PATIENCE, |state| !state.done);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn write_out(&self, mut output: Box<dyn Write + Send>) {
        loop {
            let mut state = self.lock();
            while state.waiting.is_empty() && state.lost == 0 && !state.ended {
                state.asleep = true;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.waiting.is_empty() && state.lost == 0 {
                state.done = true;
                self.changed.notify_all();
                return;
            }
            let (mut lines, lost) = (std::mem::take(&mut state.waiting), std::mem::take(&mut state.lost));
            drop(state);
            if lost > 0 {
                lines.extend_from_slice(lost_line(self.format(), lost).as_bytes());
            }
            // There is nowhere to complain when the log itself cannot be written; the mail goes on.
            let _ = output.write_all(&lines).and_then(|()| output.flush());
            let gathering = self.changed.wait_timeout_while(self.lock(), GATHER, |state| !state.ended);
            drop(gathering.unwrap_or_else(PoisonError::into_inner));
        }
    }
}

fn lost_line(format: Format, lost: u64) -> String {
    let mut line = Line::default();
    line.begin(format, clock::now(), tracing::Level::WARN);
    line.message("log lines were lost: standard error was not read fast enough");
    line.number("lost", lost);
    line.end(&[]).to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Keeps what is written.
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// A queue, and what comes out of it.
    pub(in super::super) fn queue() -> (Arc<Queue>, Arc<Mutex<Vec<u8>>>) {
        let kept = Arc::new(Mutex::new(Vec::new()));
        (Queue::start(Format::Text, Box::new(Kept(Arc::clone(&kept)))), kept)
    }

    /// Writes only after it was let, each time.
    struct Stuck {
        began: Sender<()>,
        may: Receiver<()>,
        kept: Kept,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.began.send(()).unwrap();
            self.may.recv().unwrap();
            self.kept.write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_before_the_end() {
        let (queue, kept) = queue();
        for number in 0..10_000 {
            queue.put(&format!("{number}\n"));
        }
        queue.end();
        assert_eq!(String::from_utf8_lossy(&kept.lock().unwrap()).lines().count(), 10_000);
    }

    #[test]
    fn a_reader_that_stands_still_stops_nobody_and_hears_what_was_lost() {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (began, has_begun) = channel();
        let (go_on, may) = channel();
        let queue = Queue::start(Format::Text, Box::new(Stuck { began, may, kept: Kept(Arc::clone(&kept)) }));
        queue.put("first\n");
        has_begun.recv().unwrap();
        let line = "x".repeat(ROOM / 2 - 1) + "\n";
        for _ in 0..5 {
            queue.put(&line);
        }
        go_on.send(()).unwrap();
        go_on.send(()).unwrap();
        queue.end();
        let text = String::from_utf8(kept.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 4);
        assert!(text.starts_with("first\n") && text.ends_with("lost=3\n"), "{}", &text[text.len() - 200..]);
    }
}
