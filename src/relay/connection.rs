//! One connection to a next hop: commands and their replies, each in its time.
//!
//! Every command is counted until it is answered. A connection is fit for another mail only when nothing is unanswered and nothing unread (SEMANTICS 11).

mod tls;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use bytes::BufMut;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

pub use self::tls::Protection;
use super::NextHop;
use super::stream::{Seen, Stream};
use super::target::Target;
use crate::base::alarm::Alarm;
use crate::base::clock;
use crate::base::metrics::COUNTS;
use crate::smtp::client::{Answer, Capabilities, Meaning, Replies, Stage};
use crate::smtp::identity::Identity;

/// What a connection may do before it is retired (SEMANTICS 11).
const REFUSED: u32 = 3;
const RESETS: u32 = 5;
const AGE: Duration = Duration::from_mins(4);
/// Bytes of replies that may wait while commands are written: more than a hundred replies of twenty full lines.
const MOST_WAITING: usize = 2 * 1024 * 1024;
/// Bytes of replies read at a time.
const PIECE: usize = 1024;
/// How long QUIT may take; nobody waits for it but the shutdown.
const QUIT: Duration = Duration::from_secs(2);

/// Why a connection is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Closed or broken by the other side, without a word.
    Closed,
    /// A reply that is no verdict on the mail: 421, 503, 250 to DATA.
    Said(Stage, Answer),
    /// No handshake, though the policy asks for one; why, for the log.
    Tls(String),
    /// No connection, silence, garbage, surplus replies; a text for the log.
    Other(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Closed => f.write_str("closed the connection; look into its log"),
            Trouble::Said(stage, answer) => {
                write!(f, "answered {} with `{}`, which is no word on the mail; look into its log", stage.name(), answer.in_one_line())
            }
            Trouble::Tls(text) => write!(f, "cannot be spoken to in TLS: {text}"),
            Trouble::Other(text) => f.write_str(text),
        }
    }
}

/// A connection that has been greeted and said EHLO.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    replies: Replies,
    /// Commands without reply.
    unanswered: usize,
    pub capabilities: Capabilities,
    pub next_hop: NextHop,
    /// Whose it is: the next hop of one route, with its policy and its credentials.
    pub target: Arc<Target>,
    /// None in clear.
    pub tls: Option<Box<Protection>>,
    reply_within: Duration,
    alarm: Alarm,
    /// For the time a message has.
    pub deadline: Alarm,
    opened: Instant,
    /// When it came back to the pool.
    pub idle_since: Instant,
    messages: u64,
    mails: u64,
    resets: u32,
    refused: u32,
    /// MAIL and all RCPTs were answered 2.1.x the last time: no such reply can be taken for one to a message.
    pub tells_apart: bool,
    /// Taken from the pool, so that trouble may be its age.
    pub reused: bool,
    /// As whom XCLIENT has introduced us; none: as ourselves.
    pub(super) introduced: Option<Arc<Identity>>,
    /// The thread whose runtime wakes who waits for it.
    home: ThreadId,
}

impl Connection {
    /// On a socket that is connected; the greeting is awaited. The way from here is in [`super::handshake`].
    pub(super) fn on(stream: Stream, target: &Arc<Target>) -> Connection {
        let now = clock::monotonic();
        Connection {
            stream,
            replies: Replies::default(),
            unanswered: 1,
            capabilities: Capabilities::default(),
            next_hop: target.next_hop.clone(),
            target: Arc::clone(target),
            tls: None,
            reply_within: target.settings.next_hop,
            alarm: Alarm::default(),
            deadline: Alarm::default(),
            opened: now,
            idle_since: now,
            messages: 0,
            mails: 0,
            resets: 0,
            refused: 0,
            tells_apart: false,
            reused: false,
            introduced: None,
            home: thread::current().id(),
        }
    }

    /// Writes commands, reading what is answered meanwhile, so that neither side can wait for the other with full buffers (RFC 2920 3.1).
    ///
    /// # Errors
    /// Closed, not taken in time, or answered without end.
    pub async fn say(&mut self, commands: &str, count: usize) -> Result<(), Trouble> {
        self.unanswered += count;
        let within = self.reply_within;
        let mut alarm = std::mem::take(&mut self.alarm);
        // One limit for all: a next hop that talks and does not listen is not silent, but gets nowhere.
        let said = alarm.within(within, pin!(self.write_and_read(commands))).await;
        self.alarm = alarm;
        said.unwrap_or_else(|| Err(silent("takes no command", within, "timeouts.next_hop")))
    }

