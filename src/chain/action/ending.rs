//! `deliver`, `discard` and `leave`: actions without settings that end the chain, or this rule file.

use crate::chain::entry::{Entry, Load};
use crate::chain::ruling::Outcome;
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::yaml::{Node, Reported};

/// Where the run goes.
#[derive(Debug)]
struct Ending(Flow);

const MAIL: &str = "Subject: hi\r\n\r\nbody\r\n";

pub const DELIVER: Entry<dyn Action> = Entry {
    name: "deliver",
    about: "Ends the chain: the mail goes on as it now is. One that is held stays held.",
    keys: &[],
    example: "deliver",
    before: MAIL,
    after: MAIL,
    load: |node, load| ending("deliver", Flow::End(Outcome::Deliver), node, load),
};

pub const DISCARD: Entry<dyn Action> = Entry {
    name: "discard",
    about: "Ends the chain: the mail is accepted and goes nowhere.",
    keys: &[],
    example: "discard",
    before: MAIL,
    after: MAIL,
    load: |node, load| ending("discard", Flow::End(Outcome::Discard), node, load),
};

pub const LEAVE: Entry<dyn Action> = Entry {
    name: "leave",
    about: "Ends this rule file: the chain goes on with the next one.",
    keys: &[],
    example: "leave",
    before: MAIL,
    after: MAIL,
    load: |node, load| ending("leave", Flow::Leave, node, load),
};

fn ending(name: &str, flow: Flow, node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    load.settings(name, node)?.finish(load.problems)?;
    Ok(Box::new(Ending(flow)))
}

impl Action for Ending {
    fn apply(&self, _: &mut Run) -> Result<Flow, ActionError> {
        Ok(self.0.clone())
    }

    fn is_verdict(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::{chain, mail, refused, rules, ruling};

    #[test]
    fn they_take_no_settings_and_nothing_stands_after_them() {
        assert_eq!(ruling("\r\n", &["discard: {}"]).word(), "discard");
        assert_eq!(ruling("\r\n", &["deliver"]).word(), "deliver");
        assert!(refused("discard: {text: x}")[0].contains("text"));
        for action in ["discard", "deliver", "leave", "reject", "defer"] {
            assert!(chain(&rules(&[action, "tag: x"])).unwrap_err()[0].contains("never runs"), "{action}");
        }
    }

    #[test]
    fn leave_skips_the_rest_of_its_file() {
        let yaml = "rules:\n  - {name: a, then: [leave]}\n  - {name: b, then: [discard]}\n";
        assert_eq!(chain(yaml).unwrap().run(mail(b"\r\n"), &[]).word(), "deliver");
    }
}
