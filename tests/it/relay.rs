//! Every way a next hop can misbehave ends in a precise result, in time (SEMANTICS 2, 4, 11; DESIGN decisions 1, 3, 4).

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use transom::base::budget::Budget;
use transom::config::{Connections, Place, Route};
use transom::message::{Limits, Message, Receiver, Room};
use transom::relay::{Behalf, Delivery, NextHop as Address, Relay, RelayError, Settings, Transaction, Unfit, Until, Word};
use transom::smtp::client::Answer;
use transom::smtp::envelope::{Declared, Envelope, Recipient};
use transom::smtp::extension::{Extension, Extensions};
use transom::smtp::path::Path;

use crate::support::PATIENCE;
use crate::support::next_hop::{Act, NextHop, Script};

/// Short, so that silence is over soon. Only what never comes is waited for so: whatever does come may take its time.
pub const SILENCE: Duration = Duration::from_millis(250);
/// The same where another next hop, or a stage before, has to be in time.
pub const LONG_SILENCE: Duration = Duration::from_secs(3);

pub fn route(hops: &[&NextHop]) -> Route {
    let next_hops = hops.iter().map(|hop| Address::tcp(hop.address.ip().to_string(), hop.address.port())).collect();
    let connections = Connections { wait: SILENCE, connect: PATIENCE, ..Connections::default() };
    Route { next_hops, connections, ..Route::default() }
}

pub fn settings(hops: &[&NextHop]) -> Settings {
    Settings {
        hostname: "filter.example.org".to_owned(),
        token: "OURTOKENXX".to_owned(),
        routes: vec![Arc::new(route(hops))],
        next_hop: PATIENCE,
        after_dot: PATIENCE,
        min_data_rate: 500,
    }
}

/// As far as this act asks for it, soon tired of waiting.
pub fn tired_of(act: Act, line: &str, settings: Settings) -> Settings {
    match (act, line) {
        (Act::Silence, "." | "BDAT") => Settings { after_dot: SILENCE, ..settings },
        (Act::Silence, _) => Settings { next_hop: SILENCE, ..settings },
        _ => settings,
    }
}

/// With other connections than usual.
fn connecting(hop: &NextHop, change: impl FnOnce(&mut Connections)) -> Settings {
    let mut route = route(&[hop]);
    change(&mut route.connections);
    Settings { routes: vec![Arc::new(route)], ..settings(&[hop]) }
}

fn one_at_a_time(connections: &mut Connections) {
    (connections.max, connections.wait) = (1, PATIENCE);
}

pub fn relay(hops: &[&NextHop]) -> Relay {
    Relay::new(settings(hops))
}

pub fn path(address: &str) -> Path {
    Path::parse(address).unwrap()
}

pub fn transaction(relay: &Relay) -> Transaction {
    relay.transaction(None, Behalf::default(), path("a@example.org"), Declared { size: Some(100), ..Declared::default() })
}

pub fn paths(recipients: &[&str]) -> Vec<Recipient> {
    recipients.iter().map(|address| path(address).into()).collect()
}

pub fn envelope(recipients: &[&str]) -> Envelope {
    Envelope { sender: path("a@example.org"), recipients: paths(recipients), declared: Declared::default() }
}

pub fn limits(memory: u64) -> Arc<Limits> {
    Arc::new(Limits {
        message_size: 10_000_000,
        header_size: 100_000,
        header_fields: 100,
        depth: 10,
        parts: 10,
        part_fields: 100,
        memory,
        text: 1_000_000,
    })
}

pub fn message(bytes: &'static [u8]) -> Message {
    Message::parse(Bytes::from_static(bytes), &limits(10_000_000)).unwrap()
}

pub fn small() -> Message {
    message(b"Subject: x\r\n\r\n.dotted\r\nend\r\n")
}

pub fn soon() -> Until {
    let now = Instant::now();
    Until { deadline: now + PATIENCE, hard_deadline: now + 2 * PATIENCE }
}

pub async fn deliver(transaction: &mut Transaction, recipients: &[&str], message: &Message) -> Delivery {
    transaction.deliver(&envelope(recipients), message, soon(), &mut std::future::pending()).await
}

/// What a result is called below.
pub fn word(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Accepted { answer, .. } => format!("accepted {}", answer.code),
        Delivery::Refused { answer, .. } => format!("refused {}", answer.code),
        Delivery::RefusedBefore { answer, .. } => format!("refused before {}", answer.code),
        Delivery::Recipients { refused, .. } => {
            format!("recipients {}", refused.iter().map(|(_, answer)| answer.code.to_string()).collect::<Vec<_>>().join(" "))
        }
        Delivery::Beyond { refused, .. } => format!("{} too many", refused.len()),
        Delivery::Each { words, .. } => {
            words.iter().map(|(to, word)| format!("{} {}", to.address(), of_one(word))).collect::<Vec<_>>().join(", ")
        }
        Delivery::Unfit(unfit) => format!("{unfit:?}"),
        Delivery::Unavailable(_) => "unavailable".to_owned(),
        Delivery::ClientGone => "gone".to_owned(),
        Delivery::InDoubt { .. } => "in doubt".to_owned(),
    }
}

