//! BDAT towards the next hop, and what else is said only where it is offered (SEMANTICS 4, 11, 13, 16, 18; DESIGN decisions 3, 10).

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use transom::base::budget::Budget;
use transom::config::Route;
use transom::message::{Message, Receiver, Room};
use transom::relay::{Behalf, Delivery, NextHop as Address, Relay, RelayError, Settings, Transaction, Unfit};
use transom::smtp::envelope::{Body, Declared, Envelope, Notify, Recipient, Rest, Ret, Wishes};

use super::relay::{
    SILENCE, codes, deliver, envelope, limits, message, path, paths, relay, route, settings, small, soon, tired_of, transaction, word,
};
use super::support::PATIENCE;
use super::support::next_hop::{Act, NextHop, Script};

const CHUNKING: &[&str] = &["PIPELINING", "SIZE 10000000", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING"];
const SMALL: &[u8] = b"Subject: x\r\n\r\n.dotted\r\nend\r\n";

fn chunking() -> Script {
    Script::offering(CHUNKING)
}

/// Asked about on its connection before the message is there, as in most sessions.
async fn asked(relay: &Relay, recipients: &[&str]) -> Transaction {
    let mut transaction = transaction(relay);
    assert!(codes(&transaction.recipients(&paths(recipients)).await).iter().all(|code| *code == 250));
    transaction
}

#[tokio::test]
async fn where_it_is_offered_content_goes_counted_and_as_it_is() {
    let hop = NextHop::start([chunking()]);
    let relay = relay(&[&hop]);
    let mut transaction = asked(&relay, &["b@example.org", "c@example.org"]).await;
    assert_eq!(word(&deliver(&mut transaction, &["b@example.org", "c@example.org"], &small()).await), "accepted 250");
    let log = hop.log();
    assert_eq!(log.messages, [SMALL]);
    assert_eq!(log.of(0)[4..], ["BDAT 28 LAST"]);
    // It is fit for the next one.
    assert_eq!(word(&deliver(&mut super::relay::transaction(&relay), &["b@example.org"], &small()).await), "accepted 250");
    assert_eq!((hop.log().connections, hop.log().count("RSET")), (1, 0));
}

#[tokio::test]
async fn a_large_message_in_memory_or_in_a_file_is_one_chunk() {
    let line = b".0123456789012345678901234567890123456789012345678901234567890123456789\r\n";
    let content: &'static [u8] = [&b"Subject: x\r\n\r\n"[..], &line.repeat(30_000)].concat().leak();
    let directory = tempfile::tempdir().unwrap();
    let room =
        Room { memory: Budget::new(10_000_000), disk: Budget::new(10_000_000), directory: directory.path().into(), owner: "test".into() };
    let mut receiver = Receiver::new(limits(1000), room);
    for piece in content.chunks(100_000) {
        receiver.push(piece).unwrap();
        receiver.flush().unwrap();
    }
    receiver.end().unwrap();
    let in_file = receiver.finish().unwrap();
    assert!(in_file.in_file());
    for message in [message(content), in_file] {
        let hop = NextHop::start([chunking()]);
        let relay = relay(&[&hop]);
        let mut transaction = asked(&relay, &["b@example.org"]).await;
        assert_eq!(word(&deliver(&mut transaction, &["b@example.org"], &message).await), "accepted 250");
        let log = hop.log();
        assert!(log.messages[0] == content, "other bytes");
        assert_eq!(log.count("BDAT"), 1);
    }
}

/// One connection that misbehaves at one place.
#[tokio::test]
async fn every_misbehaviour_around_bdat() {
    let table: &[(&str, Act, &str)] = &[
        ("MAIL", Act::Say("550 5.1.8 never\r\n"), "refused before 550"),
        ("RCPT TO:<c@", Act::Say("550 5.1.1 never\r\n"), "recipients 550"),
        ("BDAT", Act::Say("450 4.2.0 later\r\n"), "refused 450"),
        ("BDAT", Act::Say("552 5.3.4 too big\r\n"), "refused 552"),
        ("BDAT", Act::Say("503 5.5.1 order\r\n"), "refused 503"),
        ("BDAT", Act::Close, "in doubt"),
        ("BDAT", Act::Reset, "in doubt"),
        ("BDAT", Act::Silence, "in doubt"),
        (".", Act::Say("550 5.7.1 never\r\n"), "refused 550"),
        (".", Act::SayAndClose("421 4.3.2 bye\r\n"), "refused 421"),
        (".", Act::Say("354 more\r\n"), "in doubt"),
        (".", Act::Say("ok!\r\n"), "in doubt"),
        (".", Act::Close, "in doubt"),
        (".", Act::Silence, "in doubt"),
        (".", Act::SayAndClose("250 2.0.0 taken\r\n"), "accepted 250"),
    ];
    for (line, act, expected) in table {
        let hop = NextHop::start([chunking().at(line, *act)]);
        let relay = Relay::new(tired_of(*act, line, settings(&[&hop])));
        let delivery = deliver(&mut transaction(&relay), &["b@example.org", "c@example.org"], &small()).await;
        assert_eq!(word(&delivery), *expected, "{line} {act:?}: {delivery:?}");
        let sent = usize::from(matches!(*line, "." | "BDAT"));
        assert_eq!(hop.log().count("BDAT"), sent, "{line} {act:?}: an end that must not be, or none");
    }
}

/// With one reply too many every later one is taken for the one before it, if it comes late enough, and the last one of those to RCPT for the one to the message.
#[tokio::test]
async fn a_message_that_is_refused_late_behind_a_surplus_reply_is_never_believed_to_be_taken() {
    const TWICE: &str = "250 2.1.0 ok\r\n250 2.1.0 and again\r\n";
    let table = [
        (chunking(), "in doubt"),
        // Content goes behind DATA, and is not said.
        (chunking().alike(), "unavailable"),
        (chunking().at("RCPT TO:<b@", Act::Say("250 2.0.0 ok\r\n")), "unavailable"),
    ];
    for (script, expected) in table {
        let first = script.at("MAIL", Act::Say(TWICE)).at("RCPT TO:<c@", Act::SayAndLater("", "250 2.1.5 ok\r\n"));
        let hop = NextHop::start([first.at(".", Act::Say("550 5.7.1 not this\r\n"))]);
        let relay = relay(&[&hop]);
        let mut transaction = asked(&relay, &["b@example.org", "c@example.org"]).await;
        // The end goes out before the answer to the last RCPT has come.
        let (recipients, message) = (["b@example.org", "c@example.org"], small());
        let (delivery, ()) = tokio::join!(deliver(&mut transaction, &recipients, &message), async { hop.say_it_now() });
        assert_eq!(word(&delivery), expected, "{delivery:?}");
    }
}

#[tokio::test]
async fn where_replies_do_not_tell_themselves_apart_content_goes_behind_data_and_what_is_binary_before_ehlo() {
    let hop = NextHop::start([Script::offering(&["CHUNKING", "BINARYMIME"]).alike()]);
    let relay = relay(&[&hop]);
    assert_eq!(word(&deliver(&mut asked(&relay, &["b@example.org"]).await, &["b@example.org"], &small()).await), "accepted 250");
    let declared = Declared { body: Some(Body::BinaryMime), ..Declared::default() };
    let binary = Envelope { declared: declared.clone(), ..envelope(&["b@example.org"]) };
    let mut transaction = relay.transaction(None, Behalf::default(), path("a@example.org"), declared);
    assert_eq!(codes(&transaction.recipients(&binary.recipients).await), [250]);
    let delivery = transaction.deliver(&binary, &small(), soon(), &mut std::future::pending()).await;
    assert_eq!(word(&delivery), "accepted 250");
    let verbs: Vec<_> = hop.log().of(0).iter().map(|line| line[..4].to_owned()).collect();
    assert_eq!(verbs, ["EHLO", "MAIL", "RCPT", "DATA", "MAIL", "RCPT", "BDAT", "EHLO"]);
}

/// The good answer may be the one to RCPT, given twice, and the message's own lost with the connection.
#[tokio::test]
async fn where_replies_do_not_tell_themselves_apart_a_connection_that_ends_behind_a_good_answer_is_a_doubt() {
    let script = Script::offering(&["CHUNKING", "BINARYMIME"]).alike();
    let hop = NextHop::start([script.at(".", Act::SayAndClose("250 2.0.0 taken\r\n"))]);
    let relay = relay(&[&hop]);
    let declared = Declared { body: Some(Body::BinaryMime), ..Declared::default() };
    let binary = Envelope { declared: declared.clone(), ..envelope(&["b@example.org"]) };
    let mut transaction = relay.transaction(None, Behalf::default(), path("a@example.org"), declared);
    assert_eq!(codes(&transaction.recipients(&binary.recipients).await), [250]);
    let delivery = transaction.deliver(&binary, &small(), soon(), &mut std::future::pending()).await;
    assert_eq!(word(&delivery), "in doubt", "{delivery:?}");
}

#[tokio::test]
async fn a_connection_that_ended_in_the_pause_before_bdat_costs_nothing() {
    let stale = chunking().at("RCPT TO:<b@", Act::SayAndClose("250 2.1.5 ok\r\n"));
    let hop = NextHop::start([stale, chunking()]);
    let relay = relay(&[&hop]);
    let mut transaction = asked(&relay, &["b@example.org"]).await;
    hop.wait_for(|log| log.closed == 1);
    assert_eq!(word(&deliver(&mut transaction, &["b@example.org"], &small()).await), "accepted 250");
    assert_eq!(hop.log().connections, 2);
}

const HELLO: &str = "250-x\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 CHUNKING\r\n";

/// A next hop that reads commands, chunk and all before it says anything in the second transaction.
fn silent_until_the_end(answers: &'static [&'static str]) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hear = |said: &str, until: &[u8]| {
            stream.write_all(said.as_bytes()).unwrap();
            let mut heard = Vec::new();
            while !heard.windows(until.len()).any(|bytes| bytes == until) {
                let mut more = [0; 4096];
                let count = stream.read(&mut more).unwrap();
                assert!(count > 0, "{}", String::from_utf8_lossy(&heard));
                heard.extend_from_slice(&more[..count]);
            }
            heard
        };
        hear("220 x\r\n", b"EHLO filter.example.org\r\n");
        hear(HELLO, b"RCPT TO:<first@example.org>\r\n");
        hear("250 2.1.0 ok\r\n250 2.1.5 ok\r\n", b"RSET\r\n");
        let heard = hear("250 2.0.0 ok\r\n", b"\r\nend\r\nEHLO filter.example.org\r\n");
        assert!(heard.starts_with(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nBDAT 28 LAST\r\nSubject: x\r\n"));
        let last = answers.len() - 1;
        for answer in &answers[..last] {
            stream.write_all(answer.as_bytes()).unwrap();
        }
        // The last one comes as a packet of its own, as after a while.
        std::thread::yield_now();
        let _ = stream.write_all(answers[last].as_bytes());
        let _ = stream.read_to_end(&mut Vec::new());
    });
    Address::tcp(address.ip().to_string(), address.port())
}

