//! `trust:` of a listener: whose word is taken for who a client is (SEMANTICS 12).

use std::net::IpAddr;

use ipnet::IpNet;

use crate::mail::Inside;
use crate::yaml::manual::Key;
use crate::yaml::{FromNode, Kind, Node, Problems, Reported, Settings};

const NETWORKS: &str = "a list of networks or addresses";

pub(super) const TRUST: &[Key] = &[
    Key::may(
        "xclient",
        NETWORKS,
        "[192.0.2.10]",
        "Who may stand in for another client with XCLIENT: address, name, login. Wants `inside`.",
    ),
    Key::may(
        "xforward",
        NETWORKS,
        "[127.0.0.0/8]",
        "Your own mail servers. What they say with XFORWARD counts in rules and logs; they may send to anyone.",
    ),
    Key::may(
        "proxy_protocol",
        NETWORKS,
        "[192.0.2.11]",
        "Who must begin with a header of the PROXY protocol, version 1 or 2. Wants `inside`.",
    ),
];

/// The peers of one listener that may speak for others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    pub xclient: Vec<IpNet>,
    pub xforward: Vec<IpNet>,
    pub proxy_protocol: Vec<IpNet>,
}

impl Trust {
    /// Whether an address is trusted with anything.
    #[must_use]
    pub fn names(&self, address: IpAddr) -> bool {
        [&self.xclient, &self.xforward, &self.proxy_protocol].iter().any(|networks| hold(networks, address))
    }

    /// Whether somebody is believed who could make a stranger one of those inside.
    #[must_use]
    pub fn replaces_clients(&self) -> bool {
        !self.xclient.is_empty() || !self.proxy_protocol.is_empty()
    }

    /// A network whose addresses could be both: someone inside, and someone who speaks for strangers. Who speaks for a client and forgets to say so would
    /// make it one of those inside.
    #[must_use]
    pub fn inside(&self, inside: &Inside) -> Option<IpNet> {
        let overlaps = |one: &&IpNet| inside.networks.iter().any(|other| one.contains(other) || other.contains(*one));
        self.xclient.iter().chain(&self.proxy_protocol).find(overlaps).copied()
    }
}

