//! Verdicts that rest on nothing but what a sender can write.

use super::question::Question;
use super::{Mode, Written};
use crate::chain::condition;
use crate::yaml::{Node, Problems};

/// What anybody can write into a message.
const WRITTEN: [&str; 6] = ["sender", "header", "subject", "address", "message_id", "date"];

/// What nobody can. Tags and scores may come from rules that asked for one of these.
const KNOWN: [&str; 5] = ["client", "direction", "authentication", "tag", "score"];

pub(super) fn check(rules: &[Written<'_>], problems: &mut Problems) {
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.mode == Mode::Enforce) {
        let holds = rule.then.iter().any(|(name, _)| *name == "quarantine");
        match rule.then.last() {
            Some((verdict @ ("deliver" | "leave"), _)) if !holds => {
                let skipped = rules[at + 1..].iter().find(|later| *verdict == "deliver" || later.file == rule.file);
                if let (Some(asked), Some(skipped)) = (forgeable(&rule.question), skipped) {
                    let title = format!("`{}` lets mail past `{}` and what follows, and trusts only {asked}", rule.name, skipped.name);
                    problems.warning(rule.span, title, advice());
                }
            }
            Some((verdict @ ("reject" | "defer" | "discard"), _)) => excepted(rule, verdict, &rules[at + 1..], problems),
            _ if holds => excepted(rule, "quarantine", &rules[at + 1..], problems),
            _ => {}
        }
    }
}

/// An `unless` that anybody can bring about, unless a later rule takes what is spared.
fn excepted(rule: &Written<'_>, verdict: &str, later: &[Written<'_>], problems: &mut Problems) {
    let Question::All(asked) = &rule.question else { return };
    let takes = |later: &Written<'_>| {
        let stops = later.then.iter().any(|(name, _)| ["reject", "defer", "discard", "quarantine"].contains(name));
        stops && later.mode == Mode::Enforce && asked[..asked.len() - 1].iter().any(|one| one.implies(&later.question))
    };
    if later.iter().any(takes) {
        return;
    }
    if let Some(asked) = rule.unless.as_ref().and_then(forgeable) {
        let title = format!("`{}` spares mail its `{verdict}`, and trusts only {asked}", rule.name);
        problems.warning(rule.span, title, advice());
    }
}

/// What is trusted, if all that is asked can be written by anybody: "`sender`, which anybody can write".
fn forgeable(question: &Question<'_>) -> Option<String> {
    let leaves: Vec<(&str, &Node)> = question.leaves();
    let mut asked: Vec<&str> = leaves.iter().map(|(name, _)| *name).filter(|name| WRITTEN.contains(name)).collect();
    asked.dedup();
    if asked.is_empty() || leaves.iter().any(|(name, _)| KNOWN.contains(name)) {
        return None;
    }
    let asked: Vec<_> = asked.iter().map(|name| format!("`{name}`")).collect();
    Some(format!("{}, which anybody can write", asked.join(" and ")))
}

fn advice() -> String {
    let known = condition::ENTRIES.iter().map(|entry| entry.name).filter(|name| KNOWN[..3].contains(name));
    let known: Vec<_> = known.map(|name| format!("`{name}`")).collect();
    format!("ask for {} as well, such as `client: {{address: 192.0.2.0/24}}`", known.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{told, told_with};

    #[test]
    fn a_way_past_the_rules_that_anybody_can_take_is_told() {
        let file = "
rules:
  - {name: partner, when: {sender: {domain: partner.example}}, then: [deliver]}
  - {name: hold, when: {attachment: {}}, then: [quarantine]}
";
        let told = told(&[file]);
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with(
            "a.yaml:3: `partner` lets mail past `hold` and what follows, and trusts only `sender`, which anybody can write: ask for"
        ));
        assert!(told[0].ends_with("as well, such as `client: {address: 192.0.2.0/24}`"), "{told:?}");
    }

    #[test]
    fn an_exception_that_anybody_can_claim_is_told() {
        let rule = |unless: &str| format!("rules: [{{name: hold, when: {{attachment: {{}}}}, unless: {unless}, then: [quarantine]}}]");
        assert!(
            told(&[&rule("{header: {name: X-Checked, exists: true}}")])[0]
                .contains("`hold` spares mail its `quarantine`, and trusts only `header`")
        );
        assert_eq!(told(&[&rule("{sender: {domain: a.example}, client: {address: 192.0.2.1}}")]), [""; 0]);
        let held = "rules: [{name: held, when: {any: [{attachment: {}}, {size: {over: 1MB}}]}, then: [quarantine]}]";
        assert_eq!(told(&[&rule("{sender: ''}").replace("[quarantine]", "[reject]"), held]), [""; 0], "a later rule takes what is spared");
        let configuration = "conditions: {partner: {subject: secret}}";
        assert!(told_with(configuration, &[&rule("{condition: partner}")], None)[0].contains("trusts only `subject`"));
    }

    #[test]
    fn refusing_by_what_a_sender_writes_is_no_trust() {
        let file = "rules: [{name: a, when: {subject: x}, then: [reject]}, {name: b, when: {tag: trusted, sender: {local: x}}, then: [deliver]}, {name: c, then: [discard]}]";
        assert_eq!(told(&[file]), [""; 0]);
        assert_eq!(told(&["rules: [{name: last, when: {subject: x}, then: [deliver]}]"]), [""; 0], "there is nothing it lets mail past");
    }
}
