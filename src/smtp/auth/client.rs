//! Our login at a next hop: which mechanism, what is said, and what its answers mean.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::scram::{self, ClientError, Hash};
use super::{Bindings, Mechanism, plain};
use crate::base::secret::Secret;

/// Who logs in, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub user: String,
    pub password: Secret,
    /// In the order they are tried; none: the best that is offered.
    pub mechanisms: Option<Vec<Mechanism>>,
    /// Whether the password may cross a connection that anybody can read.
    pub without_tls: bool,
}

/// What the connection is.
#[derive(Clone, Copy, Debug)]
pub struct Wire<'w> {
    /// Nobody else can read it: TLS, or a Unix socket.
    pub private: bool,
    pub bindings: &'w Bindings,
}

/// Why there is no login. What is said names who has to do what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Nothing it offers is among what we may use.
    #[error("unsupported mechanism: it offers {offered}, and {wanted} may be used; change `auth.mechanisms` or the server")]
    Unsupported { offered: String, wanted: String },
    #[error("encryption required: {0}")]
    EncryptionRequired(String),
    #[error("weak mechanism: {0}")]
    Weak(String),
    #[error("rejected: it does not accept user and password (`{0}`); see `auth.user`, `auth.password` and its log")]
    Rejected(String),
    /// Trouble of its own, or what is no answer to a login.
    #[error("it failed: {0}")]
    Failed(String),
}

/// What is said, in base64.
pub type Message = Zeroizing<Vec<u8>>;

/// One login.
#[derive(Debug)]
pub struct Login {
    account: Arc<Account>,
    mechanism: Mechanism,
    state: State,
}

#[derive(Debug)]
enum State {
    Plain,
    LoginName,
    LoginSecret,
    Scram(Box<scram::Client>),
    /// Everything is said.
    Said,
}

impl Login {
    /// Chooses among what a server offers (the words behind its `AUTH`).
    ///
    /// # Errors
    /// Why none of them can be used.
    pub fn choose(account: &Arc<Account>, offered: &str, wire: Wire<'_>) -> Result<Login, LoginError> {
        let known: Vec<Mechanism> = offered.split_ascii_whitespace().filter_map(Mechanism::named).collect();
        let order = account.mechanisms.as_deref().unwrap_or(&Mechanism::BEST_FIRST);
        let bound = wire.bindings.best();
        let usable: Vec<Mechanism> = order.iter().copied().filter(|one| known.contains(one) && (!one.binds() || bound.is_some())).collect();
        let safe = |one: &Mechanism| !one.shows_password() || wire.private || account.without_tls;
        match usable.iter().copied().find(safe) {
            Some(mechanism) => Ok(Login { account: Arc::clone(account), mechanism, state: state(mechanism, account, &known, wire) }),
            None if usable.is_empty() => Err(LoginError::Unsupported {
                offered: if offered.is_empty() { "none".to_owned() } else { printable(offered) },
                wanted: order.iter().map(|one| one.name()).collect::<Vec<_>>().join(", "),
            }),
            None => Err(LoginError::EncryptionRequired(
                "it offers only mechanisms that send the password itself, and this connection has no TLS; use `relay.tls`, or say `auth.without_tls: true`"
                    .to_owned(),
            )),
        }
    }

    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// What is said with the command, or to the first challenge if there is no room there. None: the server begins.
    #[must_use]
    pub fn begin(&mut self) -> Option<Message> {
        match &self.state {
            State::Plain => {
                let message = plain::write(&self.account.user, &self.account.password);
                self.state = State::Said;
                Some(message)
            }
            State::Scram(client) => Some(Zeroizing::new(client.first().into_bytes())),
            State::LoginName | State::LoginSecret | State::Said => None,
        }
    }

    /// What is said to a challenge (334). Takes a while for SCRAM.
    ///
    /// # Errors
    /// Why we do not go on: the login is to be cancelled with `*`.
    pub fn answer(&mut self, challenge: &[u8]) -> Result<Message, LoginError> {
        let message = match &mut self.state {
            State::LoginName => {
                self.state = State::LoginSecret;
                Zeroizing::new(self.account.user.clone().into_bytes())
            }
            State::LoginSecret => {
                self.state = State::Said;
                Zeroizing::new(self.account.password.bytes().to_vec())
            }
            State::Scram(client) => Zeroizing::new(client.answer(challenge).map_err(|error| refused(&error))?.into_bytes()),
            State::Plain | State::Said => return Err(LoginError::Failed("it asks for more than there is to say".to_owned())),
        };
        Ok(message)
    }

