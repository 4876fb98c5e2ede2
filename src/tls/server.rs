//! A listener's side: its certificate and key from files that may change while it runs, and what clients' certificates are worth.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};

use super::cipher::{Minimum, Suite};
use super::client::{roots, unix_now};
use super::pem::{self, Fault, Role};
use super::{Certificate, provider};
use crate::base::disk;

/// The files of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Who vouches for clients; without them no client is asked for a certificate.
    pub authorities: Option<PathBuf>,
}

/// What a listener speaks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Speech {
    pub minimum: Minimum,
    /// All if there is none.
    pub suites: Vec<Suite>,
}

/// A listener's side of TLS.
pub struct Server {
    files: Files,
    speech: Speech,
    tickets: Arc<dyn ProducesTickets>,
    state: RwLock<State>,
}

struct State {
    current: Arc<Current>,
    stamps: Vec<Option<disk::Stamp>>,
}

/// What is shown to clients now.
#[derive(Debug)]
pub struct Current {
    pub config: Arc<ServerConfig>,
    pub certificate: Certificate,
    own: CertificateDer<'static>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Server {
    /// From files as they are now.
    ///
    /// # Errors
    /// What is wrong with one of them.
    ///
    /// # Panics
    /// Where the system gives no random bytes.
    pub fn load(files: Files, speech: Speech) -> Result<Server, Fault> {
        let tickets = rustls::crypto::ring::Ticketer::new().expect("the system gives random bytes");
        // Before they are read: what is written meanwhile is seen the next time.
        let stamps = stamps(&files);
        let current = Arc::new(Current::load(&files, &speech, &tickets)?);
        Ok(Server { files, speech, tickets, state: RwLock::new(State { current, stamps }) })
    }

    /// What is shown to a client that comes now.
    #[must_use]
    pub fn current(&self) -> Arc<Current> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).current)
    }

    /// Reads the files again if they have changed since they were last read; true if what they hold is shown from now on.
    ///
    /// # Errors
    /// What is wrong with the new ones; what was shown goes on to be. Told once for each change.
    pub fn refresh(&self) -> Result<bool, Fault> {
        let stamps = stamps(&self.files);
        if stamps == self.state.read().unwrap_or_else(PoisonError::into_inner).stamps {
            return Ok(false);
        }
        let loaded = Current::load(&self.files, &self.speech, &self.tickets);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.stamps = stamps;
        state.current = Arc::new(loaded?);
        Ok(true)
    }
}

fn stamps(files: &Files) -> Vec<Option<disk::Stamp>> {
    let all = [Some(&files.certificate), Some(&files.key), files.authorities.as_ref()];
    all.into_iter().flatten().map(|file| disk::stamp(file).ok()).collect()
}

impl Current {
    fn load(files: &Files, speech: &Speech, tickets: &Arc<dyn ProducesTickets>) -> Result<Current, Fault> {
        let key = pem::certified_key(&files.certificate, &files.key)?;
        let own = key.cert.first().expect("a key comes with its certificate").clone();
        let certificate = Certificate::read(&own).expect("it was read with its key");
        let clients = files.authorities.as_deref().map(clients).transpose()?;
        let mut provider = super::ring::default_provider();
        if !speech.suites.is_empty() {
            provider.cipher_suites = speech.suites.iter().map(|suite| suite.0).collect();
        }
        let builder = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(speech.minimum.versions())
            .expect("the configuration has checked that a suite is left");
        let builder = match &clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::new(Asked(Arc::clone(clients)))),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.ticketer = Arc::clone(tickets);
        // Tickets hold what is needed; mail servers take up one session at a time.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        Ok(Current { config: Arc::new(config), certificate, own, clients })
    }

    /// The server's own certificate, in DER.
    #[must_use]
    pub fn own(&self) -> &[u8] {
        &self.own
    }

    /// The names of a client that has shown these certificates, its own first; none if nobody vouches for them now. It has proved to have the key.
    #[must_use]
    pub fn names_of(&self, shown: &[CertificateDer<'static>]) -> Option<Vec<String>> {
        let (own, others) = shown.split_first()?;
        self.clients.as_ref()?.verify_client_cert(own, others, unix_now()).ok()?;
        Certificate::read(own).map(|certificate| certificate.names)
    }
}

fn clients(file: &Path) -> Result<Arc<dyn ClientCertVerifier>, Fault> {
    let all = pem::certificates(file, Role::Authorities)?;
    let roots = roots(&all).map_err(|problem| pem::no_authority(file, &problem))?;
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| pem::no_authority(file, &error.to_string()))
}

/// Asks each client for a certificate and turns nobody away who has none, or one that nobody vouches for: mail comes from strangers, too.
#[derive(Debug)]
struct Asked(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Asked {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(&self, _: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: UnixTime) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
