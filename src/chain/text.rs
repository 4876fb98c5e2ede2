//! Texts with `$1 ${name} ${sender} …` in them: read at load, filled per message, never expanded twice.
//!
//! | written                | stands for                                                          |
//! |------------------------|---------------------------------------------------------------------|
//! | `$1`–`$9`, `${1}`      | groups of the action's own `matches`                                |
//! | `${name}`              | a named group of the action's `matches`, else of the rule's `when`  |
//! | `${sender}`            | the envelope sender, empty for `<>`                                 |
//! | `${recipient}`         | this recipient; a `log` line names all of its class                 |
//! | `${header:Subject}`    | the decoded value of the first field of that name, else empty       |
//! | `${client.address}`    | the client's address, empty where there is none                     |
//! | `${score}`             | the unnamed score, without fraction when whole                      |
//! | `$$`                   | a dollar                                                            |

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use regex::{Captures, Regex};

use super::{ActionError, Load, Run};
use crate::smtp::envelope::Recipient;
use crate::yaml::{FromNode, Node, Reported, nearest};

/// How long a text in a reply may be. RFC 5321 4.5.3.1.5 allows 512 octets a line; code, enhanced code and line end need the rest.
pub const REPLY_TEXT: usize = 450;

const WORDS: [&str; 5] = ["sender", "recipient", "client.address", "score", "header:Subject"];

/// A text, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pieces: Vec<Piece>,
    /// There is nothing to fill in, and it is safe in every place.
    ready: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// A group of the action's own `matches`.
    Group(usize),
    /// A named group of the rule's `when`.
    Captured(String),
    Sender,
    Recipient,
    Header(String),
    ClientAddress,
    Score,
}

/// Where a filled text goes; decides how it is made safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header value: no CR, LF or NUL. (RFC 2047 is the field's own work.)
    Header,
    /// A reply: printable ASCII of bounded length.
    Reply,
    /// An address: as it is, since it must parse as one anyway.
    Envelope,
    /// A plain body.
    Body,
    /// The source of an HTML body. What the own `matches` found is source already; every other value is escaped.
    HtmlSource,
    /// A line of the log, a reason: no control characters.
    Log,
}

/// What a text may name: the groups of the own `matches`, and the names captured by the rule's `when`.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    pub own: Option<&'a Regex>,
    pub captured: &'a BTreeSet<String>,
}

/// Where values come from when a text is filled. The run is one.
pub trait Values {
    /// What a named group of the rule's `when` matched.
    fn captured(&self, name: &str) -> Option<String>;
    fn sender(&self) -> &str;
    /// Those of the class.
    fn recipients(&self) -> Vec<&str>;
    /// The decoded value of the first field of this name.
    fn header(&self, name: &str) -> Option<String>;
    fn client_address(&self) -> Option<String>;
    fn score(&self) -> f64;
}

impl Values for Run {
    fn captured(&self, name: &str) -> Option<String> {
        self.group(name)
    }

    fn sender(&self) -> &str {
        self.mail.envelope.sender.address()
    }

    fn recipients(&self) -> Vec<&str> {
        self.these_recipients().iter().map(Recipient::address).collect()
    }

    fn header(&self, name: &str) -> Option<String> {
        self.mail.message.fields().iter().find(|field| field.is(name)).map(|field| field.value().into_owned())
    }

    fn client_address(&self) -> Option<String> {
        self.mail.origin.client.address.map(|address| address.to_string())
    }

    fn score(&self) -> f64 {
        Run::score(self, "")
    }
}

/// A filled text, and which of its bytes came from values rather than from the rule file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    pub text: String,
    pub values: Vec<Range<usize>>,
}

/// Fills a text for one match after another. What names no group of the match is filled once, at the first: a long header is not decoded for each.
#[derive(Debug)]
pub struct Filling<'t> {
    text: &'t Text,
    place: Place,
    fixed: Option<Arc<str>>,
}

