//! `listeners[].tls` and `relay.tls`: read together with the certificates and keys they name, which lie relative to the configuration.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, ServerName};

use super::address::{NextHop, is_host_name};
use super::relay::Route;
use crate::mail::domain_matches;
use crate::tls::cipher::{Minimum, Suite};
use crate::tls::client::{Client, Trust, system_authorities};
use crate::tls::pem::{self, Fault, Role};
use crate::tls::server::{Files, Server, Speech};
use crate::yaml::manual::Key;
use crate::yaml::{FromNode, Node, Problems, Reported, Settings, nearest};

pub(super) const LISTENER: &[Key] = &[
    Key::or("mode", "starttls or implicit", "starttls", "`starttls`: the client asks for it; `implicit`: it begins with the connection."),
    Key::need(
        "certificate",
        "a path",
        "cert.pem",
        "The server's certificate and the intermediate ones, in PEM; read again by itself when it changes.",
    ),
    Key::need("key", "a path", "key.pem", "Its private key, in PEM, without a password."),
    Key::or("required", "true or false", "false", "With `starttls`: before it a client hears 530 to everything that concerns mail."),
    Key::or("minimum", "1.2 or 1.3", "\"1.2\"", "The oldest version that is spoken."),
    Key::or(
        "ciphers",
        "a list of cipher suites",
        "[]",
        "The only ones that are used, of both versions, by their registered names or OpenSSL's; all that are safe if empty.",
    ),
    Key::may(
        "client_ca",
        "a path",
        "ca.pem",
        "Clients are asked for a certificate, and who shows one that is signed by these authorities has its names (`client: {certificate: …}`); nobody is turned away.",
    ),
];

pub(super) const RELAY: &[Key] = &[
    Key::may(
        "domain",
        "a domain or an address",
        ".example.org",
        "Of the next hop as `next_hops` has it; `.x` is the subdomains of x; all of them if absent.",
    ),
    Key::or(
        "mode",
        "never, if_available, always_try, required or implicit",
        "if_available",
        "`if_available`: STARTTLS where it is offered, in clear where that fails; `always_try`: also where it is not offered; `required`: never in clear; `implicit`: TLS from the start, never in clear.",
    ),
    Key::or("certificates", "ignore or verify", "ignore", "`verify`: the next hop has to prove who it is."),
    Key::may("name", "a host name or an address", "", "What its certificate must say, if that is not the name in `next_hops`."),
    Key::may("ca", "a path", "", "Who may vouch for it, in PEM, or its own certificate; the authorities of the system if absent."),
    Key::may("pin", "a SHA-256 in hex or base64", "", "Of its public key: the key alone proves who it is. Not together with `ca`."),
];

/// TLS of a listener.
#[derive(Clone, Debug)]
pub struct ListenerTls {
    /// From the start, not after STARTTLS.
    pub implicit: bool,
    /// No mail in clear.
    pub required: bool,
    pub server: Arc<Server>,
}

/// TLS towards next hops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayTls {
    rules: Vec<(Of, Policy)>,
    otherwise: Policy,
    /// For Unix sockets: nobody listens there.
    never: Policy,
}

/// How one next hop is spoken to. Two that are equal ask for the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub mode: TlsMode,
    pub client: Client,
    name: Option<String>,
}

/// When TLS is spoken towards a next hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    Never,
    /// STARTTLS where it is offered; in clear where it is not, or fails.
    #[default]
    IfAvailable,
    /// The same also where it is not offered.
    AlwaysTry,
    /// STARTTLS or nothing.
    Required,
    /// From the start, or nothing.
    Implicit,
}

/// Which next hops a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Of {
    All,
    Address(IpAddr),
    /// In lower case.
    Domain(String),
}

impl Default for RelayTls {
    fn default() -> RelayTls {
        RelayTls { rules: Vec::new(), otherwise: Policy::default(), never: Policy { mode: TlsMode::Never, ..Policy::default() } }
    }
}

impl RelayTls {
    /// How this next hop is spoken to: the first rule that is for it.
    #[must_use]
    pub fn policy(&self, next_hop: &NextHop) -> &Policy {
        let Some(host) = next_hop.host() else { return &self.never };
        self.rules.iter().find(|(of, _)| of.holds(host)).map_or(&self.otherwise, |(_, policy)| policy)
    }
}

