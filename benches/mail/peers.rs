//! What the load goes through: each a process in a directory of its own, between the source and the sink.
#![allow(clippy::disallowed_methods, reason = "it writes the servers' configurations")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::Server;
use crate::wire;

/// The rules that make the four changes.
pub const CHANGES: &str = "  - name: four changes
    then:
      - header.add: {name: X-Filtered, value: 'yes'}
      - header.remove: {name: {starts_with: X-Remove-}}
      - header.replace: {name: Subject, matches: '^invoice ', with: '[EXT] invoice '}
      - body.replace: {matches: 'SECRET-[0-9]+', with: REDACTED}
";

/// A kind of server.
#[derive(Debug, Clone)]
pub struct Peer {
    pub name: String,
    /// What the table says of it.
    pub about: &'static str,
    /// Whether it makes the four changes.
    pub changes: bool,
    /// Whether its next hop announces CHUNKING (RFC 3030), as Postfix and Exim do.
    pub chunking: bool,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Direct,
    Tcp,
    Floor,
    Postfix,
    Filter,
    Transom {
        rules: String,
        tls: Tls,
    },
    /// A command line of the user's, with LISTEN and SINK in its environment.
    Command(String),
}

/// Where a Transom speaks TLS (STARTTLS, a certificate that nobody verifies).
#[derive(Debug, Clone, Copy, Default)]
pub struct Tls {
    pub listener: bool,
    pub next_hop: bool,
}

/// Programs that are not found by their name alone.
#[derive(Debug, Clone)]
pub struct Programs {
    pub transom: PathBuf,
    /// A Python that has aiosmtpd.
    pub python: PathBuf,
}

/// One that runs.
#[derive(Debug)]
pub struct Running {
    pub peer: Peer,
    pub port: u16,
    /// None where there is nothing between source and sink.
    pub server: Option<Server>,
    directory: Option<TempDir>,
}

/// All that are known by name.
pub fn all() -> Vec<Peer> {
    let peer = |name: &str, about, changes, kind| Peer { name: name.to_owned(), about, changes, chunking: false, kind };
    let plain = Kind::Transom { rules: String::new(), tls: Tls::default() };
    let four = Kind::Transom { rules: CHANGES.to_owned(), tls: Tls::default() };
    vec![
        peer("direct", "nothing between", false, Kind::Direct),
        peer("tcp", "HAProxy, forwards bytes, no SMTP", false, Kind::Tcp),
        peer("floor", "the least an SMTP proxy can cost, changes nothing", false, Kind::Floor),
        peer("postfix", "before-queue proxy, changes nothing", false, Kind::Postfix),
        peer("filter", "hand-written in Python with aiosmtpd, all four changes", true, Kind::Filter),
        peer("transom-plain", "Transom without rules", false, plain.clone()),
        peer("transom", "Transom, all four changes", true, four.clone()),
        Peer { chunking: true, ..peer("transom-plain-chunking", "without rules, the next hop announces CHUNKING", false, plain) },
        Peer { chunking: true, ..peer("transom-chunking", "all four changes, the next hop announces CHUNKING", true, four) },
    ]
}

impl Peer {
    /// Of `NAME=COMMAND`.
    pub fn foreign(text: &str, changes: bool) -> Result<Self, String> {
        let (name, command) = text.split_once('=').ok_or_else(|| format!("`{text}` is not NAME=COMMAND"))?;
        let about = if changes { "all four changes" } else { "changes nothing" };
        Ok(Self { name: name.to_owned(), about, changes, chunking: false, kind: Kind::Command(command.to_owned()) })
    }

    /// Transom with other rules.
    pub fn transom(name: &str, rules: String, changes: bool) -> Self {
        Self { name: name.to_owned(), about: "", changes, chunking: false, kind: Kind::Transom { rules, tls: Tls::default() } }
    }

    /// Transom without rules, with TLS.
    pub fn in_tls(name: &str, tls: Tls) -> Self {
        Self { name: name.to_owned(), about: "", changes: false, chunking: false, kind: Kind::Transom { rules: String::new(), tls } }
    }

    /// Why it cannot run here.
    pub fn missing(&self) -> Option<String> {
        let program = match self.kind {
            Kind::Tcp => "haproxy",
            Kind::Postfix if !rustix::process::geteuid().is_root() => return Some("Postfix wants root".to_owned()),
            Kind::Postfix => "postfix",
            _ => return None,
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).any(|directory| directory.join(program).exists());
        (!found).then(|| format!("{program} is not installed"))
    }

    /// Starts it and waits for its greeting. Only Transom goes to more than the first next hop.
    pub fn start(&self, next_hops: &[u16], programs: &Programs) -> Result<Running, String> {
        let failed = |what: &str, error: std::io::Error| format!("{}: {what}: {error}", self.name);
        if matches!(self.kind, Kind::Direct) {
            return Ok(Running { peer: self.clone(), port: next_hops[0], server: None, directory: None });
        }
        let directory = tempfile::Builder::new().prefix("transom-bench-").tempdir().map_err(|error| failed("a directory", error))?;
        let port = wire::free_port().map_err(|error| failed("a port", error))?;
        let place = Place { directory: directory.path(), port, next_hops };
        let mut command = self.command(&place, programs).map_err(|error| failed("its configuration", error))?;
        let log = File::create(directory.path().join("log")).map_err(|error| failed("its log", error))?;
        let errors = log.try_clone().map_err(|error| failed("its log", error))?;
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = command.spawn().map_err(|error| failed(&format!("{command:?}"), error))?;
        let mut running = Running { peer: self.clone(), port, server: Some(Server::new(child)), directory: Some(directory) };
        let greeted = running.server.as_mut().map_or(Ok(()), |server| server.greets(port));
        greeted.map_err(|trouble| format!("{}: {trouble}\n{}", self.name, running.log()))?;
        Ok(running)
    }

