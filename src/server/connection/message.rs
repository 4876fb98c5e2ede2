//! DATA and BDAT: takes the message in, has it judged, tells the client.

use std::io;
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::{Duration, Instant};

use super::super::cores;
use super::super::hold::holding;
use super::super::judge::{self, Case};
use super::super::receive::{Chunks, Received, Stopped, receive, swallow};
use super::Connection;
use super::classes::Arrived;
use crate::base::clock;
use crate::base::metrics::COUNTS;
use crate::smtp::envelope::{Body, Envelope};
use crate::smtp::reply::{self, Class, Reply};

impl Connection {
    /// DATA.
    pub(super) async fn message(&mut self, envelope: Envelope) -> io::Result<ControlFlow<()>> {
        if self.say(&reply::send_data()).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        cores::pulse();
        self.flush().await?;
        let began = clock::monotonic();
        let Connection { stream, input, held, due, hurry, door, .. } = self;
        let received = {
            let coming = pin!(receive(stream, input, &door.intake, hurry));
            pin!(holding(held, due, coming)).await
        };
        pin!(self.conclude(envelope, began, received)).await
    }

    /// BDAT; with the envelope if the message is whole behind it.
    pub(super) async fn chunk(&mut self, size: u64, whole: Option<Envelope>) -> io::Result<ControlFlow<()>> {
        cores::pulse();
        if size > self.input.rest().len() as u64 {
            self.flush().await?;
        }
        let Connection { stream, input, held, due, hurry, door, session, chunks, .. } = self;
        let fresh = || {
            let envelope = whole.as_ref().or_else(|| session.transaction());
            Box::new(Chunks::new(&door.intake, envelope.is_some_and(|envelope| envelope.declared.body == Some(Body::BinaryMime))))
        };
        let mut coming = chunks.take().unwrap_or_else(fresh);
        let taken = {
            let work = pin!(coming.take(size, stream, input, &door.intake, hurry));
            holding(held, due, work).await
        };
        let began = coming.began;
        match (taken, whole) {
            (Ok(_), Some(envelope)) => {
                let received = coming.finish().await;
                pin!(self.conclude(envelope, began, received)).await
            }
            (Ok(reply), None) if reply.class() == Class::Done => {
                self.chunks = Some(coming);
                let reply = self.session.chunk_taken(reply);
                Ok(self.say(&reply))
            }
            (Ok(reply), None) => {
                self.log_refused_chunk(None, &reply, began);
                let reply = self.session.chunk_taken(reply);
                self.forget();
                Ok(self.say(&reply))
            }
            (Err(Stopped::Ended(reply)), whole) => {
                self.log_refused_chunk(whole.as_ref(), &reply, began);
                let times = whole.map_or(1, |envelope| self.times(&reply, &envelope));
                (1..times).for_each(|_| reply.write(&mut self.output));
                Ok(self.say(&reply))
            }
            (Err(Stopped::Gone), whole) => {
                self.log_gone(whole.as_ref());
                Ok(ControlFlow::Break(()))
            }
        }
    }

    /// A BDAT that was refused: its bytes first, then the reply.
    pub(super) async fn swallow(&mut self, size: u64, reply: Reply) -> io::Result<ControlFlow<()>> {
        if size > self.input.rest().len() as u64 {
            self.flush().await?;
        }
        let Connection { stream, input, held, due, hurry, door, .. } = self;
        let swallowed = {
            let work = pin!(swallow(size, stream, input, &door.intake, hurry));
            holding(held, due, work).await
        };
        match swallowed {
            Ok(()) => Ok(self.say(&reply)),
            Err(Stopped::Ended(reply)) => Ok(self.say(&reply)),
            Err(Stopped::Gone) => Ok(ControlFlow::Break(())),
        }
    }

    /// The message is here, or will not be.
    async fn conclude(&mut self, envelope: Envelope, began: Instant, received: Received) -> io::Result<ControlFlow<()>> {
        // What was pipelined before it has its answers, and its client need not wait for the next hop to hear them.
        self.flush().await?;
        let received = match received {
            Received::Message(message, unread) if self.session.is_lmtp() => {
                return Box::pin(self.each_class(envelope, Arrived { message, unread, began })).await;
            }
            other => other,
        };
        let (origin, one_recipient) = (self.origin(), self.session.gave_one_recipient());
        let mut times = 1;
        let reply = match received {
            Received::Gone => {
                self.log_gone(Some(&envelope));
                return Ok(ControlFlow::Break(()));
            }
            Received::Refused(reply) => {
                judge::log_refused(&origin, &envelope, &reply, clock::monotonic() - began);
                times = self.times(&reply, &envelope);
                reply
            }
            Received::Message(message, unread) => {
                let mut transaction = match self.held.take() {
                    Some(held) => held.transaction,
                    None => self.begun(None, &envelope),
                };
                let Connection { stream, input, hurry, shared, door, taken, .. } = self;
                let (door, recipients) = (door.clone(), std::mem::take(taken));
                let case = Case {
                    door,
                    origin,
                    envelope,
                    recipients,
                    one_recipient,
                    tells_each: false,
                    message,
                    unread,
                    began,
                    ended: clock::monotonic(),
                };
                pin!(judge::judge(shared, &case, &mut transaction, stream, input, hurry)).await.reply
            }
        };
        self.forget();
        let reply = self.session.message(reply);
        (1..times).for_each(|_| reply.write(&mut self.output));
        let next = self.say(&reply);
        // Not with the answers to what was pipelined behind it: those may have to wait for the next hop, and a client that hears nothing of a message
        // that was taken sends it again.
        self.flush().await?;
        Ok(next)
    }

    /// How often a refusal of the whole message is said: in LMTP whoever was accepted hears of it, but for a farewell.
    fn times(&self, reply: &Reply, envelope: &Envelope) -> usize {
        if self.session.is_lmtp() && !reply.is_farewell() { envelope.recipients.len() } else { 1 }
    }

    fn log_refused_chunk(&self, whole: Option<&Envelope>, reply: &Reply, began: Instant) {
        if let Some(envelope) = whole.or_else(|| self.session.transaction()) {
            let receive: Duration = clock::monotonic() - began;
            judge::log_refused(&self.origin(), envelope, reply, receive);
        }
    }

    fn log_gone(&self, envelope: Option<&Envelope>) {
        COUNTS.message("gone");
        if let Some(envelope) = envelope.or_else(|| self.session.transaction()) {
            tracing::info!(session = %self.id, client = %self.client_text(), from = %envelope.sender, "client went away in the middle of a message");
        }
    }
}
