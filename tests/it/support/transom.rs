//! The real `transom serve`, as a process in a directory of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use super::PATIENCE;
use super::client::Client;

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Transom {
    directory: Arc<TempDir>,
    child: Child,
    address: SocketAddr,
    log: Arc<Log>,
}

#[derive(Debug, Default)]
struct Log {
    /// What it wrote to standard error, and whether that has ended.
    text: Mutex<(String, bool)>,
    changed: Condvar,
}

/// The start of a configuration: one listener on a port of the system's choosing, this next hop. More keys may follow it.
pub fn basics(next_hop: SocketAddr) -> String {
    format!("hostname: filter.example.org\nlisteners: [{{address: 127.0.0.1:0}}]\nrelay: {{next_hops: [\"{next_hop}\"]}}\n")
}

impl Transom {
    /// Starts with [`basics`] and `more` (YAML, may be empty).
    pub fn start(next_hop: SocketAddr, more: &str) -> Transom {
        Transom::start_with(&format!("{}{more}", basics(next_hop)), &[])
    }

    /// Starts with this configuration, beside these further files (rule files, say).
    pub fn start_with(configuration: &str, files: &[(&str, &str)]) -> Transom {
        Transom::start_in(laid_out(configuration, files))
    }

    /// The same, for [`Transom::disk_takes`].
    pub fn start_limitable(configuration: &str, files: &[(&str, &str)]) -> Transom {
        let directory = laid_out(configuration, files);
        // Otherwise the first write over the limit ends it with a signal, where a full disk gives an error.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" serve", env!("CARGO_BIN_EXE_transom")]);
        Transom::spawn(at_home(shell, directory.path()), directory)
    }

    /// Starts as a service manager does: with this socket, bound and called so, and what it says in the environment.
    pub fn start_as_service(configuration: &str, socket: Option<(&str, OwnedFd)>, environment: &[(&str, &str)]) -> Transom {
        let directory = laid_out(configuration, &[]);
        Transom::spawn(service(directory.path(), socket, environment), directory)
    }

    /// Starts with what lies in `directory`; so a server that was killed can be started again.
    pub fn start_in(directory: Arc<TempDir>) -> Transom {
        let mut command = transom(directory.path());
        command.arg("serve");
        Transom::spawn(command, directory)
    }

    /// Starts this command line of it.
    pub fn spawn(mut command: Command, directory: Arc<TempDir>) -> Transom {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let (stderr, writer) = (child.stderr.take().unwrap(), Arc::clone(&log));
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let Ok(line) = line else { break };
                writer.text.lock().unwrap().0.push_str(&(line + "\n"));
                writer.changed.notify_all();
            }
            writer.text.lock().unwrap().1 = true;
            writer.changed.notify_all();
        });
        let address = log.listener(0);
        Transom { directory, child, address, log }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its listener of that number is, counted from 0.
    pub fn listener(&self, number: usize) -> SocketAddr {
        self.log.listener(number)
    }

    /// A client that has read the greeting.
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its directory: `transom.yaml`, and the store under `store`.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The directory, to be kept beyond this process.
    pub fn keep_directory(&self) -> Arc<TempDir> {
        Arc::clone(&self.directory)
    }

    /// The first line of the log with `text` in it, waiting until there is one.
    pub fn wait_for_log(&self, text: &str) -> String {
        self.log.wait_for(text)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.text.lock().unwrap().0.clone()
    }

    /// Another subcommand with the same configuration.
    pub fn command(&self) -> Command {
        transom(self.directory.path())
    }

    /// From now on its files may have so many bytes; all it wants if none is given.
    pub fn disk_takes(&self, bytes: Option<u64>) {
        let limit = rustix::process::Rlimit { current: bytes, maximum: None };
        rustix::process::prlimit(Some(rustix::process::Pid::from_child(&self.child)), rustix::process::Resource::Fsize, limit).unwrap();
    }

    /// Has it read this configuration beside these files; what it logged until it had decided.
    pub fn reload(&self, configuration: &str, files: &[(&str, &str)]) -> String {
        write_out(self.directory(), configuration, files);
        self.hang_up()
    }

    /// The same with what lies there.
    pub fn hang_up(&self) -> String {
        let before = self.log().len();
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::HUP).unwrap();
        self.log.wait_for_after(before, "reloaded");
        self.log().split_off(before)
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and its exit status.
    pub fn terminate(mut self) -> ExitStatus {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Transom {
    fn drop(&mut self) {
        // Both fail when it has ended already, as it should be after `kill` and `terminate`.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the log of the server on {}:\n{}", self.address, self.log());
        }
    }
}

/// The binary under test, in `directory`, without what the environment says about it.
pub fn transom(directory: &Path) -> Command {
    at_home(Command::new(env!("CARGO_BIN_EXE_transom")), directory)
}

/// What [`Transom::start_as_service`] starts. A shell puts the socket where it belongs, and knows the number that the process will have.
pub fn service(directory: &Path, socket: Option<(&str, OwnedFd)>, environment: &[(&str, &str)]) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "exec 3<&0 </dev/null; if test \"$LISTEN_FDNAMES\"; then export LISTEN_PID=$$ LISTEN_FDS=1; fi; exec \"$0\" serve"]);
    shell.arg(env!("CARGO_BIN_EXE_transom"));
    let mut shell = at_home(shell, directory);
    if let Some((name, socket)) = socket {
        shell.env("LISTEN_FDNAMES", name).stdin(Stdio::from(socket));
    }
    shell.envs(environment.iter().copied());
    shell
}

fn laid_out(configuration: &str, files: &[(&str, &str)]) -> Arc<TempDir> {
    let directory = Arc::new(TempDir::new().unwrap());
    write_out(directory.path(), configuration, files);
    directory
}

fn write_out(directory: &Path, configuration: &str, files: &[(&str, &str)]) {
    std::fs::write(directory.join("transom.yaml"), configuration).unwrap();
    for (name, text) in files {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

fn at_home(mut command: Command, directory: &Path) -> Command {
    command.current_dir(directory).stdin(Stdio::null());
    command.env_remove("TRANSOM_CONFIG").env_remove("STATE_DIRECTORY").env_remove("RUST_LOG").env("NO_COLOR", "1");
    command
}

impl Log {
    fn wait_for(&self, text: &str) -> String {
        self.wait(0, 0, text)
    }

    fn wait_for_after(&self, before: usize, text: &str) -> String {
        self.wait(before, 0, text)
    }

    fn listener(&self, number: usize) -> SocketAddr {
        let line = self.wait(0, number, "listening on ");
        let rest = line.split_once("listening on ").unwrap().1;
        rest.split(|c: char| c.is_whitespace() || c == '"').next().unwrap().parse().expect("an address after `listening on`")
    }

    /// The line with `text` that comes after so many bytes and `others` such lines.
    fn wait(&self, before: usize, others: usize, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let mut guard = self.text.lock().unwrap();
        loop {
            if let Some(line) = guard.0[before..].lines().filter(|line| line.contains(text)).nth(others) {
                return line.to_owned();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!guard.1 && !left.is_zero(), "no line with `{text}` in:\n{}", guard.0);
            guard = self.changed.wait_timeout(guard, left).unwrap().0;
        }
    }
}