fn of_one(word: &Word) -> String {
    match word {
        Word::Said(answer) => answer.code.to_string(),
        Word::Unknown(_) => "in doubt".to_owned(),
    }
}

pub fn codes(answers: &[Result<Answer, RelayError>]) -> Vec<u16> {
    answers.iter().map(|answer| answer.as_ref().map_or(0, |answer| answer.code)).collect()
}

const GREETING_421: &str = "421 4.3.2 too busy\r\n";
const TWICE: &str = "250 2.0.0 ok\r\n250 2.0.0 and again\r\n";

/// One connection that misbehaves at one place, and all others alike: the mail goes out in one go, to b and c.
#[tokio::test]
async fn every_stage_and_every_misbehaviour() {
    let table: &[(&str, Act, &str)] = &[
        ("connect", Act::Say("554 5.3.2 no\r\n"), "unavailable"),
        ("connect", Act::Say(GREETING_421), "unavailable"),
        ("connect", Act::Say("SSH-2.0-OpenSSH\r\n"), "unavailable"),
        ("connect", Act::Close, "unavailable"),
        ("connect", Act::Silence, "unavailable"),
        ("EHLO", Act::Say("421 4.3.2 later\r\n"), "unavailable"),
        ("EHLO", Act::Say("garbage\r\n"), "unavailable"),
        ("EHLO", Act::Close, "unavailable"),
        ("EHLO", Act::Silence, "unavailable"),
        ("EHLO", Act::Say("502 5.5.1 what\r\n"), "accepted 250"),
        ("MAIL", Act::Say("450 4.1.8 later\r\n"), "refused before 450"),
        ("MAIL", Act::Say("550 5.1.8 never\r\n"), "refused before 550"),
        ("MAIL", Act::Say("552 5.3.4 too big\r\n"), "refused before 552"),
        ("MAIL", Act::Say("503 5.5.1 order\r\n"), "unavailable"),
        ("MAIL", Act::Say("555 5.5.4 parameter\r\n"), "unavailable"),
        ("MAIL", Act::SayAndClose("421 4.3.2 bye\r\n"), "unavailable"),
        ("MAIL", Act::Say("354 what\r\n"), "unavailable"),
        ("MAIL", Act::Say("hello\r\n"), "unavailable"),
        ("MAIL", Act::Say(TWICE), "unavailable"),
        ("MAIL", Act::Close, "unavailable"),
        ("MAIL", Act::Silence, "unavailable"),
        ("RCPT TO:<c@", Act::Say("450 4.2.1 later\r\n"), "recipients 450"),
        ("RCPT TO:<c@", Act::Say("550 5.1.1 never\r\n"), "recipients 550"),
        ("RCPT", Act::Say("550 5.1.1 never\r\n"), "recipients 550 550"),
        ("RCPT TO:<c@", Act::Say("503 5.5.1 order\r\n"), "unavailable"),
        ("RCPT TO:<c@", Act::SayAndClose("421 4.3.2 bye\r\n"), "unavailable"),
        ("RCPT TO:<c@", Act::Say("\x00\x01\r\n"), "unavailable"),
        ("RCPT TO:<c@", Act::Say(TWICE), "unavailable"),
        ("RCPT TO:<c@", Act::Close, "unavailable"),
        ("RCPT TO:<c@", Act::Silence, "unavailable"),
        ("DATA", Act::Say("451 4.3.0 later\r\n"), "refused before 451"),
        ("DATA", Act::Say("554 5.7.1 never\r\n"), "refused before 554"),
        ("DATA", Act::Say("250 2.0.0 what\r\n"), "unavailable"),
        ("DATA", Act::Say("503 5.5.1 order\r\n"), "unavailable"),
        ("DATA", Act::SayAndClose("421 4.3.2 bye\r\n"), "unavailable"),
        ("DATA", Act::Say("yes?\r\n"), "unavailable"),
        ("DATA", Act::Say("354 go\r\n250 2.0.0 taken\r\n"), "unavailable"),
        ("DATA", Act::Close, "unavailable"),
        ("DATA", Act::Silence, "unavailable"),
        (".", Act::Say("452 4.3.1 later\r\n"), "refused 452"),
        (".", Act::Say("550 5.7.1 never\r\n"), "refused 550"),
        (".", Act::SayAndClose("421 4.3.2 bye\r\n"), "refused 421"),
        (".", Act::Say("354 more\r\n"), "in doubt"),
        (".", Act::Say("ok!\r\n"), "in doubt"),
        (".", Act::Close, "in doubt"),
        (".", Act::Silence, "in doubt"),
        (".", Act::Say(TWICE), "accepted 250"),
        (".", Act::SayAndClose("250 2.0.0 taken\r\n"), "accepted 250"),
    ];
    for keywords in [&["PIPELINING", "8BITMIME", "SIZE"][..], &[]] {
        for (line, act, expected) in table {
            let hop = NextHop::start([Script::offering(keywords).at(line, *act)]);
            let relay = Relay::new(tired_of(*act, line, settings(&[&hop])));
            let delivery = deliver(&mut transaction(&relay), &["b@example.org", "c@example.org"], &small()).await;
            assert_eq!(word(&delivery), *expected, "{line} {act:?} {keywords:?}: {delivery:?}");
            let dots = usize::from(*line == "." || *expected == "accepted 250");
            assert_eq!(hop.log().messages.len(), dots, "{line} {act:?}: a dot that must not be, or none");
        }
    }
}

