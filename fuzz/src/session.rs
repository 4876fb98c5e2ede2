//! A session: any bytes, in whatever pieces they come, get the same replies; a message ends where RFC 5321 says and nowhere else; and what is taken over is
//! what was sent.

use std::sync::Arc;

use bytes::Bytes;
use transom::base::secret::Secret;
use transom::smtp::auth::check::{Check, Unable};
use transom::smtp::auth::policy::Policy;
use transom::smtp::auth::scram::Keys;
use transom::smtp::auth::{Bindings, Mechanism};
use transom::smtp::command::LONGEST_LINE;
use transom::smtp::data::{LineEnds, Progress, Unstuffer};
use transom::smtp::envelope::Envelope;
use transom::smtp::extension::{Extensions, Offer, Submitter};
use transom::smtp::reply::{self, Class, Reply};
use transom::smtp::session::{Privacy, Question, Session, Step, Terms, Trusted};
use transom::smtp::stuff::Stuffer;

use super::case::{Case, with_crlf};

/// Everybody's password is the name.
#[derive(Debug)]
struct Users;

impl Check for Users {
    fn password(&self, user: &str, password: &Secret) -> Result<bool, Unable> {
        Ok(password.bytes() == user.as_bytes())
    }

    fn has_keys(&self) -> bool {
        true
    }

    fn keys(&self, user: &str) -> Result<Keys, Unable> {
        Ok(Keys::decoy(user, &Secret::new("x"), [].iter()))
    }
}

/// A BDAT of more bytes ends the session.
const MOST_COUNTED: u64 = 2000;
const PRIVACIES: [Privacy; 3] = [Privacy::Clear, Privacy::Offered { required: false }, Privacy::Offered { required: true }];

/// What the server does.
#[derive(Clone, Copy)]
struct Manner {
    /// Recipients whose local part has this length, modulo 8, are refused; 0: none is.
    refused: u8,
    lmtp: bool,
    privacy: Privacy,
}

pub fn run(input: &[u8]) {
    let mut case = Case::of(input);
    let understood = case.one(&[Extensions::ALL, Extensions::default()]);
    let submitter = case.one(&[Submitter::Refused, Submitter::Hidden, Submitter::Passed]);
    let known = case.one(&[true, false]);
    let offer = Offer { size: 1000, room: 900, recipients: 5, announced: understood, understood, submitter, known };
    let refused = u8::try_from(case.number(8)).expect("below 8");
    let manner = Manner { refused, lmtp: case.one(&[false, true]), privacy: case.one(&PRIVACIES) };
    let whole = Dialog::new(offer, manner, false).through(&[case.content]);
    let pieces = case.pieces(case.content);
    let cut = Dialog::new(offer, manner, false).through(&pieces);
    assert_eq!(whole, cut, "the replies depend on how the bytes were cut");
    // Now with what lies behind EHLO and DATA told, which does depend on it.
    Dialog::new(offer, manner, true).through(&[case.content]);
    Dialog::new(offer, manner, true).through(&pieces);
}

/// What a client sees, and what is taken from it.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Said(Vec<u8>),
    Taken(Envelope, Vec<u8>, bool),
    Doubtful,
}

#[expect(clippy::struct_excessive_bools, reason = "what is known of the dialog so far, each on its own")]
struct Dialog {
    session: Session,
    offer: Offer,
    manner: Manner,
    tell_early: bool,
    buffer: Vec<u8>,
    /// The line that began is too long.
    skipping: bool,
    message: Option<(Envelope, Incoming)>,
    /// Bytes of a BDAT that are still to come, and what happens behind them.
    counted: Option<(u64, Counted)>,
    /// What came by BDAT of a message that has not ended.
    chunks: Option<Chunks>,
    events: Vec<Event>,
    /// What the replies said so far: is a transaction open, and whose recipients were accepted?
    open: bool,
    accepted: usize,
    errors: u64,
    secured: bool,
    closed: bool,
}

/// What the bytes of a BDAT are.
enum Counted {
    Piece(u64, Option<Envelope>),
    Swallowed(Reply),
}

#[derive(Default)]
struct Chunks {
    lines: LineEnds,
    wire: Vec<u8>,
    content: Vec<u8>,
}

