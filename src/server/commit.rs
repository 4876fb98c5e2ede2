//! The one function that turns a ruling into a reply: the outcome table of DESIGN decision 3, column `relay`. The first row that matches:
//!
//! | what happened                                         | done                             | reply              | outcome        |
//! |-------------------------------------------------------|----------------------------------|--------------------|----------------|
//! | the client is gone                                    | abandon, undo                    | 451                | `gone`         |
//! | the rules reject, behind a queue                      | as held                          | 250                | `quarantine`   |
//! | the rules reject or defer                             | abandon                          | theirs             | `reject defer` |
//! | the rules discard                                     | abandon                          | 250                | `discard`      |
//! | held                                                  | stage, abandon, confirm          | 250                | `quarantine`   |
//! | … and the store is full, or otherwise unable          | abandon                          | 452, 451           | `not stored`   |
//! | no way to the next hop before the dot, deadline over  | abandon, undo                    | 451                | `unavailable`  |
//! | it can never be said to this next hop, behind a queue | as held                          | 250                | `quarantine`   |
//! | it can never be said to this next hop                 | abandon, undo                    | 552, 550, 554      | `refused`      |
//! | MAIL or DATA refused                                  | abandon, undo                    | the next hop's     | `refused`      |
//! | a recipient accepted at RCPT refused anew             | abandon, undo                    | 451                | `unavailable`  |
//! | LMTP: the same                                        | go on without it                 | its own for it     |                |
//! | one that a rule brought in refused, 4xx               | abandon, undo                    | 451                | `unavailable`  |
//! | one that a rule brought in refused, 5xx               | stage a copy for it, and go on   | that of the others |                |
//! | … and it was the only one                             | abandon, confirm                 | 250                | `quarantine`   |
//! | more than one transaction takes, of whom nobody was asked about | stage a copy for the rest; behind a 250 send it to them, and undo or confirm | that of the first | |
//! | the dot answered 2xx                                  | confirm                          | 250                | `deliver`      |
//! | the dot answered 4xx, 5xx                             | undo                             | the next hop's     | `refused`      |
//! | the dot not answered                                  | staged copies become held        | 451                | `in doubt`     |
//! | LMTP: none taken, all of them brought in by rules, one refused with 4xx | undo | 451             | `unavailable`  |
//! | LMTP: the dot answered for each recipient             | stage a copy for each that a rule brought in and that was not taken; as above, a reply for each | | |
//!
//! *Behind a queue* (`listeners[].behind_queue`): a refusal of ours would make the server before us bounce. *Abandon*: RSET if DATA was not sent, else the connection is closed; never a dot. *Undo*: what was staged is durably removed.

mod each;
mod later;

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;

use self::later::Later;
use crate::chain::ruling::{Hold, Outcome, Ruling, Verdict};
use crate::message::Message;
use crate::relay::{Delivery, Transaction, Unfit, Until, Word};
use crate::smtp::client::{Answer, Stage};
use crate::smtp::envelope::{Envelope, Recipient};
use crate::smtp::reply::{self, Class, Reply};
use crate::store::quarantine::{HoldId, NewHold, Reason};
use crate::store::{Store, StoreError};

/// Stands for the rule where no rule gave the reason of a hold.
const NEXT_HOP: &str = "(next hop)";
/// The same, where it was Transom itself.
pub const OURSELVES: &str = "(transom)";

/// Resolves when the client has gone away.
pub type Gone<'a> = &'a mut (dyn Future<Output = ()> + Send + Unpin);

/// Everything the decision depends on.
#[derive(Debug)]
pub struct Work<'a> {
    /// What the rules said; its message is final: the caller has put our `Received` on top.
    pub ruling: &'a Ruling,
    pub received: &'a Message,
    /// As the client gave it, with the recipients that were accepted at RCPT.
    pub received_envelope: &'a Envelope,
    /// The same recipients as the rules at RCPT left them: whom the next hop accepted.
    pub asked: &'a [Recipient],
    /// Where it goes: what is held goes there when it is released.
    pub route: &'a str,
    pub until: Until,
    pub behind_queue: bool,
    /// The client hears of each recipient (LMTP).
    pub each: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Told {
    pub reply: Reply,
    /// The word for the log; see the table.
    pub outcome: &'static str,
    /// Who was asked last, and what it said where the client hears something else.
    pub next_hop: Option<Arc<str>>,
    pub answer: Option<String>,
    /// The next hop may have the message although the client hears 451.
    pub in_doubt: bool,
    /// What lies in the quarantine now.
    pub holds: Vec<HoldId>,
    /// Where the next hop answered for each recipient, the reply for each, by the address it was sent to; only a client that speaks LMTP hears them.
    pub each: Vec<(Recipient, Reply)>,
}

/// What the next hop said of single recipients; its name first.
enum Undecided {
    /// They were refused before anything was sent.
    Refused(Arc<str>, Vec<(Recipient, Answer)>),
    /// There is no room for them in this transaction.
    Beyond(Arc<str>, Vec<(Recipient, Answer)>),
    /// LMTP: each after the dot.
    Each(Arc<str>, Vec<(Recipient, Word)>),
}

/// The way to the next hop.
pub trait WayOut {
    /// Sends the mail to exactly this envelope.
    fn deliver(&mut self, envelope: &Envelope, message: &Message, until: Until, gone: Gone<'_>) -> impl Future<Output = Delivery> + Send;
    /// Ends what is open without a message. Nobody waits for it.
    fn abandon(&mut self);
}

impl WayOut for Transaction {
    fn deliver(&mut self, envelope: &Envelope, message: &Message, until: Until, gone: Gone<'_>) -> impl Future<Output = Delivery> + Send {
        Transaction::deliver(self, envelope, message, until, gone)
    }

