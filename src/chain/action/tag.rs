//! `tag`: marks the mail for later rules and the log.

use super::settings::{needed, spelled};
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::yaml::{FromNode, Node, Reported};

/// The mark.
#[derive(Debug)]
struct Tag(String);

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "tag",
    about: "Marks the mail with a word that later rules can ask for (`tag: WORD`) and the log shows.",
    keys: &[KeyDoc { name: "name", wants: "a word", about: "The mark. `tag: x` is short for `tag: {name: x}`." }],
    example: "tag: newsletter",
    before: "Subject: hi\r\n\r\nbody\r\n",
    after: "(tag newsletter)\r\nSubject: hi\r\n\r\nbody\r\n",
    load,
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = spelled(node, "name");
    let mut settings = load.settings("tag", &node)?;
    let name = needed(&mut settings, "name", load).and_then(|node| Ok((String::from_node(node, load.problems)?, node)));
    settings.finish(load.problems)?;
    let (name, node) = name?;
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(load.problems.error(&node.span, "a tag wants a word", "something to call the mail by"));
    }
    Ok(Box::new(Tag(name)))
}

impl Action for Tag {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        run.add_tag(self.0.as_str());
        run.noted(&self.0);
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::{refused, ruling};

    #[test]
    fn a_tag_is_set_once() {
        assert_eq!(ruling("\r\n", &["tag: b", "tag: {name: a}", "tag: b"]).tags, ["b", "a"]);
        assert!(refused("tag: ''")[0].contains("a word"));
        assert!(refused("tag")[0].contains("`name`"));
    }
}
