//! XCLIENT and XFORWARD: a trusted peer says whom it speaks for (SEMANTICS 12).

use super::{Question, Session, State, Step};
use crate::smtp::identity::{Attribute, Identity, XCLIENT, XFORWARD};
use crate::smtp::reply::{self, Reply};

/// What the peer may say of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trusted {
    pub xclient: bool,
    pub xforward: bool,
}

/// Whom it speaks for.
#[derive(Clone, Debug, Default)]
pub(super) struct SpokenFor {
    trusted: Trusted,
    /// Since an XCLIENT.
    instead: Option<Box<Identity>>,
    /// Since an XFORWARD, for one message.
    forwarded: Option<Box<Identity>>,
}

impl SpokenFor {
    /// The message is over, or there is none.
    pub(super) fn forget_message(&mut self) {
        self.forwarded = None;
    }

    /// The peer speaks for itself.
    pub(super) fn forget_client(&mut self) {
        self.instead = None;
    }

    /// What EHLO announces.
    pub(super) fn keywords(&self) -> impl Iterator<Item = String> {
        let line = |may: bool, verb: &str, words: &[&str]| may.then(|| format!("{verb} {}", words.join(" ")));
        line(self.trusted.xclient, "XCLIENT", XCLIENT).into_iter().chain(line(self.trusted.xforward, "XFORWARD", XFORWARD))
    }
}

impl Session {
    /// What the peer may say of others from now on.
    pub fn trust(&mut self, trusted: Trusted) {
        self.spoken_for.trusted = trusted;
        if !trusted.xforward {
            self.spoken_for.forget_message();
        }
    }

    /// Who is in the peer's place, since an XCLIENT.
    #[must_use]
    pub fn stands_for(&self) -> Option<&Identity> {
        self.spoken_for.instead.as_deref()
    }

    /// Whose message it is, as XFORWARD said.
    #[must_use]
    pub fn forwarded(&self) -> Option<&Identity> {
        self.spoken_for.forwarded.as_deref()
    }

    /// The server's answer to XCLIENT: another client, which hears the first line of all.
    pub fn start_over(&mut self, identity: Identity) -> Reply {
        self.spoken_for.instead = Some(Box::new(identity));
        self.greeting = None;
        self.forget_login();
        self.reset();
        self.open()
    }

    pub(super) fn xclient(&mut self, told: Vec<Attribute>) -> Step {
        match self.out_of_place(self.spoken_for.trusted.xclient) {
            Some(refused) => Step::Reply(refused),
            None => Step::Ask(Question::Client(told)),
        }
    }

    pub(super) fn xforward(&mut self, told: Vec<Attribute>) -> Step {
        let refused = self.out_of_place(self.spoken_for.trusted.xforward);
        Step::Reply(refused.unwrap_or_else(|| {
            let before = self.spoken_for.forwarded.take().map_or_else(Identity::default, |identity| *identity);
            self.spoken_for.forwarded = Some(Box::new(before.told(told)));
            reply::ok()
        }))
    }

    fn out_of_place(&self, trusted: bool) -> Option<Reply> {
        match self.state {
            State::Connected | State::Greeted => (!trusted).then(reply::not_trusted),
            _ => Some(reply::bad_sequence("A transaction is open")),
        }
    }
}
