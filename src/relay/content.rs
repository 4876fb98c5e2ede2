//! A message's bytes on their way out: from memory without copying, from its file in pieces, dot-stuffed or counted, in time, and never with an end that is too
//! late. The end is the dot, or the last byte of BDAT LAST.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::sleep_until;

use super::Until;
use super::connection::{Connection, Trouble};
use super::stream::Stream;
use crate::base::clock;
use crate::message::{Content, Message, Piece};
use crate::smtp::stuff::Stuffer;

/// What is read from a file, and gathered from memory, before it is written.
const CHUNK: u64 = 256 * 1024;
/// Slices of most messages: the header as it was, what is new in it, the body.
const USUAL: usize = 8;
/// Slices of one write.
const SLICES: usize = 64;
/// How long a transfer may be slow before it is too slow.
const WINDOW: Duration = Duration::from_mins(1);

/// Why the end was not sent.
#[derive(Debug)]
pub enum Stopped {
    ClientGone,
    Trouble(Trouble),
    /// Trouble before the first byte.
    Unsaid(Trouble),
}

/// How the content goes out.
#[derive(Debug)]
pub enum Form {
    /// Behind the 354, with dots doubled and one at its end.
    Dotted,
    /// Counted (RFC 3030 2), behind this, which ends with BDAT LAST.
    Counted(String),
    /// The same, with commands before BDAT whose answers may come while it is written, and one behind it all.
    AtOnce { head: String, behind: String },
}

impl Form {
    /// BDAT LAST with so many bytes.
    #[must_use]
    pub fn counted(size: u64) -> Form {
        Form::Counted(format!("BDAT {size} LAST\r\n"))
    }

    /// The same between commands.
    #[must_use]
    pub fn at_once(mut commands: String, size: u64, behind: String) -> Form {
        write!(commands, "BDAT {size} LAST\r\n").expect("a String takes all");
        Form::AtOnce { head: commands, behind }
    }
}

/// What a transfer has to keep to.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub until: Until,
    /// Bytes a second.
    pub min_data_rate: u64,
    /// How long not a single byte may be taken.
    pub stall: Duration,
}

/// Sends everything, its end included: so many bytes of content. When it fails the end was not sent, and must not be: the connection is closed.
pub async fn send(
    connection: &mut Connection,
    message: &Message,
    form: Form,
    pace: Pace,
    gone: &mut (dyn Future<Output = ()> + Send + Unpin),
) -> Result<u64, Stopped> {
    let head = match &form {
        Form::AtOnce { head, .. } => Some(head.len() as u64),
        Form::Dotted | Form::Counted(_) => None,
    };
    let mut sender = Sender::new(form, pace, message);
    match sender.send(connection, message, gone).await {
        // Only what stands behind it is missing: the end is out, and what is answered decides.
        Err(_) if head.is_some_and(|head| sender.behind.is_none() && sender.meter.total >= head + sender.size) => Ok(sender.size),
        // Behind the 354 the next hop waits for content, whatever was written of it.
        Err(Stopped::Trouble(trouble)) if sender.stuffer.is_none() && sender.meter.total == 0 => Err(Stopped::Unsaid(trouble)),
        sent => sent.map(|()| sender.size),
    }
}

/// A piece of the content's file, read off the async threads.
async fn read(content: &Arc<Content>, span: Range<u64>) -> io::Result<Bytes> {
    let content = Arc::clone(content);
    let reading = tokio::task::spawn_blocking(move || content.read(span));
    reading.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

struct Sender {
    /// None where the content is counted.
    stuffer: Option<Stuffer>,
    /// What may be read while it is written.
    last: Care,
    /// What goes out behind the end.
    behind: Option<Bytes>,
    /// As it goes out, and not yet written.
    out: Vec<Bytes>,
    /// Bytes of it.
    waiting: u64,
    /// Bytes of the content so far.
    size: u64,
    meter: Meter,
}

/// What has to be looked after in a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Care {
    /// It does not carry the end.
    Part,
    /// It carries the end: a reply too many, read after it, would be taken for the end's (SEMANTICS 11).
    End,
    /// It carries everything, and the next hop may answer what stands at its beginning before it has the rest.
    Whole,
}

impl Sender {
    fn new(form: Form, pace: Pace, message: &Message) -> Sender {
        let (stuffer, last, head, behind) = match form {
            Form::Dotted => (Some(Stuffer::knowing(message.undotted().cloned().unwrap_or_default())), Care::End, None, None),
            Form::Counted(head) => (None, Care::End, Some(head), None),
            Form::AtOnce { head, behind } => (None, Care::Whole, Some(head), Some(behind.into())),
        };
        let mut out = Vec::with_capacity(USUAL);
        out.extend(head.map(Bytes::from));
        Sender { stuffer, last, behind, out, waiting: 0, size: 0, meter: Meter::new(pace, clock::monotonic()) }
    }

