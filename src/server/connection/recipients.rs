//! RCPT: permission, the rules, the class, the next hop, and the answer to each recipient.

use std::ops::ControlFlow;
use std::pin::pin;

use super::super::commit::never_fits;
use super::super::hold::Held;
use super::Connection;
use crate::chain::class::{Mailboxes, Offer, RecipientRuling};
use crate::chain::ruling::Outcome;
use crate::relay::{RelayError, Transaction};
use crate::smtp::client::{Answer, Stage};
use crate::smtp::envelope::{Envelope, Recipient};
use crate::smtp::reply::{self, Class, Reply};

/// Recipients beyond these take room from `limits.bytes_in_flight`; the first belong to the session, as its buffers do.
const WITHOUT_ROOM: usize = 100;
/// What one takes: its address, what its sender wishes, what the rules said.
const ROOM: u64 = 2048;

/// A recipient that waits for its answer.
pub(super) struct Asked {
    ruling: RecipientRuling,
    /// The answer, where the next hop is not asked for one.
    known: Option<Reply>,
}

impl Connection {
    /// RCPT: what permission and the rules say. While one of another class waits for its answer it waits, too (DESIGN decision 2).
    pub(super) async fn recipient(&mut self, path: &Recipient) -> ControlFlow<()> {
        let mut asked = if self.has_room() { self.ruled(path) } else { self.without_room(path) };
        if asked.known.is_none() {
            // How many classes there are has to be known.
            if self.session.is_lmtp() && self.asked.iter().any(|other| other.ruling.class != asked.ruling.class) {
                Box::pin(self.settle()).await?;
            }
            // Those that wait are of one class.
            let waiting = self.asked.iter().find(|other| other.known.is_none());
            let apart = waiting.is_some_and(|other| other.ruling.class != asked.ruling.class);
            // Once one of another class is accepted the answer is known, whatever becomes of those that wait.
            if apart && self.first_taken().is_none_or(|first| first.class == asked.ruling.class) {
                Box::pin(self.settle()).await?;
            }
            asked.known = self.answer_of_class(&asked.ruling);
        }
        reserve_one(&mut self.asked);
        self.asked.push(asked);
        ControlFlow::Continue(())
    }

    /// A stranger may name many recipients, in many sessions at once.
    fn has_room(&mut self) -> bool {
        if self.taken.len() + self.asked.len() < WITHOUT_ROOM {
            return true;
        }
        let memory = &self.shared.room().memory;
        self.room.get_or_insert_with(|| memory.share()).grow(ROOM)
    }

    /// Who was refused needs none: only those taken keep what [`Connection::has_room`] took.
    fn give_room_back(&mut self) {
        let kept = ROOM * self.taken.len().saturating_sub(WITHOUT_ROOM) as u64;
        if let Some(room) = &mut self.room {
            room.shrink(room.bytes().saturating_sub(kept));
        }
    }

    fn without_room(&self, path: &Recipient) -> Asked {
        tracing::warn!(session = %self.id, client = %self.client_text(), "recipient not taken for now: limits.bytes_in_flight is reached; raise it, or lower limits.recipients");
        Asked { ruling: RecipientRuling::untouched(path), known: Some(reply::no_room()) }
    }

    /// Whose class the transaction carries; one that a rule dropped sets none.
    fn first_taken(&self) -> Option<&RecipientRuling> {
        self.taken.iter().find(|ruling| ruling.goes_on())
    }

    /// The answer to a recipient that follows from those accepted before it.
    fn answer_of_class(&self, ruling: &RecipientRuling) -> Option<Reply> {
        let first = self.first_taken()?;
        if first.class != ruling.class && self.session.is_lmtp() {
            let known = self.taken.iter().any(|other| other.goes_on() && other.class == ruling.class);
            return Some(if known || self.classes() < self.door.classes { reply::recipient_ok() } else { reply::too_many_classes() });
        }
        if first.class != ruling.class {
            let rule = ruling.parted_by(first).unwrap_or_default();
            tracing::info!(session = %self.id, to = %ruling.given, rule = &*rule, "rules tell this recipient from those before: it is to come on its own");
            return Some(reply::another_class());
        }
        self.mailboxes.one_with(ruling).map(|_| reply::recipient_ok())
    }

