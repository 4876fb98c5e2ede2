//! `transom quarantine`: what is held, why, and what is to become of it. Works on the store itself, also while the server runs.

mod decide;
mod list;
mod show;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Exit, Global, complain};
use crate::base::disk;
use crate::config::{Config, Options};
use crate::store::desk::{DeskError, State};
use crate::store::{Limits, Store, StoreError};

const EXAMPLES: &str = "\
Examples:
  transom quarantine list
  transom quarantine show MZXW6
  transom quarantine release MZXW6YTBOI
  transom quarantine delete MZXW6YTBOI 5VUYQ3LJNZ
  transom quarantine list --state released --json | jq -r '.[].subject'

The first letters of an id are enough, as long as no other begins with them. The store is
found by the configuration, as `transom serve` finds it, or named with --store.";

/// What is held: list, show, release, delete
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store's directory, instead of the one in the configuration
    #[arg(long, global = true, value_name = "PATH")]
    store: Option<PathBuf>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    List(list::Args),
    Show(show::Args),
    Release(decide::Release),
    Delete(decide::Delete),
}

/// Opens the store and does what was asked.
pub fn run(args: Args, global: &Global) -> Exit {
    let Args { store: named, what } = args;
    let done = match what {
        What::List(list) => open(named.as_deref(), global).and_then(|store| list::run(&list, &store)),
        What::Show(show) => open(named.as_deref(), global).and_then(|store| show::run(&show, &store)),
        What::Delete(delete) => open(named.as_deref(), global).and_then(|store| decide::delete(&delete, &store)),
        // Only sending needs to know more than where the store is.
        What::Release(release) => configuration(global).and_then(|config| {
            let store = open_at(named.as_deref().unwrap_or(&config.store.path), limits(&config))?;
            decide::release(&release, &store, &config)
        }),
    };
    done.unwrap_or_else(|exit| exit)
}

pub(super) fn open(named: Option<&Path>, global: &Global) -> Result<Store, Exit> {
    match named {
        Some(path) => open_at(path, Limits::default()),
        None => configuration(global).and_then(|config| open_at(&config.store.path, limits(&config))),
    }
}

/// The configuration without its rules: what is held must be within reach even when they are wrong.
fn configuration(global: &Global) -> Result<Config, Exit> {
    global.load(Options { without_chain: true, without_tests: true, ..Options::default() })
}

fn limits(config: &Config) -> Limits {
    let quarantine = &config.store.quarantine;
    Limits { keep: quarantine.keep, size: quarantine.size.0 }
}

fn open_at(path: &Path, limits: Limits) -> Result<Store, Exit> {
    let found = disk::size(&path.join("store.db"));
    if found.as_ref().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
        complain(&format!(
            "error: the store in {} is not this user's: run this as the user who runs `transom serve`, or as root",
            path.display()
        ));
        return Err(Exit::NoInput);
    }
    if found.is_err() {
        complain(&format!(
            "error: there is no store in {}: has `transom serve` run with this configuration? else name it with --store",
            path.display()
        ));
        return Err(Exit::NoInput);
    }
    Store::open(path, limits).map_err(|error| failed(&error))
}

pub(super) fn failed(error: &StoreError) -> Exit {
    complain(&format!("error: {error}"));
    match error {
        StoreError::Full(_) => Exit::TempFail,
        StoreError::Unable(_) => Exit::Io,
    }
}

fn refused(error: &DeskError) -> Exit {
    if let DeskError::Store(error) = error {
        return failed(error);
    }
    complain(&format!("error: {error}"));
    match error {
        DeskError::NotFound(_) => Exit::NoInput,
        DeskError::Ambiguous(_) => Exit::Usage,
        DeskError::State { state: State::Pending | State::Releasing, .. } => Exit::TempFail,
        DeskError::State { .. } | DeskError::Store(_) => Exit::Data,
    }
}

/// Text of a stranger for the terminal: nothing in it moves the cursor, changes colours or the direction of writing.
fn plain(text: &str) -> String {
    let dangerous = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if dangerous(c) { '\u{fffd}' } else { c }).collect()
}

/// [`plain`], on one line and of at most `most` characters.
pub(super) fn short(text: &str, most: usize) -> String {
    let text = plain(text).replace(['\n', '\t'], " ");
    if text.chars().count() <= most { text } else { text.chars().take(most.saturating_sub(1)).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_cannot_play_with_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\u{202e}c\r"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}");
        assert_eq!(short("äöüß and more", 6), "äöüß …");
    }
}
