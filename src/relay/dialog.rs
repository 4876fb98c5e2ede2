//! One mail on one connection, as a machine; a state owns what may be said in it.
//!
//! | state   | what was said                           | next                                                            |
//! |---------|-----------------------------------------|-----------------------------------------------------------------|
//! | Offered | MAIL, RCPTs                             | more RCPTs, `data` → Ready, or RSET and back to the pool        |
//! | Ready   | DATA, answered 354; with BDAT nothing   | `send` → Sent; given up: the connection is closed, never an end |
//! | Sent    | everything and its end                  | its answer: accepted, refused, or in doubt                      |
//!
//! The end is the dot or the last byte of BDAT LAST, which counts as it everywhere.
//!
//! **When BDAT.** Where it is offered and MAIL and all RCPTs were answered 2.1.x: it saves the 354, which is a round trip, two system calls and a wake-up a message, and nothing has to
//! look for dots. A refusal that DATA would have been answered comes after the content instead, with the same meaning. Where replies do not tell themselves apart, what the 354 is
//! good for would have to be asked for behind the content ([`mark`](super::mark)), and that is a doubt where DATA has none: there, only a message that said BODY=BINARYMIME goes by BDAT.
//!
//! **All in one write** ([`Ready::at_once`]): MAIL, RCPT, BDAT LAST with its content, and EHLO, for one recipient. Whoever is refused is answered so, BDAT is then answered
//! 503 or 554 and its bytes are swallowed (RFC 3030 2): nothing is taken. But the reply to BDAT is known by its place only, and one too many before it would
//! be taken for it, with nothing read before the end that could tell (SEMANTICS 11). So EHLO goes behind it, as the last of its group (RFC 2920 3.1), and the message is accepted only
//! if the next reply is that to EHLO ([`mark`](super::mark)). As an answer that stays out makes a doubt then, this is done only where MAIL and RCPT were answered 2.1.x before.

use std::sync::Arc;

use super::connection::Trouble;
use super::content::{self, Form, Pace, Stopped};
use super::mark::tells_of_addresses;
use super::route::{Failed, Lease, is_farewell, unavailable};
use super::sent::Sent;
use super::{Delivery, RelayError};
use crate::base::alarm::Alarm;
use crate::base::metrics::COUNTS;
use crate::message::Message;
use crate::smtp::client::{Answer, Meaning, Stage};
use crate::smtp::envelope::{Declared, Recipient};
use crate::smtp::path::Path;
use crate::smtp::reply::Class;

/// Commands without reply at most (DESIGN decision 1).
const UNANSWERED: usize = 100;
/// The largest message that goes out in one write with its commands.
const AT_ONCE: u64 = 64 * 1024;

/// A transaction that is open at the next hop.
#[derive(Debug)]
pub struct Offered {
    lease: Lease,
    pub sender: Path,
    /// Those it accepted.
    pub recipients: Vec<Recipient>,
    /// It has accepted one, in whatever became of the others.
    accepted_one: bool,
    /// MAIL said SMTPUTF8.
    smtputf8: bool,
    /// MAIL said BODY=BINARYMIME.
    binary: bool,
}

/// What each recipient was answered; an error is trouble with that one only.
pub type Answers = Vec<Result<Answer, RelayError>>;

/// How opening a transaction went.
#[derive(Debug)]
pub enum Opened {
    Offered(Offered, Answers),
    /// MAIL was refused; the connection is on its way back to the pool.
    MailRefused {
        next_hop: Arc<str>,
        answer: Answer,
    },
}

