//! Next hops that are told who the client is: XFORWARD for each transaction, XCLIENT once for each client (SEMANTICS 12).

use std::sync::Arc;

use transom::config::{Identity as Introduces, Route};
use transom::relay::{Behalf, Relay, Settings, Transaction};
use transom::smtp::envelope::Declared;
use transom::smtp::identity::{Identity, Source};

use super::relay::{codes, deliver, path, paths, route, settings, small, word};
use crate::support::next_hop::{Act, NextHop, Script};

fn telling(hops: &[&NextHop], identity: Introduces) -> Relay {
    Relay::new(Settings { routes: vec![Arc::new(Route { identity, ..route(hops) })], ..settings(hops) })
}

fn client(name: &str, address: &str) -> Identity {
    Identity {
        name: Some(name.into()),
        address: Some(address.parse().unwrap()),
        protocol: Some("ESMTP".into()),
        helo: Some(format!("helo.{name}").into()),
        ident: Some("01SESSION".into()),
        source: Some(Source::Remote),
        ..Identity::default()
    }
}

fn of(relay: &Relay, identity: &Identity) -> Transaction {
    let behalf = Behalf { identity: Some(Arc::new(identity.clone())), ..Behalf::default() };
    relay.transaction(None, behalf, path("a@example.org"), Declared::default())
}

const FORWARDING: &[&str] = &["PIPELINING", "XFORWARD NAME ADDR PROTO HELO SOURCE IDENT"];

#[tokio::test]
async fn each_transaction_says_whose_it_is() {
    let hop = NextHop::start([Script::offering(FORWARDING)]);
    let relay = telling(&[&hop], Introduces::XForward);
    for name in ["one.example", "two.example"] {
        let mut transaction = of(&relay, &client(name, "192.0.2.1"));
        assert_eq!(word(&deliver(&mut transaction, &["b@example.org"], &small()).await), "accepted 250");
    }
    let log = hop.log();
    assert_eq!(log.connections, 1);
    let said = |name: &str| format!("XFORWARD NAME={name} ADDR=192.0.2.1 PROTO=ESMTP HELO=helo.{name} IDENT=01SESSION SOURCE=REMOTE");
    let lines = log.of(0);
    assert_eq!(lines[1..3], [said("one.example").as_str(), "MAIL FROM:<a@example.org>"]);
    assert!(lines.contains(&said("two.example").as_str()), "{lines:?}");
}

#[tokio::test]
async fn a_refused_xforward_stops_no_mail_and_one_that_closes_does() {
    for keywords in [FORWARDING, &FORWARDING[1..]] {
        let hop = NextHop::start([Script::offering(keywords).at("XFORWARD", Act::Say("501 5.5.4 no\r\n"))]);
        let relay = telling(&[&hop], Introduces::XForward);
        let mut transaction = of(&relay, &client("one.example", "192.0.2.1"));
        assert_eq!(codes(&transaction.recipients(&paths(&["b@example.org", "c@example.org"])).await), [250, 250]);
        assert_eq!(word(&deliver(&mut transaction, &["b@example.org", "c@example.org"], &small()).await), "accepted 250");
        assert_eq!(hop.log().count("XFORWARD"), 1);
    }
    for act in [Act::SayAndClose("421 4.3.2 bye\r\n"), Act::Say("354 what\r\n"), Act::Close] {
        let hop = NextHop::start([Script::offering(FORWARDING).at("XFORWARD", act)]);
        let relay = telling(&[&hop], Introduces::XForward);
        let mut transaction = of(&relay, &client("one.example", "192.0.2.1"));
        assert_eq!(codes(&transaction.recipients(&paths(&["b@example.org"])).await), [0]);
    }
}

#[tokio::test]
async fn nothing_is_forwarded_where_nobody_asks_for_it() {
    let hop = NextHop::start([Script::good()]);
    let relay = telling(&[&hop], Introduces::XForward);
    assert_eq!(word(&deliver(&mut of(&relay, &client("one.example", "192.0.2.1")), &["b@example.org"], &small()).await), "accepted 250");
    let forwarding = NextHop::start([Script::offering(FORWARDING)]);
    let relay = telling(&[&forwarding], Introduces::None);
    assert_eq!(word(&deliver(&mut of(&relay, &client("one.example", "192.0.2.1")), &["b@example.org"], &small()).await), "accepted 250");
    assert_eq!((hop.log().count("XFORWARD"), forwarding.log().count("XFORWARD")), (0, 0));
}

