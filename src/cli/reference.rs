//! `transom reference`.

use super::{Exit, Global, complain};

/// The manual of the rule language: every condition and action
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  transom reference")]
pub struct Args {}

/// Runs it.
pub fn run(args: Args, global: &Global) -> Exit {
    let _ = (args, global);
    complain("error: `transom reference` is not part of this build");
    Exit::Unavailable
}
