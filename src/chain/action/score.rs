//! `score`: adds points.

use super::settings::{needed, spelled};
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::yaml::{FromNode, Node, Problems, Reported};

/// How many points, and to which score.
#[derive(Debug)]
struct Score {
    add: f64,
    /// Empty: the unnamed total.
    name: String,
}

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "score",
    about: "Adds points to the score, or to the score of a name.",
    keys: &[
        KeyDoc {
            name: "add",
            wants: "a number",
            about: "The points; fewer than none are taken away. `score: 2` is short for `score: {add: 2}`.",
        },
        KeyDoc { name: "name", wants: "a word", about: "Which score; the unnamed total if absent." },
    ],
    example: "score: {add: 2.5, name: phish}",
    before: "(score phish 1)\r\nSubject: hi\r\n\r\nbody\r\n",
    after: "(score phish 3.5)\r\nSubject: hi\r\n\r\nbody\r\n",
    load,
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = spelled(node, "add");
    let mut settings = load.settings("score", &node)?;
    let add = needed(&mut settings, "add", load).and_then(|node| points(node, load.problems));
    let name = settings.take::<String>("name", load.problems);
    settings.finish(load.problems)?;
    Ok(Box::new(Score { add: add?, name: name?.unwrap_or_default() }))
}

/// Points: a finite number.
fn points(node: &Node, problems: &mut Problems) -> Result<f64, Reported> {
    let text = String::from_node(node, problems)?;
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.'));
    let number = text.parse::<f64>().ok().filter(|number| plain && number.abs() <= 1e9);
    number.ok_or_else(|| problems.error(&node.span, format!("`score` wants a number, found `{text}`"), "points such as 2, 0.5 or -1"))
}

impl Action for Score {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        run.add_score(&self.name, self.add);
        if run.is_traced() {
            run.noted(format!("{} {:+}", self.name, self.add).trim());
        }
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::{refused, ruling};

    #[test]
    fn points_add_up_by_name() {
        let scores = ruling("\r\n", &["score: 2", "score: {add: 3, name: phish}", "score: -0.5"]).scores;
        assert!((scores[""] - 1.5).abs() < 1e-9 && (scores["phish"] - 3.0).abs() < 1e-9, "{scores:?}");
    }

    #[test]
    fn what_is_no_number_of_points_is_refused() {
        for wrong in ["score: much", "score: nan", "score: inf", "score: 1e999", "score: {name: x}"] {
            assert!(!refused(wrong).is_empty(), "{wrong}");
        }
    }
}
