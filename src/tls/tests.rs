//! Both sides with each other, over a pipe in memory.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::cipher::{Minimum, Suite};
use super::client::{Client, Trust};
use super::failure::{With, explain};
use super::pem::Role;
use super::server::{Files, Server, Speech};
use super::stream::Lying;
use super::{Certificate, TlsStream};
use crate::base::disk;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

/// PEM of a certificate and its key.
fn signed(params: &CertificateParams, by: Option<&Authority>) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = match by {
        Some(by) => params.signed_by(&key, by).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    (certificate.pem(), key.serialize_pem())
}

fn der(pem: &str) -> CertificateDer<'static> {
    rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes()).unwrap()
}

fn files(directory: &Path, pair: &(String, String), authorities: Option<&str>) -> Files {
    let write = |name: &str, text: &str| {
        disk::write(&directory.join(name), text.as_bytes()).unwrap();
        directory.join(name)
    };
    Files {
        certificate: write("cert.pem", &pair.0),
        key: write("key.pem", &pair.1),
        authorities: authorities.map(|text| write("ca.pem", text)),
    }
}

fn server(pair: &(String, String), speech: Speech) -> (TempDir, Server) {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::load(files(directory.path(), pair, None), speech).unwrap();
    (directory, server)
}

/// A handshake after which the client has read what the server said in TLS, tickets among it; whether it took up a session.
async fn resumes(server: &Server, client: &Client, name: &str) -> Result<bool, String> {
    let (mut here, mut there) = shake(server, client, name).await.map_err(|(_, told)| told)?;
    here.write_all(b"220").await.unwrap();
    here.flush().await.unwrap();
    there.read_exact(&mut [0; 3]).await.unwrap();
    assert_eq!(here.agreed(), there.agreed());
    assert_eq!(there.certificates()[0].as_ref(), server.current().own());
    Ok(there.agreed().resumed)
}

type Pair = (TlsStream<DuplexStream>, TlsStream<DuplexStream>);

/// A handshake; why it failed, as both sides put it.
async fn shake(server: &Server, client: &Client, name: &str) -> Result<Pair, (String, String)> {
    let (here, there) = duplex(100_000);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let (accepted, connected) =
        tokio::join!(TlsStream::accept(here, Arc::clone(&server.current().config)), TlsStream::connect(there, client.config(), name));
    match (accepted, connected) {
        (Ok(accepted), Ok(connected)) => Ok((accepted, connected)),
        (accepted, connected) => {
            let told = |side: Result<_, std::io::Error>, with| side.err().map_or_else(String::new, |error| explain(&error, with));
            Err((told(accepted, With::Client), told(connected, With::Server)))
        }
    }
}

#[tokio::test]
async fn what_one_side_writes_the_other_reads_whatever_its_size() {
    let (_files, server) = server(&signed(&params("mx.example.org"), None), Speech::default());
    let (mut here, mut there) = shake(&server, &Client::default(), "mx.example.org").await.unwrap();
    assert_eq!((there.agreed().version, there.agreed().cipher), ("TLSv1.3", "TLS_AES_256_GCM_SHA384"));
    assert_eq!(here.agreed(), there.agreed());
    assert!(here.agreed().exporter.is_some());
    let long: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    let expected = long.clone();
    let writing = tokio::spawn(async move {
        there.write_all(&long).await.unwrap();
        there.shutdown().await.unwrap();
        let mut answer = String::new();
        there.read_to_string(&mut answer).await.unwrap();
        answer
    });
    let mut read = Vec::new();
    here.read_to_end(&mut read).await.unwrap();
    assert!(read == expected);
    here.write_all(b"250 ok").await.unwrap();
    here.shutdown().await.unwrap();
    assert_eq!(writing.await.unwrap(), "250 ok");
}

