//! One login of a client, whatever the mechanism.
//!
//! | state         | it comes         | we say          | next          |
//! |---------------|------------------|-----------------|---------------|
//! | Plain         | the message      | ask: password   | Asked         |
//! | `LoginName`   | a name           | `Password:`     | `LoginSecret` |
//! | `LoginSecret` | a password       | ask: password   | Asked         |
//! | `ScramFirst`  | client-first     | ask: keys       | `ScramKeys`   |
//! | `ScramKeys`   | (the keys)       | server-first    | `ScramLast`   |
//! | `ScramLast`   | client-final     | server-final    | Proved        |
//! | Proved        | an empty message | the user        | over          |
//! | Asked         | (who it is)      | the user        | over          |

use std::sync::Arc;

use super::check::{Claim, Found, Proof};
use super::scram::{Final, First};
use super::{Bindings, Mechanism, login, plain};
use crate::base::secret::Secret;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Say this and wait for the client's answer.
    Challenge(Vec<u8>),
    /// Have it checked; [`Exchange::found`] takes what came of it.
    Ask(Claim),
    /// The client is this user.
    User(Arc<str>),
    /// It has not shown to be anybody; why is nobody's business.
    Failed,
}

/// See the module.
#[derive(Debug)]
pub struct Exchange {
    state: State,
    /// Whether the client was told of channel binding, and what it can be bound to.
    offered_plus: bool,
    bindings: Arc<Bindings>,
}

#[derive(Debug)]
enum State {
    Plain,
    LoginName,
    LoginSecret(Vec<u8>),
    ScramFirst { plus: bool },
    ScramKeys(First),
    ScramLast(Final, Option<Arc<str>>),
    Proved(Arc<str>),
    Asked,
    Over,
}

