//! `transom test`.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anstyle::{AnsiColor, Style};

use super::{Exit, Global, complain, say, show};
use crate::base::disk;
use crate::chain::Chain;
use crate::chain::link::Link;
use crate::chain::rule::RuleFile;
use crate::chain::test::{self, Report};
use crate::config::{Config, Options};
use crate::yaml::Problems;

const EXAMPLES: &str = "\
Examples:
  transom test                          every rule file of the configuration, and its chain_tests
  transom test rules/*.yaml             these files, whether or not the configuration names them
  transom test --update rules/a.yaml    write what came out into the files that `same_as` names

Exit status: 0 all passed; 1 some failed; 65 a rule file is wrong; 66 no such file;
78 the configuration is wrong.";

/// Runs the tests that rule files carry
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Rule files; without any: those of the configuration
    files: Vec<PathBuf>,
    /// Write what came out into the files that `same_as` names
    #[arg(long)]
    update: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(args: Args, global: &Global) -> Exit {
    let Args { files, update: write, json: as_json } = args;
    let suite = match Suite::of(&files, global) {
        Ok(suite) => suite,
        Err(exit) => return exit,
    };
    let mut files = suite.reports();
    if write {
        match update(&files) {
            Ok(written) => written.iter().for_each(|file| complain(&format!("written: {}", file.display()))),
            Err(error) => {
                complain(&format!("error: {error}"));
                return Exit::Io;
            }
        }
        files = suite.reports();
    }
    let failed = files.iter().flat_map(|(_, reports)| reports).any(|report| !report.failures.is_empty());
    let told = say(&if as_json { json(&files) } else { text(&files) });
    match (told, failed) {
        (Exit::Success, true) => Exit::Failed,
        (told, _) => told,
    }
}

/// The rules to work with: the named files, with the conditions of the configuration if there is one; or the configuration's.
///
/// # Errors
/// The exit status; what is wrong has been shown.
pub(super) fn chain(files: &[PathBuf], global: &Global) -> Result<Arc<Chain>, Exit> {
    let options = Options { without_tests: true, ..Options::default() };
    if files.is_empty() {
        return Ok(global.load(options)?.chain);
    }
    if let Some(missing) = files.iter().find(|file| !file.exists()) {
        complain(&format!("error: no such file: {}", missing.display()));
        return Err(Exit::NoInput);
    }
    let configured = global.config.is_some() || Path::new("transom.yaml").exists();
    let mut shared = if configured { global.load(options)?.chain.shared() } else { Chain::default().shared() };
    let mut problems = Problems::default();
    let read: Vec<_> = files.iter().filter_map(|file| RuleFile::read(file, &mut shared, &mut problems)).collect();
    let chain = Chain::build(vec![Link::of(read)], &shared, &mut problems);
    show(&problems);
    if problems.any_error() {
        complain(&problems.summary("no test was run"));
        return Err(Exit::Data);
    }
    Ok(Arc::new(chain))
}

type Reports = Vec<(PathBuf, Vec<Report>)>;

/// What there is to test.
enum Suite {
    /// Rule files, whether or not a configuration names them.
    Files(Arc<Chain>),
    /// All rule files of a configuration, and its whole chains.
    All(Box<Config>),
}

impl Suite {
    fn of(files: &[PathBuf], global: &Global) -> Result<Suite, Exit> {
        if files.is_empty() {
            let options = Options { without_tests: true, ..Options::default() };
            return global.load(options).map(|config| Suite::All(Box::new(config)));
        }
        chain(files, global).map(Suite::Files)
    }

    fn reports(&self) -> Reports {
        let files = |files: &[Arc<RuleFile>], chain: &Chain| -> Reports {
            files.iter().map(|file| (file.path.clone(), test::run(file, chain.limits(), chain.inside()))).collect()
        };
        match self {
            Suite::Files(chain) => files(chain.files(), chain),
            Suite::All(config) => {
                let mut reports = files(&config.rule_files(), &config.chain);
                let seat = |listener: Option<&str>| config.seat(listener);
                reports.extend(config.chain_tests.iter().map(|file| (file.path.clone(), test::run_whole(file, &seat))));
                reports
            }
        }
    }
}

fn update(files: &Reports) -> io::Result<Vec<&Path>> {
    let mut written = Vec::new();
    for (file, bytes) in files.iter().flat_map(|(_, reports)| reports).flat_map(|report| &report.updates) {
        let known = disk::read(file).ok();
        if known.is_some_and(|known| test::normalized(&known) == *bytes) {
            continue;
        }
        if let Some(directory) = file.parent() {
            disk::create_dir_all(directory)?;
        }
        disk::write(file, bytes)?;
        written.push(file.as_path());
    }
    Ok(written)
}

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const DIM: Style = Style::new().dimmed();

fn text(files: &Reports) -> String {
    let mut out = String::new();
    let (mut passed, mut failed) = (0, 0);
    for (file, reports) in files {
        let _ = writeln!(out, "{}", file.display());
        if reports.is_empty() {
            let _ = writeln!(out, "  {DIM}no tests{DIM:#}");
        }
        for report in reports {
            if report.failures.is_empty() {
                passed += 1;
                let _ = writeln!(out, "  {GOOD}✓{GOOD:#} {}", report.test);
            } else {
                failed += 1;
                let _ = writeln!(out, "  {BAD}✗ {}{BAD:#}  {DIM}{}{DIM:#}", report.test, report.place);
                report.failures.iter().for_each(|failure| tell(failure, &mut out));
            }
        }
    }
    let style = if failed > 0 { BAD } else { GOOD };
    let _ = writeln!(out, "{style}{passed} passed, {failed} failed{style:#}");
    out
}

fn tell(failure: &test::Failure, out: &mut String) {
    let _ = writeln!(out, "      {}", failure.what);
    for line in failure.difference.iter().flat_map(|difference| difference.lines()) {
        let style = match line.as_bytes().first() {
            Some(b'+') => GOOD,
            Some(b'-') => BAD,
            _ => DIM,
        };
        let _ = writeln!(out, "        {style}{line}{style:#}");
    }
}

fn json(files: &Reports) -> String {
    let one = |report: &Report| {
        let failures: Vec<_> =
            report.failures.iter().map(|failure| serde_json::json!({ "what": failure.what, "difference": failure.difference })).collect();
        serde_json::json!({ "name": report.test, "place": report.place, "passed": failures.is_empty(), "failures": failures })
    };
    let all: Vec<_> = files
        .iter()
        .map(|(file, reports)| serde_json::json!({ "file": file.display().to_string(), "tests": reports.iter().map(one).collect::<Vec<_>>() }))
        .collect();
    let ok = files.iter().flat_map(|(_, reports)| reports).all(|report| report.failures.is_empty());
    format!("{:#}\n", serde_json::json!({ "ok": ok, "files": all }))
}