#[tokio::test]
async fn who_reads_after_writing_need_not_flush() {
    let (_files, server) = server(&signed(&params("mx.example.org"), None), Speech::default());
    let (here, there) = duplex(64);
    let accepting = TlsStream::accept(here, Arc::clone(&server.current().config));
    let connecting = TlsStream::connect(there, Client::default().config(), ServerName::try_from("mx").unwrap());
    let (Ok(mut here), Ok(mut there)) = tokio::join!(accepting, connecting) else { panic!() };
    let talk = async {
        there.write_all(&[b'x'; 5000]).await.unwrap();
        there.read_u8().await.unwrap()
    };
    let listen = async {
        here.read_exact(&mut [0; 5000]).await.unwrap();
        here.write_all(b"y").await.unwrap();
        here.flush().await.unwrap();
    };
    assert_eq!(tokio::join!(talk, listen).0, b'y');
}

#[tokio::test]
async fn tickets_are_nothing_and_a_word_or_a_goodbye_is_something() {
    let (_files, server) = server(&signed(&params("mx.example.org"), None), Speech::default());
    let (mut here, mut there) = shake(&server, &Client::default(), "mx.example.org").await.unwrap();
    // The server's side has written its ticket by now.
    let mut raw = [0; 10_000];
    let mut lies = async |there: &mut TlsStream<DuplexStream>, wait: bool| {
        let mut below = None;
        let moved = std::mem::replace(there, placeholder().await);
        let mut moved = moved.over(|io| Ok(below.insert(io)).map(|_| ())).unwrap();
        let mut below = below.unwrap();
        if wait {
            let count = below.read(&mut raw).await.unwrap();
            moved.take_in(&raw[..count]).unwrap();
        }
        let lying = moved.lying().unwrap();
        *there = moved.over(|()| Ok(below)).unwrap();
        lying
    };
    assert_eq!(lies(&mut there, true).await, Lying::Nothing);
    here.write_all(b"250 surprise\r\n").await.unwrap();
    assert_eq!(lies(&mut there, true).await, Lying::Bytes);
    let mut said = [0; 14];
    there.read_exact(&mut said).await.unwrap();
    assert_eq!(lies(&mut there, false).await, Lying::Nothing);
    here.shutdown().await.unwrap();
    assert_eq!(lies(&mut there, true).await, Lying::Goodbye);
}

/// Some stream, to stand where another is looked into.
async fn placeholder() -> TlsStream<DuplexStream> {
    let (_files, server) = server(&signed(&params("x"), None), Speech::default());
    shake(&server, &Client::default(), "x").await.unwrap().0
}

#[tokio::test]
async fn what_a_certificate_has_to_prove() {
    let (known, unknown) = (authority("known"), authority("unknown"));
    let good = signed(&params("mx.example.org"), Some(&known));
    let (alone, wrong_name) = (signed(&params("mx.example.org"), None), signed(&params("mx.example.net"), Some(&known)));
    let (mut expired, mut future) = (params("mx.example.org"), params("mx.example.org"));
    expired.not_after = date_time_ymd(2020, 1, 1);
    future.not_before = date_time_ymd(4000, 1, 1);
    let stranger = signed(&params("mx.example.org"), Some(&unknown));
    let pin = |pair: &(String, String)| Certificate::read(&der(&pair.0)).unwrap().pin;
    let vouched = Trust::Authorities(vec![known.der().clone(), der(&alone.0)]);
    let pinned = |named| Trust::Key { pin: pin(&wrong_name), named };
    for (pair, trust, wanted) in [
        (&good, vouched.clone(), ""),
        (&alone, vouched.clone(), ""),
        (&wrong_name, vouched.clone(), "certificate is for mx.example.net, not for mx.example.org"),
        (&signed(&expired, Some(&known)), vouched.clone(), "has expired"),
        (&signed(&future, Some(&known)), vouched.clone(), "not valid yet"),
        (&stranger, vouched, "nobody who is trusted vouches for its certificate"),
        (&stranger, Trust::Anyone, ""),
        (&signed(&expired, None), Trust::Anyone, ""),
        (&wrong_name, pinned(false), ""),
        (&wrong_name, pinned(true), "not for mx.example.org"),
        (&good, pinned(false), "its key is not the one in `pin`"),
    ] {
        let (_files, server) = server(pair, Speech::default());
        let shaken = shake(&server, &Client::new(trust.clone()).unwrap(), "mx.example.org").await;
        let told = shaken.err().map_or_else(String::new, |(_, told)| told);
        assert!(told.contains(wanted) && told.is_empty() == wanted.is_empty(), "{trust:?}: {told}");
    }
}