const INTRODUCING: &[&str] = &["PIPELINING", "XCLIENT NAME ADDR HELO"];

fn introducing() -> Script {
    Script::offering(INTRODUCING).at("XCLIENT", Act::Say("220 scripted.example\r\n"))
}

#[tokio::test]
async fn a_client_is_introduced_once_and_another_anew() {
    let hop = NextHop::start([introducing()]);
    let relay = telling(&[&hop], Introduces::XClient);
    let (one, two) = (client("one.example", "192.0.2.1"), client("two.example", "2001:db8::2"));
    for identity in [&one, &one, &two] {
        assert_eq!(word(&deliver(&mut of(&relay, identity), &["b@example.org"], &small()).await), "accepted 250");
    }
    let log = hop.log();
    assert_eq!(log.connections, 1);
    let hellos: Vec<&str> = log.of(0).into_iter().filter(|line| line.starts_with("EHLO") || line.starts_with("XCLIENT")).collect();
    assert_eq!(
        hellos,
        [
            "EHLO filter.example.org",
            "XCLIENT NAME=one.example ADDR=192.0.2.1 HELO=helo.one.example",
            "EHLO helo.one.example",
            "XCLIENT NAME=two.example ADDR=IPV6:2001:db8::2 HELO=helo.two.example",
            "EHLO helo.two.example",
        ]
    );
}

#[tokio::test]
async fn a_connection_that_speaks_for_one_client_is_kept_from_others_that_it_cannot_name() {
    // After XCLIENT it does not offer it any more.
    let hop = NextHop::start([introducing()]);
    let relay = telling(&[&hop], Introduces::XClient);
    assert_eq!(word(&deliver(&mut of(&relay, &client("one.example", "192.0.2.1")), &["b@example.org"], &small()).await), "accepted 250");
    // What is of nobody in particular, as a released mail, does not go out under a client's name.
    let mut own = relay.transaction(None, Behalf::default(), path("a@example.org"), Declared::default());
    assert_eq!(word(&deliver(&mut own, &["b@example.org"], &small()).await), "accepted 250");
    let log = hop.log();
    assert_eq!((log.connections, log.count("XCLIENT")), (2, 1));
}

#[tokio::test]
async fn without_xclient_no_mail_goes_out_as_our_own() {
    let refusing = || Script::offering(&["XCLIENT NAME ADDR"]).at("XCLIENT", Act::Say("550 5.7.0 not from you\r\n"));
    for script in [Script::good(), refusing()] {
        let hop = NextHop::start([script]);
        let relay = telling(&[&hop], Introduces::XClient);
        assert_eq!(codes(&of(&relay, &client("one.example", "192.0.2.1")).recipients(&paths(&["b@example.org"])).await), [0]);
        assert_eq!(hop.log().count("MAIL"), 0);
    }
    let (refused, other) = (NextHop::start([refusing()]), NextHop::start([introducing()]));
    let relay = telling(&[&refused, &other], Introduces::XClient);
    assert_eq!(codes(&of(&relay, &client("one.example", "192.0.2.1")).recipients(&paths(&["b@example.org"])).await), [250]);
}

#[tokio::test]
async fn an_introduction_that_finds_a_stale_connection_is_made_on_a_new_one() {
    let hop = NextHop::start([introducing(), introducing()]);
    let relay = telling(&[&hop], Introduces::XClient);
    assert_eq!(word(&deliver(&mut of(&relay, &client("one.example", "192.0.2.1")), &["b@example.org"], &small()).await), "accepted 250");
    hop.follow(Script::offering(INTRODUCING).at("XCLIENT NAME=two.example", Act::SayAndClose("421 4.3.2 too old\r\n")));
    let two = client("two.example", "192.0.2.2");
    let mut transaction = of(&relay, &two);
    // The old one says goodbye, and so does the new one: then it is the next hop's trouble.
    assert_eq!(codes(&transaction.recipients(&paths(&["b@example.org"])).await), [0]);
    assert_eq!(hop.log().connections, 2);
}
