//! What a service manager hands over and is told: sockets that are bound already, and how the service is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use tempfile::TempDir;

use super::support::PATIENCE;
use super::support::client::Client;
use super::support::next_hop::{NextHop, Script};
use super::support::transom::{Transom, service};

fn configuration(next_hop: &NextHop, more: &str) -> String {
    format!(
        "hostname: filter.example.org\nlisteners: [{{address: 'systemd:smtp'}}]\nrelay: {{next_hops: [\"{}\"]}}\n{more}",
        next_hop.address
    )
}

#[test]
fn a_socket_that_was_passed_is_served_and_outlives_the_server() {
    let hop = NextHop::start([Script::good()]);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    for _ in 0..2 {
        let transom = Transom::start_as_service(&configuration(&hop, ""), Some(("smtp", socket.try_clone().unwrap().into())), &[]);
        assert_eq!(transom.address(), address);
        let mut client = transom.client();
        client.hello();
        assert!(client.send("a@example.org", &["b@example.org"], b"Subject: x\r\n\r\n").starts_with("250 "));
        let told = transom.reload(&configuration(&hop, "limits: {recipients: 5}\n"), &[]);
        assert!(told.ends_with("INFO reloaded\n") && !told.contains("restart"), "{told}");
        transom.client();
        drop(client);
        assert!(transom.terminate().success());
        // Whoever comes now waits for the next one.
        TcpStream::connect(address).unwrap();
    }
}

/// The first line of the answer to a request for this path.
fn asked(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap().to_owned()
}

#[test]
fn health_answers_on_a_socket_that_was_passed_until_the_server_ends() {
    let hop = NextHop::start([Script::good()]);
    let with = |admin: &str| configuration(&hop, &format!("admin: {{address: '{admin}'}}\n")).replace("'systemd:smtp'", "'127.0.0.1:0'");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    for _ in 0..2 {
        let transom = Transom::start_as_service(&with("systemd:admin"), Some(("admin", socket.try_clone().unwrap().into())), &[]);
        assert!(!transom.log().contains("no listener names"), "{}", transom.log());
        assert_eq!(asked(address, "/healthz"), "HTTP/1.1 200 OK");
        let told = transom.reload(&with("systemd:admin"), &[]);
        assert!(told.ends_with("INFO reloaded\n") && !told.contains("ERROR"), "{told}");
        assert_eq!(asked(address, "/readyz"), "HTTP/1.1 200 OK");
        let told = transom.reload(&with("127.0.0.1:0"), &[]);
        assert!(told.contains("health and metrics stay where they were") && told.contains("only with a restart"), "{told}");
        assert_eq!(asked(address, "/metrics"), "HTTP/1.1 200 OK");
        assert!(transom.terminate().success());
        // Whoever comes now waits for the next one.
        TcpStream::connect(address).unwrap();
    }
}

#[test]
fn health_whose_socket_was_not_passed_or_is_open_to_others_is_told() {
    let hop = NextHop::start([Script::good()]);
    let more = "admin: {address: 'systemd:admin'}\n";
    let text = configuration(&hop, more).replace("'systemd:smtp'", "'127.0.0.1:0'");
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("transom.yaml"), &text).unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap().into();
    let output = service(directory.path(), Some(("health", socket)), &[]).stderr(Stdio::piped()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let wanted = "cannot listen on systemd:admin: no socket of this name was passed (passed: `health`)";
    assert!(output.status.code() == Some(69) && told.contains(wanted), "{told}");
    let socket = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let transom = Transom::start_as_service(&text, Some(("admin", socket.into())), &[]);
    transom.wait_for_log(&format!("whoever can reach 0.0.0.0:{port} sees next hops"));
}

#[test]
fn what_was_not_passed_or_would_relay_for_strangers_is_told() {
    let hop = NextHop::start([Script::good()]);
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("transom.yaml"), configuration(&hop, "")).unwrap();
    let started = |name: &str, address: &str| {
        let socket = TcpListener::bind(address).unwrap().into();
        let output = service(directory.path(), Some((name, socket)), &[]).stderr(Stdio::piped()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, told) = started("submission", "127.0.0.1:0");
    assert!(
        status == 69 && told.contains("cannot listen on systemd:smtp: no socket of this name was passed (passed: `submission`)"),
        "{told}"
    );
    let (status, told) = started("smtp", "0.0.0.0:0");
    assert!(status == 78 && told.contains("can be reached from other machines"), "{told}");
}

#[test]
fn the_service_manager_hears_how_the_service_is() {
    let hop = NextHop::start([Script::good()]);
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = |wanted: &str| loop {
        let mut bytes = [0; 500];
        let count = manager.recv(&mut bytes).unwrap_or_else(|error| panic!("{wanted} was never said: {error}"));
        let said = String::from_utf8_lossy(&bytes[..count]).into_owned();
        if said.lines().any(|line| line == wanted) {
            break said;
        }
    };
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "100000")];
    let transom = Transom::start_as_service(&configuration(&hop, ""), Some(("smtp", socket.into())), &environment);
    heard("READY=1");
    Client::connect(transom.address());
    heard("WATCHDOG=1");
    assert!(transom.hang_up().contains("INFO reloaded"));
    assert!(heard("RELOADING=1").contains("MONOTONIC_USEC="));
    heard("READY=1");
    assert!(transom.reload("listeners: []\n", &[]).contains("not reloaded"));
    assert!(heard("READY=1").contains("the last reload was refused"));
    assert!(transom.terminate().success());
    assert!(heard("STOPPING=1").contains("EXTEND_TIMEOUT_USEC=630000000"));
}
