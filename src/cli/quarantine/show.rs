//! `transom quarantine show`: why a mail is held, what is in it, and what the rules changed.

use std::fmt::Write;

use serde_json::{Value, json};
use similar::TextDiff;

use super::super::{Exit, say};
use super::list::{addresses, brief, state};
use super::{plain, refused};
use crate::message::{Field, Message, Part};
use crate::store::Store;
use crate::store::content::Form;
use crate::store::desk::{DeskError, Row, State};

/// Larger messages are compared by their headers only.
const COMPARED: u64 = 1 << 20;

/// Shows one mail: why it is held, its headers, text and structure, and what the rules changed
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The id as `list` shows it; its first letters are enough
    #[arg(value_name = "ID")]
    id: String,
    /// An object, on standard output
    #[arg(long)]
    json: bool,
}

/// What is in the mail; absent once it was released or deleted.
struct Inside {
    headers: Vec<(String, String)>,
    text: String,
    structure: Vec<Part>,
    difference: Difference,
}

struct Difference {
    /// Lines with `-`, `+` or a blank before them; empty where the two are the same.
    text: String,
    /// The bodies were too large to be shown side by side: whether they differ.
    large_bodies: Option<bool>,
}

pub(super) fn run(args: &Args, store: &Store) -> Result<Exit, Exit> {
    let row = store.find(&args.id).map_err(|error| refused(&error))?;
    let inside = match row.state {
        State::Released | State::Deleted => None,
        _ => Some(look(store, &row).map_err(|error| refused(&error))?),
    };
    Ok(if args.json { say(&format!("{:#}\n", whole(&row, inside.as_ref()))) } else { say(&plain(&page(&row, inside.as_ref()))) })
}

