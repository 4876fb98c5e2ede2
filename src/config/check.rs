//! What no section can know alone: who could relay by accident, names that two listeners bear, networks that are everybody.

use std::collections::HashMap;

use super::address::{Address, NextHop};
use super::file::{Limits, Listener, OriginOf};
use super::relay::Route;
use super::trust;
use crate::chain::route::{DEFAULT, Routes};
use crate::smtp::auth::Mechanism;
use crate::yaml::{FromNode, Kind, Node, Problems, Span};

/// What every server has to take (RFC 5321 4.5.3.1.7).
const SMALLEST: u64 = 64 * 1024;

/// Everything that is asked of the file as a whole.
pub(super) fn sections(configuration: &Node, known: &Routes, values: &Limits, problems: &mut Problems) {
    listeners(configuration, problems);
    next_hops(configuration, problems);
    routes(configuration, known, problems);
    inside(configuration, problems);
    admin(configuration, problems);
    limits(configuration, values, problems);
}

/// Checks the listeners against each other and against `inside:`, those that can be read at all.
fn listeners(configuration: &Node, problems: &mut Problems) {
    let Some(nodes) = configuration.get("listeners").and_then(Node::list) else { return };
    if let ([], Some(node)) = (nodes, configuration.get("listeners")) {
        problems.error(&node.span, "no listener", "such as `- {address: 127.0.0.1:10025}`");
    }
    let mut names = HashMap::new();
    let mut addresses = HashMap::new();
    let mut bound: Vec<(Address, usize)> = Vec::new();
    for node in nodes {
        // What is wrong with one alone has been reported where the section was read.
        let Ok(listener) = Listener::from_node(node, &mut Problems::default()) else { continue };
        let place = |key: &str| node.get(key).unwrap_or(node).span.clone();
        // Without a name it is called as its address.
        if node.get("name").is_some() || !addresses.contains_key(&listener.address.to_string()) {
            once(&mut names, listener.name.to_string(), &place("name"), "listener is called", problems);
        }
        if !matches!(listener.address, Address::Tcp(address) if address.port() == 0) {
            let line = place("address").line_column().0;
            if let Some((first, line)) = bound.iter().find(|(other, _)| covers(other, &listener.address)) {
                let title = format!("{} cannot be listened on beside {first}", listener.address);
                problems.error(&place("address"), title, format!("that of line {line} is, or has, every address at this port"));
            }
            bound.push((listener.address.clone(), line));
            once(&mut addresses, listener.address.to_string(), &place("address"), "listener has the address", problems);
        }
        exposure(configuration, &listener, &place("address"), problems);
        logins(&listener, node, problems);
        trust::check(configuration, node, problems);
    }
}

/// Whether one of two different addresses is every address of its kind, at the port of the other.
fn covers(one: &Address, other: &Address) -> bool {
    let (Address::Tcp(one), Address::Tcp(other)) = (one, other) else { return false };
    let every = one.ip().is_unspecified() || other.ip().is_unspecified();
    every && one != other && one.port() == other.port() && one.is_ipv4() == other.is_ipv4()
}

/// A next hop that is a listener of this server would be sent its own mail until a hop counter ends it.
fn next_hops(configuration: &Node, problems: &mut Problems) {
    let listeners: Vec<Listener> = configuration
        .get("listeners")
        .and_then(Node::list)
        .unwrap_or_default()
        .iter()
        .filter_map(|node| Listener::from_node(node, &mut Problems::default()).ok())
        .collect();
    let of_routes = configuration.get("routes").and_then(Node::map).unwrap_or_default().iter().map(|(_, route)| route);
    let hops = configuration.get("relay").into_iter().chain(of_routes).filter_map(|node| node.get("next_hops")?.list()).flatten();
    for node in hops {
        let Ok(hop) = NextHop::from_node(node, &mut Problems::default()) else { continue };
        if let Some(listener) = listeners.iter().find(|listener| hop.leads_to(&listener.address)) {
            let title = format!("the next hop {hop} is this server itself: mail would go in circles");
            problems.error(&node.span, title, format!("the listener `{}` is bound to {}", listener.name, listener.address));
        }
    }
}

/// Listeners name routes that there are; two routes do not share a domain, for only the first would ever have it.
fn routes(configuration: &Node, known: &Routes, problems: &mut Problems) {
    let routes = configuration.get("routes").and_then(Node::map).unwrap_or_default();
    let listeners = configuration.get("listeners").and_then(Node::list).unwrap_or_default();
    for node in listeners.iter().filter_map(|listener| listener.get("route")) {
        if let Some(name) = node.scalar() {
            // It has been reported.
            let _ = known.named(name, &node.span, problems);
        }
    }
    let mut domains = HashMap::new();
    for (key, route) in routes {
        for node in route.get("domains").and_then(Node::list).unwrap_or_default() {
            let Some(domain) = node.scalar().map(str::to_lowercase) else { continue };
            if let Some(first) = domains.get(&domain) {
                let title = format!("the route `{}` never gets mail to {domain}", key.text);
                problems.warning(&node.span, title, format!("the route `{first}` has the same domain and stands before it"));
            } else {
                domains.insert(domain, key.text.clone());
            }
        }
    }
}

/// Reports a value that stood before.
fn once(seen: &mut HashMap<String, usize>, value: String, place: &Span, what: &str, problems: &mut Problems) {
    let line = place.line_column().0;
    if let Some(first) = seen.get(&value) {
        problems.error(place, format!("a second {what} `{value}`"), format!("the first one stands in line {first}"));
    } else {
        seen.insert(value, line);
    }
}

