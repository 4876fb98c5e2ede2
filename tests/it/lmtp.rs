//! A next hop that speaks LMTP: a reply for each recipient after the end (RFC 2033 4.2, SEMANTICS 5).

use std::sync::Arc;
use std::time::Duration;

use transom::config::Route;
use transom::relay::{NextHop as Address, Relay, RelayError, Settings};

use super::relay::{LONG_SILENCE, codes, deliver, paths, route, settings, small, transaction, word};
use super::support::PATIENCE;
use super::support::next_hop::{Act, NextHop, Script};

const B_AND_C: [&str; 2] = ["b@example.org", "c@example.org"];

fn lmtp(keywords: &[&'static str]) -> Script {
    Script::offering(keywords).lmtp()
}

fn relay(hop: &NextHop) -> Relay {
    relay_waiting(hop, PATIENCE)
}

/// So long for the answers to the end.
fn relay_waiting(hop: &NextHop, after_dot: Duration) -> Relay {
    let next_hop = Address { lmtp: true, ..Address::tcp(hop.address.ip().to_string(), hop.address.port()) };
    Relay::new(Settings { routes: vec![Arc::new(Route { next_hops: vec![next_hop], ..route(&[]) })], after_dot, ..settings(&[]) })
}

#[tokio::test]
async fn a_client_with_one_reply_has_one_recipient_a_transaction() {
    let hop = NextHop::start([lmtp(&["PIPELINING"]).at("RCPT TO:<no@", Act::Say("550 5.1.1 no\r\n"))]);
    let relay = relay(&hop);
    let mut transaction = transaction(&relay);
    let answers = transaction.recipients(&paths(&["no@example.org", "b@example.org", "c@example.org"])).await;
    assert_eq!(codes(&answers), [550, 250, 0]);
    assert!(matches!(answers[2], Err(RelayError::TooMany)));
    assert_eq!(word(&deliver(&mut transaction, &["b@example.org"], &small()).await), "accepted 250");
    let log = hop.log();
    assert_eq!(log.of(0)[0], "LHLO filter.example.org");
    assert_eq!((log.count("RCPT TO:<c@"), log.taken.concat()), (0, vec!["b@example.org".to_owned()]));
}

#[tokio::test]
async fn each_recipient_has_its_own_word_after_the_end() {
    let table: &[(&[(&'static str, Act)], &str)] = &[
        (&[], "b@example.org 250, c@example.org 250"),
        (&[(".c@", Act::Say("552 5.2.2 full\r\n"))], "b@example.org 250, c@example.org 552"),
        (&[(".b@", Act::Say("450 4.2.0 later\r\n"))], "b@example.org 450, c@example.org 250"),
        (&[(".b@", Act::Close)], "b@example.org in doubt, c@example.org in doubt"),
        (&[(".c@", Act::Close)], "b@example.org 250, c@example.org in doubt"),
        (&[(".c@", Act::Silence)], "b@example.org 250, c@example.org in doubt"),
        (&[(".c@", Act::Say("what?\r\n"))], "b@example.org 250, c@example.org in doubt"),
        (&[(".b@", Act::Say("354 go on\r\n"))], "b@example.org in doubt, c@example.org in doubt"),
        (&[(".b@", Act::SayAndClose("421 4.3.2 bye\r\n"))], "b@example.org 421, c@example.org in doubt"),
    ];
    for keywords in [&["PIPELINING"][..], &["PIPELINING", "CHUNKING"]] {
        for (acts, expected) in table {
            let script = acts.iter().fold(lmtp(keywords), |script, (line, act)| script.at(line, *act));
            let hop = NextHop::start([script]);
            let silent = acts.iter().any(|(_, act)| matches!(act, Act::Silence));
            let relay = if silent { relay_waiting(&hop, LONG_SILENCE) } else { relay(&hop) };
            let mut transaction = transaction(&relay).telling_each();
            assert_eq!(codes(&transaction.recipients(&paths(&B_AND_C)).await), [250, 250]);
            assert_eq!(word(&deliver(&mut transaction, &B_AND_C, &small()).await), *expected, "{acts:?} {keywords:?}");
            assert_eq!(hop.log().count("BDAT"), usize::from(keywords.contains(&"CHUNKING")));
        }
    }
}

#[tokio::test]
async fn a_connection_is_fit_for_the_next_message_when_all_have_their_word() {
    let hop = NextHop::start([lmtp(&["PIPELINING"]).at(".c@", Act::Say("552 5.2.2 full\r\n"))]);
    let relay = relay(&hop);
    for _ in 0..2 {
        let mut transaction = transaction(&relay).telling_each();
        transaction.recipients(&paths(&B_AND_C)).await;
        assert_eq!(word(&deliver(&mut transaction, &B_AND_C, &small()).await), "b@example.org 250, c@example.org 552");
    }
    let log = hop.log();
    assert_eq!((log.connections, log.count("RSET"), log.taken.concat().len()), (1, 0, 2));
}

#[tokio::test]
async fn one_who_speaks_no_lmtp_is_not_greeted_another_way() {
    let hop = NextHop::start([Script::good().at("LHLO", Act::Say("500 5.5.1 what\r\n"))]);
    let delivery = deliver(&mut transaction(&relay(&hop)), &["b@example.org"], &small()).await;
    assert_eq!((word(&delivery).as_str(), hop.log().count("HELO")), ("unavailable", 0));
}
