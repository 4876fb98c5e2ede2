//! Server side of an SMTP session, without I/O (RFC 5321 section 4.1.4).
//!
//! | state     | EHLO/HELO | MAIL | RCPT       | DATA       | BDAT               | BDAT LAST        | RSET      | answer to the message |
//! |-----------|-----------|------|------------|------------|--------------------|------------------|-----------|-----------------------|
//! | Connected | Greeted   | 503  | 503        | 503        | 503                | 503              | Connected |                       |
//! | Greeted   | Greeted   | Mail | 503        | 503        | 503                | 503              | Greeted   |                       |
//! | Mail      | Greeted   | 503  | ask server | 554        | 554                | 554              | Greeted   |                       |
//! | Rcpt      | Greeted   | 503  | ask server | ask server | ask server, Chunks | ask server, Data | Greeted   |                       |
//! | Chunks    | Greeted   | 503  | 503        | 503        | ask server         | ask server, Data | Greeted   | refused: Greeted      |
//! | Data      |           |      |            |            |                    |                  |           | Greeted               |
//!
//! XCLIENT, from who may say it, leads from Connected and Greeted back to Connected; XFORWARD is taken in these two states and kept until the next reset.
//! In LMTP LHLO is in the place of EHLO and HELO, and where nobody was accepted DATA and BDAT are 503 (RFC 2033 4). Mail becomes Rcpt with the first recipient the server accepts. Everything else is answered in any state. A state owns its transaction: leaving Mail, Rcpt,
//! Chunks or Data drops sender, recipients and what was declared. DATA is 503 also where BODY=BINARYMIME was declared. The bytes behind a BDAT are swallowed
//! whatever its answer is.

mod chunk;
mod identity;
mod login;
mod transaction;

use std::sync::Arc;

use super::auth::Bindings;
use super::auth::check::Claim;
use super::command::{Command, SyntaxError};
use super::envelope::{Envelope, Recipient};
use super::extension::{self, Offer};
use super::identity::Attribute;
use super::reply::{self, Class, Reply};
use identity::SpokenFor;
pub use identity::Trusted;
pub use login::Denied;
use login::Login;

/// What holds for all sessions.
#[derive(Clone, Debug)]
pub struct Terms {
    pub hostname: String,
    /// Our instance token.
    pub token: Arc<str>,
    pub recipients: usize,
    pub commands: u64,
    pub errors: u64,
}

/// What a command leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Reply(Reply),
    Ask(Question),
    /// So many bytes that follow are no commands; once they have been swallowed, this is the answer.
    Swallow(u64, Reply),
    /// The client has logged in.
    Welcome(Reply),
    /// A login has failed: the reply is not to come at once.
    Denied(Denied),
}

/// What only the server can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// May this recipient be taken? Answered with [`Session::recipient`], in order.
    Recipient(Recipient),
    /// Take the message in. Answered with [`Session::message`].
    Message(Envelope),
    /// Take so many bytes of the message in. Answered with [`Session::chunk_taken`]; with [`Session::message`] if it is whole now, and the envelope here.
    Chunk { size: u64, whole: Option<Envelope> },
    /// Is the client who it says? Answered with [`Session::found`].
    Login(Claim),
    /// The client is another one. Answered with [`Session::start_over`], if there is a place for it.
    Client(Vec<Attribute>),
    /// Say that TLS may begin, and begin it. Where it succeeds, [`Session::secured`].
    StartTls,
}

/// Whether what is said can be read by others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Privacy {
    /// There is no TLS here.
    #[default]
    Clear,
    /// In clear, and TLS may begin; with `required` it has to, before anything that concerns mail (RFC 3207 4).
    Offered {
        required: bool,
    },
    Tls,
}

#[derive(Clone, Debug)]
enum State {
    Connected,
    Greeted,
    /// With what is known of the envelope, recipients once the state is Rcpt.
    Mail(Envelope),
    Rcpt(Envelope),
    /// A part of the message is here.
    Chunks(Envelope),
    Data,
}

/// How the client introduced itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    pub name: Arc<str>,
    /// EHLO, not HELO.
    pub extended: bool,
}

