//! The command line: one file a subcommand, each with its `Args` and `run`.

mod check;
mod completions;
mod demo;
mod exit;
mod explain;
mod man;
mod quarantine;
mod reference;
mod rules;
mod schema;
mod serve;
mod test;
mod user;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};

pub use exit::Exit;

use crate::config::{self, Config, Options};
use crate::yaml::Problems;

const EXAMPLES: &str = "\
Examples:
  transom check                        is transom.yaml, with all its rules, right?
  transom serve                        filter mail
  transom test rules/*.yaml            run the tests of rule files
  transom explain message.eml          what would the rules do to this message, and why?
  transom quarantine list              what is held
  transom user add --users FILE anna   let anna log in

Exit status: 0 done; 1 tests failed; 64 wrong usage; 65 wrong data; 66 no such file;
69 unavailable; 74 input or output failed; 75 not now, try again; 78 wrong configuration.";

/// A content filter between mail servers: takes mail in over SMTP, runs it through rules written in YAML, relays it to the next server.
#[derive(Debug, Parser)]
#[command(name = "transom", version, after_help = EXAMPLES, disable_help_subcommand = true, max_term_width = 120)]
struct Line {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every subcommand takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Global {
    /// The configuration file; default: ./transom.yaml, then /etc/transom/transom.yaml
    #[arg(long, short, global = true, env = "TRANSOM_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Check(check::Args),
    Test(test::Args),
    Explain(explain::Args),
    Reference(reference::Args),
    Schema(schema::Args),
    Rules(rules::Args),
    Quarantine(quarantine::Args),
    User(user::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Runs a command line, program name first.
pub fn run(line: impl IntoIterator<Item = OsString>) -> Exit {
    let line = match Line::try_parse_from(line) {
        Ok(line) => line,
        Err(error) => {
            let error = with_tip(error);
            let wrong = error.use_stderr();
            // Nobody reads a closed terminal; the status still says it.
            let _ = error.print();
            return if wrong { Exit::Usage } else { Exit::Success };
        }
    };
    let global = &line.global;
    match line.command {
        Command::Serve(args) => serve::run(args, global),
        Command::Check(args) => check::run(args, global),
        Command::Test(args) => test::run(args, global),
        Command::Explain(args) => explain::run(args, global),
        Command::Reference(args) => reference::run(args, global),
        Command::Schema(args) => schema::run(args, global),
        Command::Rules(args) => rules::run(&args, global),
        Command::Quarantine(args) => quarantine::run(args, global),
        Command::User(args) => user::run(args, global),
        Command::Demo(args) => demo::run(args, global),
        Command::Completions(args) => completions::run(args, global),
        Command::Man(args) => man::run(args, global),
    }
}

/// `transom check transom.yaml`: says what was meant.
fn with_tip(mut error: clap::Error) -> clap::Error {
    let is_yaml = |name: &str| [".yaml", ".yml"].iter().any(|end| name.ends_with(end));
    let named = matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(name)) if is_yaml(name));
    if named && error.kind() == ErrorKind::UnknownArgument {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec!["the configuration is named with `--config FILE`".into()]));
    }
    error
}

/// The whole command line as clap knows it, for completions and manual pages.
fn command() -> clap::Command {
    Line::command()
}

impl Global {
    /// Loads the configuration, and shows on standard error what is wrong or odd about it.
    ///
    /// # Errors
    /// The exit status, 78: what is wrong has been shown.
    pub fn load(&self, options: Options) -> Result<Config, Exit> {
        let path = self.path()?;
        match config::load(&path, options) {
            Ok(loaded) => {
                show(&loaded.warnings);
                Ok(loaded.config)
            }
            Err(problems) => {
                show(&problems);
                complain(&problems.summary("nothing was started"));
                Err(Exit::Config)
            }
        }
    }

    /// The configuration file.
    ///
    /// # Errors
    /// The exit status, if none was named and none is at the usual places.
    pub fn path(&self) -> Result<PathBuf, Exit> {
        if let Some(path) = &self.config {
            return Ok(path.clone());
        }
        let found = ["transom.yaml", "/etc/transom/transom.yaml"].map(PathBuf::from).into_iter().find(|path| path.exists());
        found.ok_or_else(|| {
            complain("error: no configuration: neither ./transom.yaml nor /etc/transom/transom.yaml is there; name one with --config");
            Exit::Config
        })
    }
}

/// Draws problems on standard error.
pub fn show(problems: &Problems) {
    let mut stream = anstream::stderr().lock();
    let color = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    let _ = stream.write_all(problems.render(color).as_bytes());
}

/// A line on standard error.
pub fn complain(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Text on standard output, colours taken out where they would not be seen. A reader that went away (`| head`) is no failure.
pub fn say(text: &str) -> Exit {
    let mut stream = anstream::stdout().lock();
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            complain(&format!("error: cannot write to standard output: {error}"));
            Exit::Io
        }
        _ => Exit::Success,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_is_no_option_is_told_how_to_name_it() {
        let told = |line: &[&str]| with_tip(Line::try_parse_from(line).unwrap_err()).to_string();
        assert!(told(&["transom", "check", "transom.yaml"]).contains("tip: the configuration is named with `--config FILE`"));
        assert!(!told(&["transom", "check", "--jsno"]).contains("--config FILE`"));
    }
}
