//! BDAT: a message in counted pieces, each with an answer of its own (RFC 3030 2).

use super::{Question, Session, State, Step};
use crate::smtp::reply::{self, Class, Reply};

impl Session {
    /// A piece, the first or a later one. The one that ends the message takes the envelope with it.
    pub(super) fn chunk(&mut self, size: u64, last: bool) -> Step {
        match std::mem::replace(&mut self.state, State::Data) {
            State::Rcpt(envelope) | State::Chunks(envelope) if last => Step::Ask(Question::Chunk { size, whole: Some(envelope) }),
            State::Rcpt(envelope) | State::Chunks(envelope) => {
                self.state = State::Chunks(envelope);
                Step::Ask(Question::Chunk { size, whole: None })
            }
            State::Mail(envelope) => {
                self.state = State::Mail(envelope);
                Step::Reply(self.nobody())
            }
            other => {
                self.state = other;
                Step::Reply(reply::bad_sequence("MAIL first"))
            }
        }
    }

    /// The server's answer to a piece that did not end the message. A refused one ends the transaction: what follows it is 503, and swallowed.
    pub fn chunk_taken(&mut self, reply: Reply) -> Reply {
        if reply.class() != Class::Done {
            self.reset();
        }
        self.tell(reply)
    }
}
