//! What a list holds, in a form that finds one of a million entries as fast as one of ten.
//!
//! | kind              | form                                                                                    |
//! |-------------------|-----------------------------------------------------------------------------------------|
//! | `address`, `text` | a hash table of folded texts                                                            |
//! | `domain`          | two: domains, and parents of subdomains; one look-up a label                            |
//! | `cidr`            | a hash table of networks; one look-up a prefix length that occurs                       |
//! | `regex`           | sets of at most 100; one automaton of their literals says which sets are worth a search |

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use aho_corasick::AhoCorasick;
use ipnet::IpNet;
use regex::{RegexSet, RegexSetBuilder};
use regex_syntax::hir::literal::{ExtractKind, Extractor};

use super::Kind;
use crate::chain::Limits;
use crate::chain::pattern::{self, Flags};
use crate::chain::string::fold;
use crate::smtp::path::Path;

/// Larger automata take far longer to build and to search than several of this size (DESIGN decision 9).
const PATTERNS_IN_A_SET: usize = 100;
/// A shorter literal is in most texts and would spare no search.
const SHORTEST_LITERAL: usize = 3;

/// The entries of a list, ready to be looked up.
#[derive(Debug)]
pub enum Content {
    Texts(Texts),
    Domains(Domains),
    Networks(Networks),
    Patterns(Patterns),
}

/// What is wrong with an entry: its place in what was given, and why.
pub type Wrong = (usize, String);

impl Content {
    /// Reads the entries.
    ///
    /// # Errors
    /// Every entry that is wrong.
    pub fn of(kind: Kind, entries: &[&str], limits: &Limits) -> Result<Content, Vec<Wrong>> {
        match kind {
            Kind::Address => each(entries, |entry| address(entry)).map(|all| Content::Texts(Texts::of(all))),
            Kind::Text => Ok(Content::Texts(Texts::of(entries.iter().copied()))),
            Kind::Domain => each(entries, domain).map(|all| Content::Domains(Domains::of(all))),
            Kind::Cidr => each(entries, network).map(|all| Content::Networks(Networks::of(all))),
            Kind::Regex => Patterns::of(entries, limits).map(Content::Patterns),
        }
    }

    /// Whether the list has the value: the text itself, the domain (of an address too) or one above it, a network around the address, a pattern that matches in it.
    #[must_use]
    pub fn has(&self, value: &str, exact: bool) -> bool {
        match self {
            Content::Texts(texts) => texts.has(value, exact),
            Content::Domains(domains) => domains.has(value),
            Content::Networks(networks) => literal(value).is_some_and(|address| networks.has(address)),
            Content::Patterns(patterns) => patterns.matches(value),
        }
    }

    /// Whether a network of the list has the address.
    #[must_use]
    pub fn has_address(&self, address: IpAddr) -> bool {
        matches!(self, Content::Networks(networks) if networks.has(address))
    }
}

fn each<'e, T>(entries: &[&'e str], read: impl Fn(&'e str) -> Result<T, String>) -> Result<Vec<T>, Vec<Wrong>> {
    let (mut all, mut wrong) = (Vec::with_capacity(entries.len()), Vec::new());
    for (index, entry) in entries.iter().enumerate() {
        match read(entry) {
            Ok(one) => all.push(one),
            Err(why) => wrong.push((index, why)),
        }
    }
    if wrong.is_empty() { Ok(all) } else { Err(wrong) }
}

fn address(entry: &str) -> Result<&str, String> {
    match Path::parse(entry) {
        Ok(path) if path.domain().is_some() && path.address() == entry => Ok(entry),
        _ => Err(format!("`{entry}` is no address")),
    }
}

/// Lower case, the root's dot gone; a leading dot means the subdomains.
fn domain(entry: &str) -> Result<String, String> {
    let domain = entry.strip_suffix('.').unwrap_or(entry).to_lowercase();
    let labels = domain.strip_prefix('.').unwrap_or(&domain);
    let letter = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
    if labels.split('.').all(|label| !label.is_empty() && label.chars().all(letter)) {
        return Ok(domain);
    }
    Err(match entry.strip_prefix("*.") {
        Some(parent) => format!("`{entry}` is no domain: the subdomains of {parent} are `.{parent}`"),
        None => format!("`{entry}` is no domain"),
    })
}

fn network(entry: &str) -> Result<IpNet, String> {
    let host = || entry.parse::<IpAddr>().map(IpNet::from);
    entry.parse::<IpNet>().or_else(|_| host()).map_err(|_| format!("`{entry}` is no network"))
}

/// An address as texts have it: bare, or as a literal of RFC 5321 4.1.3.
fn literal(value: &str) -> Option<IpAddr> {
    let value = value.trim();
    let bare = value.strip_prefix('[').and_then(|value| value.strip_suffix(']')).unwrap_or(value);
    let bare = bare.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")).map_or(bare, |tag| &bare[tag.len()..]);
    bare.parse().ok()
}

/// Texts by their folded form, each with whether that form itself is an entry; and the entries that are written otherwise.
#[derive(Debug, Default)]
pub struct Texts {
    folded: HashMap<Box<str>, bool>,
    written: HashSet<Box<str>>,
}

