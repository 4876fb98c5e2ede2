//! A session's transaction with the next hop: opened when the first recipient is asked about, given back when nothing happens, opened anew when needed
//! (DESIGN decision 1). What goes wrong before the dot is tried again where SEMANTICS 11 allows it, and nowhere else.

use std::borrow::Cow;
use std::mem::take;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::connection::Connection;
use super::content::Pace;
use super::dialog::{Answers, NotSent, Offered, Opened, Ready};
use super::fit::{cannot_say, fit};
use super::route::{Attempts, Behalf, Lease, Route};
use super::{Delivery, RelayError, Until};
use crate::base::clock;
use crate::message::Message;
use crate::smtp::client::{Answer, declared_anew};
use crate::smtp::envelope::{Declared, Envelope, Recipient};
use crate::smtp::path::Path;
use crate::smtp::reply::{Class, Enhanced};

/// One session's transaction with the next hop. Holds at most one connection; dropping it abandons (RSET if DATA was not sent, else close).
#[derive(Debug)]
pub struct Transaction {
    route: Arc<Route>,
    behalf: Behalf,
    sender: Path,
    declared: Declared,
    /// Recipients that were accepted, on this connection or an earlier one.
    accepted: Vec<Recipient>,
    /// The sender was refused: that is every recipient's answer. With the next hop that said so.
    refused: Option<(Arc<str>, Answer)>,
    /// Its client hears of each recipient after the end (LMTP).
    tells_each: bool,
    open: Option<Offered>,
}

/// What a recipient beyond RCPTMAX is answered in the next hop's place (RFC 9422 4).
const TOO_MANY: (u16, Enhanced, &str) = (552, Enhanced(5, 5, 3), "more recipients than LIMITS RCPTMAX allows");

/// Ready for the content, and the form of it that this next hop takes, if not the given one.
type Prepared = (Ready, Option<Message>);

/// A transaction of exactly one envelope.
enum Exact {
    Offered(Offered),
    /// It will be said together with the content.
    AtOnce(Ready),
}

impl Transaction {
    pub(super) fn new(route: Arc<Route>, behalf: Behalf, sender: Path, declared: Declared) -> Transaction {
        Transaction { route, behalf, sender, declared, accepted: Vec::new(), refused: None, tells_each: false, open: None }
    }

    /// For a client that hears of each recipient after the end: where the next hop does as well, more than one can be asked about.
    #[must_use]
    pub fn telling_each(mut self) -> Transaction {
        self.tells_each = true;
        self
    }

    /// Asks the next hop about recipients (at most 100 unanswered), opening or reopening the transaction when needed. One result each, in order;
    /// a refused MAIL is each one's answer. Recipients accepted are remembered.
    pub async fn recipients(&mut self, paths: &[Recipient]) -> Vec<Result<Answer, RelayError>> {
        let mut answers = Vec::new();
        while answers.len() < paths.len() {
            let left = &paths[answers.len()..];
            if let Some((_, answer)) = &self.refused {
                answers.extend(left.iter().map(|_| Ok(answer.clone())));
                break;
            }
            let some = match self.ask(left).await {
                Ok(some) => some,
                Err(error) => vec![Err(error); left.len()],
            };
            for (path, answer) in left.iter().zip(&some) {
                if answer.as_ref().is_ok_and(|answer| answer.class() == Class::Done) {
                    self.accepted.push(path.clone());
                }
            }
            if some.len() == paths.len() {
                return some;
            }
            answers.extend(some);
        }
        answers
    }

    /// How many more may be asked about on this connection.
    fn room(&self, connection: &Connection) -> usize {
        // LMTP may refuse each after the end, and a client that hears one reply then could not be told.
        let one = (connection.next_hop.lmtp && !self.tells_each).then_some(1);
        let most = connection.capabilities.limits.recipients.into_iter().chain(one).min();
        most.map_or(usize::MAX, |most| most.saturating_sub(self.accepted.len()))
    }

    /// The answers to the first of them, as many as may be asked about together; never none.
    async fn ask(&mut self, paths: &[Recipient]) -> Result<Answers, RelayError> {
        let mut attempts = Attempts::default();
        if let Some(open) = self.open.take() {
            let room = self.room(&open.lease().connection).min(paths.len());
            if room == 0 {
                self.open = Some(open);
                return Err(RelayError::TooMany);
            }
            match open.add(&paths[..room]).await {
                Ok((open, answers)) => {
                    self.open = Some(open);
                    return Ok(answers);
                }
                Err(failed) => self.route.after(&mut attempts, failed)?,
            }
        }
        loop {
            let lease = self.route.lease(&mut attempts, &self.behalf).await?;
            let room = self.room(&lease.connection).min(paths.len());
            if room == 0 {
                lease.give_back();
                return Err(RelayError::TooMany);
            }
            let all = joined(&self.accepted, &paths[..room]);
            if let Some(unfit) = cannot_say(&lease.connection, &self.sender, &self.declared, &all) {
                tracing::error!("next hop {}: {}; ask its operator for it", lease.connection.next_hop, unfit.text());
                lease.give_back();
                return Err(RelayError::Unfit(unfit));
            }
            match pin!(Offered::open(lease, &self.sender, &self.declared, &all)).await {
                Ok(Opened::Offered(open, mut answers)) => {
                    self.open = Some(open);
                    answers.drain(..self.accepted.len());
                    return Ok(answers);
                }
                Ok(Opened::MailRefused { next_hop, answer }) => {
                    let answer = answer.told_at_rcpt();
                    self.refused = Some((next_hop, answer.clone()));
                    return Ok(vec![Ok(answer); room]);
                }
                Err(failed) => self.route.after(&mut attempts, failed)?,
            }
        }
    }

