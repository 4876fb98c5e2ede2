//! How each section is read: every key once, the default where it is absent.

use std::sync::Arc;
use std::time::Duration;

use super::address::{Address, is_host_name};
use super::file::{
    Admin, ChainLimits, Limits, LineEndings, Listener, Log, Malformed, Mime, OriginOf, Protocol, Quarantine, Received, Timeouts,
};
use super::trust::Trust;
use crate::base::log::{Format, Level};
use crate::mail::Inside;
use crate::yaml::manual::{self, Key};
use crate::yaml::{FromNode, Node, Problems, Reported, Settings, Size};

/// What must not be 0: a limit of 0 would refuse everything, a time of 0 would be over at once.
pub(super) trait Zero {
    fn is_zero(&self) -> bool;
}

impl Zero for usize {
    fn is_zero(&self) -> bool {
        *self == 0
    }
}

impl Zero for u32 {
    fn is_zero(&self) -> bool {
        *self == 0
    }
}

impl Zero for u64 {
    fn is_zero(&self) -> bool {
        *self == 0
    }
}

impl Zero for Size {
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl Zero for Duration {
    fn is_zero(&self) -> bool {
        Duration::is_zero(self)
    }
}

struct Positive<T>(T);

impl<T: FromNode + Zero> FromNode for Positive<T> {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Positive<T>, Reported> {
        let value = T::from_node(node, problems)?;
        if value.is_zero() { Err(node.wants("more than 0", problems)) } else { Ok(Positive(value)) }
    }
}

/// The value under `key`, which is more than 0.
pub(super) fn positive<T: FromNode + Zero>(settings: &mut Settings<'_>, key: &'static str, default: T, problems: &mut Problems) -> T {
    settings.or(key, Positive(default), problems).0
}

/// What other servers are told.
#[derive(Debug)]
pub(super) struct HostName(pub(super) String);

impl FromNode for HostName {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<HostName, Reported> {
        let name = node.scalar().filter(|name| is_host_name(name));
        name.map(|name| HostName(name.to_owned())).ok_or_else(|| node.wants("a host name such as filter.example.org", problems))
    }
}

pub(super) const LISTENER: &[Key] = &[
    Key::may("name", "a text", "inbound", "What `client: {listener: inbound}` means in a rule; its address if absent."),
    Key::need("address", manual::ADDRESS, "127.0.0.1:10025", "Where it listens; where others can reach it, `inside` is needed."),
    Key::section("tls", super::tls::LISTENER, "TLS for its clients; nothing but clear text if absent."),
    Key::or(
        "protocol",
        "smtp or lmtp",
        "smtp",
        "`lmtp`: a message is answered for each recipient, and those whom the rules tell apart come in one.",
    ),
    Key::section(
        "auth",
        super::auth::AUTH,
        "Clients can log in; those that have may send to anyone (`origin: auto`). Nobody can if absent.",
    ),
    Key::or(
        "origin",
        "inside, outside or auto",
        "auto",
        "Whether its clients are inside; `auto`: those that have logged in, are on a Unix socket or in `inside.networks` are.",
    ),
    Key::section("trust", super::trust::TRUST, "Peers that are believed when they say who the client is; nobody if absent."),
    Key::or(
        "behind_queue",
        "true or false",
        "false",
        "True after the queue of another server, where a refusal would bounce: what we would refuse after the data is held.",
    ),
    Key::or(
        "line_endings",
        "reject or normalize",
        "reject",
        "What becomes of a message with a lone CR or LF; behind a queue `normalize` is the default.",
    ),
    Key::or(
        "malformed",
        "accept, wrap or reject",
        "accept",
        "What becomes of a message whose header cannot be read; `wrap`: all of it becomes the body of a new one.",
    ),
    Key::or("received", "add or none", "add", "`none` adds no Received field, and still refuses loops."),
    Key::may(
        "route",
        "a name such as partner",
        "example",
        "Where its mail goes, a name of `routes`, unless the recipient's domain or a rule says otherwise; the next hops of `relay` if absent.",
    ),
    Key::list("chain", super::include::ENTRY, "The rules for its mail, instead of those of `chain` below."),
];

impl FromNode for Listener {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Listener, Reported> {
        let mut settings = Settings::of("a listener", node, problems)?;
        let name = settings.take::<String>("name", problems);
        let address = settings.need::<Address>("address", problems);
        let protocol = settings.or("protocol", Protocol::default(), problems);
        // Its users are in a file, whose place the configuration's own tells.
        let _ = settings.node("auth");
        let origin = settings.or("origin", OriginOf::default(), problems);
        let trust = settings.or("trust", Trust::default(), problems);
        let behind_queue = settings.or("behind_queue", false, problems);
        let line_endings = settings.take::<LineEndings>("line_endings", problems);
        let malformed = settings.or("malformed", Malformed::default(), problems);
        let received = settings.or("received", Received::default(), problems);
        let route = settings.take::<String>("route", problems);
        // Its rules are read with those of the common chain, its certificates where files are.
        let (_, _) = (settings.node("chain"), settings.node("tls"));
        settings.finish(problems)?;
        let (address, line_endings) = (address?, line_endings?);
        if let (true, Some(LineEndings::Reject), Some(node)) = (behind_queue, line_endings, node.get("line_endings")) {
            let label = "`behind_queue` holds what would be refused; leave this key out, or write `normalize`";
            return Err(problems.error(&node.span, "a listener that is `behind_queue` normalizes line endings", label));
        }
        let default = if behind_queue { LineEndings::Normalize } else { LineEndings::Reject };
        Ok(Listener {
            name: name?.unwrap_or_else(|| address.to_string()).into(),
            address,
            protocol,
            auth: None,
            origin,
            trust,
            behind_queue,
            line_endings: line_endings.unwrap_or(default),
            malformed,
            received,
            route: route?.map(Arc::from),
            chain: None,
            tls: None,
        })
    }
}

impl FromNode for Protocol {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Protocol, Reported> {
        node.word(&[("smtp", Protocol::Smtp), ("lmtp", Protocol::Lmtp)], problems)
    }
}

impl FromNode for Malformed {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Malformed, Reported> {
        node.word(&[("accept", Malformed::Accept), ("wrap", Malformed::Wrap), ("reject", Malformed::Reject)], problems)
    }
}

impl FromNode for Received {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Received, Reported> {
        node.word(&[("add", Received::Add), ("none", Received::None)], problems)
    }
}

impl FromNode for OriginOf {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<OriginOf, Reported> {
        node.word(&[("inside", OriginOf::Inside), ("outside", OriginOf::Outside), ("auto", OriginOf::Auto)], problems)
    }
}

impl FromNode for LineEndings {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<LineEndings, Reported> {
        node.word(&[("reject", LineEndings::Reject), ("normalize", LineEndings::Normalize)], problems)
    }
}

/// A domain, or with a leading dot its subdomains; in lower case.
pub(super) struct Domain(pub(super) String);

impl FromNode for Domain {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Domain, Reported> {
        let text = node.scalar().unwrap_or_default();
        let name = text.strip_prefix('.').unwrap_or(text);
        let international = !name.is_ascii() && name.split('.').all(|label| !label.is_empty() && !label.contains([' ', '@', '*']));
        if !is_host_name(name) && !international {
            return Err(node.wants("a domain such as example.org, or .example.org for its subdomains", problems));
        }
        Ok(Domain(text.to_lowercase()))
    }
}

pub(super) const INSIDE: &[Key] = &[
    Key::may("domains", "a list of domains", "[example.org, .example.org]", "Where anyone may send to; `.x` is the subdomains of x."),
    Key::may("networks", "a list of networks", "[10.0.0.0/8]", "Whose addresses may send to anyone."),
];

impl FromNode for Inside {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Inside, Reported> {
        let mut settings = Settings::of("`inside`", node, problems)?;
        let domains: Vec<Domain> = settings.or("domains", Vec::new(), problems);
        let networks = settings.or("networks", Vec::new(), problems);
        settings.finish(problems)?;
        Ok(Inside { domains: domains.into_iter().map(|domain| domain.0).collect(), networks })
    }
}

pub(super) const LIMITS: &[Key] = &[
    Key::or("message_size", manual::SIZE, "50MB", "The largest message, as received."),
    Key::or("memory_per_message", manual::SIZE, "1MiB", "What of a message stays in memory; content beyond it lives in a temporary file."),
    Key::or("bytes_in_flight", manual::SIZE, "1GB", "Memory for all messages together."),
    Key::or("temporary_disk", manual::SIZE, "10GB", "Temporary files of all messages together."),
    Key::or("header_size", manual::SIZE, "1MB", "The largest header."),
    Key::or("header_fields", manual::COUNT, "2000", "Fields of one header."),
    Key::section("mime", MIME, "Beyond these the rest of a message is not looked into, which `malformed` and `on_error` see."),
    Key::or("recipients", manual::COUNT, "1000", "Recipients of one message."),
    Key::or("sessions", manual::COUNT, "1000", "Connections of clients at once."),
    Key::or(
        "sessions_per_address",
        manual::COUNT,
        "50",
        "Connections at once of one address, in IPv6 of one /64, which also have their share of those to next hops; loopback, Unix sockets and peers in `trust` have no such limit.",
    ),
    Key::or(
        "messages_per_address",
        manual::COUNT,
        "0",
        "Messages that one address may begin within a minute, counted for the same as `sessions_per_address`, at each MAIL that is accepted; one more hears 451 and keeps its connection. 0 is any number.",
    ),
    Key::or("commands_per_session", manual::COUNT, "10000", "Commands in one connection."),
    Key::or("errors_per_session", manual::COUNT, "20", "Errors in one connection."),
    Key::or(
        "classes",
        manual::COUNT,
        "20",
        "Groups of recipients that the rules tell apart, in one message; where there can be more than one (LMTP).",
    ),
    Key::or("min_data_rate", manual::RATE, "500B/s", "The slowest a client may send a message, over a minute; 0B/s is any."),
    Key::section(
        "chain",
        CHAIN_LIMITS,
        "What the rules may spend on one message; what a limit cuts is an error of the rule (`on_error`), never a shorter look.",
    ),
];

impl FromNode for Limits {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Limits, Reported> {
        let default = Limits::default();
        let mut settings = Settings::of("`limits`", node, problems)?;
        let limits = Limits {
            message_size: positive(&mut settings, "message_size", default.message_size, problems),
            memory_per_message: settings.or("memory_per_message", default.memory_per_message, problems),
            bytes_in_flight: positive(&mut settings, "bytes_in_flight", default.bytes_in_flight, problems),
            temporary_disk: settings.or("temporary_disk", default.temporary_disk, problems),
            header_size: positive(&mut settings, "header_size", default.header_size, problems),
            header_fields: positive(&mut settings, "header_fields", default.header_fields, problems),
            mime: settings.or("mime", default.mime, problems),
            recipients: positive(&mut settings, "recipients", default.recipients, problems),
            sessions: positive(&mut settings, "sessions", default.sessions, problems),
            sessions_per_address: positive(&mut settings, "sessions_per_address", default.sessions_per_address, problems),
            messages_per_address: settings.or("messages_per_address", default.messages_per_address, problems),
            commands_per_session: positive(&mut settings, "commands_per_session", default.commands_per_session, problems),
            errors_per_session: positive(&mut settings, "errors_per_session", default.errors_per_session, problems),
            classes: positive(&mut settings, "classes", default.classes, problems),
            min_data_rate: settings.or("min_data_rate", default.min_data_rate, problems),
            chain: settings.or("chain", default.chain, problems),
        };
        settings.finish(problems)?;
        Ok(limits)
    }
}

const MIME: &[Key] = &[
    Key::or("depth", manual::COUNT, "50", "How many parts may stand inside each other."),
    Key::or("parts", manual::COUNT, "2000", "Parts of one message."),
    Key::or("fields", manual::COUNT, "20000", "Fields in the headers of all parts."),
];

impl FromNode for Mime {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Mime, Reported> {
        let default = Limits::default().mime;
        let mut settings = Settings::of("`mime`", node, problems)?;
        let mime = Mime {
            depth: positive(&mut settings, "depth", default.depth, problems),
            parts: positive(&mut settings, "parts", default.parts, problems),
            fields: positive(&mut settings, "fields", default.fields, problems),
        };
        settings.finish(problems)?;
        Ok(mime)
    }
}

const CHAIN_LIMITS: &[Key] = &[
    Key::or("time", manual::TIME, "10s", "For all rules together."),
    Key::or(
        "decoded",
        manual::SIZE,
        "200MB",
        "Bytes decoded for all rules together; a text that is searched where it stands is not decoded.",
    ),
    Key::or("text", manual::SIZE, "16MB", "One decoded text part."),
    Key::or("pattern_size", manual::SIZE, "1MB", "One compiled pattern."),
    Key::or("list_entries", manual::COUNT, "1000000", "Entries of one list."),
    Key::or("added_recipients", manual::COUNT, "100", "Recipients that rules add."),
];

impl FromNode for ChainLimits {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<ChainLimits, Reported> {
        let default = Limits::default().chain;
        let mut settings = Settings::of("`limits.chain`", node, problems)?;
        let limits = ChainLimits {
            time: positive(&mut settings, "time", default.time, problems),
            decoded: positive(&mut settings, "decoded", default.decoded, problems),
            text: positive(&mut settings, "text", default.text, problems),
            pattern_size: positive(&mut settings, "pattern_size", default.pattern_size, problems),
            list_entries: positive(&mut settings, "list_entries", default.list_entries, problems),
            added_recipients: settings.or("added_recipients", default.added_recipients, problems),
        };
        settings.finish(problems)?;
        Ok(limits)
    }
}

pub(super) const TIMEOUTS: &[Key] = &[
    Key::or("command", manual::TIME, "5m", "Silence of a client."),
    Key::or("next_hop", manual::TIME, "60s", "Each reply of the next hop before the final dot."),
    Key::or("deadline", manual::TIME, "60s", "From the last byte in to the final dot out: rules and waiting."),
    Key::or("after_dot", manual::TIME, "10m", "The next hop's reply to the final dot."),
    Key::or("shutdown", manual::TIME, "30s", "What is under way is finished in this time, then given up."),
];

impl FromNode for Timeouts {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Timeouts, Reported> {
        let default = Timeouts::default();
        let mut settings = Settings::of("`timeouts`", node, problems)?;
        let timeouts = Timeouts {
            command: positive(&mut settings, "command", default.command, problems),
            next_hop: positive(&mut settings, "next_hop", default.next_hop, problems),
            deadline: positive(&mut settings, "deadline", default.deadline, problems),
            after_dot: positive(&mut settings, "after_dot", default.after_dot, problems),
            shutdown: settings.or("shutdown", default.shutdown, problems),
        };
        settings.finish(problems)?;
        Ok(timeouts)
    }
}

pub(super) const STORE: &[Key] = &[
    Key::or(
        "path",
        "a path",
        "store",
        "Where it lies; if absent `$STATE_DIRECTORY` where systemd sets it, else `store` beside the configuration.",
    ),
    Key::section("quarantine", QUARANTINE, "What is held."),
];

/// `store:` as written; where it lies depends on the file's own place.
#[derive(Debug, Default)]
pub(super) struct StoreSection {
    pub(super) path: Option<String>,
    pub(super) quarantine: Quarantine,
}

impl FromNode for StoreSection {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<StoreSection, Reported> {
        let mut settings = Settings::of("`store`", node, problems)?;
        let path = settings.take::<String>("path", problems);
        let quarantine = settings.or("quarantine", Quarantine::default(), problems);
        settings.finish(problems)?;
        Ok(StoreSection { path: path?, quarantine })
    }
}

const QUARANTINE: &[Key] = &[
    Key::or("keep", manual::TIME, "30d", "How long what is held stays; then it is deleted, and that logged."),
    Key::or("size", manual::SIZE, "50GB", "All that is held; when full, mail to be held is answered 452."),
];

impl FromNode for Quarantine {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Quarantine, Reported> {
        let default = Quarantine::default();
        let mut settings = Settings::of("`quarantine`", node, problems)?;
        let quarantine = Quarantine {
            keep: positive(&mut settings, "keep", default.keep, problems),
            size: positive(&mut settings, "size", default.size, problems),
        };
        settings.finish(problems)?;
        Ok(quarantine)
    }
}

pub(super) const ADMIN: &[Key] = &[Key::need(
    "address",
    manual::ADDRESS,
    "unix:admin.sock",
    "Where `/healthz`, `/readyz` and `/metrics` are. They ask for no password: a Unix socket or 127.0.0.1.",
)];

impl FromNode for Admin {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Admin, Reported> {
        let mut settings = Settings::of("`admin`", node, problems)?;
        let address = settings.need::<Address>("address", problems);
        settings.finish(problems)?;
        Ok(Admin { address: address? })
    }
}

pub(super) const LOG: &[Key] = &[
    Key::or("format", "text or json", "text", "How a line is written."),
    Key::or("level", "error, warn, info, debug or trace", "info", "How much is written."),
];

impl FromNode for Log {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Log, Reported> {
        let mut settings = Settings::of("`log`", node, problems)?;
        let log = Log {
            format: settings.or("format", LogFormat::default(), problems).0,
            level: settings.or("level", LogLevel::default(), problems).0,
        };
        settings.finish(problems)?;
        Ok(log)
    }
}

#[derive(Default)]
struct LogFormat(Format);

impl FromNode for LogFormat {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<LogFormat, Reported> {
        node.word(&[("text", Format::Text), ("json", Format::Json)], problems).map(LogFormat)
    }
}

#[derive(Default)]
struct LogLevel(Level);

impl FromNode for LogLevel {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<LogLevel, Reported> {
        node.word(&Level::WORDS, problems).map(LogLevel)
    }
}
