//! What lies in the input, line by line.

use std::io;
use std::ops::{ControlFlow, Range};
use std::pin::pin;
use std::time::Duration;

use super::super::input::Line;
use super::{Connection, Event};
use crate::base::clock;
use crate::smtp::reply;
use crate::smtp::session::{Question, Step};

/// RCPTs that go to the next hop together.
const MOST_TOGETHER: usize = 100;
/// Answers waiting to be written; more is written before the input is used up.
const MOST_OUTPUT: usize = 16 * 1024;
/// How long a session that has had mail keeps the room for more.
const BREATH: Duration = Duration::from_secs(1);

impl Connection {
    /// Answers what has come, and what comes while a transaction is open or was a moment ago. What happened then; bytes: nothing more for now.
    pub(super) async fn work(&mut self) -> io::Result<Event> {
        let mut had_mail = false;
        loop {
            if pin!(self.answer()).await?.is_break() {
                return Ok(Event::Over);
            }
            let open = self.session.transaction().is_some();
            had_mail |= open;
            if !had_mail {
                return Ok(Event::Bytes);
            }
            self.flush().await?;
            let whole = self.shared.timeouts.command;
            let event = pin!(self.wait(if open { whole } else { BREATH.min(whole) })).await;
            match event {
                Event::Bytes => {}
                Event::Silent if !open => return Ok(Event::Bytes),
                other => return Ok(other),
            }
        }
    }

    /// Answers all whole lines of the input.
    async fn answer(&mut self) -> io::Result<ControlFlow<()>> {
        let mut lines = false;
        while let Some(line) = self.input.next_line() {
            lines = true;
            let next = match line {
                Line::TooLong { bdat } => Box::pin(self.overlong(bdat)).await,
                Line::Whole(line) => pin!(self.line(line)).await?,
            };
            if next.is_break() {
                return Ok(next);
            }
            if self.output.len() > MOST_OUTPUT {
                self.flush().await?;
            }
        }
        let next = pin!(self.settle()).await;
        if lines {
            self.answered = clock::monotonic();
        }
        Ok(next)
    }

    /// A line was thrown away. The content behind a BDAT would be read as commands.
    async fn overlong(&mut self, bdat: bool) -> ControlFlow<()> {
        self.settle().await?;
        let reply = self.session.overlong_line();
        self.say(&reply)?;
        if bdat { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    async fn line(&mut self, line: Range<usize>) -> io::Result<ControlFlow<()>> {
        // Only RCPTs may overtake the answers of RCPTs.
        let joins =
            self.asked.len() < MOST_TOGETHER && self.input.text(&line).get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"RCPT"));
        if !joins && pin!(self.settle()).await.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        if self.renew().is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let early = !self.input.is_empty();
        match self.session.line(self.input.text(&line), early, &self.shared.offer(self.standing())) {
            Step::Ask(Question::Recipient(path)) => Ok(pin!(self.recipient(&path)).await),
            Step::Ask(Question::Message(envelope)) => pin!(self.message(envelope)).await,
            Step::Ask(Question::Chunk { size, whole }) => pin!(self.chunk(size, whole)).await,
            // What is rare has room of its own.
            Step::Ask(Question::Client(told)) => Ok(self.stand_in(told)),
            Step::Ask(Question::StartTls) => {
                self.forget();
                let _ = self.say(&reply::ready_for_tls());
                self.flush().await?;
                Ok(Box::pin(self.secure()).await)
            }
            Step::Swallow(size, reply) => Box::pin(self.swallow(size, reply)).await,
            Step::Ask(Question::Login(claim)) => Ok(Box::pin(self.login(claim)).await),
            Step::Welcome(reply) => Ok(self.welcome(&reply)),
            Step::Denied(denied) => Ok(Box::pin(self.denied(denied)).await),
            Step::Reply(reply) => {
                if !self.asked.is_empty() && Box::pin(self.settle()).await.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                if self.session.transaction().is_none() {
                    self.forget();
                } else if self.began.is_none() {
                    return Ok(self.begin(&reply));
                }
                Ok(self.say(&reply))
            }
        }
    }
}
