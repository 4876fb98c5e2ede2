//! `tests/dialogs/*.txt`: transcripts of SMTP sessions that a mail operator can read, each played against the real server.
//!
//! | line | |
//! |---|---|
//! | `C:` | a line of the client; lines that follow each other leave in one write |
//! | `C>` | raw bytes of it, `\r \n \0 \\ \xHH` meant (`\*N:text` is the text N times), nothing added |
//! | `C!` | it closes its sending side |
//! | `C*` | its part of a TLS handshake; `C* certificate`: it shows who it is |
//! | `S:` | one reply, all its lines; `*` is any text |
//! | `S!` | the server has closed the connection |
//! | `-- again` | a new connection; `-- beside`: beside those that are open |
//! | `N:` | a command that the next hop must have heard, in this order, EHLO, RSET and QUIT left out; `N: nothing`: it heard none |
//! | `N=`, `N~` | a part of the last message it got; something that is not in it |
//!
//! | in the head | |
//! |---|---|
//! | `# config:` | added to the configuration; `cert.pem`, `key.pem`, `ca.pem`, `users.yaml` and a password in `secret` lie beside it |
//! | `# rules:` | lines of a rule file |
//! | `# next hop: COMMAND = REPLY` | what the next hop says, or `closes`, `silent` |
//! | `# next hop speaks LMTP` | |
//! | `# offers:` | what it offers instead of the usual; `# then offers:` from its second connection on |

use std::collections::{BTreeSet, HashSet};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use regex::Regex;

use super::support::PATIENCE;
use super::support::next_hop::{Act, NextHop, Script};
use super::support::transom::Transom;
use super::support::wire::{Wire, papers};

/// Replies that no transcript shows, and why.
const NOT_HEARD: &[(&str, &str)] = &[
    ("421 4.3.2 Service is shutting down", "a signal makes it say so: tests/it/relay.rs"),
    ("421 4.4.2 Data comes in too slowly", "that takes a minute: src/server/limits.rs"),
    ("421 4.7.0 Who may do what has changed, connect again", "a reload makes it say so: tests/it/reload.rs"),
    ("454 4.7.0 Temporary authentication failure, try again later", "who knows the users has to fail: src/smtp/session/login.rs"),
];

/// Dialogs that are played at once.
const AT_ONCE: usize = 24;

/// Who may log in: `anna@example.org` with `pencil`, `bob` with `pass word`.
const USERS: &str = include_str!("support/users.yaml");

#[test]
fn every_dialog_goes_as_written_and_together_they_show_every_reply() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogs");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let (mut heard, mut failures) = (HashSet::new(), Vec::new());
    let next = AtomicUsize::new(0);
    let one_after_the_other = || {
        let next = || files.get(next.fetch_add(1, Ordering::Relaxed));
        let played = std::iter::from_fn(|| next().map(|file| (file, catch_unwind(|| play(&Dialog::read(file))))));
        played.collect::<Vec<_>>()
    };
    let played = std::thread::scope(|scope| {
        // Most of them wait most of the time.
        let running: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(one_after_the_other)).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    for (file, result) in played {
        match result.unwrap_or_else(|_| Err("it panicked".into())) {
            Ok(replies) => heard.extend(replies),
            Err(error) => failures.push(format!("{}: {error}", file.display())),
        }
    }
    failures.sort();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let silent: Vec<String> = replies().into_iter().filter(|reply| !heard.iter().any(|heard| heard.starts_with(reply))).collect();
    let known: Vec<&str> = NOT_HEARD.iter().map(|(reply, _)| *reply).collect();
    assert_eq!(silent, known, "replies of src/smtp/reply that no transcript shows");
}

/// Every reply that is written down in the program, as it begins on the wire.
fn replies() -> BTreeSet<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/smtp/reply");
    let written = Regex::new(r#"Reply::new\(\s*(\d+),\s*Enhanced\((\d+), (\d+), (\d+)\),\s*"([^"]+)""#).unwrap();
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for parts in written.captures_iter(&text).map(|captures| captures.extract::<5>().1) {
            let [code, class, subject, detail, text] = parts;
            found.insert(format!("{code} {class}.{subject}.{detail} {text}"));
        }
    }
    found
}

