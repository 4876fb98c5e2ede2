//! LMTP: the next hop has answered the end for each recipient.

use std::sync::Arc;

use super::{Holds, NEXT_HOP, Reason, Told, Work, in_doubt};
use crate::relay::Word;
use crate::smtp::client::Stage;
use crate::smtp::envelope::{Envelope, Recipient};
use crate::smtp::reply::{self, Class};
use crate::store::quarantine::HoldId;

impl Work<'_> {
    /// LMTP (RFC 2033 4.2). What the client hears is the word for its own recipients; those whom a rule brought in have no veto.
    pub(super) async fn told_of_each(
        &self,
        next_hop: Arc<str>,
        words: Vec<(Recipient, Word)>,
        staged: &mut Vec<HoldId>,
        holds: &impl Holds,
    ) -> Told {
        let delivered = words.iter().any(|(_, word)| matches!(word, Word::Said(answer) if answer.class() == Class::Done));
        let (of_client, by_rules): (Vec<_>, Vec<_>) = words.into_iter().partition(|(path, _)| self.asked.contains(path));
        // One of the client's own that is not asked about any more goes on as one that a rule brought in, and no refusal of another's is its answer.
        let goes_on_as_another =
            self.each && !by_rules.is_empty() && !self.asked.iter().all(|path| self.ruling.mail.envelope.recipients.contains(path));
        let not_taken = |word: &Word| match word {
            Word::Said(answer) if answer.class() == Class::Done => None,
            Word::Said(answer) => Some(format!("this recipient, brought in by a rule, was refused: {}", answer.in_one_line())),
            Word::Unknown(error) => Some(format!("in doubt: {error}")),
        };
        let for_now = |word: &Word| matches!(word, Word::Said(answer) if answer.class() == Class::Transient);
        // Nobody has it, and the client may come again with all of it.
        if of_client.is_empty()
            && !delivered
            && by_rules.iter().all(|(_, word)| matches!(word, Word::Said(_)))
            && let Some((_, Word::Said(answer))) = by_rules.iter().find(|(_, word)| for_now(word))
        {
            let answer = Some(answer.in_one_line());
            return Told { next_hop: Some(next_hop), answer, ..Told::new(reply::trouble(), "unavailable") };
        }
        for (path, reason) in by_rules.into_iter().filter_map(|(path, word)| not_taken(&word).map(|reason| (path, reason))) {
            let envelope = Envelope { recipients: vec![path], ..self.ruling.mail.envelope.clone() };
            let reason = Reason { rule: NEXT_HOP.to_owned(), reason };
            match holds.stage(self.new_hold(vec![reason], envelope)).await {
                Ok(id) => staged.push(id),
                // The others may have it twice then: better than that nobody has it.
                Err(error) => return Told { next_hop: Some(next_hop), ..self.not_stored(&error) },
            }
        }
        let each: Vec<(Recipient, Told)> = of_client
            .into_iter()
            .map(|(path, word)| {
                let told = match word {
                    Word::Said(answer) if answer.class() == Class::Done => self.passed_on("deliver", Stage::Dot, next_hop.clone(), &answer),
                    Word::Said(answer) => self.passed_on("refused", Stage::Dot, next_hop.clone(), &answer),
                    Word::Unknown(error) => in_doubt(next_hop.clone(), error),
                };
                (path, told)
            })
            .collect();
        // One that was taken: a 4xx would bring it again. The others' words are in `each`, for a client that hears them.
        let taken = each.iter().find(|(_, told)| told.reply.class() == Class::Done).or(each.first().filter(|_| !goes_on_as_another));
        let none_of_the_client = || Told::new(self.taken(), if delivered { "deliver" } else { "quarantine" });
        let told = taken.map_or_else(none_of_the_client, |(_, told)| told.clone());
        Told { each: each.into_iter().map(|(path, told)| (path, told.reply)).collect(), ..told }
    }
}