impl Offered {
    /// MAIL and RCPTs, in one write where that is offered.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn open(lease: Lease, sender: &Path, declared: &Declared, recipients: &[Recipient]) -> Result<Opened, Failed> {
        let stale = lease.connection.reused;
        let capabilities = &lease.connection.capabilities;
        let mail = capabilities.mail(sender, declared, lease.connection.is_logged_in());
        let smtputf8 = capabilities.says_smtputf8(sender, declared);
        let binary = capabilities.says_binary(declared);
        let mut offered = Offered { lease, sender: sender.clone(), recipients: Vec::new(), accepted_one: false, smtputf8, binary };
        let answers = match offered.ask(Some(mail), recipients).await {
            Ok(answers) => answers,
            Err(trouble) => return Err(offered.failed(trouble, stale)),
        };
        let mut answers = answers.into_iter();
        let mail = answers.next().expect("MAIL was asked and answered");
        if stale && is_farewell(&mail) {
            return Err(offered.failed(Trouble::Said(Stage::Mail, mail), stale));
        }
        match mail.meaning(Stage::Mail) {
            Meaning::Accepted => {}
            Meaning::Verdict => {
                let next_hop = offered.lease.next_hop();
                tokio::spawn(offered.lease.abandon());
                return Ok(Opened::MailRefused { next_hop, answer: mail });
            }
            Meaning::Trouble => return Err(offered.failed(Trouble::Said(Stage::Mail, mail), stale)),
        }
        let answers: Vec<Answer> = answers.collect();
        // Where a later one was accepted the first was refused, and nothing has ended.
        if stale
            && !offered.accepted_one
            && let Some(first) = answers.first().filter(|first| is_farewell(first))
        {
            let trouble = Trouble::Said(Stage::Recipient, first.clone());
            return Err(offered.failed(trouble, stale));
        }
        let answers = offered.note(recipients, answers);
        Ok(Opened::Offered(offered, answers))
    }

    /// More RCPTs.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn add(mut self, recipients: &[Recipient]) -> Result<(Offered, Answers), Failed> {
        let asked = match self.lease.connection.quiet() {
            Ok(()) => self.ask(None, recipients).await,
            Err(trouble) => Err(trouble),
        };
        match asked {
            Ok(answers) => {
                let answers = self.note(recipients, answers);
                Ok((self, answers))
            }
            Err(trouble) => Err(self.failed(trouble, true)),
        }
    }

    /// Says the commands and reads their replies: all there are, or the refused MAIL and what was pipelined behind it.
    async fn ask(&mut self, mail: Option<String>, recipients: &[Recipient]) -> Result<Vec<Answer>, Trouble> {
        let connection = &mut self.lease.connection;
        let at_once = if connection.capabilities.pipelining { UNANSWERED } else { 1 };
        let mut answers = Vec::with_capacity(1 + recipients.len());
        let (mut left, mut text) = (recipients, mail.unwrap_or_default());
        let mut asks_mail = !text.is_empty();
        let mut forwards = 0;
        if asks_mail {
            connection.count_mail();
            let commands = connection.forwarding(self.lease.forwards.as_ref());
            if connection.capabilities.pipelining && !commands.is_empty() {
                forwards = commands.len();
                text.insert_str(0, &commands.concat());
            } else {
                for command in commands {
                    connection.say(&command, 1).await?;
                    connection.forwarded(1).await?;
                    connection.quiet()?;
                }
            }
        }
        loop {
            let (batch, rest) = left.split_at(left.len().min(at_once - usize::from(asks_mail)));
            for recipient in batch {
                connection.capabilities.rcpt(recipient, self.smtputf8, &mut text);
            }
            let stages = std::iter::repeat_n(Stage::Mail, usize::from(asks_mail)).chain(batch.iter().map(|_| Stage::Recipient));
            connection.say(&text, forwards + batch.len() + usize::from(asks_mail)).await?;
            connection.forwarded(std::mem::take(&mut forwards)).await?;
            for stage in stages {
                let answer = connection.answer(stage).await?;
                // After 421 it closes; a 354 here means that its replies do not belong to our commands.
                if answer.code == 421 || answer.class() == Class::Continue {
                    return Err(Trouble::Said(stage, answer));
                }
                match (stage, answer.meaning(stage)) {
                    (Stage::Mail, _) => connection.tells_apart = tells_of_addresses(&answer),
                    (_, Meaning::Accepted) => {
                        self.accepted_one = true;
                        connection.tells_apart &= tells_of_addresses(&answer);
                    }
                    _ => {}
                }
                answers.push(answer);
            }
            connection.is_answered()?;
            let refused = asks_mail && answers[0].meaning(Stage::Mail) != Meaning::Accepted;
            (left, asks_mail) = (rest, false);
            if refused || left.is_empty() {
                return Ok(answers);
            }
            // Its next answer must not be one that lies here already.
            connection.quiet()?;
            text.clear();
        }
    }

    fn note(&mut self, recipients: &[Recipient], answers: Vec<Answer>) -> Answers {
        let noted = answers.into_iter().zip(recipients).map(|(answer, path)| match answer.meaning(Stage::Recipient) {
            Meaning::Accepted => {
                self.recipients.push(path.clone());
                Ok(answer)
            }
            Meaning::Verdict => {
                self.lease.connection.count_refused();
                Ok(answer)
            }
            Meaning::Trouble => Err(unavailable(&self.lease.connection.next_hop, &Trouble::Said(Stage::Recipient, answer))),
        });
        noted.collect()
    }

    fn failed(&self, trouble: Trouble, stale: bool) -> Failed {
        Failed { trouble, target: self.lease.target().clone(), stale, accepted: self.accepted_one }
    }

    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The connection's, for the time the message has.
    pub fn deadline(&mut self) -> &mut Alarm {
        &mut self.lease.connection.deadline
    }

    /// Whether it carries exactly this, so that DATA may follow.
    #[must_use]
    pub fn is_for(&self, sender: &Path, recipients: &[Recipient]) -> bool {
        let sorted = |paths: &[Recipient]| {
            let mut addresses: Vec<String> = paths.iter().map(|path| path.address().to_owned()).collect();
            addresses.sort_unstable();
            addresses
        };
        self.sender == *sender && (self.recipients == recipients || sorted(&self.recipients) == sorted(recipients))
    }

    /// RSET, for another transaction on the same connection.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn reset(mut self) -> Result<Lease, Failed> {
        match self.lease.connection.reset().await {
            Ok(()) => Ok(self.lease),
            Err(trouble) => Err(self.failed(trouble, true)),
        }
    }

    /// RSET, and back to the pool.
    pub async fn abandon(self) {
        self.lease.abandon().await;
    }

    /// DATA, where it is not BDAT that the content goes behind.
    ///
    /// # Errors
    /// It was refused ([`Delivery::RefusedBefore`], and the connection is on its way back to the pool), or the connection is gone.
    pub async fn data(mut self, message: &Message) -> Result<Result<Ready, Delivery>, Failed> {
        let connection = &self.lease.connection;
        if connection.capabilities.chunking && (connection.tells_apart || self.binary) {
            return Ok(Ok(self.ready(Form::counted(message.size()))));
        }
        let connection = &mut self.lease.connection;
        let asked = async {
            connection.quiet()?;
            connection.say("DATA\r\n", 1).await?;
            connection.answer(Stage::Data).await
        };
        let answer = match asked.await {
            Ok(answer) => answer,
            Err(trouble) => return Err(self.failed(trouble, true)),
        };
        match answer.meaning(Stage::Data) {
            Meaning::Accepted => Ok(Ok(self.ready(Form::Dotted))),
            Meaning::Verdict => {
                let next_hop = self.lease.next_hop();
                tokio::spawn(self.lease.abandon());
                Ok(Err(Delivery::RefusedBefore { next_hop, answer }))
            }
            Meaning::Trouble => Err(self.failed(Trouble::Said(Stage::Data, answer), false)),
        }
    }

    fn ready(self, form: Form) -> Ready {
        // Only in LMTP the end has an answer for each.
        let each = if self.lease.connection.next_hop.lmtp { self.recipients } else { Vec::new() };
        Ready { lease: self.lease, form, each, opens: None }
    }
}

