//! What is there and does nothing: named conditions, lists and patterns that no rule uses, rules that no test sees fire.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Mode, Written};
use crate::chain::rule::RuleFile;
use crate::yaml::{Node, Problems};

/// Names that are used, each under the key that uses it.
type Used<'n> = BTreeSet<(&'static str, &'n str)>;

/// The key that uses what stands under another one.
const USERS: [(&str, &str, &str); 3] =
    [("conditions", "condition", "condition"), ("lists", "in", "list"), ("patterns", "pattern", "pattern")];

pub(super) fn check(files: &[Arc<RuleFile>], configuration: &Node, problems: &mut Problems) {
    let mut everywhere = Used::new();
    for file in files {
        if file.node.get("rules").and_then(Node::list).is_none_or(<[Node]>::is_empty) {
            problems.warning(&file.node.span, "this rule file has no rules", "rules stand under `rules:`; else take the file out");
        }
        let mut here = Used::new();
        // What only a test uses does nothing for a mail.
        for (key, node) in file.node.map().unwrap_or_default() {
            if key.text != "tests" {
                collect(node, &mut here);
            }
        }
        told(&file.node, &USERS[..1], &here, problems);
        everywhere.extend(here);
    }
    ["conditions", "chain", "listeners"]
        .into_iter()
        .filter_map(|key| configuration.get(key))
        .for_each(|node| collect(node, &mut everywhere));
    told(configuration, &USERS, &everywhere, problems);
}

fn told(node: &Node, users: &[(&'static str, &'static str, &str)], used: &Used<'_>, problems: &mut Problems) {
    for (section, user, what) in users {
        let entries = node.get(section).and_then(Node::map).unwrap_or_default();
        for (name, _) in entries.iter().filter(|(name, _)| !used.contains(&(*user, name.text.as_str()))) {
            let label = format!("`{user}: {}` in a rule would; else take it out", name.text);
            problems.warning(&name.span, format!("nothing uses the {what} `{}`", name.text), label);
        }
    }
}

fn collect<'n>(node: &'n Node, used: &mut Used<'n>) {
    for (key, value) in node.map().unwrap_or_default() {
        if let (Some((_, user, _)), Some(name)) = (USERS.iter().find(|(_, user, _)| *user == key.text), value.scalar()) {
            used.insert((user, name));
        }
        collect(value, used);
    }
    node.list().unwrap_or_default().iter().for_each(|item| collect(item, used));
}

/// Rules that no test saw fire and that no test speaks of.
pub(super) fn untested(files: &[Arc<RuleFile>], rules: &[Written<'_>], fired: &BTreeSet<Arc<str>>, problems: &mut Problems) {
    for (number, file) in files.iter().enumerate() {
        let tests = file.node.get("tests").and_then(Node::list).unwrap_or_default();
        let named: BTreeSet<&str> = tests.iter().filter_map(|test| test.get("expect")).flat_map(names).collect();
        let untested = |rule: &&Written<'_>| {
            rule.file == number && rule.mode != Mode::Disabled && !fired.contains(rule.name) && !named.contains(rule.name)
        };
        let mut untested = rules.iter().filter(untested);
        if !tests.is_empty() {
            for rule in untested {
                let label = format!("a test with a message it fires for, and `expect: {{fired: [{}]}}`", rule.name);
                problems.warning(rule.span, format!("no test sees `{}` fire", rule.name), label);
            }
        } else if let Some(rule) = untested.next() {
            let label = "under `tests:`, each with a message and what is expected; `transom reference tests` shows how";
            problems.warning(rule.span, "the rules of this file have no tests", label);
        }
    }
}

/// The rules that `expect` names.
fn names(expect: &Node) -> Vec<&str> {
    let lists = ["fired", "fired_some", "not_fired"].into_iter().filter_map(|key| expect.get(key));
    lists.flat_map(|list| list.list().map_or_else(|| vec![list], |items| items.iter().collect())).filter_map(Node::scalar).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{told, told_with};

    #[test]
    fn a_name_that_nothing_uses_is_told_where_it_is_given() {
        let file = "
conditions:
  ours: {client: {address: 10.0.0.0/8}}
  theirs: {client: {address: 192.0.2.0/24}}
rules: [{name: a, when: {condition: theirs, sender: {domain: {in: partners}}}, then: [tag: x]}]
";
        let configuration = "
conditions: {everywhere: {sender: {local: {in: robots}}}}
lists:
  partners: {kind: domain, values: [a.example]}
  robots: {kind: text, values: [bot]}
  friends: {kind: domain, values: [b.example]}
";
        assert_eq!(
            told_with(configuration, &[file], None),
            [
                "a.yaml:3: nothing uses the condition `ours`: `condition: ours` in a rule would; else take it out",
                "transom.yaml:2: nothing uses the condition `everywhere`: `condition: everywhere` in a rule would; else take it out",
                "transom.yaml:6: nothing uses the list `friends`: `in: friends` in a rule would; else take it out",
            ]
        );
    }

    #[test]
    fn a_file_without_rules_is_told() {
        for file in ["", "# all gone\n", "rules: []\n"] {
            let told = told(&[file]);
            assert_eq!(told, ["a.yaml:1: this rule file has no rules: rules stand under `rules:`; else take the file out"], "{file:?}");
        }
    }

    #[test]
    fn a_rule_that_no_test_sees_fire_is_told() {
        let file = "
rules: [{name: a, when: {subject: x}, then: [tag: x]}, {name: b, when: {subject: y}, then: [tag: y]},
  {name: c, when: {subject: z}, then: [tag: z]}]
tests: [{name: t, inline: x, expect: {not_fired: [b]}}]
";
        let expected = "a.yaml:3: no test sees `c` fire: a test with a message it fires for, and `expect: {fired: [c]}`";
        assert_eq!(told_with("{}", &[file], Some(&["a"])), [expected]);
        assert_eq!(told(&[file]), [""; 0], "the tests were not run");
    }

    #[test]
    fn a_file_without_tests_is_told_once() {
        let told = told_with("{}", &["rules: [{name: a, then: [tag: x]}, {name: b, then: [tag: x]}]"], Some(&[]));
        assert_eq!(
            told,
            [
                "a.yaml:1: the rules of this file have no tests: under `tests:`, each with a message and what is expected; `transom reference tests` shows how"
            ]
        );
    }
}
