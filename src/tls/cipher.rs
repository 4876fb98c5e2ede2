//! Versions and cipher suites, by the names that operators know.

use rustls::crypto::ring::cipher_suite as ring;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ProtocolVersion, SupportedCipherSuite, SupportedProtocolVersion};

/// The oldest version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Minimum {
    #[default]
    Tls12,
    Tls13,
}

impl Minimum {
    pub(super) fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self {
            Minimum::Tls12 => &BOTH,
            Minimum::Tls13 => &BOTH[..1],
        }
    }

    /// Whether a suite can be used at all.
    #[must_use]
    pub fn allows(self, suite: Suite) -> bool {
        self == Minimum::Tls12 || suite.0.tls13().is_some()
    }
}

/// A cipher suite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suite(pub(super) SupportedCipherSuite);

/// The registered name, the one OpenSSL has for it, and the suite; the preferred first.
static SUITES: [(&str, &str, SupportedCipherSuite); 9] = [
    ("TLS_AES_256_GCM_SHA384", "", ring::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", "", ring::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", "", ring::TLS13_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384", ring::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", ring::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", ring::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384", ring::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256", ring::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305", ring::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

impl Suite {
    /// By its registered name, or as OpenSSL calls it.
    #[must_use]
    pub fn named(name: &str) -> Option<Suite> {
        let found = SUITES.iter().find(|(registered, other, _)| name == *registered || (name == *other && !other.is_empty()));
        found.map(|(_, _, suite)| Suite(*suite))
    }

    /// The registered names of all.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SUITES.iter().map(|(name, ..)| *name)
    }
}

/// The registered name of what was agreed on.
pub(super) fn name(suite: CipherSuite) -> &'static str {
    SUITES.iter().find(|(_, _, known)| known.suite() == suite).map_or("unknown", |(name, ..)| name)
}

/// As logs and `Received` say it.
pub(super) fn version(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "TLSv1.2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_of_the_provider_has_its_name() {
        for suite in &super::super::provider().cipher_suites {
            let name = name(suite.suite());
            assert_eq!(Suite::named(name).unwrap().0, *suite, "{name}");
        }
        assert_eq!(Suite::names().count(), super::super::provider().cipher_suites.len());
        assert_eq!(Suite::named("ECDHE-RSA-AES256-GCM-SHA384"), Suite::named("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"));
        assert_eq!(Suite::named(""), None);
    }

    #[test]
    fn suites_of_the_old_version_are_of_no_use_without_it() {
        let old = Suite::named("ECDHE-RSA-AES256-GCM-SHA384").unwrap();
        assert!(Minimum::Tls12.allows(old) && !Minimum::Tls13.allows(old));
        assert!(Minimum::Tls13.allows(Suite::named("TLS_AES_128_GCM_SHA256").unwrap()));
    }
}