#[tokio::test]
async fn a_transaction_opened_anew_goes_out_in_one_write_and_each_reply_counts() {
    let table: &[(&'static [&'static str], &str)] = &[
        (&["250 2.1.0 ok\r\n", "250 2.1.5 ok\r\n", "250 2.0.0 taken\r\n", HELLO], "accepted 250"),
        (&["250 2.1.0 ok\r\n", "250 2.1.5 ok\r\n", "550 5.7.1 not this\r\n", HELLO], "refused 550"),
        (&["550 5.1.8 not you\r\n", "503 5.5.1 MAIL first\r\n", "503 5.5.1 MAIL first\r\n", HELLO], "refused before 550"),
        (&["550 5.1.8 not you\r\n", ""], "refused before 550"),
        (&["250 2.1.0 ok\r\n", "550 5.1.1 nobody\r\n", "554 5.5.1 no valid recipients\r\n", HELLO], "recipients 550"),
        (&["250 2.1.0 ok\r\n", "503 5.5.1 order\r\n", "503 5.5.1 order\r\n", HELLO], "unavailable"),
        // One reply too many, wherever it stands, is never taken for the answer to the message.
        (&["250 2.1.0 ok\r\n", "250 2.1.0 ok\r\n", "250 2.1.5 ok\r\n", "550 5.7.1 not this\r\n", HELLO], "in doubt"),
        (&["250 2.1.0 ok\r\n", "250 2.1.5 ok\r\n", "250 2.1.5 ok\r\n", "550 5.7.1 not this\r\n", HELLO], "in doubt"),
        (&["250 2.1.0 ok\r\n", "250 2.1.5 ok\r\n", "250 2.0.0 more\r\n", "550 5.7.1 not this\r\n", HELLO], "in doubt"),
        (&["250 2.0.0 stray\r\n", "250 2.1.0 ok\r\n", "250 2.1.5 ok\r\n", "550 5.7.1 not this\r\n", HELLO], "in doubt"),
        // Nor are two, or as many as there are answers, whatever they say and however late the rest is.
        (&["250 2.1.0 ok\r\n", "250 2.1.5 ok\r\n", "250 2.0.0 more\r\n", "250 2.0.0 more\r\n"], "in doubt"),
        (&["250 2.1.0 ok\r\n", "250 2.1.0 ok\r\n", "250 2.1.5 ok\r\n", "250 2.1.5 ok\r\n"], "in doubt"),
        (&["250 2.1.0 ok\r\n250 2.1.5 ok\r\n250 2.0.0 more\r\n", "250-2.0.0 and\r\n250 2.0.0 more\r\n"], "in doubt"),
        // One that calls every reply by the same numbers is believed as well.
        (&["250 2.1.0 ok\r\n", "250 2.1.5 ok\r\n", "250 2.1.5 taken\r\n", HELLO], "accepted 250"),
        (&["250 2.1.0 ok\r\n", "250 2.1.5 ok\r\n", "250 2.0.0 taken\r\n", ""], "in doubt"),
        (&["250 2.1.0 ok\r\n", "250 2.1.5 ok\r\n", "250 2.0.0 taken\r\n", "421 4.3.2 bye\r\n"], "in doubt"),
        (&["250 2.1.0 ok\r\n", "550 5.1.1 nobody\r\n", "250 2.0.0 taken\r\n", HELLO], "in doubt"),
        (&["250 2.1.0 ok\r\n", "250 2.1.5 ok\r\n", "354 go on\r\n"], "in doubt"),
        (&["250 2.1.0 ok\r\n", "what?\r\n"], "in doubt"),
    ];
    for (answers, expected) in table {
        let within = if answers.ends_with(&[""]) { SILENCE } else { PATIENCE };
        let relay = Relay::new(Settings {
            routes: vec![Arc::new(Route { next_hops: vec![silent_until_the_end(answers)], ..route(&[]) })],
            next_hop: within,
            after_dot: within,
            ..settings(&[])
        });
        let mut transaction = asked(&relay, &["first@example.org"]).await;
        let delivery = deliver(&mut transaction, &["b@example.org"], &small()).await;
        assert_eq!(word(&delivery), *expected, "{answers:?}: {delivery:?}");
    }
}

