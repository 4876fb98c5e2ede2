//! SCRAM as client: our proof goes out only to who has a plausible salt, and 235 counts only after the server's own signature.

use subtle::ConstantTimeEq;

use super::super::{Bindings, decoded, encoded, prepare};
use super::keys::{LEAST_ITERATIONS, MOST_ITERATIONS};
use super::{Hash, NONCE, attribute, escaped, is_nonce, xor};
use crate::base::random;
use crate::base::secret::Secret;

/// Where the exchange stands.
#[derive(Debug)]
pub struct Client {
    hash: Hash,
    password: Secret,
    /// The gs2 header, and the bytes of the binding behind it.
    header: String,
    binding: Vec<u8>,
    nonce: String,
    bare: String,
    /// The signature that the server has to show.
    expected: Option<Vec<u8>>,
    shown: bool,
}

/// Why the exchange ends on our side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    #[error("its answer is no message of SCRAM")]
    Garbled,
    #[error("it hashes passwords only {0} times, and {LEAST_ITERATIONS} are the least")]
    Weak(u32),
    #[error("it wants {0} iterations, and {MOST_ITERATIONS} are the most")]
    Costly(u32),
    #[error("it says `{0}`")]
    Refused(String),
    #[error("it cannot show that it knows the password: it may be another server")]
    Impostor,
}

impl Client {
    /// An exchange as `user`. `binding` is of the kind named, for `-PLUS`; `could_bind` says that we could bind, and this server did not offer it.
    #[must_use]
    pub fn new(hash: Hash, user: &str, password: &Secret, binding: Option<(&str, &Bindings)>, could_bind: bool) -> Client {
        Client::with_nonce(hash, user, password, binding, could_bind, encoded(&random::bytes::<NONCE>()))
    }

    fn with_nonce(
        hash: Hash,
        user: &str,
        password: &Secret,
        binding: Option<(&str, &Bindings)>,
        could_bind: bool,
        nonce: String,
    ) -> Client {
        let bytes = binding.and_then(|(kind, bindings)| bindings.of_kind(kind)).unwrap_or_default().to_vec();
        let header = match binding {
            Some((kind, _)) => format!("p={kind},,"),
            None if could_bind => "y,,".to_owned(),
            None => "n,,".to_owned(),
        };
        let prepared = password.text().and_then(prepare::password);
        let name = prepare::name(user).unwrap_or_else(|| user.to_owned());
        let bare = format!("n={},r={nonce}", escaped(&name));
        let password = prepared.unwrap_or_else(|| password.clone());
        Client { hash, password, header, binding: bytes, nonce, bare, expected: None, shown: false }
    }

    /// What we say first.
    #[must_use]
    pub fn first(&self) -> String {
        format!("{}{}", self.header, self.bare)
    }

    /// What we say to a message of the server. Hashing the password takes a while.
    ///
    /// # Errors
    /// Why we do not go on.
    pub fn answer(&mut self, message: &[u8]) -> Result<String, ClientError> {
        let message = std::str::from_utf8(message).map_err(|_| ClientError::Garbled)?;
        if let Some(error) = message.strip_prefix("e=") {
            return Err(ClientError::Refused(error.chars().filter(char::is_ascii_graphic).take(60).collect()));
        }
        match self.expected.take() {
            None if !self.shown => self.prove(message),
            Some(expected) => self.verify(message, &expected),
            None => Err(ClientError::Garbled),
        }
    }