/// The content may follow.
#[derive(Debug)]
pub struct Ready {
    lease: Lease,
    form: Form,
    each: Vec<Recipient>,
    /// Where MAIL and RCPT go out with the content: for whom.
    opens: Option<Recipient>,
}

/// Why nothing was sent that could be taken for a whole message.
#[derive(Debug)]
pub enum NotSent {
    /// What became of it.
    Given(Delivery),
    /// The connection was gone before the first byte.
    Stale(Failed),
}

impl Ready {
    /// A transaction of one recipient that begins and ends in one write.
    ///
    /// # Errors
    /// It is not one for that: the connection, as it was.
    pub fn at_once(lease: Lease, sender: &Path, declared: &Declared, recipients: &[Recipient], size: u64) -> Result<Ready, Box<Lease>> {
        let capabilities = &lease.connection.capabilities;
        let offered = capabilities.chunking && capabilities.pipelining && lease.connection.tells_apart;
        let [recipient] = recipients else { return Err(Box::new(lease)) };
        if !offered || size > AT_ONCE || lease.forwards.is_some() {
            return Err(Box::new(lease));
        }
        let mut commands = capabilities.mail(sender, declared, lease.connection.is_logged_in());
        capabilities.rcpt(recipient, capabilities.says_smtputf8(sender, declared), &mut commands);
        let form = Form::at_once(commands, size, lease.connection.mark());
        Ok(Ready { lease, form, each: Vec::new(), opens: Some(recipient.clone()) })
    }

    /// The connection's, for the time the message has.
    pub fn deadline(&mut self) -> &mut Alarm {
        &mut self.lease.connection.deadline
    }

    /// Content and end. On any trouble the connection is closed with the message unfinished.
    ///
    /// # Errors
    /// The end was not sent.
    pub async fn send(
        mut self,
        message: &Message,
        pace: Pace,
        gone: &mut (dyn Future<Output = ()> + Send + Unpin),
    ) -> Result<Sent, NotSent> {
        let connection = &mut self.lease.connection;
        let counted = matches!(self.form, Form::Counted(_));
        match content::send(connection, message, self.form, pace, gone).await {
            Ok(size) => {
                COUNTS.relayed.add(size);
                Ok(Sent::of(self.lease, self.each, self.opens, counted))
            }
            Err(Stopped::ClientGone) => Err(NotSent::Given(Delivery::ClientGone)),
            Err(Stopped::Trouble(trouble)) => {
                Err(NotSent::Given(Delivery::Unavailable(unavailable(&self.lease.connection.next_hop, &trouble))))
            }
            Err(Stopped::Unsaid(trouble)) => {
                let accepted = self.opens.is_none();
                Err(NotSent::Stale(Failed { trouble, target: self.lease.target().clone(), stale: true, accepted }))
            }
        }
    }
}