#[tokio::test]
async fn a_session_is_taken_up_again_under_the_settings_and_the_name_it_was_begun_with_and_under_no_others() {
    let known = authority("known");
    let pair = signed(&params("mx.example.org"), Some(&known));
    let old = Suite::named("ECDHE-ECDSA-AES128-GCM-SHA256").unwrap();
    for suites in [Vec::new(), vec![old]] {
        let (_files, server) = server(&pair, Speech { minimum: Minimum::Tls12, suites });
        let anyone = Client::default();
        assert_eq!(resumes(&server, &anyone, "mx.example.org").await, Ok(false));
        assert_eq!(resumes(&server, &anyone, "mx.example.org").await, Ok(true));
        // Nothing was proved in that one: whoever asks for proof gets it, or breaks off, however often.
        let vouched = Client::new(Trust::Authorities(vec![known.der().clone()])).unwrap();
        let strangers = Client::new(Trust::Authorities(vec![authority("unknown").der().clone()])).unwrap();
        let pinned = Client::new(Trust::Key { pin: [0; 32], named: false }).unwrap();
        for _ in 0..2 {
            for client in [&strangers, &pinned] {
                assert!(resumes(&server, client, "mx.example.org").await.is_err());
            }
        }
        assert_eq!(resumes(&server, &vouched, "mx.example.org").await, Ok(false));
        assert_eq!(resumes(&server, &vouched, "mx.example.org").await, Ok(true));
        // Nor does one that was proved for one name prove another.
        for _ in 0..2 {
            assert!(resumes(&server, &vouched, "mx.example.net").await.unwrap_err().contains("not for mx.example.net"));
        }
        // Settings that are equal are not the same: after a reload all is proved anew.
        let again = Client::new(Trust::Authorities(vec![known.der().clone()])).unwrap();
        assert!(again == vouched);
        assert_eq!(resumes(&server, &again, "mx.example.org").await, Ok(false));
    }
}

#[tokio::test]
async fn the_ticket_of_another_server_is_worth_nothing() {
    let pair = signed(&params("mx.example.org"), None);
    let ((_one, one), (_other, other)) = (server(&pair, Speech::default()), server(&pair, Speech::default()));
    let client = Client::default();
    assert_eq!(resumes(&one, &client, "mx.example.org").await, Ok(false));
    assert_eq!(resumes(&other, &client, "mx.example.org").await, Ok(false));
}

#[tokio::test]
async fn an_ed25519_key_and_the_old_version_serve_too() {
    let speech = Speech { minimum: Minimum::Tls12, suites: vec![Suite::named("ECDHE-ECDSA-AES128-GCM-SHA256").unwrap()] };
    let (_files, server) = server(&signed(&params("mx.example.org"), None), speech);
    let (here, _) = shake(&server, &Client::default(), "mx.example.org").await.unwrap();
    let agreed = here.agreed();
    assert_eq!((agreed.version, agreed.cipher, agreed.exporter), ("TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", None));
}

