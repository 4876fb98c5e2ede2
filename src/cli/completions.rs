//! `transom completions`: what a shell needs to complete our command line.

use clap_complete::Shell;

use super::{Exit, Global, command, say};

const EXAMPLES: &str = "\
Examples:
  transom completions bash > /usr/share/bash-completion/completions/transom
  transom completions zsh > /usr/share/zsh/site-functions/_transom
  transom completions fish > ~/.config/fish/completions/transom.fish";

/// Prints completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    shell: Shell,
}

/// Prints the script.
pub fn run(Args { shell }: Args, _: &Global) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "transom", &mut script);
    say(&String::from_utf8_lossy(&script))
}
