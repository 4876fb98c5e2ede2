//! What a rule asks, as a tree of questions, and when one answer settles another.

use crate::yaml::{Kind, Node};

/// A condition as it is written, its logic taken apart and named conditions put in their place.
#[derive(Clone, Debug)]
pub(super) enum Question<'n> {
    All(Vec<Question<'n>>),
    Any(Vec<Question<'n>>),
    Not(Box<Question<'n>>),
    Always(bool),
    /// A condition by its name, with its settings.
    Leaf(&'n str, &'n Node),
}

/// Keys that widen or turn what stands beside them, so that having one more is not stricter.
const WIDENING: [&str; 10] = ["case", "unicode", "view", "scope", "every", "some", "inside", "nested", "exists", "empty"];

impl<'n> Question<'n> {
    /// The question under `when`, `unless` and the like; `named` finds what stands under `conditions`.
    pub(super) fn of(node: &'n Node, named: &dyn Fn(&str) -> Option<&'n Node>) -> Question<'n> {
        match &node.kind {
            Kind::Map(entries) => {
                let mut all: Vec<_> = entries.iter().map(|(key, node)| Question::one(&key.text, node, named)).collect();
                if all.len() == 1 { all.remove(0) } else { Question::All(all) }
            }
            _ => Question::Always(node.scalar() != Some("false")),
        }
    }

    fn one(name: &'n str, node: &'n Node, named: &dyn Fn(&str) -> Option<&'n Node>) -> Question<'n> {
        let items = || node.list().unwrap_or_default().iter().map(|item| Question::of(item, named)).collect();
        match name {
            "all" => Question::All(items()),
            "any" => Question::Any(items()),
            "not" => Question::Not(Box::new(Question::of(node, named))),
            "true" | "false" => Question::Always(name == "true"),
            // Named conditions cannot use each other, so nothing is looked up below one.
            "condition" => node.scalar().and_then(named).map_or(Question::Leaf(name, node), |node| Question::of(node, &|_| None)),
            _ => Question::Leaf(name, node),
        }
    }

    /// Whether a mail that this one holds for is always one that `other` holds for. False: perhaps not.
    pub(super) fn implies(&self, other: &Question<'n>) -> bool {
        match (self, other) {
            (Question::Always(false), _) | (_, Question::Always(true)) => true,
            (_, Question::All(others)) => others.iter().all(|other| self.implies(other)),
            (Question::Any(these), _) => these.iter().all(|one| one.implies(other)),
            (Question::Not(one), Question::Not(other)) => other.implies(one),
            (Question::Not(one), Question::Always(false)) => Question::Always(true).implies(one),
            (Question::Leaf(name, node), Question::Leaf(other, wider)) => name == other && stricter(node, wider),
            (Question::All(these), Question::Any(others)) => {
                these.iter().any(|one| one.implies(other)) || others.iter().any(|other| self.implies(other))
            }
            (Question::All(these), _) => these.iter().any(|one| one.implies(other)),
            (_, Question::Any(others)) => others.iter().any(|other| self.implies(other)),
            _ => false,
        }
    }

    /// The conditions it is made of.
    pub(super) fn leaves(&self) -> Vec<(&'n str, &'n Node)> {
        match self {
            Question::All(all) | Question::Any(all) => all.iter().flat_map(Question::leaves).collect(),
            Question::Not(one) => one.leaves(),
            Question::Always(_) => Vec::new(),
            Question::Leaf(name, node) => vec![(name, node)],
        }
    }
}

/// Whether whatever passes these settings of a condition passes those: the same, with fewer of the texts to choose from, or with further tests.
fn stricter(node: &Node, wider: &Node) -> bool {
    if same(node, wider) {
        return true;
    }
    match (&node.kind, &wider.kind) {
        (Kind::Map(entries), Kind::Map(others)) => {
            let kept = others.iter().all(|(key, other)| {
                let logic = ["all", "any", "not"].contains(&key.text.as_str()) || WIDENING.contains(&key.text.as_str());
                node.get(&key.text).is_some_and(|node| if logic { same(node, other) } else { stricter(node, other) })
            });
            kept && entries.iter().all(|(key, _)| wider.get(&key.text).is_some() || !WIDENING.contains(&key.text.as_str()))
        }
        _ => match (texts(node), texts(wider)) {
            (Some(fewer), Some(more)) => fewer.iter().all(|text| more.contains(text)),
            _ => false,
        },
    }
}

/// One text or a list of them: one of these.
fn texts(node: &Node) -> Option<Vec<&str>> {
    match &node.kind {
        Kind::Scalar { text, .. } => Some(vec![text]),
        Kind::List(items) => items.iter().map(Node::scalar).collect(),
        _ => None,
    }
}

/// Whether both say the same, wherever they stand.
fn same(one: &Node, other: &Node) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Null, Kind::Null) => true,
        (Kind::Scalar { text, .. }, Kind::Scalar { text: other, .. }) => text == other,
        (Kind::List(items), Kind::List(others)) => {
            items.len() == others.len() && items.iter().zip(others).all(|(one, other)| same(one, other))
        }
        (Kind::Map(entries), Kind::Map(others)) => {
            entries.len() == others.len() && entries.iter().all(|(key, one)| other.get(&key.text).is_some_and(|other| same(one, other)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Problems, Source, parse};

    fn implied(one: &str, other: &str) -> bool {
        let read = |text: &str| parse(&Source::new("test.yaml", format!("{{{text}}}")), &mut Problems::default()).unwrap();
        let (one, other) = (read(one), read(other));
        Question::of(&one, &|_| None).implies(&Question::of(&other, &|_| None))
    }

    #[test]
    fn a_question_implies_what_asks_less() {
        for (one, other) in [
            ("subject: x", "subject: x"),
            ("subject: x", "true: "),
            ("false: ", "subject: x"),
            ("subject: x, size: {over: 1MB}", "subject: x"),
            ("subject: x", "any: [{tag: y}, {subject: x}]"),
            ("subject: x, tag: y", "any: [{tag: z}, {tag: y, subject: x}]"),
            ("any: [{subject: x, tag: a}, {subject: x, tag: b}]", "subject: x"),
            ("attachment: {extension: exe}", "attachment: {extension: [exe, scr]}"),
            ("attachment: {extension: [exe], size: {over: 1kB}}", "attachment: {extension: [exe, scr]}"),
            ("not: {subject: x}", "not: {subject: x, tag: y}"),
            ("header: {contains: x, name: X-A}", "header: {name: X-A, contains: x}"),
        ] {
            assert!(implied(one, other), "{one} -> {other}");
        }
    }

    #[test]
    fn what_may_not_follow_is_not_taken_to_follow() {
        for (one, other) in [
            ("subject: x", "subject: y"),
            ("subject: x", "subject: x, tag: y"),
            ("any: [{subject: x}, {tag: y}]", "subject: x"),
            ("attachment: {extension: [exe, bat]}", "attachment: {extension: [exe, scr]}"),
            ("not: {attachment: {extension: exe}}", "not: {attachment: {extension: [exe, scr]}}"),
            ("attachment: {not: {extension: exe}}", "attachment: {not: {extension: [exe, scr]}}"),
            ("header: {name: X-A, exists: false}", "header: {name: X-A}"),
            ("body: {contains: x, view: raw}", "body: {contains: x}"),
            ("true: ", "subject: x"),
            ("recipients: {every: {domain: a}}", "recipients: {every: {domain: [a, b]}}"),
        ] {
            assert!(!implied(one, other), "{one} -> {other}");
        }
    }
}
