//! A socket that may be secured on the way, by either end; and the certificates for that, of an authority that lives as long as the tests.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection};

/// What the certificate of every server here speaks for.
const NAMES: [&str; 4] = ["filter.example.org", "scripted.example", "localhost", "127.0.0.1"];
/// What that of a client says.
const CLIENT: &str = "client.example";

/// Certificates and keys, in PEM.
#[derive(Debug)]
pub struct Papers {
    pub authority: String,
    pub certificate: String,
    pub key: String,
    client: (String, String),
}

/// Those of this run.
pub fn papers() -> &'static Papers {
    static PAPERS: OnceLock<Papers> = OnceLock::new();
    PAPERS.get_or_init(|| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the authority of the tests");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let signed = |names: &[&str]| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
            params.distinguished_name.push(DnType::CommonName, names[0]);
            (params.signed_by(&key, &authority).unwrap().pem(), key.serialize_pem())
        };
        let (certificate, key) = signed(&NAMES);
        Papers { authority: authority.pem(), certificate, key, client: signed(&[CLIENT]) }
    })
}

/// One end of a connection. A reference to it reads and writes, so that a buffer over it need not own it.
#[derive(Debug)]
pub struct Wire {
    socket: TcpStream,
    secured: RefCell<Option<Secured>>,
}

#[derive(Debug)]
enum Secured {
    Server(Box<ServerConnection>),
    Client(Box<ClientConnection>),
}

impl Wire {
    pub fn new(socket: TcpStream) -> Wire {
        Wire { socket, secured: RefCell::new(None) }
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The handshake as a server; whether the client took up a session again.
    pub fn accept(&self, shown: Option<&Arc<ServerConfig>>) -> io::Result<bool> {
        let mut connection = ServerConnection::new(shown.map_or_else(server, Arc::clone)).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut &self.socket)?;
        }
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        *self.secured.borrow_mut() = Some(Secured::Server(Box::new(connection)));
        Ok(resumed)
    }

    /// The handshake as a client, which trusts the authority of the tests and knows whom it talks to.
    pub fn connect(&self, with_certificate: bool) -> io::Result<()> {
        let name = ServerName::try_from(NAMES[0]).unwrap();
        let mut connection = ClientConnection::new(client(with_certificate), name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut &self.socket)?;
        }
        *self.secured.borrow_mut() = Some(Secured::Client(Box::new(connection)));
        Ok(())
    }
}

impl Read for &Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut socket = &self.socket;
        match &mut *self.secured.borrow_mut() {
            None => socket.read(buffer),
            Some(Secured::Server(connection)) => rustls::Stream::new(&mut **connection, &mut socket).read(buffer),
            Some(Secured::Client(connection)) => rustls::Stream::new(&mut **connection, &mut socket).read(buffer),
        }
    }
}

impl Write for &Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut socket = &self.socket;
        match &mut *self.secured.borrow_mut() {
            None => socket.write(bytes),
            Some(Secured::Server(connection)) => rustls::Stream::new(&mut **connection, &mut socket).write(bytes),
            Some(Secured::Client(connection)) => rustls::Stream::new(&mut **connection, &mut socket).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut socket = &self.socket;
        match &mut *self.secured.borrow_mut() {
            None => socket.flush(),
            Some(Secured::Server(connection)) => rustls::Stream::new(&mut **connection, &mut socket).flush(),
            Some(Secured::Client(connection)) => rustls::Stream::new(&mut **connection, &mut socket).flush(),
        }
    }
}

fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()]
}

fn key(pem: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn server() -> Arc<ServerConfig> {
    static CONFIG: OnceLock<Arc<ServerConfig>> = OnceLock::new();
    let make = || {
        let papers = papers();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Arc::new(config.with_single_cert(chain(&papers.certificate), key(&papers.key)).unwrap())
    };
    Arc::clone(CONFIG.get_or_init(make))
}

fn client(with_certificate: bool) -> Arc<ClientConfig> {
    let papers = papers();
    let mut roots = RootCertStore::empty();
    roots.add(chain(&papers.authority).remove(0)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let config = if with_certificate {
        config.with_client_auth_cert(chain(&papers.client.0), key(&papers.client.1)).unwrap()
    } else {
        config.with_no_client_auth()
    };
    Arc::new(config)
}
