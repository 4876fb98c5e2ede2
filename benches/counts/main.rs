//! Instruction counts: what each layer and a whole message cost, in numbers that a busy machine does not change.
//!
//! `make counts` compares with the table `benches/counts.tsv` and fails over what grew; `make counts-accept` writes it.
//!
//! | file | what |
//! |---|---|
//! | `cases`, `whole` | what is counted |
//! | `samples` | the messages and rules it is counted with |
//! | `counted` | which part of a case counts |
//! | `callgrind` | runs a case under callgrind and reads what it wrote |
//! | `table` | the table, and the comparison with it |
//!
//! This is no gungraun: that compares with what lies under `target/`, not with a table that is checked in, and would be some thirty crates and an installed
//! runner of the same version to do what `callgrind` does here. One process a case, so that no case sees another one's heap.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]
#![allow(clippy::unwrap_used, reason = "what goes wrong here ends the measurement")]

mod callgrind;
mod cases;
mod counted;
mod samples;
mod table;
mod whole;

use std::path::PathBuf;
use std::process::ExitCode;

use table::{Row, Table};

const USAGE: &str = "counts [--accept] [--table FILE] [NAME…]: all cases, or those whose name begins with one of these";

/// What was asked for.
struct Wish {
    accept: bool,
    table: PathBuf,
    names: Vec<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name] = &arguments[..]
        && flag == "--case"
    {
        cases::run(name);
        return ExitCode::SUCCESS;
    }
    match wish(arguments).and_then(|wish| fulfil(&wish)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn wish(arguments: Vec<String>) -> Result<Wish, String> {
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/counts.tsv");
    let mut wish = Wish { accept: false, table: table.into(), names: Vec::new() };
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Cargo says so to every benchmark.
            "--bench" => {}
            "--accept" => wish.accept = true,
            "--table" => wish.table = arguments.next().ok_or(USAGE)?.into(),
            flag if flag.starts_with('-') => return Err(USAGE.to_owned()),
            _ => wish.names.push(argument),
        }
    }
    Ok(wish)
}

/// Measures, tells, and writes the table if that is wanted. Whether nothing grew.
fn fulfil(wish: &Wish) -> Result<bool, String> {
    let head = table::head()?;
    let rows = cases::names().filter(|case| wish.names.is_empty() || wish.names.iter().any(|name| case.starts_with(name)));
    let rows = rows.map(|name| callgrind::count(name).map(|counts| Row { name: name.to_owned(), counts }));
    let now = Table { head, rows: rows.collect::<Result<_, _>>()? };
    let before = Table::read(&wish.table)?;
    let report = now.beside(before.as_ref());
    print!("{}", report.text);
    if let Some(before) = before.as_ref().filter(|_| wish.names.is_empty()) {
        before.without(&now).for_each(|name| println!("{name} stands in the table and is no case any more."));
    }
    if wish.accept {
        let all = if wish.names.is_empty() { now } else { now.and_the_rest_of(before)? };
        all.write(&wish.table)?;
        println!("\n{} is written.", wish.table.display());
        return Ok(true);
    }
    for line in &report.grown {
        println!("GREW: {line}");
    }
    if !report.grown.is_empty() {
        println!("What grew for a reason is accepted with `make counts-accept`; the message of the commit says the reason.");
    }
    Ok(report.grown.is_empty())
}
