//! Connections shared by routes, spread over next hops, and kept warm.

use std::sync::Arc;
use std::time::Duration;

use transom::config::{Balance, Connections, NextHop as Address, Route};
use transom::relay::{Behalf, Relay, RelayError, Settings, Transaction};
use transom::smtp::envelope::Declared;

use super::relay::{codes, deliver, path, paths, route, settings, small, word};
use crate::support::next_hop::{Act, NextHop, Script};

fn by(relay: &Relay, route: &str) -> Transaction {
    relay.transaction(Some(route), Behalf::default(), path("a@example.org"), Declared::default())
}

/// The routes of `relay:` and `other`, both to this next hop.
fn two_routes(hop: &NextHop, change: impl FnOnce(&mut Connections)) -> Relay {
    let mut first = route(&[hop]);
    change(&mut first.connections);
    let other = Route { name: "other".into(), ..first.clone() };
    Relay::new(Settings { routes: vec![Arc::new(first), Arc::new(other)], ..settings(&[hop]) })
}

#[tokio::test]
async fn two_routes_to_one_address_share_its_places_and_no_connection() {
    let hop = NextHop::start([Script::good()]);
    let relay = two_routes(&hop, |connections| connections.max = 2);
    let (mut one, mut two) = (by(&relay, "relay"), by(&relay, "other"));
    assert_eq!(codes(&one.recipients(&paths(&["b@example.org"])).await), [250]);
    assert_eq!(codes(&two.recipients(&paths(&["b@example.org"])).await), [250]);
    assert!(matches!(by(&relay, "other").recipients(&paths(&["c@example.org"])).await[..], [Err(RelayError::Busy(_))]));
    one.give_back().await;
    // There is a place again, and the idle connection in it, of the other route, makes room.
    assert_eq!(codes(&by(&relay, "other").recipients(&paths(&["c@example.org"])).await), [250]);
    let log = hop.wait_for(|log| log.count("QUIT") == 1);
    assert_eq!(log.connections, 3);
}

#[tokio::test]
async fn spread_goes_to_the_less_busy_one() {
    let hops = [NextHop::start([Script::good()]), NextHop::start([Script::good()])];
    let way = Route { balance: Balance::Spread, ..route(&[&hops[0], &hops[1]]) };
    let relay = Relay::new(Settings { routes: vec![Arc::new(way)], ..settings(&[]) });
    let mut open: Vec<Transaction> = (0..10).map(|_| by(&relay, "relay")).collect();
    for transaction in &mut open {
        assert_eq!(codes(&transaction.recipients(&paths(&["b@example.org"])).await), [250]);
    }
    assert_eq!(hops.each_ref().map(|hop| hop.log().connections), [5, 5]);
}

#[tokio::test]
async fn spread_passes_over_one_that_is_down_and_comes_to_it_when_the_others_are_too() {
    let down = NextHop::start([Script::good().at("connect", Act::SayAndClose("554 5.3.2 closed\r\n"))]);
    let up = NextHop::start([Script::good()]);
    let way = Route { balance: Balance::Spread, ..route(&[&down, &up]) };
    let relay = Relay::new(Settings { routes: vec![Arc::new(way)], ..settings(&[]) });
    for _ in 0..8 {
        assert_eq!(word(&deliver(&mut by(&relay, "relay"), &["b@example.org"], &small()).await), "accepted 250");
    }
    assert!(down.log().connections <= 1);
    assert_eq!(up.log().messages.len(), 8);
}

#[tokio::test]
async fn an_address_without_a_greeting_gets_no_more_connections_for_a_while() {
    let hop = NextHop::start([Script::good(), Script::good().at("connect", Act::Close)]);
    let relay = Relay::new(settings(&[&hop]));
    let mut first = by(&relay, "relay");
    first.recipients(&paths(&["b@example.org"])).await;
    assert!(matches!(by(&relay, "relay").recipients(&paths(&["c@example.org"])).await[..], [Err(RelayError::Unavailable(_))]));
    assert!(matches!(by(&relay, "relay").recipients(&paths(&["c@example.org"])).await[..], [Err(RelayError::Busy(_))]));
    assert_eq!(hop.log().connections, 2);
}

#[tokio::test]
async fn a_message_that_is_refused_marks_no_next_hop_down() {
    let first = NextHop::start([Script::good().at("MAIL", Act::SayAndClose("421 4.3.2 not now\r\n"))]);
    let second = NextHop::start([Script::good()]);
    let relay = Relay::new(settings(&[&first, &second]));
    for _ in 0..2 {
        assert_eq!(word(&deliver(&mut by(&relay, "relay"), &["b@example.org"], &small()).await), "accepted 250");
    }
    // It is asked first the second time, too.
    assert_eq!(first.log().count("MAIL"), 2);
}

#[tokio::test]
async fn a_name_leads_to_its_addresses() {
    let hop = NextHop::start([Script::good()]);
    let named = Route { next_hops: vec![Address::tcp("localhost", hop.address.port())], ..route(&[]) };
    let relay = Relay::new(Settings { routes: vec![Arc::new(named)], ..settings(&[]) });
    for _ in 0..2 {
        assert_eq!(word(&deliver(&mut by(&relay, "relay"), &["b@example.org"], &small()).await), "accepted 250");
    }
    assert_eq!(hop.log().connections, 1);
    let nowhere = Route { next_hops: vec![Address::tcp("no-such-host.invalid", 25)], ..route(&[]) };
    let relay = Relay::new(Settings { routes: vec![Arc::new(nowhere)], ..settings(&[]) });
    let answers = by(&relay, "relay").recipients(&paths(&["b@example.org"])).await;
    assert!(matches!(&answers[..], [Err(RelayError::Unavailable(told))] if told.contains("cannot be resolved")), "{answers:?}");
}

#[tokio::test]
async fn a_route_that_is_not_there_takes_nothing() {
    let hop = NextHop::start([Script::good()]);
    let relay = Relay::new(settings(&[&hop]));
    let answers = by(&relay, "gone").recipients(&paths(&["b@example.org"])).await;
    assert!(matches!(&answers[..], [Err(RelayError::Unavailable(told))] if told.contains("no route called `gone`")), "{answers:?}");
    assert_eq!(hop.log().connections, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warm_connections_are_there_before_any_mail_and_others_in_their_place() {
    let hop = NextHop::start([Script::good()]);
    let relay = two_routes(&hop, |connections| {
        (connections.max, connections.warm, connections.idle) = (5, 2, 1);
        connections.idle_time = Duration::from_millis(400);
    });
    relay.keep_warm();
    // Two for each route, and when their time is over others.
    hop.wait_for(|log| log.count("EHLO") >= 4);
    hop.wait_for(|log| log.count("EHLO") >= 8 && log.count("QUIT") >= 4);
    relay.close().await;
    hop.wait_for(|log| log.closed == log.connections);
}