impl Policy {
    /// Whether what is sent this way is enciphered for a next hop that has proved who it is, or not sent (RFC 8689 asks for that).
    #[must_use]
    pub fn is_secure(&self) -> bool {
        matches!(self.mode, TlsMode::Required | TlsMode::Implicit) && self.client.verifies()
    }

    /// The same in clear.
    #[must_use]
    pub fn in_clear(&self) -> Policy {
        Policy { mode: TlsMode::Never, ..self.clone() }
    }

    /// The name under which it is asked for, and which its certificate must have.
    #[must_use]
    pub fn server_name(&self, next_hop: &NextHop) -> Option<ServerName<'static>> {
        ServerName::try_from(self.name.clone().or_else(|| next_hop.host().map(str::to_owned))?).ok()
    }
}

impl Of {
    fn holds(&self, host: &str) -> bool {
        match self {
            Of::All => true,
            Of::Address(address) => host.parse::<IpAddr>().is_ok_and(|host| host.to_canonical() == *address),
            Of::Domain(domain) => domain_matches(domain, &host.to_ascii_lowercase()),
        }
    }
}

/// `tls` of each listener, as far as they can be read; none where there is none.
pub(super) fn listeners(configuration: &Node, base: &Path, problems: &mut Problems) -> Vec<Option<ListenerTls>> {
    let nodes = configuration.get("listeners").and_then(Node::list).unwrap_or_default();
    nodes.iter().map(|node| node.get("tls").and_then(|node| listener(node, base, problems).ok())).collect()
}

fn listener(node: &Node, base: &Path, problems: &mut Problems) -> Result<ListenerTls, Reported> {
    let mut settings = Settings::of("`tls`", node, problems)?;
    let implicit = settings.or("mode", Implicit(false), problems).0;
    let (certificate, key) = (settings.need::<String>("certificate", problems), settings.need::<String>("key", problems));
    let required = settings.take::<bool>("required", problems);
    let minimum = settings.or("minimum", Minimum::default(), problems);
    let suites: Vec<Suite> = settings.or("ciphers", Vec::new(), problems);
    let authorities = settings.take::<String>("client_ca", problems);
    settings.finish(problems)?;
    let place = |key: &str| node.get(key).unwrap_or(node).span.clone();
    if !suites.is_empty() && !suites.iter().any(|suite| minimum.allows(*suite)) {
        let label = "add `TLS_AES_256_GCM_SHA384`, or write `minimum: \"1.2\"`";
        return Err(problems.error(&place("ciphers"), "none of these ciphers can be used with `minimum: \"1.3\"`", label));
    }
    let required = required?;
    if (implicit, required) == (true, Some(false)) {
        problems.warning(&place("required"), "with `mode: implicit` nothing is ever in clear", "leave `required` out");
    }
    let (certificate, key) = (base.join(certificate?), base.join(key?));
    let files = Files { certificate, key, authorities: authorities?.map(|file| base.join(file)) };
    let shown = files.certificate.clone();
    let server = Server::load(files, Speech { minimum, suites }).map_err(|fault| told(node, &fault, "client_ca", problems))?;
    if let Some(dated) = pem::dated(&server.current().certificate) {
        let label = "clients that verify it refuse it: have it renewed, and look at the clock";
        problems.warning(&place("certificate"), format!("{} {dated}", shown.display()), label);
    }
    Ok(ListenerTls { implicit, required: required.unwrap_or(false), server: Arc::new(server) })
}

/// Reports what is wrong with a file at the key that names it.
fn told(node: &Node, fault: &Fault, authorities: &str, problems: &mut Problems) -> Reported {
    let key = match fault.role {
        Role::Certificate => "certificate",
        Role::Key => "key",
        Role::Authorities => authorities,
    };
    problems.error(&node.get(key).unwrap_or(node).span, format!("`{key}`: {fault}"), fault.advice)
}

/// TLS of all routes, the one of `relay` and the named ones.
#[derive(Debug)]
pub(super) struct Outward {
    relay: RelayTls,
    /// Of routes that have rules of their own.
    routes: Vec<(String, RelayTls)>,
}

