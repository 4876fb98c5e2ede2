//! Files → certificates and keys, and what is wrong with a file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::{Certificate, provider};
use crate::base::{clock, disk};

/// Which of the files something is wrong with: the key it stands under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Certificate,
    Key,
    Authorities,
}

/// What is wrong with a file, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {problem}", file.display())]
pub struct Fault {
    pub role: Role,
    pub file: PathBuf,
    /// Said of the file: "holds no certificate".
    problem: String,
    pub advice: &'static str,
}

impl Fault {
    fn new(role: Role, file: &Path, problem: impl Into<String>, advice: &'static str) -> Fault {
        Fault { role, file: file.to_owned(), problem: problem.into(), advice }
    }
}

/// The certificates of a file, in their order.
///
/// # Errors
/// It cannot be read, or holds none.
pub fn certificates(file: &Path, role: Role) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let text = read(file, role)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| broken(role, file, &error))?;
    if found.is_empty() {
        let advice = "it has to be in PEM and have a `-----BEGIN CERTIFICATE-----`";
        return Err(Fault::new(role, file, "holds no certificate", advice));
    }
    if let Some(at) = found.iter().position(|der| Certificate::read(der).is_none()) {
        let advice = "make or fetch it anew; `openssl x509 -text -in FILE` shows what it has";
        return Err(Fault::new(role, file, format!("holds something else as certificate {}", at + 1), advice));
    }
    Ok(found)
}

/// A chain and its key, which fit each other.
///
/// # Errors
/// What is wrong with either.
pub fn certified_key(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, Fault> {
    let chain = certificates(certificate, Role::Certificate)?;
    let der = private_key(key)?;
    let signing = provider().key_provider.load_private_key(der).map_err(|error| {
        let advice = "use an RSA key of 2048 bits or more, ECDSA P-256 or P-384, or Ed25519";
        Fault::new(Role::Key, key, format!("holds a key that cannot be used: {error}"), advice)
    })?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(Error::InconsistentKeys(_)) => {
            let problem = format!("holds a key that is not that of the first certificate in {}", certificate.display());
            Err(Fault::new(
                Role::Key,
                key,
                problem,
                "name the two that belong together; the server's own certificate comes first in its file",
            ))
        }
        Err(error) => {
            let advice = "the server's own certificate comes first in its file, X.509 version 3";
            Err(Fault::new(Role::Certificate, certificate, format!("holds a certificate that cannot be used: {error}"), advice))
        }
    }
}

/// What is to be said of a certificate's dates now, if anything.
#[must_use]
pub fn dated(certificate: &Certificate) -> Option<String> {
    let now: Timestamp = clock::now();
    if now < certificate.not_before {
        Some(format!("is not valid before {}", certificate.not_before))
    } else if now > certificate.not_after {
        Some(format!("has expired at {}", certificate.not_after))
    } else {
        None
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    let text = read(file, Role::Key)?;
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if has(&text, b"-----BEGIN ENCRYPTED PRIVATE KEY-----") => {
            let advice =
                "nobody is there to type its password: take it off with `openssl pkey -in FILE -out NEW`, and let only this server read it";
            Err(Fault::new(Role::Key, file, "holds a key under a password", advice))
        }
        Err(pem::Error::NoItemsFound) => {
            let advice = "it has to be in PEM and have a `-----BEGIN PRIVATE KEY-----`";
            Err(Fault::new(Role::Key, file, "holds no private key", advice))
        }
        Err(error) => Err(broken(Role::Key, file, &error)),
    }
}

fn has(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

fn broken(role: Role, file: &Path, error: &pem::Error) -> Fault {
    let problem = match error {
        pem::Error::MissingSectionEnd { .. } => "ends in the middle of a section".to_owned(),
        error => format!("is not whole: {error}"),
    };
    Fault::new(role, file, problem, "copy it again, from `-----BEGIN` to the end of the `-----END` line")
}

fn read(file: &Path, role: Role) -> Result<Vec<u8>, Fault> {
    disk::read(file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Fault::new(role, file, "is not there", "paths are relative to the configuration file"),
        io::ErrorKind::PermissionDenied => Fault::new(role, file, "may not be read", "let the user that this server runs as read it"),
        _ => Fault::new(role, file, format!("cannot be read: {error}"), ""),
    })
}

/// A file of certificates none of which can vouch for another.
pub(super) fn no_authority(file: &Path, problem: &str) -> Fault {
    Fault::new(
        Role::Authorities,
        file,
        format!("holds no certificate that can vouch for others: {problem}"),
        "name the file of the authority, not of a server",
    )
}
