//! `transom.yaml` → a checked [`Config`]. Nothing starts from one that has an error.
//!
//! `file` is the shape and the defaults, `section` reads each section, `include` finds the rule files, `check` asks what no section can know alone.

mod address;
mod check;
mod file;
mod include;
mod section;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use address::{Address, NextHop};
pub use file::{
    Balance, ChainLimits, Commit, Config, Connections, Limits, LineEndings, Listener, Log, Mime, OriginOf, Quarantine, Relay, Store,
    Timeouts,
};

use crate::base::{disk, machine};
use crate::chain::rule::Shared;
use crate::chain::{self, Chain};
use crate::mail::Inside;
use crate::yaml::{Node, Problems, Reported, Settings, Source, parse};
use section::StoreSection;

/// How a configuration is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The tests in the rule files are not run.
    pub without_tests: bool,
    /// No rule is loaded: for an emergency.
    pub without_chain: bool,
}

/// A configuration that is right, and what is odd about it.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Problems,
}

/// Reads the file at `path` and all rule files it includes.
///
/// # Errors
/// All problems of all files, at once.
pub fn load(path: &Path, options: Options) -> Result<Loaded, Problems> {
    let mut problems = Problems::default();
    let text = match disk::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.missing(format!("{} cannot be read: {}", path.display(), include::cause(&error)), "");
            return Err(problems);
        }
    };
    let source = Source::new(path.display().to_string(), text);
    let config = parse(&source, &mut problems).and_then(|node| read(path, &node, options, &mut problems).ok());
    match config {
        Some(config) if !problems.any_error() => Ok(Loaded { config, warnings: problems }),
        _ => {
            problems.sort();
            Err(problems)
        }
    }
}

/// Reads every section; what is wrong with one hides nothing of the others.
fn read(path: &Path, node: &Node, options: Options, problems: &mut Problems) -> Result<Config, Reported> {
    let base = path.parent().unwrap_or(Path::new(""));
    let mut settings = Settings::of("the configuration", node, problems)?;
    let hostname = settings.take::<section::HostName>("hostname", problems);
    let listeners = settings.need::<Vec<Listener>>("listeners", problems);
    let inside = settings.take::<Inside>("inside", problems);
    let limits = settings.or("limits", Limits::default(), problems);
    let timeouts = settings.or("timeouts", Timeouts::default(), problems);
    let relay = settings.need::<Relay>("relay", problems);
    let conditions = settings.node("conditions");
    let chain_entries = settings.node("chain");
    let store = settings.or("store", StoreSection::default(), problems);
    let log = settings.or("log", Log::default(), problems);
    let finished = settings.finish(problems);

    check::listeners(node, problems);
    check::inside(node, problems);
    let shared_inside = Arc::new(inside.clone().ok().flatten().unwrap_or_default());
    let entries = (!options.without_chain).then_some((conditions, chain_entries));
    let chain = rules(entries, base, limits.chain, shared_inside, problems);
    if !options.without_tests && !problems.any_error() {
        // Rules that do not do what they promise are not started.
        chain::test::check(&chain, problems);
    }
    finished?;
    let relay = relay?;
    Ok(Config {
        file: path.to_owned(),
        hostname: host_name(node, hostname?, problems)?,
        listeners: listeners?.into_iter().map(|listener| listener.under(base)).collect(),
        inside: inside?,
        limits,
        timeouts,
        relay: Relay { next_hops: relay.next_hops.into_iter().map(|hop| hop.under(base)).collect(), ..relay },
        chain: Arc::new(chain),
        store: Store { path: store_path(store.path, base), quarantine: store.quarantine },
        log,
    })
}

/// The rules, if they are wanted: `conditions` and `chain` of the configuration.
fn rules(
    entries: Option<(Option<&Node>, Option<&Node>)>,
    base: &Path,
    limits: ChainLimits,
    inside: Arc<Inside>,
    problems: &mut Problems,
) -> Chain {
    let mut shared = Shared { limits: limits.of_chain(), inside, ..Shared::default() };
    let (conditions, chain) = entries.unwrap_or_default();
    if let Some(node) = conditions {
        shared.conditions = shared.named(node, problems);
    }
    let files = chain.map(|chain| include::rule_files(chain, base, &mut shared, problems)).unwrap_or_default();
    Chain::build(files, &shared, problems)
}

fn host_name(node: &Node, given: Option<section::HostName>, problems: &mut Problems) -> Result<String, Reported> {
    match given {
        Some(name) => Ok(name.0),
        None => machine::host_name().filter(|name| address::is_host_name(name)).ok_or_else(|| {
            let start = node.span.source.span(node.span.start, node.span.start);
            problems.error(&start, "the machine has no name that can be said to other servers", "set `hostname:`")
        }),
    }
}

/// Where the store lies: as given, else where systemd says, else `store` beside the configuration.
fn store_path(given: Option<String>, base: &Path) -> PathBuf {
    match given {
        Some(path) => base.join(path),
        None => machine::state_directory().unwrap_or_else(|| base.join("store")),
    }
}
