//! `transom.yaml` → a checked [`Config`]. Nothing starts from one that has an error.
//!
//! `file` is the shape and the defaults, `section` reads each section, `include` finds the rule files, `check` asks what no section can know alone.

mod address;
mod announce;
mod auth;
mod chains;
mod check;
mod definitions;
mod file;
mod include;
mod relay;
mod secret;
mod section;
mod tls;
pub mod trust;
pub mod users;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use address::{Address, NextHop, Place};
pub use announce::Announce;
pub use auth::Auth;
pub use file::{
    Admin, ChainLimits, Config, Limits, LineEndings, Listener, Log, Malformed, Mime, OriginOf, Protocol, Quarantine, Received, Store,
    Timeouts,
};
pub use relay::{Balance, Commit, Connections, Identity, Relay, Route, Split};
pub use tls::{ListenerTls, Policy, RelayTls, TlsMode};

use crate::base::{disk, machine};
use crate::chain::rule::Shared;
use crate::chain::{lint, list, named};
use crate::mail::Inside;
use crate::yaml::manual::{self, Key};
use crate::yaml::{Node, OneOrMany, Problems, Reported, Settings, Source, parse};
use chains::Chains;
use definitions::Definitions;
use section::StoreSection;
pub use trust::Trust;

/// How a configuration is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The tests in the rule files are not run.
    pub without_tests: bool,
    /// No rule is loaded: for an emergency.
    pub without_chain: bool,
    /// What is odd about the rules is told.
    pub lint: bool,
}

/// A configuration that is right, and what is odd about it.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Problems,
}

/// Reads the file at `path` and all rule files it includes.
///
/// # Errors
/// All problems of all files, at once.
pub fn load(path: &Path, options: Options) -> Result<Loaded, Problems> {
    let mut problems = Problems::default();
    let text = match disk::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.missing(format!("{} cannot be read: {}", path.display(), disk::cause(&error)), "");
            return Err(problems);
        }
    };
    let source = Source::new(path.display().to_string(), text);
    let config = parse(&source, &mut problems).and_then(|node| read(path, &node, options, &mut problems).ok());
    match config {
        Some(config) if !problems.any_error() => Ok(Loaded { config, warnings: problems }),
        _ => {
            problems.sort();
            Err(problems)
        }
    }
}

/// Every key of the configuration, for the manual.
pub const KEYS: &[Key] = &[
    Key::may("hostname", "a host name", "filter.example.org", "What the greeting, EHLO and Received say; the machine's name if absent."),
    Key::list("listeners", section::LISTENER, "Where clients connect.").needed(),
    Key::section(
        "inside",
        section::INSIDE,
        "Whose mail may go anywhere. Without it every listener must be on loopback or a Unix socket, and relays what its clients send; with `{}` nobody is inside.",
    ),
    Key::section("relay", relay::RELAY, "Where mail goes.").needed(),
    Key::named(
        "routes",
        relay::ROUTE,
        "Next hops for some of the mail: by the action `route`, else by `domains`, else by the listener's `route`. What a route does not say is as in `relay`.",
    ),
    Key::list("chain", include::ENTRY, "The rule files, in this order."),
    Key::may(
        "chain_tests",
        "a path or a list of them",
        "tests/*.yaml",
        "Files of tests that run the whole chain of the listener they name (`client: {listener: …}`); one that fails refuses the start.",
    ),
    Key::may(
        "conditions",
        manual::CONDITIONS,
        "{from_office: {client: {address: 10.1.0.0/16}}}",
        "Seen in every rule file, as `condition: from_office`. They may use lists and patterns, not each other.",
    ),
    Key::named("lists", list::KEYS, "Lists for `in: NAME` in rules."),
    Key::named("patterns", named::KEYS, "Patterns for `pattern: NAME` in rules, beside `card_number` and `iban`."),
    Key::section("limits", section::LIMITS, "On everything a stranger can send."),
    Key::section("timeouts", section::TIMEOUTS, "How long things may take."),
    Key::section("store", section::STORE, "What is kept on disk."),
    Key::section("admin", section::ADMIN, "Health and metrics over HTTP; nothing of it if absent."),
    Key::section("log", section::LOG, "To standard error."),
];

