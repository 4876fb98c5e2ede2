//! `log`: writes a line into the log.

use super::settings::{spelled, text};
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::chain::text::{Place, Text};
use crate::yaml::{Node, Reported};

/// The line.
#[derive(Debug)]
struct Log(Text);

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "log",
    about: "Writes a line into the log, with the ids of the mail.",
    keys: &[KeyDoc { name: "text", wants: "a text", about: "The line. `log: x` is short for `log: {text: x}`." }],
    example: "log: 'for accounting: ${header:Subject}'",
    before: "Subject: hi\r\n\r\nbody\r\n",
    after: "Subject: hi\r\n\r\nbody\r\n",
    load,
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = spelled(node, "text");
    let mut settings = load.settings("log", &node)?;
    let text = text(&mut settings, "text", None, load);
    settings.finish(load.problems)?;
    Ok(Box::new(Log(text?)))
}

impl Action for Log {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let text = self.0.fill(Place::Log, None, run)?;
        run.noted(&text);
        run.log(text);
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::ruling;

    #[test]
    fn values_cannot_make_a_second_line() {
        let logs = ruling("Subject: =?utf-8?Q?a=0Ab?=\r\n\r\n", &["log: 'got ${header:Subject} from ${sender}'"]).logs;
        assert_eq!(logs[0].1, "got a b from sender@outside.example");
    }
}
