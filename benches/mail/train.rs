//! Mail of every kind that the other parts send, through a Transom that counts which of its paths are taken (`make release`).

use crate::Bench;
use crate::load::Until;
use crate::mail::Shape;
use crate::measure::{self, Workload};
use crate::peers::Running;
use crate::sink::Sink;
use crate::tls;

/// Who learns: with and without rules, in front of a next hop with CHUNKING and one without.
const LEARNERS: [&str; 4] = ["transom-plain", "transom", "transom-plain-chunking", "transom-chunking"];

/// How much to send.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Messages of the usual kind; of the others a part of that
    #[arg(long, default_value_t = 5000)]
    messages: u64,
}

/// The kinds, and of how many messages one is sent. Most are small: what is done to each byte is soon the hottest by far, and what is done to each message shall not
/// look cold beside it.
fn kinds() -> [(Workload, u64); 8] {
    let usual = Workload { size: 3 << 10, ..Workload::default() };
    [
        (Workload { sessions: 1, ..usual }, 2),
        (usual, 1),
        (Workload { sessions: 50, ..usual }, 2),
        (Workload { pipelined: true, ..usual }, 5),
        (Workload { per_connection: Some(1), ..usual }, 20),
        (Workload { recipients: 5, ..usual }, 20),
        (Workload { shape: Shape::Attachment, size: 100 << 10, ..usual }, 50),
        (Workload { size: 2 << 20, ..usual }, 1000),
    ]
}

/// Runs it.
pub fn run(options: &Options, bench: &Bench) -> Result<(), String> {
    let sink = Sink::start(1).map_err(|error| format!("the sink: {error}"))?;
    let learners = bench.start(&bench.peers(&LEARNERS)?, &sink)?;
    let row = tls::row("TLS", true, &sink, bench)?;
    let progress = crate::progress(learners.len() * kinds().len() + 1);
    let send = |learner: &Running, workload: &Workload, messages: u64| {
        let load = measure::load(learner, workload, messages.max(1));
        measure::measure(&sink, learner, &load, Until::Answered).map(|_| progress.inc(1))
    };
    for learner in &learners {
        for (workload, share) in kinds() {
            send(learner, &workload, options.messages / share)?;
        }
    }
    send(&row.middle, &Workload::default(), options.messages / 20)?;
    progress.finish_and_clear();
    Ok(())
}