impl Outward {
    /// The route with its rules.
    pub(super) fn of(&self, route: &Route) -> Route {
        let own = self.routes.iter().find(|(name, _)| **name == *route.name);
        Route { tls: own.map_or(&self.relay, |(_, own)| own).clone(), ..route.clone() }
    }
}

/// `relay.tls` and the `tls` of each route.
///
/// # Errors
/// One of the rules is wrong.
pub(super) fn outward(configuration: &Node, base: &Path, problems: &mut Problems) -> Result<Outward, Reported> {
    let common = configuration.get("relay");
    let routes = configuration.get("routes").and_then(Node::map).unwrap_or_default();
    let (own, others): (Vec<_>, Vec<_>) = routes.iter().partition(|(_, route)| route.get("tls").is_some());
    let relay = common.and_then(|relay| relay.get("tls")).map(|node| {
        let hops: Vec<_> = common.into_iter().chain(others.iter().map(|(_, route)| route)).flat_map(next_hops).collect();
        unused(node, &hops, problems);
        rules(node, base, problems)
    });
    let mut read = Vec::new();
    for (key, route) in own {
        let Some(node) = route.get("tls") else { continue };
        let hops = if route.get("next_hops").is_some() { Some(route) } else { common };
        unused(node, &hops.map(next_hops).unwrap_or_default(), problems);
        read.push(rules(node, base, problems).map(|rules| (key.text.clone(), rules)));
    }
    Ok(Outward { relay: relay.transpose()?.unwrap_or_default(), routes: read.into_iter().collect::<Result<_, _>>()? })
}

/// Those of a section that can be read.
fn next_hops(section: &Node) -> Vec<NextHop> {
    let nodes = section.get("next_hops").and_then(Node::list).unwrap_or_default();
    nodes.iter().filter_map(|node| NextHop::from_node(node, &mut Problems::default()).ok()).collect()
}

fn rules(node: &Node, base: &Path, problems: &mut Problems) -> Result<RelayTls, Reported> {
    let Some(nodes) = node.list() else {
        return Err(node.wants("a list of rules, such as `- {domain: .example.org, mode: required}`", problems));
    };
    let mut system = None;
    let rules: Vec<_> = nodes.iter().map(|node| rule(node, base, &mut system, problems)).collect();
    Ok(RelayTls { rules: rules.into_iter().collect::<Result<_, _>>()?, ..RelayTls::default() })
}

/// Reports rules that are for none of these next hops: a slip there would leave the mail in clear.
fn unused(rules: &Node, next_hops: &[NextHop], problems: &mut Problems) {
    for node in rules.list().unwrap_or_default() {
        let Some((domain, of)) = node.get("domain").and_then(|node| Some((node, Of::from_node(node, &mut Problems::default()).ok()?)))
        else {
            continue;
        };
        if !next_hops.iter().filter_map(NextHop::host).any(|host| of.holds(host)) {
            let hosts: Vec<_> = next_hops.iter().filter_map(NextHop::host).collect();
            let title = format!("no next hop is called {}: this rule is for none", domain.described());
            problems.warning(&domain.span, title, format!("as `next_hops` has them: {}", hosts.join(", ")));
        }
    }
}

type Authorities = Vec<CertificateDer<'static>>;

