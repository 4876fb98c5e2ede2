//! A session's transaction with the next hop: opened when the first recipient is asked about, given back when nothing happens, opened anew when needed
//! (DESIGN decision 1). What goes wrong before the dot is tried again where SEMANTICS 11 allows it, and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep_until;

use super::content::Pace;
use super::dialog::{Answers, Offered, Opened, Ready};
use super::route::{Attempts, Behalf, Lease, Route};
use super::{Delivery, RelayError, Unfit, Until};
use crate::message::{Fault, Message};
use crate::smtp::client::{Answer, Capabilities, declared_anew};
use crate::smtp::envelope::{Declared, Envelope, Recipient};
use crate::smtp::path::Path;
use crate::smtp::reply::Class;

/// Messages up to this size are converted where they are; larger ones off the async threads.
const SMALL: u64 = 256 * 1024;

/// One session's transaction with the next hop. Holds at most one connection; dropping it abandons (RSET if DATA was not sent, else close).
#[derive(Debug)]
pub struct Transaction {
    route: Arc<Route>,
    behalf: Behalf,
    sender: Path,
    declared: Declared,
    /// Recipients that were accepted, on this connection or an earlier one.
    accepted: Vec<Recipient>,
    /// The sender was refused: that is every recipient's answer.
    refused: Option<Answer>,
    open: Option<Offered>,
}

/// Ready for the content, and the form of it that this next hop takes, if not the given one.
type Prepared = (Ready, Option<Message>);

impl Transaction {
    pub(super) fn new(route: Arc<Route>, behalf: Behalf, sender: Path, declared: Declared) -> Transaction {
        Transaction { route, behalf, sender, declared, accepted: Vec::new(), refused: None, open: None }
    }

    /// Asks the next hop about recipients (at most 100 unanswered), opening or reopening the transaction when needed. One result each, in order;
    /// a refused MAIL is each one's answer. Recipients accepted are remembered.
    pub async fn recipients(&mut self, paths: &[Recipient]) -> Vec<Result<Answer, RelayError>> {
        if let Some(answer) = &self.refused {
            return vec![Ok(answer.clone()); paths.len()];
        }
        let answers = match self.ask(paths).await {
            Ok(answers) => answers,
            Err(error) => vec![Err(error); paths.len()],
        };
        for (path, answer) in paths.iter().zip(&answers) {
            if answer.as_ref().is_ok_and(|answer| answer.class() == Class::Done) {
                self.accepted.push(path.clone());
            }
        }
        answers
    }

    async fn ask(&mut self, paths: &[Recipient]) -> Result<Answers, RelayError> {
        let mut attempts = Attempts::default();
        if let Some(open) = self.open.take() {
            match open.add(paths).await {
                Ok((open, answers)) => {
                    self.open = Some(open);
                    return Ok(answers);
                }
                Err(failed) => self.route.after(&mut attempts, failed)?,
            }
        }
        let all: Vec<Recipient> = self.accepted.iter().chain(paths).cloned().collect();
        loop {
            let lease = self.route.lease(&mut attempts, &self.behalf).await?;
            if !lease.connection.capabilities.can_say(all.iter().map(Recipient::path).chain([&self.sender])) {
                let text = format!(
                    "next hop {} takes no SMTPUTF8, which these addresses need; ask its operator for it",
                    lease.connection.next_hop
                );
                lease.give_back();
                tracing::error!("{text}");
                return Err(RelayError::Unavailable(text));
            }
            match Offered::open(lease, &self.sender, &self.declared, &all).await {
                Ok(Opened::Offered(open, mut answers)) => {
                    self.open = Some(*open);
                    return Ok(answers.split_off(self.accepted.len()));
                }
                Ok(Opened::MailRefused { answer, .. }) => {
                    let answer = answer.told_at_rcpt();
                    self.refused = Some(answer.clone());
                    return Ok(vec![Ok(answer); paths.len()]);
                }
                Err(failed) => self.route.after(&mut attempts, failed)?,
            }
        }
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
        let prepared = tokio::select! {
            biased;
            () = &mut *gone => return Delivery::ClientGone,
            () = sleep_until(until.deadline.into()) => return Delivery::Unavailable(late()),
            prepared = self.prepare(envelope, message) => prepared,
        };
        let (ready, converted) = match prepared {
            Ok(prepared) => prepared,
            Err(delivery) => return delivery,
        };
        match ready.send(converted.as_ref().unwrap_or(message), pace, gone).await {
            Ok(sent) => sent.outcome(after_dot).await,
            Err(delivery) => delivery,
        }
    }

