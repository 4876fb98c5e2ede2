//! Named lists: `lists:` of transom.yaml, used as `in: NAME`. A list in a file is read again when the file has changed; what became wrong meanwhile is logged, and
//! the list stays as it was.

mod content;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use content::{Content, Wrong};
use tracing::{error, info};

use super::Limits;
use super::string::word;
use crate::base::clock;
use crate::base::disk::{self, Stamp};
use crate::yaml::manual::Key;
use crate::yaml::{FromNode, Node, Problem, Problems, Reported, Settings, Source, Span};

/// How often a file is looked at, at most.
const LOOK: Duration = Duration::from_secs(1);
/// How many wrong entries are shown: a file under a wrong `kind` has as many as it has lines.
const SHOWN: usize = 100;
/// How many wrong lines a line of the log tells.
const TOLD: usize = 5;

/// What the entries of a list are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Address,
    Domain,
    Cidr,
    Regex,
    Text,
}

impl FromNode for Kind {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Kind, Reported> {
        let words =
            [("address", Kind::Address), ("domain", Kind::Domain), ("cidr", Kind::Cidr), ("regex", Kind::Regex), ("text", Kind::Text)];
        word(node, &words, problems)
    }
}

impl Kind {
    /// Whether a `#` behind a blank starts a comment: in a text or a pattern it may be meant.
    fn has_trailing_comments(self) -> bool {
        !matches!(self, Kind::Regex | Kind::Text)
    }

    /// What an entry looks like, for who wrote one that is none.
    fn example(self) -> &'static str {
        match self {
            Kind::Address => "such as anna@example.org",
            Kind::Domain => "such as example.org, or .example.org for its subdomains",
            Kind::Cidr => "such as 192.0.2.0/24 or 192.0.2.1",
            Kind::Regex | Kind::Text => "",
        }
    }
}

/// A list by its name.
#[derive(Debug)]
pub struct List {
    kind: Kind,
    limits: Limits,
    content: Arc<RwLock<Arc<Content>>>,
    /// What a rule test puts in its place.
    instead: RwLock<Option<Arc<Content>>>,
    file: Option<Arc<File>>,
}

/// The file that a list is read from.
#[derive(Debug)]
struct File {
    /// The list.
    name: String,
    path: PathBuf,
    kind: Kind,
    limits: Limits,
    seen: Mutex<Seen>,
    content: Arc<RwLock<Arc<Content>>>,
    /// Who reads it holds this, so that what was read last stays.
    reading: Mutex<()>,
}

/// When the file was looked at last, and what it was then.
#[derive(Debug)]
struct Seen {
    at: Instant,
    stamp: Option<Stamp>,
}

impl List {
    /// Whether the list has the value. Of kind `domain`: its domain, or one above it; `cidr`: a network around it; `regex`: a pattern that matches in it.
    #[must_use]
    pub fn has(&self, value: &str, exact: bool) -> bool {
        self.current().has(value, exact)
    }

