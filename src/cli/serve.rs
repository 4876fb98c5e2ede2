//! `transom serve`.

use super::{Exit, Global, complain};

/// Takes mail in, filters it and relays it, until SIGTERM
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  transom serve")]
pub struct Args {}

/// Runs it.
pub fn run(args: Args, global: &Global) -> Exit {
    let _ = (args, global);
    complain("error: `transom serve` is not part of this build");
    Exit::Unavailable
}
