//! Another configuration is put in force while mail is served: checked as at a start, then swapped as a whole, or not at all.
//!
//! | of the new configuration | from when on |
//! |---|---|
//! | rules, `inside`, listeners' keys, `limits`, `timeouts`, `relay` | each session's next transaction |
//! | `limits.sessions…`, `bytes_in_flight`, `temporary_disk` | at once |
//! | `hostname`, `store`, `listeners[].address` | the next start; what is in force goes on, and the change is named |

use std::sync::Arc;

use tokio::sync::watch;

use super::probe;
use super::shared::Setup;
use crate::chain::route::DEFAULT;
use crate::config::{Address, Config, Listener};
use crate::relay::{self, Relay};

/// See the module.
#[derive(Debug)]
pub struct Reload {
    setup: Arc<watch::Sender<Setup>>,
    /// What is in force; its listeners are those that are bound.
    config: Config,
    bound: Vec<Address>,
}

/// Why the old configuration goes on.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Without `inside`, what is bound now would relay for strangers.
    #[error("{0} is bound and can be reached from other machines: keep `inside:`, or restart to listen elsewhere")]
    OpenRelay(Address),
    #[error("a next hop is this server itself: {0}")]
    Loop(String),
    /// What is bound goes on, and its mail would have nowhere to go.
    #[error("the listener `{listener}` stays until a restart, and its route `{route}` is gone: keep it under `routes:` until then")]
    Route { listener: Arc<str>, route: Arc<str> },
    /// A listener that only a restart ends would let those it trusts make anybody one of those inside.
    #[error(
        "the listener `{0}` is bound and trusts others with XCLIENT or PROXY: keep `inside:`, and them out of `inside.networks`, or restart"
    )]
    Trust(Arc<str>),
}

impl Reload {
    pub(super) fn new(setup: Arc<watch::Sender<Setup>>, config: Config, bound: Vec<Address>) -> Reload {
        Reload { setup, config, bound }
    }

    /// Puts `new` in force, and tells what of it waits for a restart.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub async fn take(&mut self, new: Config) -> Result<Vec<String>, ReloadError> {
        let (config, waiting) = kept(&self.config, new);
        if config.inside.is_none()
            && let Some(open) = self.bound.iter().find(|address| !address.is_local())
        {
            return Err(ReloadError::OpenRelay(open.clone()));
        }
        let there = |route: &str| route == DEFAULT || config.routes.iter().any(|known| *known.name == *route);
        for Listener { name, route, .. } in &config.listeners {
            if let Some(route) = route.as_ref().filter(|route| !there(route)) {
                return Err(ReloadError::Route { listener: Arc::clone(name), route: Arc::clone(route) });
            }
        }
        let astray = |listener: &&Listener| match &config.inside {
            Some(inside) => listener.trust.inside(inside).is_some(),
            None => listener.trust.replaces_clients(),
        };
        if let Some(listener) = config.listeners.iter().find(astray) {
            return Err(ReloadError::Trust(Arc::clone(&listener.name)));
        }
        let old = Arc::clone(&self.setup.borrow().shared);
        let settings = relay::Settings::of(&config, old.store.token());
        let same_way = settings == *old.relay.settings();
        let relay = if same_way { old.relay.clone() } else { Relay::new(settings) };
        if !same_way {
            probe(relay.clone()).await.map_err(ReloadError::Loop)?;
            relay.keep_warm();
            relay.keep_fresh();
        }
        self.setup.send_replace(Setup::new(&config, old.under(&config, relay)));
        self.config = config;
        if !same_way {
            old.relay.close().await;
        }
        Ok(waiting)
    }
}

/// The new configuration with what only a restart can change as it is, and the names of that.
fn kept(old: &Config, new: Config) -> (Config, Vec<String>) {
    let mut waiting = Vec::new();
    if new.hostname != old.hostname {
        waiting.push("`hostname` has changed".to_owned());
    }
    if new.store != old.store {
        waiting.push("`store` has changed".to_owned());
    }
    let listeners = listeners(&old.listeners, &new.listeners, &mut waiting);
    (Config { hostname: old.hostname.clone(), store: old.store.clone(), listeners, ..new }, waiting)
}