impl<'t> Filling<'t> {
    #[must_use]
    pub fn of(text: &'t Text, place: Place) -> Filling<'t> {
        Filling { text, place, fixed: None }
    }

    /// Whether it differs from match to match.
    #[must_use]
    pub fn names_groups(&self) -> bool {
        self.text.pieces.iter().any(|piece| matches!(piece, Piece::Group(_)))
    }

    /// The text for this match; its groups are wanted only if it names some.
    ///
    /// # Errors
    /// As [`Text::fill`].
    pub fn fill(&mut self, found: Option<&Captures>, values: &dyn Values) -> Result<Arc<str>, ActionError> {
        if self.names_groups() {
            return Ok(self.text.fill(self.place, found, values)?.into());
        }
        match &self.fixed {
            Some(text) => Ok(Arc::clone(text)),
            None => Ok(Arc::clone(self.fixed.insert(self.text.fill(self.place, None, values)?.into()))),
        }
    }
}

impl Text {
    /// Reads the text of a scalar; `own` is the action's own `matches`.
    ///
    /// # Errors
    /// [`Reported`] if it names what is not there.
    pub fn load(node: &Node, own: Option<&Regex>, load: &mut Load<'_>) -> Result<Text, Reported> {
        let source = String::from_node(node, load.problems)?;
        let text = Text::parse(&source, Known { own, captured: &load.groups })
            .map_err(|(title, label)| load.problems.error(&node.span, title, label))?;
        load.uses.recipient.extend(text.pieces.iter().find_map(|piece| match piece {
            Piece::Recipient => Some(("${recipient}".to_owned(), node.span.clone())),
            Piece::Captured(name) if load.uses.groups.contains(name) => Some((format!("${{{name}}}"), node.span.clone())),
            _ => None,
        }));
        if text.pieces.iter().any(|piece| matches!(piece, Piece::Header(_))) {
            load.uses.header.push(node.span.clone());
        }
        Ok(text)
    }

    /// A text without anything to fill.
    #[must_use]
    pub fn literal(text: &str) -> Text {
        Text::of(vec![Piece::Literal(text.to_owned())])
    }

    fn of(pieces: Vec<Piece>) -> Text {
        let text = Text { pieces, ready: false };
        let ready = text.as_literal().is_some_and(is_harmless);
        Text { ready, ..text }
    }

    /// The text itself if there is nothing to fill in.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    fn parse(source: &str, known: Known) -> Result<Text, (String, String)> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = source;
        while let Some(at) = rest.find('$') {
            literal.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix('$') {
                literal.push('$');
                rest = after;
                continue;
            }
            let (name, after) = variable(after)?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(piece(name, known)?);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Text::of(pieces))
    }

    /// Fills the text and makes it safe for its place.
    ///
    /// # Errors
    /// `${recipient}` for a message to several, elsewhere than in a log line.
    pub fn fill(&self, place: Place, own: Option<&Captures>, values: &dyn Values) -> Result<Cow<'_, str>, ActionError> {
        match self.as_literal().filter(|text| self.ready && (place != Place::Reply || text.len() <= REPLY_TEXT)) {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => Ok(Cow::Owned(self.fill_tracked(place, own, values)?.text)),
        }
    }

    /// As [`Text::fill`], and says which bytes are values.
    ///
    /// # Errors
    /// As [`Text::fill`].
    pub fn fill_tracked(&self, place: Place, own: Option<&Captures>, values: &dyn Values) -> Result<Filled, ActionError> {
        let mut filled = Filled::default();
        for piece in &self.pieces {
            let value = match piece {
                Piece::Literal(text) => {
                    filled.text.push_str(&safe(text, place));
                    continue;
                }
                Piece::Group(group) => own.and_then(|own| own.get(*group)).map_or("", |found| found.as_str()).to_owned(),
                Piece::Captured(name) => values.captured(name).unwrap_or_default(),
                Piece::Sender => values.sender().to_owned(),
                Piece::Recipient => recipient(place, values)?,
                Piece::Header(name) => values.header(name).unwrap_or_default(),
                Piece::ClientAddress => values.client_address().unwrap_or_default(),
                Piece::Score => number(values.score()),
            };
            let start = filled.text.len();
            let source = place == Place::HtmlSource && !matches!(piece, Piece::Group(_));
            let value = safe(&value, place);
            filled.text.push_str(&if source { Cow::Owned(escape_html(&value)) } else { value });
            filled.values.push(start..filled.text.len());
        }
        if place == Place::Reply {
            filled.text.truncate(REPLY_TEXT);
        }
        Ok(filled)
    }
}

