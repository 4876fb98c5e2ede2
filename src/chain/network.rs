//! Tests of an address: networks written in a rule, or a named list of them.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::entry::Load;
use super::list::{Kind as ListKind, List};
use crate::yaml::{FromNode, Kind, Node, Reported};

/// What the manual says is wanted.
pub const WANTS: &str = "a network such as 10.0.0.0/8, an address, a list of them, or `{in: NAME}` with a list of kind `cidr`";

/// Where an address may lie.
#[derive(Clone, Debug)]
pub enum Networks {
    Written(Vec<IpNet>),
    Listed(Arc<List>),
}

impl Networks {
    /// One network, several in brackets, or `{in: NAME}`.
    ///
    /// # Errors
    /// [`Reported`], every mistake in it.
    pub fn load(node: &Node, load: &mut Load<'_>) -> Result<Networks, Reported> {
        let items = match &node.kind {
            Kind::Map(_) => {
                let mut settings = load.settings("a test of an address", node)?;
                let given = settings.node("in");
                settings.finish(load.problems)?;
                match given {
                    Some(node) if !matches!(node.kind, Kind::List(_)) => return listed(node, load),
                    Some(Node { kind: Kind::List(items), .. }) => items.iter().collect(),
                    _ => return Err(load.problems.error(&node.span, "no network", "`in:` with the name of a list is wanted")),
                }
            }
            Kind::List(items) => items.iter().collect(),
            _ => vec![node],
        };
        if items.is_empty() {
            return Err(load.problems.error(&node.span, "an empty list", "at least one network is wanted"));
        }
        let read: Vec<_> = items.into_iter().map(|item| network(item, load)).collect();
        read.into_iter().collect::<Result<_, _>>().map(Networks::Written)
    }

    /// Whether the address lies in one of them. An IPv4 address in IPv6 clothing is the IPv4 address.
    #[must_use]
    pub fn hold(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match self {
            Networks::Written(networks) => networks.iter().any(|network| network.contains(&address)),
            Networks::Listed(list) => list.has_address(address),
        }
    }
}

fn listed(node: &Node, load: &mut Load<'_>) -> Result<Networks, Reported> {
    let list = load.lists.named(node, load.problems)?;
    if list.kind() == ListKind::Cidr {
        return Ok(Networks::Listed(list));
    }
    Err(load.problems.error(&node.span, "an address is looked up in a list of networks", "this list wants `kind: cidr`"))
}

/// A network; an address without `/n` is one host.
fn network(node: &Node, load: &mut Load<'_>) -> Result<IpNet, Reported> {
    let text = String::from_node(node, load.problems)?;
    let host = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>().or_else(|_| host()).map_err(|_| {
        load.problems.error(&node.span, format!("`{text}` is no network"), "an address or a network such as 10.0.0.0/8 is wanted")
    })
}