/// A listener that strangers can reach needs to know whose mail it may relay.
fn exposure(configuration: &Node, listener: &Listener, place: &Span, problems: &mut Problems) {
    if listener.address.is_local() {
        return;
    }
    let inside = configuration.get("inside").filter(|inside| !matches!(inside.kind, Kind::Null));
    if inside.is_none() {
        let title =
            format!("{} can be reached from elsewhere and there is no `inside`: it would relay anything for anybody", listener.address);
        let label = "name your domains and networks under `inside:`, or listen on 127.0.0.1; with `inside: {}` nobody may relay";
        problems.error(place, title, label);
    } else if listener.origin == OriginOf::Inside {
        let title = format!("whoever can connect to {} may send to anyone", listener.address);
        problems.warning(place, title, "`origin: inside` says so; a firewall has to keep strangers away");
    }
}

/// Passwords that others could read, and a listener where nobody could say one.
fn logins(listener: &Listener, node: &Node, problems: &mut Problems) {
    let Some(auth) = node.get("auth").filter(|auth| auth.map().is_some()) else { return };
    let Some(without_tls) = auth.get("without_tls").filter(|word| word.scalar() == Some("true")) else {
        if node.get("tls").is_none() {
            let label = "give it `tls: {certificate: …, key: …}`, or say `without_tls: true` in `auth`";
            problems.error(&auth.span, "nobody could log in: this listener has no TLS", label);
        }
        return;
    };
    if !listener.address.is_local() {
        let title = format!("clients may log in at {} without TLS", listener.address);
        problems.warning(&without_tls.span, title, "whoever listens on the way has their passwords; leave this out");
    }
}

/// A password that is shown to whoever answers.
pub(super) fn account(configuration: &Node, route: &Route, problems: &mut Problems) {
    let Some(account) = &route.auth else { return };
    let named = || configuration.get("routes")?.get(&route.name)?.get("auth");
    let own = if *route.name == *DEFAULT { configuration.get("relay").and_then(|relay| relay.get("auth")) } else { named() };
    // One that is relay's is told there.
    let Some(node) = own else { return };
    let shows = account.mechanisms.as_deref().unwrap_or(&Mechanism::BEST_FIRST).iter().any(|one| one.shows_password());
    let unknown = route.next_hops.iter().find(|hop| !hop.is_on_this_machine() && !route.tls.policy(hop).client.verifies());
    if let (true, Some(hop)) = (shows, unknown) {
        let label = "say `certificates: verify` in a rule of `tls`, or `mechanisms: [SCRAM-SHA-256-PLUS, SCRAM-SHA-256]`";
        problems.warning(&node.span, format!("{hop} is told the password without having to prove who it is"), label);
    }
}

/// What tells how the server is asks nobody who they are, and is no place for mail.
fn admin(configuration: &Node, problems: &mut Problems) {
    let Some(node) = configuration.get("admin").and_then(|admin| admin.get("address")) else { return };
    let Ok(address) = Address::from_node(node, &mut Problems::default()) else { return };
    if !address.is_local() {
        let title = format!("whoever can reach {address} sees next hops, names of rules and how much mail there is");
        problems.warning(&node.span, title, "listen on 127.0.0.1 or a Unix socket; else a firewall has to keep strangers away");
    }
    let listeners = configuration.get("listeners").and_then(Node::list).unwrap_or_default();
    let same = |listener: &&Node| {
        let taken = listener.get("address").and_then(|node| Address::from_node(node, &mut Problems::default()).ok());
        taken.is_some_and(|taken| taken == address && !matches!(taken, Address::Tcp(address) if address.port() == 0))
    };
    if let Some(listener) = listeners.iter().find(same) {
        let label = format!("the listener of line {} takes mail there; choose another", listener.span.line_column().0);
        problems.error(&node.span, format!("{address} is an address for mail"), label);
    }
}

/// Limits that defeat each other start all the same: they are safe, but hardly meant.
fn limits(configuration: &Node, limits: &Limits, problems: &mut Problems) {
    let Some(section) = configuration.get("limits") else { return };
    let place = |key: &str| section.get(key).unwrap_or(section).span.clone();
    if limits.message_size.0 < SMALLEST {
        let title = format!("no message over {} gets in", limits.message_size);
        problems.warning(&place("message_size"), title, "a number alone is bytes: 50MB is what is usual");
    }
    if limits.message_size > limits.temporary_disk.max(limits.memory_per_message) {
        let title = format!("no message of `message_size`, {}, will ever fit", limits.message_size);
        problems.warning(&place("temporary_disk"), title, format!("`temporary_disk` is {}", limits.temporary_disk));
    }
    if limits.memory_per_message > limits.bytes_in_flight {
        let title = format!("no message will ever get its `memory_per_message`, {}", limits.memory_per_message);
        problems.warning(&place("bytes_in_flight"), title, format!("`bytes_in_flight`, for all of them, is {}", limits.bytes_in_flight));
    }
}

/// A network of every address would make an open relay.
fn inside(configuration: &Node, problems: &mut Problems) {
    let networks = configuration.get("inside").and_then(|inside| inside.get("networks")).and_then(Node::list).unwrap_or_default();
    for node in networks {
        let everybody = ipnet::IpNet::from_node(node, &mut Problems::default()).is_ok_and(|network| network.prefix_len() == 0);
        if everybody {
            problems.error(
                &node.span,
                "everybody would be inside and could relay to anyone",
                "name your own networks; `origin: inside` on a listener trusts all of its clients",
            );
        }
    }
}