#[tokio::test]
async fn the_message_arrives_as_it_is_stuffed_once_and_with_one_end() {
    let hop = NextHop::start([Script::good()]);
    let relay = relay(&[&hop]);
    let delivery = deliver(&mut transaction(&relay), &["b@example.org"], &small()).await;
    assert_eq!(word(&delivery), "accepted 250");
    assert_eq!(hop.log().messages, [b"Subject: x\r\n\r\n..dotted\r\nend\r\n"]);
    assert_eq!(hop.log().of(0)[1..3], ["MAIL FROM:<a@example.org> SIZE=28 BODY=8BITMIME", "RCPT TO:<b@example.org>"]);
}

#[tokio::test]
async fn a_large_message_arrives_whole() {
    let line = b".0123456789012345678901234567890123456789012345678901234567890123456789\r\n";
    let content: &'static [u8] = [&b"Subject: x\r\n\r\n"[..], &line.repeat(50_000)].concat().leak();
    let hop = NextHop::start([Script::offering(&["PIPELINING"])]);
    let relay = relay(&[&hop]);
    let delivery = deliver(&mut transaction(&relay), &["b@example.org"], &message(content)).await;
    assert_eq!(word(&delivery), "accepted 250");
    let stuffed = [&b"Subject: x\r\n\r\n"[..], &[&b"."[..], line].concat().repeat(50_000)].concat();
    assert!(hop.log().messages[0] == stuffed);
}

#[tokio::test]
async fn content_in_a_file_arrives_like_any_other() {
    let content = [&b"Subject: x\r\n\r\n"[..], &b".abc\r\n".repeat(200_000)].concat();
    let directory = tempfile::tempdir().unwrap();
    let room =
        Room { memory: Budget::new(100_000_000), disk: Budget::new(100_000_000), directory: directory.path().into(), owner: "me".into() };
    let mut receiver = Receiver::new(limits(1000), room);
    for piece in content.chunks(7000) {
        receiver.push(piece).unwrap();
        if receiver.wants_flush() {
            receiver.flush().unwrap();
        }
    }
    let message = receiver.finish().unwrap();
    assert!(message.in_file());
    let hop = NextHop::start([Script::offering(&[])]);
    let relay = relay(&[&hop]);
    assert_eq!(word(&deliver(&mut transaction(&relay), &["b@example.org"], &message).await), "accepted 250");
    assert!(hop.log().messages[0] == [&b"Subject: x\r\n\r\n"[..], &b"..abc\r\n".repeat(200_000)].concat());
}

#[tokio::test]
async fn each_recipient_has_its_own_answer() {
    for keywords in [&["PIPELINING"][..], &[]] {
        let script =
            Script::offering(keywords).at("RCPT TO:<c@", Act::Say("550 5.1.1 no\r\n")).at("RCPT TO:<d@", Act::Say("530 5.7.0 log in\r\n"));
        let hop = NextHop::start([script]);
        let relay = relay(&[&hop]);
        let mut transaction = transaction(&relay);
        let answers = transaction.recipients(&paths(&["b@example.org", "c@example.org", "d@example.org"])).await;
        assert_eq!(codes(&answers), [250, 550, 0]);
        assert_eq!(codes(&transaction.recipients(&paths(&["e@example.org"])).await), [250]);
        let delivery = deliver(&mut transaction, &["e@example.org", "b@example.org"], &small()).await;
        assert_eq!(word(&delivery), "accepted 250");
        assert_eq!(
            (hop.log().count("MAIL"), hop.log().count("RSET"), hop.log().connections),
            (1, 0, 1),
            "the open transaction is the one used"
        );
    }
}

#[tokio::test]
async fn three_hundred_recipients_are_asked_about_in_order() {
    let hop = NextHop::start([Script::good().at("RCPT TO:<r7@", Act::Say("550 5.1.1 no\r\n"))]);
    let relay = relay(&[&hop]);
    let many: Vec<Recipient> = (0..300).map(|number| path(&format!("r{number}@example.org")).into()).collect();
    let answers = codes(&transaction(&relay).recipients(&many).await);
    assert_eq!(answers.iter().position(|code| *code == 550), Some(7));
    assert_eq!(answers.iter().filter(|code| **code == 250).count(), 299);
}

#[tokio::test]
async fn a_refused_mail_is_each_recipients_answer_and_asked_once() {
    for keywords in [&["PIPELINING"][..], &[]] {
        let hop = NextHop::start([Script::offering(keywords).at("MAIL", Act::Say("552 5.2.2 full\r\n"))]);
        let relay = relay(&[&hop]);
        let mut transaction = transaction(&relay);
        assert_eq!(codes(&transaction.recipients(&paths(&["b@example.org", "c@example.org"])).await), [554, 554]);
        assert_eq!(codes(&transaction.recipients(&paths(&["d@example.org"])).await), [554]);
        assert_eq!(hop.log().count("MAIL"), 1);
    }
}

