//! What a test expects, and whether it came out.

use std::fmt::Write;
use std::path::PathBuf;

use similar::TextDiff;

use super::{bytes, read, texts};
use crate::chain::condition::mailbox::MailboxTest;
use crate::chain::condition::{self, Condition};
use crate::chain::entry::{Load, find};
use crate::chain::ruling::Ruling;
use crate::chain::string::{StringTest, word};
use crate::chain::{Limits, Run};
use crate::message::Message;
use crate::smtp::path::Path;
use crate::yaml::manual::Key;
use crate::yaml::{FromNode, Kind, Node, Problems, Reported, Settings, nearest};

pub(super) const KEYS: &[Key] = &[
    Key::may("outcome", "deliver, quarantine, reject, defer or discard", "deliver", "What becomes of the mail."),
    Key::may("reason", "string tests", "executable attachment", "The first reason it is held for."),
    Key::may("fired", "a list of rule names", "[hold programs]", "Exactly these rules fired, in this order."),
    Key::may("not_fired", "a list of rule names", "[hold programs]", "None of these rules fired."),
    Key::may("same_as", "a path", "../samples/after/plain.eml", "The message is the one in this file; `transom test --update` writes it."),
    Key::may("unchanged", "true or false", "true", "Whether the message is as it came, byte for byte."),
    Key::may("header", "the settings of the condition `header`", "{name: X-Seen, exists: true}", "Holds for the result."),
    Key::may("body", "the settings of the condition `body`", "{contains: hello}", "Holds for the result."),
    Key::may("score", "the settings of the condition `score`", "{at_least: 6}", "Holds for the result."),
    Key::may("reply", "string tests", "{starts_with: '550 '}", "What the client hears."),
    Key::may("sender", "the settings of the condition `sender`", "{domain: example.org}", "Holds for the result's sender."),
    Key::may("recipients", "an address or a list of them", "[anna@example.org]", "The recipients, in this order."),
    Key::may("tags", "a text or a list of them", "[newsletter]", "The tags, in this order."),
];

/// `expect:` of a test. What is absent is not looked at.
#[derive(Debug)]
pub(super) struct Expect {
    outcome: Option<&'static str>,
    reason: Option<StringTest>,
    /// Exactly these, in order.
    fired: Option<Vec<String>>,
    not_fired: Vec<String>,
    same_as: Option<PathBuf>,
    unchanged: Option<bool>,
    /// Conditions on the result, with the key each stands under.
    conditions: Vec<(&'static str, Box<dyn Condition>)>,
    reply: Option<StringTest>,
    sender: Option<MailboxTest>,
    recipients: Option<Vec<String>>,
    tags: Option<Vec<String>>,
}

/// Something that came out otherwise.
#[derive(Clone, Debug)]
pub struct Failure {
    pub what: String,
    /// Line by line, for messages: `-` what was expected, `+` what came out.
    pub difference: Option<String>,
}

const OUTCOMES: [&str; 5] = ["deliver", "quarantine", "reject", "defer", "discard"];

impl Expect {
    pub(super) fn load(node: &Node, rules: &[&str], load: &mut Load<'_>) -> Result<Expect, Reported> {
        let mut settings = load.settings("`expect`", node)?;
        let outcome = settings.node("outcome").map(|node| word(node, &OUTCOMES.map(|word| (word, word)), load.problems)).transpose();
        let reason = string(&mut settings, "reason", load);
        let fired = names(settings.node("fired"), rules, load.problems);
        let not_fired = names(settings.node("not_fired"), rules, load.problems);
        let same_as = settings.take::<String>("same_as", load.problems);
        let unchanged = settings.take::<bool>("unchanged", load.problems);
        let conditions = ["header", "body", "score"].map(|key| settings.node(key).map(|node| condition(key, node, load)).transpose());
        let reply = string(&mut settings, "reply", load);
        let sender = settings.node("sender").map(|node| MailboxTest::load("`sender`", node, load)).transpose();
        let recipients = texts(&mut settings, "recipients", load);
        let tags = texts(&mut settings, "tags", load);
        settings.finish(load.problems)?;
        Ok(Expect {
            outcome: outcome?,
            reason: reason?,
            fired: fired?,
            not_fired: not_fired?.unwrap_or_default(),
            same_as: same_as?.map(PathBuf::from),
            unchanged: unchanged?,
            conditions: conditions.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect(),
            reply: reply?,
            sender: sender?,
            recipients: recipients?,
            tags: tags?,
        })
    }

