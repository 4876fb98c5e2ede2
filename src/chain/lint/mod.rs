//! What is odd about rules although it can be read: warnings, which never stop a start.
//!
//! The lints read rules as they are written, in the order of the chain; what only the tests know (which rules fired) comes from their run.

mod hidden;
mod never;
mod origin;
mod question;
mod reach;
mod score;
mod slip;
mod trust;
mod unused;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Chain;
use super::link::{Link, Mode};
use crate::yaml::{Node, Problems, Span};
use question::Question;

/// One rule, as it is written.
#[derive(Debug)]
struct Written<'n> {
    name: &'n str,
    span: &'n Span,
    /// Which of the rule files it stands in.
    file: usize,
    /// What it fires for: `when` without `unless`.
    question: Question<'n>,
    unless: Option<Question<'n>>,
    /// Whether its chain entry has a condition: without it neither way out of the rule is taken.
    conditional: bool,
    then: Vec<(&'n str, &'n Node)>,
    otherwise: Vec<(&'n str, &'n Node)>,
    stage: Stage,
    mode: Mode,
}

/// When a rule runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Recipient,
    Message,
}

/// Looks through the rules of all chains: the common one, then those of listeners that have their own. `configuration` is transom.yaml; `fired` are the rules that some test saw fire, if the tests were run.
pub fn check(chains: &[&Chain], configuration: &Node, fired: Option<&BTreeSet<Arc<str>>>, problems: &mut Problems) {
    let mut found = Problems::default();
    for (number, chain) in chains.iter().enumerate() {
        let rules = written(chain.links(), configuration);
        reach::check(&rules, &mut found);
        score::check(&rules, &mut found);
        trust::check(&rules, &mut found);
        origin::check(&rules, number, configuration, &mut found);
        hidden::check(&rules, &mut found);
        if let Some(fired) = fired {
            unused::untested(chain.files(), &rules, fired, &mut found);
        }
    }
    let files: Vec<_> = chains.iter().flat_map(|chain| chain.files().iter().map(Arc::clone)).collect();
    unused::check(&files, configuration, &mut found);
    slip::check(&files, &mut found);
    never::check(&files, configuration, &mut found);
    // A file that stands in several chains is looked at in each.
    found.dedup();
    problems.append(found);
}

/// The rules in the order in which they run.
fn written<'n>(links: &'n [Arc<Link>], configuration: &'n Node) -> Vec<Written<'n>> {
    let mut rules: Vec<_> = links
        .iter()
        .flat_map(|link| link.files.iter().map(move |file| (link, file)))
        .enumerate()
        .flat_map(|(number, (link, file))| {
            let from_configuration = move |name: &str| configuration.get("conditions")?.get(name);
            let entry = link.when.as_ref().map(|when| Question::of(&when.node, &from_configuration));
            let named = move |name: &str| {
                let of = |node: &'n Node| node.get("conditions")?.get(name);
                of(&file.node).or_else(|| of(configuration))
            };
            let nodes = file.node.get("rules").and_then(Node::list).unwrap_or_default();
            nodes.iter().filter_map(move |node| rule(node, number, link.mode, entry.clone(), &named))
        })
        .collect();
    rules.sort_by_key(|rule| rule.stage);
    rules
}

fn rule<'n>(
    node: &'n Node,
    file: usize,
    mode: Mode,
    entry: Option<Question<'n>>,
    named: &dyn Fn(&str) -> Option<&'n Node>,
) -> Option<Written<'n>> {
    let name = node.get("name")?;
    let word = |key: &str| node.get(key).and_then(Node::scalar);
    let ask = |key: &str| node.get(key).map(|node| Question::of(node, named));
    let unless = ask("unless");
    let conditional = entry.is_some();
    let mut question: Vec<_> = entry.into_iter().chain(ask("when")).chain(unless.clone().map(|one| Question::Not(Box::new(one)))).collect();
    Some(Written {
        name: name.scalar()?,
        span: &name.span,
        file,
        question: match question.len() {
            0 => Question::Always(true),
            1 => question.remove(0),
            _ => Question::All(question),
        },
        unless,
        conditional,
        then: actions(node.get("then")),
        otherwise: actions(node.get("else")),
        stage: if word("at") == Some("recipient") { Stage::Recipient } else { Stage::Message },
        mode: mode.max(match word("mode") {
            Some("observe") => Mode::Observe,
            Some("disabled") => Mode::Disabled,
            _ => Mode::Enforce,
        }),
    })
}

