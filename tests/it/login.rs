//! Logging in: clients here, and we at next hops.

use std::io::Write;
use std::net::SocketAddr;
use std::process::Stdio;

use crate::support::client::Client;
use crate::support::next_hop::{Act, NextHop, Script};
use crate::support::transom::{Transom, transom};
use crate::support::wire::papers;

/// Who may log in: `anna@example.org` with `pencil`, `bob` with `pass word`.
const USERS: &str = include_str!("support/users.yaml");
/// bob, in PLAIN.
const BOB: &str = "AUTH PLAIN AGJvYgBwYXNzIHdvcmQ=";

fn receiving(next_hop: SocketAddr, auth: &str) -> String {
    let auth = format!("{{users: users.yaml, without_tls: true{auth}}}");
    format!("hostname: back.example\nlisteners: [{{address: 127.0.0.1:0, auth: {auth}}}]\nrelay: {{next_hops: ['{next_hop}']}}\n")
}

/// Towards this next hop, as bob.
fn sending(next_hop: SocketAddr, auth: &str) -> Transom {
    let auth = format!("{{user: bob, password: file:secret{auth}}}");
    let text =
        format!("hostname: front.example\nlisteners: [{{address: 127.0.0.1:0}}]\nrelay: {{next_hops: ['{next_hop}'], auth: {auth}}}\n");
    Transom::start_with(&text, &[("secret", "pass word\n")])
}

/// What becomes of a mail's recipient.
fn rcpt(transom: &Transom) -> String {
    let mut client = transom.client();
    client.hello();
    client.expect("MAIL FROM:<a@example.org>", "250");
    client.say("RCPT TO:<b@example.net>")
}

fn mail(client: &mut Client) -> String {
    client.open("a@example.org", &["b@example.net"]);
    client.data(b"Subject: x\r\n\r\nbody\r\n")
}

#[test]
fn one_transom_logs_in_at_another_without_saying_the_password() {
    let next_hop = NextHop::start([Script::good()]);
    let back = Transom::start_with(&receiving(next_hop.address, ", required: true"), &[("users.yaml", USERS)]);
    let front = sending(back.address(), "");
    let mut client = front.client();
    client.hello();
    assert_eq!(mail(&mut client), "250 2.0.0 taken");
    let line = back.wait_for_log("logged in");
    assert!(line.contains("user=bob"), "{line}");
    let line = back.wait_for_log("outcome=deliver");
    assert!(line.contains("user=bob"), "{line}");
    let message = String::from_utf8(next_hop.log().messages[0].clone()).unwrap();
    assert!(message.contains("with ESMTPA id"), "{message}");
}

#[test]
fn in_tls_the_login_is_bound_to_the_connection() {
    let next_hop = NextHop::start([Script::good()]);
    let papers = papers();
    let files = [
        ("users.yaml", USERS),
        ("cert.pem", papers.certificate.as_str()),
        ("key.pem", &papers.key),
        ("ca.pem", &papers.authority),
        ("secret", "pass word"),
    ];
    for (minimum, offered, used) in [
        ("1.2", "[PLAIN, SCRAM-SHA-256]", "SCRAM-SHA-256-PLUS"),
        ("1.3", "[SCRAM-SHA-256-PLUS]", "SCRAM-SHA-256-PLUS"),
        ("1.2", "[LOGIN, PLAIN]", "PLAIN"),
    ] {
        let tls = format!("{{certificate: cert.pem, key: key.pem, minimum: \"{minimum}\"}}");
        let auth = format!("{{users: users.yaml, required: true, mechanisms: {offered}}}");
        let back = format!(
            "hostname: back.example\nlisteners: [{{address: 127.0.0.1:0, tls: {tls}, auth: {auth}}}]\nrelay: {{next_hops: ['{}']}}\n",
            next_hop.address
        );
        let back = Transom::start_with(&back, &files);
        let relay = format!(
            "{{next_hops: ['{}'], tls: [{{mode: required, certificates: verify, ca: ca.pem}}], auth: {{user: bob, password: file:secret}}}}",
            back.address()
        );
        let front =
            Transom::start_with(&format!("hostname: front.example\nlisteners: [{{address: 127.0.0.1:0}}]\nrelay: {relay}\n"), &files);
        let mut client = front.client();
        client.hello();
        assert_eq!(mail(&mut client), "250 2.0.0 taken");
        let line = back.wait_for_log("logged in");
        assert!(line.contains(&format!("mechanism={used}")), "{line}");
    }
    assert!(next_hop.log().messages.iter().all(|message| String::from_utf8_lossy(message).contains("with ESMTPSA")));
}

