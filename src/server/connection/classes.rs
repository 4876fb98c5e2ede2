//! LMTP (RFC 2033): a message has one transaction with the next hop for each class of its recipients, one after the other, and an answer for each recipient
//! (DESIGN decision 2).

use std::io;
use std::ops::ControlFlow;
use std::time::Instant;

use super::super::judge::{self, Case};
use super::Connection;
use crate::base::clock;
use crate::chain::class::RecipientRuling;
use crate::message::Message;
use crate::smtp::envelope::Envelope;
use crate::smtp::reply::{self, Class, Reply};

/// A message that is here, with the answer to it if its header was left unread.
pub(super) struct Arrived {
    pub message: Message,
    pub unread: Option<Reply>,
    pub began: Instant,
}

impl Connection {
    /// How many classes the transaction has by now.
    pub(super) fn classes(&self) -> usize {
        classes(&self.taken).len()
    }

    /// Each class in its turn. The answers leave in the order of the recipients, as soon as they are known: the first that has none yet is always one of the
    /// class that comes next, so the client never waits for more than one.
    pub(super) async fn each_class(&mut self, envelope: Envelope, arrived: Arrived) -> io::Result<ControlFlow<()>> {
        let taken = std::mem::take(&mut self.taken);
        let one_recipient = self.session.gave_one_recipient();
        let mut answers: Vec<Option<Reply>> = vec![None; taken.len()];
        let (mut said, mut worst, mut ended) = (0, reply::ok(), clock::monotonic());
        for class in classes(&taken) {
            let recipients: Vec<RecipientRuling> = class.iter().map(|at| taken[*at].clone()).collect();
            let given = recipients.iter().map(|ruling| ruling.given.clone()).collect();
            let envelope = Envelope { recipients: given, ..envelope.clone() };
            let mut transaction = match self.held.take() {
                Some(held) => held.transaction,
                None => self.begun(recipients[0].class.route.as_deref(), &envelope),
            };
            let case = Case {
                door: self.door.clone(),
                origin: self.origin(),
                envelope,
                recipients,
                one_recipient,
                tells_each: true,
                message: arrived.message.clone(),
                unread: arrived.unread.clone(),
                began: arrived.began,
                ended,
            };
            let Connection { stream, input, hurry, shared, .. } = self;
            let heard = judge::judge(shared, &case, &mut transaction, stream, input, hurry).await;
            for at in class {
                answers[at] = Some(heard.by(&taken[at].recipient).clone());
            }
            while let Some(Some(reply)) = answers.get(said) {
                if worst.class() != Class::Permanent {
                    worst = reply.clone();
                }
                reply.write(&mut self.output);
                said += 1;
            }
            self.flush().await?;
            ended = clock::monotonic();
        }
        self.forget();
        // However many recipients heard an error, it is one.
        self.session.message(worst);
        Ok(ControlFlow::Continue(()))
    }
}

/// The places of the recipients of each class; those that a rule dropped have none.
fn classes(taken: &[RecipientRuling]) -> Vec<Vec<usize>> {
    grouped(&taken.iter().map(|ruling| ruling.goes_on().then_some(&ruling.class)).collect::<Vec<_>>())
}

/// The places of what is equal, in the order in which it came; what is nothing is with the first.
fn grouped<T: PartialEq>(all: &[Option<T>]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut without: Vec<usize> = Vec::new();
    for (at, one) in all.iter().enumerate() {
        match groups.iter_mut().find(|group| all[group[0]] == *one) {
            _ if one.is_none() => without.push(at),
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    match groups.first_mut() {
        Some(first) => first.extend(without),
        None if without.is_empty() => {}
        None => groups.push(without),
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn classes_come_in_the_order_of_their_first_recipients_and_the_dropped_go_with_the_first() {
        assert_eq!(grouped(&[None, Some('x'), Some('y'), Some('x'), None]), [vec![1, 3, 0, 4], vec![2]]);
        assert_eq!(grouped::<char>(&[None, None]), [vec![0, 1]]);
        assert!(grouped::<char>(&[]).is_empty());
    }
}
