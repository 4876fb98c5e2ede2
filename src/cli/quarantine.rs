//! `transom quarantine`.

use super::{Exit, Global, complain};

/// What is held: list, show, release, delete
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  transom quarantine")]
pub struct Args {}

/// Runs it.
pub fn run(args: Args, global: &Global) -> Exit {
    let _ = (args, global);
    complain("error: `transom quarantine` is not part of this build");
    Exit::Unavailable
}