    /// The route it goes by.
    #[must_use]
    pub fn route(&self) -> &str {
        &self.route.config.name
    }

    /// The next hop that was asked last about recipients, if it could be asked.
    #[must_use]
    pub fn next_hop(&self) -> Option<Arc<str>> {
        let open = || self.open.as_ref().map(|open| open.lease().next_hop());
        self.refused.as_ref().map(|(next_hop, _)| Arc::clone(next_hop)).or_else(open)
    }

    /// Goes another way from now on: nobody there has heard of it.
    pub(super) fn take_route(&mut self, route: Arc<Route>) {
        self.abandon();
        self.accepted.clear();
        self.refused = None;
        self.route = route;
    }

    /// How long a silent client may keep its connection.
    #[must_use]
    pub fn hold(&self) -> Duration {
        self.route.config.connections.hold
    }

    /// Whether others wait for a connection to its next hops.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.route.is_pressed()
    }

    /// Whether it holds a connection now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// RSET, and the connection goes back to the pool; the accepted recipients are remembered for reopening.
    pub async fn give_back(&mut self) {
        if let Some(open) = self.open.take() {
            open.abandon().await;
        }
    }

    /// The same, without waiting for it.
    pub fn abandon(&mut self) {
        if let Some(open) = self.open.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(open.abandon());
        }
    }

    /// Sends a mail: on the open transaction if sender and accepted recipients are exactly the envelope's, else on a fresh one. `message` is final (`Received` included). Nothing is sent after
    /// `deadline` (a transfer that keeps the rate may run to `hard_deadline`) or once `gone` resolves before the dot; after the dot it waits `after_dot`, client or no client.
    /// After [`Delivery::Recipients`] the transaction stays open with those that were accepted: sending to exactly these needs no other one.
    pub async fn deliver(
        &mut self,
        envelope: &Envelope,
        message: &Message,
        until: Until,
        gone: &mut (dyn Future<Output = ()> + Send + Unpin),
    ) -> Delivery {
        let pace = Pace { until, min_data_rate: self.route.settings.min_data_rate, stall: self.route.settings.next_hop };
        let after_dot = self.route.settings.after_dot;
        let mut attempts = Attempts::default();
        loop {
            if clock::monotonic() >= until.deadline {
                return Delivery::Unavailable(late());
            }
            let mut alarm = self.open.as_mut().map(|open| take(open.deadline())).unwrap_or_default();
            let prepared = {
                let preparing = pin!(self.prepare(envelope, message, &mut attempts));
                tokio::select! {
                    biased;
                    prepared = preparing => prepared,
                    () = &mut *gone => return Delivery::ClientGone,
                    () = alarm.rings(until.deadline) => return Delivery::Unavailable(late()),
                }
            };
            let (mut ready, converted) = match prepared {
                Ok(prepared) => prepared,
                Err(delivery) => return delivery,
            };
            *ready.deadline() = alarm;
            let failed = match pin!(ready.send(converted.as_ref().unwrap_or(message), pace, &mut *gone)).await {
                Ok(sent) => match pin!(sent.outcome(after_dot)).await {
                    Ok(delivery) => return delivery,
                    Err(failed) => failed,
                },
                Err(NotSent::Given(delivery)) => return delivery,
                Err(NotSent::Stale(failed)) => failed,
            };
            if let Err(error) = self.route.after(&mut attempts, failed) {
                return Delivery::Unavailable(error);
            }
        }
    }

    /// Everything up to the content. Trouble of a stale connection is overcome here.
    async fn prepare(&mut self, envelope: &Envelope, message: &Message, attempts: &mut Attempts) -> Result<Prepared, Delivery> {
        loop {
            let (exact, converted) = pin!(self.exact(envelope, message, attempts)).await?;
            let open = match exact {
                Exact::Offered(open) => open,
                Exact::AtOnce(ready) => return Ok((ready, converted)),
            };
            let ready = pin!(open.data(converted.as_ref().unwrap_or(message))).await;
            match ready {
                Ok(Ok(ready)) => return Ok((ready, converted)),
                Ok(Err(refused)) => return Err(refused),
                Err(failed) => self.route.after(attempts, failed).map_err(Delivery::Unavailable)?,
            }
        }
    }

    /// A transaction of exactly this envelope.
    async fn exact(
        &mut self,
        envelope: &Envelope,
        message: &Message,
        attempts: &mut Attempts,
    ) -> Result<(Exact, Option<Message>), Delivery> {
        let mut lease = None;
        if let Some(open) = self.open.take() {
            if open.is_for(&envelope.sender, &envelope.recipients) {
                match fit(&open.lease().connection, envelope, message).await {
                    Ok(converted) => return Ok((Exact::Offered(open), converted)),
                    Err(unfit) => {
                        Box::pin(open.abandon()).await;
                        return Err(unfit);
                    }
                }
            }
            match Box::pin(open.reset()).await {
                Ok(reset) if reset.connection.takes_another() => lease = Some(reset),
                Ok(reset) => reset.give_back(),
                Err(failed) => self.route.after(attempts, failed).map_err(Delivery::Unavailable)?,
            }
        }
        loop {
            let lease: Lease = match lease.take() {
                Some(lease) => lease,
                None => self.route.lease(attempts, &self.behalf).await.map_err(Delivery::Unavailable)?,
            };
            let fits = match self.beyond(&lease, &envelope.recipients) {
                None => fit(&lease.connection, envelope, message).await,
                Some(beyond) => Err(beyond),
            };
            let converted = match fits {
                Ok(converted) => converted,
                Err(unfit) => {
                    lease.give_back();
                    return Err(unfit);
                }
            };
            let size = converted.as_ref().unwrap_or(message).size();
            let declared = declared_anew(envelope, size);
            let lease = match Ready::at_once(lease, &envelope.sender, &declared, &envelope.recipients, size) {
                Ok(ready) => return Ok((Exact::AtOnce(ready), converted)),
                Err(lease) => *lease,
            };
            match pin!(Offered::open(lease, &envelope.sender, &declared, &envelope.recipients)).await {
                Ok(Opened::Offered(open, answers)) => {
                    return self.all_accepted(open, envelope, answers).map(|open| (Exact::Offered(open), converted));
                }
                Ok(Opened::MailRefused { next_hop, answer }) => return Err(Delivery::RefusedBefore { next_hop, answer }),
                Err(failed) => self.route.after(attempts, failed).map_err(Delivery::Unavailable)?,
            }
        }
    }

    /// What comes of an envelope that has no room on this connection. Others than the client's may be refused after the end of LMTP.
    fn beyond(&self, lease: &Lease, recipients: &[Recipient]) -> Option<Delivery> {
        let connection = &lease.connection;
        let most = connection.capabilities.limits.recipients.unwrap_or(usize::MAX);
        let one = connection.next_hop.lmtp && !self.tells_each;
        let mut of_the_client = recipients.iter().filter(|recipient| self.accepted.contains(recipient));
        let second = of_the_client.nth(1).filter(|_| one);
        let (code, enhanced, text) = TOO_MANY;
        let answer = Answer { code, enhanced: Some(enhanced), text: text.to_owned() };
        let beyond = recipients.iter().skip(most).chain(second).map(|recipient| (recipient.clone(), answer.clone()));
        let refused: Vec<_> = beyond.collect();
        match second {
            Some(_) => Some(Delivery::Recipients { next_hop: lease.next_hop(), refused }),
            None if refused.is_empty() => None,
            None => Some(Delivery::Beyond { next_hop: lease.next_hop(), refused }),
        }
    }

    /// The transaction, if it has all recipients; otherwise it is kept, and told who was refused.
    fn all_accepted(&mut self, open: Offered, envelope: &Envelope, answers: Answers) -> Result<Offered, Delivery> {
        let next_hop = open.lease().next_hop();
        let mut refused = Vec::new();
        let mut trouble = None;
        for (path, answer) in envelope.recipients.iter().zip(answers) {
            match answer {
                Ok(answer) if answer.class() == Class::Done => {}
                Ok(answer) => refused.push((path.clone(), answer)),
                Err(error) => trouble = Some(error),
            }
        }
        if trouble.is_none() && refused.is_empty() {
            return Ok(open);
        }
        self.open = Some(open);
        Err(trouble.map_or(Delivery::Recipients { next_hop, refused }, Delivery::Unavailable))
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Those that were accepted before, and these.
fn joined<'r>(accepted: &[Recipient], paths: &'r [Recipient]) -> Cow<'r, [Recipient]> {
    if accepted.is_empty() { Cow::Borrowed(paths) } else { Cow::Owned([accepted, paths].concat()) }
}

fn late() -> RelayError {
    let text = "the time of this message was over before its end could be sent (timeouts.deadline); see why rules or next hop are slow";
    tracing::error!("{text}");
    RelayError::Unavailable(text.to_owned())
}
