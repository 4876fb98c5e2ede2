//! A message that is out with its end: what the next hop says now decides.
//!
//! | answers                                | SMTP                | LMTP, several recipients |
//! |----------------------------------------|---------------------|--------------------------|
//! | 2xx                                    | accepted            | that recipient has it    |
//! | 4xx, 5xx                               | refused             | that recipient has not   |
//! | 3xx, none, no reply                    | in doubt            | in doubt, with all after it |
//! | MAIL or RCPT refused in the same write | refused as by itself |                         |
//! | 2xx, which may be another's ([`mark`](super::mark)) | in doubt | in doubt               |

use std::sync::Arc;
use std::time::Duration;

use super::connection::Trouble;
use super::mark::tells_of_addresses;
use super::route::{Failed, Lease, is_farewell, unavailable};
use super::{Delivery, Word};
use crate::smtp::client::{Answer, Meaning, Stage};
use crate::smtp::envelope::Recipient;
use crate::smtp::reply::Class;

/// The setting that bounds the answer to the end.
const AFTER_DOT: &str = "timeouts.after_dot";

/// The end is out.
#[derive(Debug)]
pub struct Sent {
    lease: Lease,
    /// In LMTP, who is answered, in order (RFC 2033 4.2).
    each: Vec<Recipient>,
    /// MAIL and RCPT went out with it, for this one, and EHLO behind it.
    opens: Option<Recipient>,
    /// By BDAT, by itself.
    counted: bool,
}

impl Sent {
    /// Counts what is to be answered.
    pub(super) fn of(mut lease: Lease, each: Vec<Recipient>, opens: Option<Recipient>, counted: bool) -> Sent {
        if opens.is_some() {
            lease.connection.count_mail();
            lease.connection.count_reset();
        }
        lease.connection.count_end(each.len().max(1) + if opens.is_some() { 3 } else { 0 });
        Sent { lease, each, opens, counted }
    }

    /// Its answer, however long it takes within `timeouts.after_dot`.
    ///
    /// # Errors
    /// It said goodbye to MAIL or RCPT and took nothing.
    pub async fn outcome(mut self, after_dot: Duration) -> Result<Delivery, Failed> {
        if let Some(recipient) = self.opens.clone() {
            return self.opened(recipient, after_dot).await;
        }
        if self.each.len() > 1 {
            return Ok(Box::pin(self.of_each(after_dot)).await);
        }
        let answer = match self.answer(Stage::Dot, after_dot).await {
            Ok(answer) => answer,
            Err(trouble) => return Ok(in_doubt(self.lease.next_hop(), &trouble)),
        };
        if self.counted
            && answer.class() == Class::Done
            && let Err(trouble) = self.lease.connection.told_apart(&answer).await
        {
            return Ok(in_doubt(self.lease.next_hop(), &trouble));
        }
        Ok(self.decided(answer))
    }

    async fn answer(&mut self, stage: Stage, after_dot: Duration) -> Result<Answer, Trouble> {
        self.lease.connection.answer_within(stage, after_dot, AFTER_DOT).await
    }

