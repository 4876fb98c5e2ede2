//! TLS on both sides: what each policy makes of each certificate of a next hop, and what clients are shown.

use std::fmt::Write as _;
use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use crate::support::client::Client;
use crate::support::next_hop::{Act, NextHop, Script};
use crate::support::transom::{Transom, transom};

const MAIL: &[u8] = b"Subject: x\r\n\r\nhello\r\n";
/// The name that the policies ask for.
const NAME: &str = "mx.example.org";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key in PEM.
fn signed(name: &str, by: Option<&Authority>, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(vec![name.to_owned()]).unwrap());
    change(&mut params);
    let certificate = match by {
        Some(by) => params.signed_by(&key, by).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    (certificate.pem(), key.serialize_pem())
}

fn shown((certificate, key): &(String, String)) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    Arc::new(config.with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap())
}

/// The policies, each a rule of `relay.tls`; `verify` stands for the authority and the name.
const POLICIES: [&str; 9] = [
    "mode: never",
    "mode: if_available",
    "mode: if_available, verify",
    "mode: always_try",
    "mode: always_try, verify",
    "mode: required",
    "mode: required, verify",
    "mode: implicit",
    "mode: implicit, verify",
];

/// A next hop, how a mail to it goes under each policy (`-`: it does not, and the client hears 451), and what the log says where its certificate is to blame.
const TABLE: &[(&str, [&str; 9], &str)] = &[
    ("good", ["clear", "tls", "tls", "tls", "tls", "tls", "tls", "tls", "tls"], ""),
    (
        "wrong name",
        ["clear", "tls", "clear", "tls", "clear", "tls", "-", "tls", "-"],
        "its certificate is for mx.example.net, not for mx.example.org",
    ),
    ("expired", ["clear", "tls", "clear", "tls", "clear", "tls", "-", "tls", "-"], "its certificate has expired"),
    ("self-signed", ["clear", "tls", "clear", "tls", "clear", "tls", "-", "tls", "-"], "or its key with `pin: "),
    ("unknown authority", ["clear", "tls", "clear", "tls", "clear", "tls", "-", "tls", "-"], "nobody who is trusted vouches"),
    ("no certificate", ["clear", "clear", "clear", "clear", "clear", "-", "-", "-", "-"], ""),
    ("TLS 1.1", ["clear", "clear", "clear", "clear", "clear", "-", "-", "-", "-"], ""),
    ("no STARTTLS", ["clear", "clear", "clear", "clear", "clear", "-", "-", "-", "-"], ""),
];

/// `handshake_failure`, as a server without a certificate says it, and `protocol_version`.
const NO_CERTIFICATE: &str = "\x15\x03\x03\x00\x02\x02\x28";
const TLS_1_1: &str = "\x15\x03\x02\x00\x02\x02\x46";

fn script(peer: &str, implicit: bool, known: &Authority) -> Script {
    let papers = match peer {
        "wrong name" => signed("mx.example.net", Some(known), |_| {}),
        "expired" => signed(NAME, Some(known), |params| params.not_after = date_time_ymd(2020, 1, 1)),
        "self-signed" => signed(NAME, None, |_| {}),
        "unknown authority" => signed(NAME, Some(&authority()), |_| {}),
        _ => signed(NAME, Some(known), |_| {}),
    };
    let script = match peer {
        "no STARTTLS" => return Script::good(),
        "no certificate" => Script::offering(&["STARTTLS"]).at("handshake", Act::SayAndClose(NO_CERTIFICATE)),
        "TLS 1.1" => Script::offering(&["STARTTLS"]).at("handshake", Act::SayAndClose(TLS_1_1)),
        _ => Script::offering(&["STARTTLS"]),
    };
    let script = script.showing(shown(&papers));
    if implicit { script.secured() } else { script }
}