    /// Whether the server has shown that it knows the password.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.shown
    }

    fn prove(&mut self, message: &str) -> Result<String, ClientError> {
        let mut parts = message.split(',');
        let mut read = || {
            let nonce = attribute(&mut parts, "r").filter(|nonce| is_nonce(nonce) && nonce.len() > self.nonce.len())?;
            let salt = decoded(attribute(&mut parts, "s")?).filter(|salt| !salt.is_empty())?;
            Some((nonce, salt, attribute(&mut parts, "i")?.parse::<std::num::NonZeroU32>().ok()?))
        };
        let (nonce, salt, iterations) = read().filter(|(nonce, ..)| nonce.starts_with(&self.nonce)).ok_or(ClientError::Garbled)?;
        match iterations.get() {
            few @ ..LEAST_ITERATIONS => return Err(ClientError::Weak(few)),
            many if many > MOST_ITERATIONS => return Err(ClientError::Costly(many)),
            _ => {}
        }
        let hash = self.hash;
        let bound = encoded(&[self.header.as_bytes(), &self.binding].concat());
        let without_proof = format!("c={bound},r={nonce}");
        let exchange = format!("{},{message},{without_proof}", self.bare);
        let salted = hash.salted(self.password.bytes(), &salt, iterations);
        let key = hash.hmac(&salted, b"Client Key");
        let proof = xor(&key, &hash.hmac(&hash.digest(&key), exchange.as_bytes()));
        self.expected = Some(hash.hmac(&hash.hmac(&salted, b"Server Key"), exchange.as_bytes()));
        Ok(format!("{without_proof},p={}", encoded(&proof)))
    }

    fn verify(&mut self, message: &str, expected: &[u8]) -> Result<String, ClientError> {
        let signature = attribute(&mut message.split(','), "v").and_then(decoded).ok_or(ClientError::Garbled)?;
        self.shown = signature.ct_eq(expected).into();
        if self.shown { Ok(String::new()) } else { Err(ClientError::Impostor) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::First;
    use super::*;
    use crate::smtp::auth::scram::Keys;

    fn client(hash: Hash, nonce: &str) -> Client {
        Client::with_nonce(hash, "user", &Secret::new("pencil"), None, false, nonce.to_owned())
    }

    /// RFC 5802 5.
    #[test]
    fn the_example_with_sha_1() {
        let mut client = client(Hash::Sha1, "fyko+d2lbbFgONRv9qkxdawL");
        assert_eq!(client.first(), "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
        let said = client.answer(b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096");
        assert_eq!(said.unwrap(), "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=");
        assert!(!client.is_verified());
        assert_eq!(client.answer(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=").as_deref(), Ok(""));
        assert!(client.is_verified());
    }

    /// RFC 7677 3.
    #[test]
    fn the_example_with_sha_256() {
        let mut client = client(Hash::Sha256, "rOprNGfwEbeRWgbNEkqO");
        let said = client.answer(b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096").unwrap();
        assert!(said.ends_with(",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), "{said}");
        assert_eq!(client.answer(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").as_deref(), Ok(""));
    }

    #[test]
    fn both_sides_agree_with_and_without_a_binding() {
        let bindings = Bindings { exporter: Some([9; 32]), end_point: Some(vec![3; 32]) };
        let password = Secret::new("p\u{e9}ncil");
        for kind in [None, Some("tls-exporter"), Some("tls-server-end-point")] {
            let binding = kind.map(|kind| (kind, &bindings));
            let mut client = Client::new(Hash::Sha256, "us,er=1", &Secret::new("pe\u{301}ncil"), binding, false);
            let first = First::read(client.first().as_bytes(), kind.is_some(), true, &bindings).unwrap();
            assert_eq!(first.user, "us,er=1");
            let (said, last) = first.answer(Keys::of(&password, b"salt", 4096));
            let signature = last.check(client.answer(said.as_bytes()).unwrap().as_bytes()).unwrap();
            assert_eq!(client.answer(signature.as_bytes()).as_deref(), Ok(""));
        }
    }

    #[test]
    fn another_connection_than_the_servers_is_seen() {
        let (ours, theirs) = (Bindings { exporter: Some([9; 32]), end_point: None }, Bindings { exporter: Some([8; 32]), end_point: None });
        let password = Secret::new("pencil");
        let mut client = Client::new(Hash::Sha256, "user", &password, Some(("tls-exporter", &ours)), false);
        let (said, last) = First::read(client.first().as_bytes(), true, true, &theirs).unwrap().answer(Keys::of(&password, b"salt", 4096));
        assert_eq!(last.check(client.answer(said.as_bytes()).unwrap().as_bytes()), None);
    }

    #[test]
    fn a_server_that_is_not_to_be_trusted_gets_no_proof() {
        let told = |message: &str| client(Hash::Sha256, "abc").answer(message.as_bytes()).unwrap_err();
        assert_eq!(told("r=abcdef,s=YQ==,i=4095"), ClientError::Weak(4095));
        assert_eq!(told("r=abcdef,s=YQ==,i=4294967295"), ClientError::Costly(4_294_967_295));
        assert_eq!(told("e=unknown-user"), ClientError::Refused("unknown-user".into()));
        for wrong in
            ["", "r=abc,s=YQ==,i=4096", "r=xyzabc,s=YQ==,i=4096", "r=abcdef,s=,i=4096", "r=abcdef,s=YQ==,i=0", "m=x,r=abcdef,s=YQ==,i=4096"]
        {
            assert_eq!(told(wrong), ClientError::Garbled, "{wrong}");
        }
    }

    #[test]
    fn a_server_that_cannot_sign_is_an_impostor() {
        let mut client = client(Hash::Sha256, "abc");
        client.answer(b"r=abcdef,s=YQ==,i=4096").unwrap();
        assert_eq!(client.answer(b"v=YQ=="), Err(ClientError::Impostor));
        assert!(!client.is_verified());
    }
}
