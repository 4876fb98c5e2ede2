//! A score that is tested before it is complete.

use super::{Mode, Written};
use crate::yaml::{Node, Problems};

pub(super) fn check(rules: &[Written<'_>], problems: &mut Problems) {
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.mode == Mode::Enforce) {
        let scores = rule.question.leaves().into_iter().filter(|(name, _)| *name == "score");
        for (score, node) in scores.map(|(_, node)| (name(node), node)) {
            let later = rules[at + 1..].iter().find(|later| {
                let mut added = later.all_actions().filter(|(name, _)| *name == "score").map(|(_, node)| name(node));
                later.mode == Mode::Enforce && added.any(|added| added == score)
            });
            if let Some(later) = later {
                let which = if score.is_empty() { "the score".to_owned() } else { format!("the score `{score}`") };
                let label = format!("`{}` ({}) adds to it after this rule; the rules that test it come last", later.name, later.place());
                problems.warning(&node.span, format!("{which} is tested before it is complete"), label);
            }
        }
    }
}

/// Empty: the total.
fn name(node: &Node) -> &str {
    node.get("name").and_then(Node::scalar).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::tests::told;

    #[test]
    fn a_score_that_a_later_rule_adds_to_is_told_where_it_is_tested() {
        let file = "
rules:
  - {name: first, when: {subject: x}, then: [score: 1]}
  - {name: hold, when: {score: {over: 2}}, then: [quarantine]}
  - {name: phish, when: {score: {name: phish, over: 2}}, then: [quarantine]}
";
        let later = "rules: [{name: more, when: {subject: y}, then: [score: {add: 2}]}]";
        let label = "`more` (b.yaml:1) adds to it after this rule; the rules that test it come last";
        assert_eq!(told(&[file, later]), [format!("a.yaml:4: the score is tested before it is complete: {label}")]);
        assert_eq!(told(&[later, file]), [""; 0]);
        let named = later.replace("add: 2", "add: 2, name: phish");
        assert!(told(&[file, &named])[0].starts_with("a.yaml:5: the score `phish` is tested"));
    }
}