    /// What a final reply means: `code`, and the whole of it for the log.
    ///
    /// # Errors
    /// We are not logged in.
    pub fn end(&self, code: u16, reply: &dyn fmt::Display) -> Result<(), LoginError> {
        let reply = reply.to_string();
        match code {
            235 => match &self.state {
                // Who says 235 without a signature does not know the password (RFC 5802 9).
                State::Scram(client) if !client.is_verified() => Err(refused(&ClientError::Impostor)),
                State::Scram(_) | State::Said => Ok(()),
                State::Plain | State::LoginName | State::LoginSecret => {
                    Err(LoginError::Failed(format!("it ended too early with `{reply}`")))
                }
            },
            504 => Err(LoginError::Unsupported {
                offered: format!("what it answers with `{reply}`"),
                wanted: self.mechanism.name().to_owned(),
            }),
            538 | 530 => Err(LoginError::EncryptionRequired(format!("it says `{reply}`; use `relay.tls`"))),
            534 => Err(LoginError::Weak(format!("it says `{reply}` to {}; name a stronger one in `auth.mechanisms`", self.mechanism))),
            535 => Err(LoginError::Rejected(reply)),
            _ => Err(LoginError::Failed(format!("it says `{reply}`; look into its log"))),
        }
    }
}

fn state(mechanism: Mechanism, account: &Account, offered: &[Mechanism], wire: Wire<'_>) -> State {
    let client = |hash, binding| {
        // `y` says that we could bind and it did not offer that: who hid the offer from us is found out.
        let could = wire.bindings.best().is_some() && !offered.iter().any(|one| one.binds());
        State::Scram(Box::new(scram::Client::new(hash, &account.user, &account.password, binding, could)))
    };
    match mechanism {
        Mechanism::Plain => State::Plain,
        Mechanism::Login => State::LoginName,
        Mechanism::ScramSha1 => client(Hash::Sha1, None),
        Mechanism::ScramSha256 => client(Hash::Sha256, None),
        Mechanism::ScramSha256Plus => client(Hash::Sha256, wire.bindings.best().map(|kind| (kind, wire.bindings))),
    }
}

fn refused(error: &ClientError) -> LoginError {
    match error {
        ClientError::Weak(_) => LoginError::Weak(format!("{error}; have its passwords hashed more often")),
        ClientError::Refused(_) => LoginError::Rejected(error.to_string()),
        ClientError::Garbled | ClientError::Costly(_) | ClientError::Impostor => LoginError::Failed(error.to_string()),
    }
}

