//! `transom check` as a linter: what is odd is told with its place and what to do, and stops nothing.

use tempfile::TempDir;

use super::support::transom::transom;

const CONFIGURATION: &str =
    "listeners: [{address: '127.0.0.1:0'}]\nrelay: {next_hops: ['127.0.0.1:1']}\ninside: {}\nchain: [{include: RULES}]\n";

/// Exit status, standard output and standard error of `check`.
fn checked(directory: &TempDir, rules: &str, arguments: &[&str]) -> (i32, String, String) {
    std::fs::write(directory.path().join("transom.yaml"), CONFIGURATION.replace("RULES", rules)).unwrap();
    let output = transom(directory.path()).arg("check").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_lint_shows_the_line_and_what_to_do_and_stops_nothing() {
    let directory = TempDir::new().unwrap();
    let rules = "\
rules:
  - name: refuse all
    then: [reject]
  - name: tag the rest
    then: [{tag: rest}]
tests:
  - {name: nothing passes, inline: \"Subject: a\\n\\nb\\n\", expect: {fired: [refuse all]}}
";
    std::fs::write(directory.path().join("rules.yaml"), rules).unwrap();
    let expected = "\
warning: `tag the rest` never runs
  ╭▸ rules.yaml:4:11
  │
4 │   - name: tag the rest
  ╰╴          ━━━━━━━━━━━━ `refuse all` (rules.yaml:2) ends in `reject` for every mail
warning: no test sees `tag the rest` fire
  ╭▸ rules.yaml:4:11
  │
4 │   - name: tag the rest
  ╰╴          ━━━━━━━━━━━━ a test with a message it fires for, and `expect: {fired: [tag the rest]}`
";
    let (status, out, error) = checked(&directory, "rules.yaml", &[]);
    assert_eq!((status, error.as_str()), (0, expected));
    assert_eq!(out, "transom.yaml: right, with 2 rules in 1 file, 1 test passed\n");

    let (status, out, _) = checked(&directory, "rules.yaml", &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &json["ok"], &json["problems"][0]["level"]), (0, &true.into(), &"warning".into()));
    assert_eq!(json["problems"][0]["line"], 4);
}

#[test]
fn the_shipped_rules_are_lint_free_but_for_what_is_said_in_them() {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/rules/*.yaml");
    let (status, _, error) = checked(&TempDir::new().unwrap(), rules, &[]);
    let told: Vec<_> = error.lines().filter(|line| line.starts_with("warning: ")).collect();
    // A canonical copy is for comparing: nobody reads it.
    let expected =
        ["warning: the address in `X-Originating-IP` can be guessed from its hash", "warning: `header.mask` leaves a `Date` that is none"];
    assert_eq!((status, told.as_slice()), (0, expected.as_slice()), "{error}");
}