/// Content on its way.
struct Incoming {
    unstuffer: Unstuffer,
    wire: Vec<u8>,
    content: Vec<u8>,
}

impl Dialog {
    fn new(offer: Offer, manner: Manner, tell_early: bool) -> Dialog {
        let terms = Terms { hostname: "mx.example".into(), token: "TOKEN".into(), recipients: 5, commands: 60, errors: 8 };
        let session = Session::new(Arc::new(terms));
        let mut session = if manner.lmtp { session.in_lmtp() } else { session };
        session.offer_tls(manner.privacy);
        let mechanisms = Mechanism::OF_SERVER.to_vec();
        let refused = manner.refused;
        let policy = Policy { users: Arc::new(Users), mechanisms, required: refused == 3, without_tls: refused != 5 };
        session.admit((refused % 2 == 1).then(|| Arc::new(policy)).as_ref());
        session.trust(Trusted { xclient: true, xforward: true });
        Dialog {
            session,
            offer,
            manner,
            tell_early,
            buffer: Vec::new(),
            skipping: false,
            message: None,
            counted: None,
            chunks: None,
            events: Vec::new(),
            open: false,
            accepted: 0,
            errors: 0,
            secured: false,
            closed: false,
        }
    }

    fn through(mut self, pieces: &[&[u8]]) -> Vec<Event> {
        for piece in pieces {
            self.buffer.extend_from_slice(piece);
            while !self.closed && self.step() {}
        }
        self.events
    }