    async fn write_and_read(&mut self, commands: &str) -> Result<(), Trouble> {
        let mut left = commands.as_bytes();
        while !left.is_empty() {
            let written = write_or_read(&mut self.stream, &mut self.replies, left).await.map_err(|_| Trouble::Closed)?;
            left = &left[written..];
            if self.replies.waiting() > MOST_WAITING {
                return Err(Trouble::Other(format!(
                    "says more than {MOST_WAITING} bytes and reads no command; see that an SMTP server listens there"
                )));
            }
        }
        Ok(())
    }

    /// The next reply, within `timeouts.next_hop`.
    ///
    /// # Errors
    /// Closed, silent, garbage, or nothing was asked.
    pub async fn answer(&mut self, stage: Stage) -> Result<Answer, Trouble> {
        self.answer_within(stage, self.reply_within, "timeouts.next_hop").await
    }

    /// The next reply, within the time that the setting `named` gives.
    ///
    /// # Errors
    /// As [`Connection::answer`].
    pub async fn answer_within(&mut self, stage: Stage, within: Duration, named: &str) -> Result<Answer, Trouble> {
        let mut alarm = std::mem::take(&mut self.alarm);
        let answer = alarm.within(within, pin!(self.read_answer(stage))).await;
        self.alarm = alarm;
        answer.unwrap_or_else(|| Err(silent(&format!("does not answer {}", stage.name()), within, named)))
    }

    async fn read_answer(&mut self, stage: Stage) -> Result<Answer, Trouble> {
        loop {
            match self.replies.next(stage) {
                Ok(Some(answer)) => {
                    self.unanswered -= 1;
                    COUNTS.reply(stage as usize, answer.code);
                    return Ok(answer);
                }
                Ok(None) => {}
                Err(garbage) => {
                    return Err(Trouble::Other(format!("answers {} with {garbage}; see that an SMTP server listens there", stage.name())));
                }
            }
            match self.stream.read_buf(&mut room(&mut self.replies)).await {
                Ok(0) | Err(_) => return Err(Trouble::Closed),
                Ok(_) => {}
            }
        }
    }

    /// The next reply, which has to be the good one.
    ///
    /// # Errors
    /// Any other.
    pub async fn expect(&mut self, stage: Stage) -> Result<Answer, Trouble> {
        let answer = self.answer(stage).await?;
        match answer.meaning(stage) {
            Meaning::Accepted => Ok(answer),
            Meaning::Verdict | Meaning::Trouble => Err(Trouble::Said(stage, answer)),
        }
    }

    /// Whether everything is answered and nothing more has been read. What the kernel still has is not seen: [`Connection::quiet`] does that, before
    /// anything is said whose answer it could be taken for.
    ///
    /// # Errors
    /// It is not.
    pub fn is_answered(&self) -> Result<(), Trouble> {
        if self.replies.waiting() > 0 {
            let rest = self.replies.rest();
            return Err(Trouble::Other(format!("says more than it was asked: `{rest}`; its replies cannot be told apart any more")));
        }
        if self.unanswered > 0 {
            return Err(Trouble::Other(format!("has not answered {} commands", self.unanswered)));
        }
        Ok(())
    }

    /// Whether it is open, everything is answered and nothing more was said.
    ///
    /// # Errors
    /// It is not.
    pub fn quiet(&mut self) -> Result<(), Trouble> {
        self.is_answered()?;
        match self.stream.look() {
            Seen::Unread => Err(Trouble::Other("talks out of turn; its replies cannot be told apart any more".to_owned())),
            Seen::Closed => Err(Trouble::Closed),
            Seen::Quiet => Ok(()),
        }
    }

    /// Ends a transaction that has not reached DATA.
    ///
    /// # Errors
    /// RSET was not answered 250, or a reply nobody asked for would have been taken for its answer.
    pub async fn reset(&mut self) -> Result<(), Trouble> {
        self.quiet()?;
        self.resets += 1;
        self.say("RSET\r\n", 1).await?;
        self.expect(Stage::Reset).await?;
        self.quiet()
    }