/// What the other side said, for a log.
fn printable(text: &str) -> String {
    text.chars().filter(|letter| letter.is_ascii_graphic() || *letter == ' ').take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::super::scram::{First, Keys};
    use super::*;

    fn account(mechanisms: Option<Vec<Mechanism>>) -> Arc<Account> {
        Arc::new(Account { user: "user".into(), password: Secret::new("pencil"), mechanisms, without_tls: false })
    }

    fn chosen(account: &Arc<Account>, offered: &str, private: bool, bindings: &Bindings) -> Result<Mechanism, LoginError> {
        Login::choose(account, offered, Wire { private, bindings }).map(|login| login.mechanism())
    }

    const ALL: &str = "LOGIN PLAIN scram-sha-1 SCRAM-SHA-256 SCRAM-SHA-256-PLUS XOAUTH2";

    #[test]
    fn the_best_that_is_offered_and_possible_is_taken() {
        let (none, exporter) = (Bindings::default(), Bindings { exporter: Some([1; 32]), end_point: None });
        let best = account(None);
        assert_eq!(chosen(&best, ALL, true, &exporter), Ok(Mechanism::ScramSha256Plus));
        assert_eq!(chosen(&best, ALL, true, &none), Ok(Mechanism::ScramSha256));
        assert_eq!(chosen(&best, "LOGIN PLAIN SCRAM-SHA-1", false, &none), Ok(Mechanism::ScramSha1));
        assert_eq!(chosen(&best, "LOGIN PLAIN", true, &none), Ok(Mechanism::Plain));
        assert_eq!(chosen(&best, "LOGIN", true, &none), Ok(Mechanism::Login));
        assert_eq!(chosen(&account(Some(vec![Mechanism::Login, Mechanism::ScramSha256])), ALL, true, &none), Ok(Mechanism::Login));
        assert_eq!(chosen(&account(Some(vec![Mechanism::Login, Mechanism::ScramSha256])), ALL, false, &none), Ok(Mechanism::ScramSha256));
    }

    #[test]
    fn a_password_never_crosses_in_clear_unless_that_is_said() {
        let none = Bindings::default();
        let account = account(None);
        assert!(matches!(chosen(&account, "PLAIN LOGIN", false, &none), Err(LoginError::EncryptionRequired(_))));
        let account = Arc::new(Account { without_tls: true, ..Account::clone(&account) });
        assert_eq!(chosen(&account, "PLAIN LOGIN", false, &none), Ok(Mechanism::Plain));
    }

    #[test]
    fn nothing_in_common_is_told_with_both_lists() {
        let error = chosen(&account(Some(vec![Mechanism::ScramSha256])), "PLAIN \x1bLOGIN", true, &Bindings::default()).unwrap_err();
        assert!(error.to_string().contains("offers PLAIN LOGIN, and SCRAM-SHA-256 may be used"), "{error}");
        let error = chosen(&account(None), "", true, &Bindings::default()).unwrap_err();
        assert!(error.to_string().contains("offers none"), "{error}");
    }

    fn message(message: &Message) -> String {
        String::from_utf8(message.to_vec()).unwrap()
    }

    #[test]
    fn plain_and_login_say_what_they_have_and_no_more() {
        let (account, bindings) = (account(None), Bindings::default());
        let wire = Wire { private: true, bindings: &bindings };
        let mut plain = Login::choose(&account, "PLAIN", wire).unwrap();
        assert_eq!(message(&plain.begin().unwrap()), "\0user\0pencil");
        assert_eq!(plain.end(235, &"235 ok"), Ok(()));
        assert!(plain.answer(b"").is_err());
        let mut login = Login::choose(&account, "LOGIN", wire).unwrap();
        assert!(login.begin().is_none());
        assert_eq!(message(&login.answer(b"whatever:").unwrap()), "user");
        assert!(login.end(235, &"235 ok").is_err());
        assert_eq!(message(&login.answer(b"Password:").unwrap()), "pencil");
        assert_eq!(login.end(235, &"235 ok"), Ok(()));
    }

    #[test]
    fn each_refusal_has_its_own_name() {
        let (account, bindings) = (account(None), Bindings::default());
        let mut login = Login::choose(&account, "PLAIN", Wire { private: true, bindings: &bindings }).unwrap();
        let _ = login.begin();
        let told = |code: u16| login.end(code, &format!("{code} no")).unwrap_err();
        assert!(matches!(told(504), LoginError::Unsupported { .. }));
        assert!(matches!(told(538), LoginError::EncryptionRequired(_)));
        assert!(matches!(told(534), LoginError::Weak(_)));
        assert!(matches!(told(535), LoginError::Rejected(_)));
        assert!(matches!(told(454), LoginError::Failed(_)));
    }

    #[test]
    fn a_server_that_accepts_without_a_signature_is_not_believed() {
        let (account, bindings) = (account(None), Bindings::default());
        let mut login = Login::choose(&account, "SCRAM-SHA-256", Wire { private: false, bindings: &bindings }).unwrap();
        let first = message(&login.begin().unwrap());
        assert!(login.end(235, &"235 ok").unwrap_err().to_string().contains("another server"));
        let first = First::read(first.as_bytes(), false, false, &bindings).unwrap();
        let (said, last) = first.answer(Keys::of(&Secret::new("pencil"), b"salt", 4096));
        let proof = message(&login.answer(said.as_bytes()).unwrap());
        assert!(login.end(235, &"235 ok").is_err());
        let signature = last.check(proof.as_bytes()).unwrap();
        assert_eq!(message(&login.answer(signature.as_bytes()).unwrap()), "");
        assert_eq!(login.end(235, &"235 ok"), Ok(()));
    }
}
