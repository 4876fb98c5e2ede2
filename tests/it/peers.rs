//! Who a client is, and what one may take: what shows only with several connections, in the log, or at a moment of its own.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::{Pid, Signal, kill_process};

use super::support::PATIENCE;
use super::support::client::Client;
use super::support::next_hop::{Act, NextHop, Script};
use super::support::transom::Transom;

fn configuration(next_hop: &NextHop, trust: &str, more: &str) -> String {
    let listener = format!("{{address: 127.0.0.1:0, trust: {{{trust}}}}}");
    format!("hostname: filter.example.org\nlisteners: [{listener}]\nrelay: {{next_hops: [\"{}\"]}}\n{more}", next_hop.address)
}

/// Connects, says this before anything else, and gives all that comes back until the end or the first reply.
fn said_first(transom: &Transom, bytes: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(transom.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"\n") {
        let mut byte = [0; 1];
        if stream.read(&mut byte).unwrap() == 0 {
            break;
        }
        heard.push(byte[0]);
    }
    (stream, String::from_utf8(heard).unwrap())
}

#[test]
fn who_speaks_before_the_greeting_is_refused() {
    let hop = NextHop::start([Script::good()]);
    let transom = Transom::start(hop.address, "");
    let id = Pid::from_raw(i32::try_from(transom.id()).unwrap()).unwrap();
    // So that it is said before the server looks.
    kill_process(id, Signal::STOP).unwrap();
    let mut stream = TcpStream::connect(transom.address()).unwrap();
    stream.write_all(b"EHLO client.example\r\n").unwrap();
    kill_process(id, Signal::CONT).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "554 5.5.0 Error: input sent before its time\r\n");
    transom.client().hello();
}

#[test]
fn sessions_are_counted_for_whom_a_proxy_names_and_not_for_the_proxy() {
    let hop = NextHop::start([Script::good()]);
    let more = "inside: {}\nlimits: {sessions_per_address: 1}\n";
    let transom = Transom::start_with(&configuration(&hop, "proxy_protocol: [127.0.0.1]", more), &[]);
    let from = |address: &str| said_first(&transom, &format!("PROXY TCP4 {address} 203.0.113.1 4711 25\r\n"));
    let (_first, heard) = from("198.51.100.7");
    assert!(heard.starts_with("220 "), "{heard}");
    assert!(from("198.51.100.7").1.starts_with("421 4.7.0 Too many connections"));
    let (_third, heard) = from("198.51.100.8");
    assert!(heard.starts_with("220 "), "{heard}");
    let _checks: Vec<_> =
        (0..3).map(|_| said_first(&transom, "PROXY UNKNOWN\r\n")).inspect(|(_, heard)| assert!(heard.starts_with("220 "))).collect();
}

#[test]
fn sessions_are_counted_for_whom_xclient_names() {
    let hop = NextHop::start([Script::good()]);
    let more = "inside: {}\nlimits: {sessions_per_address: 1}\n";
    let transom = Transom::start_with(&configuration(&hop, "xclient: [127.0.0.1]", more), &[]);
    let (mut first, mut second) = (transom.client(), transom.client());
    first.hello();
    second.hello();
    first.expect("XCLIENT ADDR=198.51.100.7", "220 ");
    first.hello();
    first.expect("XCLIENT ADDR=198.51.100.8", "220 ");
    second.expect("XCLIENT ADDR=198.51.100.7", "220 ");
    first.hello();
    first.expect("XCLIENT ADDR=198.51.100.7", "421 4.7.0 Too many connections");
    assert_eq!(first.try_reply(), None);
}

#[test]
fn the_log_tells_whose_message_it_is_and_who_handed_it_on() {
    let hop = NextHop::start([Script::good()]);
    let transom = Transom::start_with(&configuration(&hop, "xforward: [127.0.0.1]", ""), &[]);
    let mut client = transom.client();
    client.hello();
    client.expect("XFORWARD NAME=mail.example.net ADDR=198.51.100.7 IDENT=4FyX+20", "501");
    client.expect("XFORWARD NAME=mail.example.net ADDR=198.51.100.7 IDENT=4FyX", "250");
    assert!(client.send("a@example.org", &["b@example.org"], b"Subject: x\r\n\r\n").starts_with("250 "));
    let line = transom.wait_for_log("outcome=deliver");
    assert!(line.contains(" client=198.51.100.7 peer=127.0.0.1 ident=4FyX "), "{line}");
    assert!(client.send("a@example.org", &["c@example.org"], b"Subject: x\r\n\r\n").starts_with("250 "));
    let line = transom.wait_for_log("to=<c@example.org>");
    assert!(line.contains(" client=127.0.0.1 from="), "{line}");
}