fn look(store: &Store, row: &Row) -> Result<Inside, DeskError> {
    let (received, held) = (store.message(row, Form::Received)?, store.message(row, Form::Held)?);
    let headers =
        received.fields().iter().map(|field| (String::from_utf8_lossy(field.name()).into_owned(), field.value().into_owned())).collect();
    let mut text = String::new();
    for part in received.readable(true) {
        match received.text(part) {
            Ok(part) => text.push_str(&part),
            Err(fault) => {
                let _ = write!(text, "[a part that cannot be read: {fault}]");
            }
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    let difference = difference(&received, &held).map_err(|error| DeskError::Store(crate::store::StoreError::Unable(error.to_string())))?;
    Ok(Inside { headers, text, structure: received.parts().to_vec(), difference })
}

fn difference(received: &Message, held: &Message) -> std::io::Result<Difference> {
    if received.size() <= COMPARED && held.size() <= COMPARED {
        return Ok(Difference { text: lines(&bytes(received)?, &bytes(held)?), large_bodies: None });
    }
    let header = |message: &Message| message.fields().iter().flat_map(|field: &Field| field.raw().to_vec()).collect::<Vec<u8>>();
    Ok(Difference {
        text: lines(&header(received), &header(held)),
        large_bodies: Some(digest(received)?.as_ref() != digest(held)?.as_ref()),
    })
}

fn lines(before: &[u8], after: &[u8]) -> String {
    let (before, after) = (String::from_utf8_lossy(before).replace("\r\n", "\n"), String::from_utf8_lossy(after).replace("\r\n", "\n"));
    TextDiff::from_lines(&before, &after).unified_diff().context_radius(1).to_string()
}

fn bytes(message: &Message) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    message.for_each(&mut |some| {
        all.extend_from_slice(some);
        Ok(())
    })?;
    Ok(all)
}

/// Of the body, so that an added field does not count.
fn digest(message: &Message) -> std::io::Result<ring::digest::Digest> {
    let mut header: usize = message.fields().iter().map(|field| field.raw().len()).sum();
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    message.for_each(&mut |some| {
        let skipped = header.min(some.len());
        header -= skipped;
        context.update(&some[skipped..]);
        Ok(())
    })?;
    Ok(context.finish())
}

fn whole(row: &Row, inside: Option<&Inside>) -> Value {
    let record = &row.record;
    let mut value = brief(row);
    value["why"] = record.reasons.iter().map(|one| json!({"rule": one.rule, "reason": one.reason})).collect();
    value["confirmed"] = row.confirmed.into();
    value["reply"] = row.reply.clone().into();
    value["history"] = row.history.iter().map(|deed| json!({"time": deed.time.to_string(), "who": deed.who, "what": deed.what})).collect();
    value["helo"] = record.helo.clone().into();
    value["route"] = record.route.clone().into();
    value["session"] = record.session.clone().into();
    value["message"] = record.message.clone().into();
    value["received_sender"] = record.received_envelope.sender.address().into();
    value["received_recipients"] = addresses(&record.received_envelope).into();
    if let Some(inside) = inside {
        value["headers"] = inside.headers.iter().map(|(name, text)| json!({"name": name, "value": text})).collect();
        value["text"] = inside.text.clone().into();
        value["structure"] = inside
            .structure
            .iter()
            .map(|part| json!({"type": part.media_type, "depth": part.depth, "names": part.names, "size": part.size}))
            .collect();
        value["difference"] = inside.difference.text.clone().into();
    }
    value
}

fn page(row: &Row, inside: Option<&Inside>) -> String {
    let mut out = summary(row);
    let Some(inside) = inside else {
        out.push_str("\nIts content is gone.\n");
        return out;
    };
    section(&mut out, "Header, as received", inside.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    section(&mut out, "Readable text", inside.text.lines());
    section(&mut out, "Structure", inside.structure.iter().map(part));
    let mut changed = inside.difference.text.clone();
    match inside.difference.large_bodies {
        Some(true) => changed.push_str("the bodies differ; they are too large to be shown here\n"),
        Some(false) => changed.push_str("the bodies are the same\n"),
        None if changed.is_empty() => changed.push_str("none\n"),
        None => {}
    }
    section(&mut out, "Difference between what was received (-) and what would be delivered (+)", changed.lines());
    out
}

fn summary(row: &Row) -> String {
    let record = &row.record;
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "{name:<11} {}", value.replace(['\n', '\t'], " "));
    };
    line("id", &row.id.0);
    line("state", &state(row));
    for one in &record.reasons {
        line("why", &format!("{}  (rule: {})", one.reason, one.rule));
    }
    line("fired", &record.rules.join(", "));
    line("sender", &record.envelope.sender.to_string());
    line("recipients", &addresses(&record.envelope).join(", "));
    if record.envelope != record.received_envelope {
        let received = &record.received_envelope;
        line("as received", &format!("{} to {}", received.sender, addresses(received).join(", ")));
    }
    line("route", &record.route);
    line("from", &record.from);
    line("subject", &record.subject);
    line("size", &format!("{} bytes", record.size));
    line("time", &record.time.to_string());
    line("client", &format!("{} (HELO {})", record.client, record.helo));
    line("message", &format!("{} (session {})", record.message, record.session));
    if let Some(reply) = &row.reply {
        line("last reply", reply);
    }
    for deed in &row.history {
        line("done", &format!("{} by {}: {}", deed.time, deed.who, deed.what));
    }
    out
}

fn section<T: std::fmt::Display>(out: &mut String, title: &str, lines: impl Iterator<Item = T>) {
    let _ = write!(out, "\n{title}\n");
    for line in lines {
        let _ = writeln!(out, "  {line}");
    }
}

fn part(part: &Part) -> String {
    let indent = "  ".repeat(usize::try_from(part.depth).unwrap_or(0).min(20));
    let names = if part.names.is_empty() { String::new() } else { format!("  \"{}\"", part.names.join("\", \"")) };
    format!("{indent}{}{names}  {} bytes", part.media_type, part.size)
}
