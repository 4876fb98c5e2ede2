//! What a test expects, and whether it came out.

use std::fmt::Write;
use std::path::PathBuf;

use similar::TextDiff;

use super::{bytes, read, texts};
use crate::chain::class::Part;
use crate::chain::condition::mailbox::MailboxTest;
use crate::chain::condition::{self, Condition};
use crate::chain::entry::{Load, find};
use crate::chain::route::DEFAULT;
use crate::chain::ruling::{Outcome, Ruling};
use crate::chain::string::{StringTest, word};
use crate::chain::{Limits, Run};
use crate::message::Message;
use crate::smtp::envelope::Recipient;
use crate::smtp::path::Path;
use crate::yaml::manual::Key;
use crate::yaml::{FromNode, Kind, Node, Problems, Reported, Settings, nearest};

pub(super) const KEYS: &[Key] = &[
    Key::may("outcome", "deliver, quarantine, reject, defer or discard", "deliver", "What becomes of the mail."),
    Key::may("reason", "string tests", "executable attachment", "The first reason it is held for."),
    Key::may(
        "fired",
        "a list of rule names",
        "[hold programs]",
        "Exactly these rules fired, in this order; those that are only observed count.",
    ),
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
    Key::may("route", "a name such as partner", "relay", "Where it goes; `relay` is the next hops of `relay:`."),
    Key::may(
        "for",
        "recipients, each with keys of `expect`",
        "{recipient@inside.example: {outcome: deliver}}",
        "What comes out for one recipient; what it does not say holds for it as for the others. Recipients of one copy share what fired.",
    ),
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
    route: Option<std::sync::Arc<str>>,
    /// What is expected of single recipients, each with what stands beside `for` and is not said anew.
    of_one: Vec<(Path, Expect)>,
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
        let route = settings.node("route").map(|node| named(node, load)).transpose();
        let of_one = settings.node("for");
        settings.finish(load.problems)?;
        let mut expect = Expect {
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
            route: route?,
            of_one: Vec::new(),
        };
        if let Some(of_one) = of_one {
            expect.of_one = each(of_one, node, rules, load)?;
        }
        Ok(expect)
    }

    fn same_as(&self, directory: &std::path::Path) -> Option<PathBuf> {
        self.same_as.as_ref().map(|file| directory.join(file))
    }

    /// What the files of `same_as` would have to hold.
    pub(super) fn updates(&self, parts: &[Part], directory: &std::path::Path) -> Vec<(PathBuf, Vec<u8>)> {
        let of = |expect: &Expect, part: &Part| expect.same_as(directory).map(|file| (file, bytes(&part.ruling.mail.message)));
        parts.iter().flat_map(|part| self.meant(part).into_iter().filter_map(move |(_, expect)| of(expect, part))).collect()
    }

    /// What is expected of a part: of each recipient that `for` names, or of all of it.
    fn meant(&self, part: &Part) -> Vec<(Option<&Path>, &Expect)> {
        let named: Vec<_> = self.of_one.iter().filter(|(path, _)| part.recipients.iter().any(|one| one == path)).collect();
        if named.is_empty() { vec![(None, self)] } else { named.into_iter().map(|(path, expect)| (Some(path), expect)).collect() }
    }

    /// Everything that came out otherwise.
    pub(super) fn judge_parts(&self, parts: &[Part], received: &Message, directory: &std::path::Path) -> Vec<Failure> {
        let mut failures = Vec::new();
        for part in parts {
            for (one, expect) in self.meant(part) {
                let of_one = match one {
                    Some(path) => path.to_string(),
                    None => part.recipients.iter().map(Recipient::to_string).collect::<Vec<_>>().join(" "),
                };
                let mut told = expect.judge(&part.ruling, received, directory);
                if one.is_some() {
                    judge_recipients(expect.recipients.as_deref(), std::slice::from_ref(part), &mut told);
                }
                if parts.len() > 1 || one.is_some() {
                    for failure in &mut told {
                        failure.what = format!("for {of_one}: {}", failure.what);
                    }
                }
                failures.extend(told);
            }
        }
        let is_none = |path: &&Path| !parts.iter().any(|part| part.recipients.iter().any(|one| one == *path));
        failures.extend(
            self.of_one.iter().map(|(path, _)| path).filter(is_none).map(|path| told(format!("for: the mail has no recipient {path}"))),
        );
        judge_recipients(self.recipients.as_deref(), parts, &mut failures);
        failures
    }

    /// What came out otherwise in one part.
    fn judge(&self, ruling: &Ruling, received: &Message, directory: &std::path::Path) -> Vec<Failure> {
        let mut failures = Vec::new();
        self.judge_ruling(ruling, &mut failures);
        self.judge_envelope(ruling, &mut failures);
        self.judge_message(ruling, received, directory, &mut failures);
        if !failures.is_empty() {
            // What a rule failed of is often why.
            failures.extend(ruling.failures.iter().map(|failed| told(format!("the rule `{}` failed: {}", failed.rule, failed.error))));
            let observed: Vec<&str> = ruling.observed().collect();
            if !observed.is_empty() {
                failures.push(told(format!("only observed, without effect (`mode: observe`): {}", observed.join(", "))));
            }
        }
        failures
    }

    fn judge_ruling(&self, ruling: &Ruling, failures: &mut Vec<Failure>) {
        let fired: Vec<&str> = ruling.all_fired().map(AsRef::as_ref).collect();
        differs("outcome", self.outcome, ruling.word(), failures);
        differs("route", self.route.as_deref(), ruling.route.as_deref().unwrap_or(DEFAULT), failures);
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
    }

    fn judge_message(&self, ruling: &Ruling, received: &Message, directory: &std::path::Path, failures: &mut Vec<Failure>) {
        let result = result(ruling);
        let (before, after) = (bytes(received), bytes(&ruling.mail.message));
        for (key, condition) in &self.conditions {
            match condition.holds(&result) {
                Ok(true) => {}
                Ok(false) if *key == "score" => failures.push(told(format!("score: got {}", result.score("")))),
                Ok(false) if before == after => failures.push(told(format!("{key}: does not hold for the message, which is as it came"))),
                Ok(false) => failures.push(Failure {
                    what: format!("{key}: does not hold for the result, which is the message with these changes"),
                    difference: Some(difference(&before, &after)),
                }),
                Err(error) => failures.push(told(format!("{key}: {error}"))),
            }
        }
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

/// Whom the mail is for in the end, over these parts.
fn judge_recipients(expected: Option<&[String]>, parts: &[Part], failures: &mut Vec<Failure>) {
    let go_on = parts.iter().filter(|part| part.ruling.outcome == Outcome::Deliver || parts.len() == 1);
    let got: Vec<&str> = go_on.flat_map(|part| part.ruling.mail.envelope.recipients.iter().map(Recipient::address)).collect();
    if let Some(expected) = expected
        && *expected != got
    {
        failures.push(told(format!("recipients: expected [{}], got [{}]", expected.join(", "), got.join(", "))));
    }
}

/// `for`: recipients as the client gives them. What stands beside it in `expect` holds for each, unless it is said anew; `recipients` speaks of all of them.
fn each(node: &Node, beside: &Node, rules: &[&str], load: &mut Load<'_>) -> Result<Vec<(Path, Expect)>, Reported> {
    let label = "such as `{anna@inside.example: {outcome: reject}}`";
    let Kind::Map(entries) = &node.kind else {
        return Err(load.problems.error(&node.span, "`for` wants a mapping: recipients, and what is expected of each", label));
    };
    let mut of_one = Vec::with_capacity(entries.len());
    for (key, expected) in entries {
        let path = Path::parse(&key.text)
            .map_err(|error| load.problems.error(&key.span, format!("`{}` is no address: {error}", key.text), label))?;
        if let Some(again) = expected.map().unwrap_or_default().iter().find(|(key, _)| key.text == "for") {
            return Err(load.problems.error(&again.0.span, "`for` inside `for`", "it names one recipient already"));
        }
        let said = |key: &str| expected.map().unwrap_or_default().iter().any(|(known, _)| known.text == key);
        let inherited = beside
            .map()
            .unwrap_or_default()
            .iter()
            .filter(|(key, _)| !["for", "recipients"].contains(&key.text.as_str()) && !said(&key.text));
        let mut whole = expected.clone();
        if let Kind::Map(own) = &mut whole.kind {
            own.extend(inherited.cloned());
        }
        of_one.push((path, Expect::load(&whole, rules, load)?));
    }
    Ok(of_one)
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

/// The name of a route.
fn named(node: &Node, load: &mut Load<'_>) -> Result<std::sync::Arc<str>, Reported> {
    let name = String::from_node(node, load.problems)?;
    load.routes.named(&name, &node.span, load.problems)
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
