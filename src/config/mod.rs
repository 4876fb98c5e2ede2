//! `transom.yaml` → a checked [`Config`]. Nothing starts from one that has an error.

mod file;

use std::path::Path;

pub use file::{
    Address, Balance, ChainLimits, Commit, Config, Connections, Limits, LineEndings, Listener, Log, Mime, NextHop, OriginOf, Quarantine,
    Relay, Store, Timeouts,
};

use crate::yaml::Problems;

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
    let _ = (path, options);
    todo!("config helper")
}
