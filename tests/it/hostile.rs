//! Clients that are slow, greedy, gone or many, and the end of a server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::support::PATIENCE;
use super::support::client::{Client, stuffed};
use super::support::next_hop::{Act, NextHop, Script};
use super::support::recorder::Recorder;
use super::support::transom::{Transom, basics, transom};

#[test]
fn a_silent_client_gives_its_connection_to_one_that_waits_and_gets_another_when_it_goes_on() {
    let next_hop = NextHop::start([Script::good()]);
    let configuration = format!(
        "hostname: filter.example.org\nlisteners: [{{address: 127.0.0.1:0}}]\nrelay: {{next_hops: [\"{}\"], connections: {{max: 1, hold: 60s, wait: 20s}}}}\n",
        next_hop.address
    );
    let transom = Transom::start_with(&configuration, &[]);
    let (mut silent, mut other) = (transom.client(), transom.client());
    silent.hello();
    silent.expect("MAIL FROM:<a@example.org>", "250");
    silent.expect("RCPT TO:<b@example.net>", "250");
    other.hello();
    let began = Instant::now();
    assert!(other.send("c@example.org", &["d@example.net"], b"Subject: other\r\n\r\n").starts_with("250"));
    assert!(began.elapsed() < PATIENCE / 3, "it waited {:?}", began.elapsed());
    silent.expect("DATA", "354");
    assert!(silent.data(b"Subject: silent\r\n\r\n").starts_with("250"));
    let log = next_hop.log();
    assert_eq!(log.messages.len(), 2);
    assert_eq!(log.count("RCPT TO:<b@example.net>"), 2, "asked at RCPT, and again when the transaction was opened anew");
}

#[test]
fn one_session_too_many_is_told_so_and_its_place_is_free_when_another_ends() {
    let next_hop = Recorder::start();
    let transom = Transom::start(next_hop.address(), "limits: {sessions: 1}\n");
    let mut first = transom.client();
    let mut line = String::new();
    BufReader::new(TcpStream::connect(transom.address()).unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("421 4.7.0 "), "{line}");
    first.expect("QUIT", "221");
    assert!(first.is_closed());
    drop(first);
    let until = Instant::now() + PATIENCE;
    loop {
        let mut line = String::new();
        BufReader::new(TcpStream::connect(transom.address()).unwrap()).read_line(&mut line).unwrap();
        if line.starts_with("220 ") {
            return;
        }
        assert!(Instant::now() < until, "the place was never free again");
    }
}

