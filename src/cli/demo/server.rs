//! `transom serve` as a process of the demo: its configuration, its log, its store.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::Failure;
use crate::base::disk;
use crate::cli::Exit;
use crate::store::{Limits, Store};

const PATIENCE: Duration = Duration::from_mins(1);

/// In the order they are configured, which is the order in which they are announced.
const LISTENERS: [&str; 2] = ["inbound", "canonical"];

/// The running server; stopped when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: Receiver<Value>,
    addresses: HashMap<&'static str, SocketAddr>,
    store: Store,
    /// The hold that was seen last.
    seen: Mutex<String>,
}

impl Server {
    /// Writes a configuration into `directory` and starts.
    pub fn start(directory: &Path, rules: &Path, next_hop: SocketAddr) -> Result<Server, Failure> {
        let io = |error: std::io::Error| Failure(Exit::Io, format!("{}: {error}", directory.display()));
        let rules = std::path::absolute(rules).map_err(io)?;
        disk::create_dir_all(directory).map_err(io)?;
        let file = directory.join("transom.yaml");
        disk::write(&file, configuration(&rules, next_hop).as_bytes()).map_err(io)?;
        let program = std::env::current_exe().map_err(io)?;
        let mut child = Command::new(program)
            .arg("serve")
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io)?;
        let log = follow(child.stderr.take().expect("it is piped"));
        let mut addresses = HashMap::new();
        for name in LISTENERS {
            let address = wait(&log, listening).inspect_err(|_| stop(&mut child))?;
            addresses.insert(name, address);
        }
        let limits = Limits { keep: Duration::MAX, size: u64::MAX };
        let store = Store::open(&directory.join("store"), limits).map_err(|error| {
            stop(&mut child);
            Failure(Exit::Io, format!("the store cannot be opened: {error}"))
        })?;
        Ok(Server { child, log, addresses, store, seen: Mutex::default() })
    }

    /// Where a listener listens; one that is not known is the first.
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.addresses.get(listener).copied().unwrap_or_else(|| self.addresses[LISTENERS[0]])
    }

    /// Its store, opened beside it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whether this hold was not asked about before.
    pub fn is_new(&self, hold: &str) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let new = *seen != hold;
        hold.clone_into(&mut seen);
        new
    }

    /// The rules that fired, from the next summary line of its log.
    pub fn fired(&self) -> Result<Vec<String>, Failure> {
        wait(&self.log, |line| line.get("outcome").map(|_| names(line.get("fired"))))
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(mut self) {
        stop(&mut self.child);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

fn stop(child: &mut Child) {
    // It may have ended by itself; then there is nothing left to stop.
    if matches!(child.try_wait(), Ok(None)) {
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::TERM);
        let _ = child.wait();
    }
}

fn configuration(rules: &Path, next_hop: SocketAddr) -> String {
    let listeners = LISTENERS.map(|name| format!("  - {{name: {name}, address: 127.0.0.1:0}}\n")).concat();
    // A text in JSON is one in YAML, whatever the path holds.
    let include = Value::String(format!("{}/*.yaml", rules.display()));
    format!(
        "# Made by `transom demo`.\nhostname: demo.example\nlisteners:\n{listeners}relay: {{next_hops: [{next_hop}]}}\n\
         chain: [{{include: {include}}}]\nstore: {{path: store}}\nlog: {{format: json}}\n"
    )
}

/// The lines of the log as they come; what is no log line is an error of the server's and shown.
fn follow(stderr: ChildStderr) -> Receiver<Value> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(value) => {
                    if sender.send(value).is_err() {
                        return;
                    }
                }
                Err(_) => crate::cli::complain(&line),
            }
        }
    });
    receiver
}

fn wait<T>(log: &Receiver<Value>, want: impl Fn(&Value) -> Option<T>) -> Result<T, Failure> {
    loop {
        match log.recv_timeout(PATIENCE) {
            Ok(line) => {
                if let Some(found) = want(&line) {
                    return Ok(found);
                }
            }
            Err(RecvTimeoutError::Timeout) => return Err(Failure(Exit::Unavailable, "the server says nothing more".into())),
            Err(RecvTimeoutError::Disconnected) => return Err(Failure(Exit::Unavailable, "the server has stopped".into())),
        }
    }
}

/// The address in a line that says where it listens.
fn listening(line: &Value) -> Option<SocketAddr> {
    line.get("message")?.as_str()?.strip_prefix("listening on ")?.split(' ').next()?.parse().ok()
}

/// A list of names, or names with commas between them.
fn names(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(names)) if !names.is_empty() => names.split(", ").map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