    fn abandon(&mut self) {
        Transaction::abandon(self);
    }
}

/// Where copies are held.
pub trait Holds {
    /// Durable, not yet shown as held.
    fn stage(&self, hold: NewHold) -> impl Future<Output = Result<HoldId, StoreError>> + Send;
    fn confirm(&self, hold: &HoldId);
    /// Held, with this as a further reason.
    fn doubt(&self, hold: &HoldId, reason: Reason);
    fn undo(&self, hold: &HoldId) -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl Holds for Store {
    async fn stage(&self, hold: NewHold) -> Result<HoldId, StoreError> {
        Store::stage(self, hold).await
    }

    fn confirm(&self, hold: &HoldId) {
        Store::confirm(self, hold);
    }

    fn doubt(&self, hold: &HoldId, reason: Reason) {
        Store::doubt(self, hold, reason);
    }

    async fn undo(&self, hold: &HoldId) -> Result<(), StoreError> {
        Store::undo(self, hold).await
    }
}

/// Carries a ruling out and says what the client hears.
pub async fn commit(work: Work<'_>, way: &mut impl WayOut, holds: &impl Holds, gone: Gone<'_>) -> Told {
    let told = match &work.ruling.outcome {
        _ if is_gone(gone).await => Told::new(reply::trouble(), "gone"),
        Outcome::Reject(Verdict { code, enhanced, text }) if work.behind_queue => {
            let reason = not_told(&reply::ruled(*code, *enhanced, text));
            let refusal = Reason { rule: work.ruling.last.to_string(), reason };
            Box::pin(work.hold(work.ruling.mail.envelope.clone(), Some(refusal), holds)).await
        }
        Outcome::Reject(Verdict { code, enhanced, text }) | Outcome::Defer(Verdict { code, enhanced, text }) => {
            Told::new(reply::ruled(*code, *enhanced, text), work.ruling.word())
        }
        Outcome::Discard => Told::new(work.taken(), work.ruling.word()),
        Outcome::Deliver if !work.ruling.holds.is_empty() => Box::pin(work.hold(work.ruling.mail.envelope.clone(), None, holds)).await,
        Outcome::Deliver => pin!(work.relay(way, holds, gone)).await,
    };
    // After a message went out nothing is open any more, and this does nothing.
    way.abandon();
    told
}

/// Whether it has resolved by now; if so it is not asked again.
async fn is_gone(gone: Gone<'_>) -> bool {
    tokio::select! {
        biased;
        () = gone => true,
        () = std::future::ready(()) => false,
    }
}

impl Work<'_> {
    fn taken(&self) -> Reply {
        reply::taken(&self.ruling.mail.origin.id.to_string())
    }

    /// It is held: what lies in the quarantine is what would have been sent, to all recipients. The rules' own reasons stand before a further one.
    async fn hold(&self, envelope: Envelope, further: Option<Reason>, holds: &impl Holds) -> Told {
        let reasons = self.ruling.holds.iter().map(|Hold { rule, reason }| Reason { rule: rule.to_string(), reason: reason.clone() });
        match holds.stage(self.new_hold(reasons.chain(further).collect(), envelope)).await {
            Ok(id) => {
                holds.confirm(&id);
                Told { holds: vec![id], ..Told::new(self.taken(), "quarantine") }
            }
            Err(error) => self.not_stored(&error),
        }
    }

    async fn relay(&self, way: &mut impl WayOut, holds: &impl Holds, gone: Gone<'_>) -> Told {
        let mail = &self.ruling.mail;
        let mut envelope = Cow::Borrowed(&mail.envelope);
        let (mut staged, mut refused_alone, mut later) = (Vec::new(), Vec::new(), Vec::<Later>::new());
        let told = loop {
            let delivery = pin!(way.deliver(&envelope, &mail.message, self.until, &mut *gone)).await;
            if let (true, Delivery::Unfit(unfit)) = (self.behind_queue, &delivery) {
                let refusal = Reason { rule: NEXT_HOP.to_owned(), reason: not_told(&never_fits(*unfit)) };
                break Box::pin(self.hold(envelope.into_owned(), Some(refusal), holds)).await;
            }
            let (next_hop, refused) = match self.told(delivery) {
                Ok(told) => break told,
                Err(Undecided::Each(next_hop, words)) => break Box::pin(self.told_of_each(next_hop, words, &mut staged, holds)).await,
                Err(Undecided::Beyond(next_hop, beyond)) if beyond.iter().all(|(path, _)| !self.asked.contains(path)) => {
                    match Box::pin(self.put_off(envelope.to_mut(), beyond, &mut later, holds)).await {
                        Ok(()) => continue,
                        Err(told) => break Told { next_hop: Some(next_hop), ..told },
                    }
                }
                Err(Undecided::Refused(next_hop, refused) | Undecided::Beyond(next_hop, refused)) => (next_hop, refused),
            };
            let by_rules = self.tell_alone(envelope.to_mut(), refused, &mut refused_alone);
            if !by_rules.is_empty() {
                match Box::pin(self.go_without(envelope.to_mut(), by_rules, holds)).await {
                    Ok(id) => staged.push(id),
                    Err(told) => break Told { next_hop: Some(next_hop), ..told },
                }
            }
            if envelope.recipients.is_empty() {
                let told = match refused_alone.first() {
                    Some((_, reply)) if staged.is_empty() => Told::new(Reply::clone(reply), "refused"),
                    _ => Told::new(self.taken(), "quarantine"),
                };
                break Told { next_hop: Some(next_hop), ..told };
            }
        };
        let mut told = Told { each: [told.each, refused_alone].concat(), ..told };
        if !later.is_empty() {
            told.holds.extend(Box::pin(self.send_later(&told, later, &mut staged, way, holds)).await);
        }
        settled(told, staged, holds).await
    }