#[tokio::test]
async fn a_client_may_have_a_certificate_and_only_one_that_is_vouched_for_has_names() {
    let (known, unknown) = (authority("known"), authority("unknown"));
    let directory = tempfile::tempdir().unwrap();
    let own = signed(&params("mx.example.org"), None);
    let server = Server::load(files(directory.path(), &own, Some(&known.pem())), Speech::default()).unwrap();
    let client = |pair: &(String, String)| {
        let key = rustls::pki_types::pem::PemObject::from_pem_slice(pair.1.as_bytes()).unwrap();
        let verifier = Client::default().config();
        let mut config = (*verifier).clone();
        let provider = super::provider();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let certified = rustls::sign::CertifiedKey::new(vec![der(&pair.0)], key);
        config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
        Arc::new(config)
    };
    let names_under = async |config: &Arc<rustls::ClientConfig>| {
        let (here, there) = duplex(100_000);
        let current = server.current();
        let connecting = TlsStream::connect(there, Arc::clone(config), ServerName::try_from("mx").unwrap());
        let (accepted, connected) = tokio::join!(TlsStream::accept(here, Arc::clone(&current.config)), connecting);
        let (mut accepted, mut connected) = (accepted.unwrap(), connected.unwrap());
        accepted.write_all(b"220").await.unwrap();
        accepted.flush().await.unwrap();
        // With a ticket before it.
        connected.read_exact(&mut [0; 3]).await.unwrap();
        (accepted.agreed().resumed, current.names_of(accepted.certificates()))
    };
    let vouched_for = client(&signed(&params("c.example"), Some(&known)));
    let names = Some(vec!["c.example".to_owned(), "rcgen self signed cert".to_owned()]);
    for (config, names) in
        [(&vouched_for, &names), (&client(&signed(&params("c.example"), Some(&unknown))), &None), (&Client::default().config(), &None)]
    {
        assert_eq!(names_under(config).await, (false, names.clone()));
        assert_eq!(names_under(config).await, (true, names.clone()));
    }
    // The certificate comes from the session that is taken up, and is judged as it is now.
    disk::write(&directory.path().join("ca.pem"), unknown.pem().as_bytes()).unwrap();
    assert!(server.refresh().unwrap());
    assert_eq!(names_under(&vouched_for).await, (true, None));
}

#[test]
fn files_that_do_not_serve_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let (own, other) = (signed(&params("a.example"), None), signed(&params("b.example"), None));
    let told = |certificate: &str, key: &str, authorities: Option<&str>| {
        let pair = (certificate.to_owned(), key.to_owned());
        let fault = Server::load(files(directory.path(), &pair, authorities), Speech::default()).unwrap_err();
        (fault.role, fault.to_string())
    };
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let (start, _) = own.0.split_at(own.0.len() / 2);
    for (certificate, key, authorities, role, wanted) in [
        ("", own.1.as_str(), None, Role::Certificate, "holds no certificate"),
        (start, &own.1, None, Role::Certificate, "ends in the middle"),
        (&own.0, "", None, Role::Key, "holds no private key"),
        (&own.0, encrypted, None, Role::Key, "holds a key under a password"),
        (&own.0, &other.1, None, Role::Key, "holds a key that is not that of the first certificate"),
        (&own.0, &own.1, Some("x"), Role::Authorities, "holds no certificate"),
    ] {
        let (found, text) = told(certificate, key, authorities);
        assert!(found == role && text.contains(wanted), "{text}");
    }
    let missing = Files { certificate: directory.path().join("none.pem"), ..files(directory.path(), &own, None) };
    assert!(Server::load(missing, Speech::default()).unwrap_err().to_string().contains("none.pem is not there"));
}

#[tokio::test]
async fn new_files_are_shown_once_they_fit_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (signed(&params("old.example"), None), signed(&params("new.example"), None));
    let server = Server::load(files(directory.path(), &old, None), Speech::default()).unwrap();
    let shown = |server: &Server| server.current().certificate.names[0].clone();
    assert!(!server.refresh().unwrap());
    disk::write(&directory.path().join("cert.pem"), new.0.as_bytes()).unwrap();
    assert!(server.refresh().unwrap_err().to_string().contains("not that of the first certificate"));
    // Told once; the old one stays.
    assert!(!server.refresh().unwrap());
    assert_eq!(shown(&server), "old.example");
    disk::write(&directory.path().join("key.pem"), new.1.as_bytes()).unwrap();
    assert!(server.refresh().unwrap());
    assert_eq!(shown(&server), "new.example");
    shake(&server, &Client::new(Trust::Authorities(vec![der(&new.0)])).unwrap(), "new.example").await.unwrap();
}
