//! A message that is here as a whole: loops refused, the chain run, our `Received` put on top, the ruling carried out, one line logged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncRead;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use super::commit::{Told, Work, commit};
use super::input::Input;
use super::shared::Shared;
use super::summary::{Summary, Times};
use crate::base::clock;
use crate::chain::ruling::Ruling;
use crate::mail::{Mail, Origin};
use crate::message::received::{self, Stamp};
use crate::message::{Field, Message};
use crate::relay::{Transaction, Until};
use crate::smtp::envelope::Envelope;
use crate::smtp::reply::{self, Reply};

/// Larger messages, and those in a file, are ruled on a blocking thread (DESIGN decision 7).
const SMALL: u64 = 256 * 1024;
/// `Received` fields at most, and ours among them (SEMANTICS 19).
const MOST_HOPS: usize = 100;
const MOST_OWN_HOPS: usize = 10;
/// A transfer that keeps the rate may go on so long after the client's last byte (DESIGN decision 4).
const HARD_DEADLINE: Duration = Duration::from_mins(5);

/// What a client has handed over.
#[derive(Debug)]
pub struct Case {
    pub origin: Arc<Origin>,
    pub envelope: Envelope,
    /// The client gave exactly one RCPT.
    pub one_recipient: bool,
    pub message: Message,
    /// When its DATA was answered, and when its last byte was here.
    pub began: Instant,
    pub ended: Instant,
}

/// Decides, carries out, logs. The reply is what the client is to hear.
pub async fn judge(
    shared: &Shared,
    case: Case,
    mut transaction: Transaction,
    stream: &mut (impl AsyncRead + Unpin + Send + ?Sized),
    input: &mut Input,
) -> Reply {
    if let Err((reply, outcome)) = check_hops(&case, &shared.terms.token) {
        return case.refused(reply, outcome);
    }
    let deadline = case.ended + shared.timeouts.deadline;
    let ruled = timeout_at(deadline.into(), rule(shared, &case)).await;
    let decided = clock::monotonic();
    let mut ruling = match ruled {
        Ok(Some(ruling)) => ruling,
        Ok(None) => return case.refused(reply::trouble(), "not ruled"),
        Err(_) => {
            tracing::error!(id = %case.origin.id, "timeouts.deadline is over and the rules have not decided; shorten the chain or raise it");
            return case.refused(reply::trouble(), "not ruled");
        }
    };
    log_ruling(&ruling);
    let stamp = case.stamp(&ruling, &shared.terms.hostname, &shared.terms.token);
    ruling.mail.message.insert_field(0, stamp);
    let until = Until { deadline, hard_deadline: case.ended + HARD_DEADLINE };
    let work = Work { ruling: &ruling, received: &case.message, received_envelope: &case.envelope, until };
    let mut gone = Box::pin(async {
        tokio::select! {
            () = input.gone(stream) => {}
            () = shared.hurry.cancelled() => {}
        }
    });
    let mut told = commit(work, &mut transaction, &shared.store, &mut gone).await;
    if told.outcome == "gone" && shared.hurry.is_cancelled() {
        told.outcome = "shutdown";
    }
    case.log(&ruling, &told, decided);
    told.reply
}

/// Logs a message that was refused before it was here as a whole.
pub fn log_refused(origin: &Origin, envelope: &Envelope, reply: &Reply, receive: Duration) {
    let summary = Summary {
        origin,
        sender: &envelope.sender,
        recipients: &envelope.recipients,
        bytes: None,
        outcome: "refused",
        fired: String::new(),
        next_hop: None,
        answer: None,
        holds: String::new(),
        reply,
        times: Times { receive, ..Times::default() },
    };
    summary.log();
}

/// SEMANTICS 19: counted as the message arrived, whatever rules do to its fields.
fn check_hops(case: &Case, token: &str) -> Result<(), (Reply, &'static str)> {
    let (hops, own) = case.message.hops(token);
    if hops <= MOST_HOPS && own <= MOST_OWN_HOPS {
        return Ok(());
    }
    tracing::error!(id = %case.origin.id, hops, own, "mail loop: find out who sends to us what it got from us");
    Err((reply::mail_loop(), "loop"))
}

/// Runs the chain; none if that broke, which is logged.
async fn rule(shared: &Shared, case: &Case) -> Option<Ruling> {
    let mail = Mail { origin: Arc::clone(&case.origin), envelope: case.envelope.clone(), message: case.message.clone() };
    if !mail.message.in_file() && mail.message.size() <= SMALL {
        return Some(shared.chain.run(mail));
    }
    let _turn = shared.rulings.acquire().await.ok()?;
    let chain = Arc::clone(&shared.chain);
    spawn_blocking(move || chain.run(mail))
        .await
        .inspect_err(|panic| tracing::error!(id = %case.origin.id, error = %panic, "the chain broke; please report this"))
        .ok()
}

/// What rules wrote into the log, and what went wrong in them.
fn log_ruling(ruling: &Ruling) {
    let id = ruling.mail.origin.id;
    for (rule, text) in &ruling.logs {
        tracing::info!(%id, rule = &**rule, text, "log");
    }
    for failure in &ruling.failures {
        tracing::warn!(%id, rule = &*failure.rule, error = failure.error, "a rule failed and its edits were undone; its on_error decided");
    }
}

impl Case {
    /// `for` is told only where it betrays nobody: one recipient, and no rule touched it (SEMANTICS 19).
    fn stamp(&self, ruling: &Ruling, hostname: &str, token: &str) -> Field {
        let Case { origin, envelope, .. } = self;
        let only = match &envelope.recipients[..] {
            [only] if self.one_recipient && ruling.mail.envelope.recipients == [only.clone()] => Some(only.address()),
            _ => None,
        };
        received::field(&Stamp {
            helo: &origin.helo,
            address: origin.client.address,
            by: hostname,
            extended: origin.extended,
            smtputf8: envelope.declared.smtputf8,
            id: &origin.id.to_string(),
            token,
            recipient: only,
            time: origin.time,
        })
    }

    fn summary<'a>(&'a self, reply: &'a Reply, outcome: &'a str) -> Summary<'a> {
        Summary {
            origin: &self.origin,
            sender: &self.envelope.sender,
            recipients: &self.envelope.recipients,
            bytes: Some(self.message.received_size()),
            outcome,
            fired: String::new(),
            next_hop: None,
            answer: None,
            holds: String::new(),
            reply,
            times: Times { receive: self.ended - self.began, ..Times::default() },
        }
    }

    fn refused(&self, reply: Reply, outcome: &'static str) -> Reply {
        self.summary(&reply, outcome).log();
        reply
    }

    fn log(&self, ruling: &Ruling, told: &Told, decided: Instant) {
        let mut summary = self.summary(&told.reply, told.outcome);
        summary.fired = ruling.fired.join(", ");
        summary.next_hop = told.next_hop.as_deref();
        summary.answer = told.answer.as_deref();
        summary.holds = told.holds.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        summary.times.chain = decided - self.ended;
        summary.times.relay = clock::monotonic() - decided;
        summary.log();
    }
}
