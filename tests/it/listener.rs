//! What a listener is told to do with what it would refuse, cannot read, or has passed on.

use super::support::next_hop::{NextHop, Script};
use super::support::recorder::Recorder;
use super::support::transom::Transom;

fn start(next_hop: std::net::SocketAddr, listener: &str, more: &str, rules: &str) -> Transom {
    let configuration = format!(
        "hostname: filter.example.org\nlisteners: [{{address: 127.0.0.1:0, {listener}}}]\nrelay: {{next_hops: [\"{next_hop}\"]}}\n{more}"
    );
    Transom::start_with(&configuration, &[("rules.yaml", rules)])
}

fn send(transom: &Transom, message: &[u8]) -> String {
    let mut client = transom.client();
    client.hello();
    client.send("a@outside.example", &["b@inside.example"], message)
}

/// The only row of the quarantine.
fn held(transom: &Transom) -> serde_json::Value {
    let output = transom.command().args(["quarantine", "list", "--json"]).output().unwrap();
    let mut rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

#[test]
fn received_none_leaves_the_message_as_it_came_to_the_byte() {
    let next_hop = Recorder::start();
    let transom = start(next_hop.address(), "received: none", "", "");
    let message = b" first line with a blank\r\nSubject: x\r\n\r\n.text\r\n";
    assert!(send(&transom, message).starts_with("250 "));
    assert_eq!(next_hop.only().message, message);
}

#[test]
fn what_is_held_behind_a_queue_names_rule_and_answer_and_can_be_released() {
    let next_hop = Recorder::start();
    let rules =
        "rules: [{name: first, then: [tag: x]}, {name: no, then: [{header.add: {name: X-No, value: y}}, {reject: {text: no thanks}}]}]\n";
    let transom = start(next_hop.address(), "behind_queue: true", "chain: [{include: rules.yaml}]\n", rules);
    assert!(send(&transom, b"Subject: x\r\n\r\ntext\r\n").starts_with("250 2.0.0 Ok: "));
    let row = held(&transom);
    assert_eq!(row["reason"], "550 5.7.1 no thanks (not answered: behind a queue)");
    let shown = transom.command().args(["quarantine", "show", row["id"].as_str().unwrap()]).output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("550 5.7.1 no thanks (not answered: behind a queue)  (rule: no)"), "{shown}");
    assert_eq!(row["rules"], serde_json::json!(["first", "no"]));
    transom.wait_for_log("outcome=quarantine");
    let released = transom.command().args(["quarantine", "release", row["id"].as_str().unwrap()]).output().unwrap();
    assert!(released.status.success(), "{released:?}");
    assert!(next_hop.only().without_received().starts_with(b"X-No: y\r\nSubject: x\r\n"));
}

#[test]
fn what_the_next_hop_can_never_take_is_held_behind_a_queue() {
    let next_hop = NextHop::start([Script::offering(&["PIPELINING", "SIZE 1000"])]);
    let rules = format!("rules: [{{name: grow, then: [{{header.add: {{name: X-Long, value: '{}'}}}}]}}]\n", "x".repeat(900));
    let transom = start(next_hop.address, "behind_queue: true", "chain: [{include: rules.yaml}]\n", &rules);
    assert!(send(&transom, b"Subject: x\r\n\r\ntext\r\n").starts_with("250 2.0.0 Ok: "));
    let row = held(&transom);
    assert_eq!(row["reason"], "552 5.3.4 Message is larger than accepted here (not answered: behind a queue)");
    assert!(next_hop.log().messages.is_empty());
}

#[test]
fn a_header_over_its_limits_is_held_behind_a_queue_and_its_text_can_be_released() {
    let next_hop = Recorder::start();
    let more = "limits: {header_fields: 3, memory_per_message: 50}\nchain: [{include: rules.yaml}]\n";
    let transom = start(next_hop.address(), "behind_queue: true", more, "rules: [{name: never, then: [discard]}]\n");
    let message = b"A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b--\r\n";
    assert!(send(&transom, message).starts_with("250 2.0.0 Ok: "));
    let row = held(&transom);
    assert_eq!(row["reason"], "552 5.3.4 Message is larger than accepted here (not answered: behind a queue)");
    let id = row["id"].as_str().unwrap();
    assert!(transom.command().args(["quarantine", "show", id]).status().unwrap().success());
    assert!(transom.command().args(["quarantine", "release", id]).status().unwrap().success());
    let taken = next_hop.only();
    assert!(taken.message.ends_with(&[b"Content-Transfer-Encoding: 7bit\r\n\r\n".as_slice(), message].concat()));

    let refusing = start(next_hop.address(), "name: in", "limits: {header_fields: 3}\n", "");
    assert!(send(&refusing, message).starts_with("552 5.3.4 "));
}

#[test]
fn a_message_in_a_file_is_wrapped_like_any_other() {
    let next_hop = Recorder::start();
    let transom = start(next_hop.address(), "malformed: wrap", "limits: {memory_per_message: 10kB}\n", "");
    let message = ["no header line\r\n\r\n".to_owned(), "Gr\u{fc}\u{df}e\r\n".repeat(50_000)].concat();
    assert!(send(&transom, message.as_bytes()).starts_with("250 "));
    let taken = next_hop.only();
    let text = String::from_utf8(taken.without_received().to_vec()).unwrap();
    let (header, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(body == message, "the body is what came");
    let lines: Vec<&str> = header.lines().collect();
    assert!(
        matches!(&lines[..], [date, "From: <a@outside.example>", "To: undisclosed-recipients:;", id, "Subject: (a message whose header cannot be read)",
        "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
        if date.starts_with("Date: ") && id.starts_with("Message-ID: <") && id.ends_with("@filter.example.org>")),
        "{header}"
    );
}

#[test]
fn the_quarantine_keeps_what_came_beside_what_was_made_of_it() {
    let next_hop = Recorder::start();
    let rules = "rules: [{name: hold, then: [{quarantine: {reason: odd}}]}]\n";
    let transom = start(next_hop.address(), "malformed: wrap", "chain: [{include: rules.yaml}]\n", rules);
    let message = b"no header line\r\n\r\ntext\r\n";
    assert!(send(&transom, message).starts_with("250 "));
    let id = held(&transom)["id"].as_str().unwrap().to_owned();
    assert!(transom.command().args(["quarantine", "release", "--received", &id]).status().unwrap().success());
    assert!(next_hop.only().message.ends_with(message));
}
