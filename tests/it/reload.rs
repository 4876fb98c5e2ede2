//! SIGHUP: another configuration is put in force while mail is served, as a whole or not at all.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::support::client::Client;
use super::support::next_hop::{NextHop, Script};
use super::support::recorder::Recorder;
use super::support::transom::{Transom, basics, transom as program};
use super::support::wire::papers;

const MESSAGE: &[u8] = b"Subject: x\r\n\r\ntext\r\n";

fn rules(version: usize) -> String {
    let test = "tests: [{name: it is marked, inline: \"Subject: x\\n\\ny\\n\", expect: {outcome: deliver, fired: [mark]}}]";
    format!("rules: [{{name: mark, then: [{{header.add: {{name: X-Version, value: '{version}'}}}}]}}]\n{test}\n")
}

fn with_chain(next_hop: &Recorder) -> String {
    basics(next_hop.address()) + "chain: [{include: rules.yaml}]\n"
}

/// The version of the rules that marked it.
fn version(message: &[u8]) -> usize {
    let text = String::from_utf8_lossy(message);
    let versions: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("X-Version: ")).collect();
    assert_eq!(versions.len(), 1, "{text}");
    versions[0].parse().unwrap()
}

fn send(client: &mut Client) -> String {
    client.send("a@outside.example", &["b@inside.example"], MESSAGE)
}