    /// Where the client hears of each recipient, its own that were refused have their answers and the others go on. Those that are left.
    fn tell_alone(
        &self,
        envelope: &mut Envelope,
        refused: Vec<(Recipient, Answer)>,
        told: &mut Vec<(Recipient, Reply)>,
    ) -> Vec<(Recipient, Answer)> {
        let is_told = |path: &Recipient| self.each && self.asked.contains(path) && envelope.recipients.contains(path);
        let (of_client, left): (Vec<_>, Vec<_>) = refused.into_iter().partition(|(path, _)| is_told(path));
        envelope.recipients.retain(|path| !of_client.iter().any(|(refused, _)| refused == path));
        // RFC 5321 4.5.3.1.10: 552 to a RCPT means too many, and they may come again.
        let reply = |answer: &Answer| if answer.code == 552 { reply::too_many_recipients() } else { self.pass(Stage::Recipient, answer) };
        told.extend(of_client.into_iter().map(|(path, answer)| (path, reply(&answer))));
        left
    }

    /// Takes refused recipients out of the envelope and stages a copy for them, if they may be refused: only who was brought in by a rule has no veto.
    async fn go_without(&self, envelope: &mut Envelope, refused: Vec<(Recipient, Answer)>, holds: &impl Holds) -> Result<HoldId, Told> {
        let by_a_rule = |path: &Recipient| !self.asked.contains(path);
        let known = refused.iter().all(|(path, _)| envelope.recipients.contains(path));
        let may_go = |(path, answer): &(Recipient, Answer)| by_a_rule(path) && answer.class() == Class::Permanent;
        if let Some((_, answer)) = refused.iter().find(|refused| !may_go(refused)).or_else(|| refused.first().filter(|_| !known)) {
            tracing::warn!("{} recipients were refused when the transaction was opened anew: {}", refused.len(), answer.in_one_line());
            return Err(Told { answer: Some(answer.in_one_line()), ..Told::new(reply::trouble(), "unavailable") });
        }
        let (paths, reasons): (Vec<Recipient>, Vec<Reason>) = refused
            .into_iter()
            .map(|(path, answer)| {
                let reason = format!("this recipient, brought in by a rule, was refused: {}", answer.in_one_line());
                (path, Reason { rule: NEXT_HOP.to_owned(), reason })
            })
            .unzip();
        envelope.recipients.retain(|path| !paths.contains(path));
        let of_the_copy = Envelope { recipients: paths, ..envelope.clone() };
        holds.stage(self.new_hold(reasons, of_the_copy)).await.map_err(|error| self.not_stored(&error))
    }

    fn new_hold(&self, reasons: Vec<Reason>, envelope: Envelope) -> NewHold {
        let origin = &self.ruling.mail.origin;
        NewHold {
            reasons,
            rules: self.ruling.fired.iter().map(ToString::to_string).collect(),
            received_envelope: self.received_envelope.clone(),
            envelope,
            received: self.received.clone(),
            held: self.ruling.mail.message.clone(),
            client: origin.client.to_string(),
            helo: origin.helo.to_string(),
            with: origin.with(self.received_envelope.declared.smtputf8).to_owned(),
            route: self.route.to_owned(),
            session: origin.session.to_string(),
            message: origin.id.to_string(),
            time: origin.time,
        }
    }

    fn not_stored(&self, error: &StoreError) -> Told {
        tracing::error!(id = %self.ruling.mail.origin.id, "the message could not be held: {error}");
        let reply = match error {
            StoreError::Full(_) => reply::no_room(),
            StoreError::Unable(_) => reply::trouble(),
        };
        Told::new(reply, "not stored")
    }

    /// What a delivery comes to; where recipients had words of their own they need a decision first.
    fn told(&self, delivery: Delivery) -> Result<Told, Undecided> {
        Ok(match delivery {
            Delivery::Accepted { next_hop, answer } => self.passed_on("deliver", Stage::Dot, next_hop, &answer),
            Delivery::Refused { next_hop, answer } => self.passed_on("refused", Stage::Dot, next_hop, &answer),
            // What DATA was answered and is no verdict has become `Unavailable` before.
            Delivery::RefusedBefore { next_hop, answer } => self.passed_on("refused", Stage::Mail, next_hop, &answer),
            Delivery::Recipients { next_hop, refused } => return Err(Undecided::Refused(next_hop, refused)),
            Delivery::Beyond { next_hop, refused } => return Err(Undecided::Beyond(next_hop, refused)),
            Delivery::Each { next_hop, words } => return Err(Undecided::Each(next_hop, words)),
            Delivery::Unfit(unfit) => Told::new(never_fits(unfit), "refused"),
            Delivery::Unavailable(error) => Told { answer: Some(error.to_string()), ..Told::new(reply::trouble(), "unavailable") },
            Delivery::ClientGone => Told::new(reply::trouble(), "gone"),
            Delivery::InDoubt { next_hop, error } => in_doubt(next_hop, error),
        })
    }

    /// SEMANTICS 2: the next hop's text may show an address that the rules hide.
    fn pass(&self, stage: Stage, answer: &Answer) -> Reply {
        let envelope = &self.ruling.mail.envelope;
        let rewritten = envelope.sender != self.received_envelope.sender || envelope.recipients != self.received_envelope.recipients;
        if rewritten { reply::passed_silently(stage, answer) } else { reply::passed(stage, answer) }
    }

