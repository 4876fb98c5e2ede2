//! The chain of the configuration, those that listeners have instead, and the tests of them all.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::include::{Known, links, matching};
use super::{Config, Listener};
use crate::chain::Chain;
use crate::chain::rule::{RuleFile, Shared};
use crate::chain::test::{self, Seat, TestFile};
use crate::yaml::{Kind, Node, Problems};

/// Everything that rules are in.
#[derive(Debug)]
pub(super) struct Chains {
    pub(super) common: Arc<Chain>,
    /// A listener's own, in the order of the listeners.
    pub(super) own: Vec<Option<Arc<Chain>>>,
    pub(super) tests: Vec<Arc<TestFile>>,
}

impl Chains {
    /// Without any rule.
    pub(super) fn none(shared: &Shared, problems: &mut Problems) -> Chains {
        Chains { common: Arc::new(Chain::build(Vec::new(), shared, problems)), own: Vec::new(), tests: Vec::new() }
    }

    /// Reads `chain`, `listeners[].chain` and `chain_tests` of the configuration.
    pub(super) fn read(configuration: &Node, tests: &[String], base: &Path, shared: &mut Shared, problems: &mut Problems) -> Chains {
        let mut known = Known::new();
        let mut chain = |node: Option<&Node>, problems: &mut Problems| {
            let links = node.map(|node| links(node, base, &mut known, shared, problems)).unwrap_or_default();
            Arc::new(Chain::build(links, shared, problems))
        };
        let common = chain(configuration.get("chain"), problems);
        let listeners = configuration.get("listeners").and_then(Node::list).unwrap_or_default();
        let own = listeners.iter().map(|listener| {
            let node = listener.get("chain").filter(|node| !matches!(node.kind, Kind::Null))?;
            Some(chain(Some(node), problems))
        });
        let own = own.collect();
        let mut chains = Chains { common, own, tests: Vec::new() };
        chains.tests = chains.read_tests(configuration, tests, base, shared, problems);
        chains
    }

    fn read_tests(
        &self,
        configuration: &Node,
        patterns: &[String],
        base: &Path,
        shared: &mut Shared,
        problems: &mut Problems,
    ) -> Vec<Arc<TestFile>> {
        let place = configuration.get("chain_tests").unwrap_or(configuration);
        let files = self.files();
        let names: Vec<&str> = files.iter().flat_map(|file| &file.rules).map(|rule| &*rule.name).collect();
        let paths = patterns.iter().flat_map(|pattern| matching(place, pattern, base, problems)).collect::<Vec<_>>();
        paths.iter().filter_map(|path| TestFile::read(path, &names, shared, problems)).map(Arc::new).collect()
    }

    fn files(&self) -> Vec<Arc<RuleFile>> {
        rule_files(std::iter::once(&self.common).chain(self.own.iter().flatten()))
    }

    /// All chains, the common one first.
    pub(super) fn all(&self) -> Vec<&Chain> {
        std::iter::once(&self.common).chain(self.own.iter().flatten()).map(AsRef::as_ref).collect()
    }

    /// Runs all tests; a failing one is an error. Returns the rules that fired in some test.
    pub(super) fn check(&self, listeners: &[Listener], problems: &mut Problems) -> BTreeSet<Arc<str>> {
        let mut fired = BTreeSet::new();
        for file in self.files() {
            test::report(test::run(&file, self.common.limits(), self.common.inside()), &mut fired, problems);
        }
        for file in &self.tests {
            let own = |at: usize| self.own.get(at)?.as_ref();
            let seat = |name: Option<&str>| seat(listeners, name, &|at| Arc::clone(at.and_then(own).unwrap_or(&self.common)));
            test::report(test::run_whole(file, &seat), &mut fired, problems);
        }
        fired
    }
}

/// Where mail of the listener of that name finds its chain, given by the listener's number; none if there is no such listener.
fn seat(listeners: &[Listener], name: Option<&str>, chain: &dyn Fn(Option<usize>) -> Arc<Chain>) -> Option<Seat> {
    let Some(name) = name else { return Some((chain(None), None)) };
    let at = listeners.iter().position(|listener| &*listener.name == name)?;
    Some((chain(Some(at)), listeners[at].origin.standing()))
}

/// The files of these chains, each once.
fn rule_files<'a>(chains: impl Iterator<Item = &'a Arc<Chain>>) -> Vec<Arc<RuleFile>> {
    let mut files: Vec<Arc<RuleFile>> = Vec::new();
    for file in chains.flat_map(|chain| chain.files()) {
        if !files.iter().any(|known| known.path == file.path) {
            files.push(Arc::clone(file));
        }
    }
    files
}