/// The listeners that are bound, each with the keys of the one in the new configuration that is the same: by name and address, else by address, else by name.
/// One that is not there any more goes on as it was, under the common rules if it has none of its own.
fn listeners(bound: &[Listener], new: &[Listener], waiting: &mut Vec<String>) -> Vec<Listener> {
    let mut found: Vec<Option<usize>> = vec![None; bound.len()];
    let ways: [fn(&Listener, &Listener) -> bool; 3] = [
        |one, other| one.name == other.name && one.address == other.address,
        |one, other| one.address == other.address,
        |one, other| one.name == other.name,
    ];
    for same in ways {
        for (at, listener) in bound.iter().enumerate() {
            if found[at].is_none() {
                found[at] = new.iter().enumerate().position(|(index, other)| !found.contains(&Some(index)) && same(listener, other));
            }
        }
    }
    let after = bound.iter().zip(&found).map(|(listener, found)| match found.map(|index| &new[index]) {
        Some(other) if other.address == listener.address => other.clone(),
        Some(other) => {
            waiting.push(format!("the address of the listener `{}` has changed", listener.name));
            // Who the clients are goes with the address: what is right on loopback would let strangers relay.
            Listener { address: listener.address.clone(), origin: listener.origin, ..other.clone() }
        }
        None => {
            waiting.push(format!("the listener `{}` is gone", listener.name));
            listener.clone()
        }
    });
    let after = after.collect();
    let further = new.iter().enumerate().filter(|(index, _)| !found.contains(&Some(*index)));
    waiting.extend(further.map(|(_, listener)| format!("the listener `{}` is new", listener.name)));
    after
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Options, OriginOf};

    fn config(text: &str) -> Config {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("transom.yaml");
        crate::base::disk::write(&path, text.as_bytes()).unwrap();
        match config::load(&path, Options::default()) {
            Ok(loaded) => Config { store: config::Store { path: "store".into(), ..loaded.config.store }, ..loaded.config },
            Err(problems) => panic!("{}", problems.render(false)),
        }
    }

    /// The listeners after these became those, and what is told of it.
    fn become_of(old: &str, new: &str) -> (Vec<Listener>, Vec<String>) {
        let with = |listeners: &str| {
            config(&format!("hostname: a.example\nlisteners: [{listeners}]\ninside: {{}}\nrelay: {{next_hops: ['mx:25']}}\n"))
        };
        let (config, waiting) = kept(&with(old), with(new));
        (config.listeners, waiting)
    }

    #[test]
    fn host_name_and_store_stay_and_are_named() {
        let text = "listeners: [{address: '127.0.0.1:25'}]\nrelay: {next_hops: ['mx:25']}\n";
        let old = config(&format!("hostname: a.example\n{text}"));
        let new = config(&format!("hostname: b.example\nstore: {{quarantine: {{keep: 1d}}}}\nlimits: {{recipients: 5}}\n{text}"));
        let (config, waiting) = kept(&old, new);
        assert_eq!(waiting, ["`hostname` has changed", "`store` has changed"]);
        assert_eq!((config.hostname.as_str(), config.limits.recipients), ("a.example", 5));
        assert_eq!(config.store, old.store);
    }

    #[test]
    fn a_listener_takes_the_keys_of_the_one_with_its_address() {
        let (listeners, waiting) = become_of(
            "{name: a, address: '127.0.0.1:1'}, {name: b, address: '127.0.0.1:2'}",
            "{name: b, address: '127.0.0.1:2', received: none}, {name: new name, address: '127.0.0.1:1', behind_queue: true}",
        );
        assert!(waiting.is_empty(), "{waiting:?}");
        assert_eq!((&*listeners[0].name, listeners[0].behind_queue), ("new name", true));
        assert_eq!((&*listeners[1].name, listeners[1].received), ("b", config::Received::None));
    }

    #[test]
    fn an_address_stays_bound_and_its_clients_who_they_were() {
        let (listeners, waiting) =
            become_of("{name: a, address: '0.0.0.0:25'}", "{name: a, address: '127.0.0.1:25', origin: inside, received: none}");
        assert_eq!(waiting, ["the address of the listener `a` has changed"]);
        assert_eq!(listeners[0].address.to_string(), "0.0.0.0:25");
        assert_eq!((listeners[0].origin, listeners[0].received), (OriginOf::Auto, config::Received::None));
    }

    #[test]
    fn listeners_that_come_and_go_wait_for_a_restart() {
        let (listeners, waiting) = become_of(
            "{address: '127.0.0.1:1', behind_queue: true}, {address: '127.0.0.1:2'}",
            "{address: '127.0.0.1:3'}, {address: '127.0.0.1:2'}",
        );
        assert_eq!(waiting, ["the listener `127.0.0.1:1` is gone", "the listener `127.0.0.1:3` is new"]);
        assert_eq!(listeners.len(), 2);
        assert!(listeners[0].behind_queue);
    }

    #[test]
    fn listeners_on_ports_of_the_systems_choosing_are_told_apart_by_name() {
        let two = "{name: a, address: '127.0.0.1:0'}, {name: b, address: '127.0.0.1:0'}";
        let (listeners, waiting) = become_of(two, "{name: b, address: '127.0.0.1:0', received: none}, {name: a, address: '127.0.0.1:0'}");
        assert!(waiting.is_empty());
        assert_eq!(listeners.iter().map(|listener| listener.received).collect::<Vec<_>>(), [config::Received::Add, config::Received::None]);
    }
}