/// Actions by name, with their settings; a bare word is its own.
fn actions(node: Option<&Node>) -> Vec<(&str, &Node)> {
    let items = node.and_then(Node::list).unwrap_or_default();
    let named = items.iter().filter_map(|item| match item.map() {
        Some(entries) => entries.first().map(|(key, node)| (key.text.as_str(), node)),
        None => item.scalar().map(|word| (word, item)),
    });
    named.collect()
}

impl Written<'_> {
    fn place(&self) -> String {
        format!("{}:{}", self.span.source.name, self.span.line_column().0)
    }

    /// Every action, whichever way the question is answered.
    fn all_actions(&self) -> impl Iterator<Item = &(&str, &Node)> {
        self.then.iter().chain(&self.otherwise)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::rule::{RuleFile, Shared};
    use super::*;
    use crate::yaml::{Source, parse};

    /// What is said of rule files, a line each: where, the warning, what to do.
    pub(super) fn told(files: &[&str]) -> Vec<String> {
        told_with("{}", files, None)
    }

    pub(super) fn told_with(configuration: &str, files: &[&str], fired: Option<&[&str]>) -> Vec<String> {
        let line = |problem: &crate::yaml::Problem| {
            let span = problem.span.as_ref().unwrap();
            format!("{}:{}: {}: {}", span.source.name, span.line_column().0, problem.title, problem.label)
        };
        warnings(configuration, files, fired).iter().map(line).collect()
    }

    /// Title and corrected line of each warning about a rule file that has one.
    pub(super) fn fixes(file: &str) -> Vec<String> {
        let fix = |problem: &crate::yaml::Problem| problem.fix.as_ref().map(|fix| format!("{}\n{}", problem.title, fix.lines.join("\n")));
        warnings("{}", &[file], None).iter().filter_map(fix).collect()
    }

    fn warnings(configuration: &str, files: &[&str], fired: Option<&[&str]>) -> Problems {
        let mut problems = Problems::default();
        let configuration = parse(&Source::new("transom.yaml", configuration), &mut problems).unwrap();
        let mut shared = Shared::default();
        if let Some(node) = configuration.get("lists") {
            shared.lists = crate::chain::list::Lists::load(node, Path::new(""), shared.limits, &mut problems);
        }
        if let Some(node) = configuration.get("conditions") {
            shared.conditions = shared.named(node, &mut problems);
        }
        let read = |(number, text): (usize, &&str)| {
            let name = format!("{}.yaml", char::from(b'a' + u8::try_from(number).unwrap()));
            let node = parse(&Source::new(name.clone(), *text), &mut problems).unwrap();
            Arc::new(RuleFile::load(&node, Path::new(&name), &mut shared, &mut problems))
        };
        let files: Vec<_> = files.iter().enumerate().map(read).collect();
        assert!(!problems.any_error(), "{}", problems.render(false));
        let fired = fired.map(|names| names.iter().map(|name| Arc::from(*name)).collect());
        let chain = Chain::build(vec![crate::chain::link::Link::of(files)], &shared, &mut problems);
        check(&[&chain], &configuration, fired.as_ref(), &mut problems);
        assert!(!problems.any_error(), "a lint is a warning");
        problems
    }

    #[test]
    fn rules_without_oddities_are_left_in_peace() {
        let file = "
conditions: {ours: {client: {address: 10.0.0.0/8}}}
rules:
  - {name: pass, when: {condition: ours, sender: {domain: a.example}}, then: [deliver]}
  - {name: one, when: {subject: x}, then: [score: 1]}
  - {name: two, when: {score: {over: 2}}, then: [reject]}
";
        assert_eq!(told(&[file, "rules: [{name: last, then: [header.hash: X-Customer]}]"]), [""; 0]);
    }
}
