//! `transom test`.

use super::{Exit, Global, complain};

/// Runs the tests that rule files carry
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  transom test")]
pub struct Args {}

/// Runs it.
pub fn run(args: Args, global: &Global) -> Exit {
    let _ = (args, global);
    complain("error: `transom test` is not part of this build");
    Exit::Unavailable
}
