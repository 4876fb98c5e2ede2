//! Numbers as people read them: medians with their spread, tables for the terminal and for the page.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it writes the page and the terminal")]

use std::fs;
use std::path::PathBuf;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// The median of some runs, the least and the most.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// None of no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) { f64::midpoint(values[middle - 1], values[middle]) } else { values[middle] };
        Some(Self { median, least, most })
    }

    /// `1,234 (1,200–1,300)`.
    pub fn text(&self, digits: usize) -> String {
        format!("{} ({}–{})", number(self.median, digits), number(self.least, digits), number(self.most, digits))
    }
}

/// With a comma between thousands.
pub fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.find('.').map_or((text.as_str(), ""), |at| text.split_at(at));
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) && digit != '-' {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

/// `10 KiB`.
pub fn bytes(value: usize) -> String {
    bytesize::ByteSize(value as u64).display().iec().to_string().replace(".0 ", " ")
}

/// A table under a line that says what it shows.
#[derive(Debug)]
pub struct Sheet {
    pub caption: String,
    pub head: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
}

impl Sheet {
    pub fn print(&self) {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED).set_header(&self.head).add_rows(&self.rows);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        println!("\n{}\n{table}", self.caption);
    }

    pub fn markdown(&self) -> String {
        let rule = format!("|---|{}", "---:|".repeat(self.head.len() - 1));
        let rows: Vec<_> = self.rows.iter().map(|row| format!("| {} |", row.join(" | "))).collect();
        format!("{}\n\n| {} |\n{rule}\n{}\n", self.caption, self.head.join(" | "), rows.join("\n"))
    }
}

/// Puts text between `<!-- NAME -->` and `<!-- /NAME -->` of docs/performance.md.
pub fn into_page(name: &str, text: &str) -> Result<(), String> {
    let path = docs().join("performance.md");
    let page = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let parts = page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("{}: no place for `{name}`", path.display()))?;
    fs::write(&path, format!("{before}{begin}{}\n{end}{after}", text.trim_end())).map_err(|error| format!("{}: {error}", path.display()))
}

/// Where the page is.
pub fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// What it ran on.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, model)| model));
    format!("{cores} cores, {}", model.unwrap_or("of unknown make"))
}