#[test]
fn a_thousand_recipients_in_one_write_are_each_answered_in_order() {
    let next_hop = NextHop::start([Script::good()]);
    let transom = Transom::start(next_hop.address, "inside: {domains: [example.org]}\nlimits: {errors_per_session: 1000}\n");
    let mut client = transom.client();
    client.hello();
    client.expect("MAIL FROM:<a@example.org>", "250");
    let lines = (0..1000).map(|number| {
        let domain = if number % 7 == 0 { "elsewhere.example" } else { "example.org" };
        format!("RCPT TO:<r{number}@{domain}>\r\n")
    });
    client.raw(lines.collect::<String>().as_bytes());
    for number in 0..1000 {
        let wanted = if number % 7 == 0 { "550 5.7.1" } else { "250" };
        let reply = client.reply();
        assert!(reply.starts_with(wanted), "{number}: {reply}");
    }
    assert_eq!(next_hop.log().count("RCPT"), (0..1000).filter(|number| number % 7 != 0).count());
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_message_leaves_nothing() {
    let next_hop = Recorder::start();
    let transom = Transom::start(next_hop.address(), "");
    let mut client = transom.client();
    client.hello();
    client.open("a@example.org", &["b@example.net"]);
    client.raw(b"Subject: half\r\n\r\nhalf a line");
    client.socket().shutdown(Shutdown::Both).unwrap();
    let mut next = transom.client();
    next.hello();
    assert!(next.send("c@example.org", &["d@example.net"], b"Subject: whole\r\n\r\n").starts_with("250"));
    assert_eq!(next_hop.only().sender, "c@example.org");
}

#[test]
fn a_message_larger_than_memory_goes_through_a_file_unchanged() {
    let next_hop = Recorder::start();
    let transom = Transom::start(next_hop.address(), "limits: {memory_per_message: 64KiB}\n");
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    for number in 0..60_000 {
        message.extend_from_slice(format!(".line {number} of very many, and some more text to fill it\r\n").as_bytes());
    }
    let mut client = transom.client();
    client.hello();
    assert!(client.send("a@example.org", &["b@example.net"], &message).starts_with("250"));
    assert!(next_hop.only().without_received() == message);
}

#[test]
fn a_full_temporary_disk_is_452_and_small_mail_passes_all_the_same() {
    let next_hop = Recorder::start();
    let transom = Transom::start(next_hop.address(), "limits: {memory_per_message: 64KiB, temporary_disk: 500KiB}\n");
    let mut client = transom.client();
    client.hello();
    client.expect("MAIL FROM:<a@example.org> SIZE=3000000", "452 4.3.1");
    let large = [b"Subject: x\r\n\r\n".as_slice(), &b"0123456789\r\n".repeat(100_000)].concat();
    assert!(client.send("a@example.org", &["b@example.net"], &large).starts_with("452 4.3.1"));
    assert!(client.send("a@example.org", &["b@example.net"], b"Subject: small\r\n\r\n").starts_with("250"));
    assert_eq!(next_hop.taken().len(), 1);
}

#[test]
fn smuggled_ends_in_packets_of_their_own_never_end_a_message() {
    let next_hop = Recorder::start();
    let transom = Transom::start(next_hop.address(), "");
    let mut client = transom.client();
    client.hello();
    for sequence in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r\r\n", "\r\r\n.", "\r\n\0.\r\n"] {
        client.open("a@example.org", &["b@example.net"]);
        client.raw(b"Subject: x\r\n\r\nbody");
        for byte in sequence.bytes() {
            client.raw(&[byte]);
        }
        client.raw(b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<evil@example.net>\r\nDATA\r\nevil\r\n.\r\n");
        let reply = client.reply();
        // The one with a NUL has no bare line end: it is a message, of which all is data.
        let wanted = if sequence.contains('\0') { "250" } else { "550 5.6.11" };
        assert!(reply.starts_with(wanted), "{sequence:?}: {reply}");
        client.expect("NOOP", "250");
    }
    assert!(next_hop.only().message.ends_with(b"DATA\r\nevil\r\n"));
}

#[test]
fn a_unix_socket_is_a_listener_and_its_clients_are_inside() {
    let next_hop = Recorder::start();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("in.sock");
    let configuration = format!(
        "hostname: filter.example.org\nlisteners: [{{address: 127.0.0.1:0}}, {{address: \"unix:{}\"}}]\nrelay: {{next_hops: [\"{}\"]}}\ninside: {{}}\n",
        socket.display(),
        next_hop.address()
    );
    let transom = Transom::start_with(&configuration, &[]);
    transom.wait_for_log("listening on unix:");
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
    for (line, start) in [
        ("", "220 "),
        ("HELO client.example\r\n", "250 "),
        ("MAIL FROM:<a@example.org>\r\n", "250 "),
        ("RCPT TO:<b@example.net>\r\n", "250 "),
        ("DATA\r\n", "354 "),
    ] {
        stream.write_all(line.as_bytes()).unwrap();
        assert!(replies.next().unwrap().unwrap().starts_with(start));
    }
    stream.write_all(&stuffed(b"Subject: x\r\n\r\n")).unwrap();
    assert!(replies.next().unwrap().unwrap().starts_with("250 "));
    assert_eq!(next_hop.only().recipients, ["b@example.net"]);
}

#[test]
fn sigterm_tells_the_idle_and_finishes_a_message_under_way() {
    let next_hop = Recorder::start();
    let transom = Transom::start(next_hop.address(), "");
    let (mut idle, mut waiting, mut sending) = (transom.client(), transom.client(), transom.client());
    idle.hello();
    waiting.hello();
    waiting.expect("MAIL FROM:<a@example.org>", "250");
    waiting.expect("RCPT TO:<b@example.net>", "250");
    sending.hello();
    sending.open("c@example.org", &["d@example.net"]);
    sending.raw(b"Subject: under way\r\n");
    let address = transom.address();
    let ended = std::thread::spawn(move || transom.terminate());
    assert!(idle.reply().starts_with("421 4.3.2"));
    assert!(idle.is_closed());
    assert!(waiting.reply().starts_with("421 4.3.2"));
    sending.raw(b"\r\nthe rest\r\n.\r\n");
    assert!(sending.reply().starts_with("250"));
    assert!(sending.reply().starts_with("421 4.3.2"));
    drop((idle, waiting, sending));
    assert_eq!(ended.join().unwrap().code(), Some(0));
    assert!(TcpStream::connect(address).is_err());
    assert!(next_hop.only().message.ends_with(b"Subject: under way\r\n\r\nthe rest\r\n"));
}

#[test]
fn a_shutdown_does_not_wait_for_ever_for_the_rest_of_a_message() {
    let next_hop = Recorder::start();
    let transom = Transom::start(next_hop.address(), "timeouts: {shutdown: 1s}\n");
    let mut client = transom.client();
    client.hello();
    client.open("a@example.org", &["b@example.net"]);
    let ended = std::thread::spawn(move || transom.terminate());
    assert!(client.reply().starts_with("421 4.3.2"));
    drop(client);
    assert_eq!(ended.join().unwrap().code(), Some(0));
    assert!(next_hop.taken().is_empty());
}

#[test]
fn a_shutdown_does_not_wait_for_ever_for_a_client_that_reads_nothing() {
    let lines = format!("{}250 2.1.5 end\r\n", format!("250-2.1.5 {}\r\n", "x".repeat(490)).repeat(19));
    let next_hop = NextHop::start([Script::good().at("RCPT", Act::Say(lines.leak()))]);
    let transom = Transom::start(next_hop.address, "timeouts: {shutdown: 1s}\n");
    let mut client = transom.client();
    client.hello();
    client.expect("MAIL FROM:<a@example.org>", "250");
    client.raw("RCPT TO:<b@example.net>\r\n".repeat(1000).as_bytes());
    // Its replies have nowhere to go, and after `connections.hold` its connection is given back.
    next_hop.wait_for(|log| log.count("RSET") == 1);
    assert_eq!(transom.terminate().code(), Some(0));
}

#[test]
fn a_line_that_comes_drop_by_drop_is_silence() {
    let next_hop = NextHop::start([Script::good()]);
    let transom = Transom::start(next_hop.address, "timeouts: {command: 1s}\n");
    let mut client = transom.client();
    client.hello();
    let (began, mut heard) = (Instant::now(), [0; 100]);
    client.socket().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let count = loop {
        assert!(began.elapsed() < PATIENCE, "it may go on for ever");
        client.raw(b"x");
        if let Ok(count) = client.socket().read(&mut heard) {
            break count;
        }
    };
    assert!(heard[..count].starts_with(b"421 4.4.2 "));
}

#[test]
fn the_same_session_in_any_packets_has_the_same_replies() {
    let session = [
        "EHLO client.example\r\n",
        "MAIL FROM:<a@example.org> SIZE=100\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<broken\r\nRCPT TO:<nobody@example.net>\r\nVRFY\r\nRCPT TO:<c@example.net>\r\nDATA\r\n",
        "Subject: one\r\n\r\n..\r\n.dot\r\n\r\n.\r\nRSET\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\nRCPT TO:<d@example.net>\r\nNOOP\r\nDATA\r\n",
        "Subject: two\r\n\r\nbare\n.\r\nx\r\n.\r\nNOOP\r\nQUIT\r\n",
    ];
    let replies = [1, 7, 7, 3];
    let next_hop = NextHop::start([Script::good().at("RCPT TO:<nobody@", Act::Say("550 5.1.1 no\r\n"))]);
    let transom = Transom::start(next_hop.address, "");
    let play = |size: usize| {
        let mut client = transom.client();
        let mut heard = Vec::new();
        for (part, count) in session.iter().zip(replies) {
            part.as_bytes().chunks(size).for_each(|piece| client.raw(piece));
            heard.extend((0..count).map(|_| client.reply()));
        }
        assert!(client.is_closed());
        heard
    };
    let whole = play(10_000);
    let codes: Vec<&str> = whole.iter().map(|reply| &reply[..3]).collect();
    assert_eq!(codes, "250 250 250 501 550 501 250 354 250 250 250 503 250 250 354 550 250 221".split(' ').collect::<Vec<_>>());
    for size in [1, 2, 3, 5, 7, 11, 13, 29, 64, 100] {
        assert_eq!(play(size), whole, "in packets of {size}");
    }
    let log = next_hop.log();
    assert!(log.messages.len() == 11 && log.messages.iter().all(|message| message.ends_with(b"\r\n\r\n..\r\ndot\r\n\r\n")), "{log:?}");
}

#[test]
fn a_next_hop_that_is_this_server_itself_is_a_configuration_error() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // The first shows in the file; the second only when the next hop has been asked who it is.
    for (listener, inside) in [(free, ""), (SocketAddr::from(([0, 0, 0, 0], free.port())), "inside: {}\n")] {
        let directory = tempfile::tempdir().unwrap();
        let configuration = basics(free).replace("127.0.0.1:0}", &format!("\"{listener}\"}}"));
        std::fs::write(directory.path().join("transom.yaml"), configuration + inside).unwrap();
        let output = transom(directory.path()).arg("serve").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains("this server itself"), "{said}");
    }
}

