//! AUTH in a session (RFC 4954 4).
//!
//! | state  | AUTH                             | any other line                  | found (the server's answer)       |
//! |--------|----------------------------------|---------------------------------|-----------------------------------|
//! | nobody | challenge: Open; ask; 501 504 53x | a command                      |                                   |
//! | Open   |                                  | `*`: 501; challenge; ask; 535   | challenge: Open; 235: user; 535, 454 |
//! | user   | 503                              | a command                       |                                   |
//!
//! While it is open a line is an answer to the challenge and never a command.

use std::sync::Arc;

use super::{Question, Session, State, Step};
use crate::base::secret::Secret;
use crate::smtp::auth::check::{Found, Unable};
use crate::smtp::auth::policy::Policy;
use crate::smtp::auth::server::{Exchange, Turn};
use crate::smtp::auth::{Bindings, Mechanism, decoded, encoded};
use crate::smtp::reply::{self, Reply};

/// Failed logins of one session; the last ends it.
const MOST_FAILURES: u32 = 5;

/// Where a client's login stands.
#[derive(Debug)]
pub(super) struct Login {
    policy: Arc<Policy>,
    exchange: Option<Exchange>,
    /// Who it says it is, for the log.
    tried: Option<String>,
    user: Option<Arc<str>>,
    /// Of the last login that began.
    mechanism: Option<Mechanism>,
    failures: u32,
}

/// A login that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Who the client said it was, if it came so far.
    pub user: Option<String>,
    /// How often it has failed by now.
    pub failures: u32,
    pub reply: Reply,
}

impl Login {
    fn new(policy: &Arc<Policy>) -> Login {
        Login { policy: Arc::clone(policy), exchange: None, tried: None, user: None, mechanism: None, failures: 0 }
    }
}

impl Session {
    /// Lets clients log in, or nobody any more; between two transactions. Who has logged in stays so, if it [may](Session::may_go_on).
    pub fn admit(&mut self, policy: Option<&Arc<Policy>>) {
        match (&mut self.login, policy) {
            (Some(login), Some(policy)) => login.policy = Arc::clone(policy),
            (None, Some(policy)) => {
                self.login = Some(Box::new(Login::new(policy)));
            }
            (_, None) => self.login = None,
        }
    }

    /// Whether there is still who has logged in here, if anybody has.
    #[must_use]
    pub fn may_go_on(&self, policy: Option<&Arc<Policy>>) -> bool {
        let user = self.login.as_ref().and_then(|login| login.user.as_deref());
        user.is_none_or(|user| policy.is_some_and(|policy| policy.users.knows(user)))
    }

    /// Who has logged in, here or where the client that XCLIENT named did.
    #[must_use]
    pub fn user(&self) -> Option<&Arc<str>> {
        let here = self.login.as_ref().and_then(|login| login.user.as_ref());
        here.or_else(|| self.stands_for()?.login.as_ref())
    }

    /// How the last login began.
    #[must_use]
    pub fn mechanism(&self) -> Option<Mechanism> {
        self.login.as_ref()?.mechanism
    }

    /// The client is another one.
    pub(super) fn forget_login(&mut self) {
        if let Some(login) = &mut self.login {
            **login = Login::new(&login.policy);
        }
    }

    /// The keyword of EHLO.
    pub(super) fn announced_logins(&self) -> Option<String> {
        let offered = self.login.as_ref()?.policy.offered(self.bindings.as_deref());
        let names: Vec<_> = offered.iter().map(|one| one.name()).collect();
        (!names.is_empty()).then(|| format!("AUTH {}", names.join(" ")))
    }

    /// Whether mail is taken only after a login that has not been.
    pub(super) fn needs_login(&self) -> bool {
        self.login.as_ref().is_some_and(|login| login.policy.required) && self.user().is_none()
    }

    /// Whether the next line is the client's answer to a challenge.
    pub(super) fn is_logging_in(&self) -> bool {
        self.login.as_ref().is_some_and(|login| login.exchange.is_some())
    }