    pub(super) fn same_as(&self, directory: &std::path::Path) -> Option<PathBuf> {
        self.same_as.as_ref().map(|file| directory.join(file))
    }

    /// Everything that came out otherwise.
    pub(super) fn judge(&self, ruling: &Ruling, received: &Message, directory: &std::path::Path) -> Vec<Failure> {
        let mut failures = Vec::new();
        self.judge_ruling(ruling, &mut failures);
        self.judge_envelope(ruling, &mut failures);
        self.judge_message(ruling, received, directory, &mut failures);
        if !failures.is_empty() {
            // What a rule failed of is often why.
            failures.extend(ruling.failures.iter().map(|failed| told(format!("the rule `{}` failed: {}", failed.rule, failed.error))));
        }
        failures
    }

    fn judge_ruling(&self, ruling: &Ruling, failures: &mut Vec<Failure>) {
        let fired: Vec<&str> = ruling.fired.iter().map(AsRef::as_ref).collect();
        differs("outcome", self.outcome, ruling.word(), failures);
        if let Some(expected) = &self.fired
            && *expected != fired
        {
            failures.push(told(format!("fired: expected [{}], got [{}]", expected.join(", "), fired.join(", "))));
        }
        for name in self.not_fired.iter().filter(|name| fired.contains(&name.as_str())) {
            failures.push(told(format!("not_fired: `{name}` fired")));
        }
        let reason = ruling.holds.first().map(|hold| hold.reason.as_str());
        fails("reason", self.reason.as_ref(), reason, failures);
        fails("reply", self.reply.as_ref(), ruling.reply().as_deref(), failures);
        if let Some(expected) = &self.tags
            && *expected != ruling.tags
        {
            failures.push(told(format!("tags: expected [{}], got [{}]", expected.join(", "), ruling.tags.join(", "))));
        }
    }

    fn judge_envelope(&self, ruling: &Ruling, failures: &mut Vec<Failure>) {
        let envelope = &ruling.mail.envelope;
        let result = result(ruling);
        if let Some(test) = &self.sender
            && !test.holds(&envelope.sender, &result).unwrap_or(false)
        {
            failures.push(told(format!("sender: got {}", envelope.sender)));
        }
        let recipients: Vec<&str> = envelope.recipients.iter().map(Path::address).collect();
        if let Some(expected) = &self.recipients
            && *expected != recipients
        {
            failures.push(told(format!("recipients: expected [{}], got [{}]", expected.join(", "), recipients.join(", "))));
        }
    }