#[test]
fn each_policy_with_each_next_hop() {
    let known = authority();
    let cells: Vec<(&str, &str, &str, &str, NextHop)> = TABLE
        .iter()
        .flat_map(|(peer, row, why)| POLICIES.iter().zip(row).map(move |(policy, wanted)| (*peer, *policy, *wanted, *why)))
        .map(|(peer, policy, wanted, why)| (peer, policy, wanted, why, NextHop::start([script(peer, policy.contains("implicit"), &known)])))
        .collect();
    let mut text =
        "hostname: filter.example.org\nlisteners: [{address: 127.0.0.1:0}]\nrelay: {next_hops: [127.0.0.1:9]}\nroutes:\n".to_owned();
    for (number, (_, policy, .., hop)) in cells.iter().enumerate() {
        let rule = policy.replace("verify", &format!("certificates: verify, ca: ca.pem, name: {NAME}"));
        let _ = writeln!(text, "  r{number}: {{domains: [d{number}.example], next_hops: [\"{}\"], tls: [{{{rule}}}]}}", hop.address);
    }
    let server = Transom::start_with(&text, &[("ca.pem", &known.pem())]);
    for (number, (peer, policy, wanted, why, hop)) in cells.iter().enumerate() {
        let mut client = server.client();
        client.hello();
        client.expect("MAIL FROM:<a@example.org>", "250");
        let answer = client.say(&format!("RCPT TO:<b@d{number}.example>"));
        let went = if answer.starts_with("250") {
            client.expect("DATA", "354");
            assert!(client.data(MAIL).starts_with("250"), "{peer}, {policy}");
            if hop.log().in_tls[0] { "tls" } else { "clear" }
        } else {
            assert!(answer.starts_with("451 4.3.0"), "{peer}, {policy}: {answer}");
            "-"
        };
        assert_eq!(went, *wanted, "{peer}, {policy}\n{}", server.log());
        if policy.contains("verify") && !why.is_empty() {
            let of_this = format!("next hop {} ", hop.address);
            assert!(server.log().lines().any(|line| line.contains(&of_this) && line.contains(why)), "{peer}, {policy}: {}", server.log());
        }
    }
}

