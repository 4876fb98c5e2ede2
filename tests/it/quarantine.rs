//! Held mail, through the real server and the real command line: it is shown, released once, unchanged, or deleted.

use std::process::{Output, Stdio};

use serde_json::Value;

use super::support::next_hop::{Act, NextHop, Script};
use super::support::recorder::Recorder;
use super::support::transom::{Transom, basics, transom};

const RULES: &str = r"rules:
  - name: tag
    then: [{header.add: {name: X-Tagged, value: yes}}]
  - name: hold
    when: {header: {name: X-Hold, exists: true}}
    then: [{quarantine: {reason: asked for}}]
";

const MAIL: &[u8] = b"From: Sender <a@outside.example>\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\nX-Hold: yes\r\n\r\nhello\r\n.a dot\r\n";

fn start(next_hop: &Recorder, more: &str) -> Transom {
    let configuration = format!("{}chain: [{{include: rules/*.yaml}}]\n{more}", basics(next_hop.address()));
    Transom::start_with(&configuration, &[("rules/hold.yaml", RULES)])
}

#[track_caller]
fn hold(server: &Transom, mail: &[u8]) {
    let mut client = server.client();
    client.hello();
    let reply = client.send("a@outside.example", &["b@inside.example", "c@inside.example"], mail);
    assert!(reply.starts_with("250"), "{reply}");
}

fn run(server: &Transom, arguments: &[&str]) -> Output {
    server.command().arg("quarantine").args(arguments).output().unwrap()
}

