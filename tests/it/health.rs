//! `admin.address`: health and metrics over plain HTTP, while mail flows, without it, and while the server ends.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::support::PATIENCE;
use super::support::client::Client;
use super::support::next_hop::{Act, NextHop, Script};
use super::support::transom::{Transom, basics};

const MESSAGE: &[u8] = b"Subject: x\r\n\r\ntext\r\n";
/// Of [`MESSAGE`].
const SIZE: f64 = 20.0;
const ADMIN: &str = "admin: {address: '127.0.0.1:0'}\n";

/// Where it says that it answers, the last time it did.
fn admin(transom: &Transom) -> SocketAddr {
    transom.wait_for_log("health and metrics at ");
    let log = transom.log();
    let told = log.lines().rev().find_map(|line| line.split_once("health and metrics at ")).unwrap().1;
    told.parse().unwrap()
}

/// Status and body, and the head between.
fn ask(mut stream: impl Read + Write, request: &str) -> (u16, String, String) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned(), head.to_owned())
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let (status, body, _) = ask(connect(address), &request(path));
    (status, body)
}

/// Every line of `/metrics` that is a sample: name with labels, and value.
fn metrics(address: SocketAddr) -> BTreeMap<String, f64> {
    let (status, text) = get(address, "/metrics");
    assert_eq!(status, 200);
    assert!(text.ends_with("# EOF\n"), "{text}");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.rsplit_once(' ').unwrap()).map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

fn send(client: &mut Client) -> String {
    client.send("a@outside.example", &["b@inside.example"], MESSAGE)
}