#[derive(Debug, Default)]
struct Dialog {
    config: String,
    /// A rule file that the chain includes.
    rules: String,
    /// What the next hop speaks besides SMTP.
    lmtp: bool,
    offers: Option<Vec<&'static str>>,
    then_offers: Option<Vec<&'static str>>,
    acts: Vec<(&'static str, Act)>,
    steps: Vec<(usize, Step)>,
    heard: Vec<String>,
    content: Vec<Vec<u8>>,
    absent: Vec<Vec<u8>>,
    checks_next_hop: bool,
}

#[derive(Debug)]
enum Step {
    Send(Vec<u8>),
    HalfClose,
    /// Whether it shows a certificate.
    Secure(bool),
    Reply(String),
    Closed,
    Again,
    Beside,
}

impl Dialog {
    fn read(file: &Path) -> Dialog {
        let mut dialog = Dialog::default();
        let text = std::fs::read_to_string(file).unwrap();
        for (number, line) in text.lines().enumerate() {
            dialog.line(number + 1, line);
        }
        dialog
    }

    fn line(&mut self, number: usize, line: &str) {
        let (mark, rest) = line.split_at(line.len().min(2));
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        match mark {
            "C:" => self.send(number, format!("{rest}\r\n").as_bytes()),
            "C>" => self.send(number, &bytes(rest)),
            "C!" => self.steps.push((number, Step::HalfClose)),
            "C*" => self.steps.push((number, Step::Secure(rest == "certificate"))),
            "S:" => self.steps.push((number, Step::Reply(rest.to_owned()))),
            "S!" => self.steps.push((number, Step::Closed)),
            "--" if rest == "beside" => self.steps.push((number, Step::Beside)),
            "--" => self.steps.push((number, Step::Again)),
            "N:" => {
                self.checks_next_hop = true;
                self.heard.extend((rest != "nothing").then(|| rest.to_owned()));
            }
            "N=" => self.content.push(bytes(rest)),
            "N~" => self.absent.push(bytes(rest)),
            _ if line.starts_with('#') => self.head(line),
            _ => assert!(line.trim().is_empty(), "line {number} is not understood: {line}"),
        }
    }

    fn send(&mut self, number: usize, bytes: &[u8]) {
        match self.steps.last_mut() {
            Some((_, Step::Send(before))) => before.extend_from_slice(bytes),
            _ => self.steps.push((number, Step::Send(bytes.to_vec()))),
        }
    }

    fn head(&mut self, line: &str) {
        if let Some(config) = line.strip_prefix("# config: ") {
            self.config.push_str(config);
            self.config.push('\n');
        } else if let Some(rule) = line.strip_prefix("# rules: ") {
            self.rules = format!("{}{rule}\n", self.rules);
        } else if let Some(act) = line.strip_prefix("# next hop: ") {
            let (command, reply) = act.split_once(" = ").expect("COMMAND = REPLY");
            let act = match reply {
                "closes" => Act::Close,
                "silent" => Act::Silence,
                said => Act::Say(keep(format!("{}\r\n", String::from_utf8(bytes(said)).unwrap()))),
            };
            self.acts.push((keep(command.to_owned()), act));
        } else if line == "# next hop speaks LMTP" {
            self.lmtp = true;
        } else if let Some(offers) = line.strip_prefix("# offers:") {
            self.offers = Some(keywords(offers));
        } else if let Some(offers) = line.strip_prefix("# then offers:") {
            self.then_offers = Some(keywords(offers));
        }
    }

    fn configuration(&self, next_hop: SocketAddr) -> String {
        let mut text = self.config.replace("NEXT_HOP", &next_hop.to_string());
        let defaults = [
            "hostname: filter.example.org".into(),
            "listeners: [{address: 127.0.0.1:0}]".into(),
            format!("relay: {{next_hops: [\"{}{next_hop}\"]}}", if self.lmtp { "lmtp:" } else { "" }),
        ];
        for default in defaults {
            let key = default.split(':').next().unwrap();
            if !text.lines().any(|line| line.starts_with(&format!("{key}:"))) {
                text = format!("{text}{default}\n");
            }
        }
        if !self.rules.is_empty() {
            text.push_str("chain: [{include: rules.yaml}]\n");
        }
        text
    }
}

fn keywords(text: &str) -> Vec<&'static str> {
    text.split(',').map(|word| keep(word.trim().to_owned())).filter(|word| !word.is_empty()).collect()
}

/// The scripts of next hops speak in texts that live as long as the tests.
fn keep(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let (letter, after) = rest.split_first().expect("a letter after the backslash");
        rest = after;
        match letter {
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b'0' => out.push(0),
            b'\\' => out.push(b'\\'),
            b'x' => {
                out.push(u8::from_str_radix(std::str::from_utf8(&rest[..2]).unwrap(), 16).unwrap());
                rest = &rest[2..];
            }
            // `\*N:text` is the text N times.
            b'*' => {
                let whole = std::str::from_utf8(rest).unwrap();
                let (count, repeated) = whole.split_once(':').expect("\\*COUNT:TEXT");
                out.extend(bytes(repeated).repeat(count.parse().unwrap()));
                rest = b"";
            }
            other => panic!("\\{} is not known", char::from(*other)),
        }
    }
    out
}