impl Exchange {
    #[must_use]
    pub fn new(mechanism: Mechanism, offered_plus: bool, bindings: Arc<Bindings>) -> Exchange {
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginName,
            Mechanism::ScramSha256 => State::ScramFirst { plus: false },
            Mechanism::ScramSha256Plus => State::ScramFirst { plus: true },
            // There are no keys of it, so it is not offered.
            Mechanism::ScramSha1 => State::Over,
        };
        Exchange { state, offered_plus, bindings }
    }

    /// Begins, with the client's first message if it came with the command.
    #[must_use]
    pub fn start(&mut self, initial: Option<Secret>) -> Turn {
        match (initial, &self.state) {
            (Some(message), _) => self.respond(&message),
            (None, State::LoginName) => Turn::Challenge(login::ASK_NAME.to_vec()),
            (None, _) => Turn::Challenge(Vec::new()),
        }
    }

    /// Takes a message of the client.
    #[must_use]
    pub fn respond(&mut self, message: &Secret) -> Turn {
        let message = message.bytes();
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain => self.ask(plain::read(message)),
            State::LoginName => {
                self.state = State::LoginSecret(message.to_vec());
                Turn::Challenge(login::ASK_PASSWORD.to_vec())
            }
            State::LoginSecret(user) => self.ask(login::read(&user, message)),
            State::ScramFirst { plus } => {
                let Some(first) = First::read(message, plus, self.offered_plus, &self.bindings) else { return Turn::Failed };
                let claim = Claim { user: first.user.clone(), identity: first.identity.clone(), proof: Proof::Keys };
                self.state = State::ScramKeys(first);
                Turn::Ask(claim)
            }
            State::ScramLast(last, user) => {
                let (Some(said), Some(user)) = (last.check(message), user) else { return Turn::Failed };
                self.state = State::Proved(user);
                Turn::Challenge(said.into_bytes())
            }
            // RFC 4954 4: the client has nothing to say to the server's last word.
            State::Proved(user) if message.is_empty() => Turn::User(user),
            State::Proved(_) | State::ScramKeys(_) | State::Asked | State::Over => Turn::Failed,
        }
    }

    fn ask(&mut self, claim: Option<Claim>) -> Turn {
        let Some(claim) = claim else { return Turn::Failed };
        self.state = State::Asked;
        Turn::Ask(claim)
    }

    /// Takes the answer to what was asked.
    #[must_use]
    pub fn found(&mut self, found: Found) -> Turn {
        match (std::mem::replace(&mut self.state, State::Over), found) {
            (State::Asked, Found::User(user)) => Turn::User(user),
            (State::ScramKeys(first), Found::Keys(keys, user)) => {
                let (said, last) = first.answer(keys);
                self.state = State::ScramLast(last, user);
                Turn::Challenge(said.into_bytes())
            }
            _ => Turn::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::testing::Known;
    use super::super::scram::{Client, Hash};
    use super::*;

    fn exchange(mechanism: Mechanism) -> Exchange {
        Exchange::new(mechanism, true, Arc::new(Bindings { exporter: Some([5; 32]), end_point: None }))
    }

    /// The turn after everything that was asked has been answered.
    fn answered(exchange: &mut Exchange, turn: Turn) -> Turn {
        match turn {
            Turn::Ask(claim) => exchange.found(claim.check(&Known::new()).unwrap()),
            other => other,
        }
    }

    fn say(exchange: &mut Exchange, message: &str) -> Turn {
        let turn = exchange.respond(&Secret::new(message));
        answered(exchange, turn)
    }

    fn challenge(text: &str) -> Turn {
        Turn::Challenge(text.as_bytes().to_vec())
    }

    #[test]
    fn plain_is_one_message_with_the_command_or_behind_it() {
        let mut one = exchange(Mechanism::Plain);
        let turn = one.start(Some(Secret::new("\0user\0pencil")));
        assert_eq!(answered(&mut one, turn), Turn::User("user".into()));
        let mut two = exchange(Mechanism::Plain);
        assert_eq!(two.start(None), challenge(""));
        assert_eq!(say(&mut two, "\0user\0pen"), Turn::Failed);
        assert_eq!(say(&mut two, "\0user\0pencil"), Turn::Failed);
    }

    #[test]
    fn login_is_a_name_and_a_password() {
        let mut exchange = exchange(Mechanism::Login);
        assert_eq!(exchange.start(None), challenge("Username:"));
        assert_eq!(say(&mut exchange, "user"), challenge("Password:"));
        assert_eq!(say(&mut exchange, "pencil"), Turn::User("user".into()));
        let mut early = super::tests::exchange(Mechanism::Login);
        assert_eq!(early.start(Some(Secret::new("user"))), challenge("Password:"));
    }

    fn scram(user: &str, password: &str, plus: bool) -> Turn {
        let mut exchange = exchange(if plus { Mechanism::ScramSha256Plus } else { Mechanism::ScramSha256 });
        let bindings = Arc::clone(&exchange.bindings);
        let binding = plus.then_some(("tls-exporter", &*bindings));
        let mut client = Client::new(Hash::Sha256, user, &Secret::new(password), binding, false);
        assert_eq!(exchange.start(None), challenge(""));
        let Turn::Challenge(first) = say(&mut exchange, &client.first()) else { panic!() };
        let last = client.answer(&first).unwrap();
        match say(&mut exchange, &last) {
            Turn::Challenge(signature) => {
                assert_eq!(client.answer(&signature).as_deref(), Ok(""));
                say(&mut exchange, "")
            }
            other => other,
        }
    }

    #[test]
    fn scram_ends_after_the_servers_signature() {
        for plus in [false, true] {
            assert_eq!(scram("user", "pencil", plus), Turn::User("user".into()));
            assert_eq!(scram("user", "pen", plus), Turn::Failed);
        }
    }

    #[test]
    fn a_user_that_does_not_exist_is_told_no_sooner_than_a_wrong_password() {
        assert_eq!(scram("nobody", "pencil", false), Turn::Failed);
    }

    #[test]
    fn who_may_not_act_as_another_hears_it_at_the_end() {
        let mut exchange = exchange(Mechanism::ScramSha256);
        let turn = exchange.start(Some(Secret::new("n,a=other,n=user,r=abc")));
        assert!(matches!(answered(&mut exchange, turn), Turn::Challenge(_)));
        let mut plain = super::tests::exchange(Mechanism::Plain);
        assert_eq!(say(&mut plain, "other\0user\0pencil"), Turn::Failed);
        let mut admin = super::tests::exchange(Mechanism::Plain);
        assert_eq!(say(&mut admin, "other\0admin\0pencil"), Turn::User("other".into()));
    }

    #[test]
    fn what_is_not_offered_fails_at_once() {
        assert_eq!(exchange(Mechanism::ScramSha1).start(Some(Secret::new("n,,n=user,r=abc"))), Turn::Failed);
    }
}
