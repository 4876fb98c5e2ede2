//! MAIL, RCPT, DATA, and the server's answers.

use super::{Question, Session, State, Step};
use crate::smtp::envelope::{Body, Envelope, Recipient};
use crate::smtp::extension::Offer;
use crate::smtp::reply::{self, Class, Reply};

impl Session {
    pub(super) fn mail(&mut self, envelope: Envelope, offer: &Offer) -> Step {
        let reply = match &self.state {
            State::Connected => self.no_greeting(),
            State::Mail(_) | State::Rcpt(_) | State::Chunks(_) | State::Data => reply::bad_sequence("A transaction is open"),
            State::Greeted if self.needs_login() => reply::login_required(),
            State::Greeted => match envelope.declared.size {
                Some(size) if size > offer.size => reply::too_large(),
                Some(size) if size > offer.room => reply::no_room(),
                _ => {
                    self.state = State::Mail(envelope);
                    reply::sender_ok()
                }
            },
        };
        Step::Reply(reply)
    }

    /// The server takes back what a MAIL was just answered with, and answers this instead: the transaction is over.
    pub fn refuse_sender(&mut self, reply: Reply) -> Reply {
        self.reset();
        self.tell(reply)
    }

    pub(super) fn rcpt(&mut self, path: Recipient) -> Step {
        let envelope = match &self.state {
            State::Mail(envelope) | State::Rcpt(envelope) => envelope,
            State::Chunks(_) => return Step::Reply(reply::bad_sequence("The message has begun")),
            State::Connected | State::Greeted | State::Data => return Step::Reply(reply::bad_sequence("MAIL first")),
        };
        // Its ORCPT too: then it is of type utf-8 (RFC 6533 3).
        let ascii = path.is_ascii() && path.wishes().and_then(|wishes| wishes.orcpt.as_ref()).is_none_or(|original| original.is_ascii());
        if !ascii && !envelope.declared.smtputf8 {
            return Step::Reply(reply::needs_smtputf8());
        }
        if envelope.recipients.len() + self.asked >= self.terms.recipients {
            return Step::Reply(reply::too_many_recipients());
        }
        self.asked += 1;
        self.given += 1;
        Step::Ask(Question::Recipient(path))
    }

    pub(super) fn data(&mut self) -> Step {
        match std::mem::replace(&mut self.state, State::Data) {
            // RFC 3030 3: behind DATA a line end has a meaning.
            State::Rcpt(envelope) if envelope.declared.body == Some(Body::BinaryMime) => {
                self.state = State::Rcpt(envelope);
                Step::Reply(reply::bad_sequence("BINARYMIME needs BDAT"))
            }
            State::Rcpt(envelope) => Step::Ask(Question::Message(envelope)),
            State::Mail(envelope) => {
                self.state = State::Mail(envelope);
                Step::Reply(self.nobody())
            }
            State::Chunks(envelope) => {
                self.state = State::Chunks(envelope);
                Step::Reply(reply::bad_sequence("The message comes by BDAT"))
            }
            other => {
                self.state = other;
                Step::Reply(reply::bad_sequence("MAIL first"))
            }
        }
    }

    /// DATA or BDAT without an accepted recipient.
    pub(super) fn nobody(&self) -> Reply {
        // RFC 2033 4.2.
        if self.lmtp { reply::bad_sequence("No valid recipients") } else { reply::no_recipients() }
    }

    /// The server's answer about a recipient that was asked about.
    pub fn recipient(&mut self, path: Recipient, reply: Reply) -> Reply {
        self.asked = self.asked.saturating_sub(1);
        if reply.class() == Class::Done {
            self.state = match std::mem::replace(&mut self.state, State::Greeted) {
                State::Mail(mut envelope) | State::Rcpt(mut envelope) => {
                    envelope.recipients.push(path);
                    State::Rcpt(envelope)
                }
                other => other,
            };
        }
        self.tell(reply)
    }

    /// The server's answer to the message, good or bad; the transaction is over.
    pub fn message(&mut self, reply: Reply) -> Reply {
        self.reset();
        self.tell(reply)
    }
}
