//! A message that is here as a whole: loops refused, the chain run, our `Received` put on top, the ruling carried out, one line logged.

use std::borrow::Cow;
use std::pin::pin;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncRead;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;
use ulid::ULID_LEN;

use super::commit::{OURSELVES, Told, Work, commit, not_told};
use super::input::Input;
use super::shared::{Door, Shared};
use super::summary::{Summary, Times};
use crate::base::clock;
use crate::base::sign::{Watch, lasting};
use crate::chain::Chain;
use crate::chain::class::{self, RecipientRuling};
use crate::chain::route::DEFAULT;
use crate::chain::ruling::{Hold, Ruling};
use crate::config::{self, Malformed};
use crate::mail::{Mail, Origin};
use crate::message::received::{self, Stamp};
use crate::message::{Fault, Field, Message};
use crate::relay::{Transaction, Until};
use crate::smtp::envelope::{Envelope, Recipient};
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
    pub door: Arc<Door>,
    pub origin: Arc<Origin>,
    /// As the client gave it, with the recipients that were accepted.
    pub envelope: Envelope,
    /// What the rules at RCPT said of them.
    pub recipients: Vec<RecipientRuling>,
    /// The client gave exactly one RCPT.
    pub one_recipient: bool,
    /// It hears of each recipient (LMTP).
    pub tells_each: bool,
    pub message: Message,
    /// Its header is over a limit and was left unread; the answer to that.
    pub unread: Option<Reply>,
    /// When its DATA was answered, and when its last byte was here.
    pub began: Instant,
    pub ended: Instant,
}

/// What the client is to hear.
#[derive(Debug)]
pub struct Heard {
    pub reply: Reply,
    /// Recipients, as the rules at RCPT left them, with an answer of their own.
    each: Vec<(Recipient, Reply)>,
}

impl Heard {
    /// In LMTP: the answer for this recipient, as the rules at RCPT left it.
    #[must_use]
    pub fn by(&self, recipient: &Recipient) -> &Reply {
        self.each.iter().find(|(path, _)| path.same_mailbox(recipient)).map_or(&self.reply, |(_, reply)| reply)
    }
}

/// Decides, carries out, logs.
pub async fn judge(
    shared: &Shared,
    case: &Case,
    transaction: &mut Transaction,
    stream: &mut (impl AsyncRead + Unpin + Send + ?Sized),
    input: &mut Input,
    hurry: &mut Watch,
) -> Heard {
    let deadline = case.ended + shared.timeouts.deadline;
    let mut ruling = match decide(shared, case, deadline).await {
        Ok(ruling) => ruling,
        Err((reply, outcome)) => return Heard { reply: case.refused(reply, outcome), each: Vec::new() },
    };
    let decided = clock::monotonic();
    log_ruling(&ruling);
    shared.count(case.origin.id, &ruling.seen);
    if case.door.received == config::Received::Add {
        let stamp = case.stamp(&ruling, &shared.terms.hostname, &shared.terms.token);
        ruling.mail.message.insert_field(0, stamp);
    }
    let until = Until { deadline, hard_deadline: case.ended + HARD_DEADLINE };
    let (route, received_envelope) = (case.route(&ruling), case.kept());
    // Where a rule sends it elsewhere, nobody was asked about anyone.
    let asked = if transaction.route() == route { class::left(&case.recipients) } else { Cow::default() };
    shared.relay.direct(transaction, Some(route));
    let work = Work {
        ruling: &ruling,
        received: &case.message,
        received_envelope: &received_envelope,
        asked: &asked,
        route,
        until,
        behind_queue: case.door.behind_queue,
        each: case.tells_each,
    };
    let going = pin!(async {
        tokio::select! {
            biased;
            () = hurry.given() => {}
            () = input.gone(stream) => {}
        }
    });
    // After it was heard another attempt may follow, which asks again.
    let mut gone = lasting(going);
    let mut told = pin!(commit(work, transaction, &shared.store, &mut gone)).await;
    if told.outcome == "gone" && shared.hurry.is_given() {
        told.outcome = "shutdown";
    }
    case.log(&ruling, &told, decided);
    if case.tells_each {
        for (to, reply) in told.each.iter().filter(|(_, reply)| *reply != told.reply) {
            tracing::info!(id = %case.origin.id, %to, %reply, "this recipient has another answer");
        }
    }
    Heard { reply: told.reply, each: told.each }
}