#[test]
fn what_mail_came_to_is_counted() {
    let next_hop = NextHop::start([Script::good().at("RCPT TO:<no@inside.example>", Act::Say("550 5.1.1 nobody\r\n"))]);
    let rules = "rules:\n\
        - {name: hold it, when: {subject: hold}, then: [quarantine: held]}\n\
        - {name: look, mode: observe, then: [tag: seen]}\n\
        - {name: sleep, mode: disabled, then: [discard]}\n";
    let configuration = basics(next_hop.address) + ADMIN + "chain: [{include: rules.yaml}]\n";
    let transom = Transom::start_with(&configuration, &[("rules.yaml", rules)]);
    let address = admin(&transom);
    let mut client = transom.client();
    client.hello();
    for _ in 0..3 {
        assert!(send(&mut client).starts_with("250 "));
    }
    assert!(client.send("a@outside.example", &["b@inside.example"], b"Subject: hold\r\n\r\ntext\r\n").starts_with("250 "));
    client.expect("MAIL FROM:<a@outside.example>", "250 ");
    client.expect("RCPT TO:<no@inside.example>", "550 ");

    // The 250 waits for the held copy to be on disk, not for the word that it is confirmed.
    let held = "transom_quarantine_mails{state=\"held\"}";
    let began = Instant::now();
    let seen = loop {
        let seen = metrics(address);
        if seen.get(held) == Some(&1.0) || began.elapsed() > PATIENCE {
            break seen;
        }
    };
    for (name, value) in [
        ("transom_sessions_total", 1.0),
        ("transom_sessions_open", 1.0),
        ("transom_sessions_limit", 1000.0),
        ("transom_messages_total{outcome=\"deliver\"}", 3.0),
        ("transom_messages_total{outcome=\"quarantine\"}", 1.0),
        ("transom_messages_total{outcome=\"in doubt\"}", 0.0),
        ("transom_received_bytes_total", 3.0 * SIZE + 23.0),
        ("transom_receive_seconds_count", 4.0),
        ("transom_receive_seconds_bucket{le=\"+Inf\"}", 4.0),
        ("transom_relay_seconds_count", 3.0),
        ("transom_rule_seen_total{rule=\"hold it\",mode=\"enforce\"}", 4.0),
        ("transom_rule_fired_total{rule=\"hold it\",mode=\"enforce\"}", 1.0),
        ("transom_rule_fired_total{rule=\"look\",mode=\"observe\"}", 4.0),
        ("transom_next_hop_replies_total{stage=\"dot\",class=\"2xx\"}", 3.0),
        ("transom_next_hop_replies_total{stage=\"data\",class=\"3xx\"}", 3.0),
        ("transom_next_hop_replies_total{stage=\"rcpt\",class=\"5xx\"}", 1.0),
        (held, 1.0),
        ("transom_quarantine_limit_bytes", 50e9),
        ("transom_store_readable", 1.0),
        ("transom_ending", 0.0),
        (&format!("transom_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1.0),
    ] {
        assert_eq!(seen.get(name), Some(&value), "{name} in {seen:#?}");
    }
    assert!(seen["transom_relayed_bytes_total"] > 3.0 * SIZE, "with its Received");
    assert!(!seen.keys().any(|name| name.contains("sleep")), "a rule that is as if it were not written");
    let place = format!("{{address=\"{}\"}}", next_hop.address);
    let connections = |what: &str| seen[&format!("transom_next_hop_connections_{what}{place}")];
    // The one that a held mail left may be on its way back while the next mail opens another.
    let open = connections("busy") + connections("idle");
    assert_eq!((connections("limit"), (1.0..=2.0).contains(&open)), (20.0, true), "{open}");
}

#[test]
fn a_message_too_many_of_an_address_is_logged_and_counted_and_a_reload_brings_another_number() {
    let next_hop = NextHop::start([Script::good()]);
    let with = |limits: &str| {
        basics(next_hop.address).replace("127.0.0.1:0", "127.0.0.1:0, trust: {xclient: [127.0.0.1]}") + ADMIN + "inside: {}\n" + limits
    };
    let transom = Transom::start_with(&with("limits: {messages_per_address: 1}\n"), &[]);
    let address = admin(&transom);
    let mut client = transom.client();
    client.hello();
    client.expect("XCLIENT ADDR=198.51.100.7", "220 ");
    client.hello();
    let mut begin = |answer: &str| {
        client.expect("MAIL FROM:<a@outside.example>", answer);
        client.expect("RSET", "250 ");
    };
    begin("250 ");
    begin("451 4.7.1 ");
    begin("451 4.7.1 ");
    let line = transom.wait_for_log("limits.messages_per_address is reached");
    assert!(line.contains(" WARN ") && line.ends_with(" client=198.51.100.7"), "{line}");
    let seen = metrics(address);
    assert_eq!(seen.get("transom_messages_turned_away_total"), Some(&2.0));
    assert!(seen.iter().all(|(name, count)| !name.starts_with("transom_messages_total") || *count == 0.0), "{seen:#?}");
    transom.reload(&with("limits: {messages_per_address: 2}\n"), &[]);
    begin("250 ");
    begin("451 4.7.1 ");
    transom.reload(&with(""), &[]);
    begin("250 ");
}

#[test]
fn every_metric_is_in_the_manual_and_no_other() {
    let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    let cells = manual.lines().filter(|line| line.starts_with("| `transom_")).filter_map(|line| line.split('|').nth(1));
    let written: BTreeSet<&str> = cells.flat_map(|cell| cell.split('`').filter(|name| name.starts_with("transom_"))).collect();
    let next_hop = NextHop::start([Script::good()]);
    let configuration = basics(next_hop.address) + ADMIN + "chain: [{include: rules.yaml}]\n";
    let transom = Transom::start_with(&configuration, &[("rules.yaml", "rules: [{name: a, then: [tag: x]}]")]);
    transom.wait_for_log("listening on ");
    let mut named = BTreeSet::new();
    for name in metrics(admin(&transom)).keys() {
        let name = name.split('{').next().unwrap();
        named.insert(["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned());
    }
    assert_eq!(named.iter().map(String::as_str).collect::<Vec<_>>(), written.into_iter().collect::<Vec<_>>());
}

#[test]
fn it_is_ready_while_a_next_hop_answers() {
    let next_hop = NextHop::start([Script::good()]);
    let transom = Transom::start(next_hop.address, ADMIN);
    let address = admin(&transom);
    assert_eq!(get(address, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get(address, "/readyz"), (200, "ready\n".to_owned()));
}

#[test]
fn without_a_next_hop_it_lives_and_is_not_ready_and_says_why() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let transom = Transom::start(closed, ADMIN);
    let address = admin(&transom);
    assert_eq!(get(address, "/healthz").0, 200);
    let (status, reason) = get(address, "/readyz");
    assert_eq!(status, 503);
    assert!(reason.contains(&closed.to_string()) && reason.contains("cannot be reached"), "{reason}");
}

#[test]
fn without_room_for_what_has_to_be_held_it_is_not_ready() {
    let next_hop = NextHop::start([Script::good()]);
    let transom = Transom::start_limitable(&(basics(next_hop.address) + ADMIN), &[]);
    let address = admin(&transom);
    transom.disk_takes(Some(0));
    let (status, reason) = get(address, "/readyz");
    assert!(status == 503 && reason.starts_with("the store: "), "{status} {reason}");
    transom.disk_takes(None);
    assert_eq!(get(address, "/readyz"), (200, "ready\n".to_owned()));
}

#[test]
fn a_server_that_ends_says_so_until_it_has_ended() {
    let next_hop = NextHop::start([Script::good().at(".", Act::Late)]);
    let transom = Transom::start(next_hop.address, ADMIN);
    let address = admin(&transom);
    let mut client = transom.client();
    client.hello();
    client.open("a@outside.example", &["b@inside.example"]);
    client.raw(&[MESSAGE, b".\r\n"].concat());
    next_hop.wait_for(|log| !log.messages.is_empty());
    let id = rustix::process::Pid::from_raw(transom.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    transom.wait_for_log("shutting down");
    assert_eq!(get(address, "/healthz").0, 200);
    assert_eq!(get(address, "/readyz"), (503, "shutting down\n".to_owned()));
    assert_eq!(metrics(address).get("transom_ending"), Some(&1.0));
    next_hop.answer_now();
    assert!(client.reply().starts_with("250 "));
}

#[test]
fn nothing_else_is_there_and_nothing_can_be_done() {
    let next_hop = NextHop::start([Script::good()]);
    let transom = Transom::start(next_hop.address, ADMIN);
    let address = admin(&transom);
    assert_eq!(get(address, "/").0, 404);
    assert_eq!(get(address, "/quarantine").0, 404);
    assert_eq!(ask(connect(address), &request("/healthz").replace("GET", "POST")).0, 405);
    assert_eq!(ask(connect(address), &request("/healthz").replace("GET", "HEAD")).1, "");
    let (_, _, head) = ask(connect(address), &request("/metrics"));
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    assert_eq!(ask(connect(address), "nonsense\r\n\r\n").0, 400);
    let endless = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X-A: b\r\n".repeat(200));
    assert_eq!(ask(connect(address), &endless).0, 431);
}

#[test]
fn whoever_keeps_connections_open_keeps_others_waiting_only_until_they_end() {
    let next_hop = NextHop::start([Script::good()]);
    let transom = Transom::start(next_hop.address, ADMIN);
    let address = admin(&transom);
    let idle: Vec<_> = (0..16).map(|_| connect(address)).collect();
    let waiting = connect(address);
    waiting.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    (&waiting).write_all(request("/healthz").as_bytes()).unwrap();
    let mut byte = [0];
    assert!((&waiting).read(&mut byte).is_err(), "seventeen at once");
    drop(idle);
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!((&waiting).read(&mut byte).unwrap(), 1);
    let mut client = transom.client();
    client.hello();
    assert!(send(&mut client).starts_with("250 "));
}

#[test]
fn a_reload_moves_it_takes_it_away_and_leaves_it_where_it_cannot() {
    let next_hop = NextHop::start([Script::good()]);
    let transom = Transom::start(next_hop.address, ADMIN);
    let first = admin(&transom);
    let socket = transom.directory().join("admin.sock");
    transom.reload(&(basics(next_hop.address) + "admin: {address: 'unix:admin.sock'}\n"), &[]);
    let (status, body, _) = ask(UnixStream::connect(&socket).unwrap(), &request("/readyz"));
    assert_eq!((status, body.as_str()), (200, "ready\n"));
    assert!(TcpStream::connect(first).is_err(), "the old address is given up");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let log = transom.reload(&format!("{}admin: {{address: '{}'}}\n", basics(next_hop.address), taken.local_addr().unwrap()), &[]);
    assert!(log.contains("health and metrics stay where they were"), "{log}");
    assert_eq!(ask(UnixStream::connect(&socket).unwrap(), &request("/healthz")).0, 200);
    transom.reload("nonsense", &[]);
    let (_, text, _) = ask(UnixStream::connect(&socket).unwrap(), &request("/metrics"));
    assert!(text.contains("transom_reloads_total 2\n") && text.contains("transom_reloads_refused_total 1\n"), "{text}");
    transom.reload(&basics(next_hop.address), &[]);
    assert!(!socket.exists());
}

#[test]
fn an_address_that_is_taken_stops_the_start() {
    let next_hop = NextHop::start([Script::good()]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let configuration = format!("{}admin: {{address: '{}'}}\n", basics(next_hop.address), taken.local_addr().unwrap());
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("transom.yaml"), configuration).unwrap();
    let output = super::support::transom::transom(directory.path()).arg("serve").output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains(&format!("cannot listen on {}", taken.local_addr().unwrap())), "{told}");
    assert!(told.contains("another program, or another listener, has it"), "{told}");
}
