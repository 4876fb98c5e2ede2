//! DATA: from the client's bytes to a message, within limits of size, rate and time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::input::Input;
use super::limits::{Rate, SLOT};
use crate::base::clock;
use crate::message::{self, Message, Receiver, Refusal, Room};
use crate::smtp::data::{LineEndings, Progress, Unstuffer};
use crate::smtp::reply::{self, Reply};

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

/// Takes one message in. `hurry` ends it at shutdown.
pub async fn receive(
    stream: &mut (impl AsyncRead + Unpin + ?Sized),
    input: &mut Input,
    intake: &Intake,
    hurry: &CancellationToken,
) -> Received {
    let mut coming = Coming::new(intake);
    let mut rate = Rate::new(intake.min_data_rate);
    loop {
        match coming.take(input) {
            Some(Progress::Ended { .. }) => return coming.finish().await,
            Some(Progress::Doubtful) => return Received::Refused(reply::doubtful_end()),
            // SEMANTICS 31: within twice the limit the end is waited for.
            _ if coming.size() > intake.limits.message_size.saturating_mul(2) => return Received::Refused(reply::far_too_large()),
            _ => {}
        }
        coming.flush().await;
        let more = tokio::select! {
            biased;
            () = hurry.cancelled() => return Received::Refused(reply::shutting_down()),
            more = wait(stream, input, &mut rate, intake.silence) => more,
        };
        match more {
            More::Bytes => {}
            More::End => return Received::Gone,
            More::TooSlow => return Received::Refused(reply::too_slow()),
            More::Silent => return Received::Refused(reply::timed_out()),
        }
    }
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
        let read: Option<io::Result<usize>> = timeout(SLOT.min(left), input.fill_for_data(stream)).await.ok();
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

/// A message on its way in. Once it is refused its bytes are only counted.
struct Coming {
    unstuffer: Unstuffer,
    line_endings: LineEndings,
    so_far: Result<Box<Receiver>, Reply>,
}

impl Coming {
    fn new(intake: &Intake) -> Coming {
        let receiver = Receiver::new(Arc::clone(&intake.limits), intake.room.clone());
        let receiver = if intake.leaves_unread { receiver.leaving_unread() } else { receiver };
        Coming { unstuffer: Unstuffer::new(), line_endings: intake.line_endings, so_far: Ok(Box::new(receiver)) }
    }

    fn size(&self) -> u64 {
        self.unstuffer.size()
    }

    /// Takes what lies in the input, up to the end of the message.
    fn take(&mut self, input: &mut Input) -> Option<Progress> {
        let bytes = input.rest();
        if bytes.is_empty() {
            return None;
        }
        let so_far = &mut self.so_far;
        let progress = self.unstuffer.push(bytes, |run| {
            if let Ok(receiver) = so_far
                && let Err(refusal) = receiver.push(run)
            {
                *so_far = Err(told(&refusal));
            }
        });
        let taken = match progress {
            Progress::Ended { taken } => taken,
            Progress::More | Progress::Doubtful => bytes.len(),
        };
        input.consume(taken);
        if self.so_far.is_ok() && self.line_endings == LineEndings::Reject && self.unstuffer.found_bare() {
            self.so_far = Err(reply::bare_line_ends());
        }
        Some(progress)
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

    async fn finish(&mut self) -> Received {
        let mut receiver = match std::mem::replace(&mut self.so_far, Err(reply::trouble())) {
            Ok(receiver) => receiver,
            Err(reply) => return Received::Refused(reply),
        };
        if self.unstuffer.found_bare() {
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