/// Whether an address is in one of the networks; an IPv4 address mapped into IPv6 counts as itself.
#[must_use]
pub fn hold(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

impl FromNode for Trust {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Trust, Reported> {
        let mut settings = Settings::of("`trust`", node, problems)?;
        let trust = Trust {
            xclient: settings.or("xclient", Vec::new(), problems),
            xforward: settings.or("xforward", Vec::new(), problems),
            proxy_protocol: settings.or("proxy_protocol", Vec::new(), problems),
        };
        settings.finish(problems)?;
        Ok(trust)
    }
}

/// What a listener's `trust` and the configuration's `inside` say together, and its lists of each other.
pub(super) fn check(configuration: &Node, listener: &Node, problems: &mut Problems) {
    let Some(trust) = listener.get("trust") else { return };
    own_servers(trust, problems);
    let inside = configuration.get("inside").filter(|inside| !matches!(inside.kind, Kind::Null));
    // What is wrong with it has been reported where it was read.
    let known = inside.and_then(|node| Inside::from_node(node, &mut Problems::default()).ok());
    for (key, what) in [("xclient", "XCLIENT"), ("proxy_protocol", "the PROXY protocol")] {
        let items = trust.get(key).and_then(Node::list).unwrap_or_default();
        if let (Some(first), None) = (items.first(), inside) {
            let title = format!("{what} is trusted and there is no `inside`: who may relay would be asked of nobody");
            problems.error(&first.span, title, "name your domains and networks under `inside:`; with `inside: {}` nobody may relay");
        }
        for item in items {
            let Ok(network) = IpNet::from_node(item, &mut Problems::default()) else { continue };
            let trusted = Trust { xclient: vec![network], ..Trust::default() };
            if known.as_ref().is_some_and(|inside| trusted.inside(inside).is_some()) {
                let title = format!("{network} is trusted for {what} and lies in `inside.networks`");
                let label = "a client that it does not introduce would count as inside; take it out of `inside.networks`";
                problems.error(&item.span, title, label);
            }
        }
    }
}

/// Who speaks for strangers and may itself send to anyone as one of the operator's own mail servers: a client that it forgets to introduce might, too.
fn own_servers(trust: &Node, problems: &mut Problems) {
    let networks = |key: &str| {
        let items = trust.get(key).and_then(Node::list).unwrap_or_default();
        items.iter().filter_map(|item| Some((item, IpNet::from_node(item, &mut Problems::default()).ok()?))).collect::<Vec<_>>()
    };
    let own = networks("xforward");
    let ways = [
        (
            "xclient",
            "XCLIENT",
            "a client that it does not introduce may send to anyone",
            "let it name every client, or take it out of `xforward`",
        ),
        (
            "proxy_protocol",
            "the PROXY protocol",
            "a client that it does not introduce is a stranger all the same",
            "take it out of `xforward`; mail that it sends by itself has to come by another listener",
        ),
    ];
    for (key, what, so, label) in ways {
        for (item, network) in networks(key) {
            if own.iter().any(|(_, other)| network.contains(other) || other.contains(&network)) {
                problems.warning(&item.span, format!("{network} is trusted for {what} and lies in `xforward`: {so}"), label);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Source, parse};

    fn told(text: &str) -> Vec<String> {
        let mut problems = Problems::default();
        let node = parse(&Source::new("test.yaml", text), &mut problems).unwrap();
        let listener = &node.get("listeners").and_then(Node::list).unwrap()[0];
        check(&node, listener, &mut problems);
        problems.iter().map(|problem| problem.title.clone()).collect()
    }

    #[test]
    fn who_replaces_clients_is_not_inside_and_wants_inside_to_be_known() {
        let with = |trust: &str, inside: &str| told(&format!("listeners: [{{trust: {{{trust}}}}}]\n{inside}"));
        for (trust, what) in [("xclient: [192.0.2.10]", "XCLIENT"), ("proxy_protocol: [192.0.2.0/24]", "the PROXY protocol")] {
            let missing = format!("{what} is trusted and there is no `inside`: who may relay would be asked of nobody");
            assert_eq!(with(trust, ""), [missing.as_str()]);
            assert_eq!(with(trust, "inside: "), [missing.as_str()]);
            assert!(with(trust, "inside: {}").is_empty());
            assert!(with(trust, "inside: {networks: [10.0.0.0/8]}").is_empty());
            let told = with(trust, "inside: {networks: [192.0.0.0/16, 192.0.2.8/29]}");
            assert!(told.len() == 1 && told[0].ends_with(&format!(" is trusted for {what} and lies in `inside.networks`")), "{told:?}");
        }
        assert!(with("xforward: [10.0.0.1]", "").is_empty());
        assert!(with("xforward: [10.0.0.1]", "inside: {networks: [10.0.0.0/8]}").is_empty());
    }

    #[test]
    fn who_speaks_for_strangers_and_may_send_to_anyone_is_warned_of() {
        let with = |trust: &str| told(&format!("listeners: [{{trust: {{{trust}}}}}]\ninside: {{}}"));
        let xclient = "127.0.0.1/32 is trusted for XCLIENT and lies in `xforward`: a client that it does not introduce may send to anyone";
        assert_eq!(with("xclient: [127.0.0.1], xforward: [127.0.0.0/8]"), [xclient]);
        let proxy = "192.0.2.0/24 is trusted for the PROXY protocol and lies in `xforward`: a client that it does not introduce is a stranger all the same";
        assert_eq!(with("proxy_protocol: [192.0.2.0/24], xforward: [192.0.2.7]"), [proxy]);
        assert!(with("xclient: [127.0.0.1], proxy_protocol: [192.0.2.8], xforward: [192.0.2.7]").is_empty());
    }

    #[test]
    fn an_address_is_looked_for_in_all_lists() {
        let trust = Trust { xforward: vec!["10.0.0.0/8".parse().unwrap()], ..Trust::default() };
        assert!(trust.names("::ffff:10.1.2.3".parse().unwrap()) && !trust.names("192.0.2.1".parse().unwrap()));
        assert!(!trust.replaces_clients());
    }
}
