//! `route`: sends the mail to named next hops.

use std::sync::Arc;

use super::settings::{needed, spelled};
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::yaml::{FromNode, Node, Reported};

/// Its name.
#[derive(Debug)]
struct Route(Arc<str>);

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "route",
    about: "Sends the mail to the next hops that `routes` in transom.yaml gives this name, whatever the recipient's domain; with `at: recipient` for that recipient, later the mail as a whole. The last one counts.",
    keys: &[KeyDoc {
        name: "name",
        wants: "a name such as partner",
        about: "Which; `relay` is the next hops of `relay:`. `route: x` is short for `route: {name: x}`.",
    }],
    example: "route: partner",
    before: "Subject: hi\r\n\r\nbody\r\n",
    after: "Subject: hi\r\n\r\nbody\r\n",
    load,
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = spelled(node, "name");
    let mut settings = load.settings("route", &node)?;
    let name = needed(&mut settings, "name", load).and_then(|node| Ok((String::from_node(node, load.problems)?, node)));
    settings.finish(load.problems)?;
    let (name, node) = name?;
    let route = load.routes.named(&name, &node.span, load.problems)?;
    Ok(Box::new(Route(route)))
}

impl Action for Route {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        run.take_route(&self.0);
        run.noted(&self.0);
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::{refused, ruling};

    #[test]
    fn the_last_route_counts_and_an_unknown_one_is_told() {
        assert_eq!(ruling("\r\n", &["route: relay", "route: {name: partner}"]).route.as_deref(), Some("partner"));
        assert_eq!(ruling("\r\n", &["tag: x"]).route, None);
        assert_eq!(refused("route: partnr"), ["no route is called `partnr`; did you mean `partner`?"]);
        assert_eq!(refused("route: xyzzy"), ["no route is called `xyzzy`; known: relay, partner"]);
        assert!(refused("route")[0].contains("`name`"));
    }
}
