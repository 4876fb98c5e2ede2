//! `transom demo`.

use super::{Exit, Global, complain};

/// Sends sample messages through the rules and shows what became of each
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  transom demo")]
pub struct Args {}

/// Runs it.
pub fn run(args: Args, global: &Global) -> Exit {
    let _ = (args, global);
    complain("error: `transom demo` is not part of this build");
    Exit::Unavailable
}
