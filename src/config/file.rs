//! The shape of `transom.yaml`, checked: keys as in the manual, one struct a section, nothing optional that has a default.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::address::Address;
use super::auth::Auth;
use super::relay::{Relay, Route};
use super::tls::ListenerTls;
use super::trust::Trust;
use crate::base::log::{Format, Level};
use crate::chain::test::TestFile;
use crate::chain::{self, Chain};
use crate::mail::{Inside, Standing};
use crate::message;
pub use crate::smtp::data::LineEndings;
use crate::yaml::{Rate, Size};

/// Everything the operator decided; only [`load`](super::load) makes one.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from.
    pub file: PathBuf,
    /// Greeting, EHLO, `Received`.
    pub hostname: String,
    /// At least one.
    pub listeners: Vec<Listener>,
    /// None: every listener is on loopback or a Unix socket.
    pub inside: Option<Inside>,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub relay: Relay,
    /// Named ones, in the order of the file.
    pub routes: Vec<Arc<Route>>,
    pub chain: Arc<Chain>,
    /// Tests that run a whole chain.
    pub chain_tests: Vec<Arc<TestFile>>,
    pub store: Store,
    /// None: no health and no metrics.
    pub admin: Option<Admin>,
    pub log: Log,
}

/// Where clients connect.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its address if it was given none.
    pub name: Arc<str>,
    pub address: Address,
    pub protocol: Protocol,
    /// None: nobody can log in.
    pub auth: Option<Arc<Auth>>,
    pub origin: OriginOf,
    pub trust: Trust,
    /// A refusal of ours would make the mail server before us bounce: after the data we hold instead.
    pub behind_queue: bool,
    pub line_endings: LineEndings,
    pub malformed: Malformed,
    pub received: Received,
    /// A name of [`Config::routes`]; none: the next hops of `relay`.
    pub route: Option<Arc<str>>,
    /// Instead of the common one.
    pub chain: Option<Arc<Chain>>,
    /// Nothing but clear text without it.
    pub tls: Option<ListenerTls>,
}

impl Listener {
    /// The same, a path taken relative to `directory`.
    pub(super) fn under(self, directory: &Path) -> Listener {
        Listener { address: self.address.under(directory), ..self }
    }
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Smtp,
    /// RFC 2033.
    Lmtp,
}

/// Whether clients of a listener are inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OriginOf {
    Inside,
    Outside,
    /// By the client: logged in, on a Unix socket or in `inside.networks`.
    #[default]
    Auto,
}

impl OriginOf {
    /// Where its clients stand; none: that goes by the client.
    #[must_use]
    pub fn standing(self) -> Option<Standing> {
        match self {
            OriginOf::Inside => Some(Standing::Inside),
            OriginOf::Outside => Some(Standing::Outside),
            OriginOf::Auto => None,
        }
    }
}

/// What becomes of a message whose header cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Malformed {
    /// It goes on as it is.
    #[default]
    Accept,
    /// All of it becomes the body of a new message.
    Wrap,
    /// 550 5.6.0.
    Reject,
}

/// Whether a message gets a `Received` of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Received {
    #[default]
    Add,
    None,
}

/// `limits:`, on everything a stranger can send.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    pub message_size: Size,
    pub memory_per_message: Size,
    pub bytes_in_flight: Size,
    pub temporary_disk: Size,
    pub header_size: Size,
    pub header_fields: u64,
    pub mime: Mime,
    pub recipients: usize,
    pub sessions: usize,
    pub sessions_per_address: usize,
    /// Messages that one address may begin within a minute; 0 is any number.
    pub messages_per_address: u64,
    pub commands_per_session: u64,
    pub errors_per_session: u64,
    /// Classes of recipients in one message.
    pub classes: usize,
    pub min_data_rate: Rate,
    pub chain: ChainLimits,
}

/// `limits.mime:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mime {
    pub depth: u32,
    pub parts: u32,
    pub fields: u32,
}

/// `limits.chain:`, for one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainLimits {
    pub time: Duration,
    pub decoded: Size,
    /// One decoded text part.
    pub text: Size,
    pub pattern_size: Size,
    /// In one named list.
    pub list_entries: u64,
    pub added_recipients: u64,
}

impl ChainLimits {
    /// As the chain takes them.
    pub(super) fn of_chain(self) -> chain::Limits {
        chain::Limits {
            time: self.time,
            decoded: self.decoded.0,
            pattern_size: self.pattern_size.0,
            list_entries: self.list_entries,
            added_recipients: self.added_recipients,
        }
    }
}

impl Limits {
    /// What a message may be.
    #[must_use]
    pub fn of_message(&self) -> message::Limits {
        message::Limits {
            message_size: self.message_size.0,
            header_size: self.header_size.0,
            header_fields: self.header_fields,
            depth: self.mime.depth,
            parts: self.mime.parts,
            part_fields: self.mime.fields,
            memory: self.memory_per_message.0,
            text: self.chain.text.0,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message_size: Size(50_000_000),
            memory_per_message: Size(1 << 20),
            bytes_in_flight: Size(1_000_000_000),
            temporary_disk: Size(10_000_000_000),
            header_size: Size(1_000_000),
            header_fields: 2000,
            mime: Mime { depth: 50, parts: 2000, fields: 20_000 },
            recipients: 1000,
            sessions: 1000,
            sessions_per_address: 50,
            messages_per_address: 0,
            commands_per_session: 10_000,
            errors_per_session: 20,
            classes: 20,
            min_data_rate: Rate(500),
            chain: ChainLimits {
                time: Duration::from_secs(10),
                decoded: Size(200_000_000),
                text: Size(16_000_000),
                pattern_size: Size(1_000_000),
                list_entries: 1_000_000,
                added_recipients: 100,
            },
        }
    }
}

/// `timeouts:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Silence of a client between commands.
    pub command: Duration,
    /// Each reply of the next hop before the dot.
    pub next_hop: Duration,
    /// Chain and waiting, from the last byte in to the dot out.
    pub deadline: Duration,
    pub after_dot: Duration,
    pub shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            command: Duration::from_mins(5),
            next_hop: Duration::from_mins(1),
            deadline: Duration::from_mins(1),
            after_dot: Duration::from_mins(10),
            shutdown: Duration::from_secs(30),
        }
    }
}

/// `store:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    pub path: PathBuf,
    pub quarantine: Quarantine,
}

/// `store.quarantine:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    pub keep: Duration,
    pub size: Size,
}

impl Default for Quarantine {
    fn default() -> Quarantine {
        Quarantine { keep: Duration::from_hours(30 * 24), size: Size(50_000_000_000) }
    }
}

/// `admin:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    pub address: Address,
}

/// `log:`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub format: Format,
    pub level: Level,
}
