//! The shipped rule files pass their own tests, and every documented example of a condition does what it says.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use transom::chain::condition::{self, Condition};
use transom::chain::entry::{Entry, Load, NamedConditions, Uses};
use transom::chain::link::Link;
use transom::chain::list::Lists;
use transom::chain::pattern::Patterns;
use transom::chain::route::Routes;
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
    let chain = Chain::build(vec![Link::of(files)], &shared, &mut problems);
    assert!(!problems.any_error(), "{}", problems.render(false));
    assert!(!chain.files().is_empty());
    let mut failures = String::new();
    for file in chain.files() {
        assert!(!file.tests.is_empty(), "{} has no tests", file.path.display());
        for report in test::run(file, Limits::default(), &Inside::default()) {
            for failure in report.failures {
                let _ =
                    write!(failures, "{} ({}): {}\n{}", report.test, report.place, failure.what, failure.difference.unwrap_or_default());
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn every_documented_condition_holds_for_one_mail_and_not_for_the_other() {
    let none = NamedConditions::new();
    let named = load(&example_of("sender", "sender: {domain: partner.example}"), &none);
    let mut conditions = NamedConditions::new();
    conditions.insert(
        "from_partner".to_owned(),
        transom::chain::entry::Named { condition: Arc::from(named), groups: BTreeSet::default(), uses: Uses::default() },
    );
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
    for entry in condition::ENTRIES {
        check(entry);
    }
}

fn example_of(name: &str, yaml: &str) -> Arc<Source> {
    Source::new(format!("the example of {name}"), yaml)
}

fn load(source: &Arc<Source>, conditions: &NamedConditions) -> Box<dyn Condition> {
    let (mut problems, inside, lists, mut patterns) = (Problems::default(), Inside::default(), Lists::default(), Patterns::default());
    let node = yaml::parse(source, &mut problems).unwrap();
    let mut load = Load {
        problems: &mut problems,
        limits: Limits::default(),
        inside: &inside,
        conditions,
        lists: &lists,
        routes: &Routes::default(),
        patterns: &mut patterns,
        groups: BTreeSet::default(),
        rule: Arc::from("example"),
        break_signatures: false,
        without_inside: false,
        uses: Uses::default(),
    };
    let read = condition::load(&node, &mut load);
    read.unwrap_or_else(|_| panic!("{}", problems.render(false)))
}

const RULES: &str = "rules:\n  - name: tag\n    when: {subject: {contains: x}}\n    then: [{header.add: {name: X-Seen, value: 'yes'}}]\n";

fn transom(directory: &std::path::Path, arguments: &[&str]) -> (i32, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_transom"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("TRANSOM_CONFIG")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_failing_test_is_told_with_its_difference_and_update_mends_same_as() {
    let directory = tempfile::tempdir().unwrap();
    let tests = "tests:\n  - name: seen\n    inline: |\n      Subject: x\n\n      text\n    expect: {fired: [tag], same_as: after/seen.eml}\n  - name: wrong\n    inline: |\n      Subject: y\n\n      text\n    expect: {outcome: discard, fired: [tag]}\n";
    std::fs::write(directory.path().join("a.yaml"), format!("{RULES}{tests}")).unwrap();
    let (code, out, _) = transom(directory.path(), &["test", "a.yaml"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("✗ seen") && out.contains("after/seen.eml"), "{out}");
    assert!(out.contains("outcome: expected discard, got deliver") && out.contains("fired: expected [tag], got []"), "{out}");
    let (code, out, said) = transom(directory.path(), &["test", "--update", "a.yaml"]);
    assert_eq!(code, 1);
    assert!(out.contains("✓ seen") && out.contains("1 passed, 1 failed"), "{out}");
    assert!(said.contains("written: after/seen.eml"), "{said}");
    assert_eq!(std::fs::read(directory.path().join("after/seen.eml")).unwrap(), b"X-Seen: yes\r\nSubject: x\r\n\r\ntext\r\n");
    std::fs::write(directory.path().join("after/seen.eml"), "X-Seen: no\nSubject: x\n\ntext\n").unwrap();
    let (_, out, _) = transom(directory.path(), &["test", "a.yaml"]);
    assert!(out.contains("-X-Seen: no") && out.contains("+X-Seen: yes"), "{out}");
}

#[test]
fn exit_statuses_say_whose_fault_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let tests = "tests: [{name: t, inline: \"Subject: x\\n\\n\", expect: {outcome: deliver}}]\n";
    std::fs::write(directory.path().join("good.yaml"), format!("{RULES}{tests}")).unwrap();
    std::fs::write(directory.path().join("bad.yaml"), "rules: [{name: a, then: [discrad]}]\n").unwrap();
    std::fs::write(directory.path().join("m.eml"), "Subject: x\n\ntext\n").unwrap();
    for (arguments, expected) in [
        (vec!["test", "good.yaml"], 0),
        (vec!["test", "bad.yaml"], 65),
        (vec!["test", "none.yaml"], 66),
        (vec!["explain", "m.eml", "--rules", "good.yaml"], 0),
        (vec!["explain", "none.eml", "--rules", "good.yaml"], 66),
        (vec!["explain", "m.eml", "--rules", "good.yaml", "--from", "a b"], 64),
    ] {
        let (code, out, said) = transom(directory.path(), &arguments);
        assert_eq!(code, expected, "{arguments:?}: {out}{said}");
    }
}

#[test]
fn explain_tells_each_condition_with_what_it_saw_and_each_edit() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.yaml"), RULES).unwrap();
    std::fs::write(directory.path().join("m.eml"), "Subject: ax\n\ntext\n").unwrap();
    let (_, out, _) = transom(directory.path(), &["explain", "m.eml", "--rules", "a.yaml"]);
    for part in ["✓ tag", "a.yaml:2", "saw: ax", "X-Seen:", "+ yes", "deliver · 1 field changed", "text/plain"] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    assert!(!out.contains('\u{1b}'), "colours in a pipe");
    let (_, out, _) = transom(directory.path(), &["explain", "m.eml", "--rules", "a.yaml", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["outcome"], "deliver");
    assert_eq!(told["rules"][0]["conditions"][0]["saw"][0], "ax");
}