#[test]
fn a_summary_line_has_all_one_needs_to_find_the_rest() {
    let next_hop = Recorder::start();
    let transom = Transom::start(next_hop.address(), "");
    let mut client: Client = transom.client();
    client.hello();
    client.send("a@example.org", &["b@example.net", "c@example.net"], b"Subject: x\r\n\r\n");
    let line = transom.wait_for_log("outcome=deliver");
    let next_hop = format!("next_hop={}", next_hop.address());
    for part in [
        " id=",
        " session=",
        " client=127.0.0.1",
        "from=<a@example.org>",
        "to=<b@example.net>,<c@example.net>",
        "n=2",
        "bytes=14",
        &next_hop,
        "reply=\"250 2.0.0 taken",
        "ms=receive:",
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
}

#[test]
fn mail_that_came_by_here_more_than_ten_times_is_a_loop() {
    let next_hop = Recorder::start();
    let transom = Transom::start(next_hop.address(), "");
    let mut client = transom.client();
    let hello = client.hello();
    let token = hello.split("X-TRANSOM ").nth(1).unwrap().lines().next().unwrap();
    let hop = |token: &str| format!("Received: by filter.example.org with ESMTP id 01JD.{token}; Sat, 21 Nov 2026 10:00:00 +0000\r\n");
    let message = |count: usize, token: &str| format!("{}Subject: x\r\n\r\n", hop(token).repeat(count)).into_bytes();
    assert!(client.send("a@example.org", &["b@example.net"], &message(11, token)).starts_with("554 5.4.6"));
    assert!(client.send("a@example.org", &["b@example.net"], &message(10, token)).starts_with("250"));
    assert!(client.send("a@example.org", &["b@example.net"], &message(11, "AAAAAAAAAA")).starts_with("250"));
    assert_eq!(next_hop.taken().len(), 2);
}

#[test]
fn an_idle_session_costs_little_memory() {
    const SESSIONS: u64 = 400;
    let next_hop = Recorder::start();
    let transom = Transom::start(next_hop.address(), "");
    let open = |count: u64| -> Vec<Client> {
        let greeted = |_| {
            let mut client = transom.client();
            client.hello();
            client
        };
        (0..count).map(greeted).collect()
    };
    let warm = open(20);
    let before = memory(transom.id(), "VmRSS:");
    let idle = open(SESSIONS);
    let each = (memory(transom.id(), "VmRSS:") - before) / SESSIONS;
    println!("{each} bytes an idle session");
    assert!(each < 12 * 1024, "{each} bytes an idle session; docs/performance.md says under 6 KiB");
    drop((warm, idle));
}

const LOOKS_INSIDE: &str = "rules: [{name: look, when: {attachment: {extension: exe}}, then: [{reject: {}}]}]\n";

/// The full sizes are in tests/hostile.py.
#[test]
fn what_a_limit_keeps_closed_passes_unless_a_rule_must_look_inside() {
    let head = "From: a@outside.example\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n";
    let level = |number| format!("--b{number}\r\nContent-Type: multipart/mixed; boundary=b{}\r\n\r\n", number + 1);
    let nested = (0..5000).map(level).collect::<Vec<_>>().concat();
    let bodies = [nested, "--b0\r\n\r\nx\r\n".repeat(20_000), format!("--b0\r\n{}\r\nx\r\n--b0--\r\n", "a:\r\n".repeat(200_000))];
    let next_hop = Recorder::start();
    let plain = Transom::start(next_hop.address(), "");
    let configuration = basics(next_hop.address()) + "chain: [{include: look.yaml}]\n";
    let looking = Transom::start_with(&configuration, &[("look.yaml", LOOKS_INSIDE)]);
    let (mut passing, mut examined) = (plain.client(), looking.client());
    passing.hello();
    examined.hello();
    for body in &bodies {
        let message = format!("{head}{body}");
        assert!(passing.send("a@example.org", &["b@example.net"], message.as_bytes()).starts_with("250"));
        assert!(next_hop.taken().last().unwrap().without_received() == message.as_bytes());
        assert!(examined.send("a@example.org", &["b@example.net"], message.as_bytes()).starts_with("250"));
    }
    assert_eq!(next_hop.taken().len(), bodies.len(), "what could not be looked into was passed on");
    let listed = looking.command().args(["quarantine", "list", "--json"]).output().unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(rows.len(), bodies.len());
    assert!(memory(plain.id(), "VmHWM:") < 100 << 20 && memory(looking.id(), "VmHWM:") < 100 << 20);
}

#[test]
fn many_large_messages_at_once_and_an_endless_line_take_little_memory() {
    const MESSAGES: usize = 10;
    let next_hop = NextHop::start([Script::offering(&["8BITMIME"])]);
    let transom = Transom::start(next_hop.address, "");
    let head = b"From: a@outside.example\r\nSubject: x\r\n\r\n";
    let content = [head.as_slice(), &vec![b'x'; 12 << 20], b"\r\n"].concat();
    std::thread::scope(|scope| {
        for _ in 0..MESSAGES {
            scope.spawn(|| {
                let mut client = transom.client();
                client.hello();
                assert!(client.send("a@example.org", &["b@example.net"], &content).starts_with("250"));
            });
        }
    });
    assert!(next_hop.log().messages.iter().all(|message| message.ends_with(&content)));
    let peak = memory(transom.id(), "VmHWM:");
    assert!(peak < 80 << 20, "{peak} bytes for {MESSAGES} messages of {} each", content.len());
}

#[test]
fn other_mail_flows_past_clients_that_dawdle_or_stop_after_rcpt() {
    let next_hop = Recorder::start();
    let transom = Transom::start(next_hop.address(), "limits: {sessions: 5000}\n");
    let dawdle = |number: usize| {
        let mut client = transom.client();
        client.hello();
        match number % 3 {
            0 => client.raw(b"MAI"),
            1 => {
                client.expect("MAIL FROM:<a@example.org>", "250");
                client.raw(b"RCPT TO:<b@example.net>\r\n");
            }
            _ => {
                client.open("a@example.org", &["b@example.net"]);
                client.raw(b"S");
            }
        }
        client
    };
    let dawdling: Vec<Client> = (0..150).map(dawdle).collect();
    for _ in 0..20 {
        let mut client = transom.client();
        client.hello();
        let reply = client.send("c@example.org", &["d@example.net"], b"Subject: other\r\n\r\n");
        assert!(reply.starts_with("250"), "{reply}");
    }
    assert_eq!(next_hop.taken().len(), 20);
    drop(dawdling);
}

/// A line of `/proc/ID/status`, in bytes.
fn memory(id: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
