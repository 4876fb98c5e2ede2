//! One mail on one connection, as a machine; a state owns what may be said in it.
//!
//! | state   | what was said         | next                                                              |
//! |---------|-----------------------|-------------------------------------------------------------------|
//! | Offered | MAIL, RCPTs           | more RCPTs, `data` → Ready, or RSET and back to the pool          |
//! | Ready   | DATA, answered 354    | `send` → Sent; given up: the connection is closed, never a dot    |
//! | Sent    | everything and the dot | its answer: accepted, refused, or in doubt                       |

use std::time::Duration;

use super::connection::Trouble;
use super::content::{self, Pace, Stopped};
use super::route::{Failed, Lease, is_farewell, unavailable};
use super::{Delivery, RelayError};
use crate::base::metrics::COUNTS;
use crate::message::Message;
use crate::smtp::client::{self, Answer, Meaning, Stage};
use crate::smtp::envelope::{Declared, Recipient};
use crate::smtp::path::Path;
use crate::smtp::reply::Class;

/// Commands without reply at most (DESIGN decision 1).
const UNANSWERED: usize = 100;

/// A transaction that is open at the next hop.
#[derive(Debug)]
pub struct Offered {
    lease: Lease,
    pub sender: Path,
    /// Those it accepted.
    pub recipients: Vec<Recipient>,
    /// It has accepted one, in whatever became of the others.
    accepted_one: bool,
}

/// What each recipient was answered; an error is trouble with that one only.
pub type Answers = Vec<Result<Answer, RelayError>>;

/// How opening a transaction went.
#[derive(Debug)]
pub enum Opened {
    Offered(Box<Offered>, Answers),
    /// MAIL was refused; the connection is on its way back to the pool.
    MailRefused {
        next_hop: String,
        answer: Answer,
    },
}

impl Offered {
    /// MAIL and RCPTs, in one write where that is offered.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn open(lease: Lease, sender: &Path, declared: &Declared, recipients: &[Recipient]) -> Result<Opened, Failed> {
        let mut offered = Offered { lease, sender: sender.clone(), recipients: Vec::new(), accepted_one: false };
        let stale = offered.lease.connection.reused;
        let mail = offered.lease.connection.capabilities.mail(sender, declared);
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
        Ok(Opened::Offered(Box::new(offered), answers))
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
        loop {
            let (batch, rest) = left.split_at(left.len().min(at_once - usize::from(asks_mail)));
            for path in batch {
                client::rcpt(path, &mut text);
            }
            let stages = std::iter::repeat_n(Stage::Mail, usize::from(asks_mail)).chain(batch.iter().map(|_| Stage::Recipient));
            connection.say(&text, batch.len() + usize::from(asks_mail)).await?;
            for stage in stages {
                let answer = connection.answer(stage).await?;
                // After 421 it closes; a 354 here means that its replies do not belong to our commands.
                if answer.code == 421 || answer.class() == Class::Continue {
                    return Err(Trouble::Said(stage, answer));
                }
                self.accepted_one |= stage == Stage::Recipient && answer.meaning(Stage::Recipient) == Meaning::Accepted;
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
        let mut noted = Vec::with_capacity(answers.len());
        for (path, answer) in recipients.iter().zip(answers) {
            noted.push(match answer.meaning(Stage::Recipient) {
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
        }
        noted
    }

    fn failed(&self, trouble: Trouble, stale: bool) -> Failed {
        Failed { trouble, target: self.lease.target().clone(), stale, accepted: self.accepted_one }
    }

    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
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

    /// DATA.
    ///
    /// # Errors
    /// It was refused ([`Delivery::RefusedBefore`], and the connection is on its way back to the pool), or the connection is gone.
    pub async fn data(mut self) -> Result<Result<Ready, Delivery>, Failed> {
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
            Meaning::Accepted => Ok(Ok(Ready { lease: self.lease })),
            Meaning::Verdict => {
                let next_hop = self.lease.next_hop();
                tokio::spawn(self.lease.abandon());
                Ok(Err(Delivery::RefusedBefore { next_hop, answer }))
            }
            Meaning::Trouble => Err(self.failed(Trouble::Said(Stage::Data, answer), false)),
        }
    }
}

/// The next hop waits for the content.
#[derive(Debug)]
pub struct Ready {
    lease: Lease,
}

impl Ready {
    /// Content and dot. On any trouble the connection is closed with the message unfinished.
    ///
    /// # Errors
    /// What became of it: the dot was not sent.
    pub async fn send(
        mut self,
        message: &Message,
        pace: Pace,
        gone: &mut (dyn Future<Output = ()> + Send + Unpin),
    ) -> Result<Sent, Delivery> {
        match content::send(&mut self.lease.connection, message, pace, gone).await {
            Ok(()) => {
                COUNTS.relayed.add(message.size());
                Ok(Sent { lease: self.lease })
            }
            Err(Stopped::ClientGone) => Err(Delivery::ClientGone),
            Err(Stopped::Trouble(trouble)) => Err(Delivery::Unavailable(unavailable(&self.lease.connection.next_hop, &trouble))),
        }
    }
}

/// The dot is out: what the next hop says now decides.
#[derive(Debug)]
pub struct Sent {
    lease: Lease,
}

impl Sent {
    /// Its answer, however long it takes within `timeouts.after_dot`.
    pub async fn outcome(mut self, after_dot: Duration) -> Delivery {
        let next_hop = self.lease.next_hop();
        let answer = match self.lease.connection.answer_within(Stage::Dot, after_dot, "timeouts.after_dot").await {
            Ok(answer) => answer,
            Err(trouble) => return in_doubt(next_hop, &trouble),
        };
        match answer.class() {
            Class::Done => {
                self.lease.connection.count_message();
                self.lease.give_back();
                Delivery::Accepted { next_hop, answer }
            }
            // Another 354: it may still wait for content, or have mixed up its replies.
            Class::Continue => in_doubt(next_hop, &Trouble::Said(Stage::Dot, answer)),
            Class::Transient | Class::Permanent => {
                if answer.meaning(Stage::Dot) == Meaning::Trouble {
                    tracing::error!("next hop {next_hop} {}", Trouble::Said(Stage::Dot, answer.clone()));
                } else {
                    tokio::spawn(self.lease.abandon());
                }
                Delivery::Refused { next_hop, answer }
            }
        }
    }
}

fn in_doubt(next_hop: String, trouble: &Trouble) -> Delivery {
    let error = format!("{trouble}; whether it has the message is not known, its log will tell");
    tracing::error!("next hop {next_hop} was sent the end of the data and {error}");
    Delivery::InDoubt { next_hop, error }
}