    /// Whether there was something to do.
    fn step(&mut self) -> bool {
        if self.message.is_some() {
            return self.take_content();
        }
        if self.counted.is_some() {
            return self.take_counted();
        }
        let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') else {
            self.skipping |= self.buffer.len() > LONGEST_LINE;
            if self.skipping {
                self.buffer.clear();
            }
            return false;
        };
        let line: Vec<u8> = self.buffer.drain(..=end).collect();
        if std::mem::take(&mut self.skipping) || line.len() > LONGEST_LINE {
            let reply = self.session.overlong_line();
            self.said(&reply);
        } else {
            self.line(&line);
        }
        true
    }

    fn line(&mut self, line: &[u8]) {
        let early = self.tell_early && !self.buffer.is_empty();
        let step = self.session.line(line, early, &self.offer);
        self.take(step);
        if self.session.transaction().is_none() && self.counted.is_none() {
            self.chunks = None;
        }
        match self.session.transaction() {
            Some(envelope) => {
                // RFC 5321 4.1.1.4: none but MAIL opens one, and none but RCPT adds to it.
                self.accepted = if self.open { self.accepted } else { 0 };
                self.open = true;
                assert_eq!(envelope.recipients.len(), self.accepted);
                assert!(envelope.recipients.len() <= 5);
            }
            None if self.message.is_none() && self.counted.is_none() => (self.open, self.accepted) = (false, 0),
            None => {}
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Reply(reply) => self.said(&reply),
            Step::Denied(denied) => self.said(&denied.reply),
            Step::Ask(Question::Recipient(_) | Question::Message(_) | Question::Client(_) | Question::Chunk { .. })
                if self.is_in_clear() =>
            {
                panic!("mail is taken in clear where TLS is required")
            }
            Step::Welcome(reply) => {
                assert!(!self.is_in_clear(), "a login in clear where TLS is required");
                assert!(self.session.user().is_some(), "nobody was let in");
                self.said(&reply);
            }
            Step::Ask(Question::Login(claim)) => {
                let step = self.session.found(claim.check(&Users));
                assert!(!matches!(step, Step::Ask(_) | Step::Swallow(..)), "a login that never ends");
                self.take(step);
            }
            Step::Ask(Question::Recipient(path)) => {
                assert!(self.open, "a recipient without a sender");
                let refused = self.manner.refused;
                let refuse = refused != 0 && path.local().len() % 8 == usize::from(refused);
                let reply = self.session.recipient(path, if refuse { reply::relaying_denied() } else { reply::ok() });
                assert!(refuse == (reply.class() != Class::Done));
                self.accepted += usize::from(!refuse);
                self.said(&reply);
            }
            Step::Ask(Question::Client(told)) => {
                assert!(!self.open, "XCLIENT in a transaction");
                let before = self.session.stands_for().cloned().unwrap_or_default();
                let reply = self.session.start_over(before.told(told));
                self.said(&reply);
            }
            Step::Ask(Question::StartTls) => {
                assert!(!self.secured && self.manner.privacy != Privacy::Clear, "TLS that was not offered");
                self.said(&reply::ready_for_tls());
                self.session.secured(Bindings { exporter: Some([7; 32]), end_point: None });
                (self.secured, self.open, self.accepted) = (true, false, 0);
                assert!(self.session.user().is_none() && self.session.greeting().is_none() && self.session.stands_for().is_none());
            }
            Step::Swallow(size, reply) => self.count(size, Counted::Swallowed(reply)),
            Step::Ask(Question::Chunk { size, whole }) => {
                assert!(self.open && self.accepted > 0, "BDAT without a recipient");
                self.count(size, Counted::Piece(size, whole));
            }
            Step::Ask(Question::Message(envelope)) => {
                assert!(self.open && self.accepted > 0, "DATA without a recipient");
                assert_eq!(envelope.recipients.len(), self.accepted, "who was accepted receives, nobody else");
                self.said(&reply::send_data());
                self.message = Some((envelope, Incoming { unstuffer: Unstuffer::new(), wire: Vec::new(), content: Vec::new() }));
            }
        }
    }

    fn is_in_clear(&self) -> bool {
        !self.secured && self.manner.privacy == Privacy::Offered { required: true }
    }

    fn said(&mut self, reply: &Reply) {
        let bytes = sound(reply);
        self.closed |= reply.closes();
        self.errors += u64::from(reply.class() == Class::Permanent);
        assert!(self.errors <= 9, "errors without an end");
        // What SCRAM says is another text each time.
        self.events.push(Event::Said(if reply.code() == 334 { vec![b'?'; bytes.len()] } else { bytes }));
    }

    fn count(&mut self, size: u64, counted: Counted) {
        if size > MOST_COUNTED {
            self.said(&reply::far_too_large());
        } else {
            self.counted = Some((size, counted));
        }
    }

    fn take_counted(&mut self) -> bool {
        let (left, counted) = self.counted.take().expect("a BDAT was said");
        let taken = self.buffer.len().min(usize::try_from(left).expect("below the limit"));
        let bytes: Vec<u8> = self.buffer.drain(..taken).collect();
        if matches!(counted, Counted::Piece(..)) {
            let Chunks { lines, wire, content } = self.chunks.get_or_insert_default();
            lines.push(&bytes, |run| content.extend_from_slice(run));
            wire.extend_from_slice(&bytes);
        }
        let left = left - taken as u64;
        if left > 0 {
            self.counted = Some((left, counted));
            return false;
        }
        match counted {
            Counted::Swallowed(reply) => self.said(&reply),
            Counted::Piece(size, None) => {
                let reply = self.session.chunk_taken(reply::chunk_taken(size));
                assert!(self.session.transaction().is_some(), "a piece ended the transaction");
                self.said(&reply);
            }
            Counted::Piece(_, Some(envelope)) => self.whole(envelope),
        }
        true
    }

    /// The last BDAT is here.
    fn whole(&mut self, envelope: Envelope) {
        let Chunks { mut lines, wire, mut content } = self.chunks.take().expect("there was a piece");
        lines.end(|run| content.extend_from_slice(run));
        assert_eq!(content, with_crlf(&wire), "the content is not what was sent");
        assert_eq!(lines.found_bare(), content != wire);
        sent_again(&content);
        let reply = self.session.message(reply::ok());
        assert!(self.session.transaction().is_none(), "a transaction outlived its message");
        (self.open, self.accepted) = (false, 0);
        self.events.push(Event::Taken(envelope, content, lines.found_bare()));
        self.said(&reply);
    }

    fn take_content(&mut self) -> bool {
        if self.buffer.is_empty() {
            return false;
        }
        let (envelope, mut incoming) = self.message.take().expect("a message comes in");
        let input = std::mem::take(&mut self.buffer);
        let Incoming { unstuffer, content, wire } = &mut incoming;
        let progress = unstuffer.push(&input, |run| content.extend_from_slice(run));
        assert_eq!(unstuffer.size(), content.len() as u64);
        wire.extend_from_slice(&input);
        match progress {
            Progress::More => {
                assert_eq!(end_of(wire), None, "the end was not seen");
                self.message = Some((envelope, incoming));
                return false;
            }
            Progress::Doubtful => {
                assert!(matches!(end_of(wire), Some((_, true))));
                self.events.push(Event::Doubtful);
                self.closed = true;
            }
            Progress::Ended { taken } => {
                let before = wire.len() - input.len();
                assert_eq!(end_of(wire), Some((before + taken, false)), "it ended where it has no end");
                wire.truncate(before + taken);
                assert_eq!(*content, unstuffed(&wire[..wire.len() - 3]), "the content is not what was sent");
                sent_again(content);
                self.buffer = input[taken..].to_vec();
                let reply = if unstuffer.found_bare() { reply::bare_line_ends() } else { reply::ok() };
                let reply = self.session.message(reply);
                assert!(self.session.transaction().is_none(), "a transaction outlived its message");
                (self.open, self.accepted) = (false, 0);
                self.events.push(Event::Taken(envelope, incoming.content, incoming.unstuffer.found_bare()));
                self.said(&reply);
            }
        }
        true
    }
}