    /// AUTH.
    pub(super) fn auth(&mut self, mechanism: &str, initial: Option<&Secret>) -> Step {
        match self.begin(mechanism, initial) {
            Ok(turn) => self.turn(turn),
            Err(refused) => Step::Reply(refused),
        }
    }

    fn begin(&mut self, mechanism: &str, initial: Option<&Secret>) -> Result<Turn, Reply> {
        let (bindings, known) = (self.bindings.clone(), self.user().is_some());
        let login = self.login.as_mut().ok_or_else(reply::not_implemented)?;
        if !self.greeting.as_ref().is_some_and(|greeting| greeting.extended) {
            return Err(self.no_greeting());
        }
        if known {
            return Err(reply::bad_sequence("Already authenticated"));
        }
        if !matches!(self.state, State::Greeted) {
            return Err(reply::bad_sequence("A transaction is open"));
        }
        if login.policy.needs_tls(bindings.as_deref()) {
            return Err(reply::login_needs_tls());
        }
        let offered = login.policy.offered(bindings.as_deref());
        let mechanism = Mechanism::named(mechanism).ok_or_else(reply::unknown_mechanism)?;
        if !offered.contains(&mechanism) {
            return Err(if mechanism.shows_password() { reply::mechanism_too_weak() } else { reply::unknown_mechanism() });
        }
        let initial = initial.map(|text| message(text.bytes()).ok_or_else(reply::bad_base64)).transpose()?;
        let plus = offered.contains(&Mechanism::ScramSha256Plus);
        let mut exchange = Exchange::new(mechanism, plus, bindings.unwrap_or_default());
        let turn = exchange.start(initial);
        (login.exchange, login.tried, login.mechanism) = (Some(exchange), None, Some(mechanism));
        Ok(turn)
    }

    /// A line while a login is open.
    pub(super) fn answer(&mut self, line: &[u8], early: bool) -> Step {
        let Some(login) = &mut self.login else { return Step::Reply(reply::not_implemented()) };
        let Some(mut exchange) = login.exchange.take() else { return Step::Reply(reply::not_implemented()) };
        // RFC 2920 3.1, RFC 4954 4: what follows is sent without knowing what this comes to.
        if early {
            return Step::Reply(reply::out_of_step());
        }
        let Some(text) = line.strip_suffix(b"\r\n") else { return Step::Reply(reply::bad_line_end()) };
        if text == b"*" {
            return Step::Reply(reply::login_cancelled());
        }
        // Only beside the command is `=` an empty message; here that is an empty line.
        let Some(message) = std::str::from_utf8(text).ok().and_then(decoded) else { return Step::Reply(reply::bad_base64()) };
        let turn = exchange.respond(&Secret::new(message));
        login.exchange = Some(exchange);
        self.turn(turn)
    }

    /// A line that was longer than any answer: the login is over.
    pub(super) fn overlong_answer(&mut self) -> Option<Reply> {
        self.login.as_mut()?.exchange.take().map(|_| reply::login_line_too_long())
    }

    /// The server's answer to [`Question::Login`].
    pub fn found(&mut self, found: Result<Found, Unable>) -> Step {
        let exchange = self.login.as_mut().and_then(|login| login.exchange.as_mut());
        let step = match (exchange, found) {
            (Some(exchange), Ok(found)) => {
                let turn = exchange.found(found);
                self.turn(turn)
            }
            (exchange, _) => {
                if exchange.is_some() {
                    self.login.iter_mut().for_each(|login| login.exchange = None);
                }
                Step::Reply(reply::login_not_possible())
            }
        };
        self.told(step)
    }

