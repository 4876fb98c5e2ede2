//! Rules that are only observed, entries of the chain with conditions of their own, listeners with a chain of their own: through the real server.

use std::net::SocketAddr;

use super::support::client::Client;
use super::support::recorder::Recorder;
use super::support::transom::{Transom, transom};

const RULES: [(&str, &str); 4] = [
    (
        "in.yaml",
        "rules: [{name: mark, then: [{header.add: {name: X-Mark, value: yes}}]}, {name: watch, mode: observe, then: [{reject: {text: watched}}]}]\n",
    ),
    (
        "strict.yaml",
        "rules: [{name: edit, then: [{header.set: {name: Subject, value: changed}}, {tag: t}]}, {name: refuse, when: {tag: t, subject: changed}, then: [reject]}]\n",
    ),
    ("offers.yaml", "rules: [{name: no offers, then: [{reject: {code: 550, text: no offers}}]}]\n"),
    ("out.yaml", "rules: [{name: outgoing, then: [{header.add: {name: X-Out, value: yes}}]}]\n"),
];

fn configuration(next_hop: SocketAddr) -> String {
    format!(
        "hostname: filter.example.org
listeners:
  - {{name: in, address: 127.0.0.1:0}}
  - {{name: out, address: 127.0.0.1:0, chain: [{{include: out.yaml}}]}}
relay: {{next_hops: [\"{next_hop}\"]}}
chain:
  - include: in.yaml
  - {{include: strict.yaml, mode: observe}}
  - {{include: offers.yaml, when: {{subject: offer}}}}
chain_tests: tests/*.yaml
"
    )
}

const CHAIN_TESTS: &str = "
tests:
  - {name: an offer is refused, inline: 'Subject: offer', expect: {outcome: reject, fired: [mark, watch, edit, refuse, no offers]}}
  - {name: outgoing, inline: 'Subject: offer', client: {listener: out}, expect: {outcome: deliver, fired: [outgoing]}}
";

fn start(next_hop: &Recorder) -> Transom {
    Transom::start_with(&configuration(next_hop.address()), &[&RULES[..], &[("tests/whole.yaml", CHAIN_TESTS)]].concat())
}

fn send(address: SocketAddr, mail: &[u8]) -> String {
    let mut client = Client::connect(address);
    client.hello();
    client.send("a@outside.example", &["b@inside.example"], mail)
}

#[test]
fn what_is_observed_is_logged_and_the_mail_leaves_as_if_it_were_not_there() {
    let next_hop = Recorder::start();
    let server = start(&next_hop);
    assert!(send(server.address(), b"Subject: hello\r\n\r\nhello\r\n").starts_with("250"));
    let told = server.wait_for_log("outcome=deliver");
    assert!(told.contains("fired=mark ") && told.contains("observed=\"watch, edit, refuse\""), "{told}");
    let message = String::from_utf8(next_hop.only().message).unwrap();
    assert!(message.ends_with("X-Mark: yes\r\nSubject: hello\r\n\r\nhello\r\n"), "{message}");
}

#[test]
fn an_entry_applies_to_what_its_when_names() {
    let next_hop = Recorder::start();
    let server = start(&next_hop);
    let reply = send(server.address(), b"Subject: offer\r\n\r\nhello\r\n");
    assert!(reply.starts_with("550") && reply.ends_with("no offers"), "{reply}");
    assert!(next_hop.taken().is_empty());
}

#[test]
fn a_listener_with_a_chain_of_its_own_takes_mail_through_that_one() {
    let next_hop = Recorder::start();
    let server = start(&next_hop);
    assert!(send(server.listener(1), b"Subject: offer\r\n\r\nhello\r\n").starts_with("250"));
    let message = String::from_utf8(next_hop.only().message).unwrap();
    assert!(message.contains("X-Out: yes") && !message.contains("X-Mark"), "{message}");
    let told = server.wait_for_log("outcome=deliver");
    assert!(told.contains("fired=outgoing ") && !told.contains("observed="), "{told}");
}

#[test]
fn chain_tests_are_run_by_test_check_and_the_start() {
    let next_hop = Recorder::start();
    let server = start(&next_hop);
    let run = |arguments: &[&str]| {
        let output = server.command().args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    let (code, told) = run(&["test"]);
    assert!(code == Some(0) && told.contains("whole.yaml") && told.contains("✓ outgoing") && told.contains("2 passed"), "{told}");
    let (code, told) = run(&["check"]);
    assert!(code == Some(0) && told.contains("6 rules in 4 files, 2 tests passed"), "{told}");

    let broken = CHAIN_TESTS.replace("fired: [outgoing]", "fired: [mark]");
    std::fs::write(server.directory().join("tests/whole.yaml"), broken).unwrap();
    assert_eq!(run(&["test"]).0, Some(1));
    for command in ["check", "serve"] {
        let output = transom(server.directory()).arg(command).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(78) && told.contains("the test `outgoing` fails"), "{command}: {told}");
    }
}

#[test]
fn explain_shows_what_is_only_observed_and_the_entries_with_conditions() {
    let next_hop = Recorder::start();
    let server = start(&next_hop);
    std::fs::write(server.directory().join("a.eml"), "Subject: hello\r\n\r\nhello\r\n").unwrap();
    let explain = |more: &[&str]| {
        let output = server.command().args(["explain", "a.eml"]).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let told = explain(&[]);
    for text in ["watch", "only observed", "include offers.yaml", "observed: watch, edit, refuse", "deliver · 1 field changed"] {
        assert!(told.contains(text), "`{text}` is not in\n{told}");
    }
    let told: serde_json::Value = serde_json::from_str(&explain(&["--json"])).unwrap();
    assert_eq!(told["fired"], serde_json::json!(["mark"]));
    assert_eq!(told["observed"], serde_json::json!(["watch", "edit", "refuse"]));
    let told = explain(&["--listener", "out"]);
    assert!(told.contains("outgoing") && !told.contains("watch"), "{told}");
}

#[test]
fn the_counts_of_rules_are_kept_in_the_store_and_outlive_the_server() {
    let next_hop = Recorder::start();
    let server = start(&next_hop);
    assert!(send(server.address(), b"Subject: hello\r\n\r\nhello\r\n").starts_with("250"));
    assert!(send(server.address(), b"Subject: offer\r\n\r\nhello\r\n").starts_with("550"));
    let directory = server.keep_directory();
    assert!(server.terminate().success());
    let rules = |more: &[&str]| {
        let output = transom(directory.path()).arg("rules").args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let told: Vec<serde_json::Value> = serde_json::from_str(&rules(&["--json"])).unwrap();
    let count = |rule: &str| {
        let row = told.iter().find(|row| row["rule"] == rule).unwrap();
        [&row["observed"], &row["seen"], &row["fired"], &row["errors"], &row["different"]].map(ToString::to_string).join(" ")
    };
    assert_eq!(count("mark"), "false 2 2 0 null");
    assert_eq!(count("no offers"), "false 1 1 0 null");
    // Both would have been refused by it, the second with another reply.
    assert_eq!(count("watch"), "true 2 2 0 2");
    assert_eq!(count("refuse"), "true 2 2 0 2");
    let edit = told.iter().find(|row| row["rule"] == "edit").unwrap();
    assert_eq!(
        (&edit["different"], edit["messages"].as_array().unwrap().len()),
        (&serde_json::json!(1), 2),
        "an edit of what is refused is none"
    );
    let table = rules(&["--since", "1d"]);
    assert!(table.contains("RULE") && table.contains("observe") && table.contains("no offers"), "{table}");
}

#[test]
fn a_test_that_fails_for_a_rule_is_only_observed_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let rules = "
rules:
  - {name: hold, mode: observe, then: [quarantine: {reason: odd}]}
  - {name: pass, then: [deliver]}
tests:
  - {name: held, inline: 'Subject: a', expect: {outcome: quarantine}}
";
    std::fs::write(directory.path().join("a.yaml"), rules).unwrap();
    let output = transom(directory.path()).args(["test", "a.yaml"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("only observed, without effect (`mode: observe`): hold\n"), "{text}");
}