    fn judge_message(&self, ruling: &Ruling, received: &Message, directory: &std::path::Path, failures: &mut Vec<Failure>) {
        let result = result(ruling);
        for (key, condition) in &self.conditions {
            match condition.holds(&result) {
                Ok(true) => {}
                Ok(false) if *key == "score" => failures.push(told(format!("score: got {}", result.score("")))),
                Ok(false) => failures.push(told(format!("{key}: does not hold for the result"))),
                Err(error) => failures.push(told(format!("{key}: {error}"))),
            }
        }
        let (before, after) = (bytes(received), bytes(&ruling.mail.message));
        match self.unchanged {
            Some(true) if before != after => {
                failures
                    .push(Failure { what: "unchanged: the message was changed".to_owned(), difference: Some(difference(&before, &after)) });
            }
            Some(false) if before == after => failures.push(told("unchanged: the message was not changed".to_owned())),
            _ => {}
        }
        if let Some(file) = self.same_as(directory) {
            match read(&file) {
                Ok(expected) if *expected != *after => failures.push(Failure {
                    what: format!("same_as: differs from {}", file.display()),
                    difference: Some(difference(&expected, &after)),
                }),
                Ok(_) => {}
                Err(why) => failures.push(told(format!("same_as: {why}"))),
            }
        }
    }
}

/// A run that stands at the end, for conditions on the result.
fn result(ruling: &Ruling) -> Run {
    let mut run = Run::new(ruling.mail.clone(), Limits::default(), std::sync::Arc::default(), false);
    ruling.tags.iter().for_each(|tag| run.add_tag(tag));
    ruling.scores.iter().for_each(|(name, points)| run.add_score(name, *points));
    run
}

fn told(what: String) -> Failure {
    Failure { what, difference: None }
}

fn differs(what: &str, expected: Option<&str>, got: &str, failures: &mut Vec<Failure>) {
    if let Some(expected) = expected.filter(|expected| *expected != got) {
        failures.push(told(format!("{what}: expected {expected}, got {got}")));
    }
}

fn fails(what: &str, test: Option<&StringTest>, value: Option<&str>, failures: &mut Vec<Failure>) {
    if let Some(test) = test
        && !test.holds(value)
    {
        failures.push(told(format!("{what}: got {}", value.map_or("none".to_owned(), |value| format!("`{value}`")))));
    }
}

/// Two messages line by line. What no terminal shows is written out.
fn difference(expected: &[u8], got: &[u8]) -> String {
    const CONTEXT: usize = 2;
    let (expected, got) = (visible(expected), visible(got));
    TextDiff::from_lines(&expected, &got).unified_diff().context_radius(CONTEXT).to_string()
}

/// Lines of a message: printable letters as they are, other bytes as `\xNN`, a CR LF as a line end.
fn visible(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        if rest.starts_with(b"\r\n") {
            text.push('\n');
            rest = &rest[2..];
            continue;
        }
        if byte == b'\n' {
            text.push_str("\\n\n");
        } else if (0x20..0x7f).contains(&byte) || byte == b'\t' {
            text.push(char::from(byte));
        } else if let Some(letter) = letter(rest) {
            text.push(letter);
            rest = &rest[letter.len_utf8()..];
            continue;
        } else {
            let _ = write!(text, "\\x{byte:02X}");
        }
        rest = after;
    }
    text
}

/// The printable letter of several bytes that `bytes` begins with.
fn letter(bytes: &[u8]) -> Option<char> {
    let chunk = bytes[..bytes.len().min(4)].utf8_chunks().next()?;
    chunk.valid().chars().next().filter(|letter| !letter.is_ascii() && !letter.is_control())
}

fn string(settings: &mut Settings<'_>, key: &'static str, load: &mut Load<'_>) -> Result<Option<StringTest>, Reported> {
    settings.node(key).map(|node| StringTest::load(node, load)).transpose()
}

fn condition(key: &'static str, node: &Node, load: &mut Load<'_>) -> Result<(&'static str, Box<dyn Condition>), Reported> {
    let entry = find(condition::ENTRIES, key).expect("the keys are conditions");
    Ok((key, (entry.load)(node, load)?))
}

/// Names of rules of this file.
fn names(node: Option<&Node>, rules: &[&str], problems: &mut Problems) -> Result<Option<Vec<String>>, Reported> {
    let Some(node) = node else { return Ok(None) };
    let items = match &node.kind {
        Kind::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    let mut names = Vec::with_capacity(items.len());
    for item in items {
        let name = String::from_node(item, problems)?;
        if !rules.contains(&name.as_str()) {
            let label = nearest(&name, rules.iter().copied())
                .map_or("only rules of this file run in its tests".to_owned(), |near| format!("did you mean `{near}`?"));
            return Err(problems.error(&item.span, format!("no rule is called `{name}`"), label));
        }
        names.push(name);
    }
    Ok(Some(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_bytes_that_no_terminal_does() {
        assert_eq!(visible(b"a\r\nb\rc\nd\xff\xc3\xa9\0"), "a\nb\\x0Dc\\n\nd\\xFFé\\x00");
        let shown = difference(b"a\r\nb\r\n", b"a\r\nc\r\n");
        assert!(shown.contains("-b\n+c\n"), "{shown}");
    }
}
