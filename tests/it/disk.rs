//! A disk that takes nothing more, and a store that is not what it should be: nothing is acknowledged, what needs no store passes, the log says what to do.

use std::fs;
use std::time::Instant;

use super::support::PATIENCE;
use super::support::client::Client;
use super::support::next_hop::{Act, NextHop, Script};
use super::support::recorder::Recorder;
use super::support::transom::{Transom, basics, transom};

const RULES: &str = "rules: [{name: hold, when: {header: {name: X-Hold, exists: true}}, then: [{quarantine: {reason: asked for}}]}]\n";

const HELD: &[u8] = b"Subject: x\r\nX-Hold: yes\r\n\r\nhello\r\n";
const PASSED: &[u8] = b"Subject: y\r\n\r\nhello\r\n";

fn start(next_hop: &Recorder) -> Transom {
    let configuration = basics(next_hop.address()) + "chain: [{include: rules/*.yaml}]\n";
    Transom::start_limitable(&configuration, &[("rules/hold.yaml", RULES)])
}

/// Larger than what goes into a row of the store, smaller than what leaves the memory.
fn large(mail: &[u8]) -> Vec<u8> {
    [mail, "a line of some length, over and over\r\n".repeat(5000).as_bytes()].concat()
}

fn client(server: &Transom) -> Client {
    let mut client = server.client();
    client.hello();
    client
}

#[track_caller]
fn send(client: &mut Client, mail: &[u8], wanted: &str) {
    let reply = client.send("a@outside.example", &["b@inside.example"], mail);
    assert!(reply.starts_with(wanted), "wanted {wanted}, got {reply}");
}

/// What is in the quarantine, as another process sees it.
fn held(server: &Transom) -> usize {
    let output = server.command().args(["quarantine", "list", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Vec<serde_json::Value>>(&output.stdout).unwrap().len()
}

fn files(server: &Transom) -> usize {
    fs::read_dir(server.directory().join("store/content")).unwrap().count()
}

#[test]
fn a_disk_that_takes_nothing_more_defers_what_needs_it_and_nothing_is_left_behind() {
    let next_hop = Recorder::start();
    let server = start(&next_hop);
    let mut client = client(&server);
    send(&mut client, HELD, "250");
    server.disk_takes(Some(0));
    for mail in [HELD.to_vec(), large(HELD)] {
        send(&mut client, &mail, "45");
    }
    let told = server.wait_for_log("the message could not be held");
    assert!(told.contains("limits on file size"), "{told}");
    // More than the memory of one message.
    send(&mut client, &[PASSED, &[b'x'; 900], "\r\n".as_bytes(), &large(b"\r\n").repeat(8)].concat(), "45");
    let told = server.wait_for_log("message not taken for now");
    assert!(told.contains("check the disk"), "{told}");
    assert!(next_hop.taken().is_empty());
    send(&mut client, PASSED, "250");
    next_hop.only();

    server.disk_takes(None);
    assert_eq!((held(&server), files(&server)), (1, 0));
    send(&mut client, &large(HELD), "250");
    send(&mut client, HELD, "250");
    assert_eq!((held(&server), files(&server)), (3, 1));
}

/// Holds mail while the disk gets a page of room each time, until a hold is staged whose confirmation finds none.
fn leave_one_pending(server: &Transom, client: &mut Client) {
    let mut room = fs::metadata(server.directory().join("store/store.db-wal")).unwrap().len();
    while !server.log().contains("a hold stays pending") {
        assert!(room < 8_000_000, "the limit was never in the way");
        server.disk_takes(Some(room));
        client.send("a@outside.example", &["b@inside.example"], HELD);
        room += 4120;
    }
    server.disk_takes(None);
}

#[test]
fn an_end_that_the_disk_did_not_take_is_written_once_it_does() {
    let next_hop = Recorder::start();
    let server = start(&next_hop);
    let mut client = client(&server);
    leave_one_pending(&server, &mut client);
    send(&mut client, HELD, "250");
    let until = Instant::now() + PATIENCE;
    let pending = || {
        let output = server.command().args(["quarantine", "list", "--state", "pending"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap() != "nothing is held\n"
    };
    while pending() {
        assert!(Instant::now() < until, "some stay pending: {}", server.log());
    }
}

#[test]
fn an_end_that_the_disk_did_not_take_is_written_at_the_latest_when_the_server_ends() {
    let next_hop = Recorder::start();
    let server = start(&next_hop);
    let mut client = client(&server);
    leave_one_pending(&server, &mut client);
    drop(client);
    let directory = server.keep_directory();
    assert!(server.terminate().success());
    let output = transom(directory.path()).args(["quarantine", "list"]).output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    assert!(list.contains("held") && !list.contains("unconfirmed"), "{list}");
}

#[test]
fn a_store_without_a_place_for_content_defers_large_holds_only() {
    let next_hop = Recorder::start();
    let server = start(&next_hop);
    let content = server.directory().join("store/content");
    fs::remove_dir(&content).unwrap();
    fs::write(&content, "").unwrap();
    let mut client = client(&server);
    send(&mut client, &large(HELD), "451 4.3.0");
    let told = server.wait_for_log("the message could not be held");
    assert!(told.contains("content") && told.contains("move it away"), "{told}");
    send(&mut client, HELD, "250");
    send(&mut client, &large(PASSED), "250");
    next_hop.only();
}

#[test]
fn a_server_whose_store_cannot_be_opened_does_not_start() {
    let next_hop = Recorder::start();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("transom.yaml"), basics(next_hop.address())).unwrap();
    fs::write(directory.path().join("store"), "").unwrap();
    let output = transom(directory.path()).arg("serve").output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(74), "{told}");
    assert!(told.contains("the store cannot be opened") && told.contains("set store.path"), "{told}");
    assert!(!told.contains("listening"), "{told}");
}

#[test]
fn the_250_of_a_message_does_not_wait_for_what_the_client_sent_behind_it() {
    let next_hop = NextHop::start([Script::good().at("RCPT TO:<slow@", Act::Silence)]);
    let server = Transom::start(next_hop.address, "timeouts: {next_hop: 4m}\n");
    let mut client = client(&server);
    client.open("a@outside.example", &["b@inside.example"]);
    client.raw(&[PASSED, b".\r\nMAIL FROM:<a@outside.example>\r\nRCPT TO:<slow@inside.example>\r\n"].concat());
    let reply = client.reply();
    assert!(reply.starts_with("250"), "{reply}");
}
