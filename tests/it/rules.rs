//! The shipped rule files pass their own tests, and every documented example of a condition does what it says.

use std::path::PathBuf;
use std::sync::Arc;

use transom::chain::condition::{self, Condition};
use transom::chain::entry::{Entry, Load, NamedConditions};
use transom::chain::pattern::Patterns;
use transom::chain::rule::{RuleFile, Shared};
use transom::chain::{Chain, Limits, example, test};
use transom::mail::Inside;
use transom::yaml::{self, Problems, Source};

fn rule_files() -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir("rules").unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

#[test]
fn every_shipped_rule_file_passes_its_own_tests() {
    let (mut shared, mut problems) = (Shared::default(), Problems::default());
    let files: Vec<_> = rule_files().iter().filter_map(|file| RuleFile::read(file, &mut shared, &mut problems)).collect();
    let chain = Chain::build(files, &shared, &mut problems);
    assert!(!problems.any_error(), "{}", problems.render(false));
    assert!(!chain.files().is_empty());
    let mut failures = String::new();
    for file in chain.files() {
        assert!(!file.tests.is_empty(), "{} has no tests", file.path.display());
        for report in test::run(file, Limits::default(), &Inside::default()) {
            for failure in report.failures {
                failures += &format!("{} ({}): {}\n{}", report.test, report.place, failure.what, failure.difference.unwrap_or_default());
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn every_documented_condition_holds_for_one_mail_and_not_for_the_other() {
    let partner = Box::leak(Box::new(NamedConditions::new()));
    let named = load(&example_of("sender", "sender: {domain: partner.example}"), partner);
    let mut conditions = NamedConditions::new();
    conditions.insert("from_partner".to_owned(), transom::chain::entry::Named { condition: Arc::from(named), groups: Default::default() });
    for entry in condition::ENTRIES {
        let condition = load(&example_of(entry.name, entry.example), &conditions);
        if !entry.before.is_empty() {
            assert!(condition.holds(&example::run(entry.before)).unwrap(), "{} does not hold for its first mail", entry.name);
        }
        if !entry.after.is_empty() {
            assert!(!condition.holds(&example::run(entry.after)).unwrap(), "{} holds for its second mail", entry.name);
        }
        assert!(!(entry.before.is_empty() && entry.after.is_empty()), "{} shows no mail", entry.name);
    }
}

#[test]
fn every_condition_is_documented_in_whole_sentences() {
    fn check(entry: &Entry<dyn Condition>) {
        assert!(entry.about.ends_with('.') && entry.about.starts_with(char::is_uppercase), "{}", entry.name);
        assert!(entry.example.contains(entry.name), "{}", entry.name);
        for key in entry.keys {
            assert!(!key.wants.is_empty() && key.about.ends_with('.'), "{}: {}", entry.name, key.name);
        }
    }
    condition::ENTRIES.iter().for_each(|entry| check(entry));
}

fn example_of(name: &str, yaml: &str) -> Arc<Source> {
    Source::new(format!("the example of {name}"), yaml)
}

fn load(source: &Arc<Source>, conditions: &NamedConditions) -> Box<dyn Condition> {
    let (mut problems, inside, mut patterns) = (Problems::default(), Inside::default(), Patterns::default());
    let node = yaml::parse(source, &mut problems).unwrap();
    let mut load = Load {
        problems: &mut problems,
        limits: Limits::default(),
        inside: &inside,
        conditions,
        patterns: &mut patterns,
        groups: Default::default(),
        rule: Arc::from("example"),
    };
    let read = condition::load(&node, &mut load);
    read.unwrap_or_else(|_| panic!("{}", problems.render(false)))
}
