//! From the client's bytes to a message, within limits of size, rate and time.

mod chunks;
mod data;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::task::spawn_blocking;

use super::input::Input;
use super::limits::{Rate, SLOT};
use crate::base::clock;
use crate::message::{self, Message, Receiver, Refusal, Room};
use crate::smtp::data::LineEndings;
use crate::smtp::reply::{self, Reply};

pub use self::chunks::{Chunks, Stopped, swallow};
pub use self::data::receive;

/// What holds for the messages of a listener.
#[derive(Clone, Debug)]
pub struct Intake {
    pub limits: Arc<message::Limits>,
    pub room: Room,
    pub line_endings: LineEndings,
    /// Bytes a second.
    pub min_data_rate: u64,
    /// The longest silence.
    pub silence: Duration,
    /// A message whose header is over its limits is taken all the same, to be held.
    pub leaves_unread: bool,
}

impl Intake {
    /// SEMANTICS 31: so many bytes of a message that is over the limit are swallowed.
    fn most_swallowed(&self) -> u64 {
        self.limits.message_size.saturating_mul(2)
    }
}

/// What came of it.
#[derive(Debug)]
pub enum Received {
    /// It is here as a whole; with the answer to it, if its header is over a limit and was left unread.
    Message(Message, Option<Reply>),
    /// It has ended or is given up; the reply says whether the session is over, too.
    Refused(Reply),
    /// The client went away before its end.
    Gone,
}

enum More {
    Bytes,
    End,
    TooSlow,
    Silent,
}

async fn wait(stream: &mut (impl AsyncRead + Unpin + ?Sized), input: &mut Input, rate: &mut Rate, silence: Duration) -> More {
    let began = clock::monotonic();
    let mut noted = began;
    loop {
        let left = silence.saturating_sub(noted - began);
        let read = input.fill_for_data_until(stream, noted + SLOT.min(left)).await;
        let now = clock::monotonic();
        let bytes = read.as_ref().map_or(0, |read| *read.as_ref().unwrap_or(&0));
        if !rate.note(now - noted, bytes as u64) {
            return More::TooSlow;
        }
        noted = now;
        match read {
            Some(Ok(0) | Err(_)) => return More::End,
            Some(Ok(_)) => return More::Bytes,
            None if now - began >= silence => return More::Silent,
            None => {}
        }
    }
}

/// A message on its way in, unstuffed. Once it is refused its bytes are only counted.
#[derive(Debug)]
struct Coming {
    so_far: Result<Box<Receiver>, Reply>,
}

impl Coming {
    fn new(intake: &Intake) -> Coming {
        let receiver = Receiver::new(Arc::clone(&intake.limits), intake.room.clone());
        let receiver = if intake.leaves_unread { receiver.leaving_unread() } else { receiver };
        Coming { so_far: Ok(Box::new(receiver)) }
    }

    fn take(&mut self, bytes: &[u8]) {
        if let Ok(receiver) = &mut self.so_far
            && let Err(refusal) = receiver.push(bytes)
        {
            self.so_far = Err(told(&refusal));
        }
    }

    fn is_refused(&self) -> bool {
        self.so_far.is_err()
    }

    /// The first reason counts.
    fn refuse(&mut self, reply: Reply) {
        if self.so_far.is_ok() {
            self.so_far = Err(reply);
        }
    }

    /// No line of it begins with a dot.
    fn note_undotted(&mut self) {
        if let Ok(receiver) = &mut self.so_far {
            receiver.note_undotted();
        }
    }

    /// Writes to the file what waits for it, off the threads that serve the sockets.
    async fn flush(&mut self) {
        if !self.so_far.as_ref().is_ok_and(|receiver| receiver.wants_flush()) {
            return;
        }
        let Ok(mut receiver) = std::mem::replace(&mut self.so_far, Err(reply::trouble())) else { return };
        let written = spawn_blocking(move || receiver.flush().map(|()| receiver)).await;
        self.so_far = match written {
            Ok(Ok(receiver)) => Ok(receiver),
            Ok(Err(refusal)) => Err(told(&refusal)),
            Err(panic) => Err(broken(&panic)),
        };
    }

    /// `bare`: a CR or LF stood alone and has become CR LF.
    async fn finish(self, bare: bool) -> Received {
        let mut receiver = match self.so_far {
            Ok(receiver) => receiver,
            Err(reply) => return Received::Refused(reply),
        };
        if bare {
            receiver.note_bare_line_ending();
        }
        let unread = match receiver.end() {
            Ok(unread) => unread.as_ref().map(told),
            Err(refusal) => return Received::Refused(told(&refusal)),
        };
        let finished = if receiver.in_file() { spawn_blocking(move || receiver.finish()).await } else { Ok(receiver.finish()) };
        match finished {
            Ok(Ok(message)) => Received::Message(message, unread),
            Ok(Err(refusal)) => Received::Refused(told(&refusal)),
            Err(panic) => Received::Refused(broken(&panic)),
        }
    }
}

fn broken(panic: &tokio::task::JoinError) -> Reply {
    tracing::error!(error = %panic, "taking a message in failed; the client was told to try again; please report this");
    reply::trouble()
}
/// The reply to a message over a limit; the operator is told where a limit of ours, not the message, is the cause.
fn told(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::TooLarge | Refusal::HeaderTooLarge | Refusal::TooManyFields => {
            tracing::info!(reason = %refusal, "message refused");
            reply::too_large()
        }
        Refusal::NoMemory | Refusal::NoDisk => {
            tracing::warn!("message not taken for now: {refusal}; raise it, or take in fewer messages at once (limits.sessions)");
            reply::no_room()
        }
        Refusal::Disk(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            tracing::error!("message not taken for now: {refusal}; make room where store.path is");
            reply::no_room()
        }
        Refusal::Disk(_) => {
            tracing::error!("message not taken for now: {refusal}; check the disk and the rights on store.path");
            reply::trouble()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_452_whoever_found_it_full_and_a_broken_one_451() {
        for full in [Refusal::NoDisk, Refusal::Disk(io::ErrorKind::StorageFull.into()), Refusal::Disk(io::ErrorKind::QuotaExceeded.into())]
        {
            assert_eq!(told(&full), reply::no_room());
        }
        assert_eq!(told(&Refusal::Disk(io::ErrorKind::NotADirectory.into())), reply::trouble());
    }
}