#[tokio::test]
async fn where_replies_do_not_tell_themselves_apart_the_end_waits_for_the_recipient() {
    for (script, at_once) in [(chunking().alike(), false), (chunking(), true)] {
        let hop = NextHop::start([script.at("RCPT TO:<nobody@", Act::Say("550 5.1.1 nobody\r\n"))]);
        let relay = relay(&[&hop]);
        let mut transaction = asked(&relay, &["first@example.org"]).await;
        assert_eq!(word(&deliver(&mut transaction, &["nobody@example.org"], &small()).await), "recipients 550");
        assert_eq!((hop.log().count("BDAT"), hop.log().taken.len()), (usize::from(at_once), 0));
        // Before the transaction, and behind it or in its write; no more than that.
        transaction.give_back().await;
        hop.wait_for(|log| log.count("RSET") + log.count("EHLO") == 3);
    }
}

#[tokio::test]
async fn behind_one_write_the_connection_takes_the_next() {
    let hop = NextHop::start([chunking()]);
    let relay = relay(&[&hop]);
    let mut transaction = asked(&relay, &["first@example.org"]).await;
    assert_eq!(word(&deliver(&mut transaction, &["b@example.org"], &small()).await), "accepted 250");
    assert_eq!(word(&deliver(&mut super::relay::transaction(&relay), &["c@example.org"], &small()).await), "accepted 250");
    let one_write =
        ["MAIL FROM:<a@example.org> SIZE=28 BODY=8BITMIME", "RCPT TO:<c@example.org>", "BDAT 28 LAST", "EHLO filter.example.org"];
    assert!(hop.log().of(0).ends_with(&one_write), "{:?}", hop.log().lines);
    assert_eq!((hop.log().connections, hop.log().messages.len()), (1, 2));
}