fn rule(node: &Node, base: &Path, system: &mut Option<Authorities>, problems: &mut Problems) -> Result<(Of, Policy), Reported> {
    let mut settings = Settings::of("a rule of `tls`", node, problems)?;
    let of = settings.or("domain", Of::All, problems);
    let mode = settings.or("mode", TlsMode::default(), problems);
    let verify = settings.or("certificates", Verify(false), problems).0;
    let name = settings.take::<Name>("name", problems);
    let (ca, pin) = (settings.take::<String>("ca", problems), settings.take::<Pin>("pin", problems));
    settings.finish(problems)?;
    let (name, ca, pin) = (name?.map(|name| name.0), ca?, pin?);
    let proof = ["name", "ca", "pin"].into_iter().find_map(|key| Some((key, node.get(key)?)));
    if let (false, Some((key, node))) = (verify, proof) {
        let title = format!("`{key}` says what nobody asks for");
        return Err(problems.error(&node.span, title, "write `certificates: verify` beside it, or leave it out"));
    }
    if let (TlsMode::Never, true) = (mode, verify) {
        return Err(problems.error(&node.span, "with `mode: never` there is no certificate to verify", "write `mode: required`"));
    }
    if verify && matches!(mode, TlsMode::IfAvailable | TlsMode::AlwaysTry) {
        let title = "a next hop that cannot prove who it is gets the mail in clear";
        problems.warning(&node.get("mode").unwrap_or(node).span, title, "write `mode: required` if that is not what you want");
    }
    let trust = match (verify, ca, pin) {
        (false, ..) => Trust::Anyone,
        (true, Some(_), Some(_)) => {
            let span = &node.get("pin").unwrap_or(node).span;
            return Err(problems.error(span, "`ca` and `pin` are two ways to prove one thing", "leave one of them out"));
        }
        (true, None, Some(Pin(pin))) => Trust::Key { pin, named: name.is_some() },
        (true, Some(file), None) => {
            let all = pem::certificates(&base.join(file), Role::Authorities);
            Trust::Authorities(all.map_err(|fault| told(node, &fault, "ca", problems))?)
        }
        (true, None, None) => Trust::Authorities(system.get_or_insert_with(system_authorities).clone()),
    };
    let client = Client::new(trust).map_err(|problem| {
        let label = "name a file of authorities with `ca`; the system's own come with its package ca-certificates";
        let span = &node.get("ca").or(node.get("certificates")).unwrap_or(node).span;
        problems.error(span, format!("there is nobody to vouch for next hops: {problem}"), label)
    })?;
    Ok((of, Policy { mode, client, name }))
}

struct Implicit(bool);

impl FromNode for Implicit {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Implicit, Reported> {
        node.word(&[("starttls", false), ("implicit", true)], problems).map(Implicit)
    }
}

struct Verify(bool);

impl FromNode for Verify {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Verify, Reported> {
        node.word(&[("ignore", false), ("verify", true)], problems).map(Verify)
    }
}

impl FromNode for TlsMode {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<TlsMode, Reported> {
        const WORDS: &[(&str, TlsMode)] = &[
            ("never", TlsMode::Never),
            ("if_available", TlsMode::IfAvailable),
            ("always_try", TlsMode::AlwaysTry),
            ("required", TlsMode::Required),
            ("implicit", TlsMode::Implicit),
        ];
        node.word(WORDS, problems)
    }
}

impl FromNode for Minimum {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Minimum, Reported> {
        node.word(&[("1.2", Minimum::Tls12), ("1.3", Minimum::Tls13)], problems)
    }
}

impl FromNode for Suite {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Suite, Reported> {
        let name = node.scalar().unwrap_or_default();
        Suite::named(name).ok_or_else(|| {
            let names = || Suite::names().collect::<Vec<_>>().join(", ");
            let label =
                nearest(name, Suite::names()).map_or_else(|| format!("known: {}", names()), |near| format!("did you mean `{near}`?"));
            problems.error(&node.span, format!("{} is no cipher suite that can be used here", node.described()), label)
        })
    }
}

/// A host name or an address.
struct Name(String);

impl FromNode for Name {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Name, Reported> {
        let name = node.scalar().filter(|name| is_host_name(name) || name.parse::<IpAddr>().is_ok());
        name.map(|name| Name(name.to_owned())).ok_or_else(|| node.wants("a host name such as mx1.example.org", problems))
    }
}

impl FromNode for Of {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Of, Reported> {
        let text = node.scalar().unwrap_or_default();
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Of::Address(address.to_canonical()));
        }
        if is_host_name(text.strip_prefix('.').unwrap_or(text)) {
            return Ok(Of::Domain(text.to_ascii_lowercase()));
        }
        Err(node.wants("a host name such as mx1.example.org, .example.org for all below it, or an address", problems))
    }
}

/// SHA-256 of a public key.
struct Pin([u8; 32]);

