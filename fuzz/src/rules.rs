//! Rule files: any text is either refused with its problems drawn, or gives rules that rule every mail.

use std::sync::Arc;
use std::time::Duration;

use transom::chain::class::Part;
use transom::chain::rule::{RuleFile, Shared};
use transom::chain::ruling::{Outcome, Ruling};
use transom::chain::{Chain, Limits, example};
use transom::mail::Mail;
use transom::smtp::envelope::{Declared, Envelope, Recipient};
use transom::smtp::path::Path;
use transom::yaml::{self, Problems, Source};

use super::case::Case;
use super::mail::{output, parse};

/// What the rules meet, each with things to find.
const MAILS: [&[u8]; 3] = [
    b"From: \"A. Person\" <a@outside.example>\r\nTo: b@inside.example, c@inside.example\r\nSubject: =?utf-8?q?caf=C3=A9?= secret 4111 1111 1111 1111\r\nReceived: from x ([10.1.2.3]) by y; Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@outside.example>\r\n\r\nsecret one two\r\nhttp://outside.example/\r\n",
    b"From: a@outside.example\r\nSubject: parts\r\nX-Spam: yes\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>sec<b>ret</b> caf=C3=A9</p>\r\n--b\r\nContent-Type: application/octet-stream; name=\"run.exe\"\r\nContent-Transfer-Encoding: base64\r\n\r\nTVqQAAMAAAAEAAAA\r\n--b--\r\n",
    b"no colon\r\nSubject: a\r\nSubject: b\r\nContent-Type: multipart/mixed\r\nContent-Type: text/plain; charset=nobody\r\n\r\n\xff\xfe\0",
];

pub fn run(input: &[u8]) {
    let case = Case::of(input);
    let Ok(text) = std::str::from_utf8(case.content) else { return };
    let mut problems = Problems::default();
    let chain = load(text, &mut problems);
    problems.sort();
    let drawn = problems.render(false);
    assert_eq!(drawn.is_empty(), problems.is_empty(), "what is wrong is told");
    let Some(chain) = chain.filter(|_| !problems.any_error()) else { return };
    for mail in MAILS {
        // What speaks of all recipients at once may answer otherwise for one of them.
        rule(&chain, mail, !text.contains("recipients") && !text.contains("recipient."));
    }
}

fn load(text: &str, problems: &mut Problems) -> Option<Chain> {
    let Some(node) = yaml::parse(&Source::new("fuzz.yaml", text), problems) else {
        assert!(problems.any_error(), "nothing was read and nothing is told");
        return None;
    };
    // Little time and little room, so that the fuzzer finds both ends.
    let limits =
        Limits { time: Duration::from_millis(500), decoded: 1 << 16, pattern_size: 100_000, list_entries: 100, added_recipients: 3 };
    let mut shared = Shared { limits, inside: example::inside(), ..Shared::default() };
    let file = RuleFile::load(&node, std::path::Path::new("fuzz.yaml"), &mut shared, problems);
    Some(Chain::build(vec![transom::chain::link::Link::of(vec![Arc::new(file)])], &shared, problems))
}

fn rule(chain: &Chain, message: &[u8], tells_apart: bool) {
    let mail = mail(message);
    let parts = chain.parts(&mail, false);
    assert!(output(&mail.message) == message, "the mail was edited with its copies");
    let mut given: Vec<&Recipient> = parts.iter().flat_map(|part| &part.recipients).collect();
    given.sort_by_key(|path| path.address());
    assert_eq!(given, mail.envelope.recipients.iter().collect::<Vec<_>>(), "each recipient in one class");
    for part in &parts {
        sound(&part.ruling);
        let Ruling { mail: ruled, fired, failures, .. } = &part.ruling;
        if let Some(failure) = failures.iter().find(|failure| failure.error.contains("panicked")) {
            panic!("{}: {}", failure.rule, failure.error);
        }
        if fired.is_empty() && failures.is_empty() {
            assert_eq!((part.ruling.word(), &ruled.envelope.sender), ("deliver", &mail.envelope.sender));
            assert!(output(&ruled.message) == message, "nothing fired and something changed");
        }
    }
    if parts.iter().all(|part| part.ruling.failures.is_empty()) {
        same(&parts, &chain.parts(&mail, true));
        if tells_apart {
            alone(chain, &mail, &parts);
        }
    }
}

/// The same rules and the same mail give the same, traced or not.
fn same(parts: &[Part], again: &[Part]) {
    assert_eq!(parts.len(), again.len());
    for (one, other) in parts.iter().zip(again) {
        assert_eq!((&one.recipients, &one.by), (&other.recipients, &other.by));
        same_ruling(&one.ruling, &other.ruling);
    }
}

fn same_ruling(one: &Ruling, other: &Ruling) {
    assert_eq!((one.word(), one.reply(), &one.fired), (other.word(), other.reply(), &other.fired));
    assert_eq!((&one.tags, &one.scores, &one.holds), (&other.tags, &other.scores, &other.holds));
    assert!(output(&one.mail.message) == output(&other.mail.message), "the same rules gave two messages");
}

/// A chain reads as if it ran once per recipient (DESIGN decision 2).
fn alone(chain: &Chain, mail: &Mail, parts: &[Part]) {
    for recipient in &mail.envelope.recipients {
        let mut single = mail.clone();
        single.envelope.recipients = vec![recipient.clone()];
        let by_itself = chain.parts(&single, false);
        let part = parts.iter().find(|part| part.recipients.contains(recipient)).expect("it is in one of them");
        assert_eq!(by_itself.len(), 1);
        if by_itself[0].ruling.failures.is_empty() {
            same_ruling(&part.ruling, &by_itself[0].ruling);
        }
    }
}

/// What comes out can be sent.
fn sound(ruling: &Ruling) {
    if let Outcome::Reject(verdict) | Outcome::Defer(verdict) = &ruling.outcome {
        assert!(matches!(verdict.code, 400..=599) && verdict.text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{verdict:?}");
    }
    let out = output(&ruling.mail.message);
    let limits =
        transom::message::Limits { header_size: u64::MAX, header_fields: u64::MAX, message_size: u64::MAX, ..super::mail::limits() };
    let again = parse(&out, &limits).expect("what comes out is a message");
    assert_eq!(super::mail::tree(&again), super::mail::tree(&ruling.mail.message), "what is sent reads otherwise");
    assert!(super::case::with_crlf(&out) == out, "a bare line end in what comes out");
    assert!(!ruling.mail.envelope.recipients.is_empty() || ruling.word() != "deliver", "delivered to nobody");
}

fn mail(message: &[u8]) -> Mail {
    let path = |address: &str| Path::parse(address).expect("an address");
    let envelope = Envelope {
        sender: path("a@outside.example"),
        recipients: ["b@inside.example", "c@inside.example", "d@outside.example"].map(|one| path(one).into()).to_vec(),
        declared: Declared::default(),
    };
    let message = parse(message, &super::mail::limits()).expect("a message");
    Mail { origin: Arc::new(example::origin()), envelope, message }
}