    /// By the answer to the end.
    fn decided(mut self, answer: Answer) -> Delivery {
        let next_hop = self.lease.next_hop();
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
                    tokio::spawn(self.leave());
                }
                Delivery::Refused { next_hop, answer }
            }
        }
    }

    /// Each recipient's answer (RFC 2033 4.2).
    async fn of_each(mut self, after_dot: Duration) -> Delivery {
        let next_hop = self.lease.next_hop();
        // Replies are counted: one that speaks of us leaves the others theirs, but the connection is of no use any more.
        let (mut words, mut whole, mut fit) = (Vec::with_capacity(self.each.len()), true, true);
        for recipient in std::mem::take(&mut self.each) {
            let answer = if whole { self.answer(Stage::Dot, after_dot).await } else { Err(Trouble::Closed) };
            let word = match answer {
                Ok(answer) if answer.class() != Class::Continue => {
                    whole &= answer.code != 421;
                    fit &= answer.meaning(Stage::Dot) != Meaning::Trouble;
                    Word::Said(answer)
                }
                Ok(answer) => {
                    whole = false;
                    Word::Unknown(in_doubt_text(&next_hop, &Trouble::Said(Stage::Dot, answer)))
                }
                Err(trouble) => {
                    whole = false;
                    Word::Unknown(in_doubt_text(&next_hop, &trouble))
                }
            };
            words.push((recipient, word));
        }
        let done = |word: &Word| matches!(word, Word::Said(answer) if answer.class() == Class::Done);
        // After the end of a connection there is nobody to ask.
        if whole
            && self.counted
            && let Err(trouble) = self.of_these(&words).await
        {
            whole = false;
            let text = in_doubt_text(&next_hop, &trouble);
            words.iter_mut().filter(|(_, word)| done(word)).for_each(|(_, word)| *word = Word::Unknown(text.clone()));
        }
        if whole && fit {
            self.lease.connection.count_message();
            self.lease.give_back();
        }
        Delivery::Each { next_hop, words }
    }

    /// Whether the good ones of them can be no other's.
    async fn of_these(&mut self, words: &[(Recipient, Word)]) -> Result<(), Trouble> {
        let done = words.iter().filter_map(|(_, word)| match word {
            Word::Said(answer) if answer.class() == Class::Done => Some(answer),
            Word::Said(_) | Word::Unknown(_) => None,
        });
        match done.max_by_key(|answer| tells_of_addresses(answer)) {
            Some(answer) => self.lease.connection.told_apart(answer).await,
            None => Ok(()),
        }
    }

    /// The answers to MAIL and RCPT, then that to the end.
    async fn opened(mut self, recipient: Recipient, after_dot: Duration) -> Result<Delivery, Failed> {
        let next_hop = self.lease.next_hop();
        let mail = match self.answer(Stage::Mail, after_dot).await {
            Ok(mail) => mail,
            Err(trouble) => return Ok(in_doubt(next_hop, &trouble)),
        };
        if self.ends_here(&mail) {
            return Err(self.failed(Stage::Mail, mail));
        }
        let rcpt = match self.answer(Stage::Recipient, after_dot).await {
            Ok(rcpt) => rcpt,
            // A server may close behind its refusal.
            Err(_) if mail.meaning(Stage::Mail) != Meaning::Accepted => return Ok(self.refused(mail, None)),
            Err(trouble) => return Ok(in_doubt(next_hop, &trouble)),
        };
        if mail.meaning(Stage::Mail) == Meaning::Accepted && self.ends_here(&rcpt) {
            return Err(self.failed(Stage::Recipient, rcpt));
        }
        let refused = mail.meaning(Stage::Mail) != Meaning::Accepted || rcpt.meaning(Stage::Recipient) != Meaning::Accepted;
        let end = match self.answer(Stage::Dot, after_dot).await {
            Ok(end) => end,
            Err(_) if refused => return Ok(self.refused(mail, Some((recipient, rcpt)))),
            Err(trouble) => return Ok(in_doubt(next_hop, &trouble)),
        };
        if end.class() == Class::Done && refused {
            let text = format!(
                "answered MAIL, RCPT and the message with `{}`, `{}`, `{}`, which do not go together",
                mail.in_one_line(),
                rcpt.in_one_line(),
                end.in_one_line()
            );
            return Ok(in_doubt(next_hop, &Trouble::Other(text)));
        }
        if refused {
            let delivery = self.refused(mail, Some((recipient, rcpt)));
            self.lease.connection.count_refused();
            if !matches!(delivery, Delivery::Unavailable(_)) {
                tokio::spawn(self.leave());
            }
            return Ok(delivery);
        }
        if end.class() == Class::Done
            && let Err(trouble) = self.lease.connection.marked().await
        {
            return Ok(in_doubt(next_hop, &trouble));
        }
        Ok(self.decided(end))
    }

    /// Back to the pool without a message, behind an RSET or EHLO; closed when that fails.
    async fn leave(mut self) {
        if self.opens.is_none() {
            return self.lease.abandon().await;
        }
        match self.lease.connection.marked().await {
            Ok(()) => self.lease.give_back(),
            Err(trouble) => tracing::debug!("next hop {} {trouble}", self.lease.next_hop()),
        }
    }

    /// What a refused MAIL or RCPT comes to; nothing was taken.
    fn refused(&self, mail: Answer, rcpt: Option<(Recipient, Answer)>) -> Delivery {
        let next_hop = self.lease.next_hop();
        let (stage, answer) = match &rcpt {
            Some((_, answer)) if mail.meaning(Stage::Mail) == Meaning::Accepted => (Stage::Recipient, answer),
            _ => (Stage::Mail, &mail),
        };
        if answer.meaning(stage) == Meaning::Trouble {
            return Delivery::Unavailable(unavailable(&self.lease.connection.next_hop, &Trouble::Said(stage, answer.clone())));
        }
        match rcpt {
            Some(refused) if stage == Stage::Recipient => Delivery::Recipients { next_hop, refused: vec![refused] },
            _ => Delivery::RefusedBefore { next_hop, answer: mail },
        }
    }

    /// It closes behind this, and has taken nothing.
    fn ends_here(&self, answer: &Answer) -> bool {
        answer.code == 421 || self.lease.connection.reused && is_farewell(answer)
    }

    fn failed(&self, stage: Stage, answer: Answer) -> Failed {
        Failed {
            trouble: Trouble::Said(stage, answer),
            target: self.lease.target().clone(),
            stale: self.lease.connection.reused,
            accepted: false,
        }
    }
}

fn in_doubt(next_hop: Arc<str>, trouble: &Trouble) -> Delivery {
    let error = in_doubt_text(&next_hop, trouble);
    Delivery::InDoubt { next_hop, error }
}

fn in_doubt_text(next_hop: &str, trouble: &Trouble) -> String {
    let error = format!("{trouble}; whether it has the message is not known, its log will tell");
    tracing::error!("next hop {next_hop} was sent the end of the data and {error}");
    error
}
