//! `relay:` and `routes:`: next hops, and how they are reached.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::address::NextHop;
use super::announce::Announce;
use super::auth;
use super::file::Listener;
use super::section::{Domain, positive};
use super::tls::RelayTls;
use crate::chain::route::{DEFAULT, Routes};
use crate::smtp::auth::client::Account;
use crate::yaml::manual::{self, Key};
use crate::yaml::{FromNode, Kind, Node, Problems, Reported, Settings};

/// `relay:`
#[derive(Clone, Debug)]
pub struct Relay {
    pub commit: Commit,
    pub split: Split,
    pub announce: Announce,
    /// Where mail goes for which nothing else is said.
    pub route: Arc<Route>,
}

/// Next hops and how they are reached: those of `relay:`, or named ones of `routes:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `relay` for those of `relay:`.
    pub name: Arc<str>,
    /// Recipients' domains that go there, unless a rule says otherwise. Lower case; with a leading dot: its subdomains.
    pub domains: Vec<String>,
    /// At least one, in order of preference.
    pub next_hops: Vec<NextHop>,
    pub balance: Balance,
    pub identity: Identity,
    /// Under which we log in.
    pub auth: Option<Arc<Account>>,
    pub tls: RelayTls,
    pub connections: Connections,
}

/// What has to be true before a client hears 250.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Commit {
    /// The next hop has said so.
    #[default]
    Relay,
}

/// How recipients that the rules tell apart are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// The client is asked to send them in transactions of their own.
    #[default]
    Client,
}

/// Which next hop is asked first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    #[default]
    Order,
    Spread,
}

/// Whether next hops are told who the client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    #[default]
    None,
    /// For their logs: XFORWARD.
    XForward,
    /// In the place of ourselves: XCLIENT.
    XClient,
}

/// `connections:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections {
    /// To one address, over all routes.
    pub max: usize,
    pub idle: usize,
    pub messages: u64,
    pub idle_time: Duration,
    pub warm: usize,
    pub wait: Duration,
    pub hold: Duration,
    pub connect: Duration,
}

impl Default for Connections {
    fn default() -> Connections {
        Connections {
            max: 20,
            idle: 10,
            messages: 100,
            idle_time: Duration::from_secs(30),
            warm: 0,
            wait: Duration::from_secs(5),
            hold: Duration::from_secs(5),
            connect: Duration::from_secs(30),
        }
    }
}

impl Default for Route {
    fn default() -> Route {
        Route {
            name: Arc::from(DEFAULT),
            domains: Vec::new(),
            next_hops: Vec::new(),
            balance: Balance::default(),
            identity: Identity::default(),
            auth: None,
            tls: RelayTls::default(),
            connections: Connections::default(),
        }
    }
}

impl Route {
    /// The same, paths taken relative to `directory`.
    pub(super) fn under(&self, directory: &Path) -> Route {
        Route { next_hops: self.next_hops.iter().map(|hop| hop.clone().under(directory)).collect(), ..self.clone() }
    }

    /// The key that names its next hops, for messages.
    #[must_use]
    pub fn key(&self) -> String {
        if *self.name == *DEFAULT { "relay.next_hops".to_owned() } else { format!("routes.{}.next_hops", self.name) }
    }
}

const BALANCE: Key = Key::or(
    "balance",
    "order or spread",
    "order",
    "`order`: the first one that answers; `spread`: the less busy one of two, whichever these are.",
);
const IDENTITY: Key = Key::or(
    "identity",
    "none, xforward or xclient",
    "none",
    "Who the client is, told to next hops that take it from us: `xforward` for their logs, `xclient` as if the client itself had connected.",
);

pub(super) const RELAY: &[Key] = &[
    Key::or("commit", "relay", "relay", "The client hears 250 when the next hop has said it."),
    Key::or(
        "split",
        "client",
        "client",
        "Recipients whom the rules tell apart: the client hears 452 4.5.3 and sends them in a transaction of their own.",
    ),
    Key::need(
        "next_hops",
        "a list of next hops such as mx1.example.org:25, unix:/run/mta.sock, lmtp:HOST:PORT or lmtp:unix:PATH",
        "[127.0.0.1:10026]",
        "Where mail goes; the second is tried when the first does not answer.",
    ),
    BALANCE,
    IDENTITY,
    Key::or(
        "announce",
        "mirror, or a list of SMTPUTF8, BINARYMIME, DSN and REQUIRETLS",
        "mirror",
        "Extensions that need every server on the way. `mirror`: clients are told of those that all next hops have, as far as they could be reached; a list: of these, whatever the next hops have.",
    ),
    Key::section("auth", auth::ACCOUNT, "Logging in at next hops; without it nobody logs in."),
    Key::list("tls", super::tls::RELAY, "TLS towards next hops: the first rule that is for one; without one `mode: if_available`."),
    Key::section("connections", CONNECTIONS, "Connections to each next hop."),
];

