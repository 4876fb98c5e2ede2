//! `direction` where nobody tells who has logged in: XFORWARD does not.

use super::{Mode, Written};
use crate::yaml::{Kind, Node, Problems};

/// `chain` is the number of the chain: the common one, then those of listeners that have their own.
pub(super) fn check(rules: &[Written<'_>], chain: usize, configuration: &Node, problems: &mut Problems) {
    let asks = |rule: &&Written<'_>| rule.mode != Mode::Disabled && rule.question.leaves().iter().any(|(name, _)| *name == "direction");
    let Some(rule) = rules.iter().find(asks) else { return };
    for listener in listeners(chain, configuration) {
        let auto = listener.get("origin").is_none_or(|origin| origin.scalar() == Some("auto"));
        let trusted =
            listener.get("trust").and_then(|trust| trust.get("xforward")).filter(|node| node.list().is_some_and(|list| !list.is_empty()));
        if let Some(node) = trusted.filter(|_| auto) {
            let title = "XFORWARD carries no login: who has logged in at that server counts as outside, unless it is in `inside.networks`";
            let label = format!(
                "`{}` ({}) asks for `direction`: give each way a listener, with `origin: inside` or `origin: outside`",
                rule.name,
                rule.place()
            );
            problems.warning(&node.span, title, label);
        }
    }
}

/// Those whose mail goes through it.
fn listeners(chain: usize, configuration: &Node) -> Vec<&Node> {
    let all = configuration.get("listeners").and_then(Node::list).unwrap_or_default();
    let (own, common): (Vec<&Node>, Vec<&Node>) =
        all.iter().partition(|one| one.get("chain").is_some_and(|node| !matches!(node.kind, Kind::Null)));
    match chain {
        0 => common,
        number => own.into_iter().skip(number - 1).take(1).collect(),
    }
}