    fn command(&self, place: &Place<'_>, programs: &Programs) -> std::io::Result<Command> {
        Ok(match &self.kind {
            Kind::Direct => Command::new("true"),
            Kind::Tcp => haproxy(place)?,
            Kind::Floor => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["floor", &place.port.to_string(), &place.next_hops[0].to_string()]);
                command
            }
            Kind::Postfix => postfix(place)?,
            Kind::Filter => {
                let mut command = Command::new(&programs.python);
                command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/mail/filter.py"));
                command.args([place.port.to_string(), place.next_hops[0].to_string()]);
                command
            }
            Kind::Transom { rules, tls } => transom(place, rules, *tls, &programs.transom)?,
            Kind::Command(line) => {
                let mut command = Command::new("sh");
                command.args(["-c", line]).env("LISTEN", place.port.to_string()).env("SINK", place.next_hops[0].to_string());
                command
            }
        })
    }
}

impl Running {
    /// The end of what it said.
    pub fn log(&self) -> String {
        let text = self.directory.as_ref().and_then(|directory| fs::read(directory.path().join("log")).ok()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(6)..].join("\n")
    }
}

/// Where a server lives.
struct Place<'a> {
    directory: &'a Path,
    port: u16,
    next_hops: &'a [u16],
}

fn haproxy(place: &Place<'_>) -> std::io::Result<Command> {
    let (port, next_hop) = (place.port, place.next_hops[0]);
    let file = place.directory.join("haproxy.cfg");
    let text = format!(
        "global\n  maxconn 9000\ndefaults\n  mode tcp\n  timeout connect 10s\n  timeout client 10m\n  timeout server 10m\n\
         listen mail\n  bind 127.0.0.1:{port}\n  server next 127.0.0.1:{next_hop}\n"
    );
    fs::write(&file, text)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(file);
    Ok(command)
}

/// A Postfix of our own: the machine's is not touched.
fn postfix(place: &Place<'_>) -> std::io::Result<Command> {
    let directory = place.directory.display();
    for name in ["etc", "spool", "data"] {
        fs::create_dir(place.directory.join(name))?;
    }
    // Its processes run as a user of their own, who has to come here.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(place.directory, open)?;
    Command::new("chown").arg("postfix").arg(place.directory.join("data")).status()?;
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = {directory}/spool\ndata_directory = {directory}/data\n\
         maillog_file = {directory}/mail.log\nmaillog_file_prefixes = {directory}\nmyhostname = postfix.example\nmydestination =\n\
         mynetworks = 127.0.0.0/8\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nsmtpd_relay_restrictions = permit_mynetworks, reject\n\
         smtpd_peername_lookup = no\nsmtpd_tls_security_level = none\nalias_maps =\nalias_database =\nlocal_recipient_maps =\n\
         message_size_limit = 104857600\nmailbox_size_limit = 0\n"
    );
    fs::write(place.directory.join("etc/main.cf"), main)?;
    let master = format!(
        "127.0.0.1:{} inet n - n - 300 smtpd -o smtpd_proxy_filter=127.0.0.1:{}\npickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\n\
         qmgr unix n - n 300 1 qmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\n\
         proxymap unix - - n - - proxymap\nanvil unix - - n - 1 anvil\npostlog unix-dgram n - n - 1 postlogd\n",
        place.port, place.next_hops[0]
    );
    fs::write(place.directory.join("etc/master.cf"), master)?;
    let mut command = Command::new("postfix");
    command.arg("-c").arg(place.directory.join("etc")).arg("start-fg").env("MAIL_CONFIG", place.directory.join("etc"));
    Ok(command)
}

fn transom(place: &Place<'_>, rules: &str, tls: Tls, program: &Path) -> std::io::Result<Command> {
    let next_hops: Vec<_> = place.next_hops.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    let mut text = format!(
        "hostname: transom.example\nlisteners: [{{address: \"127.0.0.1:{}\"{}}}]\n\
         limits: {{message_size: 100MB, sessions: 20000, commands_per_session: 1000000, chain: {{text: 100MB}}}}\n\
         relay: {{next_hops: [{}], balance: spread, connections: {{max: 200, idle: 100}}, tls: [{{mode: {}}}]}}\nstore: {{path: store}}\n",
        place.port,
        if tls.listener { ", tls: {mode: starttls, certificate: cert.pem, key: key.pem, required: true}" } else { "" },
        next_hops.join(", "),
        if tls.next_hop { "required" } else { "never" },
    );
    if tls.listener {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(std::io::Error::other)?;
        fs::write(place.directory.join("cert.pem"), made.cert.pem())?;
        fs::write(place.directory.join("key.pem"), made.signing_key.serialize_pem())?;
    }
    if !rules.is_empty() {
        fs::write(place.directory.join("rules.yaml"), format!("rules:\n{rules}"))?;
        let _ = writeln!(text, "chain: [{{include: rules.yaml}}]");
    }
    let file = place.directory.join("transom.yaml");
    fs::write(&file, text)?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--config").arg(file);
    Ok(command)
}
