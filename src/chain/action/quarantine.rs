//! `quarantine`: holds this copy, and the chain goes on.

use super::settings::spelled;
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::chain::text::{Place, Text};
use crate::yaml::{Node, Reported};

/// Why it is held; the rule's name where nothing is said.
#[derive(Debug)]
struct Quarantine(Text);

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "quarantine",
    about: "Holds this copy. The chain goes on, so what is held is what would have been delivered; a later reject, defer or discard wins.",
    keys: &[KeyDoc {
        name: "reason",
        wants: "a text",
        about: "Why, for who looks at it later; the rule's name if absent. `quarantine: x` is short for `quarantine: {reason: x}`.",
    }],
    example: "quarantine: {reason: executable attachment}",
    before: "Subject: hi\r\n\r\nbody\r\n",
    after: "Subject: hi\r\n\r\nbody\r\n",
    load,
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = spelled(node, "reason");
    let mut settings = load.settings("quarantine", &node)?;
    let reason = settings.node("reason").map(|node| Text::load(node, None, load)).transpose();
    settings.finish(load.problems)?;
    let reason = reason?.unwrap_or_else(|| Text::literal(&load.rule));
    Ok(Box::new(Quarantine(reason)))
}

impl Action for Quarantine {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let reason = self.0.fill(Place::Log, None, run)?;
        run.noted(&reason);
        run.hold(reason);
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::ruling;

    #[test]
    fn the_chain_goes_on_and_a_later_verdict_wins() {
        let held = ruling("\r\n", &["quarantine: {reason: because}", "quarantine", "tag: after"]);
        assert_eq!((held.word(), held.holds[0].reason.as_str(), held.holds[1].reason.as_str()), ("quarantine", "because", "test"));
        assert_eq!(held.tags, ["after"]);
        assert_eq!(ruling("\r\n", &["quarantine", "deliver"]).word(), "quarantine");
        assert_eq!(ruling("\r\n", &["quarantine", "discard"]).word(), "discard");
    }
}
