//! The table of counts, and the comparison with it.

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::process::Command;

use transom::base::disk;

/// By how much of itself a count may grow.
const TOLERANCE: f64 = 0.03;
/// Of less than this a tolerance says nothing: an allocation in every other message, an instruction.
const LEAST: f64 = 0.5;

/// Of one run of a case.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    pub instructions: f64,
    pub allocations: f64,
}

pub struct Row {
    pub name: String,
    pub counts: Counts,
}

/// See the module.
pub struct Table {
    /// What the counts depend on, beside the source.
    pub head: Vec<String>,
    pub rows: Vec<Row>,
}

/// What a comparison came to.
pub struct Report {
    pub text: String,
    /// A line for each count that grew.
    pub grown: Vec<String>,
}

/// What counts on this machine, with this build, depend on.
///
/// # Errors
/// A tool cannot be asked.
pub fn head() -> Result<Vec<String>, String> {
    let ask = |tool: &str, flag: &str| {
        let said =
            Command::new(tool).arg(flag).output().map_err(|error| format!("{tool} cannot be run ({error}); it has to be installed"))?;
        Ok::<_, String>(String::from_utf8_lossy(&said.stdout).lines().next().unwrap_or_default().to_owned())
    };
    Ok(vec![
        format!("compiler: {}", ask("rustc", "--version")?),
        format!("profile: {}", profile()),
        format!("processor: {}", processor()),
        format!("C library: {}", ask("ldd", "--version")?),
        format!("counted by: {}", ask("valgrind", "--version")?),
    ])
}

/// The release profile of Cargo.toml, or what the environment made of it.
fn profile() -> String {
    let changed = [option_env!("CARGO_PROFILE_RELEASE_LTO"), option_env!("CARGO_PROFILE_BENCH_LTO")];
    match (cfg!(debug_assertions), changed.into_iter().flatten().next()) {
        (true, _) => "not optimised".to_owned(),
        (false, None) => "release".to_owned(),
        (false, Some(lto)) => format!("release, lto = {lto}"),
    }
}

/// Libraries choose by what the processor can do.
fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    let can = if std::is_x86_feature_detected!("avx2") { " with AVX2" } else { " without AVX2" };
    #[cfg(not(target_arch = "x86_64"))]
    let can = "";
    format!("{}{can}", std::env::consts::ARCH)
}

impl Table {
    /// None where there is none yet.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(path: &Path) -> Result<Option<Table>, String> {
        let text = match disk::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let mut table = Table { head: Vec::new(), rows: Vec::new() };
        for line in text.lines() {
            match line.strip_prefix("# ") {
                Some(head) if head.contains(": ") => table.head.push(head.to_owned()),
                Some(_) => {}
                None => table.rows.push(row(line).ok_or_else(|| format!("{}: no row: {line:?}", path.display()))?),
            }
        }
        Ok(Some(table))
    }

    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let mut text = "# Of one run of each case, see benches/counts/cases.rs. Written by `make counts-accept`.\n".to_owned();
        self.head.iter().for_each(|line| text.extend(["# ", line, "\n"]));
        text += "# name\tinstructions\tallocations\n";
        for Row { name, counts } in &self.rows {
            let _ = writeln!(text, "{name}\t{:.0}\t{:.1}", counts.instructions, counts.allocations);
        }
        disk::write(path, text.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// This, and the rows of another that it has not.
    ///
    /// # Errors
    /// They were made in different ways.
    pub fn and_the_rest_of(mut self, other: Option<Table>) -> Result<Table, String> {
        let Some(other) = other else { return Ok(self) };
        if self.head != other.head {
            return Err("the table was made in another way (see its head): accept all of it, not a part".to_owned());
        }
        let mut rows = other.rows;
        for new in self.rows {
            match rows.iter_mut().find(|row| row.name == new.name) {
                Some(row) => *row = new,
                None => rows.push(new),
            }
        }
        self.rows = rows;
        Ok(self)
    }

    /// Names of this table that another one has not.
    pub fn without<'t>(&'t self, other: &'t Table) -> impl Iterator<Item = &'t str> {
        self.rows.iter().map(|row| row.name.as_str()).filter(|name| other.rows.iter().all(|row| row.name != *name))
    }

    /// The same beside what was counted before.
    pub fn beside(&self, before: Option<&Table>) -> Report {
        let mut report = Report { text: String::new(), grown: Vec::new() };
        for (was, is) in before.iter().flat_map(|before| before.head.iter().zip(&self.head)) {
            if was != is {
                let _ = writeln!(report.text, "WARNING: the table is for `{was}`, this is `{is}`: a difference may come from that alone.");
            }
        }
        let _ =
            writeln!(report.text, "{:<27}{:>13}{:>13}{:>9}{:>13}{:>9}{:>9}", "", "instructions", "before", "", "allocations", "before", "");
        for Row { name, counts } in &self.rows {
            let old = before.and_then(|before| before.rows.iter().find(|row| row.name == *name)).map(|row| row.counts);
            let instructions = (counts.instructions, old.map(|old| old.instructions));
            let allocations = (counts.allocations, old.map(|old| old.allocations));
            let cells = (columns(instructions, 13, 0), columns(allocations, 9, 1));
            let _ = writeln!(report.text, "{name:<27}{}    {}", cells.0, cells.1);
            for (what, (is, was)) in [("instructions", instructions), ("allocations", allocations)] {
                if let Some(was) = was.filter(|was| is > was * (1.0 + TOLERANCE) && is - was >= LEAST) {
                    report.grown.push(format!("{name}: {what} {was:.0} -> {is:.0} ({})", percent(is, was)));
                }
            }
        }
        report
    }
}

fn row(line: &str) -> Option<Row> {
    let mut cells = line.split('\t');
    let name = cells.next()?.to_owned();
    Some(Row { name, counts: Counts { instructions: cells.next()?.parse().ok()?, allocations: cells.next()?.parse().ok()? } })
}

/// A count, the one before, and the difference.
fn columns((is, was): (f64, Option<f64>), width: usize, digits: usize) -> String {
    let before = was.map_or_else(|| "new".to_owned(), |was| format!("{was:.digits$}"));
    let difference = was.map_or_else(String::new, |was| percent(is, was));
    format!("{is:>width$.digits$}{before:>width$}{difference:>9}")
}

fn percent(is: f64, was: f64) -> String {
    if was == 0.0 {
        return if is == 0.0 { String::new() } else { "from 0".to_owned() };
    }
    format!("{:+.1} %", (is / was - 1.0) * 100.0)
}