    /// A recipient with what is known of it before the next hop is asked.
    fn ruled(&self, path: &Recipient) -> Asked {
        if let Err(refused) = self.door.permission.check(self.peer, self.session.user().is_some(), path) {
            tracing::info!(session = %self.id, client = %self.client_text(), to = %path, "relaying denied");
            return Asked { ruling: RecipientRuling::untouched(path), known: Some(refused) };
        }
        let Some(envelope) = self.session.transaction().filter(|_| self.door.looks_at_recipients) else {
            return Asked { ruling: RecipientRuling::untouched(path), known: None };
        };
        let origin = self.origin();
        let ruling = self.door.chain.at_recipient(&Offer {
            origin: &origin,
            sender: &envelope.sender,
            declared: envelope.declared.clone(),
            recipient: path,
        });
        self.log_ruling(&ruling);
        let known = match &ruling.outcome {
            Outcome::Deliver => None,
            Outcome::Discard => Some(reply::recipient_ok()),
            Outcome::Reject(verdict) | Outcome::Defer(verdict) => Some(reply::ruled(verdict.code, verdict.enhanced, &verdict.text)),
        };
        Asked { ruling, known }
    }

    /// Tells at once what there is to tell: whether a message follows is not known.
    fn log_ruling(&self, ruling: &RecipientRuling) {
        let (session, to) = (self.id, &ruling.given);
        for (rule, text) in &ruling.logs {
            tracing::info!(%session, %to, rule = &**rule, text, "log");
        }
        for failure in &ruling.failures {
            tracing::warn!(%session, %to, rule = &*failure.rule, error = failure.error, "a rule failed and its edits were undone, its on_error decided; `transom explain` shows where, given the message");
        }
        let outcome = match &ruling.outcome {
            Outcome::Deliver => return,
            Outcome::Discard => "discard",
            Outcome::Reject(_) => "reject",
            Outcome::Defer(_) => "defer",
        };
        // The others are counted with their message.
        self.shared.count(self.id, &ruling.seen);
        let fired = ruling.fired.join(", ");
        tracing::info!(%session, client = %self.client_text(), %to, outcome, fired, "recipient");
    }

    /// Answers the RCPTs that were collected.
    pub(super) async fn settle(&mut self) -> ControlFlow<()> {
        if self.asked.is_empty() {
            return ControlFlow::Continue(());
        }
        let asked = std::mem::take(&mut self.asked);
        let may_become_one = self.door.looks_at_recipients;
        let (paths, places) = if may_become_one { open(&asked) } else { (unknown(&asked), Vec::new()) };
        // Those that wait are of one class, and so of one route.
        let route = asked.iter().find(|one| one.known.is_none()).and_then(|one| one.ruling.class.route.clone());
        let answers = pin!(self.ask_next_hop(route.as_deref(), &paths)).await;
        let mut place = 0;
        for Asked { mut ruling, known } in asked {
            let reply = match (known, &answers) {
                (Some(reply), _) => reply,
                (None, Err(reply)) => reply.clone(),
                (None, Ok(answers)) => {
                    let answer = answers.get(places.get(place).copied().unwrap_or(place));
                    place += 1;
                    self.log_answer(&ruling.given, answer);
                    recipient_reply(answer, ruling.is_rewritten())
                }
            };
            let reply = self.session.recipient(ruling.given.clone(), reply);
            if reply.class() == Class::Done {
                let of_its_class = self.taken.iter().find(|other| other.goes_on() && other.class == ruling.class);
                ruling.settle_beside(of_its_class);
                // Only those of the first class are asked about before the message is here.
                if may_become_one && ruling.goes_on() && self.first_taken().is_none_or(|first| first.class == ruling.class) {
                    self.mailboxes.add(&ruling);
                }
                reserve_one(&mut self.taken);
                self.taken.push(ruling);
            }
            self.say(&reply)?;
        }
        self.give_room_back();
        ControlFlow::Continue(())
    }