/// One client's session.
#[derive(Debug)]
pub struct Session {
    terms: Arc<Terms>,
    /// It speaks LMTP (RFC 2033): LHLO in the place of EHLO and HELO, and an answer for each recipient.
    lmtp: bool,
    state: State,
    greeting: Option<Greeting>,
    spoken_for: SpokenFor,
    /// Recipients asked about and not answered yet.
    asked: usize,
    /// Recipients of this transaction that the server was asked about, accepted or not.
    given: usize,
    commands: u64,
    errors: u64,
    /// None: nobody can log in.
    login: Option<Box<Login>>,
    /// Under TLS: what a login can be bound to.
    bindings: Option<Arc<Bindings>>,
    privacy: Privacy,
}

impl Session {
    #[must_use]
    pub fn new(terms: Arc<Terms>) -> Session {
        Session {
            terms,
            lmtp: false,
            state: State::Connected,
            greeting: None,
            spoken_for: SpokenFor::default(),
            asked: 0,
            given: 0,
            commands: 0,
            errors: 0,
            login: None,
            bindings: None,
            privacy: Privacy::Clear,
        }
    }

    /// The same in LMTP.
    #[must_use]
    pub fn in_lmtp(self) -> Session {
        Session { lmtp: true, ..self }
    }

    /// Whether a message is answered for each recipient.
    #[must_use]
    pub fn is_lmtp(&self) -> bool {
        self.lmtp
    }

    /// Goes on under other terms; between two transactions.
    pub fn under(&mut self, terms: Arc<Terms>) {
        self.terms = terms;
    }

    /// Tells what TLS there is, as long as none has begun.
    pub fn offer_tls(&mut self, privacy: Privacy) {
        if self.privacy != Privacy::Tls {
            self.privacy = privacy;
        }
    }

    /// TLS has begun: what was said before it counts for nothing (RFC 3207 4.2).
    pub fn secured(&mut self, bindings: Bindings) {
        (self.privacy, self.greeting) = (Privacy::Tls, None);
        self.bind(bindings);
        self.spoken_for.forget_client();
        self.reset();
    }

    /// The first line of all.
    #[must_use]
    pub fn open(&self) -> Reply {
        reply::greeting(&self.terms.hostname, self.lmtp)
    }

    #[must_use]
    pub fn greeting(&self) -> Option<&Greeting> {
        self.greeting.as_ref()
    }

    /// Sender, recipients accepted so far and what was declared, while a transaction is open.
    #[must_use]
    pub fn transaction(&self) -> Option<&Envelope> {
        match &self.state {
            State::Mail(envelope) | State::Rcpt(envelope) | State::Chunks(envelope) => Some(envelope),
            State::Connected | State::Greeted | State::Data => None,
        }
    }

    /// Whether the client gave exactly one recipient in this transaction, whatever became of it.
    #[must_use]
    pub fn gave_one_recipient(&self) -> bool {
        self.given == 1
    }