/// Reads every section; what is wrong with one hides nothing of the others.
fn read(path: &Path, node: &Node, options: Options, problems: &mut Problems) -> Result<Config, Reported> {
    let base = path.parent().unwrap_or(Path::new(""));
    let mut settings = Settings::of("the configuration", node, problems)?;
    let hostname = settings.take::<section::HostName>("hostname", problems);
    let listeners = settings.need::<Vec<Listener>>("listeners", problems);
    let inside = settings.take::<Inside>("inside", problems);
    let limits = settings.or("limits", Limits::default(), problems);
    let timeouts = settings.or("timeouts", Timeouts::default(), problems);
    let relay = settings.need::<Relay>("relay", problems);
    let named = settings.node("routes");
    let routes = read_routes(named, relay.as_ref().ok(), base, problems);
    let definitions = Definitions::take(&mut settings);
    // Read together with the chains of the listeners.
    let _ = settings.node("chain");
    let chain_tests = settings.or("chain_tests", OneOrMany(Vec::new()), problems);
    let store = settings.or("store", StoreSection::default(), problems);
    let admin = settings.take::<Admin>("admin", problems);
    let log = settings.or("log", Log::default(), problems);
    let finished = settings.finish(problems);

    let known = relay::known(named, routes.as_deref().unwrap_or_default(), listeners.as_deref().unwrap_or_default());
    check::sections(node, &known, &limits, problems);
    let mut auths = auth::listeners(node, base, problems).into_iter();
    let accounts = auth::Accounts::read(node, base, problems);
    let mut tls = tls::listeners(node, base, problems).into_iter();
    let outward = tls::outward(node, base, problems);
    // One that cannot be read has been reported; what would follow from its absence has not.
    let shared_inside = inside.clone().unwrap_or_else(|_| Some(Inside::default())).map(Arc::new);
    let (without_inside, whose) = (shared_inside.is_none(), shared_inside.unwrap_or_default());
    let mut shared =
        Shared { limits: limits.chain.of_chain(), inside: whose, without_inside, routes: Arc::new(known), ..Shared::default() };
    let chains = if options.without_chain {
        Chains::none(&shared, problems)
    } else {
        definitions.read(base, &mut shared, problems);
        Chains::read(node, &chain_tests.0, base, &mut shared, problems)
    };
    prove(&chains, node, listeners.as_deref().ok(), options, problems);
    finished?;
    let (relay, routes, outward) = (relay?, routes?, outward?);
    let way = |route: &Route| Arc::new(Route { auth: accounts.of(&route.name), ..outward.of(route) });
    let (default, routes) = (way(&relay.route.under(base)), routes.iter().map(|route| way(route)).collect::<Vec<_>>());
    [&default].into_iter().chain(&routes).for_each(|route| check::account(node, route, problems));
    let own = chains.own.into_iter().chain(std::iter::repeat(None));
    Ok(Config {
        file: path.to_owned(),
        hostname: host_name(node, hostname?, problems)?,
        listeners: listeners?
            .into_iter()
            .map(|listener| listener.under(base))
            .zip(own)
            .map(|(listener, chain)| Listener { chain, auth: auths.next().flatten(), tls: tls.next().flatten(), ..listener })
            .collect(),
        inside: inside?,
        limits,
        timeouts,
        relay: Relay { route: default, ..relay },
        routes,
        chain: chains.common,
        chain_tests: chains.tests,
        store: Store { path: store_path(store.path, base), quarantine: store.quarantine },
        admin: admin?.map(|admin| Admin { address: admin.address.under(base) }),
        log,
    })
}

/// Rules that do not do what they promise are not started, and what is odd about the others is told.
fn prove(chains: &Chains, node: &Node, listeners: Option<&[Listener]>, options: Options, problems: &mut Problems) {
    let tested = !options.without_tests && !problems.any_error();
    let fired = listeners.filter(|_| tested).map(|listeners| chains.check(listeners, problems));
    if options.lint && !options.without_chain && !problems.any_error() {
        lint::check(&chains.all(), node, fired.as_ref(), problems);
        problems.sort();
    }
}

/// The routes; where `relay` could not be read, for what is wrong with themselves.
fn read_routes(node: Option<&Node>, relay: Option<&Relay>, base: &Path, problems: &mut Problems) -> Result<Vec<Arc<Route>>, Reported> {
    let Some(node) = node else { return Ok(Vec::new()) };
    let default = relay.map_or_else(Arc::default, |relay| Arc::clone(&relay.route));
    let routes = relay::routes(node, &default, problems)?;
    Ok(routes.iter().map(|route| Arc::new(route.under(base))).collect())
}

fn host_name(node: &Node, given: Option<section::HostName>, problems: &mut Problems) -> Result<String, Reported> {
    match given {
        Some(name) => Ok(name.0),
        None => machine::host_name().filter(|name| address::is_host_name(name)).ok_or_else(|| {
            let start = node.span.source.span(node.span.start, node.span.start);
            problems.error(&start, "the machine has no name that can be said to other servers", "set `hostname:`")
        }),
    }
}