    /// Whether this thread's runtime wakes who waits for it.
    #[must_use]
    pub fn is_at_home(&self) -> bool {
        self.home == thread::current().id()
    }

    /// The same connection, woken from this thread; none where the system does not let it move.
    #[must_use]
    pub fn moved_here(self) -> Option<Connection> {
        let stream = self.stream.moved_here().ok()?;
        Some(Connection { stream, home: thread::current().id(), alarm: Alarm::default(), deadline: Alarm::default(), ..self })
    }

    /// Counts a refused recipient.
    pub fn count_refused(&mut self) {
        self.refused += 1;
    }

    /// Counts a message that was taken.
    pub fn count_message(&mut self) {
        self.messages += 1;
        self.resets = 0;
    }

    /// Counts MAIL.
    pub fn count_mail(&mut self) {
        self.mails += 1;
    }

    /// Counts what counts as RSET and is said with the end of the data.
    pub fn count_reset(&mut self) {
        self.resets += 1;
    }

    /// Counts the end of the data, and what was said in the same write, as commands without reply.
    pub fn count_end(&mut self, answers: usize) {
        self.unanswered += answers;
    }

    /// Whether it takes another MAIL (RFC 9422 4, MAILMAX).
    #[must_use]
    pub fn takes_another(&self) -> bool {
        self.capabilities.limits.transactions.is_none_or(|most| self.mails < most)
    }

    /// Whether we have said who we are: it would be of no use else.
    #[must_use]
    pub fn is_logged_in(&self) -> bool {
        self.target.route.auth.is_some()
    }

    /// Whether TLS protects it, towards a server that had to prove who it is.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.tls.is_some() && self.target.policy.is_secure()
    }

    /// Whether it has done enough: other servers lose patience with one that goes on (SEMANTICS 11).
    #[must_use]
    pub fn is_spent(&self, now: Instant) -> bool {
        let age = now.duration_since(self.opened);
        let messages = self.target.route.connections.messages;
        !self.takes_another() || self.refused >= REFUSED || self.resets >= RESETS || self.messages >= messages || age >= AGE
    }

    /// Whether it is spent, or has lain idle for too long.
    #[must_use]
    pub fn has_outlived(&self) -> bool {
        let now = clock::monotonic();
        self.is_spent(now) || now.duration_since(self.idle_since) >= self.target.route.connections.idle_time
    }

    /// The socket, for the content.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// QUIT, in the background of nobody: the caller may wait or not. What it answers does not matter.
    pub async fn quit(mut self) {
        let farewell = async {
            if self.stream.write_all(b"QUIT\r\n").await.is_ok() {
                let mut buffer = [0; 512];
                while matches!(self.stream.read(&mut buffer).await, Ok(1..)) {}
            }
        };
        // However it ends, the socket is closed by then.
        let _ = timeout(QUIT, farewell).await;
    }
}

/// Writes as much as is taken: so many bytes. While that is nothing, reads what is said.
async fn write_or_read(stream: &mut Stream, replies: &mut Replies, left: &[u8]) -> io::Result<usize> {
    let closed = || Err(io::ErrorKind::UnexpectedEof.into());
    poll_fn(|context| match Pin::new(&mut *stream).poll_write(context, left) {
        Poll::Ready(Ok(0)) => Poll::Ready(closed()),
        Poll::Pending => match pin!(stream.read_buf(&mut room(replies))).poll(context) {
            Poll::Ready(Ok(0)) => Poll::Ready(closed()),
            read => read.map_ok(|_| 0),
        },
        written @ Poll::Ready(_) => written,
    })
    .await
}

/// Room for a piece of what comes in.
fn room(replies: &mut Replies) -> bytes::buf::Limit<&mut Vec<u8>> {
    let buffer = replies.buffer();
    buffer.reserve(PIECE);
    buffer.limit(PIECE)
}

fn silent(what: &str, within: Duration, named: &str) -> Trouble {
    Trouble::Other(format!("{what} within {} s ({named}); see whether it is overloaded", within.as_secs_f32()))
}