impl Config {
    /// The chain that mail of this listener takes: its own, or the common one.
    #[must_use]
    pub fn chain_of(&self, listener: &str) -> &Arc<Chain> {
        let found = self.listeners.iter().find(|known| &*known.name == listener);
        found.and_then(|listener| listener.chain.as_ref()).unwrap_or(&self.chain)
    }

    /// What the listener of that name gives its mail; of none: mail that names no listener.
    #[must_use]
    pub fn seat(&self, listener: Option<&str>) -> Option<Seat> {
        let own = |at: usize| self.listeners.get(at)?.chain.as_ref();
        seat(&self.listeners, listener, &|at| Arc::clone(at.and_then(own).unwrap_or(&self.chain)))
    }

    /// All chains, the common one first.
    pub fn chains(&self) -> impl Iterator<Item = &Arc<Chain>> {
        std::iter::once(&self.chain).chain(self.listeners.iter().filter_map(|listener| listener.chain.as_ref()))
    }

    /// The rule files of all chains, each once.
    #[must_use]
    pub fn rule_files(&self) -> Vec<Arc<RuleFile>> {
        rule_files(self.chains())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk;
    use crate::chain::link::Mode;
    use crate::config::{Loaded, Options, load};

    fn load_files(configuration: &str, files: &[(&str, &str)], options: Options) -> Result<Loaded, Vec<String>> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files.iter().chain([&("transom.yaml", configuration)]) {
            let path = directory.path().join(name);
            disk::create_dir_all(path.parent().unwrap()).unwrap();
            disk::write(&path, text.as_bytes()).unwrap();
        }
        load(&directory.path().join("transom.yaml"), options)
            .map_err(|problems| problems.iter().map(|problem| format!("{}; {}", problem.title, problem.label)).collect())
    }

    const TWO: &str = "
listeners: [{name: in, address: '127.0.0.1:10025'}, {name: out, address: '127.0.0.1:10027', chain: [{include: out.yaml}, {include: both.yaml}]}]
relay: {next_hops: ['127.0.0.1:10026']}
chain: [{include: in.yaml}, {include: both.yaml}]
";
    const FILES: [(&str, &str); 3] = [
        ("in.yaml", "rules: [{name: in, then: [{tag: in}]}]"),
        ("out.yaml", "rules: [{name: out, then: [{tag: out}]}]"),
        ("both.yaml", "rules: [{name: both, then: [discard]}]\ntests: [{name: t, inline: 'a: b', expect: {outcome: discard}}]"),
    ];

    fn names(chain: &Chain) -> Vec<&str> {
        chain.files().iter().flat_map(|file| &file.rules).map(|rule| &*rule.name).collect()
    }

    #[test]
    fn an_entry_says_when_its_rules_apply_and_whether_they_are_in_force() {
        let text = "
listeners: [{address: '127.0.0.1:10025'}]
relay: {next_hops: ['127.0.0.1:10026']}
conditions: {odd: {subject: odd}}
chain:
  - {include: in.yaml, mode: observe}
  - {include: out.yaml, when: {condition: odd}}
  - {include: both.yaml, mode: disabled}
";
        let chain = load_files(text, &FILES, Options::default()).unwrap().config.chain;
        let links: Vec<_> = chain.links().iter().map(|link| (&*link.name, link.mode, link.when.is_some())).collect();
        assert_eq!(links, [("in.yaml", Mode::Observe, false), ("out.yaml", Mode::Enforce, true), ("both.yaml", Mode::Disabled, false)]);
        assert!(chain.links()[1].place.ends_with("transom.yaml:7"), "{}", chain.links()[1].place);
    }

    #[test]
    fn a_listener_with_a_chain_of_its_own_takes_that_one_instead() {
        let config = load_files(TWO, &FILES, Options::default()).unwrap().config;
        assert_eq!(names(config.chain_of("in")), ["in", "both"]);
        assert_eq!(names(config.chain_of("out")), ["out", "both"]);
        assert_eq!(names(config.chain_of("")), ["in", "both"]);
        assert_eq!(config.rule_files().len(), 3, "one that stands in two chains is one file");
        let empty = TWO.replace("[{include: out.yaml}, {include: both.yaml}]", "[]");
        let config = load_files(&empty, &FILES, Options::default()).unwrap().config;
        assert_eq!(names(config.chain_of("out")), [""; 0]);
        let config = load_files(TWO, &FILES, Options { without_chain: true, ..Options::default() }).unwrap().config;
        assert_eq!(names(config.chain_of("out")), [""; 0]);
    }