impl FromNode for Pin {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Pin, Reported> {
        let text = node.scalar().unwrap_or_default();
        let digits = text.strip_prefix("sha256/").or(text.strip_prefix("sha256:")).unwrap_or(text);
        let bytes = hex(&digits.replace(':', "")).or_else(|| STANDARD.decode(digits).ok()?.try_into().ok());
        bytes.map(Pin).ok_or_else(|| {
            let told = "the SHA-256 of a public key in hex or base64 (`openssl x509 -in CERT -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256`)";
            node.wants(told, problems)
        })
    }
}

fn hex(digits: &str) -> Option<[u8; 32]> {
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk;
    use crate::yaml::{Source, parse};
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    const PIN: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// A directory with `cert.pem`, `key.pem`, `other.pem` (another key) and `old.pem` (an expired certificate of the same key).
    fn directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(vec!["mx.example.org".to_owned()]).unwrap());
        let write = |name: &str, text: String| disk::write(&directory.path().join(name), text.as_bytes()).unwrap();
        write("cert.pem", params.self_signed(&key).unwrap().pem());
        write("key.pem", key.serialize_pem());
        write("other.pem", KeyPair::generate().unwrap().serialize_pem());
        params.not_after = date_time_ymd(2020, 1, 1);
        write("old.pem", params.self_signed(&key).unwrap().pem());
        directory
    }

    /// What is told, each with its place.
    fn told(text: &str) -> Vec<String> {
        let (directory, mut problems) = (directory(), Problems::default());
        let node = parse(&Source::new("t.yaml", text), &mut problems).unwrap();
        listeners(&node, directory.path(), &mut problems);
        let _ = outward(&node, directory.path(), &mut problems);
        let path = format!("{}/", directory.path().display());
        problems
            .iter()
            .map(|problem| format!("{}: {} | {}", problem.place().unwrap_or_default(), problem.title.replace(&path, ""), problem.label))
            .collect()
    }

    fn listener(keys: &str) -> Vec<String> {
        told(&format!("listeners: [{{tls: {{{keys}}}}}]"))
    }

    fn read(rules: &str) -> Result<RelayTls, Vec<String>> {
        let text = format!("relay: {{tls: [{rules}]}}");
        let mut problems = Problems::default();
        let node = parse(&Source::new("t.yaml", text.clone()), &mut problems).unwrap();
        outward(&node, directory().path(), &mut problems).map(|outward| outward.relay).map_err(|_| told(&text))
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_at_its_key() {
        assert_eq!(listener("certificate: cert.pem, key: key.pem, client_ca: cert.pem"), [""; 0]);
        for (keys, wanted) in [
            ("certificate: none.pem, key: key.pem", "t.yaml:1:33: `certificate`: none.pem is not there | paths are relative"),
            ("certificate: key.pem, key: key.pem", "t.yaml:1:33: `certificate`: key.pem holds no certificate | it has to be in PEM"),
            ("certificate: cert.pem, key: cert.pem", "t.yaml:1:48: `key`: cert.pem holds no private key |"),
            ("certificate: cert.pem, key: other.pem", "t.yaml:1:48: `key`: other.pem holds a key that is not that of the first"),
            ("certificate: cert.pem, key: key.pem, client_ca: key.pem", "t.yaml:1:68: `client_ca`: key.pem holds no certificate |"),
            ("certificate: old.pem, key: key.pem", "t.yaml:1:33: old.pem has expired at 2020-01-01T00:00:00Z | clients that verify"),
            ("certificate: cert.pem", "t.yaml:1:19: `tls` has no `key`"),
            ("certificate: cert.pem, key: key.pem, minimum: 1.1", "t.yaml:1:66: `minimum` wants `1.2` or `1.3`, found `1.1`"),
            (
                "certificate: cert.pem, key: key.pem, ciphers: [RC4]",
                "t.yaml:1:67: `RC4` is no cipher suite that can be used here | known: TLS_AES",
            ),
            (
                "certificate: cert.pem, key: key.pem, minimum: \"1.3\", ciphers: [ECDHE-RSA-AES128-GCM-SHA256]",
                "none of these ciphers can be used",
            ),
            ("certificate: cert.pem, key: key.pem, mode: implicit, required: false", "nothing is ever in clear"),
        ] {
            let told = listener(keys);
            assert!(told.len() == 1 && told[0].contains(wanted), "{keys}: {told:#?}");
        }
    }

    #[test]
    fn the_first_rule_for_a_next_hop_wins() {
        let rules = read(
            "{domain: mx.example.org, mode: never}, {domain: .example.org, mode: required}, {domain: '::ffff:10.0.0.5', mode: implicit},
             {mode: always_try}",
        )
        .unwrap();
        let mode = |rules: &RelayTls, host: &str| rules.policy(&NextHop::tcp(host, 25)).mode;
        assert_eq!(mode(&rules, "MX.example.org"), TlsMode::Never);
        assert_eq!(mode(&rules, "mx2.example.org"), TlsMode::Required);
        assert_eq!(mode(&rules, "10.0.0.5"), TlsMode::Implicit);
        assert_eq!(mode(&rules, "10.0.0.6"), TlsMode::AlwaysTry);
        assert_eq!(mode(&RelayTls::default(), "mx.example.org"), TlsMode::IfAvailable);
    }

    #[test]
    fn a_rule_that_proves_nothing_by_mistake_is_told() {
        for (rule, wanted) in [
            ("{mode: required, ca: cert.pem}", "`ca` says what nobody asks for"),
            ("{mode: never, certificates: verify}", "there is no certificate to verify"),
            (&format!("{{mode: required, certificates: verify, ca: cert.pem, pin: {PIN}}}"), "two ways to prove one thing"),
            ("{mode: required, certificates: verify, ca: key.pem}", "`ca`: key.pem holds no certificate"),
            ("{mode: required, certificates: verify, pin: abc}", "`pin` wants the SHA-256"),
            ("{mode: require}", "did you mean `required`?"),
            ("{domain: '*'}", "`domain` wants a host name"),
        ] {
            let told = read(rule).unwrap_err();
            assert!(told.len() == 1 && told[0].contains(wanted), "{rule}: {told:#?}");
        }
        assert!(told("relay: {tls: [{certificates: verify, ca: cert.pem}]}")[0].contains("gets the mail in clear"));
    }

    #[test]
    fn a_pin_may_be_written_as_tools_show_it() {
        let base64 = STANDARD.encode(hex(PIN).unwrap());
        let colons: Vec<String> = PIN.as_bytes().chunks(2).map(|two| String::from_utf8_lossy(two).to_uppercase()).collect();
        let all = [PIN.to_owned(), base64.clone(), format!("sha256/{base64}"), colons.join(":")];
        let policies: Vec<_> =
            all.iter().map(|pin| read(&format!("{{mode: required, certificates: verify, pin: '{pin}'}}")).unwrap()).collect();
        assert!(policies.iter().all(|policy| *policy == policies[0] && policy.policy(&NextHop::tcp("a", 25)).is_secure()));
    }

    #[test]
    fn a_rule_for_no_next_hop_is_told_and_a_route_without_rules_has_the_common_ones() {
        let text = "
relay: {next_hops: ['mx.example.org:25'], tls: [{domain: mx.example.org, mode: required}, {domain: b.example, mode: required}, {domain: .example}]}
routes:
  a: {next_hops: ['a.example:25'], tls: [{domain: mx.example.org, mode: implicit}, {mode: implicit}]}
  b: {next_hops: ['b.example:25']}
";
        let mut problems = Problems::default();
        let node = parse(&Source::new("t.yaml", text), &mut problems).unwrap();
        let outward = outward(&node, Path::new(""), &mut problems).unwrap();
        let titles: Vec<_> = problems.iter().map(|problem| problem.title.as_str()).collect();
        assert_eq!(titles, ["no next hop is called `mx.example.org`: this rule is for none"]);
        let mode = |name: &str, host: &str| {
            let route = outward.of(&Route { name: name.into(), ..Route::default() });
            route.tls.policy(&NextHop::tcp(host, 25)).mode
        };
        assert_eq!(mode("a", "a.example"), TlsMode::Implicit);
        assert_eq!(mode("b", "b.example"), TlsMode::Required);
        assert_eq!(mode("", "mx.example.org"), TlsMode::Required);
    }
}
