//! Our side towards another server: what its certificate has to prove, and the settings that ask it for that.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use super::cipher::Minimum;
use super::failure::Unproven;
use super::{Certificate, provider};
use crate::base::clock;

/// Whom we believe to be the server we mean.
#[derive(Clone, PartialEq, Eq)]
pub enum Trust {
    /// Whoever answers: enciphered, but not verified.
    Anyone,
    /// Whom these vouch for, under the name asked for; a certificate that is itself among them, too.
    Authorities(Vec<CertificateDer<'static>>),
    /// Who has the key with this hash, whatever else its certificate says; with `named`, that has to have the name asked for all the same.
    Key { pin: [u8; 32], named: bool },
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trust::Anyone => f.write_str("Anyone"),
            Trust::Authorities(all) => write!(f, "Authorities({})", all.len()),
            Trust::Key { named, .. } => write!(f, "Key {{ named: {named} }}"),
        }
    }
}

/// Settings for handshakes with servers, and the sessions that can be taken up again: only those that were begun under these settings, for a session that is
/// taken up proves nothing but that it is the same server. Equal to another one that believes the same.
#[derive(Clone, Debug)]
pub struct Client {
    trust: Arc<Trust>,
    config: Arc<ClientConfig>,
}

impl PartialEq for Client {
    fn eq(&self, other: &Client) -> bool {
        self.trust == other.trust
    }
}

impl Eq for Client {}

impl Client {
    /// Settings that believe whom `trust` says.
    ///
    /// # Errors
    /// None of the authorities can be one; why the first one cannot.
    ///
    /// # Panics
    /// Never: the provider has suites for both versions.
    pub fn new(trust: Trust) -> Result<Client, String> {
        let provider = provider();
        let verifier = verifier(&trust, &provider)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(Minimum::Tls12.versions())
            .expect("the provider has suites for both versions")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Client { trust: Arc::new(trust), config: Arc::new(config) })
    }

    /// Whether a handshake proves who the other side is.
    #[must_use]
    pub fn verifies(&self) -> bool {
        *self.trust != Trust::Anyone
    }

    /// For [`TlsStream::connect`](super::TlsStream::connect).
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }
}

impl Default for Client {
    /// Believes whoever answers.
    fn default() -> Client {
        Client::new(Trust::Anyone).expect("whoever answers needs no authority")
    }
}

/// The authorities that the system trusts; in an order of their own, so that they can be compared.
#[must_use]
pub fn system_authorities() -> Vec<CertificateDer<'static>> {
    let mut found = rustls_native_certs::load_native_certs().certs;
    found.sort_by(|one, other| one.as_ref().cmp(other.as_ref()));
    found.dedup();
    found
}

fn verifier(trust: &Trust, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let algorithms = provider.signature_verification_algorithms;
    Ok(match trust {
        Trust::Anyone => Arc::new(Anyone(algorithms)),
        Trust::Key { pin, named } => Arc::new(Pinned { pin: *pin, named: *named, algorithms }),
        Trust::Authorities(all) => {
            let roots = roots(all)?;
            let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
            Arc::new(Vouched { listed: all.clone(), vouched: built.map_err(|error| error.to_string())? })
        }
    })
}

/// Those of the certificates that can vouch for others. A system's list may have some that cannot.
pub(super) fn roots(all: &[CertificateDer<'static>]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let mut first = None;
    for certificate in all {
        if let Err(error) = roots.add(certificate.clone()) {
            first.get_or_insert(error);
        }
    }
    match first {
        Some(error) if roots.is_empty() => Err(error.to_string()),
        _ => Ok(roots),
    }
}

/// The time as certificates are judged by.
pub(super) fn unix_now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(clock::now().as_second().unsigned_abs()))
}

/// Believes everybody: what a stranger signs with proves nothing, either.
#[derive(Debug)]
struct Anyone(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Believes who has one key.
#[derive(Debug)]
struct Pinned {
    pin: [u8; 32],
    named: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = read(own)?;
        if certificate.pin != self.pin {
            return Err(unproven(&certificate, true));
        }
        if self.named {
            rustls::client::verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Believes whom authorities vouch for, and who is listed among them.
#[derive(Debug)]
struct Vouched {
    listed: Vec<CertificateDer<'static>>,
    vouched: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Vouched {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.listed.iter().any(|listed| listed == own) {
            let certificate = read(own)?;
            let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            if now < certificate.not_before.as_second() {
                return Err(CertificateError::NotValidYet.into());
            }
            if now > certificate.not_after.as_second() {
                return Err(CertificateError::Expired.into());
            }
            rustls::client::verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        match self.vouched.verify_server_cert(own, others, name, ocsp, now) {
            // So looks one that signed itself, too, and one of an authority that has only the name of another.
            Err(Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature | CertificateError::Other(OtherError(_)),
            )) => Err(unproven(&read(own)?, false)),
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.vouched.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.vouched.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.vouched.supported_verify_schemes()
    }
}

fn read(der: &CertificateDer<'_>) -> Result<Certificate, Error> {
    Certificate::read(der).ok_or_else(|| CertificateError::BadEncoding.into())
}

fn unproven(certificate: &Certificate, pinned: bool) -> Error {
    CertificateError::Other(OtherError(Arc::new(Unproven { pinned, pin: certificate.pin_text() }))).into()
}
