//! `transom check`: is the configuration, with all its rules, right?

use super::{Exit, Global, complain, say, show};
use crate::config::{self, Config, Options};
use crate::yaml::{Level, Problem, Problems};

const EXAMPLES: &str = "\
Examples:
  transom check
  transom check --config /etc/transom/transom.yaml
  transom check --json | jq '.problems[].title'

Every mistake of the configuration and of all rule files is shown in one run.
Exit status 78 if there is one.";

/// Checks the configuration and all rules, and runs the rules' tests
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The result as JSON, on standard output
    #[arg(long)]
    json: bool,
    /// Do not run the tests of the rule files
    #[arg(long)]
    without_tests: bool,
}

/// Checks, and says what was found.
pub fn run(Args { json, without_tests }: Args, global: &Global) -> Exit {
    let path = match global.path() {
        Ok(path) => path,
        Err(exit) => return exit,
    };
    let loaded = config::load(&path, Options { without_tests, lint: true, ..Options::default() });
    let (problems, exit) = match &loaded {
        Ok(loaded) => (&loaded.warnings, Exit::Success),
        Err(problems) => (problems, Exit::Config),
    };
    if json {
        let told = say(&format!("{:#}\n", report(problems)));
        return if told == Exit::Success { exit } else { told };
    }
    show(problems);
    if let Ok(loaded) = &loaded {
        return say(&format!("{}: right{}\n", path.display(), extent(&loaded.config, without_tests)));
    }
    complain(&problems.summary("not fit to start"));
    exit
}

/// What was looked at: ", with 3 rules in 1 file, 2 tests passed".
fn extent(config: &Config, without_tests: bool) -> String {
    let files = config.rule_files();
    if files.is_empty() {
        return ", without rules".to_owned();
    }
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let (rules, tests) = files.iter().fold((0, 0), |(rules, tests), file| (rules + file.rules.len(), tests + file.tests.len()));
    let tests = tests + config.chain_tests.iter().map(|file| file.tests.len()).sum::<usize>();
    let tested = if without_tests { "tests not run".to_owned() } else { format!("{} passed", counted(tests, "test")) };
    format!(", with {} in {}, {tested}", counted(rules, "rule"), counted(files.len(), "file"))
}

/// Problems for programs: `ok`, and for each its level, title, label and place.
fn report(problems: &Problems) -> serde_json::Value {
    serde_json::json!({ "ok": !problems.any_error(), "problems": problems.iter().map(one).collect::<Vec<_>>() })
}

fn one(problem: &Problem) -> serde_json::Value {
    let level = match problem.level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    let mut value = serde_json::json!({ "level": level, "title": problem.title, "label": problem.label });
    if let Some(fix) = &problem.fix {
        value["fix"] = serde_json::json!({ "line": fix.line, "lines": fix.lines });
    }
    if let Some(span) = &problem.span {
        let (line, column) = span.line_column();
        value["file"] = span.source.name.clone().into();
        value["line"] = line.into();
        value["column"] = column.into();
    }
    value
}
