//! What is counted, one layer a case. A case makes everything ready, and gives what does the counted work so many times.

use std::hint::black_box;
use std::path::Path as File;
use std::sync::Arc;

use bytes::Bytes;
use transom::base::budget::Budget;
use transom::base::{clock, random};
use transom::chain::Chain;
use transom::chain::link::Link;
use transom::chain::rule::{RuleFile, Shared};
use transom::mail::{Client, Mail, Origin, Protocol, Standing};
use transom::message::{Limits, Message, Piece, Receiver, Room};
use transom::smtp::data::Unstuffer;
use transom::smtp::envelope::{Declared, Envelope};
use transom::smtp::extension::{Extensions, Offer, Submitter};
use transom::smtp::path::Path;
use transom::smtp::reply;
use transom::smtp::session::{Question, Session, Step, Terms};
use transom::smtp::stuff::Stuffer;
use transom::yaml::{self, Problems, Source};

use super::{counted, samples, whole};

/// Does the work of a case so many times.
pub type Work = Box<dyn FnMut(u32)>;

struct Case {
    name: &'static str,
    /// Runs that are counted, after a quarter as many that are not.
    times: u32,
    prepare: fn() -> Work,
}

const fn case(name: &'static str, times: u32, prepare: fn() -> Work) -> Case {
    Case { name, times, prepare }
}

/// Identifiers take their randomness from a supply for 64 of them, so whole messages are counted in a multiple of that.
const CASES: &[Case] = &[
    case("data-text", 20, || data(&samples::text())),
    case("data-dots", 20, || data(&samples::dots())),
    case("session-dialogue", 20, session),
    case("index-text", 20, || index(samples::text())),
    case("index-multipart", 20, || index(samples::multipart())),
    case("index-200-fields", 20, || index(samples::many_fields())),
    case("chain-published-text", 20, || chain(published(), samples::text(), OUTSIDE)),
    case("chain-published-multipart", 20, || chain(published(), samples::multipart(), OUTSIDE)),
    case("chain-published-leaving", 20, || chain(published(), samples::text(), INSIDE)),
    case("chain-four-changes", 20, || chain(four_changes(), samples::text(), OUTSIDE)),
    case("output-untouched", 20, || output(mail(&samples::text(), OUTSIDE).message)),
    case("output-four-changes", 20, || output(four_changes().run(mail(&samples::text(), OUTSIDE), &[]).mail.message)),
    case("message-no-rules", 256, || whole::message("rules: []\n", "X-Remove-Tracking: internal-7\r\n")),
    case("message-four-changes", 256, || whole::message(samples::FOUR_CHANGES, "X-Filtered: yes\r\n")),
];

/// For the shipped rules, which tell by the address who is inside.
const OUTSIDE: &str = "192.0.2.1";
const INSIDE: &str = "10.1.2.3";

pub fn names() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|case| case.name)
}

/// How often the case of that name does its work while it is counted.
pub fn times(name: &str) -> u32 {
    find(name).times
}

fn find(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).expect("a case of the list")
}

/// Runs a case: under callgrind, for its count.
pub fn run(name: &str) {
    let case = find(name);
    let mut work = (case.prepare)();
    work(case.times / 4);
    counted::count(&mut work, case.times);
}

fn repeat<T>(mut once: impl FnMut() -> T + 'static) -> Work {
    Box::new(move |times| {
        for _ in 0..times {
            black_box(once());
        }
    })
}

fn data(message: &str) -> Work {
    let wire = samples::on_the_wire(message);
    repeat(move || {
        let mut size = 0;
        let progress = Unstuffer::new().push(black_box(&wire), |run| size += black_box(run).len());
        (progress, size)
    })
}

/// A whole dialogue, with what clients get wrong.
fn session() -> Work {
    const LINES: &[&str] = &[
        "EHLO client.example.com",
        "MAIL FROM:<sender@example.com> SIZE=10240 BODY=8BITMIME",
        "RCPT TO:<rcpt@example.net>",
        "RCPT TO:<other@example.net>",
        "RCPT TO:<third@example.net>",
        "DATA",
        "NOOP",
        "MAIL FROM:<>",
        "RCPT TO:<not an address>",
        "RSET",
        "VRFY sender",
        "MAIL FROM:<sender@example.com>",
        "RCPT TO:<rcpt@example.net>",
        "DATA",
        "NONSENSE",
        "QUIT",
    ];
    let lines: Vec<String> = LINES.iter().map(|line| format!("{line}\r\n")).collect();
    let terms = Terms { hostname: "mx.example.net".to_owned(), token: "ABCDEFGHIJ".into(), recipients: 1000, commands: 1000, errors: 20 };
    let terms = Arc::new(terms);
    let offer = Offer {
        size: 100_000_000,
        room: 100_000_000,
        recipients: 1000,
        announced: Extensions::ALL,
        understood: Extensions::ALL,
        submitter: Submitter::Hidden,
        known: true,
    };
    repeat(move || {
        let mut session = Session::new(Arc::clone(&terms));
        let mut out = Vec::new();
        session.open().write(&mut out);
        for line in &lines {
            let reply = match session.line(line.as_bytes(), false, &offer) {
                Step::Reply(reply) => reply,
                Step::Ask(Question::Recipient(path)) => session.recipient(path, reply::recipient_ok()),
                Step::Ask(Question::Message(_)) => session.message(reply::ok()),
                other => panic!("{other:?}"),
            };
            reply.write(&mut out);
        }
        out
    })
}