#[test]
fn a_password_is_not_sent_where_anybody_can_read_it_unless_that_is_said() {
    let script = Script::offering(&["AUTH PLAIN LOGIN"]).at("AUTH PLAIN", Act::Say("235 2.7.0 welcome\r\n"));
    let next_hop = NextHop::start([script]);
    let careful = sending(next_hop.address, "");
    assert_eq!(rcpt(&careful), "451 4.3.0 Temporary trouble, try again later");
    careful.wait_for_log("encryption required: it offers only mechanisms that send the password itself");
    assert_eq!(next_hop.log().count("AUTH"), 0);
    let careless = sending(next_hop.address, ", without_tls: true");
    let mut client = careless.client();
    client.hello();
    assert_eq!(mail(&mut client), "250 2.0.0 taken");
    let log = next_hop.log();
    assert!(log.lines.iter().any(|(_, line)| line == BOB), "{log:?}");
}

#[test]
fn a_refused_login_is_no_word_on_the_mail_and_each_has_its_name() {
    for (said, told) in [
        ("535 5.7.8 no\r\n", "rejected: it does not accept user and password (`535 5.7.8 no`); see `auth.user`, `auth.password`"),
        ("534 5.7.9 no\r\n", "weak mechanism: it says `534 5.7.9 no` to PLAIN"),
        ("538 5.7.11 no\r\n", "encryption required: it says `538 5.7.11 no`; use `relay.tls`"),
        ("504 5.5.4 no\r\n", "unsupported mechanism"),
        ("454 4.7.0 later\r\n", "it failed: it says `454 4.7.0 later`"),
        ("250 ok\r\n", "it failed: it says `250 ok`"),
        ("334 \r\n", "it failed: it asks for more than there is to say"),
    ] {
        let next_hop = NextHop::start([Script::offering(&["AUTH PLAIN"]).at("AUTH", Act::Say(said))]);
        let transom = sending(next_hop.address, ", without_tls: true");
        assert_eq!(rcpt(&transom), "451 4.3.0 Temporary trouble, try again later", "{said}");
        transom.wait_for_log(told);
        assert_eq!(next_hop.log().count("MAIL"), 0);
    }
}

#[test]
fn a_next_hop_without_a_common_mechanism_gets_no_mail() {
    for offered in ["SIZE", "AUTH CRAM-MD5 XOAUTH2"] {
        let next_hop = NextHop::start([Script::offering(&[offered])]);
        let transom = sending(next_hop.address, ", mechanisms: [SCRAM-SHA-256, PLAIN]");
        assert!(rcpt(&transom).starts_with("451 4.3.0"));
        transom.wait_for_log("and SCRAM-SHA-256, PLAIN may be used; change `auth.mechanisms` or the server");
    }
}

#[test]
fn login_answers_what_it_is_asked() {
    let script = Script::offering(&["AUTH LOGIN"])
        .at("AUTH LOGIN", Act::Say("334 VXNlcm5hbWU6\r\n"))
        .at("Ym9i", Act::Say("334 UGFzc3dvcmQ6\r\n"))
        .at("cGFzcyB3b3Jk", Act::Say("235 2.7.0 welcome\r\n"));
    let next_hop = NextHop::start([script]);
    let transom = sending(next_hop.address, ", without_tls: true");
    assert!(rcpt(&transom).starts_with("250"));
    let log = next_hop.log();
    assert_eq!(log.of(0)[1..4], ["AUTH LOGIN", "Ym9i", "cGFzcyB3b3Jk"]);
}

#[test]
fn who_does_not_know_the_password_is_not_believed() {
    for (said, told) in [
        ("235 2.7.0 come in\r\n", "it may be another server"),
        ("334 !!!!\r\n", "is no base64"),
        ("334 YWJj\r\n", "its answer is no message of SCRAM"),
        ("334 ZT1pbnZhbGlkLWVuY29kaW5n\r\n", "it says `invalid-encoding`"),
    ] {
        let next_hop = NextHop::start([Script::offering(&["AUTH SCRAM-SHA-256"]).at("AUTH", Act::Say(said))]);
        let transom = sending(next_hop.address, "");
        assert!(rcpt(&transom).starts_with("451 4.3.0"), "{said}");
        transom.wait_for_log(told);
        if !said.starts_with("235") {
            next_hop.wait_for(|log| log.count("*") > 0);
        }
        assert_eq!(next_hop.log().count("MAIL"), 0);
    }
}

