//! Tests of rules: `tests:` in a rule file. A test sends one mail through that file's rules alone and says what must come out; `file` has those of the whole chain.

mod expect;
mod file;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::entry::Load;
use super::example;
use super::link::Link;
use super::list::Instead;
use super::rule::RuleFile;
use super::string::word;
use super::{Chain, Limits};
use crate::base::disk;
use crate::mail::{Client, Direction, Inside, Mail, Origin, Standing};
use crate::message::Message;
use crate::smtp::envelope::{Declared, Envelope, Recipient};
use crate::smtp::path;
use crate::yaml::manual::Key;
use crate::yaml::{FromNode, Kind, Node, OneOrMany, Problems, Reported, Settings, Span};
use expect::Expect;
pub use expect::Failure;
pub use file::{Seat, TestFile, run_whole};

/// Every key of a test, for the manual.
pub const KEYS: &[Key] = &[
    Key::need("name", "a text", "an exe is held", "What a report calls it."),
    Key::may("message", "a path", "../samples/exe-attachment.eml", "The message, in a file beside this one; this or `inline` is needed."),
    Key::may("inline", "a text", "|\n  Subject: hello\n\n  Text", "The message itself, best as a `|` block."),
    Key::section("envelope", ENVELOPE, "Who sends it to whom."),
    Key::section("client", CLIENT, "Who brings it."),
    Key::may(
        "direction",
        "inbound, outbound, internal or transit",
        "outbound",
        "Which way it goes; if absent by the client's address or login and each recipient, as `inside:` of transom.yaml says.",
    ),
    Key::may(
        "time",
        "a time such as 2026-11-21T12:00:00Z",
        "2026-11-21T12:00:00Z",
        "When it comes in, for `date`; if absent there is no clock.",
    ),
    Key::may(
        "lists",
        "names of lists, each with its entries",
        "{partners: [partner.example]}",
        "What lists of transom.yaml hold in this test.",
    ),
    Key::section("expect", expect::KEYS, "What must come out; what is absent is not looked at.").needed(),
];

const ENVELOPE: &[Key] = &[
    Key::or("from", "an address", "sender@outside.example", "The sender; `<>` is none."),
    Key::or("to", "an address or a list of them", "recipient@inside.example", "The recipients."),
    Key::may("size", "a whole number", "1000", "The size that the client announces."),
];

const CLIENT: &[Key] = &[
    Key::or("address", "an address such as 192.0.2.1", "192.0.2.1", "Its address."),
    Key::may("name", "a text", "mail.outside.example", "The name of its address."),
    Key::or("helo", "a text", "client.outside.example", "What it says in EHLO."),
    Key::or("listener", "a text", "test", "The name of the listener it comes to."),
    Key::may("user", "a text", "anna", "The name under which it has logged in; then it is inside. If absent it has not."),
    Key::or("tls", "true or false", "false", "Whether it speaks in TLS."),
    Key::may("certificate", "a text or a list of them", "mail.outside.example", "The names in its certificate, which it shows in TLS."),
];

/// One test.
#[derive(Debug)]
pub struct Test {
    pub name: String,
    /// Its name in the file.
    pub span: Span,
    content: Content,
    envelope: Envelope,
    origin: Arc<Origin>,
    lists: Instead,
    expect: Expect,
}

/// Where the message comes from.
#[derive(Debug)]
enum Content {
    /// Relative to the rule file.
    File(PathBuf),
    Inline(Bytes),
}

/// How a test went.
#[derive(Clone, Debug)]
pub struct Report {
    pub test: String,
    /// `file:line`.
    pub place: String,
    pub span: Span,
    /// The rules that fired.
    pub fired: Vec<Arc<str>>,
    /// None: it passed.
    pub failures: Vec<Failure>,
    /// What came out, and the `same_as` files that it should have been: what `--update` writes.
    pub updates: Vec<(PathBuf, Vec<u8>)>,
}