#[tokio::test]
async fn a_farewell_instead_of_an_answer_to_mail_costs_nothing_in_one_write_either() {
    let hop = NextHop::start([chunking().at("MAIL FROM:<late@", Act::SayAndClose("421 4.4.2 too long\r\n")), chunking()]);
    let relay = relay(&[&hop]);
    asked(&relay, &["first@example.org"]).await.give_back().await;
    let late = Envelope { sender: path("late@example.org"), ..envelope(&["b@example.org"]) };
    let mut transaction = relay.transaction(None, Behalf::default(), path("late@example.org"), Declared::default());
    let delivery = transaction.deliver(&late, &small(), soon(), &mut std::future::pending()).await;
    assert_eq!(word(&delivery), "accepted 250", "{delivery:?}");
    assert_eq!((hop.log().connections, hop.log().taken.len()), (2, 1));
}

#[tokio::test]
async fn limits_of_the_next_hop_are_kept_to() {
    let hop =
        NextHop::start([Script::offering(&["PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=2"]).at("RCPT TO:<no@", Act::Say("550 5.1.1 no\r\n"))]);
    let relay = relay(&[&hop]);
    let mut transaction = transaction(&relay);
    let recipients = ["no@example.org", "b@example.org", "c@example.org", "d@example.org"];
    let answers = transaction.recipients(&paths(&recipients)).await;
    assert_eq!(codes(&answers), [550, 250, 250, 0]);
    assert!(matches!(answers[3], Err(RelayError::TooMany)));
    // A rule may bring in as many as it wants: those beyond have their refusal before anything is said.
    let delivery = deliver(&mut transaction, &recipients[1..], &small()).await;
    assert_eq!((word(&delivery).as_str(), hop.log().count("DATA")), ("1 too many", 0));
    assert_eq!(word(&deliver(&mut transaction, &recipients[1..3], &small()).await), "accepted 250");
    assert_eq!(word(&deliver(&mut super::relay::transaction(&relay), &["b@example.org"], &small()).await), "accepted 250");
    let log = hop.log();
    let mails = (0..log.connections).map(|number| log.of(number).iter().filter(|line| line.starts_with("MAIL")).count());
    assert!(mails.clone().all(|mails| mails <= 2) && mails.sum::<usize>() == 3, "{:?}", log.lines);
}