/// Logs a message that was refused before it was here as a whole.
pub fn log_refused(origin: &Origin, envelope: &Envelope, reply: &Reply, receive: Duration) {
    let summary = Summary {
        origin,
        sender: &envelope.sender,
        recipients: &envelope.recipients,
        bytes: None,
        outcome: "refused",
        fired: &[],
        observed: Vec::new(),
        next_hop: None,
        answer: None,
        holds: &[],
        reply,
        times: Times { receive, ..Times::default() },
    };
    summary.log();
}

/// What becomes of it; the answer and the word for the log where nothing is to be carried out.
async fn decide(shared: &Shared, case: &Case, deadline: Instant) -> Result<Ruling, (Reply, &'static str)> {
    let readable = case.message.header_is_readable();
    match case.refusal(&shared.terms.token, readable) {
        Some((reply, _)) if case.door.behind_queue => return Box::pin(case.held_unseen(&reply, &shared.terms.hostname)).await,
        Some(refusal) => return Err(refusal),
        None => {}
    }
    let wrap = !readable && case.door.malformed == Malformed::Wrap;
    let fields = wrap.then(|| case.wrapping(&shared.terms.hostname));
    let ruled = if case.message.in_file() || case.message.received_size() > SMALL {
        Box::pin(timeout_at(deadline.into(), ruled_elsewhere(shared, case, fields))).await.unwrap_or_else(|_| {
            tracing::error!(id = %case.origin.id, "timeouts.deadline is over and the rules have not decided; shorten the chain or raise it");
            None
        })
    } else {
        ruled(&case.door.chain, case.mail(Vec::new()), &case.recipients, fields)
    };
    ruled.ok_or_else(|| (reply::trouble(), "not ruled"))
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

/// Runs the chain, over the message or over one that has it as its text, with these fields; none if that broke, which is logged.
fn ruled(chain: &Chain, mut mail: Mail, recipients: &[RecipientRuling], fields: Option<Vec<Field>>) -> Option<Ruling> {
    if let Some(fields) = fields {
        mail.message = told_of_disk(&mail.origin, mail.message.wrapped(fields))?;
    }
    Some(chain.run(mail, recipients))
}

/// The same off the threads that serve the sockets, in its turn.
async fn ruled_elsewhere(shared: &Shared, case: &Case, fields: Option<Vec<Field>>) -> Option<Ruling> {
    let _turn = shared.rulings.acquire().await.ok()?;
    let (chain, mail, recipients) = (Arc::clone(&case.door.chain), case.mail(Vec::new()), case.recipients.clone());
    spawn_blocking(move || ruled(&chain, mail, &recipients, fields))
        .await
        .inspect_err(|panic| tracing::error!(id = %case.origin.id, error = %panic, "the chain broke; please report this"))
        .ok()?
}

fn told_of_disk(origin: &Origin, wrapped: Result<Message, Fault>) -> Option<Message> {
    let error = |fault: &Fault| tracing::error!(id = %origin.id, "a message could not be wrapped: {fault}; see to the disk of store.path");
    wrapped.inspect_err(error).ok()
}

/// What rules wrote into the log, and what went wrong in them.
fn log_ruling(ruling: &Ruling) {
    let id = ruling.mail.origin.id;
    for (rule, text) in &ruling.logs {
        tracing::info!(%id, rule = &**rule, text, "log");
    }
    for failure in &ruling.failures {
        tracing::warn!(%id, rule = &*failure.rule, error = failure.error, "a rule failed and its edits were undone, its on_error decided; `transom explain` shows where, given the message");
    }
    for sight in ruling.seen.iter().filter(|sight| sight.observed) {
        if let Some(error) = &sight.error {
            tracing::warn!(%id, rule = &*sight.rule, error, "a rule that is only observed failed");
        }
    }
}

impl Case {
    /// The mail, for these. The chain itself puts in whom the rules at RCPT left.
    fn mail(&self, recipients: Vec<Recipient>) -> Mail {
        Mail { origin: Arc::clone(&self.origin), envelope: self.envelope_for(recipients), message: self.message.clone() }
    }

    /// Where the mail goes: as rules or the recipients' domain say, else the listener.
    fn route<'a>(&'a self, ruling: &'a Ruling) -> &'a str {
        let at_rcpt = || self.recipients.iter().find(|one| one.goes_on())?.class.route.as_deref();
        ruling.route.as_deref().or_else(at_rcpt).or(self.door.route.as_deref()).unwrap_or(DEFAULT)
    }

    /// The envelope as given, without those that a rule dropped.
    fn kept(&self) -> Cow<'_, Envelope> {
        if self.recipients.iter().all(RecipientRuling::goes_on) {
            return Cow::Borrowed(&self.envelope);
        }
        let kept = self.recipients.iter().filter(|ruling| ruling.goes_on()).map(|ruling| ruling.given.clone());
        Cow::Owned(self.envelope_for(kept.collect()))
    }

    fn envelope_for(&self, recipients: Vec<Recipient>) -> Envelope {
        Envelope { sender: self.envelope.sender.clone(), recipients, declared: self.envelope.declared.clone() }
    }

    /// What it is to be answered for good before a rule has seen it, and the word for the log.
    fn refusal(&self, token: &str, readable: bool) -> Option<(Reply, &'static str)> {
        let unreadable = || (!readable && self.door.malformed == Malformed::Reject).then(reply::unreadable_header);
        let refused = |reply: Reply| (reply, "refused");
        check_hops(self, token).err().or_else(|| self.unread.clone().or_else(unreadable).map(refused))
    }

    /// What no rule shall see, held because this reply would make the server before us bounce it. What was left unread is held as a text, so that nothing
    /// later has to read it either.
    async fn held_unseen(&self, reply: &Reply, hostname: &str) -> Result<Ruling, (Reply, &'static str)> {
        let mut mail = self.mail(class::left(&self.recipients).into_owned());
        if mail.envelope.recipients.is_empty() {
            return Ok(Ruling::discarded(mail));
        }
        if self.unread.is_some() {
            let (message, fields) = (mail.message.clone(), self.wrapping(hostname));
            let wrapped = spawn_blocking(move || message.wrapped(fields)).await;
            mail.message = wrapped.ok().and_then(|wrapped| told_of_disk(&self.origin, wrapped)).ok_or((reply::trouble(), "not ruled"))?;
        }
        let hold = Hold { rule: OURSELVES.into(), reason: not_told(reply) };
        Ok(Ruling { holds: vec![hold], ..Ruling::of(mail) })
    }

    /// The header of the message that a message without one becomes the text of (RFC 5322 3.6: Date and From must be there).
    fn wrapping(&self, hostname: &str) -> Vec<Field> {
        let Case { origin, envelope, .. } = self;
        let from = if envelope.sender.is_null() { format!("MAILER-DAEMON@{hostname}") } else { envelope.sender.address().to_owned() };
        let line = |text: String| Field::from_raw(text.into());
        vec![
            line(format!("Date: {}\r\n", received::date(origin.time))),
            line(format!("From: <{from}>\r\n")),
            line("To: undisclosed-recipients:;\r\n".to_owned()),
            line(format!("Message-ID: <{}@{hostname}>\r\n", origin.id)),
            Field::new("Subject", "(a message whose header cannot be read)"),
        ]
    }

    /// `for` is told only where it betrays nobody: one recipient, and no rule touched it (SEMANTICS 19).
    fn stamp(&self, ruling: &Ruling, hostname: &str, token: &str) -> Field {
        let Case { origin, envelope, .. } = self;
        let only = match &envelope.recipients[..] {
            [only] if self.one_recipient && ruling.mail.envelope.recipients == slice::from_ref(only) => Some(only.address()),
            _ => None,
        };
        received::field(&Stamp {
            helo: &origin.helo,
            name: origin.client.name.as_deref(),
            address: origin.client.address,
            by: hostname,
            with: origin.with(envelope.declared.smtputf8),
            tls: origin.tls.as_ref().map(|tls| (tls.version, tls.cipher)),
            id: origin.id.array_to_str(&mut [0; ULID_LEN]),
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
            fired: &[],
            observed: Vec::new(),
            next_hop: None,
            answer: None,
            holds: &[],
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
        summary.fired = &ruling.fired;
        summary.observed = ruling.observed().collect();
        summary.next_hop = told.next_hop.as_deref();
        summary.answer = told.answer.as_deref();
        summary.holds = &told.holds;
        summary.times.chain = decided - self.ended;
        summary.times.relay = clock::monotonic() - decided;
        summary.log();
    }
}