    /// A transaction with the next hops of this route, none being the listener's.
    pub(super) fn begun(&self, route: Option<&str>, envelope: &Envelope) -> Transaction {
        let route = route.or(self.door.route.as_deref());
        let transaction = self.shared.relay.transaction(route, self.behalf(), envelope.sender.clone(), envelope.declared.clone());
        if self.session.is_lmtp() { transaction.telling_each() } else { transaction }
    }

    /// # Errors
    /// The reply to all of them where there is no time left.
    async fn ask_next_hop(&mut self, route: Option<&str>, paths: &[Recipient]) -> Result<Vec<Result<Answer, RelayError>>, Reply> {
        if self.held.is_none() && !paths.is_empty() {
            self.held = self.session.transaction().map(|envelope| Held::new(self.begun(route, envelope)));
        }
        let Some(held) = self.held.as_mut().filter(|_| !paths.is_empty()) else { return Ok(Vec::new()) };
        // All before may have been refused on the route of another class.
        self.shared.relay.direct(&mut held.transaction, route.or(self.door.route.as_deref()));
        let answers = tokio::select! {
            biased;
            () = self.hurry.given() => return Err(reply::shutting_down()),
            answers = held.transaction.recipients(paths) => answers,
        };
        held.touch();
        Ok(answers)
    }

    /// Tells who was not taken, and why: no message may follow whose line would say it.
    fn log_answer(&self, to: &Recipient, answer: Option<&Result<Answer, RelayError>>) {
        let (answer, text) = match answer {
            Some(Ok(answer)) if answer.class() != Class::Done => (Some(answer.in_one_line()), "recipient refused by the next hop"),
            Some(Err(error)) if !matches!(error, RelayError::TooMany) => {
                (None, "recipient not taken, for the trouble with the next hop told above")
            }
            _ => return,
        };
        let from = self.session.transaction().map(|envelope| envelope.sender.to_string());
        let next_hop = self.held.as_ref().filter(|_| answer.is_some()).and_then(|held| held.transaction.next_hop());
        let next_hop = next_hop.as_deref();
        tracing::info!(session = %self.id, client = %self.client_text(), from, %to, next_hop, answer, "{text}");
    }
}

/// Most messages have one recipient: a list that grows by itself has room for four.
fn reserve_one<T>(list: &mut Vec<T>) {
    if list.is_empty() {
        list.reserve_exact(1);
    }
}

/// Whom the next hop is to be asked about.
fn unknown(asked: &[Asked]) -> Vec<Recipient> {
    let mut paths = Vec::with_capacity(asked.len());
    paths.extend(asked.iter().filter(|one| one.known.is_none()).map(|one| one.ruling.recipient.clone()));
    paths
}

/// The same, and the place of each open question among them: two that a rule made one are asked about once.
fn open(asked: &[Asked]) -> (Vec<Recipient>, Vec<usize>) {
    let (mut paths, mut places, mut mailboxes) = (Vec::new(), Vec::new(), Mailboxes::default());
    for Asked { ruling, .. } in asked.iter().filter(|one| one.known.is_none()) {
        let known = mailboxes.one_with(ruling);
        places.push(known.unwrap_or(paths.len()));
        if known.is_none() {
            paths.push(ruling.recipient.clone());
            mailboxes.add(ruling);
        }
    }
    (paths, places)
}

/// What goes wrong on the way to the next hop has been logged there. Its text may show the address that a rule wrote in the place of the given one.
fn recipient_reply(answer: Option<&Result<Answer, RelayError>>, rewritten: bool) -> Reply {
    let pass = if rewritten { reply::passed_silently } else { reply::passed };
    match answer {
        Some(Ok(answer)) => pass(Stage::Recipient, answer),
        Some(Err(RelayError::TooMany)) => reply::too_many_recipients(),
        Some(Err(RelayError::Unfit(unfit))) => never_fits(*unfit),
        Some(Err(RelayError::Unavailable(_) | RelayError::Busy(_) | RelayError::Loop(_))) | None => reply::trouble(),
    }
}