/// Splits what follows a dollar into the variable's name and the rest.
fn variable(after: &str) -> Result<(&str, &str), (String, String)> {
    if let Some(inner) = after.strip_prefix('{') {
        let end = inner.find('}').ok_or_else(|| ("`${` without `}`".to_owned(), "write `$$` for a dollar".to_owned()))?;
        return Ok((&inner[..end], &inner[end + 1..]));
    }
    match after.as_bytes().first() {
        Some(b'1'..=b'9') => Ok(after.split_at(1)),
        _ => Err(("a `$` that stands for nothing".to_owned(), "write `$$` for a dollar, `$1` or `${name}` for a value".to_owned())),
    }
}

fn piece(name: &str, known: Known) -> Result<Piece, (String, String)> {
    if let Ok(group) = name.parse::<usize>() {
        let groups = known.own.map_or(0, |own| own.captures_len() - 1);
        return if (1..=groups).contains(&group) { Ok(Piece::Group(group)) } else { Err(no_group(group, groups, known.own.is_some())) };
    }
    if let Some(field) = name.strip_prefix("header:") {
        return if is_field_name(field) {
            Ok(Piece::Header(field.to_owned()))
        } else {
            Err((format!("`{field}` is no field name"), "a name such as Subject is wanted after `header:`".to_owned()))
        };
    }
    if let Some(index) = known.own.and_then(|own| own.capture_names().position(|group| group == Some(name))) {
        return Ok(Piece::Group(index));
    }
    match name {
        "sender" => Ok(Piece::Sender),
        "recipient" => Ok(Piece::Recipient),
        "client.address" => Ok(Piece::ClientAddress),
        "score" => Ok(Piece::Score),
        _ if known.captured.contains(name) => Ok(Piece::Captured(name.to_owned())),
        _ => Err((format!("unknown name `${{{name}}}`"), suggestion(name, known))),
    }
}

fn no_group(group: usize, groups: usize, has_own: bool) -> (String, String) {
    let label = match (has_own, groups) {
        (false, _) => "only an action with `matches` of its own has numbered groups; name the group in `when`: `(?<name>…)`".to_owned(),
        (true, 0) => "`matches` has no groups; put parentheses around what is wanted".to_owned(),
        (true, groups) => format!("the groups of `matches` are 1 to {groups}"),
    };
    (format!("there is no group {group}"), label)
}

fn suggestion(name: &str, known: Known) -> String {
    let own = known.own.into_iter().flat_map(|own| own.capture_names().flatten());
    let valid: Vec<&str> = WORDS.into_iter().chain(known.captured.iter().map(String::as_str)).chain(own).collect();
    match nearest(name, valid.iter().copied()) {
        Some(near) => format!("did you mean `${{{near}}}`?"),
        None => format!("the names here are {}", valid.join(", ")),
    }
}

/// RFC 5322 3.6.8: printable ASCII but the colon.
#[must_use]
pub fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| matches!(byte, 33..=126) && byte != b':')
}

fn recipient(place: Place, values: &dyn Values) -> Result<String, ActionError> {
    let recipients = values.recipients();
    match recipients.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Ok(String::new()),
        many if place == Place::Log => Ok(many.join(", ")),
        // One copy goes to all of them: naming one would be wrong for the others, naming all would show them to each other.
        many => Err(ActionError::Message(format!("`${{recipient}}` speaks of one recipient, and the message has {}", many.len()))),
    }
}

