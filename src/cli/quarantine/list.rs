//! `transom quarantine list`: a line a mail, or JSON.

use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde_json::{Value, json};

use super::super::{Exit, say};
use super::{failed, short};
use crate::smtp::envelope::{Envelope, Recipient};
use crate::store::Store;
use crate::store::desk::{Row, State};

/// Rows read at once.
const PAGE: usize = 500;

/// Lists what is held, newest first; released and deleted mail only if asked for
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only mail in these states
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STATE")]
    state: Vec<Wanted>,
    /// A list of objects, on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Wanted {
    /// Not yet answered for by the server
    Pending,
    Held,
    /// Being released now
    Releasing,
    Released,
    /// Perhaps released
    #[value(alias = "in_doubt", alias = "in doubt")]
    InDoubt,
    Deleted,
    All,
}

impl Wanted {
    fn states(self) -> Vec<State> {
        match self {
            Wanted::Pending => vec![State::Pending],
            Wanted::Held => vec![State::Held],
            Wanted::Releasing => vec![State::Releasing],
            Wanted::Released => vec![State::Released],
            Wanted::InDoubt => vec![State::InDoubt],
            Wanted::Deleted => vec![State::Deleted],
            Wanted::All => State::ALL.to_vec(),
        }
    }
}

/// Page by page, so that a full quarantine does not have to fit into memory.
pub(super) fn run(args: &Args, store: &Store) -> Result<Exit, Exit> {
    let mut states: Vec<State> = args.state.iter().flat_map(|wanted| wanted.states()).collect();
    if states.is_empty() {
        states = State::OPEN.to_vec();
    }
    let mut page = None;
    let mut first = true;
    loop {
        let (rows, next) = store.list(&states, page, PAGE).map_err(|error| failed(&error))?;
        let last = next.is_none();
        let told = say(&if args.json { json(&rows, first, last) } else { lines(&rows, first) });
        if last || told != Exit::Success {
            return Ok(told);
        }
        (page, first) = (next, false);
    }
}

/// A piece of one JSON list.
fn json(rows: &[Row], first: bool, last: bool) -> String {
    let mut out = String::new();
    for (number, row) in rows.iter().enumerate() {
        out.push_str(if first && number == 0 { "[\n" } else { ",\n" });
        out.push_str(&brief(row).to_string());
    }
    match (last, first && rows.is_empty()) {
        (true, true) => out.push_str("[]\n"),
        (true, false) => out.push_str("\n]\n"),
        (false, _) => {}
    }
    out
}

fn lines(rows: &[Row], first: bool) -> String {
    match (rows.is_empty(), first) {
        (true, true) => "nothing is held\n".to_owned(),
        (true, false) => String::new(),
        (false, _) => format!("{}\n", table(rows, first).trim_fmt()),
    }
}

/// A row as `--json` gives it.
pub(super) fn brief(row: &Row) -> Value {
    let record = &row.record;
    json!({
        "id": row.id.0,
        "state": row.state.word(),
        "reason": record.reasons.first().map_or("", |first| first.reason.as_str()),
        "reasons": record.reasons.iter().map(|one| one.reason.as_str()).collect::<Vec<_>>(),
        "rules": record.rules,
        "sender": record.envelope.sender.address(),
        "recipients": addresses(&record.envelope),
        "from": record.from,
        "subject": record.subject,
        "size": record.size,
        "time": record.time.to_string(),
        "client": record.client,
    })
}

pub(super) fn addresses(envelope: &Envelope) -> Vec<&str> {
    envelope.recipients.iter().map(Recipient::address).collect()
}

/// The state, and what is to be known about it.
pub(super) fn state(row: &Row) -> String {
    match row.state {
        State::Held if !row.confirmed => "held, unconfirmed".to_owned(),
        state => state.word().to_owned(),
    }
}

fn table(rows: &[Row], with_header: bool) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if with_header {
        table.set_header(["ID", "STATE", "SINCE", "SIZE", "FROM", "TO", "SUBJECT", "REASON"]);
    }
    for row in rows {
        let record = &row.record;
        let recipients = addresses(&record.envelope);
        let to = match recipients.as_slice() {
            [] => String::new(),
            [one] => short(one, 30),
            [first, rest @ ..] => format!("{} +{}", short(first, 26), rest.len()),
        };
        let reason = record.reasons.first().map_or("", |first| first.reason.as_str());
        table.add_row([
            row.id.0.clone(),
            state(row),
            record.time.strftime("%Y-%m-%d %H:%MZ").to_string(),
            bytesize::ByteSize(record.size).to_string(),
            short(&record.envelope.sender.to_string(), 30),
            to,
            short(&record.subject, 40),
            short(reason, 40),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_an_empty_list_also_after_a_full_page() {
        assert_eq!(json(&[], true, true), "[]\n");
        assert_eq!(json(&[], false, true), "\n]\n");
        assert_eq!(lines(&[], true), "nothing is held\n");
        assert_eq!(lines(&[], false), "");
    }
}