#[tokio::test]
async fn another_envelope_takes_a_fresh_transaction_on_the_same_connection() {
    let hop = NextHop::start([Script::good()]);
    let relay = relay(&[&hop]);
    let mut transaction = transaction(&relay);
    transaction.recipients(&paths(&["b@example.org", "c@example.org"])).await;
    assert_eq!(word(&deliver(&mut transaction, &["b@example.org"], &small()).await), "accepted 250");
    let log = hop.log();
    assert_eq!(log.connections, 1);
    let size = "MAIL FROM:<a@example.org> SIZE=28 BODY=8BITMIME";
    assert_eq!(log.of(0)[4..], ["RSET", size, "RCPT TO:<b@example.org>", "DATA"]);
}

#[tokio::test]
async fn what_is_given_back_is_opened_again() {
    let hop = NextHop::start([Script::good()]);
    let relay = relay(&[&hop]);
    let mut transaction = transaction(&relay);
    transaction.recipients(&paths(&["b@example.org"])).await;
    assert!(transaction.is_open());
    transaction.give_back().await;
    assert!(!transaction.is_open());
    assert_eq!(codes(&transaction.recipients(&paths(&["c@example.org"])).await), [250]);
    assert_eq!(word(&deliver(&mut transaction, &["b@example.org", "c@example.org"], &small()).await), "accepted 250");
    assert_eq!((hop.log().connections, hop.log().count("RSET"), hop.log().count("MAIL")), (1, 1, 2));
}

#[tokio::test]
async fn a_recipient_refused_anew_leaves_the_others_open() {
    let hop = NextHop::start([Script::good().at("RCPT TO:<x@", Act::Say("550 5.1.1 no\r\n"))]);
    let relay = relay(&[&hop]);
    let mut transaction = transaction(&relay);
    transaction.recipients(&paths(&["b@example.org"])).await;
    assert_eq!(word(&deliver(&mut transaction, &["b@example.org", "x@example.org"], &small()).await), "recipients 550");
    assert_eq!(word(&deliver(&mut transaction, &["b@example.org"], &small()).await), "accepted 250");
    assert_eq!(hop.log().count("RSET"), 1);
}

#[tokio::test]
async fn trouble_before_a_word_on_the_mail_goes_to_the_second_next_hop() {
    let acts = [
        ("connect", Act::Say(GREETING_421)),
        ("connect", Act::Say("554 5.3.2 no\r\n")),
        ("connect", Act::Close),
        ("connect", Act::Silence),
        ("EHLO", Act::Say("421 4.3.2 no\r\n")),
        ("EHLO", Act::Close),
        ("MAIL", Act::SayAndClose("421 4.3.2 bye\r\n")),
        ("RCPT", Act::SayAndClose("421 4.3.2 bye\r\n")),
    ];
    for (line, act) in acts {
        let first = NextHop::start([Script::good().at(line, act)]);
        let second = NextHop::start([Script::good()]);
        let next_hop = if matches!(act, Act::Silence) { LONG_SILENCE } else { PATIENCE };
        let relay = Relay::new(Settings { next_hop, ..settings(&[&first, &second]) });
        let delivery = deliver(&mut transaction(&relay), &["b@example.org"], &small()).await;
        assert_eq!(word(&delivery), "accepted 250", "{line} {act:?}: {delivery:?}");
        assert_eq!(second.log().messages.len(), 1);
    }
}

#[tokio::test]
async fn any_other_reply_stays_with_the_first_next_hop() {
    let acts = [
        ("MAIL", Act::Say("450 4.1.8 later\r\n"), "refused before 450"),
        ("MAIL", Act::Silence, "unavailable"),
        ("RCPT TO:<c@", Act::SayAndClose("421 4.3.2 bye\r\n"), "unavailable"),
        ("DATA", Act::SayAndClose("421 4.3.2 bye\r\n"), "unavailable"),
        (".", Act::Close, "in doubt"),
    ];
    for (line, act, expected) in acts {
        let first = NextHop::start([Script::offering(&[]).at(line, act)]);
        let second = NextHop::start([Script::good()]);
        let next_hop = if matches!(act, Act::Silence) { LONG_SILENCE } else { PATIENCE };
        let relay = Relay::new(Settings { next_hop, ..settings(&[&first, &second]) });
        let delivery = deliver(&mut transaction(&relay), &["b@example.org", "c@example.org"], &small()).await;
        let tried_there = second.log().connections;
        // RCPT on a connection where nobody was accepted yet may move on; here b was.
        assert_eq!((word(&delivery).as_str(), tried_there), (expected, 0), "{line} {act:?}");
    }
}

