//! The command line: what it says, and how it ends.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::transom::transom;

const SMALLEST: &str = "listeners: [{address: '127.0.0.1:0'}]\nrelay: {next_hops: ['127.0.0.1:1']}\n";

const SUBCOMMANDS: [&str; 12] =
    ["serve", "check", "test", "explain", "reference", "schema", "rules", "quarantine", "user", "demo", "completions", "man"];

/// A directory with these files in it.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

struct Said {
    status: i32,
    out: String,
    error: String,
}

fn said(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().unwrap();
    Said { status: status.code().unwrap(), out: String::from_utf8(stdout).unwrap(), error: String::from_utf8(stderr).unwrap() }
}

fn run(directory: &Path, line: &[&str]) -> Said {
    said(transom(directory).args(line))
}

#[test]
fn a_wrong_configuration_shows_all_its_mistakes_at_once_and_nothing_listens() {
    let configuration = "\
listeners:
  - {address: 127.0.0.1:0, line_ending: reject}
limits:
  message_size: fifty
relay: {next_hops: [127.0.0.1:1]}
chain: [{include: rules/*.yaml}]
";
    let rules = "\
rules:
  - name: clean
    then:
      - header.delete: {name: X-Spam-Score}
      - header.remov: {name: X-Spam-Score}
";
    let directory = directory(&[("transom.yaml", configuration), ("rules/clean.yaml", rules)]);
    let said = run(directory.path(), &["serve"]);
    assert_eq!(said.status, 78);
    assert_eq!(said.out, "");
    let expected = "\
error: unknown key in a listener: `line_ending`
  ╭▸ transom.yaml:2:28
  │
2 │   - {address: 127.0.0.1:0, line_ending: reject}
  ╰╴                           ━━━━━━━━━━━ did you mean `line_endings`?
error: `message_size` wants a size such as 50MB or 10MiB, found `fifty`
  ╭▸ transom.yaml:4:17
  │
4 │   message_size: fifty
  ╰╴                ━━━━━
";
    assert!(said.error.starts_with(expected), "{}", said.error);
    assert!(said.error.contains("error: unknown action `header.delete`\n  ╭▸ rules/clean.yaml:4:9\n"), "{}", said.error);
    assert!(said.error.contains("━━━━━━━━━━━━ did you mean `header.remove`?\n"), "{}", said.error);
    assert!(said.error.ends_with("\n4 errors; nothing was started\n"), "{}", said.error);
    assert!(!directory.path().join("store").exists(), "a wrong configuration must leave nothing behind");
}

#[test]
fn check_says_the_same_and_as_json_with_every_place() {
    let directory = directory(&[("transom.yaml", &SMALLEST.replace("listeners", "listener"))]);
    let told = run(directory.path(), &["check"]);
    assert_eq!((told.status, told.out.as_str()), (78, ""));
    assert!(told.error.contains("did you mean `listeners`?") && told.error.ends_with("1 error; not fit to start\n"), "{}", told.error);

    let told = run(directory.path(), &["check", "--json"]);
    assert_eq!((told.status, told.error.as_str()), (78, ""));
    let json: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(json["ok"], false);
    let unknown = json["problems"].as_array().unwrap().iter().find(|problem| problem["label"] == "did you mean `listeners`?").unwrap();
    assert_eq!((&unknown["file"], &unknown["line"], &unknown["column"]), (&"transom.yaml".into(), &1.into(), &1.into()));
    assert_eq!(unknown["level"], "error");
}

#[test]
fn check_is_content_with_the_smallest_file_and_starts_nothing() {
    let directory = directory(&[("transom.yaml", SMALLEST)]);
    let told = run(directory.path(), &["check"]);
    assert_eq!((told.status, told.out.as_str(), told.error.as_str()), (0, "transom.yaml: right, without rules\n", ""));
    assert!(!directory.path().join("store").exists());
}

#[test]
fn a_failing_rule_test_makes_a_configuration_wrong() {
    let rules = "
rules: [{name: drop, then: [discard]}]
tests: [{name: it is delivered, inline: \"Subject: a\\n\\nb\\n\", expect: {outcome: deliver}}]
";
    let configuration = format!("{SMALLEST}chain: [{{include: a.yaml}}]\n");
    let directory = directory(&[("transom.yaml", &configuration), ("a.yaml", rules)]);
    let told = run(directory.path(), &["check"]);
    assert_eq!(told.status, 78);
    assert!(told.error.contains("the test `it is delivered` fails") && told.error.contains("a.yaml:3:"), "{}", told.error);
    let told = run(directory.path(), &["check", "--without-tests"]);
    assert_eq!((told.status, told.out.as_str()), (0, "transom.yaml: right, with 1 rule in 1 file, tests not run\n"));
}

#[test]
fn the_configuration_is_found_by_option_then_environment_then_directory() {
    let directory = directory(&[("transom.yaml", SMALLEST), ("option.yaml", SMALLEST), ("environment.yaml", SMALLEST)]);
    let checked = |command: &mut Command| said(command.arg("check")).out;
    assert_eq!(checked(&mut transom(directory.path())), "transom.yaml: right, without rules\n");
    assert_eq!(checked(transom(directory.path()).env("TRANSOM_CONFIG", "environment.yaml")), "environment.yaml: right, without rules\n");
    let both = checked(transom(directory.path()).env("TRANSOM_CONFIG", "environment.yaml").args(["--config", "option.yaml"]));
    assert_eq!(both, "option.yaml: right, without rules\n");
}

#[test]
fn a_configuration_that_is_not_there_is_told_by_name() {
    let directory = directory(&[]);
    let told = run(directory.path(), &["check", "--config", "none.yaml"]);
    assert_eq!(told.status, 78);
    assert!(told.error.starts_with("error: none.yaml cannot be read: no such file\n"), "{}", told.error);
}

#[test]
fn explain_tells_what_the_listener_makes_of_a_message() {
    let configuration = "\
listeners:
  - {name: plain, address: 127.0.0.1:0}
  - {name: queue, address: 127.0.0.1:0, behind_queue: true}
  - {name: strict, address: 127.0.0.1:0, malformed: reject}
  - {name: wrapping, address: 127.0.0.1:0, malformed: wrap}
relay: {next_hops: [127.0.0.1:1]}
chain: [{include: a.yaml}]
";
    let rules = "rules: [{name: no, when: {subject: offer}, then: [{reject: {text: no offers}}]}]\n";
    let files = [("transom.yaml", configuration), ("a.yaml", rules), ("m.eml", "Subject: offer\n\nx\n"), ("odd.eml", "no field\n\nx\n")];
    let directory = directory(&files);
    let explain = |message: &str, listener: &str| run(directory.path(), &["explain", message, "--listener", listener]);
    assert!(!explain("m.eml", "plain").out.contains("held"));
    assert!(explain("m.eml", "queue").out.contains("reject · 550 5.7.1 no offers · held"));
    assert!(!explain("odd.eml", "plain").out.contains("cannot be read"));
    assert!(explain("odd.eml", "strict").out.contains("refused before any rule"));
    assert!(explain("odd.eml", "wrapping").out.contains("as the text of a new message"));
    let unknown = explain("m.eml", "queu");
    assert_eq!(
        (unknown.status, unknown.error.trim()),
        (64, "error: no listener is called `queu`: there is plain, queue, strict, wrapping")
    );
}

#[test]
fn explain_tells_whom_the_client_may_not_send_to() {
    let directory = tempfile::tempdir().unwrap();
    let configuration =
        "listeners: [{address: '127.0.0.1:25'}]\ninside: {domains: [inside.example]}\nrelay: {next_hops: ['127.0.0.1:26']}\n";
    std::fs::write(directory.path().join("transom.yaml"), configuration).unwrap();
    std::fs::write(directory.path().join("m.eml"), "Subject: x\n\ntext\n").unwrap();
    let explain = |more: &[&str]| run(directory.path(), &[&["explain", "m.eml", "--to", "b@elsewhere.example"], more].concat()).out;
    assert!(explain(&[]).contains("over SMTP <b@elsewhere.example> is not taken: 550 5.7.1 Relaying denied"));
    assert!(explain(&["--json"]).contains("\"denied\": [\n    \"b@elsewhere.example\""));
    assert!(!explain(&["--user", "anna"]).contains("is not taken"));
}

#[test]
fn every_subcommand_explains_itself_with_examples() {
    let directory = directory(&[]);
    let all = run(directory.path(), &["--help"]);
    assert_eq!((all.status, all.error.as_str()), (0, ""));
    for name in SUBCOMMANDS {
        assert!(all.out.contains(&format!("\n  {name} ")), "{name}");
        let one = run(directory.path(), &[name, "--help"]);
        assert_eq!((one.status, one.error.as_str()), (0, ""));
        assert!(one.out.contains("Examples:\n  transom "), "{name}: {}", one.out);
    }
}

#[test]
fn a_wrong_command_line_is_told_with_the_nearest_word() {
    let directory = directory(&[]);
    let told = run(directory.path(), &["chekc"]);
    assert_eq!((told.status, told.out.as_str()), (64, ""));
    assert!(told.error.contains("'check'"), "{}", told.error);
    assert_eq!(run(directory.path(), &[]).status, 64);
    assert_eq!(run(directory.path(), &["check", "--jsonn"]).status, 64);
}

#[test]
fn the_version_is_told() {
    let told = run(directory(&[]).path(), &["--version"]);
    assert_eq!((told.status, told.out), (0, format!("transom {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn shells_get_their_completions() {
    let directory = directory(&[]);
    for shell in ["bash", "zsh", "fish"] {
        let told = run(directory.path(), &["completions", shell]);
        assert_eq!((told.status, told.error.as_str()), (0, ""));
        assert!(SUBCOMMANDS.iter().all(|name| told.out.contains(name)), "{shell}");
    }
    assert_eq!(run(directory.path(), &["completions", "none"]).status, 64);
}

#[test]
fn every_subcommand_has_a_manual_page() {
    let directory = directory(&[]);
    let told = run(directory.path(), &["man", "pages"]);
    assert_eq!((told.status, told.error.as_str()), (0, ""));
    for name in SUBCOMMANDS {
        let page = std::fs::read_to_string(directory.path().join(format!("pages/transom-{name}.1"))).unwrap();
        assert!(page.contains(".TH TRANSOM") && page.contains(".SH EXAMPLES"), "{name}: {page}");
    }
    assert!(told.out.contains("pages/transom.1\n"));
}

#[test]
fn colours_are_for_terminals() {
    let directory = directory(&[("transom.yaml", "nonsense")]);
    let piped = said(transom(directory.path()).env_remove("NO_COLOR").arg("check"));
    assert!(!piped.error.contains('\u{1b}') && piped.status == 78);
    let forced = said(transom(directory.path()).env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1").arg("check"));
    assert!(forced.error.contains('\u{1b}'));
    let refused = said(transom(directory.path()).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").arg("check"));
    assert!(!refused.error.contains('\u{1b}'));
}
