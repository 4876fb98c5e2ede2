//! An explanation as text and as JSON.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json as object};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::{Explained, seen};
use crate::chain::class as chain;
use crate::chain::test::bytes;
use crate::chain::trace::{Asked, Edit, RuleTrace};
use crate::message::{Message, Part};
use crate::smtp::envelope::Recipient;
use crate::smtp::reply;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const STRONG: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// Where the second column begins.
const COLUMN: usize = 46;
/// More of a value than this is cut.
const WIDTH: usize = 160;

/// For a terminal.
pub(super) fn text(explained: &Explained) -> String {
    let mut out = String::new();
    tree(explained.received.parts(), &mut out);
    if let Some(before) = explained.before {
        let _ = writeln!(out, " {before}:");
    }
    for part in &explained.parts {
        if explained.parts.len() > 1 {
            whose(part, &mut out);
        }
        part.trace.rules.iter().for_each(|rule| one(rule, &mut out));
        outcome(part, explained, &mut out);
    }
    out
}

/// For whom this is, and what tells them from the first.
fn whose(part: &chain::Part, out: &mut String) {
    let recipients = part.recipients.iter().map(|path| printable(&path.to_string())).collect::<Vec<_>>().join(", ");
    let by = part.by.as_ref().map(|rule| format!("  {DIM}told apart by: {rule}{DIM:#}")).unwrap_or_default();
    let _ = writeln!(out, "{STRONG}for {recipients}{STRONG:#}{by}");
}

fn tree(parts: &[Part], out: &mut String) {
    for part in parts {
        let indent = "  ".repeat(usize::try_from(part.depth).unwrap_or(0));
        let mut line = format!(" {indent}{}", part.media_type);
        line.extend(part.charset.iter().flat_map(|charset| [" ", charset]));
        if part.leaf {
            let _ = write!(line, " {} {} bytes", part.encoding, grouped(part.size));
        }
        for name in &part.names {
            let _ = write!(line, " “{}”", printable(name));
        }
        let _ = writeln!(out, "{DIM}{line}{DIM:#}");
    }
}

fn one(rule: &RuleTrace, out: &mut String) {
    let (sign, style) = match (&rule.error, rule.fired) {
        (Some(_), _) => ("!", BAD),
        (None, true) => ("✓", GOOD),
        (None, false) => ("–", DIM),
    };
    let gap = " ".repeat(COLUMN.saturating_sub(rule.name.chars().count() + 3).max(2));
    let observed = if rule.observed { "  only observed" } else { "" };
    let whose = rule.recipient.as_ref().map(|recipient| format!("  for {}", printable(recipient))).unwrap_or_default();
    let _ = writeln!(out, " {style}{sign}{style:#} {STRONG}{}{STRONG:#}{gap}{DIM}{}{observed}{whose}{DIM:#}", rule.name, rule.place);
    rule.conditions.iter().for_each(|asked| condition(asked, out));
    rule.edits.iter().for_each(|one| edit(one, out));
    if let Some(error) = &rule.error {
        let _ = writeln!(out, "     {BAD}{}{BAD:#}", printable(error));
    }
}

fn condition(asked: &Asked, out: &mut String) {
    let sign = match asked.holds {
        Some(true) => "✓",
        Some(false) => "–",
        None => "!",
    };
    let line = format!("     {}{sign} {}", "  ".repeat(asked.depth), cut(&printable(&asked.condition), 60));
    let gap = " ".repeat(COLUMN.saturating_sub(line.chars().count()).max(2));
    let saw = asked.saw.iter().map(|value| printable(value)).collect::<Vec<_>>().join(", ");
    let saw = if saw.is_empty() { String::new() } else { format!("{gap}{DIM}saw: {}{DIM:#}", cut(&saw, WIDTH)) };
    let _ = writeln!(out, "{line}{saw}");
}