    fn passed_on(&self, outcome: &'static str, stage: Stage, next_hop: Arc<str>, answer: &Answer) -> Told {
        let reply = self.pass(stage, answer);
        let answer = if reply.repeats(answer) { None } else { Some(answer.in_one_line()) };
        Told { next_hop: Some(next_hop), answer, ..Told::new(reply, outcome) }
    }
}

/// What the copies that were staged on the way come to: they go the way of the message.
async fn settled(told: Told, staged: Vec<HoldId>, holds: &impl Holds) -> Told {
    if told.reply.class() == Class::Done {
        for id in &staged {
            holds.confirm(id);
        }
        return Told { holds: [staged, told.holds].concat(), ..told };
    }
    if told.in_doubt {
        let reason =
            "in doubt: the next hop did not answer the end of the data for the other recipients, and the client may send the message again";
        let doubt = Reason { rule: NEXT_HOP.to_owned(), reason: reason.to_owned() };
        for id in &staged {
            holds.doubt(id, doubt.clone());
        }
        return Told { holds: staged, ..told };
    }
    for id in &staged {
        undone(id, holds).await;
    }
    told
}

async fn undone(id: &HoldId, holds: &impl Holds) {
    if let Err(error) = holds.undo(id).await {
        tracing::error!("the copy {id} lies in the quarantine for now, although nobody needs it: {error}");
    }
}

/// The reason of a hold in the place of a refusal.
#[must_use]
pub fn not_told(reply: &Reply) -> String {
    format!("{reply} (not answered: behind a queue)")
}

/// What the client hears where it can never be said to the next hop.
#[must_use]
pub fn never_fits(unfit: Unfit) -> Reply {
    match unfit {
        Unfit::TooLarge => reply::too_large(),
        Unfit::NeedsSmtpUtf8 => reply::smtputf8_not_possible(),
        Unfit::EightBit | Unfit::Binary => reply::cannot_convert(),
        Unfit::NeedsTls => reply::tls_not_possible(),
    }
}

fn in_doubt(next_hop: Arc<str>, error: String) -> Told {
    Told { next_hop: Some(next_hop), answer: Some(error), in_doubt: true, ..Told::new(reply::outcome_unknown(), "in doubt") }
}

impl Told {
    fn new(reply: Reply, outcome: &'static str) -> Told {
        Told { reply, outcome, next_hop: None, answer: None, in_doubt: false, holds: Vec::new(), each: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::base::{clock, random};
    use crate::mail::{Client, Mail, Origin, Protocol};
    use crate::message::Limits;
    use crate::relay::RelayError;
    use crate::smtp::envelope::Declared;
    use crate::smtp::path::Path;
    use crate::smtp::reply::Enhanced;

    /// A way out that answers from a script and writes down what it was asked.
    #[derive(Default)]
    struct Script {
        deliveries: VecDeque<Delivery>,
        asked: Vec<Vec<String>>,
        abandoned: bool,
    }

    impl WayOut for Script {
        async fn deliver(&mut self, envelope: &Envelope, _: &Message, _: Until, _: Gone<'_>) -> Delivery {
            self.asked.push(addresses(envelope));
            self.deliveries.pop_front().expect("asked more often than the script has answers")
        }

        fn abandon(&mut self) {
            self.abandoned = true;
        }
    }

    /// A quarantine that keeps what was done: `stage b`, `confirm 0`, `doubt 0`, `undo 0`.
    #[derive(Default)]
    struct Shelf {
        done: Mutex<Vec<String>>,
        fails: Option<StoreError>,
    }

    impl Holds for Shelf {
        async fn stage(&self, hold: NewHold) -> Result<HoldId, StoreError> {
            if let Some(error) = &self.fails {
                return Err(error.clone());
            }
            let mut done = self.done.lock().unwrap();
            done.push(format!("stage {} for {}", hold.reasons[0].reason, addresses(&hold.envelope).join(" ")));
            Ok(HoldId((done.len() - 1).to_string()))
        }

        fn confirm(&self, hold: &HoldId) {
            self.done.lock().unwrap().push(format!("confirm {hold}"));
        }

        fn doubt(&self, hold: &HoldId, reason: Reason) {
            assert!(reason.reason.starts_with("in doubt"), "{reason:?}");
            self.done.lock().unwrap().push(format!("doubt {hold}"));
        }

        async fn undo(&self, hold: &HoldId) -> Result<(), StoreError> {
            self.done.lock().unwrap().push(format!("undo {hold}"));
            Ok(())
        }
    }

    fn addresses(envelope: &Envelope) -> Vec<String> {
        envelope.recipients.iter().map(|path| path.address().to_owned()).collect()
    }

    fn path(address: &str) -> Path {
        Path::parse(address).unwrap()
    }

    fn envelope(recipients: &[&str]) -> Envelope {
        let recipients = recipients.iter().map(|address| path(address).into()).collect();
        Envelope { sender: path("a@example.org"), recipients, declared: Declared::default() }
    }

    fn ruling(outcome: Outcome, recipients: &[&str]) -> Ruling {
        let limits = Limits {
            message_size: 1000,
            header_size: 1000,
            header_fields: 10,
            depth: 5,
            parts: 5,
            part_fields: 5,
            memory: 1000,
            text: 1000,
        };
        let origin = Origin {
            peer: None,
            client: Client::default(),
            standing: crate::mail::Standing::Outside,
            helo: "client.example".into(),
            protocol: Protocol::Esmtp,
            tls: None,
            user: None,
            listener: "x".into(),
            time: clock::now(),
            session: random::ulid(),
            id: random::ulid(),
            token: "".into(),
        };
        let mail = Mail {
            origin: Arc::new(origin),
            envelope: envelope(recipients),
            message: Message::parse(Bytes::from_static(b"Subject: x\r\n\r\ny\r\n"), &Arc::new(limits)).unwrap(),
        };
        Ruling { outcome, ..Ruling::of(mail) }
    }

    fn answer(code: u16) -> Answer {
        let digit = u8::try_from(code / 100).unwrap();
        Answer { code, enhanced: Some(Enhanced(digit, 1, 1)), text: "their words".to_owned() }
    }

    fn hop() -> Arc<str> {
        "127.0.0.1:25".into()
    }

    struct Case {
        ruling: Ruling,
        received: Envelope,
        /// Whom the next hop accepted at RCPT.
        asked: Vec<Recipient>,
        way: Script,
        shelf: Shelf,
        gone: bool,
        behind_queue: bool,
        each: bool,
    }

    /// As the client gave it and the rules left it: from a to b and c.
    fn deliver(deliveries: impl IntoIterator<Item = Delivery>) -> Case {
        Case {
            ruling: ruling(Outcome::Deliver, &["b@example.org", "c@example.org"]),
            received: envelope(&["b@example.org", "c@example.org"]),
            asked: envelope(&["b@example.org", "c@example.org"]).recipients,
            way: Script { deliveries: deliveries.into_iter().collect(), ..Script::default() },
            shelf: Shelf::default(),
            gone: false,
            behind_queue: false,
            each: false,
        }
    }

    fn ruled(outcome: Outcome) -> Case {
        let case = deliver([]);
        Case { ruling: Ruling { outcome, ..case.ruling }, ..case }
    }

    /// b was given, the rules made it b and x.
    fn with_one_brought_in(deliveries: impl IntoIterator<Item = Delivery>) -> Case {
        let case = deliver(deliveries);
        Case {
            ruling: ruling(Outcome::Deliver, &["b@example.org", "x@example.org"]),
            received: envelope(&["b@example.org"]),
            asked: vec![path("b@example.org").into()],
            ..case
        }
    }

    fn verdict(code: u16) -> Verdict {
        Verdict { code, enhanced: Enhanced(u8::try_from(code / 100).unwrap(), 7, 1), text: "no".to_owned() }
    }

    fn behind_queue(case: Case) -> Case {
        Case { behind_queue: true, ..case }
    }

    fn refused(recipients: &[(&str, u16)]) -> Delivery {
        Delivery::Recipients {
            next_hop: hop(),
            refused: recipients.iter().map(|(address, code)| (path(address).into(), answer(*code))).collect(),
        }
    }

    impl Case {
        fn held(mut self) -> Case {
            self.ruling.holds = vec![Hold { rule: "r".into(), reason: "odd".to_owned() }];
            self
        }

        fn told(&mut self) -> Told {
            let received = self.ruling.mail.message.clone();
            let end = clock::monotonic() + Duration::from_mins(1);
            let until = Until { deadline: end, hard_deadline: end };
            let work = Work {
                ruling: &self.ruling,
                received: &received,
                received_envelope: &self.received,
                asked: &self.asked,
                route: "relay",
                until,
                behind_queue: self.behind_queue,
                each: self.each,
            };
            let mut gone = std::future::ready(());
            let mut here = std::future::pending();
            let gone: Gone<'_> = if self.gone { &mut gone } else { &mut here };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let told = runtime.block_on(commit(work, &mut self.way, &self.shelf, gone));
            assert!(self.way.abandoned);
            told
        }

        /// The first three digits, the outcome, and what was done in the quarantine.
        fn row(&mut self) -> (u16, &'static str, Vec<String>) {
            let told = self.told();
            (told.reply.code(), told.outcome, self.shelf.done.lock().unwrap().clone())
        }
    }

    fn nothing() -> Vec<String> {
        Vec::new()
    }

    #[test]
    fn a_client_that_is_gone_is_sent_nowhere_and_held_nowhere() {
        for case in [deliver([]), deliver([]).held(), ruled(Outcome::Discard)] {
            let mut case = Case { gone: true, ..case };
            assert_eq!(case.row(), (451, "gone", nothing()));
        }
        assert_eq!(deliver([Delivery::ClientGone]).row(), (451, "gone", nothing()));
    }

    #[test]
    fn the_rules_word_goes_before_everything_else() {
        assert_eq!(ruled(Outcome::Reject(verdict(550))).held().row(), (550, "reject", nothing()));
        assert_eq!(ruled(Outcome::Defer(verdict(450))).row(), (450, "defer", nothing()));
        assert_eq!(ruled(Outcome::Discard).row(), (250, "discard", nothing()));
    }

    #[test]
    fn held_is_durable_before_the_250_and_not_sent() {
        let mut case = deliver([]).held();
        let done = vec!["stage odd for b@example.org c@example.org".to_owned(), "confirm 0".to_owned()];
        assert_eq!(case.row(), (250, "quarantine", done));
        assert!(case.way.asked.is_empty());
    }

    #[test]
    fn what_cannot_be_held_is_deferred() {
        let full = Shelf { fails: Some(StoreError::Full("full".to_owned())), ..Shelf::default() };
        assert_eq!(Case { shelf: full, ..deliver([]).held() }.row(), (452, "not stored", nothing()));
        let broken = Shelf { fails: Some(StoreError::Unable("broken".to_owned())), ..Shelf::default() };
        assert_eq!(Case { shelf: broken, ..deliver([]).held() }.row(), (451, "not stored", nothing()));
    }

    #[test]
    fn no_way_before_the_dot_is_451() {
        for error in [RelayError::Unavailable("x".into()), RelayError::Busy("x".into()), RelayError::Loop("x".into())] {
            assert_eq!(deliver([Delivery::Unavailable(error)]).row(), (451, "unavailable", nothing()));
        }
    }

    #[test]
    fn what_can_never_be_said_there_is_refused_for_good() {
        assert_eq!(deliver([Delivery::Unfit(Unfit::TooLarge)]).told().reply, reply::too_large());
        assert_eq!(deliver([Delivery::Unfit(Unfit::NeedsSmtpUtf8)]).told().reply, reply::smtputf8_not_possible());
        assert_eq!(deliver([Delivery::Unfit(Unfit::EightBit)]).told().reply, reply::cannot_convert());
    }

    #[test]
    fn behind_a_queue_what_we_would_refuse_for_good_is_held() {
        let done = |reason: &str| vec![format!("stage {reason} for b@example.org c@example.org"), "confirm 0".to_owned()];
        let held = |reply: &str| done(&format!("{reply} (not answered: behind a queue)"));
        assert_eq!(behind_queue(ruled(Outcome::Reject(verdict(550)))).row(), (250, "quarantine", held("550 5.7.1 no")));
        assert_eq!(behind_queue(ruled(Outcome::Reject(verdict(550))).held()).row(), (250, "quarantine", done("odd")));
        let unfit = |unfit| behind_queue(deliver([Delivery::Unfit(unfit)])).row();
        assert_eq!(unfit(Unfit::TooLarge), (250, "quarantine", held(&reply::too_large().to_string())));
        assert_eq!(unfit(Unfit::EightBit), (250, "quarantine", held(&reply::cannot_convert().to_string())));
    }

    #[test]
    fn behind_a_queue_what_is_for_now_and_what_the_next_hop_says_stays_an_answer() {
        assert_eq!(behind_queue(ruled(Outcome::Defer(verdict(450)))).row(), (450, "defer", nothing()));
        let dot = Delivery::Refused { next_hop: hop(), answer: answer(550) };
        assert_eq!(behind_queue(deliver([dot])).row(), (550, "refused", nothing()));
        let data = Delivery::RefusedBefore { next_hop: hop(), answer: answer(554) };
        assert_eq!(behind_queue(deliver([data])).row(), (554, "refused", nothing()));
        let full = Shelf { fails: Some(StoreError::Full("full".to_owned())), ..Shelf::default() };
        assert_eq!(behind_queue(Case { shelf: full, ..ruled(Outcome::Reject(verdict(550))) }).row(), (452, "not stored", nothing()));
    }

    #[test]
    fn behind_a_queue_a_copy_held_for_one_and_the_rest_that_never_fits_are_both_named() {
        let mut case = behind_queue(with_one_brought_in([refused(&[("x@example.org", 550)]), Delivery::Unfit(Unfit::TooLarge)]));
        let told = case.told();
        assert_eq!((told.reply.code(), told.holds), (250, vec![HoldId("0".to_owned()), HoldId("1".to_owned())]));
        assert_eq!(case.shelf.done.lock().unwrap()[2..], ["confirm 1", "confirm 0"]);
        assert!(case.shelf.done.lock().unwrap()[1].ends_with("for b@example.org"));
    }

    #[test]
    fn the_next_hops_verdict_is_passed_on_with_its_words() {
        for code in [450, 550] {
            let told = deliver([Delivery::RefusedBefore { next_hop: hop(), answer: answer(code) }]).told();
            assert_eq!((told.reply.to_string(), told.outcome), (format!("{code} {}.1.1 their words", code / 100), "refused"));
            let told = deliver([Delivery::Refused { next_hop: hop(), answer: answer(code) }]).told();
            assert_eq!((told.reply.to_string(), told.outcome), (format!("{code} {}.1.1 their words", code / 100), "refused"));
        }
        let told = deliver([Delivery::Accepted { next_hop: hop(), answer: answer(250) }]).told();
        assert_eq!((told.reply.to_string(), told.outcome), ("250 2.1.1 their words".to_owned(), "deliver"));
    }

    #[test]
    fn a_dot_answered_with_our_trouble_is_451() {
        assert_eq!(deliver([Delivery::Refused { next_hop: hop(), answer: answer(503) }]).row().0, 451);
        assert_eq!(deliver([Delivery::Refused { next_hop: hop(), answer: answer(421) }]).row().0, 451);
    }

    #[test]
    fn their_words_are_not_passed_on_after_the_envelope_was_rewritten() {
        for delivery in
            [Delivery::Accepted { next_hop: hop(), answer: answer(250) }, Delivery::Refused { next_hop: hop(), answer: answer(550) }]
        {
            let told = with_one_brought_in([delivery]).told();
            assert!(!told.reply.to_string().contains("their words"));
            assert!(told.answer.unwrap().contains("their words"), "the log has them");
        }
    }

    #[test]
    fn a_recipient_accepted_at_rcpt_and_refused_anew_is_451() {
        for code in [450, 550] {
            assert_eq!(deliver([refused(&[("c@example.org", code)])]).row(), (451, "unavailable", nothing()));
        }
        let mut both = with_one_brought_in([refused(&[("x@example.org", 550), ("b@example.org", 550)])]);
        assert_eq!(both.row(), (451, "unavailable", nothing()));
    }

    #[test]
    fn where_each_is_told_a_recipient_refused_anew_has_its_own_answer() {
        let each = |deliveries: Vec<Delivery>| {
            let mut case = Case { each: true, ..deliver(deliveries) };
            let told = case.told();
            let codes: Vec<_> = told.each.iter().map(|(path, reply)| (path.address().to_owned(), reply.code())).collect();
            (told.reply.code(), told.outcome, codes, case.way.asked.len())
        };
        let c = |code| vec![("c@example.org".to_owned(), code)];
        let accepted = Delivery::Accepted { next_hop: hop(), answer: answer(250) };
        assert_eq!(each(vec![refused(&[("c@example.org", 550)]), accepted.clone()]), (250, "deliver", c(550), 2));
        assert_eq!(each(vec![refused(&[("c@example.org", 552)]), accepted]), (250, "deliver", c(452), 2));
        let trouble = Delivery::Unavailable(RelayError::Unavailable("x".into()));
        assert_eq!(each(vec![refused(&[("c@example.org", 450)]), trouble]), (451, "unavailable", c(450), 2));
        let both = refused(&[("b@example.org", 550), ("c@example.org", 450)]);
        let (code, outcome, codes, asked) = each(vec![both]);
        assert_eq!((code, outcome, codes.len(), asked), (550, "refused", 2, 1));
    }

    #[test]
    fn one_that_a_rule_brought_in_has_no_veto_but_may_put_off() {
        let mut later = with_one_brought_in([refused(&[("x@example.org", 450)])]);
        assert_eq!(later.row(), (451, "unavailable", nothing()));

        let mut never =
            with_one_brought_in([refused(&[("x@example.org", 550)]), Delivery::Accepted { next_hop: hop(), answer: answer(250) }]);
        let (code, outcome, done) = never.row();
        assert_eq!((code, outcome), (250, "deliver"));
        assert!(done[0].starts_with("stage ") && done[0].contains("550") && done[0].ends_with("for x@example.org"), "{done:?}");
        assert_eq!(done[1..], ["confirm 0"]);
        assert_eq!(never.way.asked, [vec!["b@example.org", "x@example.org"], vec!["b@example.org"]]);
    }

    #[test]
    fn one_that_a_rule_at_rcpt_rewrote_was_asked_about_and_has_a_veto() {
        let case = with_one_brought_in([refused(&[("x@example.org", 550)])]);
        let mut case = Case { asked: vec![path("b@example.org").into(), path("x@example.org").into()], ..case };
        assert_eq!(case.row(), (451, "unavailable", nothing()));
    }

    #[test]
    fn a_copy_held_for_one_is_undone_when_the_others_fail() {
        let ends = [
            Delivery::Refused { next_hop: hop(), answer: answer(550) },
            Delivery::RefusedBefore { next_hop: hop(), answer: answer(450) },
            Delivery::Unavailable(RelayError::Unavailable("x".into())),
            Delivery::ClientGone,
        ];
        for end in ends {
            let mut case = with_one_brought_in([refused(&[("x@example.org", 550)]), end]);
            let told = case.told();
            assert!(told.reply.code() >= 400 && told.holds.is_empty());
            assert_eq!(case.shelf.done.lock().unwrap()[1..], ["undo 0"]);
        }
    }

    #[test]
    fn a_copy_held_for_one_stays_held_when_nobody_knows_about_the_others() {
        let silence = Delivery::InDoubt { next_hop: hop(), error: "closed".into() };
        let mut case = with_one_brought_in([refused(&[("x@example.org", 550)]), silence]);
        let told = case.told();
        assert_eq!((told.reply.clone(), told.outcome, told.in_doubt), (reply::outcome_unknown(), "in doubt", true));
        assert_eq!(told.holds, [HoldId("0".to_owned())], "the log names it");
        assert_eq!(case.shelf.done.lock().unwrap()[1..], ["doubt 0"]);
    }

    #[test]
    fn the_only_recipient_rewritten_and_refused_is_held() {
        let case = with_one_brought_in([refused(&[("x@example.org", 550)])]);
        let mut case = Case { ruling: ruling(Outcome::Deliver, &["x@example.org"]), ..case };
        let told = case.told();
        assert_eq!((told.reply.code(), told.outcome, told.holds.len()), (250, "quarantine", 1));
        assert_eq!(case.shelf.done.lock().unwrap()[1..], ["confirm 0"]);
    }

    /// Sent elsewhere by a rule: nobody there was asked about b, c and d, and the first delivery finds room for b only.
    fn with_room_for_one(deliveries: impl IntoIterator<Item = Delivery>) -> Case {
        let all = ["b@example.org", "c@example.org", "d@example.org"];
        let beyond = all[1..].iter().map(|address| (path(address).into(), answer(552))).collect();
        let first = Delivery::Beyond { next_hop: hop(), refused: beyond };
        let case = deliver([first].into_iter().chain(deliveries));
        Case { ruling: ruling(Outcome::Deliver, &all), received: envelope(&all), asked: Vec::new(), ..case }
    }

    fn accepted() -> Delivery {
        Delivery::Accepted { next_hop: hop(), answer: answer(250) }
    }

    /// What was done in the quarantine behind two copies.
    fn behind_copies(case: &Case) -> Vec<String> {
        let done = case.shelf.done.lock().unwrap();
        assert!(done[0].ends_with("for c@example.org") && done[1].ends_with("for d@example.org"), "{done:?}");
        done[2..].to_vec()
    }

    #[test]
    fn more_than_one_transaction_takes_go_in_further_ones_behind_it() {
        let mut case = with_room_for_one([accepted(), accepted(), accepted()]);
        let told = case.told();
        assert_eq!((told.reply.code(), told.outcome, told.holds.len()), (250, "deliver", 0));
        assert_eq!(case.way.asked[1..], [["b@example.org"], ["c@example.org"], ["d@example.org"]]);
        assert_eq!(behind_copies(&case), ["undo 0", "undo 1"]);
    }

    #[test]
    fn whoever_is_not_taken_behind_the_first_transaction_is_held() {
        let silence = Delivery::InDoubt { next_hop: hop(), error: "closed".into() };
        let mut case = with_room_for_one([accepted(), Delivery::Refused { next_hop: hop(), answer: answer(450) }, silence]);
        let told = case.told();
        assert_eq!((told.reply.code(), told.outcome, told.in_doubt), (250, "deliver", false));
        assert_eq!(told.holds, [HoldId("0".to_owned()), HoldId("1".to_owned())]);
        assert_eq!(behind_copies(&case), ["doubt 1", "confirm 0"]);
    }

    #[test]
    fn where_the_first_transaction_is_not_taken_there_is_no_further_one() {
        let mut case = with_room_for_one([Delivery::Refused { next_hop: hop(), answer: answer(450) }]);
        assert_eq!(case.told().reply.code(), 450);
        assert_eq!(behind_copies(&case), ["undo 0", "undo 1"]);
        let silence = Delivery::InDoubt { next_hop: hop(), error: "closed".into() };
        let mut case = with_room_for_one([silence]);
        assert!(case.told().in_doubt);
        assert_eq!(behind_copies(&case), ["doubt 0", "doubt 1"]);
        let case = with_room_for_one([]);
        let shelf = Shelf { fails: Some(StoreError::Full("full".to_owned())), ..Shelf::default() };
        assert_eq!(Case { shelf, ..case }.row(), (452, "not stored", nothing()));
    }

    #[test]
    fn the_clients_own_that_were_accepted_at_rcpt_come_again() {
        let case = with_room_for_one([]);
        let asked = envelope(&["b@example.org", "c@example.org", "d@example.org"]).recipients;
        assert_eq!(Case { asked, ..case }.row(), (451, "unavailable", nothing()));
    }

    #[test]
    fn a_dot_without_answer_is_in_doubt_and_never_250() {
        let told = deliver([Delivery::InDoubt { next_hop: hop(), error: "closed".into() }]).told();
        assert_eq!(told.reply, reply::outcome_unknown());
        assert!(told.in_doubt);
        assert_eq!(told.outcome, "in doubt");
    }

    /// LMTP: `b` and `c` as they were asked about, and `z` by a rule.
    fn each(words: [(&str, Word); 3]) -> Case {
        let words = words.into_iter().map(|(to, word)| (path(&format!("{to}@example.org")).into(), word)).collect();
        Case {
            ruling: ruling(Outcome::Deliver, &["b@example.org", "c@example.org", "z@example.org"]),
            ..deliver([Delivery::Each { next_hop: hop(), words }])
        }
    }

    fn said(code: u16) -> Word {
        Word::Said(answer(code))
    }

    #[test]
    fn in_lmtp_each_recipient_of_the_client_has_its_reply() {
        let told = each([("b", said(250)), ("c", said(552)), ("z", said(250))]).told();
        let replies: Vec<_> = told.each.iter().map(|(to, reply)| (to.address(), reply.code())).collect();
        assert_eq!(replies, [("b@example.org", 250), ("c@example.org", 552)]);
        assert_eq!((told.reply.code(), told.outcome), (250, "deliver"));
        let doubt = each([("b", Word::Unknown("silent".into())), ("c", said(450)), ("z", said(250))]).told();
        assert_eq!(doubt.each.iter().map(|(_, reply)| reply.code()).collect::<Vec<_>>(), [451, 450]);
        assert!(doubt.in_doubt);
    }

    #[test]
    fn in_lmtp_all_brought_in_by_rules_and_none_taken_come_again_if_one_may() {
        let none_asked = |words| Case { asked: Vec::new(), ..each(words) };
        assert_eq!(none_asked([("b", said(450)), ("c", said(550)), ("z", said(550))]).row(), (451, "unavailable", nothing()));
        assert_eq!(none_asked([("b", said(550)), ("c", said(550)), ("z", said(550))]).row().1, "quarantine");
        // Once one has it, coming again would double it.
        let case = none_asked([("b", said(250)), ("c", said(450)), ("z", said(250))]).row();
        assert_eq!((case.0, case.1, case.2.last().unwrap().as_str()), (250, "deliver", "confirm 0"));
        assert_eq!(none_asked([("b", Word::Unknown("silent".into())), ("c", said(450)), ("z", said(450))]).row().1, "quarantine");
    }

    #[test]
    fn in_lmtp_who_was_brought_in_by_a_rule_has_no_veto_after_the_dot_either() {
        let stage = |reason: &str| vec![format!("stage {reason} for z@example.org"), "confirm 0".to_owned()];
        let refused = "this recipient, brought in by a rule, was refused: 550 5.1.1 their words";
        assert_eq!(each([("b", said(250)), ("c", said(250)), ("z", said(550))]).row(), (250, "deliver", stage(refused)));
        let unknown = Word::Unknown("silent".into());
        assert_eq!(each([("b", said(250)), ("c", said(250)), ("z", unknown)]).row(), (250, "deliver", stage("in doubt: silent")));
        // Where the client hears no, it comes again for all.
        let undone = vec![format!("stage {refused} for z@example.org"), "undo 0".to_owned()];
        assert_eq!(each([("b", said(450)), ("c", said(450)), ("z", said(550))]).row(), (450, "refused", undone));
    }

    #[test]
    fn in_lmtp_a_recipient_that_goes_on_rewritten_does_not_hear_anothers_refusal() {
        let rewritten = |words| {
            let case = each(words);
            Case { asked: vec![path("a@old.example").into(), path("b@example.org").into()], each: true, ..case }
        };
        for code in [452, 552] {
            let mut case = rewritten([("b", said(code)), ("c", said(250)), ("z", said(550))]);
            let told = case.told();
            assert_eq!((told.reply.code(), told.outcome, told.holds.len()), (250, "deliver", 1));
            assert_eq!(told.each.iter().map(|(to, reply)| (to.address(), reply.code())).collect::<Vec<_>>(), [("b@example.org", code)]);
            assert_eq!(case.shelf.done.lock().unwrap()[1..], ["confirm 0"]);
        }
        let none = rewritten([("b", said(552)), ("c", said(550)), ("z", said(550))]).told();
        assert_eq!((none.reply.code(), none.outcome, none.holds.len()), (250, "quarantine", 2));
    }
}