#[test]
fn a_first_message_that_is_too_long_for_the_command_follows_it() {
    let script = Script::offering(&["AUTH PLAIN"]).at("AUTH PLAIN", Act::Say("334 \r\n")).at("AGJv", Act::Say("235 2.7.0 welcome\r\n"));
    let next_hop = NextHop::start([script]);
    let text = format!(
        "hostname: front.example\nlisteners: [{{address: 127.0.0.1:0}}]\nrelay: {{next_hops: ['{}'], auth: {{user: bob, password: file:secret, without_tls: true}}}}\n",
        next_hop.address
    );
    let transom = Transom::start_with(&text, &[("secret", &"x".repeat(500))]);
    assert!(rcpt(&transom).starts_with("250"));
    let log = next_hop.log();
    assert_eq!(log.of(0)[1], "AUTH PLAIN");
    assert!(log.of(0)[2].len() > 512 && log.of(0)[3].starts_with("MAIL"), "{log:?}");
}

#[test]
fn users_come_and_go_with_a_reload_and_a_broken_file_changes_nothing() {
    let next_hop = NextHop::start([Script::good()]);
    let configuration = receiving(next_hop.address, "");
    let transom = Transom::start_with(&configuration, &[("users.yaml", USERS)]);
    let logs_in = || {
        let mut client = transom.client();
        client.hello();
        client.say(BOB).starts_with("235")
    };
    let mut inside = transom.client();
    inside.hello();
    inside.expect(BOB, "235");
    let removed = transom.command().args(["user", "remove", "--users", "users.yaml", "bob"]).output().unwrap();
    assert!(removed.status.success());
    assert!(logs_in(), "it is read at a reload and not before");
    let told = transom.hang_up();
    assert!(told.contains("reloaded") && !told.contains("not reloaded"), "{told}");
    assert!(!logs_in());
    // Who is in does not stay in.
    inside.expect("MAIL FROM:<a@example.org>", "421 4.7.0 Who may do what has changed");
    let told = transom.reload(&configuration, &[("users.yaml", "users: {anna: x}\n")]);
    assert!(told.contains("not reloaded") && told.contains("users.yaml:1:15") && told.contains("`anna` wants keys"), "{told}");
    assert!(!logs_in());
}

#[test]
fn users_are_added_listed_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let run = |line: &[&str], input: &str| {
        let mut command = transom(directory.path());
        let mut child = command
            .args(["user", line[0], "--users", "users.yaml"])
            .args(&line[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that does not read has ended.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), said)
    };
    assert_eq!(run(&["list"], "").0, 66);
    assert_eq!(run(&["add", "--password-stdin", "anna"], "pencil\n"), (0, "anna: added\n".to_owned()));
    let text = || std::fs::read_to_string(directory.path().join("users.yaml")).unwrap();
    assert!(!text().contains("pencil"));
    assert_eq!(run(&["add", "--password-stdin", "anna"], "other"), (0, "anna: has another password\n".to_owned()));
    assert_eq!(run(&["add", "--password-stdin", "bob"], "x").0, 0);
    let (status, list) = run(&["list", "--json"], "");
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(
        (status, list[0]["name"].as_str(), list[1]["name"].as_str(), list.as_array().unwrap().len()),
        (0, Some("anna"), Some("bob"), 2)
    );
    assert_eq!(run(&["add", "bob"], "x").0, 64);
    assert_eq!(run(&["add", "--password-stdin", "bob"], "\n").0, 65);
    assert_eq!(run(&["add", "--password-stdin", "a\u{1}"], "x").0, 64);
    assert_eq!(run(&["remove", "carl"], "").0, 66);
    let before = text();
    std::fs::write(directory.path().join("users.yaml.new"), "").unwrap();
    let (status, said) = run(&["remove", "bob"], "");
    assert!(status == 75 && said.contains("users.yaml.new is there"), "{status} {said}");
    assert_eq!(text(), before);
    std::fs::remove_file(directory.path().join("users.yaml.new")).unwrap();
    assert_eq!(run(&["remove", "bob"], ""), (0, "bob: removed\n".to_owned()));
    std::fs::write(directory.path().join("users.yaml"), "users: 1\n").unwrap();
    assert_eq!(run(&["list"], "").0, 78);
    assert_eq!(run(&["add", "--password-stdin", "anna"], "x").0, 78);
}