#[track_caller]
fn succeed(server: &Transom, arguments: &[&str]) -> String {
    let output = run(server, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn rows(server: &Transom, state: &str) -> Vec<Value> {
    serde_json::from_str(&succeed(server, &["list", "--json", "--state", state])).unwrap()
}

#[track_caller]
fn only_id(server: &Transom) -> String {
    let rows = rows(server, "held,pending");
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_large_text_that_rules_change_is_sent_and_held_as_changed() {
    const CHANGES: &str = "rules:
  - name: change
    then: [{body.replace: {matches: 'SECRET-[0-9]+', with: GONE}}, {body.replace: {matches: '(a) secret', with: '$1'}}]
";
    let next_hop = Recorder::start();
    let more = "limits: {memory_per_message: 64KiB}\n";
    let configuration = format!("{}chain: [{{include: changes.yaml}}, {{include: hold.yaml}}]\n{more}", basics(next_hop.address()));
    let server = Transom::start_with(&configuration, &[("hold.yaml", RULES), ("changes.yaml", CHANGES)]);
    let body = |secret: &dyn Fn(usize) -> String, a: &str| -> String {
        let line = |number: usize| match number % 50 {
            0 => format!(".line with {} in it\r\n", secret(number)),
            20..25 => format!("line with {a} in it, and not far away {} again\r\n", secret(number)),
            _ => format!("line {number} of very many, and some more text to fill it\r\n"),
        };
        (0..60_000).map(line).collect()
    };
    let came = body(&|number| format!("SECRET-{number}"), "a secret");
    let changed = body(&|_| "GONE".to_owned(), "a");
    let mut client = server.client();
    client.hello();
    for field in ["X-Other", "X-Hold"] {
        let mail = format!("Subject: hi\r\n{field}: yes\r\n\r\n{came}");
        assert!(client.send("a@outside.example", &["b@inside.example"], mail.as_bytes()).starts_with("250"));
    }
    succeed(&server, &["release", &only_id(&server)]);
    let taken = next_hop.taken();
    assert_eq!(taken.len(), 2);
    for mail in taken {
        assert!(mail.message.ends_with(&[b"yes\r\n\r\n", changed.as_bytes()].concat()), "it is sent as it was changed");
    }
}

#[test]
fn a_held_mail_is_listed_with_all_that_an_operator_asks_for() {
    let next_hop = Recorder::start();
    let server = start(&next_hop, "");
    hold(&server, MAIL);
    let row = rows(&server, "held,pending").remove(0);
    assert_eq!(row["reason"], "asked for");
    assert_eq!(row["reasons"], serde_json::json!(["asked for"]));
    assert_eq!(row["rules"], serde_json::json!(["tag", "hold"]));
    assert_eq!(row["sender"], "a@outside.example");
    assert_eq!(row["recipients"], serde_json::json!(["b@inside.example", "c@inside.example"]));
    assert_eq!(row["subject"], "grüße");
    assert_eq!(row["client"], "127.0.0.1");
    assert_eq!(row["size"].as_u64(), Some(MAIL.len() as u64));
    assert!(row["from"].as_str().unwrap().contains("a@outside.example"));
    assert!(row["time"].as_str().unwrap().ends_with('Z'));
    assert!(next_hop.taken().is_empty());

    let list = succeed(&server, &["list"]);
    assert!(list.contains("grüße") && list.contains("asked for") && list.contains("+1"), "{list}");
    let show = succeed(&server, &["show", row["id"].as_str().unwrap()]);
    for text in ["asked for  (rule: hold)", "Subject: grüße", "+X-Tagged: yes", ".a dot", "text/plain"] {
        assert!(show.contains(text), "`{text}` is not in\n{show}");
    }
}

#[test]
fn a_release_sends_what_would_have_been_delivered_and_only_once() {
    let next_hop = Recorder::start();
    let server = start(&next_hop, "");
    hold(&server, MAIL);
    let id = only_id(&server);
    succeed(&server, &["release", &id[..6].to_lowercase()]);
    let taken = next_hop.only();
    assert_eq!(taken.recipients, ["b@inside.example", "c@inside.example"]);
    assert_eq!(taken.without_received(), [b"X-Tagged: yes\r\n", MAIL].concat());
    assert_eq!(String::from_utf8_lossy(&taken.message).matches("Received:").count(), 1);
    let again = run(&server, &["release", &id, "--force"]);
    assert_eq!(again.status.code(), Some(65), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(next_hop.taken().len(), 1);
    assert!(rows(&server, "held,pending").is_empty());
    assert_eq!(rows(&server, "released")[0]["id"], id.as_str());
}

#[test]
fn the_received_form_goes_without_what_the_rules_did_and_with_one_received() {
    let next_hop = Recorder::start();
    let server = start(&next_hop, "");
    hold(&server, MAIL);
    succeed(&server, &["release", "--received", &only_id(&server)]);
    assert_eq!(next_hop.only().without_received(), MAIL);
}

#[test]
fn a_large_mail_lies_in_a_file_and_is_released_to_the_byte() {
    let next_hop = Recorder::start();
    let server = start(&next_hop, "");
    let mail = [MAIL, "a line of some length, over and over\r\n".repeat(80_000).as_bytes()].concat();
    hold(&server, &mail);
    let content = server.directory().join("store/content");
    assert_eq!(std::fs::read_dir(&content).unwrap().count(), 1);
    succeed(&server, &["show", &only_id(&server)]);
    succeed(&server, &["release", &only_id(&server)]);
    assert!(next_hop.only().without_received() == [b"X-Tagged: yes\r\n", &mail[..]].concat());
    assert_eq!(std::fs::read_dir(&content).unwrap().count(), 0);
}

#[test]
fn a_deleted_mail_is_never_sent_and_stays_listed_as_deleted() {
    let next_hop = Recorder::start();
    let server = start(&next_hop, "");
    hold(&server, MAIL);
    let id = only_id(&server);
    succeed(&server, &["delete", &id]);
    assert_eq!(run(&server, &["release", &id]).status.code(), Some(65));
    assert_eq!(rows(&server, "deleted").len(), 1);
    assert!(succeed(&server, &["show", &id]).contains("content is gone"));
    assert!(next_hop.taken().is_empty());
}

#[test]
fn who_decided_what_and_when_is_shown() {
    let refusing = NextHop::start([Script::good().at("RCPT TO:<c@", Act::Say("550 5.1.1 nobody\r\n"))]);
    let next_hop = Recorder::start();
    let server = start(&next_hop, "");
    hold(&server, MAIL);
    let id = only_id(&server);
    let configuration = server.directory().join("elsewhere.yaml");
    let text = std::fs::read_to_string(server.directory().join("transom.yaml")).unwrap();
    std::fs::write(&configuration, text.replace(&next_hop.address().to_string(), &refusing.address.to_string())).unwrap();
    let refused = server.command().args(["--config", "elsewhere.yaml", "quarantine", "release", &id]).output().unwrap();
    assert_eq!(refused.status.code(), Some(69), "{}", String::from_utf8_lossy(&refused.stderr));
    succeed(&server, &["delete", &id]);

    let row: Value = serde_json::from_str(&succeed(&server, &["show", &id, "--json"])).unwrap();
    let history = row["history"].as_array().unwrap();
    let what: Vec<&str> = history.iter().map(|deed| deed["what"].as_str().unwrap()).collect();
    assert_eq!((what.len(), what[0], what[2]), (3, "release", "deleted"), "{what:?}");
    assert!(what[1].starts_with("not released: ") && what[1].contains("nobody"), "{what:?}");
    let uid = rustix::process::getuid().as_raw().to_string();
    for deed in history {
        assert!(deed["who"].as_str().unwrap().contains(&uid) && deed["time"].as_str().unwrap().ends_with('Z'), "{deed}");
    }
    let shown = succeed(&server, &["show", &id]);
    assert!(shown.lines().any(|line| line.starts_with("done ") && line.contains(&uid) && line.ends_with(": deleted")), "{shown}");
}

#[test]
fn a_copy_for_a_refused_recipient_stays_held_when_the_dot_is_not_answered() {
    let script = Script::good().at("RCPT TO:<x@", Act::Say("550 5.1.1 nobody\r\n")).at(".", Act::Close);
    let next_hop = NextHop::start([script]);
    let rules = "rules: [{name: copy, then: [{recipient.add: {address: x@inside.example}}]}]\n";
    let configuration = format!("{}chain: [{{include: rules/*.yaml}}]\n", basics(next_hop.address));
    let server = Transom::start_with(&configuration, &[("rules/copy.yaml", rules)]);
    let mut client = server.client();
    client.hello();
    let reply = client.send("a@outside.example", &["b@inside.example"], b"Subject: x\r\n\r\nhi\r\n");
    assert!(reply.starts_with("451"), "{reply}");
    server.wait_for_log("in doubt");

    let row = rows(&server, "held,pending").remove(0);
    let reasons: Vec<&str> = row["reasons"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap()).collect();
    assert!(reasons[0].contains("550") && reasons[1].starts_with("in doubt"), "{reasons:?}");
    assert_eq!(row["recipients"], serde_json::json!(["x@inside.example"]));
    assert!(succeed(&server, &["list"]).contains("held, unconfirmed"));
}

#[test]
fn a_quarantine_that_fills_up_says_so_in_time_and_once() {
    let next_hop = Recorder::start();
    let server = start(&next_hop, "store: {quarantine: {size: 20kB}}\n");
    let mut client = server.client();
    client.hello();
    let mut held = 0;
    let reply = loop {
        let reply = client.send("a@outside.example", &["b@inside.example"], MAIL);
        if !reply.starts_with("250") {
            break reply;
        }
        held += 1;
        assert!(held < 1000, "it is never full");
    };
    assert!(reply.starts_with("452 4.3.1"), "{reply}");
    let full = server.wait_for_log("the quarantine is full");
    assert!(full.contains("release or delete some, or raise it"), "{full}");
    assert_eq!(server.log().matches("the quarantine is at 80 %").count(), 1);
    assert_eq!(rows(&server, "held,pending").len(), held);
    let reply = client.send("a@outside.example", &["b@inside.example"], b"Subject: x\r\n\r\nhi\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    next_hop.only();
}

#[test]
fn a_full_quarantine_defers_what_is_to_be_held_and_nothing_else() {
    let next_hop = Recorder::start();
    let server = start(&next_hop, "store: {quarantine: {size: 1kB}}\n");
    hold(&server, MAIL);
    let large = [MAIL, &[b'x'; 600]].concat();
    let mut client = server.client();
    client.hello();
    let reply = client.send("a@outside.example", &["b@inside.example"], &large);
    assert!(reply.starts_with("452 4.3.1"), "{reply}");
    let reply = client.send("a@outside.example", &["b@inside.example"], b"Subject: x\r\n\r\nhi\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(rows(&server, "held,pending").len(), 1);
    next_hop.only();
}

#[test]
fn what_was_acknowledged_outlives_a_killed_server_and_can_be_released() {
    let next_hop = Recorder::start();
    let server = start(&next_hop, "");
    hold(&server, MAIL);
    let directory = server.keep_directory();
    server.kill();
    let released = transom(directory.path()).args(["quarantine", "list", "--json"]).output().unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&released.stdout).unwrap();
    assert_eq!(rows[0]["state"], "held");
    let released = transom(directory.path()).args(["quarantine", "release", rows[0]["id"].as_str().unwrap()]).output().unwrap();
    assert!(released.status.success(), "{}", String::from_utf8_lossy(&released.stderr));
    assert!(next_hop.only().message.ends_with(MAIL));
}

#[test]
fn of_two_that_release_the_same_mail_at_once_one_sends_it() {
    let next_hop = Recorder::start();
    let server = start(&next_hop, "");
    for _ in 0..5 {
        hold(&server, MAIL);
        let id = only_id(&server);
        let started: Vec<_> = (0..3)
            .map(|_| server.command().args(["quarantine", "release", &id]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
            .collect();
        let ended: Vec<_> = started.into_iter().map(|mut child| child.wait().unwrap().code()).collect();
        assert_eq!(ended.iter().filter(|code| **code == Some(0)).count(), 1, "{ended:?}");
    }
    assert_eq!(next_hop.taken().len(), 5);
}

#[test]
fn a_server_that_was_asked_to_stop_leaves_nothing_unconfirmed() {
    let next_hop = Recorder::start();
    let server = start(&next_hop, "");
    hold(&server, MAIL);
    let directory = server.keep_directory();
    assert!(server.terminate().success());
    let shown = transom(directory.path()).args(["quarantine", "list"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("held") && !shown.contains("unconfirmed"), "{shown}");
    assert_eq!(std::fs::read_dir(directory.path().join("store/owners")).unwrap().count(), 0);
}

#[test]
fn a_store_that_is_not_there_is_not_made_by_looking() {
    let directory = tempfile::tempdir().unwrap();
    let output = transom(directory.path()).args(["quarantine", "list", "--store", "nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(66));
    assert!(!directory.path().join("nowhere").exists());
}

#[test]
fn an_unknown_id_decides_about_none_of_the_others() {
    let next_hop = Recorder::start();
    let server = start(&next_hop, "");
    hold(&server, MAIL);
    let output = run(&server, &["delete", &only_id(&server), "NOSUCHID"]);
    assert_eq!(output.status.code(), Some(66));
    assert_eq!(rows(&server, "held,pending").len(), 1);
}