    fn turn(&mut self, turn: Turn) -> Step {
        let Some(login) = &mut self.login else { return Step::Reply(reply::not_implemented()) };
        match turn {
            Turn::Challenge(text) => Step::Reply(reply::challenge(encoded(&text))),
            Turn::Ask(claim) => {
                login.tried = Some(claim.user.clone());
                Step::Ask(Question::Login(claim))
            }
            Turn::User(user) => {
                (login.exchange, login.user) = (None, Some(user));
                Step::Welcome(reply::logged_in())
            }
            Turn::Failed => {
                login.exchange = None;
                login.failures += 1;
                let reply = if login.failures < MOST_FAILURES { reply::not_logged_in() } else { reply::too_many_logins() };
                Step::Denied(Denied { user: login.tried.take(), failures: login.failures, reply })
            }
        }
    }

    /// What TLS gives to bind a login to. Nothing that was said before it counts.
    pub fn bind(&mut self, bindings: Bindings) {
        self.bindings = Some(Arc::new(bindings));
        if let Some(login) = &mut self.login {
            (login.exchange, login.user) = (None, None);
        }
    }
}

/// The first message, which is beside its command: `=` is an empty one.
fn message(text: &[u8]) -> Option<Secret> {
    match text {
        b"=" => Some(Secret::new("")),
        text => decoded(std::str::from_utf8(text).ok()?).map(Secret::new),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{OFFER, dialog, say, session};
    use super::*;
    use crate::smtp::auth::check::testing::Known;

    const ALL: [Mechanism; 3] = [Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha256];

    fn with(policy: Policy) -> Session {
        let mut session = session();
        session.admit(Some(&Arc::new(policy)));
        session
    }

    fn policy() -> Policy {
        Policy { users: Arc::new(Known::new()), mechanisms: ALL.to_vec(), required: false, without_tls: true }
    }

    fn plain(text: &str) -> String {
        format!("AUTH PLAIN {}", encoded(text.as_bytes()))
    }

    fn good() -> String {
        plain("\0user\0pencil")
    }

    #[test]
    fn plain_goes_with_the_command_or_behind_it() {
        let mut session = with(policy());
        dialog(&mut session, &[("EHLO c", 250), (&good(), 235), (&good(), 503), ("EHLO c", 250), (&good(), 503)]);
        assert_eq!(session.user().unwrap().as_ref(), "user");
        let mut session = with(policy());
        dialog(&mut session, &[("EHLO c", 250), ("auth plain", 334), (&encoded(b"\0user\0pencil"), 235)]);
        assert!(session.user().is_some());
    }

    #[test]
    fn login_asks_twice() {
        let mut session = with(policy());
        dialog(&mut session, &[("EHLO c", 250), ("AUTH LOGIN", 334), (&encoded(b"user"), 334), (&encoded(b"pencil"), 235)]);
        let mut session = with(policy());
        dialog(&mut session, &[("EHLO c", 250), ("AUTH LOGIN =", 334), ("", 535)]);
    }

    #[test]
    fn what_is_no_answer_ends_the_login_and_the_session_goes_on() {
        let mut session = with(policy());
        dialog(&mut session, &[("EHLO c", 250), ("AUTH PLAIN", 334), ("*", 501), ("NOOP", 250), ("AUTH PLAIN !", 501)]);
        let mut session = with(policy());
        dialog(&mut session, &[("EHLO c", 250), ("AUTH PLAIN", 334), ("RSET now", 501), ("NOOP", 250), ("AUTH PLAIN x y", 501)]);
        let mut session = with(policy());
        dialog(&mut session, &[("EHLO c", 250), ("AUTH LOGIN", 334)]);
        assert_eq!(session.overlong_line().code(), 500);
        dialog(&mut session, &[("NOOP", 250), ("AUTH", 501)]);
    }

    #[test]
    fn it_is_out_of_place_before_ehlo_after_helo_and_in_a_transaction() {
        dialog(&mut with(policy()), &[(&good(), 503), ("HELO c", 250), (&good(), 503)]);
        dialog(&mut with(policy()), &[("EHLO c", 250), ("MAIL FROM:<>", 250), (&good(), 503), ("RSET", 250), (&good(), 235)]);
    }

    #[test]
    fn what_is_not_offered_is_refused_by_its_reason() {
        dialog(&mut session(), &[("EHLO c", 250), (&good(), 502)]);
        dialog(&mut with(Policy { without_tls: false, ..policy() }), &[("EHLO c", 250), (&good(), 538)]);
        let strong = Policy { mechanisms: vec![Mechanism::ScramSha256], ..policy() };
        dialog(&mut with(strong), &[("EHLO c", 250), (&good(), 534), ("AUTH CRAM-MD5", 504)]);
        dialog(&mut with(policy()), &[("EHLO c", 250), ("AUTH SCRAM-SHA-256-PLUS", 504), ("AUTH SCRAM-SHA-1", 504)]);
    }

    #[test]
    fn where_a_login_is_required_there_is_no_mail_without() {
        let mut session = with(Policy { required: true, ..policy() });
        dialog(&mut session, &[("EHLO c", 250), ("MAIL FROM:<>", 530), (&good(), 235), ("MAIL FROM:<>", 250)]);
    }

    #[test]
    fn the_last_of_many_failed_logins_ends_the_session() {
        let mut session = with(policy());
        session.terms = Arc::new(super::super::Terms { errors: 100, ..super::super::Terms::clone(&session.terms) });
        dialog(&mut session, &[("EHLO c", 250)]);
        let bad = plain("\0user\0pen");
        (1..MOST_FAILURES).for_each(|_| assert_eq!(say(&mut session, &bad), 535));
        assert_eq!(say(&mut session, &bad), 421);
    }

    #[test]
    fn who_cannot_be_asked_is_no_refusal() {
        let mut session = with(policy());
        dialog(&mut session, &[("EHLO c", 250), (&plain("\0broken\0pencil"), 454), (&good(), 235)]);
    }

    #[test]
    fn it_is_announced_where_it_is_possible() {
        let mut session = with(Policy { without_tls: false, ..policy() });
        assert_eq!(session.announced_logins(), None);
        session.bind(Bindings { exporter: Some([1; 32]), end_point: None });
        assert_eq!(session.announced_logins().unwrap(), "AUTH SCRAM-SHA-256-PLUS PLAIN LOGIN SCRAM-SHA-256");
    }

    #[test]
    fn input_behind_a_login_is_out_of_step() {
        let mut session = with(policy());
        dialog(&mut session, &[("EHLO c", 250), ("AUTH PLAIN", 334)]);
        let Step::Reply(reply) = session.line(b"AHVzZXIAcGVuY2ls\r\n", true, &OFFER) else { panic!() };
        assert!(reply.code() == 554 && reply.closes());
        let mut session = with(policy());
        dialog(&mut session, &[("EHLO c", 250)]);
        let Step::Reply(reply) = session.line(b"AUTH PLAIN\r\n", true, &OFFER) else { panic!() };
        assert!(reply.code() == 554 && reply.closes());
    }

    #[test]
    fn who_has_logged_in_may_go_on_while_there_is_such_a_user() {
        let mut session = with(policy());
        dialog(&mut session, &[("EHLO c", 250)]);
        assert!(session.may_go_on(None));
        dialog(&mut session, &[(&good(), 235)]);
        assert!(session.may_go_on(Some(&Arc::new(policy()))) && !session.may_go_on(None));
        let mut session = with(policy());
        dialog(&mut session, &[("EHLO c", 250), (&plain("nobody\0admin\0pencil"), 235)]);
        assert!(!session.may_go_on(Some(&Arc::new(policy()))));
    }

    #[test]
    fn tls_forgets_a_login_and_a_reload_does_not() {
        let mut session = with(policy());
        dialog(&mut session, &[("EHLO c", 250), (&good(), 235)]);
        session.admit(Some(&Arc::new(policy())));
        assert!(session.user().is_some());
        session.bind(Bindings::default());
        assert!(session.user().is_none());
        session.admit(None);
        dialog(&mut session, &[(&good(), 502)]);
    }
}