/// A number without fraction when whole.
fn number(value: f64) -> String {
    let mut text = String::new();
    // Sums such as 0.1 + 0.2 are shown as written by hand: at most six decimals.
    write!(text, "{value:.6}").expect("a String takes what is written");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Whether it is safe in every place.
fn is_harmless(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn safe(text: &str, place: Place) -> Cow<'_, str> {
    if is_harmless(text) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(match place {
        Place::Header => {
            text.replace("\r\n", " ").chars().filter(|c| *c != '\0').map(|c| if matches!(c, '\r' | '\n') { ' ' } else { c }).collect()
        }
        Place::Reply => text
            .chars()
            .map(|c| {
                if matches!(c, ' '..='~') {
                    c
                } else if c.is_control() {
                    ' '
                } else {
                    '?'
                }
            })
            .collect(),
        Place::Log => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        Place::Body | Place::HtmlSource => {
            text.replace("\r\n", "\n").chars().filter(|c| *c != '\0').map(|c| if c == '\r' { '\n' } else { c }).collect()
        }
        Place::Envelope => text.to_owned(),
    })
}

/// Text as it must stand in HTML source, between tags or in a quoted attribute.
#[must_use]
pub fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Vec<&'static str>);

    const FROM: &str = "a@example.org";

    impl Values for Fixed {
        fn captured(&self, name: &str) -> Option<String> {
            (name == "word").then(|| "${sender}\r\nBcc: x <b> é".to_owned())
        }
        fn sender(&self) -> &str {
            if self.0.is_empty() { "" } else { FROM }
        }
        fn recipients(&self) -> Vec<&str> {
            self.0.clone()
        }
        fn header(&self, name: &str) -> Option<String> {
            name.eq_ignore_ascii_case("subject").then(|| "hi $1".to_owned())
        }
        fn client_address(&self) -> Option<String> {
            Some("192.0.2.1".to_owned())
        }
        fn score(&self) -> f64 {
            0.1 + 0.2
        }
    }

    fn fill(source: &str, place: Place) -> String {
        let own = Regex::new(r"(?<first>\w)(\w)?").unwrap();
        let captured = BTreeSet::from(["word".to_owned()]);
        let text = Text::parse(source, Known { own: Some(&own), captured: &captured }).unwrap();
        text.fill(place, own.captures("<").or(own.captures("x")).as_ref(), &Fixed(vec!["b@example.org"])).unwrap().into_owned()
    }

    fn refused(source: &str) -> String {
        let (title, label) =
            Text::parse(source, Known { own: Some(&Regex::new("(a)").unwrap()), captured: &BTreeSet::from(["word".to_owned()]) })
                .unwrap_err();
        format!("{title}; {label}")
    }

    #[test]
    fn every_name_is_filled_and_a_group_that_took_no_part_is_empty() {
        assert_eq!(
            fill("$1${1}$2${first}|$$5|${sender}|${recipient}|${client.address}|${score}", Place::Log),
            "xxx|$5|a@example.org|b@example.org|192.0.2.1|0.3"
        );
        assert_eq!(fill("$10", Place::Log), "x0");
    }

    #[test]
    fn values_are_never_expanded_again() {
        assert_eq!(fill("${header:Subject} $$1", Place::Body), "hi $1 $1");
    }

    #[test]
    fn values_are_made_safe_for_their_place() {
        assert_eq!(fill("${word}", Place::Header), "${sender} Bcc: x <b> é");
        assert_eq!(fill("${word}", Place::Reply), "${sender}  Bcc: x <b> ?");
        assert_eq!(fill("<i>${word}</i>$1", Place::HtmlSource), "<i>${sender}\nBcc: x &lt;b&gt; é</i>x");
        assert_eq!(fill(&"ö".repeat(600), Place::Reply).len(), REPLY_TEXT);
    }

    #[test]
    fn unknown_names_and_groups_are_told_with_the_nearest() {
        assert!(refused("$2").contains("the groups of `matches` are 1 to 1"));
        assert!(refused("${sendr}").contains("did you mean `${sender}`?"));
        assert!(refused("${wrd}").contains("did you mean `${word}`?"));
        assert!(refused("costs $ 5").contains("write `$$`"));
        assert!(refused("${sender").contains("without `}`"));
        assert!(refused("$").contains("stands for nothing"));
        assert!(refused("${header:a b}").contains("no field name"));
        assert!(refused("$0").contains("stands for nothing"));
        assert!(refused("${0}").contains("there is no group 0"));
    }

    #[test]
    fn one_text_for_several_recipients_may_name_them_only_in_the_log() {
        let text = Text::parse("${recipient}", Known { own: None, captured: &BTreeSet::new() }).unwrap();
        let two = Fixed(vec!["a@x.example", "b@x.example"]);
        assert!(text.fill(Place::Header, None, &two).is_err());
        assert_eq!(text.fill(Place::Log, None, &two).unwrap(), "a@x.example, b@x.example");
    }

    #[test]
    fn bytes_that_are_values_are_known() {
        let text = Text::parse("x@${client.address}", Known { own: None, captured: &BTreeSet::new() }).unwrap();
        let filled = text.fill_tracked(Place::Envelope, None, &Fixed(vec![])).unwrap();
        assert_eq!(filled, Filled { text: "x@192.0.2.1".into(), values: std::iter::once(2..11).collect() });
    }
}