fn edit(edit: &Edit, out: &mut String) {
    let mut head = format!("     {}", edit.action);
    if !edit.what.is_empty() {
        let _ = write!(head, "  {}:", printable(&edit.what));
    }
    if let Some(note) = &edit.note {
        let _ = writeln!(out, "{head}  {DIM}{}{DIM:#}", printable(note));
        return;
    }
    if edit.before.is_empty() && edit.after.is_empty() {
        // A verdict says all by its name; an edit that is not there is told, so that nobody looks for it.
        let edits = ["header.", "body.", "sender.", "recipient.", "address."].iter().any(|kind| edit.action.starts_with(kind));
        let nothing = if edits { format!("  {DIM}nothing to change{DIM:#}") } else { String::new() };
        let _ = writeln!(out, "{head}{nothing}");
        return;
    }
    let indent = " ".repeat(head.chars().count());
    let mut lead = head.as_str();
    for (sign, style, text) in [('-', BAD, &edit.before), ('+', GOOD, &edit.after)] {
        for line in text.lines().filter(|line| !line.is_empty()) {
            let _ = writeln!(out, "{lead}  {style}{sign} {}{style:#}", cut(&printable(line), WIDTH));
            lead = &indent;
        }
    }
}

fn outcome(part: &chain::Part, explained: &Explained, out: &mut String) {
    let ruling = &part.ruling;
    let kept = Kept::of(&explained.received, &ruling.mail.message);
    let mut parts = vec![format!("{STRONG}{}{STRONG:#}", ruling.word())];
    parts.extend(ruling.reply());
    if explained.behind_queue && ruling.word() == "reject" && part.goes_on {
        parts.push("held, for the client is behind a queue and hears 250".to_owned());
    }
    let left = &ruling.mail.envelope.recipients;
    if ["deliver", "quarantine"].contains(&ruling.word()) && *left != part.recipients {
        let left: Vec<_> = left.iter().map(|path| printable(&path.to_string())).collect();
        parts.push(format!("to {}", left.join(", ")));
    }
    parts.extend(ruling.holds.iter().map(|hold| format!("held: {} ({})", printable(&hold.reason), hold.rule)));
    match kept.fields {
        0 if !kept.body => parts.push("nothing changed".to_owned()),
        0 => {}
        1 => parts.push("1 field changed".to_owned()),
        fields => parts.push(format!("{fields} fields changed")),
    }
    if kept.body {
        parts.push("body changed".to_owned());
    }
    parts.push(format!("{} of {} bytes as received", grouped(kept.bytes), grouped(kept.received)));
    let (route, next_hop) = explained.way(part);
    parts.extend(route.map(|route| format!("route {route}")));
    if ruling.word() == "deliver" {
        parts.extend(next_hop.map(|next_hop| format!("next hop {next_hop}")));
    }
    let _ = writeln!(out, " {}", parts.join(" · "));
    for path in explained.denied(part) {
        let reply = reply::relaying_denied().in_one_line();
        let why = "neither the client nor this recipient is inside (`inside:`, `origin:`)";
        let _ = writeln!(out, " {BAD}but over SMTP {} is not taken{BAD:#}: {reply}; {why}", printable(&path.to_string()));
    }
    let observed: Vec<_> = ruling.observed().collect();
    if !observed.is_empty() {
        let _ = writeln!(out, " observed: {}", observed.join(", "));
    }
    if !ruling.tags.is_empty() {
        let _ = writeln!(out, " tags: {}", ruling.tags.join(", "));
    }
    for (name, points) in &ruling.scores {
        let _ = writeln!(out, " score{}{}: {points}", if name.is_empty() { "" } else { " " }, name);
    }
    for (rule, line) in &ruling.logs {
        let _ = writeln!(out, " log: {} {DIM}({rule}){DIM:#}", printable(line));
    }
}

/// How much of a message is as it was received.
struct Kept {
    bytes: u64,
    received: u64,
    fields: usize,
    body: bool,
}