/// Where the store lies: as given, else where systemd says, else `store` beside the configuration.
fn store_path(given: Option<String>, base: &Path) -> PathBuf {
    match given {
        Some(path) => base.join(path),
        None => machine::state_directory().unwrap_or_else(|| base.join("store")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = "listeners: [{address: '127.0.0.1:10025'}]\nrelay: {next_hops: ['127.0.0.1:10026']}\n";

    fn load_files(files: &[(&str, &str)], options: Options) -> Result<Loaded, Vec<String>> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            disk::create_dir_all(path.parent().unwrap()).unwrap();
            disk::write(&path, text.as_bytes()).unwrap();
        }
        load(&directory.path().join("transom.yaml"), options)
            .map_err(|problems| problems.iter().map(|problem| problem.title.clone()).collect())
    }

    fn loaded(text: &str) -> Config {
        load_files(&[("transom.yaml", text)], Options::default()).unwrap().config
    }

    fn told(text: &str) -> Vec<String> {
        load_files(&[("transom.yaml", text)], Options::default()).map(|_| ()).unwrap_err()
    }

    fn written(text: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        disk::write(&directory.path().join("transom.yaml"), text.as_bytes()).unwrap();
        directory
    }

    #[test]
    fn the_manual_has_every_key_that_is_read_and_no_other() {
        manual::assert_agree(KEYS, |text| {
            load(&written(text).path().join("transom.yaml"), Options::default()).map_or_else(|problems| problems, |loaded| loaded.warnings)
        });
    }

    #[test]
    fn every_default_is_what_the_manual_says() {
        let text = manual::example(KEYS);
        let directory = written(&text);
        disk::create_dir_all(&directory.path().join("rules")).unwrap();
        disk::write(&directory.path().join("rules/a.yaml"), b"rules: []").unwrap();
        disk::create_dir_all(&directory.path().join("tests")).unwrap();
        disk::write(&directory.path().join("tests/a.yaml"), b"tests: []").unwrap();
        disk::write(&directory.path().join("secret"), b"pencil\n").unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem();
        for (name, text) in [("cert.pem", &certificate), ("ca.pem", &certificate), ("key.pem", &key.serialize_pem())] {
            disk::write(&directory.path().join(name), text.as_bytes()).unwrap();
        }
        disk::write(&directory.path().join("users.yaml"), users::Users::default().written().as_bytes()).unwrap();
        let explicit = match load(&directory.path().join("transom.yaml"), Options { without_tests: true, ..Options::default() }) {
            Ok(loaded) => loaded.config,
            Err(problems) => panic!("{}\n{text}", problems.render(false)),
        };
        let implied = loaded(SMALLEST);
        assert_eq!(implied.limits, explicit.limits);
        assert_eq!(implied.timeouts, explicit.timeouts);
        let account = explicit.relay.route.auth.as_ref().unwrap();
        assert!(account.user == "filter" && account.password == crate::base::secret::Secret::new("pencil") && !account.without_tls);
        assert_eq!(*implied.relay.route, Route { auth: None, tls: RelayTls::default(), ..Route::clone(&explicit.relay.route) });
        assert!(implied.listeners[0].tls.is_none() && explicit.listeners[0].tls.as_ref().is_some_and(|tls| !tls.required && !tls.implicit));
        assert_eq!(implied.store.quarantine, explicit.store.quarantine);
        assert_eq!(implied.store.path.file_name(), explicit.store.path.file_name());
        assert_eq!(implied.log, explicit.log);
        let keys = |config: &Config| {
            let Listener { origin, behind_queue, line_endings, malformed, received, .. } = &config.listeners[0];
            (*origin, *behind_queue, *line_endings, *malformed, *received)
        };
        assert_eq!(keys(&implied), keys(&explicit));
        assert_eq!(&*implied.listeners[0].name, "127.0.0.1:10025");
        let auth = explicit.listeners[0].auth.as_ref().unwrap();
        assert!(!auth.required && !auth.without_tls && auth.mechanisms.len() == 3 && implied.listeners[0].auth.is_none());
        assert!(implied.inside.is_none() && explicit.inside.is_some() && !explicit.chain.files().is_empty());
        assert!(!implied.hostname.is_empty());
    }

    #[test]
    fn mistakes_in_all_sections_and_all_files_are_told_at_once() {
        let text = "
listeners: [{adress: '127.0.0.1:25'}]
limits: {message_size: fifty, recipients: -1}
timeouts: {command: 5}
relay: {next_hops: [], commit: spool}
chain: [{include: a.yaml}, {include: none/*.yaml}]
store: {quarantine: {keep: for ever}}
log: {level: loud}
spool: {}
";
        let files = [("transom.yaml", text), ("a.yaml", "rules: [{name: one, when: {subjet: x}, then: [tagg: y]}]\nrule: []")];
        let told = load_files(&files, Options::default()).map(|_| ()).unwrap_err();
        for expected in [
            "unknown key in a listener: `adress`",
            "`message_size` wants a size",
            "`recipients` wants a whole number",
            "`command` wants a time",
            "`next_hops` wants at least one next hop",
            "`commit` wants `relay`",
            "`keep` wants a time",
            "`level` wants `error`, `warn`, `info`, `debug` or `trace`",
            "unknown key in the configuration: `spool`",
            "unknown condition `subjet`",
            "unknown action `tagg`",
            "unknown key in a rule file: `rule`",
            "`none/*.yaml` matches no file",
        ] {
            assert!(told.iter().any(|title| title.starts_with(expected)), "{expected}: {told:#?}");
        }
        assert_eq!(told.len(), 13, "{told:#?}");
    }

    #[test]
    fn no_configuration_is_an_open_relay_by_accident() {
        let open = |address: &str, more: &str| format!("listeners: [{{address: '{address}'}}]\nrelay: {{next_hops: ['mx:25']}}\n{more}");
        for address in ["0.0.0.0:25", "[::]:25", "192.0.2.1:25"] {
            assert!(told(&open(address, ""))[0].contains("there is no `inside`"), "{address}");
            assert!(told(&open(address, "inside: "))[0].contains("there is no `inside`"), "{address}");
            loaded(&open(address, "inside: {}"));
        }
        for address in ["127.0.0.1:25", "[::1]:25", "unix:transom.sock"] {
            loaded(&open(address, ""));
        }
        for everybody in ["0.0.0.0/0", "'::/0'"] {
            let told = told(&open("0.0.0.0:25", &format!("inside: {{networks: [{everybody}]}}")));
            assert_eq!(told, ["everybody would be inside and could relay to anyone"]);
        }
    }

    #[test]
    fn a_size_that_no_mail_keeps_to_is_odd() {
        let text = "listeners: [{address: '127.0.0.1:25'}]\nrelay: {next_hops: ['mx:25']}\nlimits: {message_size: 50}";
        let loaded = load_files(&[("transom.yaml", text)], Options::default()).unwrap();
        let told: Vec<&str> = loaded.warnings.iter().map(|problem| problem.title.as_str()).collect();
        assert_eq!(told, ["no message over 50B gets in"]);
    }

    #[test]
    fn two_listeners_share_neither_name_nor_address() {
        let told = told(
            "
relay: {next_hops: ['mx:25']}
listeners:
  - {name: a, address: '127.0.0.1:25'}
  - {name: a, address: '127.0.0.1:26'}
  - {name: b, address: '127.0.0.1:25'}
  - {name: c, address: '127.0.0.1:0'}
  - {name: d, address: '127.0.0.1:0'}
",
        );
        assert_eq!(told, ["a second listener is called `a`", "a second listener has the address `127.0.0.1:25`"]);
    }

    #[test]
    fn listeners_that_get_in_each_others_way_are_told_once() {
        let of = |one: &str, other: &str| {
            format!("inside: {{}}\nrelay: {{next_hops: ['mx:2525']}}\nlisteners: [{{address: '{one}'}}, {{address: '{other}'}}]")
        };
        assert_eq!(told(&of("127.0.0.1:25", "127.0.0.1:25")), ["a second listener has the address `127.0.0.1:25`"]);
        assert_eq!(told(&of("0.0.0.0:25", "127.0.0.1:25")), ["127.0.0.1:25 cannot be listened on beside 0.0.0.0:25"]);
        assert_eq!(told(&of("[::1]:25", "[::]:25")), ["[::]:25 cannot be listened on beside [::1]:25"]);
        loaded(&of("0.0.0.0:25", "127.0.0.1:26"));
        loaded(&of("0.0.0.0:25", "[::1]:25"));
    }

    #[test]
    fn behind_a_queue_line_endings_are_normalized() {
        let listener = |keys: &str| format!("listeners: [{{address: '127.0.0.1:25', {keys}}}]\nrelay: {{next_hops: ['mx:25']}}");
        for (keys, wanted) in [
            ("behind_queue: true", LineEndings::Normalize),
            ("behind_queue: true, line_endings: normalize", LineEndings::Normalize),
            ("behind_queue: false", LineEndings::Reject),
        ] {
            assert_eq!(loaded(&listener(keys)).listeners[0].line_endings, wanted, "{keys}");
        }
        assert_eq!(
            told(&listener("behind_queue: true, line_endings: reject")),
            ["a listener that is `behind_queue` normalizes line endings"]
        );
    }

    #[test]
    fn mail_is_not_sent_in_circles() {
        let told = told("listeners: [{name: in, address: '127.0.0.1:25'}]\nrelay: {next_hops: ['mx:25', '127.0.0.1:25']}");
        assert_eq!(told, ["the next hop 127.0.0.1:25 is this server itself: mail would go in circles"]);
    }

    #[test]
    fn a_route_is_as_relay_where_it_says_nothing() {
        let text = "
listeners: [{address: '127.0.0.1:25', route: b}]
relay: {next_hops: ['mx:25'], balance: spread, identity: xforward, connections: {max: 7, idle: 3}}
routes:
  b: {next_hops: ['unix:b.sock'], domains: [B.example, .b.example], identity: none}
  a: {connections: {idle: 4}}
";
        let config = loaded(text);
        let [b, a] = &config.routes[..] else { panic!("{:?}", config.routes) };
        assert_eq!((&*b.name, b.domains.join(" ").as_str(), b.key().as_str()), ("b", "b.example .b.example", "routes.b.next_hops"));
        assert_eq!(b.next_hops, [NextHop { place: Place::Unix(config.file.parent().unwrap().join("b.sock")), lmtp: false }]);
        assert_eq!((b.balance, b.identity, b.connections.idle, b.connections.max), (Balance::Spread, Identity::None, 3, 7));
        assert_eq!((a.identity, a.connections.idle, a.connections.max), (Identity::XForward, 4, 7));
        assert_eq!(a.next_hops, config.relay.route.next_hops);
        assert_eq!(config.listeners[0].route.as_deref(), Some("b"));
    }

    #[test]
    fn rules_and_tests_know_routes_by_name() {
        let text = "
listeners: [{address: '127.0.0.1:25'}, {name: b, address: '127.0.0.1:26', route: other}]
relay: {next_hops: ['mx:25']}
routes: {partner: {domains: [partner.example]}, other: {}}
chain: [{include: a.yaml}]
chain_tests: t.yaml
";
        let rules = "
rules: [{name: moved, when: {subject: x}, then: [route: other]}]
tests:
  - {name: moved, inline: 'Subject: x', expect: {route: other}}
  - {name: by its domain only in the whole chain, inline: 'Subject: y', envelope: {to: a@partner.example}, expect: {route: relay}}
";
        let tests = "
tests:
  - {name: by domain, inline: 'Subject: y', envelope: {to: [a@partner.example, b@x.example]}, expect: {for: {a@partner.example: {route: partner}, b@x.example: {route: relay}}}}
  - {name: by listener, inline: 'Subject: y', client: {listener: b}, expect: {route: other}}
  - {name: by rule, inline: 'Subject: x', envelope: {to: a@partner.example}, expect: {route: other}}
";
        let with = |rules: &str| {
            let files = [("transom.yaml", text), ("a.yaml", rules), ("t.yaml", tests)];
            load_files(&files, Options::default()).map(|_| ())
        };
        assert_eq!(with(rules), Ok(()));
        let told = with(&rules.replace("expect: {route: other}", "expect: {route: partner}")).unwrap_err();
        assert_eq!(told, ["the test `moved` fails"]);
        let told = with(&rules.replace("[route: other]", "[route: othr]")).unwrap_err();
        assert_eq!(told[0], "no route is called `othr`");
    }

    #[test]
    fn mistakes_in_routes_are_told() {
        let text = "
listeners: [{address: '127.0.0.1:25', route: partnr}]
relay: {next_hops: ['mx:25']}
routes:
  partner: {next_hops: [], domain: a.example}
  other: {next_hops: ['127.0.0.1:25'], connections: {max: 3}, announce: mirror}
";
        assert_eq!(
            told(text),
            [
                "no route is called `partnr`",
                "`next_hops` wants at least one next hop, found an empty list",
                "unknown key in the route `partner`: `domain`",
                "the next hop 127.0.0.1:25 is this server itself: mail would go in circles",
                "a route has no `max` of its own",
                "unknown key in the route `other`: `announce`",
            ]
        );
        let twice = "routes: {a: {domains: [x.example]}, b: {domains: [y.example, X.example]}}";
        let loaded = load_files(&[("transom.yaml", &format!("{SMALLEST}{twice}"))], Options::default()).unwrap();
        let told: Vec<&str> = loaded.warnings.iter().map(|problem| problem.title.as_str()).collect();
        assert_eq!(told, ["the route `b` never gets mail to x.example"]);
    }

    #[test]
    fn a_wrong_chain_entry_hides_nothing_of_its_files() {
        let text = format!("{SMALLEST}chain: [{{include: a.yaml, mood: observe}}, {{include: b.yaml, mode: watch, when: {{subjet: x}}}}]");
        let files = [
            ("transom.yaml", text.as_str()),
            ("a.yaml", "rules: [{name: one, then: [tagg: y]}]"),
            ("b.yaml", "rules: [{name: two, then: [tak: y]}]"),
        ];
        let told = load_files(&files, Options::default()).map(|_| ()).unwrap_err();
        for expected in [
            "unknown key in a chain entry: `mood`",
            "unknown word `watch`",
            "unknown condition `subjet`",
            "unknown action `tagg`",
            "unknown action `tak`",
        ] {
            assert!(told.iter().any(|title| title.starts_with(expected)), "{expected}: {told:#?}");
        }
    }

    const NAMED: &str = r"
rules:
  - {name: a partner, when: {sender: {domain: {in: partners}}}, then: [tag: partner]}
  - {name: a bad host, when: {client: {address: {in: bad}}}, then: [tag: bad]}
  - {name: a number, when: {subject: {pattern: staff}}, then: [tag: staff]}
tests:
  - {name: the file, inline: 'Subject: S-49927398716', envelope: {from: a@b.partner.example}, expect: {fired: [a partner, a number]}}
  - {name: its own, inline: 'Subject: S-49927398717', lists: {partners: [outside.example], bad: [192.0.2.0/24]}, expect: {fired: [a partner, a bad host]}}
  - {name: as before, inline: 'Subject: x', expect: {fired: []}}
";

    const NAMES: &str = r"
lists: {partners: {file: partners.txt, kind: domain}, bad: {kind: cidr, values: [10.0.0.0/8]}}
patterns: {staff: {matches: '\bS-\d{11}\b', check: luhn}}
chain: [{include: a.yaml}]
";

    #[test]
    fn rules_use_lists_and_patterns_by_name_and_tests_bring_entries_of_their_own() {
        let text = format!("{SMALLEST}{NAMES}");
        let files = [("transom.yaml", text.as_str()), ("partners.txt", "# ours\n\n.partner.example\n"), ("a.yaml", NAMED)];
        assert_eq!(load_files(&files, Options::default()).map(|_| ()), Ok(()));
    }

    #[test]
    fn each_bad_line_of_a_list_and_each_unknown_name_is_told() {
        let text = format!("{SMALLEST}{NAMES}");
        let files = [("transom.yaml", text.as_str()), ("partners.txt", "a.example\n*.b.example\nc d\n"), ("a.yaml", NAMED)];
        let told = load_files(&files, Options::default()).map(|_| ()).unwrap_err();
        assert_eq!(told, ["`*.b.example` is no domain: the subdomains of b.example are `.b.example`", "`c d` is no domain"]);
        let text = format!("{SMALLEST}chain: [{{include: a.yaml}}]");
        let told = load_files(&[("transom.yaml", &text), ("a.yaml", NAMED)], Options::default()).map(|_| ()).unwrap_err();
        let unknown = ["no list is called `partners`", "no list is called `bad`", "no pattern is called `staff`"];
        assert_eq!(told[..3], unknown, "{told:#?}");
    }

    #[test]
    fn two_rules_of_one_name_are_told_once_wherever_they_stand() {
        let text = format!("{SMALLEST}chain: [{{include: a.yaml}}, {{include: b.yaml}}]");
        let rule = "{name: one, then: [discard]}";
        let files =
            [("transom.yaml", text.as_str()), ("a.yaml", &format!("rules: [{rule}, {rule}]")), ("b.yaml", &format!("rules: [{rule}]"))];
        assert_eq!(load_files(&files, Options::default()).map(|_| ()).unwrap_err(), ["a second rule is called `one`"; 2]);
    }

    #[test]
    fn what_cannot_be_done_without_is_asked_for() {
        assert_eq!(told(""), ["the configuration has no `listeners`", "the configuration has no `relay`"]);
        assert_eq!(told("listeners: []\nrelay: {}"), ["no listener", "`relay` has no `next_hops`"]);
        assert!(told("- a")[0].starts_with("the configuration wants a mapping"));
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let text = "listeners: [{address: 'unix:run/in.sock'}]\nrelay: {next_hops: ['unix:/run/out.sock']}\nstore: {path: var}";
        let config = loaded(text);
        let base = config.file.parent().unwrap();
        assert_eq!(config.listeners[0].address, Address::Unix(base.join("run/in.sock")));
        assert_eq!(config.relay.route.next_hops, [NextHop { place: Place::Unix("/run/out.sock".into()), lmtp: false }]);
        assert_eq!(config.store.path, base.join("var"));
    }

    #[test]
    fn what_is_odd_is_told_and_stops_nothing() {
        let text = "
listeners: [{address: '0.0.0.0:25', origin: inside}]
inside: {networks: [10.1.2.3/8]}
relay: {next_hops: ['mx:25']}
limits: {temporary_disk: 1MB, bytes_in_flight: 1kB}
";
        let loaded = load_files(&[("transom.yaml", text)], Options::default()).unwrap();
        let told: Vec<&str> = loaded.warnings.iter().map(|problem| problem.title.as_str()).collect();
        assert_eq!(
            told,
            [
                "`10.1.2.3/8` has bits beyond its length",
                "whoever can connect to 0.0.0.0:25 may send to anyone",
                "no message of `message_size`, 50MB, will ever fit",
                "no message will ever get its `memory_per_message`, 1MiB",
            ]
        );
    }

    #[test]
    fn an_address_may_begin_any_number_of_messages_unless_a_number_is_written() {
        let with = |limits: &str| load_files(&[("transom.yaml", &format!("{SMALLEST}limits: {limits}"))], Options::default());
        for (limits, number) in [("{}", 0), ("{messages_per_address: 0}", 0), ("{messages_per_address: 600}", 600)] {
            assert_eq!(with(limits).unwrap().config.limits.messages_per_address, number, "{limits}");
        }
        for wrong in ["-1", "10/min", "many"] {
            let told = with(&format!("{{messages_per_address: {wrong}}}")).map(|_| ()).unwrap_err();
            assert!(told.len() == 1 && told[0].contains("`messages_per_address` wants a whole number"), "{told:?}");
        }
    }

    #[test]
    fn health_is_no_place_for_mail_and_where_strangers_see_it_that_is_told() {
        let with = |admin: &str| load_files(&[("transom.yaml", &format!("{SMALLEST}admin: {admin}"))], Options::default());
        assert_eq!(loaded(SMALLEST).admin, None);
        let config = loaded(&format!("{SMALLEST}admin: {{address: 'unix:a.sock'}}"));
        assert_eq!(config.admin.unwrap().address, Address::Unix(config.file.parent().unwrap().join("a.sock")));
        assert!(with("{address: '127.0.0.1:9101'}").unwrap().warnings.iter().next().is_none());
        let warned = with("{address: '0.0.0.0:9101'}").unwrap().warnings;
        assert!(warned.iter().next().unwrap().title.starts_with("whoever can reach 0.0.0.0:9101 sees"), "{}", warned.render(false));
        let systemd = loaded(&format!("{SMALLEST}admin: {{address: 'systemd:admin'}}"));
        assert_eq!(systemd.admin.unwrap().address, Address::Systemd("admin".to_owned()));
        let told = load_files(
            &[("transom.yaml", "listeners: [{address: 'systemd:smtp'}]\nrelay: {next_hops: ['mx:25']}\nadmin: {address: 'systemd:smtp'}")],
            Options::default(),
        );
        assert_eq!(told.map(|_| ()).unwrap_err(), ["systemd:smtp is an address for mail"]);
        assert_eq!(with("{address: '127.0.0.1:10025'}").map(|_| ()).unwrap_err(), ["127.0.0.1:10025 is an address for mail"]);
        assert_eq!(with("{}").map(|_| ()).unwrap_err(), ["`admin` has no `address`"]);
    }

    #[test]
    fn users_that_cannot_be_read_are_told_where_they_are_named() {
        use crate::smtp::auth::Mechanism::{Login, Plain, ScramSha256};
        let text = |auth: &str| {
            format!("listeners: [{{address: '127.0.0.1:25', auth: {auth}}}]\nrelay: {{next_hops: ['mx:25']}}")
                .replace("{users", "{without_tls: true, users")
        };
        let told = |auth: &str, users: &str| {
            let files = [("transom.yaml", text(auth)), ("users.yaml", users.to_owned())];
            let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
            load_files(&files, Options::default()).map(|loaded| loaded.config.listeners[0].auth.as_ref().unwrap().mechanisms.clone())
        };
        let good = users::Users::default().written();
        assert_eq!(told("{users: users.yaml}", &good), Ok(vec![Plain, Login, ScramSha256]));
        assert_eq!(told("{users: users.yaml, mechanisms: [SCRAM-SHA-256, SCRAM-SHA-256]}", &good), Ok(vec![ScramSha256]));
        assert!(told("{users: none.yaml}", &good).unwrap_err()[0].contains("none.yaml cannot be read"));
        assert_eq!(told("{users: users.yaml}", "users: {}"), Err(vec!["a users file has no `secret`".to_owned()]));
        assert_eq!(told("{without_tls: true}", &good), Err(vec!["`auth` has no `users`".to_owned()]));
        let wrong = told("{users: users.yaml, mechanisms: [SCRAM-SHA-1]}", &good).unwrap_err();
        assert_eq!(wrong, ["SCRAM-SHA-1 is for logging in at next hops, not here"]);
        let wrong = told("{users: users.yaml, mechanisms: [CRAM-MD5], requird: true}", &good).unwrap_err();
        assert!(wrong[0].starts_with("`mechanisms` wants") && wrong[1].starts_with("unknown key in `auth`"), "{wrong:?}");
    }

    #[test]
    fn passwords_that_others_may_learn_are_warned_of() {
        let load = |listener: &str, relay: &str| {
            let text =
                format!("inside: {{}}\nlisteners: [{{address: {listener}}}]\nrelay: {{next_hops: ['mx.example.org:25'], {relay}}}\n");
            let files = [("transom.yaml", text), ("users.yaml", users::Users::default().written()), ("secret", "x".to_owned())];
            let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
            load_files(&files, Options::default()).map(|loaded| loaded.warnings.iter().map(|one| one.title.clone()).collect::<Vec<_>>())
        };
        let clear = "'0.0.0.0:25', auth: {users: users.yaml, without_tls: true}";
        assert_eq!(load(clear, ""), Ok(vec!["clients may log in at 0.0.0.0:25 without TLS".to_owned()]));
        assert_eq!(load("'127.0.0.1:25', auth: {users: users.yaml, without_tls: true}", ""), Ok(Vec::new()));
        let nobody = vec!["nobody could log in: this listener has no TLS".to_owned()];
        assert_eq!(load("'127.0.0.1:25', auth: {users: users.yaml}", ""), Err(nobody));
        let shown = Ok(vec!["mx.example.org:25 is told the password without having to prove who it is".to_owned()]);
        assert_eq!(load("'127.0.0.1:25'", "auth: {user: a, password: file:secret}"), shown);
        for more in [
            "mechanisms: [SCRAM-SHA-256]}",
            "}, tls: [{mode: required, certificates: verify}]",
            "mechanisms: [SCRAM-SHA-256-PLUS]}, tls: []",
        ] {
            assert_eq!(load("'127.0.0.1:25'", &format!("auth: {{user: a, password: file:secret, {more}")), Ok(Vec::new()), "{more}");
        }
    }

    #[test]
    fn a_route_logs_in_as_it_says_else_as_relay_does() {
        let text = "
listeners: [{address: '127.0.0.1:25'}]
relay: {next_hops: ['mx:25'], auth: {user: filter, password: file:secret}}
routes: {one: {domains: [a.example]}, other: {domains: [b.example], auth: {user: other, password: file:secret, mechanisms: [LOGIN], without_tls: true}}}
";
        let config = load_files(&[("transom.yaml", text), ("secret", "pencil\n")], Options::default()).unwrap().config;
        let users = config.routes.iter().map(|route| route.auth.as_ref().unwrap().user.as_str()).collect::<Vec<_>>();
        assert_eq!(users, ["filter", "other"]);
        assert_eq!(config.relay.route.auth, config.routes[0].auth);
    }

    #[test]
    fn what_is_wrong_with_an_account_is_told_and_no_password() {
        let auth = |auth: &str| told(&format!("listeners: [{{address: '127.0.0.1:25'}}]\nrelay: {{next_hops: ['mx:25'], auth: {auth}}}"));
        assert_eq!(auth("{password: hunter2}"), ["`auth` has no `user`", "`password` is not to be written here"]);
        assert_eq!(auth("{user: a}"), ["`auth` has no `password`"]);
        assert!(auth("{user: a, password: file:none}")[0].contains("none: No such file"));
        assert_eq!(auth("{user: '', password: env:PATH}"), ["this can be no name of a user"]);
        assert!(auth("{user: a, password: env:PATH, mechanisms: [CRAM-MD5]}")[0].starts_with("`mechanisms` wants"));
    }

    #[test]
    fn direction_where_only_xforward_tells_of_clients_is_told() {
        let told = |listener: &str, rule: &str| {
            let text = format!(
                "listeners: [{{address: '127.0.0.1:1'}}, {{address: '127.0.0.1:2', trust: {{xforward: [127.0.0.1]}}, {listener}}}]\ninside: {{}}\nrelay: {{next_hops: ['mx:25']}}\nchain: [{{include: a.yaml}}]"
            );
            let rules = format!(
                "rules: [{{name: out, when: {{{rule}}}, then: [tag: x]}}]\ntests: [{{name: out, inline: 'Subject: x', direction: outbound, expect: {{}}}}]"
            );
            let options = Options { lint: true, ..Options::default() };
            let loaded = load_files(&[("transom.yaml", &text), ("a.yaml", &rules), ("b.yaml", "rules: []")], options).unwrap();
            loaded.warnings.iter().any(|problem| problem.title.starts_with("XFORWARD carries no login"))
        };
        assert!(told("name: a", "direction: outbound") && told("origin: auto", "any: [{direction: internal}, {subject: x}]"));
        assert!(!told("origin: inside", "direction: outbound") && !told("name: a", "subject: x"));
        assert!(!told("chain: [{include: b.yaml}]", "direction: outbound"));
    }

    #[test]
    fn a_rule_file_stands_in_a_chain_once() {
        let rule = "rules: [{name: one, then: [tag: x]}]";
        let text = format!("{SMALLEST}chain: [{{include: r/*.yaml}}, {{include: r/a.yaml}}]");
        let told = load_files(&[("transom.yaml", &text), ("r/a.yaml", rule)], Options::default()).map(|_| ()).unwrap_err();
        assert!(told.len() == 1 && told[0].ends_with("r/a.yaml is included twice"), "{told:?}");
    }

    #[test]
    fn named_conditions_are_seen_in_every_rule_file() {
        let text = format!("{SMALLEST}conditions: {{urgent: {{subject: urgent}}}}\nchain: [{{include: a.yaml}}, {{include: b.yaml}}]");
        let rule = |name: &str| format!("rules: [{{name: {name}, when: {{condition: urgent}}, then: [tag: x]}}]");
        let files = [("transom.yaml", text.as_str()), ("a.yaml", &rule("a")), ("b.yaml", &rule("b"))];
        assert_eq!(load_files(&files, Options::default()).unwrap().config.chain.files().len(), 2);
    }

    #[test]
    fn a_failing_rule_test_stops_a_start_unless_tests_or_rules_are_not_wanted() {
        let text = format!("{SMALLEST}chain: [{{include: a.yaml}}]");
        let rules = "
rules: [{name: one, then: [discard]}]
tests: [{name: it is delivered, inline: \"Subject: a\\n\\nb\\n\", expect: {outcome: deliver}}]
";
        let with = |options| load_files(&[("transom.yaml", &text), ("a.yaml", rules)], options);
        assert_eq!(with(Options::default()).map(|_| ()).unwrap_err(), ["the test `it is delivered` fails"]);
        assert_eq!(with(Options { without_tests: true, ..Options::default() }).unwrap().config.chain.files().len(), 1);
        assert_eq!(with(Options { without_chain: true, ..Options::default() }).unwrap().config.chain.files().len(), 0);
    }

    #[test]
    fn a_broken_rule_file_does_not_matter_when_no_rule_is_wanted() {
        let text = format!("{SMALLEST}chain: [{{include: a.yaml}}]");
        let options = Options { without_chain: true, ..Options::default() };
        assert!(load_files(&[("transom.yaml", &text), ("a.yaml", "rules: [[[")], options).is_ok());
    }

    #[test]
    fn keys_of_what_is_not_built_are_unknown() {
        assert_eq!(told(&format!("{SMALLEST}keys: {{}}")), ["unknown key in the configuration: `keys`"]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_by_its_name() {
        let problems = load(Path::new("none/transom.yaml"), Options::default()).unwrap_err();
        assert_eq!(problems.iter().next().unwrap().title, "none/transom.yaml cannot be read: no such file");
    }
}