    /// Takes a command line. `early` says that input lies behind it already.
    pub fn line(&mut self, line: &[u8], early: bool, offer: &Offer) -> Step {
        if let Some(over) = self.count() {
            return Step::Reply(over);
        }
        if self.is_logging_in() {
            let step = self.answer(line, early);
            return self.told(step);
        }
        let step = match Command::parse(line, offer) {
            // RFC 2920 3.1: these end a group, so what lies behind them was sent without knowing their answer.
            Ok(
                Command::Helo(_)
                | Command::Ehlo(_)
                | Command::Lhlo(_)
                | Command::Data
                | Command::StartTls
                | Command::Auth { .. }
                | Command::Xclient(_),
            ) if early => Step::Reply(reply::out_of_step()),
            // RFC 3030 2: whatever is wrong, the bytes behind it are content.
            Ok(command @ Command::Bdat { size, .. }) => match self.command(command, offer) {
                Step::Reply(reply) => Step::Swallow(size, reply),
                ask => ask,
            },
            Err(error @ SyntaxError::Chunk) => Step::Reply(self.refuse(error)),
            // Who was not offered PIPELINING waits for each answer.
            Ok(_) | Err(_) if early && !self.greeting.as_ref().is_some_and(|greeting| greeting.extended) => {
                Step::Reply(reply::out_of_step())
            }
            Ok(command) => self.command(command, offer),
            Err(error) => Step::Reply(self.refuse(error)),
        };
        if line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"MAIL")) {
            self.forget_failed_mail();
        }
        self.told(step)
    }

    /// Behind a MAIL, where no transaction is open: it has failed, and what XFORWARD said was of its message.
    fn forget_failed_mail(&mut self) {
        if matches!(self.state, State::Connected | State::Greeted) {
            self.spoken_for.forget_message();
        }
    }

    /// The same step, its reply counted.
    fn told(&mut self, step: Step) -> Step {
        match step {
            Step::Reply(reply) => Step::Reply(self.tell(reply)),
            Step::Swallow(size, reply) => Step::Swallow(size, self.tell(reply)),
            Step::Denied(denied) => Step::Denied(Denied { reply: self.tell(denied.reply), ..denied }),
            other @ (Step::Ask(_) | Step::Welcome(_)) => other,
        }
    }

    /// A line that grew over every limit and was thrown away.
    pub fn overlong_line(&mut self) -> Reply {
        // It may have been a MAIL.
        self.forget_failed_mail();
        let reply = self.count().or_else(|| self.overlong_answer()).unwrap_or_else(reply::line_too_long);
        self.tell(reply)
    }

    /// Counts a line; the reply that ends the session if there were too many, or too many errors before it.
    fn count(&mut self) -> Option<Reply> {
        self.commands += 1;
        if self.commands > self.terms.commands {
            return Some(reply::too_many_commands());
        }
        (self.errors >= self.terms.errors).then(reply::too_many_errors)
    }

    fn wants_tls(&self) -> bool {
        self.privacy == Privacy::Offered { required: true }
    }

    fn refuse(&self, error: SyntaxError) -> Reply {
        match (error, &self.state) {
            (SyntaxError::Sender | SyntaxError::Recipient | SyntaxError::Parameter | SyntaxError::NotJudged, _) if self.wants_tls() => {
                reply::tls_first()
            }
            // An unreadable MAIL or RCPT out of order is out of order first.
            (SyntaxError::Sender, State::Connected) => self.no_greeting(),
            (SyntaxError::Recipient, State::Connected | State::Greeted) => reply::bad_sequence("MAIL first"),
            _ => error.reply(),
        }
    }

    fn command(&mut self, command: Command, offer: &Offer) -> Step {
        match command {
            // RFC 2033 4.1: neither greets the other's clients.
            Command::Helo(_) | Command::Ehlo(_) if self.lmtp => return Step::Reply(reply::unknown_command()),
            Command::Lhlo(_) if !self.lmtp => return Step::Reply(reply::unknown_command()),
            Command::Ehlo(_) | Command::Lhlo(_) | Command::StartTls | Command::Noop | Command::Quit => {}
            _ if self.wants_tls() => return Step::Reply(reply::tls_first()),
            _ => {}
        }
        match command {
            Command::Helo(name) => self.greet(Greeting { name: name.into(), extended: false }, offer),
            Command::Ehlo(name) | Command::Lhlo(name) => self.greet(Greeting { name: name.into(), extended: true }, offer),
            Command::Mail { sender, declared } => self.mail(Envelope { sender, recipients: Vec::new(), declared }, offer),
            Command::Rcpt(path) => self.rcpt(path),
            Command::Data => self.data(),
            Command::Bdat { size, last } => self.chunk(size, last),
            Command::Auth { mechanism, initial } => self.auth(&mechanism, initial.as_ref()),
            Command::Xclient(told) => self.xclient(told),
            Command::Xforward(told) => self.xforward(told),
            Command::Rset => {
                self.reset();
                Step::Reply(reply::ok())
            }
            Command::StartTls => self.start_tls(),
            Command::Noop => Step::Reply(reply::ok()),
            Command::Vrfy => Step::Reply(reply::cannot_verify()),
            Command::Help => Step::Reply(reply::help()),
            Command::Quit => {
                self.reset();
                Step::Reply(reply::goodbye())
            }
        }
    }

    fn greet(&mut self, greeting: Greeting, offer: &Offer) -> Step {
        let Terms { hostname, token, .. } = &*self.terms;
        let hello = if greeting.extended {
            let mut keywords = extension::keywords(offer, token);
            keywords.extend(self.announced_logins());
            keywords.extend(self.spoken_for.keywords());
            if matches!(self.privacy, Privacy::Offered { .. }) {
                keywords.push("STARTTLS".to_owned());
            }
            reply::extended_hello(hostname, &keywords)
        } else {
            reply::hello(hostname)
        };
        self.greeting = Some(greeting);
        self.reset();
        Step::Reply(hello)
    }

    fn start_tls(&mut self) -> Step {
        match (self.privacy, &self.state) {
            (Privacy::Clear, _) => Step::Reply(reply::not_implemented()),
            (Privacy::Tls, _) => Step::Reply(reply::bad_sequence("TLS has begun already")),
            (_, State::Connected) => Step::Reply(self.no_greeting()),
            (_, State::Chunks(_) | State::Data) => Step::Reply(reply::bad_sequence("The message has begun")),
            (_, State::Greeted | State::Mail(_) | State::Rcpt(_)) => Step::Ask(Question::StartTls),
        }
    }

    fn no_greeting(&self) -> Reply {
        reply::bad_sequence(if self.lmtp { "Say LHLO first" } else { "Say EHLO first" })
    }

    fn reset(&mut self) {
        (self.asked, self.given) = (0, 0);
        self.spoken_for.forget_message();
        self.state = if self.greeting.is_some() { State::Greeted } else { State::Connected };
    }

    fn tell(&mut self, reply: Reply) -> Reply {
        self.errors += u64::from(reply.class() == Class::Permanent);
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::auth::check::testing::Known;
    use crate::smtp::extension::{Extensions, Submitter};
    use crate::smtp::identity::Identity;

    pub(super) const OFFER: Offer = Offer {
        size: 1000,
        room: 900,
        recipients: 2,
        announced: Extensions::ALL,
        understood: Extensions::ALL,
        submitter: Submitter::Refused,
        known: true,
    };

    pub(super) fn session() -> Session {
        Session::new(Arc::new(Terms { hostname: "mx.example".into(), token: "T".into(), recipients: 2, commands: 30, errors: 3 }))
    }

    /// Says a line; recipients are accepted unless they begin with `no`.
    pub(super) fn say(session: &mut Session, line: &str) -> u16 {
        match session.line(format!("{line}\r\n").as_bytes(), false, &OFFER) {
            Step::Ask(Question::Recipient(path)) => {
                let reply = if path.local().starts_with("no") { reply::relaying_denied() } else { reply::ok() };
                session.recipient(path, reply).code()
            }
            Step::Ask(Question::Message(_)) => 354,
            Step::Ask(Question::Chunk { size, whole: None }) => session.chunk_taken(reply::chunk_taken(size)).code(),
            Step::Ask(Question::Chunk { whole: Some(_), .. }) => session.message(reply::ok()).code(),
            Step::Ask(Question::Client(told)) => session.start_over(Identity::default().told(told)).code(),
            Step::Ask(Question::Login(claim)) => match session.found(claim.check(&Known::new())) {
                Step::Reply(reply) | Step::Welcome(reply) | Step::Denied(Denied { reply, .. }) => reply.code(),
                other => panic!("{other:?}"),
            },
            Step::Reply(reply) | Step::Swallow(_, reply) | Step::Welcome(reply) | Step::Denied(Denied { reply, .. }) => reply.code(),
            Step::Ask(Question::StartTls) => {
                session.secured(Bindings::default());
                reply::ready_for_tls().code()
            }
        }
    }

    pub(super) fn dialog(session: &mut Session, lines: &[(&str, u16)]) {
        for (line, code) in lines {
            assert_eq!(say(session, line), *code, "{line}");
        }
    }

    const MAIL: (&str, u16) = ("MAIL FROM:<a@example.org>", 250);
    const RCPT: (&str, u16) = ("RCPT TO:<b@example.org>", 250);

    #[test]
    fn each_command_out_of_order_is_503() {
        dialog(&mut session(), &[("MAIL FROM:<a@example.org>", 503), ("RSET", 250), ("RCPT TO:<b@example.org>", 503), ("DATA", 503)]);
        dialog(&mut session(), &[("EHLO c", 250), ("RCPT TO:<b@example.org>", 503), ("DATA", 503), MAIL, ("MAIL FROM:<>", 503)]);
    }

    #[test]
    fn data_without_an_accepted_recipient_is_554() {
        dialog(&mut session(), &[("HELO c", 250), MAIL, ("RCPT TO:<no@example.org>", 550), ("DATA", 554), RCPT, ("DATA", 354)]);
    }

    #[test]
    fn a_bdat_needs_a_recipient_and_ends_with_last() {
        dialog(&mut session(), &[("BDAT 1", 503), ("EHLO c", 250), ("BDAT 1 LAST", 503)]);
        dialog(&mut session(), &[("EHLO c", 250), MAIL, ("BDAT 1", 554), RCPT, ("BDAT 0", 250)]);
        dialog(&mut session(), &[("EHLO c", 250), MAIL, RCPT, ("BDAT 9", 250), ("BDAT 0 LAST", 250), ("BDAT 1 LAST", 503), MAIL]);
    }

    #[test]
    fn between_two_bdats_only_another_one_goes_on_with_the_message() {
        let begun = [("EHLO c", 250), MAIL, RCPT, ("BDAT 9", 250)];
        let mut session = session();
        dialog(&mut session, &begun);
        dialog(&mut session, &[("DATA", 503), ("MAIL FROM:<>", 503)]);
        dialog(&mut session, &[("NOOP", 250), ("BDAT 1 LAST", 250)]);
        for end in ["RSET", "EHLO c"] {
            dialog(&mut session, &[MAIL, RCPT, ("BDAT 9", 250), (end, 250)]);
            assert!(session.transaction().is_none());
        }
        dialog(&mut session, &[MAIL, RCPT, ("BDAT 9", 250), ("RCPT TO:<c@example.org>", 503)]);
    }

    #[test]
    fn lmtp_has_a_greeting_of_its_own_and_no_other() {
        let mut lmtp = session().in_lmtp();
        dialog(&mut lmtp, &[("EHLO c", 500), ("MAIL FROM:<>", 503), ("LHLO c", 250), MAIL]);
        dialog(&mut session().in_lmtp(), &[("LHLO c", 250), MAIL, ("DATA", 503), ("BDAT 1 LAST", 503)]);
        dialog(&mut session(), &[("LHLO c", 500), ("EHLO c", 250)]);
    }

    #[test]
    fn binary_content_comes_by_bdat_only() {
        dialog(&mut session(), &[("EHLO c", 250), ("MAIL FROM:<> BODY=BINARYMIME", 250), RCPT, ("DATA", 503), ("BDAT 1 LAST", 250)]);
    }

    #[test]
    fn a_refused_bdat_ends_the_transaction_and_is_swallowed() {
        let mut session = session();
        dialog(&mut session, &[("EHLO c", 250), MAIL, RCPT]);
        let Step::Ask(Question::Chunk { size: 9, whole: None }) = session.line(b"BDAT 9\r\n", true, &OFFER) else { panic!() };
        session.chunk_taken(reply::no_room());
        let Step::Swallow(5, refused) = session.line(b"BDAT 5 LAST\r\n", true, &OFFER) else { panic!() };
        assert_eq!(refused.code(), 503);
        dialog(&mut session, &[MAIL]);
    }

    #[test]
    fn a_bdat_whose_size_is_unreadable_ends_the_session() {
        let Step::Reply(reply) = session().line(b"BDAT many\r\n", true, &OFFER) else { panic!() };
        assert!(reply.code() == 501 && reply.closes());
    }

    #[test]
    fn every_way_a_transaction_ends_forgets_it() {
        for end in ["RSET", "EHLO c", "HELO c"] {
            let mut session = session();
            dialog(&mut session, &[("EHLO c", 250), MAIL, RCPT, (end, 250), ("RCPT TO:<b@example.org>", 503), MAIL]);
            assert!(session.transaction().unwrap().recipients.is_empty());
        }
        let mut session = session();
        dialog(&mut session, &[("EHLO c", 250), MAIL, RCPT, ("DATA", 354)]);
        session.message(reply::trouble());
        dialog(&mut session, &[("DATA", 503), MAIL]);
        assert!(session.transaction().unwrap().recipients.is_empty());
    }

    #[test]
    fn a_size_over_the_limit_is_552_and_over_what_is_free_452() {
        dialog(
            &mut session(),
            &[("EHLO c", 250), ("MAIL FROM:<> SIZE=1001", 552), ("MAIL FROM:<> SIZE=901", 452), ("RCPT TO:<b@c.example>", 503)],
        );
    }

    #[test]
    fn more_recipients_than_allowed_are_452() {
        dialog(&mut session(), &[("EHLO c", 250), MAIL, RCPT, RCPT, ("RCPT TO:<c@example.org>", 452), ("DATA", 354)]);
    }

    #[test]
    fn after_too_many_errors_the_next_command_ends_the_session() {
        let mut session = session();
        dialog(&mut session, &[("X", 500), ("X", 500), ("X", 500)]);
        let Step::Reply(reply) = session.line(b"NOOP\r\n", false, &OFFER) else { panic!() };
        assert!(reply.code() == 421 && reply.closes());
    }

    #[test]
    fn after_too_many_commands_the_session_ends() {
        let mut session = session();
        (0..30).for_each(|_| assert_eq!(say(&mut session, "NOOP"), 250));
        assert_eq!(say(&mut session, "NOOP"), 421);
    }

    #[test]
    fn input_behind_ehlo_and_data_is_out_of_step() {
        let mut session = session();
        for line in ["EHLO c\r\n", "HELO c\r\n", "DATA\r\n"] {
            let Step::Reply(reply) = session.line(line.as_bytes(), true, &OFFER) else { panic!() };
            assert!(reply.code() == 554 && reply.closes());
        }
    }

    #[test]
    fn tls_begins_once_and_leaves_nothing_of_what_was_said_before() {
        dialog(&mut session(), &[("EHLO c", 250), ("STARTTLS", 502)]);
        let mut session = session();
        session.terms = Arc::new(Terms { errors: 30, ..(*session.terms).clone() });
        session.offer_tls(Privacy::Offered { required: false });
        dialog(&mut session, &[("STARTTLS", 503), ("EHLO c", 250), MAIL, RCPT, ("STARTTLS", 220)]);
        assert!(session.greeting().is_none() && session.transaction().is_none());
        // A listener that has lost its TLS meanwhile does not take it away.
        session.offer_tls(Privacy::Clear);
        dialog(&mut session, &[("DATA", 503), ("MAIL FROM:<>", 503), ("EHLO c", 250), ("STARTTLS", 503), MAIL]);
    }

    #[test]
    fn where_tls_is_required_nothing_else_comes_first() {
        let mut session = session();
        session.terms = Arc::new(Terms { errors: 30, ..(*session.terms).clone() });
        session.offer_tls(Privacy::Offered { required: true });
        dialog(
            &mut session,
            &[("MAIL FROM:<>", 530), ("EHLO c", 250), ("NOOP", 250), ("HELO c", 530), ("MAIL FROM:<> NO=1", 530), ("RSET", 530)],
        );
        dialog(&mut session, &[("VRFY a", 530), ("BDAT 3 LAST", 530), ("STARTTLS", 220), ("EHLO c", 250), MAIL, RCPT, ("QUIT", 221)]);
    }

    #[test]
    fn input_behind_starttls_is_never_read_as_if_it_came_in_tls() {
        let mut session = session();
        session.offer_tls(Privacy::Offered { required: false });
        dialog(&mut session, &[("EHLO c", 250)]);
        let Step::Reply(reply) = session.line(b"STARTTLS\r\n", true, &OFFER) else { panic!() };
        assert!(reply.code() == 554 && reply.closes());
    }

    #[test]
    fn a_refused_recipient_was_given_all_the_same() {
        let mut session = session();
        dialog(&mut session, &[("EHLO c", 250), MAIL, RCPT]);
        assert!(session.gave_one_recipient());
        dialog(&mut session, &[("RCPT TO:<no@example.org>", 550)]);
        assert!(!session.gave_one_recipient());
        dialog(&mut session, &[("RSET", 250), MAIL, RCPT, ("DATA", 354)]);
        assert!(session.gave_one_recipient());
    }

    #[test]
    fn a_recipient_beyond_ascii_needs_smtputf8_at_mail() {
        dialog(&mut session(), &[("EHLO c", 250), MAIL, ("RCPT TO:<grün@example.org>", 553)]);
    }

    #[test]
    fn tls_forgets_what_xclient_said_in_clear() {
        let mut session = trusted();
        session.offer_tls(Privacy::Offered { required: false });
        dialog(&mut session, &[("EHLO c", 250), ("XCLIENT ADDR=192.0.2.1 LOGIN=bob", 220), ("EHLO c", 250), ("STARTTLS", 220)]);
        assert!(session.stands_for().is_none() && session.user().is_none());
    }

    #[test]
    fn a_failed_mail_forgets_what_xforward_said_and_one_in_a_transaction_does_not() {
        for failed in ["MAIL FROM:<> SIZE=1001", "MAIL FROM:a b", "MAIL FROM:<> NO=1", "mail"] {
            let mut session = trusted();
            dialog(&mut session, &[("EHLO c", 250), ("XFORWARD NAME=n", 250)]);
            assert!(say(&mut session, failed) >= 500 && session.forwarded().is_none(), "{failed}");
        }
        let mut session = trusted();
        dialog(&mut session, &[("EHLO c", 250), ("XFORWARD NAME=n", 250), MAIL, ("MAIL FROM:<>", 503), ("MAIL FROM:<> NO=1", 555)]);
        assert_eq!(session.overlong_line().code(), 500);
        assert!(session.forwarded().is_some());
    }

    fn trusted() -> Session {
        let mut session = session();
        session.trust(Trusted { xclient: true, xforward: true });
        session
    }

    #[test]
    fn who_may_speak_for_others_is_told_so_and_nobody_else() {
        let hello = |mut session: Session| match session.line(b"EHLO c\r\n", false, &OFFER) {
            Step::Reply(reply) => reply.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(
            hello(trusted())
                .ends_with("XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT / XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"),
            "{}",
            hello(trusted())
        );
        assert!(!hello(session()).contains("XCLIENT") && !hello(session()).contains("XFORWARD"));
        dialog(&mut session(), &[("EHLO c", 250), ("XCLIENT ADDR=192.0.2.1", 550), ("XFORWARD ADDR=192.0.2.1", 550)]);
    }

    #[test]
    fn xclient_starts_over_and_stays_until_said_again() {
        let mut session = trusted();
        dialog(
            &mut session,
            &[("EHLO c", 250), ("XCLIENT ADDR=192.0.2.1 HELO=h", 220), ("MAIL FROM:<a@example.org>", 503), ("EHLO c", 250)],
        );
        dialog(&mut session, &[MAIL, ("XCLIENT NAME=x", 503), ("RSET", 250)]);
        assert_eq!(session.stands_for().unwrap().helo.as_deref(), Some("h"));
        dialog(&mut session, &[("XCLIENT LOGIN=bob", 220), ("XCLIENT", 501)]);
        let Step::Reply(reply) = trusted().line(b"XCLIENT NAME=x\r\n", true, &OFFER) else { panic!() };
        assert!(reply.code() == 554 && reply.closes());
    }

    #[test]
    fn xforward_is_for_one_message() {
        for end in ["RSET", "EHLO c", "DATA"] {
            let mut session = trusted();
            dialog(
                &mut session,
                &[("EHLO c", 250), ("XFORWARD NAME=n", 250), ("XFORWARD ADDR=192.0.2.1", 250), MAIL, ("XFORWARD NAME=n", 503), RCPT],
            );
            let forwarded = session.forwarded().unwrap();
            assert!(forwarded.name.as_deref() == Some("n") && forwarded.address.is_some());
            if say(&mut session, end) == 354 {
                assert!(session.forwarded().is_some());
                session.message(reply::ok());
            }
            assert_eq!(session.forwarded(), None, "{end}");
        }
        dialog(&mut trusted(), &[("EHLO c", 250), ("XFORWARD LOGIN=x", 501), ("XFORWARD", 501)]);
    }

    #[test]
    fn who_was_not_offered_pipelining_waits_for_each_answer() {
        for (hello, line) in [("HELO c", "MAIL FROM:<a@example.org>"), ("HELO c", "NOOP"), ("NOOP", "POST / HTTP/1.1"), ("NOOP", "RSET")] {
            let mut session = session();
            dialog(&mut session, &[(hello, 250)]);
            let Step::Reply(reply) = session.line(format!("{line}\r\n").as_bytes(), true, &OFFER) else { panic!() };
            assert!(reply.code() == 554 && reply.closes(), "{line}");
        }
    }
}