impl Test {
    /// Reads a test. `rules` are the names that `fired` may use.
    ///
    /// # Errors
    /// [`Reported`], every mistake in it.
    pub fn load(node: &Node, rules: &[&str], load: &mut Load<'_>) -> Result<Test, Reported> {
        let mut settings = load.settings("a test", node)?;
        let span = settings.node("name").map_or_else(|| node.span.clone(), |name| name.span.clone());
        let name = settings.need::<String>("name", load.problems);
        let message = settings.take::<String>("message", load.problems);
        let inline = settings.take::<String>("inline", load.problems);
        let envelope = envelope(settings.node("envelope"), load);
        let origin = origin(settings.node("client"), load);
        let lists = settings.node("lists").map(|node| load.lists.instead(node, load.problems)).transpose();
        let words = Direction::ALL.map(|one| (one.word(), one));
        let direction = settings.node("direction").map(|node| word(node, &words, load.problems)).transpose();
        let time = settings.take::<Timestamp>("time", load.problems);
        let expect = match settings.node("expect") {
            Some(node) => Expect::load(node, rules, load),
            None => Err(load.problems.error(
                &span,
                "a test that expects nothing",
                "`expect` says what must come out, such as `{outcome: deliver}`",
            )),
        };
        settings.finish(load.problems)?;
        let content = match (message?, inline?) {
            (Some(file), None) => Content::File(PathBuf::from(file)),
            (None, Some(text)) => Content::Inline(normalized(text.as_bytes())),
            (one, _) => {
                let title = if one.is_some() { "a test with two messages" } else { "a test without a message" };
                return Err(load.problems.error(&span, title, "`message: FILE` or `inline: |` with the message itself is wanted"));
            }
        };
        let mut origin = origin?;
        if let Some(direction) = direction? {
            origin.standing = Standing::Stated(direction);
        }
        origin.time = time?.unwrap_or(example::NO_TIME);
        let (name, envelope, origin, lists) = (name?, envelope?, Arc::new(origin), lists?.unwrap_or_default());
        Ok(Test { name, span, content, envelope, origin, lists, expect: expect? })
    }

    /// The mail that the test sends.
    ///
    /// # Errors
    /// Why there is none.
    fn mail(&self, standing: Option<Standing>, directory: &Path) -> Result<Mail, String> {
        let bytes = match &self.content {
            Content::Inline(bytes) => bytes.clone(),
            Content::File(file) => read(&directory.join(file))?,
        };
        let message = Message::parse(bytes, &example::limits()).map_err(|refusal| refusal.to_string())?;
        let mut origin = Arc::clone(&self.origin);
        if let (Some(standing), Standing::Inside | Standing::Outside) = (standing, origin.standing) {
            Arc::make_mut(&mut origin).standing = standing;
        }
        Ok(Mail { origin, envelope: self.envelope.clone(), message })
    }

    /// A report that says why there is nothing else to report.
    fn not_run(&self, why: String) -> Report {
        let mut report = self.report();
        report.failures.push(Failure { what: why, difference: None });
        report
    }

    fn report(&self) -> Report {
        let place = format!("{}:{}", self.span.source.name, self.span.line_column().0);
        Report { test: self.name.clone(), place, span: self.span.clone(), fired: Vec::new(), failures: Vec::new(), updates: Vec::new() }
    }

    /// `standing`: where the clients of the listener stand, unless the test says the direction.
    fn run(&self, chain: &Chain, standing: Option<Standing>, directory: &Path) -> Report {
        let _lists = self.lists.put();
        let mut report = self.report();
        match self.mail(standing, directory) {
            Ok(mail) => {
                let received = mail.message.clone();
                let parts = chain.parts(&mail, false);
                report.fired = parts.iter().flat_map(|part| part.ruling.all_fired().cloned()).collect();
                report.failures = self.expect.judge_parts(&parts, &received, directory);
                report.updates = self.expect.updates(&parts, directory);
            }
            Err(why) => return self.not_run(why),
        }
        report
    }
}

/// Runs the tests of a rule file, on its rules alone.
#[must_use]
pub fn run(file: &Arc<RuleFile>, limits: Limits, inside: &Inside) -> Vec<Report> {
    let links = vec![Arc::new(Link::of(vec![Arc::clone(file)]))];
    let chain = Chain { links, limits, inside: file::with_examples(inside), ..Chain::default() };
    let directory = file.path.parent().unwrap_or(Path::new(""));
    file.tests.iter().map(|test| test.run(&chain, None, directory)).collect()
}

/// Each test that failed is an error at its place. Adds the rules that fired.
pub fn report(reports: Vec<Report>, fired: &mut BTreeSet<Arc<str>>, problems: &mut Problems) {
    for report in reports {
        if let Some(failure) = report.failures.first() {
            problems.error(
                &report.span,
                format!("the test `{}` fails", report.test),
                format!("{} (`transom test` shows all of it)", failure.what),
            );
        }
        fired.extend(report.fired);
    }
}

