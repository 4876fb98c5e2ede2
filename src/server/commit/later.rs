//! Recipients beyond what one transaction takes (LIMITS RCPTMAX, RFC 9422), where nobody is left who could be told to come again: nobody was asked about them. They have transactions
//! of their own behind the first. Once that was taken there is no way back for the whole message, so a copy for them is durable before it, and held if theirs fails.

use super::{Class, Gone, HoldId, Holds, NEXT_HOP, Reason, Told, WayOut, Work};
use crate::relay::{Delivery, Word};
use crate::smtp::client::Answer;
use crate::smtp::envelope::{Envelope, Recipient};

/// A further transaction, and the copy for those in it.
#[derive(Debug)]
pub struct Later {
    envelope: Envelope,
    copy: HoldId,
}

/// What became of a further transaction.
enum Became {
    Taken,
    /// Why it was not, or not by all.
    Failed(String),
    InDoubt(String),
}

impl Work<'_> {
    /// Puts those beyond off, each transaction as large as the first.
    pub(super) async fn put_off(
        &self,
        envelope: &mut Envelope,
        beyond: Vec<(Recipient, Answer)>,
        later: &mut Vec<Later>,
        holds: &impl Holds,
    ) -> Result<(), Told> {
        envelope.recipients.retain(|path| !beyond.iter().any(|(other, _)| other == path));
        for some in beyond.chunks(envelope.recipients.len().max(1)) {
            let envelope = Envelope { recipients: some.iter().map(|(path, _)| path.clone()).collect(), ..envelope.clone() };
            let reason = "the next hop takes fewer recipients at once, and the transaction of these behind the first failed; see the log";
            let reason = Reason { rule: NEXT_HOP.to_owned(), reason: reason.to_owned() };
            let copy = holds.stage(self.new_hold(vec![reason], envelope.clone())).await.map_err(|error| self.not_stored(&error))?;
            later.push(Later { envelope, copy });
        }
        Ok(())
    }

    /// Sends to them, if the first was taken or held; otherwise their copies go its way.
    pub(super) async fn send_later(
        &self,
        told: &Told,
        later: Vec<Later>,
        staged: &mut Vec<HoldId>,
        way: &mut impl WayOut,
        holds: &impl Holds,
    ) -> Vec<HoldId> {
        let (message, mut doubtful) = (&self.ruling.mail.message, Vec::new());
        for Later { envelope, copy } in later {
            if told.reply.class() != Class::Done {
                staged.push(copy);
                continue;
            }
            // Whether the client is still there or not: a part of the message is out.
            let gone: Gone<'_> = &mut std::future::pending();
            match became(way.deliver(&envelope, message, self.until, gone).await) {
                Became::Taken => super::undone(&copy, holds).await,
                Became::Failed(why) => {
                    tracing::warn!("{} recipients of a further transaction are held: {why}", envelope.recipients.len());
                    staged.push(copy);
                }
                Became::InDoubt(why) => {
                    holds.doubt(&copy, Reason { rule: NEXT_HOP.to_owned(), reason: format!("in doubt: {why}") });
                    doubtful.push(copy);
                }
            }
        }
        doubtful
    }
}

fn became(delivery: Delivery) -> Became {
    match delivery {
        Delivery::Accepted { .. } => Became::Taken,
        Delivery::Refused { answer, .. } | Delivery::RefusedBefore { answer, .. } => Became::Failed(answer.in_one_line()),
        Delivery::Recipients { refused, .. } | Delivery::Beyond { refused, .. } => {
            Became::Failed(refused.first().map(|(_, answer)| answer.in_one_line()).unwrap_or_default())
        }
        Delivery::Each { words, .. } => {
            let not_taken = |(path, word): &(Recipient, Word)| match word {
                Word::Said(answer) if answer.class() == Class::Done => None,
                Word::Said(answer) => Some(format!("{path}: {}", answer.in_one_line())),
                Word::Unknown(error) => Some(format!("{path}: {error}")),
            };
            let told: Vec<String> = words.iter().filter_map(not_taken).collect();
            match told.len() {
                0 => Became::Taken,
                failed if failed == words.len() && words.iter().all(|(_, word)| matches!(word, Word::Said(_))) => {
                    Became::Failed(told.join("; "))
                }
                // The copy is for all of them, and some may have it.
                _ => Became::InDoubt(format!("not all of these recipients have it: {}", told.join("; "))),
            }
        }
        Delivery::Unfit(unfit) => Became::Failed(unfit.text().to_owned()),
        Delivery::Unavailable(error) => Became::Failed(error.to_string()),
        Delivery::ClientGone => Became::Failed("it was called off".to_owned()),
        Delivery::InDoubt { error, .. } => Became::InDoubt(error),
    }
}