#[tokio::test]
async fn what_a_sender_wishes_to_hear_goes_where_dsn_is() {
    let wishes =
        Wishes { notify: Some(Notify { success: true, failure: true, delay: false }), orcpt: Some("rfc822;old@example.org".into()) };
    let recipient = Recipient::new(path("b@example.org"), wishes);
    let rest = Rest { ret: Some(Ret::Headers), envid: Some("e1".into()), auth: Some("a@example.org".into()) };
    let declared = Declared { rest: Some(Arc::new(rest)), ..Declared::default() };
    let envelope = Envelope { sender: path("a@example.org"), recipients: vec![recipient], declared: declared.clone() };
    for (keywords, mail, rcpt) in [
        (
            &["DSN", "AUTH PLAIN"][..],
            "MAIL FROM:<a@example.org> RET=HDRS ENVID=e1 AUTH=a@example.org",
            " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;old@example.org",
        ),
        (&["DSN"], "MAIL FROM:<a@example.org> RET=HDRS ENVID=e1", " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;old@example.org"),
        (&[], "MAIL FROM:<a@example.org>", ""),
    ] {
        let hop = NextHop::start([Script::offering(keywords)]);
        let relay = relay(&[&hop]);
        let mut transaction = relay.transaction(None, Behalf::default(), path("a@example.org"), declared.clone());
        assert_eq!(codes(&transaction.recipients(&envelope.recipients).await), [250]);
        let delivery = transaction.deliver(&envelope, &small(), soon(), &mut std::future::pending()).await;
        assert_eq!(word(&delivery), "accepted 250");
        assert_eq!(hop.log().of(0)[1..4], [mail.to_owned(), format!("RCPT TO:<b@example.org>{rcpt}"), "DATA".to_owned()]);
    }
}