impl Kept {
    fn of(before: &Message, after: &Message) -> Kept {
        let raw = |message: &Message| -> Vec<Vec<u8>> { message.fields().iter().map(|field| field.raw().to_vec()).collect() };
        let (old, new) = (raw(before), raw(after));
        let changed = capture_diff_slices(Algorithm::Myers, &old, &new)
            .iter()
            .filter(|step| !matches!(step, DiffOp::Equal { .. }))
            .map(|step| step.old_range().len().max(step.new_range().len()))
            .sum();
        let header = |fields: &[Vec<u8>]| fields.iter().map(Vec::len).sum::<usize>();
        let (one, two) = (bytes(before), bytes(after));
        let body = one.get(header(&old)..) != two.get(header(&new)..);
        let lines = |bytes: &[u8]| -> Vec<Vec<u8>> { bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect() };
        let (old, new) = (lines(&one), lines(&two));
        let kept: usize = capture_diff_slices(Algorithm::Myers, &old, &new)
            .iter()
            .filter(|step| matches!(step, DiffOp::Equal { .. }))
            .map(|step| old[step.old_range()].iter().map(Vec::len).sum::<usize>())
            .sum();
        Kept { bytes: kept as u64, received: before.received_size(), fields: changed, body }
    }
}

/// A number with a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// What a message says must not steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '·' } else { letter }).collect()
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most).chain(['…']).collect()
}

/// For programs: the first kind of recipients, and the others beside it.
pub(super) fn json(explained: &Explained) -> String {
    let mut told = explained.parts.iter().map(|part| of_part(part, explained));
    let mut first = told.next().unwrap_or_default();
    first["others"] = told.collect();
    first["parts"] = seen::parts(&explained.received).into();
    first["before"] = explained.before.into();
    first["malformed"] = seen::malformed(&explained.received).into();
    format!("{first:#}\n")
}

fn of_part(part: &chain::Part, explained: &Explained) -> Value {
    let ruling = &part.ruling;
    let kept = Kept::of(&explained.received, &ruling.mail.message);
    let envelope = &ruling.mail.envelope;
    object!({
        "given": part.recipients.iter().map(Recipient::address).collect::<Vec<_>>(),
        "told_apart_by": part.by.as_deref(),
        "denied": explained.denied(part).map(Recipient::address).collect::<Vec<_>>(),
        "outcome": ruling.word(),
        "reply": ruling.reply(),
        "holds": ruling.holds.iter().map(|hold| object!({ "rule": &*hold.rule, "reason": hold.reason })).collect::<Vec<_>>(),
        "fired": ruling.fired.iter().map(|name| &**name).collect::<Vec<_>>(),
        "observed": ruling.observed().collect::<Vec<_>>(),
        "failures": ruling.failures.iter().map(|failure| object!({ "rule": &*failure.rule, "error": failure.error })).collect::<Vec<_>>(),
        "tags": ruling.tags,
        "scores": ruling.scores,
        "logs": ruling.logs.iter().map(|(rule, text)| object!({ "rule": &**rule, "text": text })).collect::<Vec<_>>(),
        "sender": envelope.sender.address(),
        "recipients": envelope.recipients.iter().map(Recipient::address).collect::<Vec<_>>(),
        "route": part.ruling.route.as_deref(),
        "next_hop": explained.way(part).1,
        "rules": part.trace.rules,
        "bytes": { "received": kept.received, "as_received": kept.bytes, "sent": ruling.mail.message.size() },
        "fields_changed": kept.fields,
        "body_changed": kept.body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped_and_terminals_are_not_steered() {
        assert_eq!(grouped(18_202), "18,202");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000_000), "1,000,000");
        assert_eq!(printable("a\u{1b}[2Jb"), "a·[2Jb");
        assert_eq!(cut("abcdef", 3), "abc…");
    }
}
