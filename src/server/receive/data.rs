//! DATA: dots undone, up to the end of data.

use tokio::io::AsyncRead;

use super::super::input::Input;
use super::super::limits::Rate;
use super::{Coming, Intake, More, Received, wait};
use crate::base::sign::Watch;
use crate::smtp::data::{LineEndings, Progress, Unstuffer};
use crate::smtp::reply;

/// Takes one message in. `hurry` ends it at shutdown.
pub async fn receive(stream: &mut (impl AsyncRead + Unpin + ?Sized), input: &mut Input, intake: &Intake, hurry: &mut Watch) -> Received {
    let mut stuffed = Stuffed { unstuffer: Unstuffer::new(), line_endings: intake.line_endings, coming: Coming::new(intake) };
    let mut rate = Rate::new(intake.min_data_rate);
    loop {
        match stuffed.take(input) {
            Some(Progress::Ended { .. }) => return stuffed.finish().await,
            Some(Progress::Doubtful) => return Received::Refused(reply::doubtful_end()),
            _ if stuffed.unstuffer.size() > intake.most_swallowed() => return Received::Refused(reply::far_too_large()),
            _ => {}
        }
        stuffed.coming.flush().await;
        let more = tokio::select! {
            biased;
            () = hurry.given() => return Received::Refused(reply::shutting_down()),
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

struct Stuffed {
    unstuffer: Unstuffer,
    line_endings: LineEndings,
    coming: Coming,
}

impl Stuffed {
    /// Takes what lies in the input, up to the end of the message.
    fn take(&mut self, input: &mut Input) -> Option<Progress> {
        let bytes = input.rest();
        if bytes.is_empty() {
            return None;
        }
        let coming = &mut self.coming;
        let progress = self.unstuffer.push(bytes, |run| coming.take(run));
        let taken = match progress {
            Progress::Ended { taken } => taken,
            Progress::More | Progress::Doubtful => bytes.len(),
        };
        input.consume(taken);
        if self.line_endings == LineEndings::Reject && self.unstuffer.found_bare() {
            self.coming.refuse(reply::bare_line_ends());
        }
        Some(progress)
    }

    async fn finish(mut self) -> Received {
        if !self.unstuffer.has_dots() {
            self.coming.note_undotted();
        }
        self.coming.finish(self.unstuffer.found_bare()).await
    }
}