    /// Whether a network of the list has the address.
    #[must_use]
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.current().has_address(address)
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    fn current(&self) -> Arc<Content> {
        if let Some(instead) = &*self.instead.read().unwrap_or_else(PoisonError::into_inner) {
            return Arc::clone(instead);
        }
        if let Some(file) = &self.file
            && file.has_changed(clock::monotonic())
        {
            let changed = Arc::clone(file);
            // Not where mail waits for it: a million lines take a while.
            if let Err(error) = thread::Builder::new().name("list".to_owned()).spawn(move || changed.read_again()) {
                error!(list = file.name, %error, "no thread to read the list again: it stays as it was until its file changes again");
            }
        }
        Arc::clone(&self.content.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl File {
    /// Whether it is time to look, and it has changed since. Who comes while another one looks hears no.
    fn has_changed(&self, now: Instant) -> bool {
        let Ok(mut seen) = self.seen.try_lock() else { return false };
        if now.saturating_duration_since(seen.at) < LOOK {
            return false;
        }
        seen.at = now;
        let stamp = disk::stamp(&self.path).ok();
        let changed = stamp != seen.stamp;
        seen.stamp = stamp;
        changed
    }

    fn read_again(&self) {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = self.path.display();
        let mut problems = Problems::default();
        if let Some((content, entries)) = read(&self.path, self.kind, &self.limits, &mut problems) {
            *self.content.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(content);
            info!(list = self.name, file = %shown, entries, "a list was read again");
        } else {
            let mut why: Vec<_> = problems.iter().take(TOLD).map(logged).collect();
            if problems.iter().count() > TOLD {
                why.push("and more".to_owned());
            }
            error!(list = self.name, file = %shown, "the list stays as it was: {}", why.join("; "));
        }
    }
}

/// A problem in one line of the log: one without a place says why in its label.
fn logged(problem: &Problem) -> String {
    let title = told(problem.span.as_ref(), &problem.title);
    if problem.span.is_none() { format!("{title}: {}", problem.label) } else { title }
}

/// A problem in one line.
fn told(span: Option<&Span>, title: &str) -> String {
    span.map_or_else(|| title.to_owned(), |span| format!("{}:{}: {title}", span.source.name, span.line_column().0))
}

/// The list of a file, and how many entries it has. None: every problem is reported.
fn read(path: &Path, kind: Kind, limits: &Limits, problems: &mut Problems) -> Option<(Content, usize)> {
    let name = path.display().to_string();
    let text =
        disk::read_to_string(path).map_err(|error| problems.missing(format!("cannot read the list {name}"), disk::cause(&error))).ok()?;
    let source = Source::new(name, text);
    let lines = lines(&source.text, kind);
    let entries: Vec<&str> = lines.iter().map(|(_, entry)| *entry).collect();
    let place = |index: usize| lines.get(index).map_or_else(|| source.span(0, 0), |(at, entry)| source.span(*at, at + entry.len()));
    let content = build(kind, &entries, limits, place, problems).ok()?;
    Some((content, entries.len()))
}

fn build(
    kind: Kind,
    entries: &[&str],
    limits: &Limits,
    place: impl Fn(usize) -> Span,
    problems: &mut Problems,
) -> Result<Content, Reported> {
    if entries.len() as u64 > limits.list_entries {
        let title = format!("a list of {} entries", entries.len());
        return Err(problems.error(&place(0), title, format!("limits.chain.list_entries is {}", limits.list_entries)));
    }
    Content::of(kind, entries, limits).map_err(|wrong: Vec<Wrong>| {
        let more = wrong.len().saturating_sub(SHOWN);
        for (index, why) in wrong.into_iter().take(SHOWN) {
            problems.error(&place(index), why, kind.example());
        }
        if more > 0 {
            problems.missing(format!("and {more} more entries like these"), "is its `kind` right?");
        }
        Reported
    })
}

/// The entries of a file, each with its place: a line each, without blanks around it; empty lines and those with a `#` in front are none.
fn lines(text: &str, kind: Kind) -> Vec<(usize, &str)> {
    let mut at = 0;
    let mut entries = Vec::new();
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        // A byte order mark is no part of the first entry.
        let (skipped, line) = if start == 0 { line.strip_prefix('\u{feff}').map_or((0, line), |line| (3, line)) } else { (0, line) };
        let mut entry = line.trim();
        if kind.has_trailing_comments()
            && let Some(end) = entry.find(" #").or_else(|| entry.find("\t#"))
        {
            entry = entry[..end].trim_end();
        }
        if !entry.is_empty() && !entry.starts_with('#') {
            entries.push((start + skipped + (line.len() - line.trim_start().len()), entry));
        }
    }
    entries
}

/// All lists of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    known: BTreeMap<String, Arc<List>>,
    /// Those that could not be read: that was told, so nothing is said of who uses them.
    broken: BTreeSet<String>,
}

impl Lists {
    /// Reads `lists:`; files are relative to `base`. Every problem in every list is reported.
    pub fn load(node: &Node, base: &Path, limits: Limits, problems: &mut Problems) -> Lists {
        let mut lists = Lists::default();
        let Some(entries) = node.map() else {
            problems.error(&node.span, "`lists` wants a mapping", "names, each with `file` or `values`, and `kind`");
            return lists;
        };
        for (name, node) in entries {
            match list(&name.text, node, base, limits, problems) {
                Ok(list) => drop(lists.known.insert(name.text.clone(), Arc::new(list))),
                Err(Reported) => drop(lists.broken.insert(name.text.clone())),
            }
        }
        lists
    }