#[test]
fn a_message_keeps_the_rules_it_began_with_and_the_next_of_the_same_session_has_the_new() {
    let next_hop = Recorder::start();
    let configuration = with_chain(&next_hop);
    let transom = Transom::start_with(&configuration, &[("rules.yaml", &rules(1))]);
    let mut client = transom.client();
    client.hello();
    client.open("a@outside.example", &["b@inside.example"]);
    let log = transom.reload(&configuration, &[("rules.yaml", &rules(2))]);
    assert!(log.contains("INFO reloaded"), "{log}");
    assert!(client.data(MESSAGE).starts_with("250 "));
    assert!(send(&mut client).starts_with("250 "));
    assert_eq!(next_hop.taken().iter().map(|taken| version(&taken.message)).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn what_is_wrong_changes_nothing_and_is_all_told() {
    let next_hop = Recorder::start();
    let configuration = with_chain(&next_hop);
    let transom = Transom::start_with(&configuration, &[("rules.yaml", &rules(1))]);
    let wrong = "rules: [{name: mark, when: {subjet: x}, then: [discardd]}]\n";
    let log = transom.reload(&(configuration.clone() + "limits: {recipients: none}\n"), &[("rules.yaml", wrong)]);
    for told in [
        "ERROR unknown condition `subjet` at=rules.yaml:1:",
        "hint=\"did you mean `subject`?\"",
        "ERROR unknown action `discardd`",
        "ERROR `recipients` wants a whole number",
        "ERROR 3 errors; not reloaded: the old configuration stays in force",
    ] {
        assert!(log.contains(told), "{told} in {log}");
    }
    let failing = rules(2).replace("fired: [mark]", "fired: []");
    let log = transom.reload(&configuration, &[("rules.yaml", &failing)]);
    assert!(log.contains("the test `it is marked` fails") && log.contains("1 error; not reloaded"), "{log}");

    std::fs::remove_file(transom.directory().join("transom.yaml")).unwrap();
    assert!(transom.hang_up().contains("transom.yaml cannot be read: no such file"));

    let mut client = transom.client();
    client.hello();
    assert!(send(&mut client).starts_with("250 "));
    assert_eq!(version(&next_hop.only().message), 1);
    let log = transom.reload(&configuration, &[("rules.yaml", &rules(2))]);
    assert!(log.contains("INFO reloaded"), "{log}");
    assert!(send(&mut client).starts_with("250 "));
    assert_eq!(version(&next_hop.taken()[1].message), 2);
}

#[test]
fn what_takes_a_restart_is_named_and_all_else_is_in_force() {
    let next_hop = Recorder::start();
    let transom = Transom::start(next_hop.address(), "");
    let address = next_hop.address();
    let changed = format!(
        "hostname: other.example.org\nlisteners: [{{address: 127.0.0.1:1}}, {{address: 127.0.0.1:0, received: none}}]\n\
         relay: {{next_hops: [\"{address}\"]}}\nstore: {{path: elsewhere}}\nlimits: {{message_size: 1kB}}\n"
    );
    let log = transom.reload(&changed, &[]);
    for told in
        ["`hostname` has changed: that takes a restart", "`store` has changed", "the listener `127.0.0.1:1` is new", "INFO reloaded"]
    {
        assert!(log.contains(told), "{told} in {log}");
    }
    let mut client = transom.client();
    let hello = client.hello();
    assert!(hello.starts_with("250-filter.example.org") && hello.contains("SIZE 1000"), "{hello}");
    assert!(send(&mut client).starts_with("250 "));
    assert_eq!(next_hop.only().message, MESSAGE);
    assert!(!transom.directory().join("elsewhere").exists());
}

#[test]
fn limits_and_who_may_relay_change_between_two_transactions_of_a_session() {
    let next_hop = Recorder::start();
    let with = |more: &str| format!("{}{more}", basics(next_hop.address()));
    let transom = Transom::start_with(&with("inside: {domains: [inside.example, other.example]}\n"), &[]);
    let mut client = transom.client();
    client.hello();
    client.expect("MAIL FROM:<a@outside.example>", "250");
    client.expect("RCPT TO:<b@inside.example>", "250");
    let log = transom.reload(&with("inside: {domains: [inside.example]}\nlimits: {recipients: 1}\n"), &[]);
    assert!(log.contains("INFO reloaded"), "{log}");
    client.expect("RCPT TO:<b@other.example>", "250");
    client.expect("RSET", "250");
    client.expect("MAIL FROM:<a@outside.example>", "250");
    client.expect("RCPT TO:<b@other.example>", "550 5.7.1");
    client.expect("RCPT TO:<b@inside.example>", "250");
    client.expect("RCPT TO:<c@inside.example>", "452 4.5.3");
}

#[test]
fn a_user_who_is_removed_relays_no_more_in_the_session_that_is_open() {
    let next_hop = Recorder::start();
    let users = include_str!("support/users.yaml");
    let configuration =
        basics(next_hop.address()).replace("127.0.0.1:0", "127.0.0.1:0, auth: {users: users.yaml, without_tls: true}") + "inside: {}\n";
    let transom = Transom::start_with(&configuration, &[("users.yaml", users)]);
    let log_in = || {
        let mut client = transom.client();
        client.hello();
        client.expect("AUTH PLAIN AGJvYgBwYXNzIHdvcmQ=", "235");
        client
    };
    let (mut idle, mut busy) = (log_in(), log_in());
    busy.open("a@outside.example", &["b@elsewhere.example"]);
    assert!(transom.hang_up().contains("INFO reloaded"));
    idle.expect("NOOP", "250");
    let without_bob = users.lines().filter(|line| !line.contains("'bob'")).collect::<Vec<_>>().join("\n");
    assert!(transom.reload(&configuration, &[("users.yaml", &without_bob)]).contains("INFO reloaded"));
    idle.expect("MAIL FROM:<a@outside.example>", "421 4.7.0 ");
    assert!(idle.is_closed());
    assert!(busy.data(MESSAGE).starts_with("250 "));
    busy.expect("MAIL FROM:<a@outside.example>", "421 4.7.0 ");
}

#[test]
fn where_tls_has_to_be_there_from_the_start_a_session_that_began_in_clear_sends_nothing_in_clear() {
    let next_hop = Recorder::start();
    let papers = papers();
    let files = [("cert.pem", papers.certificate.as_str()), ("key.pem", &papers.key)];
    let with = |more: &str| {
        basics(next_hop.address()).replace("127.0.0.1:0", &format!("127.0.0.1:0, tls: {{certificate: cert.pem, key: key.pem, {more}}}"))
    };
    let transom = Transom::start_with(&with("required: true"), &files);
    let mut client = transom.client();
    client.hello();
    assert!(transom.reload(&with("mode: implicit"), &[]).contains("INFO reloaded"));
    client.expect("MAIL FROM:<a@outside.example>", "530 5.7.0 ");
    client.expect("NOOP", "250");
}

#[test]
fn another_next_hop_gets_the_next_message_and_the_old_one_hears_quit() {
    let (old, new) = (NextHop::start([Script::good()]), Recorder::start());
    let transom = Transom::start(old.address, "");
    let mut client = transom.client();
    client.hello();
    client.open("a@outside.example", &["b@inside.example"]);
    let log = transom.reload(&basics(new.address()), &[]);
    assert!(log.contains("INFO reloaded"), "{log}");
    assert!(client.data(MESSAGE).starts_with("250 "));
    assert!(send(&mut client).starts_with("250 "));
    assert_eq!(new.taken().len(), 1);
    let log = old.wait_for(|log| log.closed == log.connections);
    assert_eq!((log.messages.len(), log.count("QUIT")), (1, log.connections));
}

#[test]
fn a_reload_of_the_same_next_hops_keeps_the_connections() {
    let next_hop = NextHop::start([Script::good()]);
    let transom = Transom::start(next_hop.address, "");
    let mut client = transom.client();
    client.hello();
    for _ in 0..3 {
        assert!(send(&mut client).starts_with("250 "));
        assert!(transom.hang_up().contains("INFO reloaded"));
    }
    let log = next_hop.log();
    assert_eq!((log.messages.len(), log.connections, log.closed), (3, 1, 0));
}

#[test]
fn what_would_relay_for_strangers_or_in_circles_is_not_put_in_force() {
    let next_hop = Recorder::start();
    let listening = |address: &str, more: &str, next_hop: std::net::SocketAddr| {
        format!(
            "hostname: filter.example.org\nlisteners: [{{name: in, address: {address}}}]\nrelay: {{next_hops: [\"{next_hop}\"]}}\n{more}"
        )
    };
    let transom = Transom::start_with(&listening("0.0.0.0:0", "inside: {domains: [inside.example]}\n", next_hop.address()), &[]);
    let log = transom.reload(&listening("127.0.0.1:0", "", next_hop.address()), &[]);
    assert!(log.contains("ERROR not reloaded: the old configuration stays in force: 0.0.0.0:"), "{log}");
    let ourselves = ([127, 0, 0, 1], transom.address().port()).into();
    let log = transom.reload(&listening("0.0.0.0:0", "inside: {}\n", ourselves), &[]);
    assert!(log.contains("stays in force: a next hop is this server itself"), "{log}");
    let mut client = transom.client();
    client.hello();
    client.expect("MAIL FROM:<a@outside.example>", "250");
    client.expect("RCPT TO:<b@elsewhere.example>", "550 5.7.1");
    client.expect("RCPT TO:<b@inside.example>", "250");
}

#[test]
fn the_log_changes_its_format_and_its_level() {
    let next_hop = Recorder::start();
    let transom = Transom::start(next_hop.address(), "");
    let log = transom.reload(&(basics(next_hop.address()) + "log: {format: json}\n"), &[]);
    assert!(log.lines().last().unwrap().ends_with("\"level\":\"info\",\"message\":\"reloaded\"}"), "{log}");
    let mut client = transom.client();
    client.hello();
    assert!(send(&mut client).starts_with("250 "));
    assert!(transom.wait_for_log("\"message\":\"mail\"").contains("\"outcome\":\"deliver\""));
}

#[test]
fn without_chain_no_rule_is_read_at_a_reload_either() {
    let next_hop = Recorder::start();
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let more = "chain_tests: missing.yaml\nconditions: {broken: {subjet: x}}\n";
    let configuration = with_chain(&next_hop).replace("127.0.0.1:0}", "127.0.0.1:0, chain: [{include: rules.yaml}]}") + more;
    std::fs::write(directory.path().join("transom.yaml"), configuration).unwrap();
    std::fs::write(directory.path().join("rules.yaml"), "rules: [{name: broken").unwrap();
    let mut command = program(directory.path());
    command.args(["serve", "--without-chain"]);
    let transom = Transom::spawn(command, directory);
    let log = transom.hang_up();
    assert!(log.contains("INFO reloaded chain=off"), "{log}");
    let mut client = transom.client();
    client.hello();
    assert!(send(&mut client).starts_with("250 "));
    assert_eq!(next_hop.only().without_received(), MESSAGE);
    transom.wait_for_log("outcome=deliver");
    assert!(transom.log().lines().all(|line| line.ends_with(" chain=off")), "{}", transom.log());
}

#[test]
fn the_chain_of_a_listener_and_the_tests_of_the_whole_are_read_again_too() {
    let next_hop = Recorder::start();
    let configuration = basics(next_hop.address()).replace("127.0.0.1:0}", "127.0.0.1:0, name: in, chain: [{include: own.yaml}]}")
        + "chain: [{include: rules.yaml}]\nchain_tests: whole.yaml\n";
    let whole = |fired: &str| {
        format!(
            "tests: [{{name: of the listener, inline: \"Subject: x\\n\\ny\\n\", client: {{listener: in}}, expect: {{fired: [{fired}]}}}}]\n"
        )
    };
    let own = |version| rules(version).replace("mark", "own");
    let files = |version: usize, fired| [("rules.yaml", rules(100)), ("own.yaml", own(version)), ("whole.yaml", whole(fired))];
    let first = files(1, "own");
    let transom = Transom::start_with(&configuration, &first.each_ref().map(|(name, text)| (*name, text.as_str())));
    let mut client = transom.client();
    client.hello();
    assert!(send(&mut client).starts_with("250 "));
    for (version, fired, told) in [(2, "own", "INFO reloaded"), (3, "", "the test `of the listener` fails")] {
        let files = files(version, fired);
        let log = transom.reload(&configuration, &files.each_ref().map(|(name, text)| (*name, text.as_str())));
        assert!(log.contains(told), "{told} in {log}");
        assert!(send(&mut client).starts_with("250 "));
    }
    assert_eq!(next_hop.taken().iter().map(|taken| version(&taken.message)).collect::<Vec<_>>(), [1, 2, 2]);
}

/// What the clients of the test under load go by: which rules are in force for certain, and which may be.
#[derive(Debug, Default)]
struct Versions {
    in_force: AtomicUsize,
    wanted: AtomicUsize,
    over: AtomicBool,
}

const CLIENTS: usize = 6;
const RELOADS: usize = 12;

#[test]
fn under_load_every_message_has_the_rules_of_its_time_and_none_is_lost_or_doubled() {
    let next_hop = Recorder::start();
    let configuration = with_chain(&next_hop);
    let transom = Transom::start_with(&configuration, &[("rules.yaml", &rules(0))]);
    let (address, versions) = (transom.address(), Arc::new(Versions::default()));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let versions = Arc::clone(&versions);
            thread::spawn(move || send_until_over(address, client, &versions))
        })
        .collect();
    for wanted in 1..=RELOADS {
        versions.wanted.store(wanted, Ordering::SeqCst);
        // Every third time it is broken first: nothing changes.
        if wanted % 3 == 0 {
            let log = transom.reload(&configuration, &[("rules.yaml", &rules(wanted).replace("header.add", "header.ad"))]);
            assert!(log.contains("not reloaded"), "{log}");
        }
        let log = transom.reload(&configuration, &[("rules.yaml", &rules(wanted))]);
        assert!(log.contains("INFO reloaded"), "{log}");
        versions.in_force.store(wanted, Ordering::SeqCst);
    }
    versions.over.store(true, Ordering::SeqCst);
    let sent: HashMap<String, (usize, usize)> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    let taken = next_hop.taken();
    assert_eq!(taken.len(), sent.len(), "each once");
    for message in &taken {
        let (earliest, latest) = sent[&message.sender];
        let version = version(&message.message);
        assert!((earliest..=latest).contains(&version), "{}: {version} is not of {earliest}..={latest}", message.sender);
    }
    assert!(taken.iter().any(|message| version(&message.message) > 0), "none had new rules");
}

/// The sender of each message that was taken, with the versions its rules may have.
fn send_until_over(address: std::net::SocketAddr, number: usize, versions: &Versions) -> Vec<(String, (usize, usize))> {
    let mut sent = Vec::new();
    while !versions.over.load(Ordering::SeqCst) {
        let mut client = Client::connect(address);
        client.hello();
        for _ in 0..5 {
            let sender = format!("{number}.{}@outside.example", sent.len());
            let earliest = versions.in_force.load(Ordering::SeqCst);
            client.expect(&format!("MAIL FROM:<{sender}>"), "250");
            let latest = versions.wanted.load(Ordering::SeqCst);
            client.expect("RCPT TO:<b@inside.example>", "250");
            client.expect("DATA", "354");
            assert!(client.data(MESSAGE).starts_with("250 "));
            sent.push((sender, (earliest, latest)));
        }
        client.expect("QUIT", "221");
    }
    sent
}