fn limits() -> Arc<Limits> {
    Arc::new(Limits {
        message_size: 100_000_000,
        header_size: 1_000_000,
        header_fields: 1000,
        depth: 100,
        parts: 10_000,
        part_fields: 10_000,
        memory: 1_000_000,
        text: 10_000_000,
    })
}

fn room() -> Room {
    let budget = || Budget::new(1_000_000_000);
    Room { memory: budget(), disk: budget(), directory: std::env::temp_dir().into(), owner: "counts".into() }
}

fn index(message: String) -> Work {
    let (limits, room) = (limits(), room());
    repeat(move || {
        let received = received(message.as_bytes(), &limits, &room);
        black_box((received.parts().len(), received.malformed().len()));
        received
    })
}

fn received(message: &[u8], limits: &Arc<Limits>, room: &Room) -> Message {
    let mut receiver = Receiver::new(Arc::clone(limits), room.clone());
    receiver.push(message).unwrap();
    receiver.finish().unwrap()
}

/// Each mail is a new one: what a message has decoded once, its copies know.
fn chain(chain: Chain, message: String, client: &'static str) -> Work {
    repeat(move || {
        let mut mail = None;
        counted::leave_out(&mut || mail = Some(self::mail(&message, client)));
        mail.map(|mail| chain.run(mail, &[]))
    })
}

/// All rule files that are shipped.
fn published() -> Chain {
    let directory = File::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let mut names = transom::base::disk::list(&directory).unwrap();
    names.retain(|name| File::new(name).extension().is_some_and(|extension| extension == "yaml"));
    names.sort();
    built(|shared, problems| names.iter().filter_map(|name| RuleFile::read(&directory.join(name), shared, problems)).collect())
}

fn four_changes() -> Chain {
    built(|shared, problems| {
        let node = yaml::parse(&Source::new("bench.yaml".to_owned(), samples::FOUR_CHANGES.to_owned()), problems).unwrap();
        vec![Arc::new(RuleFile::load(&node, File::new("bench.yaml"), shared, problems))]
    })
}

fn built(files: impl FnOnce(&mut Shared, &mut Problems) -> Vec<Arc<RuleFile>>) -> Chain {
    let (mut shared, mut problems) = (Shared::default(), Problems::default());
    let files = files(&mut shared, &mut problems);
    let chain = Chain::build(vec![Link::of(files)], &shared, &mut problems);
    assert!(!problems.any_error(), "{}", problems.render(false));
    chain
}

fn mail(message: &str, client: &str) -> Mail {
    let client = Some(client.parse().unwrap());
    let origin = Origin {
        peer: client,
        client: Client { address: client, ..Client::default() },
        standing: Standing::Outside,
        helo: "client.example.com".into(),
        protocol: Protocol::Esmtp,
        tls: None,
        user: None,
        listener: "127.0.0.1:25".into(),
        time: clock::now(),
        session: random::ulid(),
        id: random::ulid(),
        token: "ABCDEFGHIJ".into(),
    };
    let path = |address| Path::parse(address).unwrap();
    let envelope =
        Envelope { sender: path("sender@example.com"), recipients: vec![path("rcpt@example.net").into()], declared: Declared::default() };
    Mail { origin: Arc::new(origin), envelope, message: received(message.as_bytes(), &limits(), &room()) }
}

/// What is written to the next hop.
fn output(message: Message) -> Work {
    repeat(move || {
        let (mut stuffer, mut out) = (Stuffer::default(), Vec::new());
        for piece in message.pieces() {
            let Piece::Memory(bytes) = piece else { panic!("it lies in memory") };
            stuffer.push(bytes, &mut out);
        }
        let end: Bytes = stuffer.end();
        out.push(end);
        out
    })
}