    /// The list that a word names.
    ///
    /// # Errors
    /// [`Reported`] if there is none of that name.
    pub fn named(&self, node: &Node, problems: &mut Problems) -> Result<Arc<List>, Reported> {
        let name = String::from_node(node, problems)?;
        self.find(&name, &node.span, problems)
    }

    fn find(&self, name: &str, span: &Span, problems: &mut Problems) -> Result<Arc<List>, Reported> {
        if let Some(list) = self.known.get(name) {
            return Ok(Arc::clone(list));
        }
        if self.broken.contains(name) {
            return Err(Reported);
        }
        let label = match crate::yaml::nearest(name, self.known.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`lists:` in transom.yaml gives lists their names; several texts stand in brackets: `in: [a, b]`".to_owned(),
        };
        Err(problems.error(span, format!("no list is called `{name}`"), label))
    }

    /// `lists:` of a rule test: what stands in the place of named lists.
    ///
    /// # Errors
    /// [`Reported`], every mistake in it.
    pub fn instead(&self, node: &Node, problems: &mut Problems) -> Result<Instead, Reported> {
        let Some(entries) = node.map() else {
            return Err(problems.error(&node.span, "`lists` wants a mapping", "names, each with the entries the test is to have"));
        };
        let read = |(name, node): &(crate::yaml::Key, Node)| {
            let list = self.find(&name.text, &name.span, problems)?;
            let content = values(node, list.kind, &list.limits, problems)?;
            Ok((list, Arc::new(content)))
        };
        let read: Vec<_> = entries.iter().map(read).collect();
        read.into_iter().collect::<Result<_, _>>().map(Instead)
    }
}

/// Every key of a list, for the manual.
pub const KEYS: &[Key] = &[
    Key::need("kind", "address, domain, cidr, regex or text", "domain", "What its entries are; of domains `.x` is the subdomains of x."),
    Key::may("values", "a list of entries", "[partner.example, .partner.example]", "The entries; these or `file` are needed."),
    Key::may("file", "a path", "", "A file of entries, one a line; it is read again when it changes."),
];

fn list(name: &str, node: &Node, base: &Path, limits: Limits, problems: &mut Problems) -> Result<List, Reported> {
    let mut settings = Settings::of(format!("the list `{name}`"), node, problems)?;
    let kind = settings.need::<Kind>("kind", problems);
    let file = settings.node("file");
    let given = settings.node("values");
    settings.finish(problems)?;
    let kind = kind?;
    let (content, file) = match (file, given) {
        (Some(file), None) => {
            let path = base.join(String::from_node(file, problems)?);
            let stamp = disk::stamp(&path).ok();
            let mut found = Problems::default();
            let content = read(&path, kind, &limits, &mut found);
            let missing = stamp.is_none().then(|| format!("{} cannot be read", path.display()));
            match missing {
                // What is not there is told where it is named.
                Some(title) => return Err(problems.error(&file.span, title, "no such file, or not one that Transom may read")),
                None => problems.append(found),
            }
            let Some((content, _)) = content else { return Err(Reported) };
            (content, Some((path, Mutex::new(Seen { at: clock::monotonic(), stamp }))))
        }
        (None, Some(given)) => (values(given, kind, &limits, problems)?, None),
        (one, _) => {
            let title = if one.is_some() { "a list with both `file` and `values`" } else { "a list without entries" };
            return Err(problems.error(&node.span, title, "`file: lists/names.txt` or `values: […]` is wanted"));
        }
    };
    let content = Arc::new(RwLock::new(Arc::new(content)));
    let file = file.map(|(path, seen)| {
        let content = Arc::clone(&content);
        Arc::new(File { name: name.to_owned(), path, kind, limits, seen, content, reading: Mutex::default() })
    });
    Ok(List { kind, limits, content, instead: RwLock::default(), file })
}

fn values(node: &Node, kind: Kind, limits: &Limits, problems: &mut Problems) -> Result<Content, Reported> {
    let Some(items) = node.list() else {
        return Err(problems.error(&node.span, "a list of entries is wanted", "such as `[one, two]`"));
    };
    let texts: Vec<_> = items.iter().map(|item| String::from_node(item, problems)).collect();
    let texts = texts.into_iter().collect::<Result<Vec<String>, _>>()?;
    let entries: Vec<&str> = texts.iter().map(String::as_str).collect();
    let place = |index: usize| items.get(index).unwrap_or(node).span.clone();
    build(kind, &entries, limits, place, problems)
}

/// What a rule test puts in the place of lists.
#[derive(Debug, Default)]
pub struct Instead(Vec<(Arc<List>, Arc<Content>)>);

/// As long as it lives, the lists hold what a test gave them.
#[derive(Debug)]
#[must_use = "dropped, the lists are what they were"]
pub struct Replaced<'i>(&'i Instead);