/// Where content ends, dot and line end included, and whether readers could differ on that: the line before it ended in CR CR LF.
fn end_of(wire: &[u8]) -> Option<(usize, bool)> {
    if wire.starts_with(b".\r\n") {
        return Some((3, false));
    }
    let at = wire.windows(5).position(|five| five == b"\r\n.\r\n")?;
    Some((at + 5, at > 0 && wire[at - 1] == b'\r'))
}

/// The content that these bytes carry, written down the simple way: lines end in CR LF, one dot at their start goes, bare CR and LF become CR LF.
fn unstuffed(wire: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = wire;
    while !rest.is_empty() {
        let end = rest.windows(2).position(|two| two == b"\r\n");
        let line = &rest[..end.unwrap_or(rest.len())];
        let line = line.strip_prefix(b".").unwrap_or(line);
        for byte in line {
            match byte {
                b'\r' | b'\n' => out.extend_from_slice(b"\r\n"),
                _ => out.push(*byte),
            }
        }
        if end.is_some() {
            out.extend_from_slice(b"\r\n");
        }
        rest = &rest[end.map_or(rest.len(), |end| end + 2)..];
    }
    out
}

/// What was taken in arrives at the next hop as the same message.
fn sent_again(content: &[u8]) {
    let content = Bytes::copy_from_slice(content);
    let (mut stuffer, mut wire) = (Stuffer::default(), Vec::new());
    let half = content.len() / 2;
    stuffer.push(content.slice(..half), &mut wire);
    stuffer.push(content.slice(half..), &mut wire);
    wire.push(stuffer.end());
    let wire = wire.concat();
    let mut back = Vec::new();
    let progress = Unstuffer::new().push(&wire, |run| back.extend_from_slice(run));
    assert_eq!(progress, Progress::Ended { taken: wire.len() });
    assert_eq!(
        back.strip_suffix(if content.ends_with(b"\r\n") || content.is_empty() { b"".as_slice() } else { b"\r\n" }),
        Some(&content[..])
    );
    assert_eq!(with_crlf(&back), back);
}

/// A reply that every client reads in one way (RFC 5321 4.2).
pub fn sound(reply: &Reply) -> Vec<u8> {
    let mut bytes = Vec::new();
    reply.write(&mut bytes);
    let text = std::str::from_utf8(&bytes).expect("a reply is ASCII");
    let lines: Vec<&str> = text.strip_suffix("\r\n").expect("a reply ends in CR LF").split("\r\n").collect();
    for (number, line) in lines.iter().enumerate() {
        assert!(line.len() <= 510 && line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line:?}");
        assert!(line.starts_with(&reply.code().to_string()));
        let separator = if number + 1 == lines.len() { " " } else { "-" };
        assert_eq!(line.get(3..4), Some(separator), "{line:?}");
    }
    bytes
}