    #[test]
    fn what_is_wrong_in_the_rules_of_a_listener_is_told_once() {
        let mut files = FILES;
        files[1].1 = "rules: [{name: out, then: [tagg: x]}]";
        files[2].1 = "rules: [{name: both, then: [discard]}]\ntests: [{name: t, inline: 'a: b', expect: {outcome: deliver}}]";
        let told = load_files(TWO, &files, Options::default()).map(|_| ()).unwrap_err();
        assert!(told.len() == 1 && told[0].starts_with("unknown action `tagg`"), "{told:?}");
        files[1].1 = "rules: [{name: both, then: [discard]}]";
        let told = load_files(TWO, &files, Options::default()).map(|_| ()).unwrap_err();
        assert!(told.len() == 1 && told[0].starts_with("a second rule is called `both`"), "{told:?}");
        files[1].1 = "rules: [{name: out, then: [discard]}]";
        let told = load_files(TWO, &files, Options::default()).map(|_| ()).unwrap_err();
        assert!(told.len() == 1 && told[0].starts_with("the test `t` fails"), "{told:?}");
    }

    #[test]
    fn chain_tests_run_the_whole_chain_of_the_listener_they_name() {
        let text = format!("{TWO}chain_tests: tests/*.yaml\n");
        let with = |tests: &str| load_files(&text, &[&FILES[..], &[("tests/a.yaml", tests)]].concat(), Options::default());
        let good = "
tests:
  - {name: the common one, inline: 'a: b', expect: {outcome: discard, fired: [in, both], tags: [in]}}
  - {name: of a listener, inline: 'a: b', client: {listener: out}, expect: {outcome: discard, fired: [out, both], tags: [out]}}
";
        assert_eq!(with(good).unwrap().config.chain_tests[0].tests.len(), 2);
        let told = with(&good.replace("tags: [in]", "tags: [out]")).map(|_| ()).unwrap_err();
        assert_eq!(told, ["the test `the common one` fails; tags: expected [out], got [in] (`transom test` shows all of it)"]);
        let told = with(&good.replace("fired: [in, both]", "fired: [inn]")).map(|_| ()).unwrap_err();
        assert!(told.len() == 1 && told[0].contains("no rule is called `inn`"), "{told:?}");
        let told = with("rules: []").map(|_| ()).unwrap_err();
        assert!(told[0].starts_with("unknown key in a file of chain tests: `rules`"), "{told:?}");
    }

    #[test]
    fn chain_tests_stand_where_the_clients_of_their_listener_do_and_a_listener_that_is_not_there_fails() {
        let text = "
listeners: [{name: in, address: '127.0.0.1:10025'}, {name: out, address: '127.0.0.1:10027', origin: inside}]
inside: {domains: [a.example]}
relay: {next_hops: ['127.0.0.1:10026']}
chain: [{include: way.yaml}]
chain_tests: t.yaml
";
        let rules = "rules: [{name: leaving, when: {direction: outbound}, then: [discard]}]";
        let with = |test: &str| {
            let tests = format!("tests: [{{name: t, inline: 'a: b', envelope: {{to: x@b.example}}, {test}}}]");
            load_files(text, &[("way.yaml", rules), ("t.yaml", &tests)], Options::default()).map(|_| ())
        };
        assert_eq!(with("client: {listener: out}, expect: {outcome: discard}"), Ok(()));
        assert_eq!(with("client: {listener: in}, expect: {outcome: deliver}"), Ok(()));
        assert_eq!(with("expect: {outcome: deliver}"), Ok(()));
        assert_eq!(with("direction: internal, client: {listener: out}, expect: {outcome: deliver}"), Ok(()));
        let told = with("client: {listener: ot}, expect: {outcome: deliver}").unwrap_err();
        assert!(told[0].contains("no listener is called `ot`"), "{told:?}");
    }

    #[test]
    fn the_lints_know_the_entries() {
        let warnings = |entry: &str| {
            let text = format!(
                "listeners: [{{address: '127.0.0.1:10025'}}]\nrelay: {{next_hops: ['127.0.0.1:10026']}}\nchain: [{{include: both.yaml{entry}}}, {{include: in.yaml}}]"
            );
            let options = Options { without_tests: true, lint: true, ..Options::default() };
            load_files(&text, &FILES, options).unwrap().warnings.iter().map(|problem| problem.title.clone()).collect::<Vec<_>>()
        };
        assert_eq!(warnings(""), ["`in` never runs"]);
        for entry in [", mode: observe", ", mode: disabled", ", when: {subject: x}"] {
            assert_eq!(warnings(entry), [""; 0], "{entry}");
        }
    }

    #[test]
    fn chain_tests_that_are_not_there_are_told() {
        let told = load_files(&format!("{TWO}chain_tests: [tests/*.yaml]\n"), &FILES, Options::default()).map(|_| ()).unwrap_err();
        assert!(told.len() == 1 && told[0].starts_with("`tests/*.yaml` matches no file"), "{told:?}");
    }
}