/// All of a message that was parsed from memory.
///
/// # Panics
/// When its content lies in a file that cannot be read.
#[must_use]
pub fn bytes(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message
        .for_each(&mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })
        .expect("a message parsed from memory is read from memory");
    bytes
}

fn read(path: &Path) -> Result<Bytes, String> {
    disk::read(path).map(|bytes| normalized(&bytes)).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// The message as it would travel: every line ends in CR LF.
#[must_use]
pub fn normalized(bytes: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    let mut start = 0;
    for at in memchr::memchr_iter(b'\n', bytes) {
        out.extend_from_slice(&bytes[start..at]);
        if at == 0 || bytes[at - 1] != b'\r' {
            out.push(b'\r');
        }
        out.push(b'\n');
        start = at + 1;
    }
    out.extend_from_slice(&bytes[start..]);
    Bytes::from(out)
}

fn envelope(node: Option<&Node>, load: &mut Load<'_>) -> Result<Envelope, Reported> {
    let path = |address: &str| path::Path::parse(address).expect("the default addresses are addresses");
    let mut envelope =
        Envelope { sender: path(example::SENDER), recipients: vec![path(example::RECIPIENT).into()], declared: Declared::default() };
    let Some(node) = node else { return Ok(envelope) };
    let mut settings = load.settings("`envelope`", node)?;
    let from = address(settings.node("from"), load);
    let to = addresses(settings.node("to"), load);
    let size = settings.take::<u64>("size", load.problems);
    settings.finish(load.problems)?;
    if let Some(from) = from? {
        envelope.sender = from;
    }
    if let Some(to) = to? {
        envelope.recipients = to.into_iter().map(Recipient::from).collect();
    }
    envelope.declared.size = size?;
    Ok(envelope)
}

/// `<>` and the empty text are the null sender; angle brackets may be written.
fn address(node: Option<&Node>, load: &mut Load<'_>) -> Result<Option<path::Path>, Reported> {
    let Some(node) = node else { return Ok(None) };
    let text = String::from_node(node, load.problems)?;
    let bare = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(&text);
    path::Path::parse(bare)
        .map(Some)
        .map_err(|error| load.problems.error(&node.span, format!("`{text}` is no address: {error}"), "such as anna@example.org"))
}

fn addresses(node: Option<&Node>, load: &mut Load<'_>) -> Result<Option<Vec<path::Path>>, Reported> {
    let Some(node) = node else { return Ok(None) };
    let items = match &node.kind {
        Kind::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    let mut paths = Vec::with_capacity(items.len());
    for item in items {
        paths.extend(address(Some(item), load)?.filter(|path| !path.is_null()));
    }
    if paths.is_empty() {
        return Err(load.problems.error(&node.span, "no recipient", "at least one address is wanted"));
    }
    Ok(Some(paths))
}

fn origin(node: Option<&Node>, load: &mut Load<'_>) -> Result<Origin, Reported> {
    let mut origin = example::origin();
    let Some(node) = node else { return Ok(origin) };
    let mut settings = load.settings("`client`", node)?;
    let address = settings.take("address", load.problems);
    let name = settings.take::<String>("name", load.problems);
    let helo = settings.take::<String>("helo", load.problems);
    let listener = settings.take::<String>("listener", load.problems);
    let user = settings.take::<String>("user", load.problems);
    let tls = settings.take::<bool>("tls", load.problems);
    let certificate = texts(&mut settings, "certificate", load);
    settings.finish(load.problems)?;
    origin.user = user?.map(Arc::from);
    let certificate = certificate?;
    if tls?.unwrap_or(certificate.is_some()) {
        origin.tls = Some(Arc::new(example::secured(certificate.unwrap_or_default())));
    }
    origin.client = Client { address: address?.or(origin.client.address), name: name?, ..Client::default() };
    origin.peer = origin.client.address;
    if origin.user.is_some() || origin.client.address.is_some_and(|address| load.inside.has_address(address)) {
        origin.standing = Standing::Inside;
    }
    if let Some(helo) = helo? {
        origin.helo = helo.into();
    }
    if let Some(listener) = listener? {
        origin.listener = Arc::from(listener);
    }
    Ok(origin)
}

/// The list under `key`: one text or several.
fn texts(settings: &mut Settings<'_>, key: &'static str, load: &mut Load<'_>) -> Result<Option<Vec<String>>, Reported> {
    Ok(settings.take::<OneOrMany<String>>(key, load.problems)?.map(|texts| texts.0))
}