#[test]
fn trust_that_was_taken_away_is_gone_with_the_next_command_and_what_would_open_the_relay_is_not_reloaded() {
    let hop = NextHop::start([Script::good()]);
    let trusting = configuration(&hop, "xclient: [127.0.0.1]", "inside: {}\n");
    let transom = Transom::start_with(&trusting, &[]);
    let mut client = transom.client();
    client.hello();
    // The listener of before stays bound, with its trust.
    let elsewhere = configuration(&hop, "xforward: []", "").replace("127.0.0.1:0", "127.0.0.1:1");
    assert!(
        transom
            .reload(&elsewhere.replace("{address", "{name: other, address"), &[])
            .contains("is bound and trusts others with XCLIENT or PROXY")
    );
    client.expect("XCLIENT ADDR=198.51.100.7", "220 ");
    assert!(transom.reload(&configuration(&hop, "xclient: [192.0.2.1]", "inside: {}\n"), &[]).contains("INFO reloaded"));
    client.expect("NOOP", "421 4.7.0 Who may do what has changed, connect again");
    assert!(client.is_closed());
    let mut client = transom.client();
    client.hello();
    client.expect("XCLIENT ADDR=198.51.100.8", "550 5.7.0 ");
}

#[test]
fn many_recipients_take_room_and_where_there_is_none_they_come_again() {
    let hop = NextHop::start([Script::good()]);
    let transom = Transom::start(hop.address, "limits: {bytes_in_flight: 5kB, memory_per_message: 1kB}\n");
    let mut client: Client = transom.client();
    client.hello();
    client.expect("MAIL FROM:<a@example.org>", "250");
    for number in 0..102 {
        client.expect(&format!("RCPT TO:<b{number}@example.org>"), "250");
    }
    client.expect("RCPT TO:<c@example.org>", "452 4.3.1 ");
    transom.wait_for_log("limits.bytes_in_flight is reached");
    client.expect("RSET", "250");
    client.open("a@example.org", &["c@example.org"]);
    assert!(client.data(b"Subject: x\r\n\r\n").starts_with("250 "));
}

#[test]
fn recipients_that_are_refused_keep_no_room() {
    let hop = NextHop::start([Script::good()]);
    let limits = "limits: {bytes_in_flight: 5kB, memory_per_message: 1kB, errors_per_session: 100}\n";
    let transom = Transom::start(hop.address, &format!("inside: {{domains: [example.org]}}\n{limits}"));
    let mut client: Client = transom.client();
    client.hello();
    client.expect("MAIL FROM:<a@example.org>", "250");
    for number in 0..101 {
        client.expect(&format!("RCPT TO:<b{number}@example.org>"), "250");
    }
    for _ in 0..5 {
        client.expect("RCPT TO:<b@elsewhere.example>", "550 5.7.1 ");
    }
    client.expect("RCPT TO:<c@example.org>", "250");
    client.expect("RCPT TO:<d@example.org>", "452 4.3.1 ");
}

#[test]
fn whom_the_next_hop_refuses_is_in_the_log_with_its_words() {
    let refuses = NextHop::start([Script::good().at("RCPT TO:<no@inside.example>", Act::Say("550 5.1.1 nobody\r\n"))]);
    let transom = Transom::start(refuses.address, "");
    let mut client = transom.client();
    client.hello();
    client.expect("MAIL FROM:<a@outside.example>", "250 ");
    client.expect("RCPT TO:<no@inside.example>", "550 5.1.1 nobody");
    let told = transom.wait_for_log("recipient refused by the next hop");
    for part in
        ["from=<a@outside.example>", "to=<no@inside.example>", &format!("next_hop={}", refuses.address), "answer=\"550 5.1.1 nobody\""]
    {
        assert!(told.contains(part), "{part} in {told}");
    }

    let defers = NextHop::start([Script::good().at("MAIL FROM:<a@outside.example>", Act::Say("451 4.7.1 later\r\n"))]);
    let transom = Transom::start(defers.address, "");
    let mut client = transom.client();
    client.hello();
    client.expect("MAIL FROM:<a@outside.example>", "250 ");
    client.expect("RCPT TO:<b@inside.example>", "451 4.7.1 later");
    let told = transom.wait_for_log("recipient refused by the next hop");
    assert!(told.contains("answer=\"451 4.7.1 later\"") && told.contains(&format!("next_hop={}", defers.address)), "{told}");
}
