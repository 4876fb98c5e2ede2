//! Who logs in: clients at a listener (`listeners[].auth`), and we ourselves at next hops (`auth` of `relay` and of routes).

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::secret;
use super::users::Users;
use crate::smtp::auth::client::Account;
pub use crate::smtp::auth::policy::Policy as Auth;
use crate::smtp::auth::{Mechanism, prepare};
use crate::yaml::manual::Key;
use crate::yaml::{FromNode, Node, Problems, Reported, Settings};

pub(super) const AUTH: &[Key] = &[
    Key::need("users", "a path", "users.yaml", "The file of users and their keys, made by `transom user add`; read again by a reload."),
    Key::or(
        "mechanisms",
        "a list of PLAIN, LOGIN, SCRAM-SHA-256 and SCRAM-SHA-256-PLUS",
        "[PLAIN, LOGIN, SCRAM-SHA-256]",
        "How clients may log in. With SCRAM-SHA-256 comes -PLUS under TLS 1.3; named, it is offered under older TLS, too.",
    ),
    Key::or("required", "true or false", "false", "Whether mail is taken only from clients that have logged in; others hear 530 5.7.0."),
    Key::or("without_tls", "true or false", "false", "Whether clients may log in without TLS, where whoever listens has their passwords."),
];

pub(super) const ACCOUNT: &[Key] = &[
    Key::need("user", "a text", "filter", "The name to log in with."),
    Key::need(
        "password",
        secret::WANTS,
        "file:secret",
        "Where the password is; never the password itself. One final line end is no part of it.",
    ),
    Key::may(
        "mechanisms",
        "a list of SCRAM-SHA-256-PLUS, SCRAM-SHA-256, SCRAM-SHA-1, PLAIN and LOGIN",
        "[SCRAM-SHA-256, PLAIN]",
        "What may be used, the first that the server offers; if absent the best of all.",
    ),
    Key::or(
        "without_tls",
        "true or false",
        "false",
        "Whether the password itself (PLAIN, LOGIN) may be sent without TLS, where whoever listens has it.",
    ),
];

/// The `auth` of each listener, in their order; what is wrong with one has been reported.
pub(super) fn listeners(configuration: &Node, base: &Path, problems: &mut Problems) -> Vec<Option<Arc<Auth>>> {
    let nodes = configuration.get("listeners").and_then(Node::list).unwrap_or_default();
    nodes.iter().map(|listener| auth(listener.get("auth")?, base, problems).map(Arc::new).ok()).collect()
}

fn auth(node: &Node, base: &Path, problems: &mut Problems) -> Result<Auth, Reported> {
    let mut settings = Settings::of("`auth`", node, problems)?;
    let place = settings.node("users");
    let users = settings.need::<String>("users", problems);
    let mechanisms = settings.or("mechanisms", Mechanisms(vec![Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha256]), problems).0;
    let required = settings.or("required", false, problems);
    let without_tls = settings.or("without_tls", false, problems);
    let told = settings.finish(problems);
    if let (Some(unknown), Some(node)) = (mechanisms.iter().find(|one| !Mechanism::OF_SERVER.contains(one)), node.get("mechanisms")) {
        let label = "clients that have it have SCRAM-SHA-256, too";
        return Err(problems.error(&node.span, format!("{unknown} is for logging in at next hops, not here"), label));
    }
    let path = base.join(users?);
    let mut wrong = Problems::default();
    let users = Users::read(&path, &mut wrong);
    // A file that is not there has no place of its own.
    match (place, wrong.iter().next()) {
        (Some(place), Some(first)) if first.span.is_none() => drop(problems.error(&place.span, first.title.clone(), first.label.clone())),
        _ => problems.append(wrong),
    }
    told?;
    Ok(Auth { users: Arc::new(users?), mechanisms, required, without_tls })
}

/// The accounts under which we log in at next hops.
#[derive(Debug)]
pub(super) struct Accounts {
    relay: Option<Arc<Account>>,
    routes: HashMap<String, Arc<Account>>,
}

impl Accounts {
    /// Those of `relay` and of the routes; what is wrong with one has been reported.
    pub(super) fn read(configuration: &Node, base: &Path, problems: &mut Problems) -> Accounts {
        let mut of = |way: &Node| account(way.get("auth")?, base, problems).ok();
        let relay = configuration.get("relay").and_then(&mut of);
        let routes = configuration.get("routes").and_then(Node::map).unwrap_or_default();
        let routes = routes.iter().filter_map(|(name, route)| Some((name.text.clone(), of(route)?))).collect();
        Accounts { relay, routes }
    }

    /// That of a route, else of `relay`.
    pub(super) fn of(&self, route: &str) -> Option<Arc<Account>> {
        self.routes.get(route).or(self.relay.as_ref()).cloned()
    }
}

fn account(node: &Node, base: &Path, problems: &mut Problems) -> Result<Arc<Account>, Reported> {
    let mut settings = Settings::of("`auth`", node, problems)?;
    let place = settings.node("user").map(|node| node.span.clone());
    let user = settings.need::<String>("user", problems);
    let password = match settings.node("password") {
        Some(node) => secret::read("`password`", node, base, problems),
        None => Err(problems.error(&node.span, "`auth` has no `password`", "`password: file:PATH` or `env:NAME` is needed here")),
    };
    let mechanisms = settings.take::<Mechanisms>("mechanisms", problems);
    let without_tls = settings.or("without_tls", false, problems);
    settings.finish(problems)?;
    let user = user?;
    if let (None, Some(place)) = (prepare::name(&user), place) {
        return Err(problems.error(&place, "this can be no name of a user", "it is empty, too long, or has control characters"));
    }
    let password = password?;
    if password.bytes().contains(&0) {
        return Err(problems.error(&node.span, "the password has a NUL, which no mechanism can say", ""));
    }
    Ok(Arc::new(Account { user, password, mechanisms: mechanisms?.map(|given| given.0), without_tls }))
}

/// One or more.
struct Mechanisms(Vec<Mechanism>);

impl FromNode for Mechanisms {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Mechanisms, Reported> {
        let mut given = Vec::<Mechanism>::from_node(node, problems)?;
        if given.is_empty() {
            return Err(node.wants("at least one mechanism", problems));
        }
        let mut seen = Vec::new();
        given.retain(|one| {
            !seen.contains(one) && {
                seen.push(*one);
                true
            }
        });
        Ok(Mechanisms(given))
    }
}

impl FromNode for Mechanism {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Mechanism, Reported> {
        node.word(&Mechanism::BEST_FIRST.map(|one| (one.name(), one)), problems)
    }
}