    /// The last piece waits for the write that carries the end.
    async fn send(
        &mut self,
        connection: &mut Connection,
        message: &Message,
        gone: &mut (dyn Future<Output = ()> + Send + Unpin),
    ) -> Result<(), Stopped> {
        let mut pieces = message.pieces().into_iter();
        while let Some(piece) = pieces.next() {
            if self.waiting >= CHUNK {
                self.write(connection, gone, Care::Part).await?;
            }
            match piece {
                Piece::Memory(bytes) => self.take(bytes),
                // What is behind it may be many short pieces, of the file and of what rules put between: they are read as one.
                file @ Piece::File { .. } => {
                    self.read_on(Content::new([file].into_iter().chain(pieces.by_ref())), connection, gone).await?;
                }
            }
        }
        if let Some(stuffer) = &self.stuffer {
            self.out.push(stuffer.end());
        }
        self.out.extend(self.behind.take());
        self.write(connection, gone, self.last).await
    }

    /// Reads a chunk, writes it, reads the next.
    async fn read_on(
        &mut self,
        content: Content,
        connection: &mut Connection,
        gone: &mut (dyn Future<Output = ()> + Send + Unpin),
    ) -> Result<(), Stopped> {
        let content = Arc::new(content);
        let mut at = 0;
        while at < content.size() {
            if self.waiting > 0 {
                self.write(connection, gone, Care::Part).await?;
            }
            let end = content.size().min(at + CHUNK);
            self.take(read(&content, at..end).await.map_err(|error| {
                let text = format!("was not sent the content, which cannot be read: {error}; see to the disk of store.path");
                Stopped::Trouble(Trouble::Other(text))
            })?);
            at = end;
        }
        Ok(())
    }

    fn take(&mut self, bytes: Bytes) {
        self.waiting += bytes.len() as u64;
        self.size += bytes.len() as u64;
        match &mut self.stuffer {
            Some(stuffer) => stuffer.push(bytes, &mut self.out),
            None => self.out.push(bytes),
        }
    }

    /// Writes what waits. Stops at any word of the next hop: before the end there is nothing it could have to say, unless it was asked something in the same write.
    async fn write(
        &mut self,
        connection: &mut Connection,
        gone: &mut (dyn Future<Output = ()> + Send + Unpin),
        care: Care,
    ) -> Result<(), Stopped> {
        let mut out = Slices { all: std::mem::take(&mut self.out), done: 0 };
        self.waiting = 0;
        let mut now = clock::monotonic();
        self.meter.last = now;
        while !out.is_empty() {
            if care == Care::End || care == Care::Whole && self.meter.total == 0 {
                connection.quiet().map_err(Stopped::Trouble)?;
            }
            let look_again = self.meter.look_again(now).map_err(Stopped::Trouble)?;
            tokio::select! {
                biased;
                () = &mut *gone => return Err(Stopped::ClientGone),
                written = write_some(connection.stream(), &out, care != Care::Whole) => match written.map_err(Stopped::Trouble)? {
                    0 => return Err(Stopped::Trouble(Trouble::Closed)),
                    count => {
                        out.advance(count);
                        now = clock::monotonic();
                        self.meter.count(count, now);
                    }
                },
                () = async { sleep_until(look_again.into()).await } => now = clock::monotonic(),
            }
        }
        if care == Care::Part { Ok(()) } else { self.push(connection, gone).await }
    }

    /// Until the end has left: in TLS it may be enciphered and wait here, and as long as some of it does it is no end.
    async fn push(&mut self, connection: &mut Connection, gone: &mut (dyn Future<Output = ()> + Send + Unpin)) -> Result<(), Stopped> {
        while connection.stream().is_behind() {
            let look_again = self.meter.look_again(clock::monotonic()).map_err(Stopped::Trouble)?;
            tokio::select! {
                biased;
                pushed = connection.stream().flush() => return pushed.map_err(|_| Stopped::Trouble(Trouble::Closed)),
                () = &mut *gone => return Err(Stopped::ClientGone),
                () = async { sleep_until(look_again.into()).await } => {}
            }
        }
        Ok(())
    }
}