pub(super) const ROUTE: &[Key] = &[
    Key::may(
        "domains",
        "a list of domains",
        "[partner.example, .partner.example]",
        "Recipients of these go there, unless a rule says otherwise; `.x` is the subdomains of x, and the first route that has a domain is it.",
    ),
    Key::may(
        "next_hops",
        "a list of next hops such as mx1.example.org:25, unix:/run/mta.sock, lmtp:HOST:PORT or lmtp:unix:PATH",
        "[127.0.0.1:10028]",
        "Where this mail goes; each key that is absent is that of `relay`.",
    ),
    BALANCE,
    IDENTITY,
    Key::section("auth", auth::ACCOUNT, "Logging in at these next hops; if given, all of it is."),
    Key::list("tls", super::tls::RELAY, "TLS towards these next hops; if given, no rule of `relay.tls` is for them."),
    Key::section("connections", CONNECTIONS_OF_ROUTE, "Connections to each of these next hops; if given, all of it is."),
];

impl FromNode for Relay {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Relay, Reported> {
        let mut settings = Settings::of("`relay`", node, problems)?;
        let commit = settings.or("commit", Commit::default(), problems);
        let split = settings.or("split", Split::default(), problems);
        let next_hops = settings.need::<NextHops>("next_hops", problems);
        let route = way(&mut settings, &Route::default(), problems);
        let announce = settings.or("announce", Announce::default(), problems);
        let connections = settings.or("connections", Connections::default(), problems);
        settings.finish(problems)?;
        let route = Route { next_hops: next_hops?.0, connections, ..route };
        Ok(Relay { commit, split, announce, route: Arc::new(route) })
    }
}

/// The keys that `relay` and a route read alike.
fn way(settings: &mut Settings<'_>, default: &Route, problems: &mut Problems) -> Route {
    // Its password may be in a file, whose place the configuration's own tells.
    let _ = settings.node("auth");
    // Read where files are.
    let _ = settings.node("tls");
    Route {
        balance: settings.or("balance", default.balance, problems),
        identity: settings.or("identity", default.identity, problems),
        ..default.clone()
    }
}

/// `routes:`, in the order of the file; what a route does not say is as in `relay`.
pub(super) fn routes(node: &Node, relay: &Route, problems: &mut Problems) -> Result<Vec<Route>, Reported> {
    // Its keys are of the operator's own choosing.
    let entries = match &node.kind {
        Kind::Null => return Ok(Vec::new()),
        Kind::Map(entries) => entries,
        _ => return Err(node.wants("names, each with a mapping", problems)),
    };
    let mut routes = Ok(Vec::with_capacity(entries.len()));
    for (key, node) in entries {
        let route = if key.text.is_empty() {
            Err(problems.error(&key.span, "a route without a name", "such as `partner: {next_hops: [mx.partner.example:25]}`"))
        } else if key.text == DEFAULT {
            Err(problems.error(&key.span, "no route can be called `relay`", "that is what rules call the next hops of `relay:`"))
        } else {
            route(&key.text, node, relay, problems)
        };
        match (&mut routes, route) {
            (Ok(routes), Ok(route)) => routes.push(route),
            (routes, Err(reported)) => *routes = Err(reported),
            (Err(_), Ok(_)) => {}
        }
    }
    routes
}

/// What rules know of them; where one could not be read, the names as they are written.
pub(super) fn known(node: Option<&Node>, routes: &[Arc<Route>], listeners: &[Listener]) -> Routes {
    let named = if routes.is_empty() {
        let entries = node.and_then(Node::map).unwrap_or_default();
        entries.iter().map(|(key, _)| (Arc::from(key.text.as_str()), Vec::new())).collect()
    } else {
        routes.iter().map(|route| (Arc::clone(&route.name), route.domains.clone())).collect()
    };
    let listeners = listeners.iter().filter_map(|listener| Some((Arc::clone(&listener.name), listener.route.clone()?)));
    Routes::new(named, listeners.collect())
}