/// The lines of all replies that were heard.
fn play(dialog: &Dialog) -> Result<Vec<String>, String> {
    let script = dialog.offers.as_ref().map_or_else(Script::good, |offers| Script::offering(offers));
    let later = dialog.then_offers.as_ref().map(|offers| Script::offering(offers));
    let with_acts = |script| dialog.acts.iter().fold(script, |script: Script, (line, act)| script.at(line, *act));
    let spoken = |script: Script| if dialog.lmtp { script.lmtp() } else { script };
    let next_hop = NextHop::start([script].into_iter().chain(later).map(with_acts).map(spoken));
    let papers = papers();
    let files = [
        ("rules.yaml", &*dialog.rules),
        ("users.yaml", USERS),
        ("secret", "pencil"),
        ("cert.pem", &papers.certificate),
        ("key.pem", &papers.key),
        ("ca.pem", &papers.authority),
    ];
    let transom = Transom::start_with(&dialog.configuration(next_hop.address), &files);
    let mut client = Client::connect(transom.address());
    let (mut heard, mut before) = (Vec::new(), Vec::new());
    for (number, step) in &dialog.steps {
        let failed = |problem: String| format!("line {number}: {problem}\n{}", transom.log());
        match step {
            // A server that has closed may not take what is sent; what it said is looked at next.
            Step::Send(bytes) => drop((&client.wire).write_all(bytes)),
            Step::HalfClose => client.wire.socket().shutdown(Shutdown::Write).map_err(|error| failed(error.to_string()))?,
            Step::Secure(certificate) => client.wire.connect(*certificate).map_err(|error| failed(error.to_string()))?,
            Step::Again => client = Client::connect(transom.address()),
            Step::Beside => before.push(std::mem::replace(&mut client, Client::connect(transom.address()))),
            Step::Closed => match client.read() {
                None => {}
                Some(reply) => return Err(failed(format!("the connection is open, and the server said {reply}"))),
            },
            Step::Reply(wanted) => match client.reply() {
                Some(reply) if matches(wanted, &reply) => heard.extend(reply.lines().map(str::to_owned)),
                Some(reply) => return Err(failed(format!("wanted {wanted}\n   got {reply}"))),
                None => return Err(failed(format!("wanted {wanted}\n   but the connection was closed"))),
            },
        }
    }
    drop((client, before));
    check_next_hop(dialog, &next_hop).map(|()| heard)
}

fn check_next_hop(dialog: &Dialog, next_hop: &NextHop) -> Result<(), String> {
    let log = next_hop.log();
    let told = |line: &str| !["EHLO", "RSET", "QUIT", "NOOP"].iter().any(|verb| line.starts_with(verb));
    let heard: Vec<&str> = log.lines.iter().map(|(_, line)| line.as_str()).filter(|line| told(line)).collect();
    let as_wanted = heard.len() == dialog.heard.len() && heard.iter().zip(&dialog.heard).all(|(heard, wanted)| matches(wanted, heard));
    if dialog.checks_next_hop && !as_wanted {
        return Err(format!("the next hop was to hear {:#?}, it heard {heard:#?}", dialog.heard));
    }
    let last = log.messages.last().map_or(&[][..], Vec::as_slice);
    let has = |part: &&Vec<u8>| last.windows(part.len()).any(|window| window == &part[..]);
    match dialog.content.iter().find(|part| !has(part)).or_else(|| dialog.absent.iter().find(has)) {
        Some(part) => Err(format!("the next hop got {:?}; what about {:?}?", String::from_utf8_lossy(last), String::from_utf8_lossy(part))),
        None => Ok(()),
    }
}

struct Client {
    wire: Wire,
    unread: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { wire: Wire::new(stream), unread: Vec::new() }
    }

    /// All lines of one reply, joined by `\n`.
    fn reply(&mut self) -> Option<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.read()?;
            let goes_on = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line);
            if !goes_on {
                return Some(lines.join("\n"));
            }
        }
    }

    /// One line; none when the connection has ended.
    fn read(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.unread[..end]).into_owned();
                self.unread.drain(..end + 2);
                return Some(line);
            }
            let mut piece = [0; 4096];
            match (&self.wire).read(&mut piece) {
                Ok(0) => return None,
                Ok(count) => self.unread.extend_from_slice(&piece[..count]),
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    panic!("the server said nothing for {PATIENCE:?}")
                }
                Err(_) => return None,
            }
        }
    }
}

/// `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}