/// Writes as much as the next hop takes; if `listens`, it has nothing to say meanwhile.
fn write_some<'a>(stream: &'a mut Stream, out: &'a Slices, listens: bool) -> impl Future<Output = Result<usize, Trouble>> + 'a {
    let next = &out.all[out.done..];
    poll_fn(move |context| {
        let mut byte = [0; 1];
        let mut said = ReadBuf::new(&mut byte);
        if listens && let Poll::Ready(read) = Pin::new(&mut *stream).poll_read(context, &mut said) {
            return Poll::Ready(Err(interrupted(&read.map(|()| said.filled().len()))));
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        slices.iter_mut().zip(next).for_each(|(slice, bytes)| *slice = IoSlice::new(bytes));
        let slices = &slices[..next.len().min(SLICES)];
        Pin::new(&mut *stream).poll_write_vectored(context, slices).map_err(|_: io::Error| Trouble::Closed)
    })
}

fn interrupted(said: &io::Result<usize>) -> Trouble {
    match said {
        Ok(1..) => Trouble::Other("talks while it is sent the content; see its log for what it wants to say".to_owned()),
        Ok(_) | Err(_) => Trouble::Closed,
    }
}

/// Slices in order, the written ones behind `done`.
struct Slices {
    all: Vec<Bytes>,
    done: usize,
}

impl Slices {
    fn is_empty(&self) -> bool {
        self.done == self.all.len()
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.all.get_mut(self.done) {
            let taken = count.min(first.len());
            first.advance(taken);
            count -= taken;
            if !first.is_empty() {
                return;
            }
            self.done += 1;
        }
    }
}

/// Keeps a transfer to its pace (DESIGN decision 4).
struct Meter {
    pace: Pace,
    started: Instant,
    /// When the last byte was taken.
    last: Instant,
    total: u64,
    window: Instant,
    in_window: u64,
}

impl Meter {
    fn new(pace: Pace, now: Instant) -> Meter {
        Meter { pace, started: now, last: now, total: 0, window: now, in_window: 0 }
    }

    fn count(&mut self, bytes: usize, now: Instant) {
        self.last = now;
        self.total += bytes as u64;
        self.in_window += bytes as u64;
    }

    /// When to look again, if all is well now.
    fn look_again(&mut self, now: Instant) -> Result<Instant, Trouble> {
        let rate = self.pace.min_data_rate;
        if now >= self.pace.until.hard_deadline {
            return Err(Trouble::Other("did not take the message in the time that is left; see whether it is overloaded".to_owned()));
        }
        if now >= self.last + self.pace.stall {
            let stall = self.pace.stall.as_secs_f32();
            return Err(Trouble::Other(format!(
                "takes no more of the message for {stall} s (timeouts.next_hop); see whether it is overloaded"
            )));
        }
        let too_slow =
            || Trouble::Other(format!("takes less than {rate} bytes a second (limits.min_data_rate); see whether it is overloaded"));
        let late = now >= self.pace.until.deadline;
        // Past the deadline only a transfer that keeps the rate goes on; the first second says nothing about a rate.
        if late && self.total < rate * now.duration_since(self.started).as_secs() {
            return Err(too_slow());
        }
        if now >= self.window + WINDOW {
            if self.in_window < rate * now.duration_since(self.window).as_secs() {
                return Err(too_slow());
            }
            (self.window, self.in_window) = (now, 0);
        }
        let next = (self.last + self.pace.stall).min(self.window + WINDOW).min(self.pace.until.hard_deadline);
        Ok(if late { next.min(now + Duration::from_secs(1)) } else { next.min(self.pace.until.deadline) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// 100 bytes a second; a deadline after 60 s, the hard one after 300 s.
    fn meter() -> (Meter, Instant) {
        let now = clock::monotonic();
        let until = Until { deadline: now + 60 * SECOND, hard_deadline: now + 300 * SECOND };
        (Meter::new(Pace { until, min_data_rate: 100, stall: 30 * SECOND }, now), now)
    }

    /// Seconds until it gives up, when so many bytes are taken each second.
    fn gives_up_after(bytes: usize) -> Option<u32> {
        let (mut meter, start) = meter();
        (1..1000).find(|second| {
            let now = start + *second * SECOND;
            let outcome = meter.look_again(now);
            if bytes > 0 {
                meter.count(bytes, now);
            }
            outcome.is_err()
        })
    }

    #[test]
    fn a_transfer_that_keeps_the_rate_runs_past_the_deadline_but_not_past_the_hard_one() {
        assert_eq!(gives_up_after(110), Some(300));
    }

    #[test]
    fn one_that_does_not_keep_it_ends_with_the_deadline() {
        assert_eq!(gives_up_after(50), Some(60));
    }

    #[test]
    fn one_that_stands_still_ends_after_the_silence_allowed() {
        assert_eq!(gives_up_after(0), Some(30));
    }

    #[test]
    fn the_next_look_is_never_behind_what_could_end_it() {
        let (mut meter, start) = meter();
        assert_eq!(meter.look_again(start).unwrap(), start + 30 * SECOND);
        meter.count(1_000_000, start + 59 * SECOND);
        assert_eq!(meter.look_again(start + 59 * SECOND).unwrap(), start + 60 * SECOND);
        assert_eq!(meter.look_again(start + 61 * SECOND).unwrap(), start + 62 * SECOND);
    }

    #[test]
    fn written_slices_are_left_behind_wherever_a_write_ends() {
        let all: Vec<Bytes> = [&b"abc"[..], b"", b"de", b"f"].iter().map(|bytes| Bytes::from_static(bytes)).collect();
        for first in 0..=6 {
            let mut out = Slices { all: all.clone(), done: 0 };
            out.advance(first);
            let left: Vec<u8> = out.all[out.done..].concat();
            assert_eq!(left, b"abcdef"[first..]);
            out.advance(6 - first);
            assert!(out.is_empty());
        }
    }
}
