//! `transom explain`.

use super::{Exit, Global, complain};

/// Shows what the rules would do to a message, and why
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  transom explain")]
pub struct Args {}

/// Runs it.
pub fn run(args: Args, global: &Global) -> Exit {
    let _ = (args, global);
    complain("error: `transom explain` is not part of this build");
    Exit::Unavailable
}