#[test]
fn a_key_may_be_pinned_and_the_systems_authorities_are_asked_where_nothing_else_is_said() {
    let (known, unknown) = (authority(), authority());
    let stranger = signed("anything.example", Some(&unknown), |_| {});
    let der = CertificateDer::from_pem_slice(stranger.0.as_bytes()).unwrap();
    let pin = transom::tls::Certificate::read(&der).unwrap().pin_text();
    let offering = || Script::offering(&["STARTTLS"]);
    let pinned = NextHop::start([offering().showing(shown(&stranger))]);
    let vouched = NextHop::start([offering().showing(shown(&signed("127.0.0.1", Some(&known), |_| {})))]);
    let text = format!(
        "hostname: filter.example.org\nlisteners: [{{address: 127.0.0.1:0}}]\nrelay: {{next_hops: [\"{}\"], tls: [{{mode: required, certificates: verify}}]}}
routes: {{pinned: {{domains: [pinned.example], next_hops: [\"{}\"], tls: [{{mode: required, certificates: verify, pin: {pin}}}]}}}}\n",
        vouched.address, pinned.address
    );
    let directory = Arc::new(tempfile::TempDir::new().unwrap());
    std::fs::write(directory.path().join("transom.yaml"), text).unwrap();
    std::fs::write(directory.path().join("system.pem"), known.pem()).unwrap();
    let mut command = transom(directory.path());
    command.arg("serve").env("SSL_CERT_FILE", directory.path().join("system.pem")).env_remove("SSL_CERT_DIR");
    let server = Transom::spawn(command, directory);
    let mut client = server.client();
    client.hello();
    assert!(client.send("a@example.org", &["b@pinned.example"], MAIL).starts_with("250"));
    assert!(client.send("a@example.org", &["b@example.net"], MAIL).starts_with("250"));
    assert_eq!((pinned.log().in_tls, vouched.log().in_tls), (vec![true], vec![true]));
}

/// What a connection in TLS says when nobody asks is seen before the next mail, and a session ticket is not taken for such.
#[test]
fn a_connection_in_tls_is_used_again_until_it_talks_out_of_turn() {
    let script = Script::offering(&["STARTTLS", "PIPELINING"]);
    let hop = NextHop::start([script.clone()]);
    let server = Transom::start(hop.address, "");
    let mut client = server.client();
    client.hello();
    for _ in 0..3 {
        assert!(client.send("a@example.org", &["b@example.net"], MAIL).starts_with("250"));
    }
    assert_eq!((hop.log().connections, hop.log().in_tls), (1, vec![true; 3]));
    hop.follow(script.at(".", Act::SayAndLater("250 2.0.0 taken\r\n", "250 2.0.0 and again\r\n")));
    assert!(client.send("a@example.org", &["b@example.net"], MAIL).starts_with("250"));
    hop.say_it_now();
    hop.follow(Script::offering(&["STARTTLS", "PIPELINING"]));
    assert!(client.send("a@example.org", &["b@example.net"], MAIL).starts_with("250"));
    assert_eq!((hop.log().connections, hop.log().in_tls), (2, vec![true; 5]));
}

#[test]
fn a_session_is_taken_up_again_and_never_stands_for_a_proof_that_was_not_asked_for_then() {
    let (known, unknown) = (authority(), authority());
    let hop = NextHop::start([Script::offering(&["STARTTLS"]).showing(shown(&signed("127.0.0.1", Some(&known), |_| {})))]);
    let text = |certificates: &str| {
        format!(
            "hostname: filter.example.org\nlisteners: [{{address: 127.0.0.1:0}}]\nrelay:\n  next_hops: [\"{}\"]\n  connections: {{idle: 0}}\n  tls: [{{mode: required, {certificates}}}]\n",
            hop.address
        )
    };
    let server = Transom::start_with(&text("certificates: ignore"), &[("known.pem", &known.pem()), ("unknown.pem", &unknown.pem())]);
    let mut client = server.client();
    client.hello();
    let mut send_two = |resumed: &[bool]| {
        for _ in 0..2 {
            assert!(client.send("a@example.org", &["b@example.net"], MAIL).starts_with("250"));
        }
        assert_eq!(hop.log().resumed, resumed);
        assert!(hop.log().in_tls.iter().all(|secured| *secured));
    };
    // What it offers was asked on a connection of its own.
    send_two(&[false, true, true]);
    server.reload(&text("certificates: verify, ca: known.pem"), &[]);
    send_two(&[false, true, true, false, true, true]);
    server.reload(&text("certificates: verify, ca: unknown.pem"), &[]);
    let mut another = server.client();
    another.hello();
    for _ in 0..2 {
        another.expect("MAIL FROM:<a@example.org>", "250");
        another.expect("RCPT TO:<b@example.net>", "451 4.3.0");
        another.expect("RSET", "250");
    }
    assert_eq!(hop.log().messages.len(), 4);
}

/// Whether a client that trusts `known` and wants this name is content with what the server shows.
fn is_shown(server: &Transom, known: &Authority, name: &'static str) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(known.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let mut connection = ClientConnection::new(Arc::new(config), ServerName::try_from(name).unwrap()).unwrap();
    let mut socket = TcpStream::connect(server.address()).unwrap();
    while connection.is_handshaking() {
        if connection.complete_io(&mut socket).is_err() {
            return false;
        }
    }
    true
}

#[test]
fn a_reload_shows_the_new_certificate_and_a_broken_one_changes_nothing() {
    let known = authority();
    let hop = NextHop::start([Script::good()]);
    let text = format!(
        "hostname: filter.example.org\nlisteners: [{{address: 127.0.0.1:0, tls: {{mode: implicit, certificate: cert.pem, key: key.pem}}}}]\nrelay: {{next_hops: [\"{}\"]}}\n",
        hop.address
    );
    let (old, new) = (signed("old.example", Some(&known), |_| {}), signed("new.example", Some(&known), |_| {}));
    let server = Transom::start_with(&text, &[("cert.pem", &old.0), ("key.pem", &old.1)]);
    assert!(is_shown(&server, &known, "old.example"));
    let told = server.reload(&text, &[("cert.pem", &new.0)]);
    assert!(told.contains("is not that of the first certificate") && told.contains("not reloaded"), "{told}");
    assert!(is_shown(&server, &known, "old.example"));
    server.reload(&text, &[("key.pem", &new.1)]);
    assert!(is_shown(&server, &known, "new.example") && !is_shown(&server, &known, "old.example"));
}

#[test]
fn a_client_that_does_not_speak_tls_is_told_of_in_the_log() {
    let (hop, known) = (NextHop::start([Script::good()]), authority());
    let papers = signed("mx.example", Some(&known), |_| {});
    let text = format!(
        "listeners: [{{address: 127.0.0.1:0, tls: {{mode: implicit, certificate: cert.pem, key: key.pem}}}}]\nrelay: {{next_hops: [\"{}\"]}}\nhostname: filter.example.org\n",
        hop.address
    );
    let server = Transom::start_with(&text, &[("cert.pem", &papers.0), ("key.pem", &papers.1)]);
    let mut socket = TcpStream::connect(server.address()).unwrap();
    std::io::Write::write_all(&mut socket, b"EHLO client.example\r\n").unwrap();
    assert!(server.wait_for_log("no TLS with this client").contains("what it says is not TLS"));
    assert!(Client::try_connect(server.address()).is_none());
}