impl Texts {
    fn of<'e>(entries: impl IntoIterator<Item = &'e str>) -> Texts {
        let mut texts = Texts::default();
        for entry in entries {
            let folded = fold(entry);
            let same = folded == entry;
            *texts.folded.entry(folded.into()).or_default() |= same;
            if !same {
                texts.written.insert(entry.into());
            }
        }
        texts
    }

    fn has(&self, value: &str, exact: bool) -> bool {
        let known = self.folded.get(fold(value).as_ref());
        known.is_some_and(|same| !exact || (*same && fold(value) == value) || self.written.contains(value))
    }
}

/// Domains, and those whose subdomains are meant.
#[derive(Debug, Default)]
pub struct Domains {
    exact: HashSet<Box<str>>,
    parents: HashSet<Box<str>>,
}

impl Domains {
    fn of(entries: Vec<String>) -> Domains {
        let mut domains = Domains::default();
        for entry in entries {
            match entry.strip_prefix('.') {
                Some(parent) => domains.parents.insert(parent.into()),
                None => domains.exact.insert(entry.into()),
            };
        }
        domains
    }

    fn has(&self, value: &str) -> bool {
        let domain = value.rsplit_once('@').map_or(value, |(_, domain)| domain);
        let domain = domain.strip_suffix('.').unwrap_or(domain).to_lowercase();
        let mut above = domain.match_indices('.').filter(|(at, _)| *at > 0).map(|(at, _)| &domain[at + 1..]);
        self.exact.contains(domain.as_str()) || above.any(|parent| self.parents.contains(parent))
    }
}

/// Networks by themselves, and the prefix lengths that occur.
#[derive(Debug, Default)]
pub struct Networks {
    known: HashSet<IpNet>,
    lengths: BTreeSet<u8>,
}

impl Networks {
    fn of(entries: Vec<IpNet>) -> Networks {
        let lengths = entries.iter().map(IpNet::prefix_len).collect();
        Networks { known: entries.into_iter().map(|network| network.trunc()).collect(), lengths }
    }

    fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        // A length too long for the address is none of its networks.
        let around = |length: &u8| IpNet::new(address, *length).is_ok_and(|network| self.known.contains(&network.trunc()));
        self.lengths.iter().any(around)
    }
}

/// Patterns in sets. Those that cannot match without one of some literals come first: a literal that was found says which set to search.
#[derive(Debug)]
pub struct Patterns {
    literals: Option<AhoCorasick>,
    /// For each literal, its set.
    set_of: Vec<usize>,
    with_literal: Vec<RegexSet>,
    without: Vec<RegexSet>,
}

impl Patterns {
    fn of(entries: &[&str], limits: &Limits) -> Result<Patterns, Vec<Wrong>> {
        let sources = each(entries, |entry| pattern::source(entry, Flags::default()))?;
        let (mut with, mut without, mut words, mut set_of) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (index, source) in sources.iter().enumerate() {
            match needed(source) {
                Some(literals) => {
                    set_of.extend(literals.iter().map(|_| with.len() / PATTERNS_IN_A_SET));
                    words.extend(literals);
                    with.push((index, source.as_str()));
                }
                None => without.push((index, source.as_str())),
            }
        }
        let (with_literal, without) = (sets(&with, limits), sets(&without, limits));
        let literals = (!words.is_empty()).then(|| AhoCorasick::new(&words)).transpose();
        let literals = literals.map_err(|error| vec![(0, format!("these patterns are too many to be searched at once: {error}"))]);
        match (with_literal, without, literals) {
            (Ok(with_literal), Ok(without), Ok(literals)) => Ok(Patterns { literals, set_of, with_literal, without }),
            (with, without, literals) => Err([with.err(), without.err(), literals.err()].into_iter().flatten().flatten().collect()),
        }
    }

    fn matches(&self, value: &str) -> bool {
        if self.without.iter().any(|set| set.is_match(value)) {
            return true;
        }
        let Some(literals) = &self.literals else { return false };
        let mut searched = vec![false; self.with_literal.len()];
        literals.find_overlapping_iter(fold(value).as_ref()).any(|found| {
            let set = self.set_of[found.pattern().as_usize()];
            !std::mem::replace(&mut searched[set], true) && self.with_literal[set].is_match(value)
        })
    }
}

/// Literals in lower case, one of which is in the folded form of every text that the pattern matches in; none if there is no such.
fn needed(source: &str) -> Option<Vec<Vec<u8>>> {
    let tree = regex_syntax::ParserBuilder::new().multi_line(true).build().parse(source).ok()?;
    let found = Extractor::new().kind(ExtractKind::Prefix).extract(&tree);
    let literals = found.literals().filter(|literals| !literals.is_empty())?;
    // Beyond ASCII, what the library and what `fold` hold for the same letter differs here and there.
    let usable = literals.iter().all(|literal| literal.len() >= SHORTEST_LITERAL && literal.as_bytes().is_ascii());
    usable.then(|| literals.iter().map(|literal| literal.as_bytes().to_ascii_lowercase()).collect())
}