    /// Everything up to the 354. Trouble of a stale connection is overcome here.
    async fn prepare(&mut self, envelope: &Envelope, message: &Message) -> Result<Prepared, Delivery> {
        let mut attempts = Attempts::default();
        loop {
            let (open, converted) = self.offered(envelope, message, &mut attempts).await?;
            match open.data().await {
                Ok(Ok(ready)) => return Ok((ready, converted)),
                Ok(Err(refused)) => return Err(refused),
                Err(failed) => self.route.after(&mut attempts, failed).map_err(Delivery::Unavailable)?,
            }
        }
    }

    /// A transaction of exactly this envelope.
    async fn offered(
        &mut self,
        envelope: &Envelope,
        message: &Message,
        attempts: &mut Attempts,
    ) -> Result<(Offered, Option<Message>), Delivery> {
        let mut lease = None;
        if let Some(open) = self.open.take() {
            if open.is_for(&envelope.sender, &envelope.recipients) {
                match fit(&open.lease().connection.capabilities, envelope, message).await {
                    Ok(converted) => return Ok((open, converted)),
                    Err(unfit) => {
                        open.abandon().await;
                        return Err(unfit);
                    }
                }
            }
            match open.reset().await {
                Ok(reset) => lease = Some(reset),
                Err(failed) => self.route.after(attempts, failed).map_err(Delivery::Unavailable)?,
            }
        }
        loop {
            let lease: Lease = match lease.take() {
                Some(lease) => lease,
                None => self.route.lease(attempts, &self.behalf).await.map_err(Delivery::Unavailable)?,
            };
            let converted = match fit(&lease.connection.capabilities, envelope, message).await {
                Ok(converted) => converted,
                Err(unfit) => {
                    lease.give_back();
                    return Err(unfit);
                }
            };
            let size = converted.as_ref().unwrap_or(message).size();
            match Offered::open(lease, &envelope.sender, &declared_anew(envelope, size), &envelope.recipients).await {
                Ok(Opened::Offered(open, answers)) => return self.all_accepted(*open, envelope, answers).map(|open| (open, converted)),
                Ok(Opened::MailRefused { next_hop, answer }) => return Err(Delivery::RefusedBefore { next_hop, answer }),
                Err(failed) => self.route.after(attempts, failed).map_err(Delivery::Unavailable)?,
            }
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

/// Whether a next hop with these capabilities can take the mail; the message as it has to be changed for it.
async fn fit(capabilities: &Capabilities, envelope: &Envelope, message: &Message) -> Result<Option<Message>, Delivery> {
    let (header_eight_bit, body_eight_bit) = message.eight_bit();
    let addresses = envelope.recipients.iter().map(Recipient::path).chain([&envelope.sender]);
    let header_needs_it = envelope.declared.smtputf8 && header_eight_bit;
    // RFC 6531 3.2; a declared SMTPUTF8 that nothing needs may be dropped (DESIGN decision 10).
    if !capabilities.smtputf8 && (header_needs_it || !capabilities.can_say(addresses)) {
        return Err(Delivery::Unfit(Unfit::NeedsSmtpUtf8));
    }
    let converted = if body_eight_bit && !capabilities.eight_bit { Some(seven_bit(message).await?) } else { None };
    let size = converted.as_ref().unwrap_or(message).size();
    if capabilities.largest.is_some_and(|largest| size > largest) {
        return Err(Delivery::Unfit(Unfit::TooLarge));
    }
    Ok(converted)
}

/// RFC 6152 3: without 8BITMIME at the next hop it is converted, or refused.
async fn seven_bit(message: &Message) -> Result<Message, Delivery> {
    let converted = if message.in_file() || message.size() > SMALL {
        let message = message.clone();
        tokio::task::spawn_blocking(move || message.seven_bit())
            .await
            .unwrap_or_else(|error| Err(Fault::Disk(std::io::Error::other(error))))
    } else {
        message.seven_bit()
    };
    converted.map_err(|fault| match fault {
        Fault::Message(_) => Delivery::Unfit(Unfit::EightBit),
        fault @ (Fault::Disk(_) | Fault::NoMemory) => {
            let text = format!("the message could not be converted for a next hop without 8BITMIME: {fault}; see to the disk of store.path and to limits.bytes_in_flight");
            tracing::error!("{text}");
            Delivery::Unavailable(RelayError::Unavailable(text))
        }
    })
}

fn late() -> RelayError {
    let text = "the time of this message was over before its end could be sent (timeouts.deadline); see why rules or next hop are slow";
    tracing::error!("{text}");
    RelayError::Unavailable(text.to_owned())
}