#[tokio::test]
async fn a_next_hop_that_is_down_is_asked_last_for_a_while() {
    let down = NextHop::start([Script::good().at("connect", Act::Close)]);
    let up = NextHop::start([Script::good()]);
    let relay = relay(&[&down, &up]);
    for _ in 0..3 {
        assert_eq!(word(&deliver(&mut transaction(&relay), &["b@example.org"], &small()).await), "accepted 250");
    }
    assert_eq!((down.log().connections, up.log().connections), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_used_again_and_retired() {
    let hop = NextHop::start([Script::good()]);
    let relay = Relay::new(connecting(&hop, |connections| connections.messages = 3));
    for _ in 0..7 {
        assert_eq!(word(&deliver(&mut transaction(&relay), &["b@example.org"], &small()).await), "accepted 250");
    }
    let log = hop.wait_for(|log| log.closed == 2);
    assert_eq!((log.connections, log.count("QUIT"), log.messages.len()), (3, 2, 7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_refused_recipients_retire_a_connection() {
    let hop = NextHop::start([Script::good().at("RCPT", Act::Say("550 5.1.1 no\r\n"))]);
    let relay = relay(&[&hop]);
    let mut transaction = transaction(&relay);
    transaction.recipients(&paths(&["b@example.org", "c@example.org", "d@example.org"])).await;
    transaction.give_back().await;
    hop.wait_for(|log| log.closed == 1);
}

#[tokio::test]
async fn a_stale_pooled_connection_costs_nothing() {
    // The first connection closes after its first message: at once, or when it is used again, or with a 421 or 554 then.
    let stale = [
        Script::good().at(".", Act::SayAndClose("250 2.0.0 taken\r\n")),
        Script::good().at(".", Act::Say("250 2.0.0 taken\r\n")).at("MAIL FROM:<second@", Act::Close),
        Script::good().at("MAIL FROM:<second@", Act::SayAndClose("421 4.4.2 idle too long\r\n")),
        Script::good().at("MAIL FROM:<second@", Act::SayAndClose("554 too many commands\r\n")),
        Script::good().at("RCPT TO:<c@", Act::SayAndClose("421 4.4.2 enough\r\n")),
    ];
    for script in stale {
        let hop = NextHop::start([script.clone(), Script::good()]);
        let relay = relay(&[&hop]);
        assert_eq!(word(&deliver(&mut transaction(&relay), &["b@example.org"], &small()).await), "accepted 250");
        let sender = path("second@example.org");
        let second = Envelope { sender: sender.clone(), ..envelope(&["c@example.org"]) };
        let mut transaction = relay.transaction(None, Behalf::default(), sender, Declared::default());
        let delivery = transaction.deliver(&second, &small(), soon(), &mut std::future::pending()).await;
        assert_eq!(word(&delivery), "accepted 250", "{script:?}: {delivery:?}");
        assert_eq!((hop.log().connections, hop.log().messages.len()), (2, 2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_was_closed_in_its_pause_is_opened_anew() {
    let hop = NextHop::start([Script::good().at("RCPT TO:<b@", Act::SayAndClose("250 2.1.5 ok\r\n")), Script::good()]);
    let relay = relay(&[&hop]);
    let mut transaction = transaction(&relay);
    let answers = transaction.recipients(&paths(&["b@example.org"])).await;
    assert_eq!(codes(&answers), [250]);
    hop.wait_for(|log| log.closed == 1);
    assert_eq!(word(&deliver(&mut transaction, &["b@example.org"], &small()).await), "accepted 250");
    assert_eq!(hop.log().of(1)[1..], ["MAIL FROM:<a@example.org> SIZE=28 BODY=8BITMIME", "RCPT TO:<b@example.org>", "DATA"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_talks_in_the_pause_is_closed_and_not_tried_again() {
    let hop =
        NextHop::start([Script::good().at("RCPT TO:<b@", Act::SayAndLater("250 2.1.5 ok\r\n", "250 2.0.0 taken\r\n")), Script::good()]);
    let relay = relay(&[&hop]);
    let mut transaction = transaction(&relay);
    assert_eq!(codes(&transaction.recipients(&paths(&["b@example.org"])).await), [250]);
    hop.say_it_now();
    let delivery = deliver(&mut transaction, &["b@example.org"], &small()).await;
    assert_eq!(word(&delivery), "unavailable");
    let log = hop.wait_for(|log| log.closed == 1);
    assert_eq!((log.connections, log.count("DATA")), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_talked_in_the_pause_does_not_go_back_to_the_pool() {
    let hop =
        NextHop::start([Script::good().at("RCPT TO:<b@", Act::SayAndLater("250 2.1.5 ok\r\n", "250 2.0.0 what\r\n")), Script::good()]);
    let relay = Relay::new(connecting(&hop, one_at_a_time));
    let mut first = transaction(&relay);
    assert_eq!(codes(&first.recipients(&paths(&["b@example.org"])).await), [250]);
    hop.say_it_now();
    first.abandon();
    assert_eq!(word(&deliver(&mut transaction(&relay), &["c@example.org"], &small()).await), "accepted 250");
    assert_eq!((hop.log().connections, hop.log().of(0).last().copied()), (2, Some("RCPT TO:<b@example.org>")));
}

/// On one thread, which asks for nothing between what it is told and the next command: the runtime cannot know yet what lies in the socket.
#[tokio::test]
async fn a_refusal_that_nobody_asked_for_is_nobodys_answer_however_busy_the_thread() {
    let stray = "550 5.7.0 nobody asked\r\n";
    let hop = NextHop::start([Script::good().at("RCPT TO:<b@", Act::SayAndLater("250 2.1.5 ok\r\n", stray))]);
    let mut transaction = transaction(&relay(&[&hop]));
    assert_eq!(codes(&transaction.recipients(&paths(&["b@example.org"])).await), [250]);
    hop.say_it_now();
    assert_eq!(word(&deliver(&mut transaction, &["b@example.org"], &small()).await), "unavailable");
    assert_eq!(hop.log().count("DATA"), 0);

    let hop = NextHop::start([Script::good().at(".", Act::SayAndLater("250 2.0.0 taken\r\n", stray)), Script::good()]);
    let relay = relay(&[&hop]);
    assert_eq!(word(&deliver(&mut self::transaction(&relay), &["b@example.org"], &small()).await), "accepted 250");
    hop.say_it_now();
    let answers = self::transaction(&relay).recipients(&paths(&["c@example.org"])).await;
    assert_eq!(codes(&answers), [250], "{answers:?}");
    assert_eq!(hop.log().connections, 2);
}

#[tokio::test]
async fn a_refused_mail_is_told_although_the_connection_ends_with_it() {
    let hop = NextHop::start([Script::offering(&[]).at("MAIL", Act::SayAndClose("550 5.7.1 not from you\r\n"))]);
    let answers = transaction(&relay(&[&hop])).recipients(&paths(&["b@example.org", "c@example.org"])).await;
    assert_eq!(codes(&answers), [550, 550]);
}

#[tokio::test]
async fn a_refused_first_recipient_does_not_end_a_reused_connection() {
    let hop = NextHop::start([Script::good().at("RCPT TO:<nobody@", Act::Say("554 no such user\r\n"))]);
    let relay = relay(&[&hop]);
    assert_eq!(word(&deliver(&mut transaction(&relay), &["b@example.org"], &small()).await), "accepted 250");
    let answers = transaction(&relay).recipients(&paths(&["nobody@example.org", "c@example.org"])).await;
    assert_eq!((codes(&answers), hop.log().connections), (vec![554, 250], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_recipients_that_is_given_up_leaves_no_connection_behind() {
    let hop = NextHop::start([Script::good().at("RCPT TO:<b@", Act::SayAndLater("", "250 2.1.5 late\r\n")), Script::good()]);
    let relay = Relay::new(connecting(&hop, one_at_a_time));
    let mut first = transaction(&relay);
    let asked = paths(&["b@example.org"]);
    tokio::select! {
        _ = first.recipients(&asked) => panic!("nobody answered"),
        _ = tokio::task::spawn_blocking({ let hop = hop.clone(); move || hop.wait_for(|log| log.count("RCPT") == 1) }) => {}
    }
    assert!(!first.is_open());
    assert_eq!(word(&deliver(&mut transaction(&relay), &["c@example.org"], &small()).await), "accepted 250");
    assert_eq!(hop.log().connections, 2, "the one with an answer to come is not used again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_dot_a_client_that_leaves_changes_nothing() {
    let hop = NextHop::start([Script::good().at(".", Act::SayAndLater("", "250 2.0.0 taken\r\n"))]);
    let relay = relay(&[&hop]);
    let (leave, left) = tokio::sync::oneshot::channel::<()>();
    let waiter = hop.clone();
    let speak = tokio::task::spawn_blocking(move || {
        waiter.wait_for(|log| log.messages.len() == 1);
        leave.send(()).unwrap();
        waiter.say_it_now();
    });
    let mut gone = Box::pin(async { drop(left.await) });
    let delivery = transaction(&relay).deliver(&envelope(&["b@example.org"]), &small(), soon(), &mut gone).await;
    assert_eq!(word(&delivery), "accepted 250");
    speak.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_broken_off_never_gets_a_dot() {
    let content: &'static [u8] =
        [&b"Subject: x\r\n\r\n"[..], &b"0123456789012345678901234567890123456789\r\n".repeat(200_000)].concat().leak();
    for act in [Act::Close, Act::Say("452 4.3.1 full\r\n"), Act::SayAndClose("452 4.3.1 full\r\n")] {
        let hop = NextHop::start([Script::offering(&[]).at("content", act)]);
        let relay = relay(&[&hop]);
        let delivery = deliver(&mut transaction(&relay), &["b@example.org"], &message(content)).await;
        assert_eq!(word(&delivery), "unavailable", "{act:?}: {delivery:?}");
        assert!(hop.wait_for(|log| log.closed == 1).messages.is_empty());
    }
}

#[tokio::test]
async fn a_client_that_is_gone_is_not_sent_on() {
    let hop = NextHop::start([Script::good()]);
    let relay = relay(&[&hop]);
    let mut transaction = transaction(&relay);
    let delivery = transaction.deliver(&envelope(&["b@example.org"]), &small(), soon(), &mut std::future::ready(())).await;
    assert_eq!((word(&delivery).as_str(), hop.log().messages.len()), ("gone", 0));
}

#[tokio::test]
async fn after_the_deadline_nothing_is_sent() {
    let hop = NextHop::start([Script::good().at("DATA", Act::Silence)]);
    let relay = relay(&[&hop]);
    let until = Until { deadline: Instant::now() + SILENCE, hard_deadline: Instant::now() + SILENCE * 2 };
    let delivery = transaction(&relay).deliver(&envelope(&["b@example.org"]), &small(), until, &mut std::future::pending()).await;
    assert_eq!(word(&delivery), "unavailable");
}

#[tokio::test]
async fn what_does_not_fit_is_not_sent() {
    let hop = NextHop::start([Script::offering(&["SIZE 20"])]);
    let relay = relay(&[&hop]);
    assert_eq!(word(&deliver(&mut transaction(&relay), &["b@example.org"], &small()).await), word(&Delivery::Unfit(Unfit::TooLarge)));
    let utf8 = message("Subject: \u{fc}\r\n\r\nx\r\n".as_bytes());
    let declared = Declared { smtputf8: true, ..Declared::default() };
    let envelope = Envelope { declared: declared.clone(), ..envelope(&["b@example.org"]) };
    let delivery = relay
        .transaction(None, Behalf::default(), path("a@example.org"), declared)
        .deliver(&envelope, &utf8, soon(), &mut std::future::pending())
        .await;
    assert_eq!(word(&delivery), word(&Delivery::Unfit(Unfit::NeedsSmtpUtf8)));
    assert_eq!(hop.log().count("MAIL"), 0);
}

#[tokio::test]
async fn smtputf8_that_nothing_needs_is_dropped() {
    let hop = NextHop::start([Script::offering(&[])]);
    let relay = relay(&[&hop]);
    let declared = Declared { smtputf8: true, ..Declared::default() };
    let envelope = Envelope { declared: declared.clone(), ..envelope(&["b@example.org"]) };
    let delivery = relay
        .transaction(None, Behalf::default(), path("a@example.org"), declared)
        .deliver(&envelope, &small(), soon(), &mut std::future::pending())
        .await;
    assert_eq!(word(&delivery), "accepted 250");
    assert_eq!(hop.log().of(0)[1], "MAIL FROM:<a@example.org>");
}

#[tokio::test]
async fn no_more_connections_than_allowed_and_those_who_wait_are_served() {
    let hop = NextHop::start([Script::good()]);
    let relay = Relay::new(connecting(&hop, one_at_a_time));
    let mut first = transaction(&relay);
    first.recipients(&paths(&["b@example.org"])).await;
    let waiting = tokio::spawn({
        let relay = relay.clone();
        async move { codes(&transaction(&relay).recipients(&paths(&["c@example.org"])).await) }
    });
    while !first.is_pressed() {
        tokio::task::yield_now().await;
    }
    first.give_back().await;
    assert_eq!(waiting.await.unwrap(), [250]);
    assert!(!first.is_pressed());
    assert_eq!(hop.log().connections, 1);
}

#[tokio::test]
async fn who_waits_too_long_hears_of_it() {
    let hop = NextHop::start([Script::good()]);
    let relay = Relay::new(connecting(&hop, |connections| connections.max = 1));
    let mut first = transaction(&relay);
    first.recipients(&paths(&["b@example.org"])).await;
    let answers = transaction(&relay).recipients(&paths(&["c@example.org"])).await;
    assert!(matches!(answers[..], [Err(RelayError::Busy(_))]));
}

#[tokio::test]
async fn the_next_hops_are_probed_and_a_loop_is_found() {
    let small = NextHop::start([Script::offering(&["SIZE 1000", "SMTPUTF8", "DSN"])]);
    let large = NextHop::start([Script::offering(&["SIZE 2000", "DSN", "LIMITS RCPTMAX=7"])]);
    let relay = relay(&[&small, &large]);
    assert!(!relay.offered().known);
    relay.probe().await.unwrap();
    let offered = relay.offered();
    assert_eq!((offered.known, offered.size, offered.recipients), (true, Some(1000), Some(7)));
    assert_eq!(offered.extensions, Extensions::default().and(Extension::Dsn, true));
    relay.close().await;
    assert_eq!((small.log().count("QUIT"), large.log().count("QUIT")), (1, 1));

    let ourselves = NextHop::start([Script::offering(&["X-TRANSOM OURTOKENXX"])]);
    let relay = self::relay(&[&ourselves]);
    assert!(matches!(relay.probe().await, Err(RelayError::Loop(_))));
    assert!(matches!(transaction(&relay).recipients(&paths(&["b@example.org"])).await[..], [Err(RelayError::Loop(_))]));
}

#[tokio::test]
async fn what_a_next_hop_offers_is_asked_again_when_it_is_old() {
    let hop = NextHop::start([Script::offering(&["DSN"]), Script::offering(&["SMTPUTF8"])]);
    let relay = relay(&[&hop]);
    relay.probe().await.unwrap();
    relay.refresh(Duration::from_mins(1)).await;
    assert_eq!((hop.log().connections, relay.offered().extensions), (1, Extensions::default().and(Extension::Dsn, true)));
    relay.refresh(Duration::ZERO).await;
    assert_eq!((hop.log().connections, relay.offered().extensions), (2, Extensions::default().and(Extension::SmtpUtf8, true)));
    relay.close().await;
}

#[tokio::test]
async fn a_probe_that_reaches_nobody_says_so() {
    let down = NextHop::start([Script::good().at("connect", Act::Close)]);
    let relay = relay(&[&down]);
    assert!(matches!(relay.probe().await, Err(RelayError::Unavailable(_))));
    assert!(!relay.offered().known);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_closed_when_its_time_is_over() {
    let hop = NextHop::start([Script::good()]);
    let relay = Relay::new(connecting(&hop, |connections| connections.idle_time = SILENCE));
    assert_eq!(word(&deliver(&mut transaction(&relay), &["b@example.org"], &small()).await), "accepted 250");
    assert_eq!(hop.wait_for(|log| log.closed == 1).count("QUIT"), 1);
}

#[tokio::test]
async fn a_421_greeting_lowers_what_is_opened_there() {
    let hop = NextHop::start([Script::good(), Script::good().at("connect", Act::SayAndClose(GREETING_421))]);
    let relay = relay(&[&hop]);
    let mut first = transaction(&relay);
    first.recipients(&paths(&["b@example.org"])).await;
    assert!(matches!(transaction(&relay).recipients(&paths(&["c@example.org"])).await[..], [Err(RelayError::Unavailable(_))]));
    // The one that is open is all there is for now: others wait for it.
    assert!(matches!(transaction(&relay).recipients(&paths(&["c@example.org"])).await[..], [Err(RelayError::Busy(_))]));
    first.give_back().await;
    assert_eq!(codes(&transaction(&relay).recipients(&paths(&["c@example.org"])).await), [250]);
    assert_eq!(hop.log().connections, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_transaction_leaves_a_clean_connection_behind() {
    let hop = NextHop::start([Script::good()]);
    let relay = Relay::new(connecting(&hop, one_at_a_time));
    let mut dropped = transaction(&relay);
    dropped.recipients(&paths(&["b@example.org"])).await;
    drop(dropped);
    assert_eq!(word(&deliver(&mut transaction(&relay), &["c@example.org"], &small()).await), "accepted 250");
    let log = hop.log();
    assert_eq!((log.connections, log.count("RSET")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_transactions_without_a_message_retire_a_connection() {
    let hop = NextHop::start([Script::good()]);
    let relay = relay(&[&hop]);
    let mut transaction = transaction(&relay);
    for _ in 0..5 {
        transaction.recipients(&paths(&["b@example.org"])).await;
        transaction.give_back().await;
    }
    assert_eq!(hop.wait_for(|log| log.closed == 1).count("RSET"), 5);
}

#[tokio::test]
async fn a_next_hop_may_be_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("next-hop");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let script = "220 x\r\n|250 x\r\n|250 ok\r\n|250 ok\r\n|354 go\r\n|250 taken\r\n";
        for said in script.split('|') {
            stream.write_all(said.as_bytes()).unwrap();
            let mut heard = [0; 1000];
            assert!(stream.read(&mut heard).unwrap() > 0);
        }
    });
    let relay = Relay::new(Settings {
        routes: vec![Arc::new(Route { next_hops: vec![Address { place: Place::Unix(socket), lmtp: false }], ..route(&[]) })],
        ..settings(&[])
    });
    assert_eq!(word(&deliver(&mut transaction(&relay), &["b@example.org"], &small()).await), "accepted 250");
    relay.close().await;
    server.join().unwrap();
}

const EIGHT_BIT: &[u8] =
    b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nf\xc3\xbcr\r\n";

#[tokio::test]
async fn eight_bit_content_is_converted_only_for_a_next_hop_that_does_not_take_it() {
    for (keywords, body) in [(&["8BITMIME"][..], &b"f\xc3\xbcr\r\n"[..]), (&[], b"f=C3=BCr\r\n")] {
        let hop = NextHop::start([Script::offering(keywords)]);
        let relay = relay(&[&hop]);
        assert_eq!(word(&deliver(&mut transaction(&relay), &["b@example.org"], &message(EIGHT_BIT)).await), "accepted 250");
        let sent = hop.log().messages.remove(0);
        assert!(sent.ends_with(body), "{}", String::from_utf8_lossy(&sent));
        assert_eq!(sent == EIGHT_BIT, !keywords.is_empty());
    }
}

#[tokio::test]
async fn what_is_signed_and_needs_eight_bits_is_not_converted() {
    let signed = b"Content-Type: multipart/signed; boundary=b; protocol=\"application/pgp-signature\"; micalg=pgp-sha256\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nf\xc3\xbcr\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n";
    let hop = NextHop::start([Script::offering(&[])]);
    let relay = relay(&[&hop]);
    let delivery = deliver(&mut transaction(&relay), &["b@example.org"], &message(signed)).await;
    assert_eq!((word(&delivery), hop.log().count("DATA")), (word(&Delivery::Unfit(Unfit::EightBit)), 0));
}