fn route(name: &str, node: &Node, relay: &Route, problems: &mut Problems) -> Result<Route, Reported> {
    let mut settings = Settings::of(format!("the route `{name}`"), node, problems)?;
    let domains: Vec<Domain> = settings.or("domains", Vec::new(), problems);
    let next_hops = settings.take::<NextHops>("next_hops", problems);
    let route = way(&mut settings, relay, problems);
    let connections = settings.take::<OfRoute>("connections", problems);
    settings.finish(problems)?;
    Ok(Route {
        name: name.into(),
        domains: domains.into_iter().map(|domain| domain.0).collect(),
        next_hops: next_hops?.map_or_else(|| relay.next_hops.clone(), |given| given.0),
        connections: connections?.map_or_else(|| relay.connections.clone(), |given| Connections { max: relay.connections.max, ..given.0 }),
        ..route
    })
}

/// One or more, none of them twice.
struct NextHops(Vec<NextHop>);

impl FromNode for NextHops {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<NextHops, Reported> {
        let hops = Vec::<NextHop>::from_node(node, problems)?;
        if hops.is_empty() {
            return Err(node.wants("at least one next hop", problems));
        }
        for (at, hop) in hops.iter().enumerate() {
            if hops[..at].contains(hop) {
                let span = node.list().map_or(&node.span, |items| &items[at].span);
                return Err(problems.error(span, format!("the next hop {hop} is named twice"), ""));
            }
        }
        Ok(NextHops(hops))
    }
}

impl FromNode for Commit {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Commit, Reported> {
        node.word(&[("relay", Commit::Relay)], problems)
    }
}

impl FromNode for Split {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Split, Reported> {
        node.word(&[("client", Split::Client)], problems)
    }
}

impl FromNode for Balance {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Balance, Reported> {
        node.word(&[("order", Balance::Order), ("spread", Balance::Spread)], problems)
    }
}

impl FromNode for Identity {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Identity, Reported> {
        node.word(&[("none", Identity::None), ("xforward", Identity::XForward), ("xclient", Identity::XClient)], problems)
    }
}

const CONNECTIONS: &[Key] = &[
    Key::or("max", manual::COUNT, "20", "At once to one address, over all routes."),
    Key::or("idle", manual::COUNT, "10", "Kept open for the next message."),
    Key::or("messages", manual::COUNT, "100", "Messages sent over one."),
    Key::or("idle_time", manual::TIME, "30s", "How long one is kept without work."),
    Key::or("warm", manual::COUNT, "0", "Kept open and ready, whether there is mail or not."),
    Key::or("wait", manual::TIME, "5s", "How long a message waits for one when all are busy; then the client hears 451."),
    Key::or("hold", manual::TIME, "5s", "How long a silent client keeps one to itself."),
    Key::or("connect", manual::TIME, "30s", "For connecting."),
];

const CONNECTIONS_OF_ROUTE: &[Key] = match CONNECTIONS {
    [_max, of_route @ ..] => of_route,
    [] => &[],
};

/// `connections` of a route: what counts over all routes is not said there.
struct OfRoute(Connections);

impl FromNode for Connections {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Connections, Reported> {
        let default = Connections::default();
        let mut settings = Settings::of("`connections`", node, problems)?;
        let max = positive(&mut settings, "max", default.max, problems);
        let connections = Connections { max, ..connections(&mut settings, problems) };
        settings.finish(problems)?;
        Ok(connections)
    }
}

impl FromNode for OfRoute {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<OfRoute, Reported> {
        let mut settings = Settings::of("`connections` of a route", node, problems)?;
        let connections = connections(&mut settings, problems);
        if let Some(max) = node.get("max") {
            let _ = settings.node("max");
            let label = "it counts the connections to an address, whichever routes they are of: `relay.connections.max`";
            return Err(problems.error(&max.span, "a route has no `max` of its own", label));
        }
        settings.finish(problems)?;
        Ok(OfRoute(connections))
    }
}

fn connections(settings: &mut Settings<'_>, problems: &mut Problems) -> Connections {
    let default = Connections::default();
    Connections {
        max: default.max,
        idle: settings.or("idle", default.idle, problems),
        messages: positive(settings, "messages", default.messages, problems),
        idle_time: settings.or("idle_time", default.idle_time, problems),
        warm: settings.or("warm", default.warm, problems),
        wait: settings.or("wait", default.wait, problems),
        hold: positive(settings, "hold", default.hold, problems),
        connect: positive(settings, "connect", default.connect, problems),
    }
}
