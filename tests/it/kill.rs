//! SIGKILL under load: what a client was told was taken is at the next hop or in the quarantine.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::support::client::{Client, stuffed};
use super::support::recorder::Recorder;
use super::support::transom::{Transom, basics, transom as program};

const CLIENTS: usize = 8;

/// How often the server is started; each dies after a random number of acknowledged messages, and what is in flight then is cut off wherever it is.
const LIVES: usize = 6;

const RULES: &str = "rules: [{name: hold, when: {header: {name: X-Hold, exists: true}}, then: [{quarantine: {reason: asked for}}]}]\n";

/// The subjects of the messages a 250 was given for.
#[derive(Debug, Default)]
struct Acknowledged {
    subjects: Mutex<Vec<String>>,
    more: Condvar,
}

#[test]
fn what_was_acknowledged_survives_sigkill_at_any_moment() {
    let next_hop = Recorder::start();
    let configuration = basics(next_hop.address()) + "chain: [{include: rules/*.yaml}]\n";
    let mut server = Some(Transom::start_with(&configuration, &[("rules/hold.yaml", RULES)]));
    let directory = server.as_ref().expect("just started").keep_directory();
    let acknowledged = Arc::new(Acknowledged::default());
    for life in 0..LIVES {
        let server = server.take().unwrap_or_else(|| Transom::start_in(Arc::clone(&directory)));
        let address = server.address();
        let [random] = transom::base::random::bytes();
        let until = acknowledged.subjects.lock().unwrap().len() + usize::from(random % 60) + 1;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let acknowledged = Arc::clone(&acknowledged);
                thread::spawn(move || send_until_it_dies(address, &format!("{life}-{client}"), &acknowledged))
            })
            .collect();
        acknowledged.wait_for(until);
        server.kill();
        for client in clients {
            client.join().unwrap();
        }
    }

    let delivered: HashSet<_> = next_hop.taken().iter().map(|taken| subject(&taken.message)).collect();
    let held = quarantined(directory.path());
    let acknowledged = acknowledged.subjects.lock().unwrap();
    let lost: Vec<_> =
        acknowledged.iter().filter(|subject| !if subject.starts_with("held") { &held } else { &delivered }.contains(*subject)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(!delivered.iter().any(|subject| subject.starts_with("held")), "a held message was delivered");
    assert!(acknowledged.iter().any(|subject| subject.starts_with("held")), "no held message was among them");
}

/// Sends message after message, every third one to be held, every fifth one too large for the memory of the store's rows.
fn send_until_it_dies(address: SocketAddr, name: &str, acknowledged: &Acknowledged) -> Option<()> {
    let mut client = Client::try_connect(address)?;
    client.try_say(b"EHLO client.example\r\n")?;
    for number in 0.. {
        let (kind, mark) = if number % 3 == 0 { ("held", "X-Hold: yes\r\n") } else { ("sent", "") };
        let subject = format!("{kind}-{name}-{number}");
        let body = "a line of the body\r\n".repeat(if number % 5 == 0 { 6000 } else { 3 });
        client.try_say(b"MAIL FROM:<a@outside.example>\r\n")?;
        client.try_say(b"RCPT TO:<b@inside.example>\r\n")?;
        client.try_say(b"DATA\r\n")?;
        let reply = client.try_say(&stuffed(format!("Subject: {subject}\r\n{mark}\r\n{body}").as_bytes()))?;
        if reply.starts_with("250") {
            acknowledged.subjects.lock().unwrap().push(subject);
            acknowledged.more.notify_all();
        }
    }
    Some(())
}

impl Acknowledged {
    fn wait_for(&self, count: usize) {
        let mut guard = self.subjects.lock().unwrap();
        while guard.len() < count {
            let (next, waited) = self.more.wait_timeout(guard, super::support::PATIENCE).unwrap();
            assert!(!waited.timed_out(), "{} of {count} were acknowledged", next.len());
            guard = next;
        }
    }
}

/// The subjects of what is held, as a new process sees the store.
fn quarantined(directory: &std::path::Path) -> HashSet<String> {
    let output = program(directory).args(["quarantine", "list", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    rows.iter().map(|row| row["subject"].as_str().unwrap().to_owned()).collect()
}

fn subject(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default().to_owned()
}