#[tokio::test]
async fn requiretls_is_never_dropped() {
    let hop = NextHop::start([Script::offering(&["REQUIRETLS"])]);
    let relay = relay(&[&hop]);
    let declared = Declared { require_tls: true, ..Declared::default() };
    let mut transaction = relay.transaction(None, Behalf::default(), path("a@example.org"), declared.clone());
    assert!(matches!(transaction.recipients(&paths(&["b@example.org"])).await[..], [Err(RelayError::Unfit(Unfit::NeedsTls))]));
    let envelope = Envelope { declared, ..envelope(&["b@example.org"]) };
    let delivery = transaction.deliver(&envelope, &small(), soon(), &mut std::future::pending()).await;
    assert_eq!((word(&delivery), hop.log().count("MAIL")), (word(&Delivery::Unfit(Unfit::NeedsTls)), 0));
}

#[tokio::test]
async fn addresses_that_need_smtputf8_are_refused_for_good_where_it_is_missing() {
    let hop = NextHop::start([Script::offering(&[])]);
    let relay = relay(&[&hop]);
    let mut transaction = transaction(&relay);
    let answers = transaction.recipients(&[path("gr\u{fc}n@example.org").into()]).await;
    assert!(matches!(answers[..], [Err(RelayError::Unfit(Unfit::NeedsSmtpUtf8))]));
}

const BINARY: &[u8] =
    b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\x00a\nb\rc\xff";
const SIGNED: &[u8] = b"MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b; protocol=\"application/pgp-signature\"\r\n\r\n\
    --b\r\nContent-Transfer-Encoding: binary\r\n\r\na\nb\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n";

#[tokio::test]
async fn binary_content_goes_as_it_is_or_as_base64_or_not_at_all() {
    /// What is offered, the message, what became of it, and what arrived.
    type Row = (&'static [&'static str], &'static [u8], &'static str, &'static [u8]);
    let table: &[Row] = &[
        (&["CHUNKING", "BINARYMIME", "8BITMIME"], BINARY, "accepted 250", BINARY),
        (&["CHUNKING", "BINARYMIME"], BINARY, "accepted 250", BINARY),
        (&["CHUNKING", "8BITMIME"], BINARY, "accepted 250", b"base64\r\n\r\nAGEKYg1j/w==\r\n"),
        (&["BINARYMIME"], BINARY, "accepted 250", b"base64\r\n\r\nAGEKYg1j/w==\r\n"),
        (&[], BINARY, "accepted 250", b"base64\r\n\r\nAGEKYg1j/w==\r\n"),
        (&["CHUNKING", "BINARYMIME"], SIGNED, "accepted 250", SIGNED),
        (&["CHUNKING", "8BITMIME"], SIGNED, "Binary", b""),
    ];
    for (keywords, content, expected, sent) in table {
        let keywords: &'static [&'static str] = keywords.to_vec().leak();
        let hop = NextHop::start([Script::offering(keywords)]);
        let relay = relay(&[&hop]);
        let declared = Declared { body: Some(Body::BinaryMime), ..Declared::default() };
        let envelope = Envelope { declared: declared.clone(), ..envelope(&["b@example.org"]) };
        let mut transaction = relay.transaction(None, Behalf::default(), path("a@example.org"), declared);
        assert_eq!(codes(&transaction.recipients(&envelope.recipients).await), [250]);
        let message = Message::parse(Bytes::from_static(content), &limits(1_000_000)).unwrap();
        let delivery = transaction.deliver(&envelope, &message, soon(), &mut std::future::pending()).await;
        assert_eq!(word(&delivery), *expected, "{keywords:?}");
        let log = hop.log();
        assert!(log.messages.iter().all(|message| message.ends_with(sent)), "{keywords:?}: {:?}", log.messages);
        assert_eq!(log.count("MAIL FROM:<a@example.org> BODY=BINARYMIME"), usize::from(keywords.starts_with(&["CHUNKING", "BINARYMIME"])));
    }
}
