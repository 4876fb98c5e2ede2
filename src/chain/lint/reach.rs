//! Rules that no mail gets to, or that never fire: another one has ended the chain before.

use super::question::Question;
use super::{Mode, Written};
use crate::yaml::Problems;

const VERDICTS: [&str; 4] = ["reject", "defer", "discard", "deliver"];

/// Actions after which every condition answers as before.
const HARMLESS: [&str; 7] = ["reject", "defer", "discard", "deliver", "leave", "log", "quarantine"];

pub(super) fn check(rules: &[Written<'_>], problems: &mut Problems) {
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.mode != Mode::Disabled) {
        if rule.otherwise.is_empty() && never(&rule.question) {
            problems.warning(rule.span, format!("`{}` never fires", rule.name), "its conditions hold for no mail at all");
            continue;
        }
        let enders = rules[..at].iter().enumerate().filter(|(_, other)| other.mode == Mode::Enforce && other.stage == rule.stage);
        for (earlier, ender) in enders {
            if let Some(label) = ended(rule, ender, &rules[earlier..at]) {
                problems.warning(rule.span, label.0, label.1);
                break;
            }
        }
    }
}

fn never(question: &Question<'_>) -> bool {
    question.implies(&Question::Always(false))
}

/// Whether no mail that the rule would fire for gets past `ender`; `between` are the rules from that one to before the rule.
fn ended(rule: &Written<'_>, ender: &Written<'_>, between: &[Written<'_>]) -> Option<(String, String)> {
    let ends = |actions: &[(&str, _)]| {
        actions.last().is_some_and(|(name, _)| VERDICTS.contains(name) || (*name == "leave" && ender.file == rule.file))
    };
    let (then, otherwise) = (ends(&ender.then), !ender.conditional && ends(&ender.otherwise));
    let what = |actions: &[(&str, _)]| actions.last().map_or("", |(name, _)| *name).to_owned();
    let always = Question::Always(true).implies(&ender.question);
    if then && (always || otherwise) {
        let label = format!("`{}` ({}) ends in `{}` for every mail", ender.name, ender.place(), what(&ender.then));
        return Some((format!("`{}` never runs", rule.name), label));
    }
    // What an action changed could make a condition hold that did not before.
    let quiet = between.iter().flat_map(Written::all_actions).all(|(name, _)| HARMLESS.contains(name));
    if !quiet || !rule.otherwise.is_empty() {
        return None;
    }
    let word = if then && rule.question.implies(&ender.question) {
        what(&ender.then)
    } else if otherwise && rule.question.implies(&Question::Not(Box::new(ender.question.clone()))) {
        what(&ender.otherwise)
    } else {
        return None;
    };
    let label = format!("`{}` ({}) has ended in `{word}` for every mail it would fire for", ender.name, ender.place());
    Some((format!("`{}` never fires", rule.name), label))
}

#[cfg(test)]
mod tests {
    use super::super::tests::told;

    #[test]
    fn a_rule_after_an_unconditional_verdict_is_told_with_the_rule_that_ends() {
        let file = "rules:\n  - {name: all, then: [discard]}\n  - {name: late, then: [tag: x]}\n";
        let expected = "`all` (a.yaml:2) ends in `discard` for every mail";
        assert_eq!(told(&[file]), [format!("a.yaml:3: `late` never runs: {expected}")]);
        assert_eq!(
            told(&[&file.replace("  - {name: late, then: [tag: x]}\n", ""), "rules: [{name: late, then: [tag: x]}]"]),
            [format!("b.yaml:1: `late` never runs: {expected}")]
        );
    }

    #[test]
    fn both_ways_out_of_a_rule_end_the_chain_too() {
        let file = "rules:\n  - {name: all, when: {subject: x}, then: [discard], else: [deliver]}\n  - {name: late, then: [tag: x]}\n";
        assert!(told(&[file])[0].contains("`late` never runs"));
    }

    #[test]
    fn a_shadowed_rule_is_told() {
        let file = "
rules:
  - {name: programs, when: {attachment: {extension: [exe, scr]}}, then: [reject]}
  - {name: large programs, when: {attachment: {extension: exe}, size: {over: 1MB}}, then: [discard]}
";
        let expected = "`programs` (a.yaml:3) has ended in `reject` for every mail it would fire for";
        assert_eq!(told(&[file]), [format!("a.yaml:4: `large programs` never fires: {expected}")]);
        // What an action changes could make it fire after all.
        let edited = file.replace("  - {name: large", "  - {name: edit, then: [header.remove: X-A]}\n  - {name: large");
        assert_eq!(told(&[&edited]), [""; 0]);
    }

    #[test]
    fn what_else_takes_is_shadowed_too() {
        let file = "
rules:
  - {name: inside, when: {client: {address: 10.0.0.0/8}}, then: [log: x], else: [reject]}
  - {name: outside, unless: {client: {address: 10.0.0.0/8}}, then: [quarantine]}
";
        assert!(told(&[file])[0].contains("`outside` never fires"));
    }

    #[test]
    fn leave_ends_its_own_file_only() {
        let first = "rules:\n  - {name: a, then: [leave]}\n";
        assert_eq!(told(&[first, "rules: [{name: b, then: [tag: x]}]"]), [""; 0]);
        assert!(told(&[&format!("{first}  - {{name: b, then: [tag: x]}}")])[0].contains("`b` never runs"));
    }

    #[test]
    fn conditions_that_hold_for_no_mail_are_told() {
        let never = "a.yaml:1: `a` never fires: its conditions hold for no mail at all";
        assert_eq!(told(&["rules: [{name: a, when: {subject: x, false: }, then: [discard]}]"]), [never]);
        assert_eq!(told(&["rules: [{name: a, unless: true, then: [discard]}]"]), [never]);
    }
}