impl Instead {
    /// Puts it in place. Tests run one after the other, on a chain that no mail goes through.
    pub fn put(&self) -> Replaced<'_> {
        for (list, content) in &self.0 {
            *list.instead.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(content));
        }
        Replaced(self)
    }
}

impl Drop for Replaced<'_> {
    fn drop(&mut self) {
        for (list, _) in &self.0.0 {
            *list.instead.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse;

    fn load(text: &str, base: &Path) -> Result<Lists, Vec<String>> {
        let mut problems = Problems::default();
        let node = parse(&Source::new("transom.yaml", text), &mut problems).unwrap();
        let limits = Limits { list_entries: 4, ..Limits::default() };
        let lists = Lists::load(&node, base, limits, &mut problems);
        let told: Vec<_> =
            problems.iter().map(|problem| format!("{} | {}", told(problem.span.as_ref(), &problem.title), problem.label)).collect();
        if told.is_empty() { Ok(lists) } else { Err(told) }
    }

    fn wrong(text: &str) -> Vec<String> {
        load(text, Path::new("/nowhere")).map(|_| ()).unwrap_err()
    }

    /// A directory with a list file, and the list.
    fn file(kind: &str, content: &str) -> (tempfile::TempDir, Result<Arc<List>, Vec<String>>) {
        let directory = tempfile::tempdir().unwrap();
        disk::write(&directory.path().join("a.txt"), content.as_bytes()).unwrap();
        let list = load(&format!("a: {{file: a.txt, kind: {kind}}}"), directory.path()).map(|lists| Arc::clone(&lists.known["a"]));
        (directory, list)
    }

    /// Looks as if so many seconds had passed.
    fn look(list: &List, seconds: u32) {
        let file = list.file.as_ref().unwrap();
        assert!(file.has_changed(clock::monotonic() + LOOK * seconds));
        file.read_again();
    }

    #[test]
    fn a_list_is_given_in_place_or_in_a_file_with_comments_and_blank_lines() {
        let lists = load("{a: {kind: text, values: [one, 'two # 2']}}", Path::new("")).unwrap();
        assert!(lists.known["a"].has("ONE", false) && lists.known["a"].has("two # 2", false));
        let (_directory, list) = file("domain", "\u{feff}# partners\r\n\r\n  a.example \t# the first\r\n.b.example\n");
        let list = list.unwrap();
        assert!(list.has("a.example", false) && list.has("x.b.example", false) && !list.has("partners", false));
        let (_directory, list) = file("text", "issue #5\n#issue\n");
        assert!(list.unwrap().has("Issue #5", false));
    }

    #[test]
    fn every_bad_line_is_told_with_its_place() {
        let (_directory, list) = file("cidr", "10.0.0.0/8\n# x\nten\n\n  10.0.0.0/99\n");
        let told = list.map(|_| ()).unwrap_err();
        assert_eq!(told.len(), 2);
        assert!(told[0].contains("a.txt:3: `ten` is no network") && told[1].contains("a.txt:5: "), "{told:#?}");
    }

    #[test]
    fn a_file_under_a_wrong_kind_is_told_in_bounded_space() {
        let mut problems = Problems::default();
        let text = "not a network\n".repeat(200_000);
        let source = Source::new("a.txt", text);
        let entries: Vec<&str> = source.text.lines().collect();
        assert!(build(Kind::Cidr, &entries, &Limits::default(), |_| source.span(0, 3), &mut problems).is_err());
        assert_eq!(problems.iter().count(), SHOWN + 1);
        assert_eq!(problems.iter().last().unwrap().title, "and 199900 more entries like these");
    }

    #[test]
    fn mistakes_in_the_settings_are_told() {
        for (text, expected) in [
            ("{a: {kind: text}}", "a list without entries"),
            ("{a: {kind: text, values: [x], file: y}}", "both `file` and `values`"),
            ("{a: {values: [x]}}", "has no `kind`"),
            ("{a: {kind: cdir, values: [x]}}", "did you mean `cidr`?"),
            ("{a: {kind: text, values: x}}", "a list of entries is wanted"),
            ("{a: {kind: text, values: [1, 2, 3, 4, 5]}}", "limits.chain.list_entries is 4"),
            ("{a: {kind: cidr, values: [10.0.0.0/8, x]}}", "transom.yaml:1: `x` is no network"),
            ("{a: {kind: text, file: none.txt}}", "/nowhere/none.txt cannot be read"),
            ("[a]", "`lists` wants a mapping"),
        ] {
            let told = wrong(text);
            assert!(told.len() == 1 && told[0].contains(expected), "{expected}: {told:#?}");
        }
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_wrong_one_leaves_the_list_as_it_was() {
        let (directory, list) = file("domain", "a.example\n");
        let (list, path) = (list.unwrap(), directory.path().join("a.txt"));
        disk::write(&path, b"a.example\nbb.example\n").unwrap();
        assert!(!list.has("bb.example", false), "looked at more than once a second");
        look(&list, 2);
        assert!(list.has("bb.example", false));
        disk::write(&path, b"c.example\nnot a domain\n").unwrap();
        look(&list, 4);
        assert!(list.has("bb.example", false) && !list.has("c.example", false));
        disk::remove_file(&path).unwrap();
        look(&list, 6);
        assert!(list.has("bb.example", false));
        let mut problems = Problems::default();
        assert!(read(&path, Kind::Domain, &Limits::default(), &mut problems).is_none());
        let told = problems.iter().map(logged).collect::<String>();
        assert!(told.starts_with("cannot read the list ") && told.contains("a.txt: no such file"), "{told}");
        disk::write(&path, b"c.example\n").unwrap();
        look(&list, 8);
        assert!(!list.has("bb.example", false) && list.has("c.example", false));
    }

    #[test]
    fn a_test_puts_its_own_entries_in_place_for_a_while() {
        let lists = load("{a: {kind: domain, values: [a.example]}}", Path::new("")).unwrap();
        let mut problems = Problems::default();
        let node = parse(&Source::new("test.yaml", "{a: [b.example]}"), &mut problems).unwrap();
        let instead = lists.instead(&node, &mut problems).unwrap();
        let list = &lists.known["a"];
        {
            let _replaced = instead.put();
            assert!(list.has("b.example", false) && !list.has("a.example", false));
        }
        assert!(list.has("a.example", false) && !list.has("b.example", false));
        let node = parse(&Source::new("test.yaml", "{b: [b.example]}"), &mut problems).unwrap();
        assert!(lists.instead(&node, &mut problems).is_err());
        assert_eq!(problems.iter().next().unwrap().label, "did you mean `a`?");
    }
}
