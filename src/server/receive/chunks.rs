//! BDAT: a message in counted pieces, over several commands (RFC 3030).

use std::time::Instant;

use tokio::io::AsyncRead;

use super::super::input::Input;
use super::super::limits::Rate;
use super::{Coming, Intake, More, Received, wait};
use crate::base::clock;
use crate::base::sign::Watch;
use crate::smtp::data::{LineEndings, LineEnds};
use crate::smtp::reply::{self, Reply};

/// The pieces so far.
#[derive(Debug)]
pub struct Chunks {
    coming: Coming,
    /// None where BODY=BINARYMIME was declared: then no byte has a meaning of its own.
    lines: Option<LineEnds>,
    line_endings: LineEndings,
    size: u64,
    rate: Rate,
    /// When the first BDAT was here, and when the last one was done with.
    pub began: Instant,
    idle_since: Instant,
}

/// Why a piece did not come whole.
#[derive(Debug)]
pub enum Stopped {
    /// With the session's last reply.
    Ended(Reply),
    /// The client went away.
    Gone,
}

impl Chunks {
    /// Before the first piece.
    #[must_use]
    pub fn new(intake: &Intake, binary: bool) -> Chunks {
        let now = clock::monotonic();
        let lines = (!binary).then(LineEnds::default);
        let (line_endings, rate) = (intake.line_endings, Rate::new(intake.min_data_rate));
        Chunks { coming: Coming::new(intake), lines, line_endings, size: 0, rate, began: now, idle_since: now }
    }

    /// Takes a piece of so many bytes in. The reply to it, good or bad, once all of them are read.
    ///
    /// # Errors
    /// The session ends before that.
    pub async fn take(
        &mut self,
        size: u64,
        stream: &mut (impl AsyncRead + Unpin + ?Sized),
        input: &mut Input,
        intake: &Intake,
        hurry: &mut Watch,
    ) -> Result<Reply, Stopped> {
        self.size = self.size.saturating_add(size);
        if self.size > intake.most_swallowed() {
            return Err(Stopped::Ended(reply::far_too_large()));
        }
        if self.size > intake.limits.message_size {
            self.coming.refuse(reply::too_large());
        }
        let now = clock::monotonic();
        if !self.rate.note(now - self.idle_since, 0) {
            return Err(Stopped::Ended(reply::too_slow()));
        }
        let mut left = size;
        loop {
            left -= self.piece(left, input);
            if left == 0 {
                break;
            }
            self.coming.flush().await;
            more(stream, input, &mut self.rate, intake, hurry).await?;
        }
        self.idle_since = clock::monotonic();
        Ok(self.coming.so_far.as_ref().err().cloned().unwrap_or_else(|| reply::chunk_taken(size)))
    }

    /// Takes what lies in the input, `most` bytes of it.
    fn piece(&mut self, most: u64, input: &mut Input) -> u64 {
        let bytes = front(input, most);
        let taken = bytes.len();
        if !self.coming.is_refused() {
            let coming = &mut self.coming;
            match &mut self.lines {
                Some(lines) => lines.push(bytes, |run| coming.take(run)),
                None => coming.take(bytes),
            }
            self.check_line_ends();
        }
        input.consume(taken);
        taken as u64
    }

    fn found_bare(&self) -> bool {
        self.lines.as_ref().is_some_and(LineEnds::found_bare)
    }

    fn check_line_ends(&mut self) {
        if self.line_endings == LineEndings::Reject && self.found_bare() {
            self.coming.refuse(reply::bare_line_ends());
        }
    }

    /// That was the last piece.
    pub async fn finish(mut self) -> Received {
        if let Some(lines) = &mut self.lines {
            lines.end(|run| self.coming.take(run));
        }
        self.check_line_ends();
        let bare = self.found_bare();
        self.coming.finish(bare).await
    }
}

/// Reads so many bytes that belong to a refused BDAT.
///
/// # Errors
/// The session ends before that.
pub async fn swallow(
    size: u64,
    stream: &mut (impl AsyncRead + Unpin + ?Sized),
    input: &mut Input,
    intake: &Intake,
    hurry: &mut Watch,
) -> Result<(), Stopped> {
    if size > intake.most_swallowed() {
        return Err(Stopped::Ended(reply::far_too_large()));
    }
    let mut rate = Rate::new(intake.min_data_rate);
    let mut left = size;
    loop {
        let taken = front(input, left).len();
        input.consume(taken);
        left -= taken as u64;
        if left == 0 {
            return Ok(());
        }
        more(stream, input, &mut rate, intake, hurry).await?;
    }
}

/// What has not been read, `most` bytes of it.
fn front(input: &Input, most: u64) -> &[u8] {
    let rest = input.rest();
    &rest[..usize::try_from(most).map_or(rest.len(), |most| most.min(rest.len()))]
}

async fn more(
    stream: &mut (impl AsyncRead + Unpin + ?Sized),
    input: &mut Input,
    rate: &mut Rate,
    intake: &Intake,
    hurry: &mut Watch,
) -> Result<(), Stopped> {
    let more = tokio::select! {
        biased;
        () = hurry.given() => return Err(Stopped::Ended(reply::shutting_down())),
        more = wait(stream, input, rate, intake.silence) => more,
    };
    match more {
        More::Bytes => Ok(()),
        More::End => Err(Stopped::Gone),
        More::TooSlow => Err(Stopped::Ended(reply::too_slow())),
        More::Silent => Err(Stopped::Ended(reply::timed_out())),
    }
}