fn sets(sources: &[(usize, &str)], limits: &Limits) -> Result<Vec<RegexSet>, Vec<Wrong>> {
    let built = sources.chunks(PATTERNS_IN_A_SET).map(|some| {
        let size = usize::try_from(limits.pattern_size).unwrap_or(usize::MAX).saturating_mul(some.len());
        let mut builder = RegexSetBuilder::new(some.iter().map(|(_, source)| source));
        let set = builder.case_insensitive(true).multi_line(true).size_limit(size).dfa_size_limit(size).build();
        set.map_err(|error| (some[0].0, format!("this pattern or one of the {} below it: {}", some.len() - 1, pattern::told(&error))))
    });
    let (sets, wrong): (Vec<_>, Vec<_>) = built.partition(Result::is_ok);
    if wrong.is_empty() { Ok(sets.into_iter().flatten().collect()) } else { Err(wrong.into_iter().filter_map(Result::err).collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(kind: Kind, entries: &[&str]) -> Content {
        Content::of(kind, entries, &Limits::default()).unwrap()
    }

    fn wrong(kind: Kind, entries: &[&str]) -> Vec<Wrong> {
        Content::of(kind, entries, &Limits::default()).map(|_| ()).unwrap_err()
    }

    #[test]
    fn texts_and_addresses_ignore_case_unless_it_is_to_be_exact() {
        let texts = content(Kind::Text, &["Straße 1", "ABC", "def"]);
        assert!(texts.has("straße 1", false) && texts.has("abc", false) && texts.has("DEF", false));
        assert!(!texts.has("abcd", false));
        assert!(texts.has("ABC", true) && texts.has("def", true));
        assert!(!texts.has("abc", true) && !texts.has("Abc", true) && !texts.has("DEF", true));
        assert!(content(Kind::Address, &["Anna@Partner.example"]).has("anna@partner.EXAMPLE", false));
    }

    #[test]
    fn a_domain_is_itself_and_one_with_a_dot_its_subdomains() {
        let domains = content(Kind::Domain, &["partner.example", ".sub.example."]);
        for value in ["partner.example", "PARTNER.example.", "anna@partner.example", "a.sub.example", "a.b.sub.example"] {
            assert!(domains.has(value, false), "{value}");
        }
        for value in ["a.partner.example", "sub.example", "example", "xsub.example", "", ".sub.example"] {
            assert!(!domains.has(value, false), "{value}");
        }
    }

    #[test]
    fn networks_of_every_length_are_found() {
        let networks = content(Kind::Cidr, &["10.1.2.3/8", "192.0.2.1", "2001:db8::/32"]);
        for value in ["10.255.0.1", "192.0.2.1", "[192.0.2.1]", "2001:db8::5", "[IPv6:2001:db8::5]", "::ffff:10.0.0.1"] {
            assert!(networks.has(value, false), "{value}");
        }
        for value in ["11.0.0.1", "192.0.2.2", "2001:db9::1", "ten", ""] {
            assert!(!networks.has(value, false), "{value}");
        }
        assert!(networks.has_address([10, 0, 0, 1].into()));
        assert!(!content(Kind::Text, &["10.0.0.1"]).has_address([10, 0, 0, 1].into()));
    }

    #[test]
    fn patterns_match_anywhere_with_and_without_a_literal() {
        let patterns = content(Kind::Regex, &[r"invoice \d+", r"^\w\d$", "(?:abc|def)x", "(?-i:EXACT)", "sec(ret)?ks"]);
        for value in ["my Invoice 47", "a\nb1\nc", "ABCX", "an EXACT word", "SECRETKS", "ſecKſ", "sec\u{212a}s"] {
            assert!(patterns.has(value, false), "{value}");
        }
        for value in ["invoice x", "b12", "abc", "exact", "é1", ""] {
            assert!(!patterns.has(value, false), "{value}");
        }
    }

    #[test]
    fn thousands_of_patterns_are_searched_as_one_by_one_would_find_them() {
        let entries: Vec<String> = (0..3000).map(|number| format!(r"word{number}\b")).collect();
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        let patterns = content(Kind::Regex, &entries);
        assert!(patterns.has("a WORD2999 b", false) && patterns.has("word1x word12", false));
        assert!(!patterns.has("word3000 word12x", false));
    }

    #[test]
    fn every_wrong_entry_is_told() {
        assert_eq!(wrong(Kind::Cidr, &["10.0.0.0/8", "10.0.0.0/33", "x"]).len(), 2);
        assert_eq!(wrong(Kind::Address, &["a@b.example", "a", "<a@b.example>", "postmaster"]).len(), 3);
        let domains = wrong(Kind::Domain, &["*.a.example", "a..b", "a@b", "."]);
        assert_eq!(domains.iter().map(|wrong| wrong.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(domains[0].1.contains("`.a.example`"), "{domains:?}");
        assert_eq!(wrong(Kind::Regex, &["a", "b(", r"\d{900000}", "(?P<x"]).iter().map(|wrong| wrong.0).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(wrong(Kind::Regex, &["a", r"\w{1000}{1000}"]).len(), 1);
    }
}
