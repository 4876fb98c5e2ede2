//! SCRAM as server: two messages of the client, each a state that the next is made from.

use std::borrow::Cow;

use super::super::prepare;
use super::super::{Bindings, decoded, encoded};
use super::{Keys, attribute, unescaped};
use super::{NONCE, is_nonce};
use crate::base::random;

/// The client's first message, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    pub user: String,
    pub identity: Option<String>,
    /// What the client must say again in `c=`: the gs2 header, and the bytes of the binding behind it.
    bound: Vec<u8>,
    bare: String,
    nonce: String,
}

/// What was said so far; the client's last message is checked against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Final {
    keys: Keys,
    bound: Vec<u8>,
    nonce: String,
    /// Both first messages, a comma between them.
    exchange: String,
}

impl First {
    /// Reads it. `plus` says that the mechanism is the one with channel binding, `offered` that the client was told of that one.
    ///
    /// None for what is no such message, can be no name, or is bound to another connection: who stands between and hides `-PLUS` is seen here (RFC 5802 6).
    #[must_use]
    pub fn read(message: &[u8], plus: bool, offered: bool, bindings: &Bindings) -> Option<First> {
        let message = std::str::from_utf8(message).ok()?;
        let (flag, rest) = message.split_once(',')?;
        let (identity, bare) = rest.split_once(',')?;
        let binding = match (flag.strip_prefix("p="), flag, plus) {
            (Some(kind), _, true) => bindings.of_kind(kind)?,
            (None, "n", false) => &[],
            (None, "y", false) if !offered => &[],
            _ => return None,
        };
        let header = &message[..message.len() - bare.len()];
        let identity = match identity.strip_prefix("a=") {
            Some(name) => Some(prepare::name(&unescaped(name)?)?),
            None if identity.is_empty() => None,
            None => return None,
        };
        let mut parts = bare.split(',');
        // `m=` before the name is an extension that must be understood (RFC 5802 5.1): none is.
        let user = prepare::name(&unescaped(attribute(&mut parts, "n")?)?)?;
        let nonce = attribute(&mut parts, "r").filter(|nonce| is_nonce(nonce))?.to_owned();
        let bound = [header.as_bytes(), binding].concat();
        Some(First { user, identity, bound, bare: bare.to_owned(), nonce })
    }

    /// Our first message, and what waits for the client's last.
    #[must_use]
    pub fn answer(self, keys: Keys) -> (String, Final) {
        let more = encoded(&random::bytes::<NONCE>());
        self.answer_with(keys, &more)
    }

    fn answer_with(self, keys: Keys, more: &str) -> (String, Final) {
        let First { bound, bare, nonce, .. } = self;
        let nonce = nonce + more;
        let said = format!("r={nonce},s={},i={}", encoded(&keys.salt), keys.iterations);
        let exchange = format!("{bare},{said}");
        (said, Final { keys, bound, nonce, exchange })
    }
}

impl Final {
    /// Our last message, if the client's proof is right.
    #[must_use]
    pub fn check(&self, message: &[u8]) -> Option<String> {
        let message = std::str::from_utf8(message).ok()?;
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let mut parts = without_proof.split(',');
        let bound = decoded(attribute(&mut parts, "c")?)?;
        let nonce = attribute(&mut parts, "r")?;
        let exchange: Cow<'_, str> = format!("{},{without_proof}", self.exchange).into();
        // All of it is looked at, whatever of it is wrong.
        let signature = self.keys.signature(exchange.as_bytes(), &decoded(proof)?);
        signature.filter(|_| bound == self.bound && nonce == self.nonce).map(|signature| format!("v={}", encoded(&signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    /// RFC 7677 3.
    #[test]
    fn the_example_of_the_rfc() {
        let first = First::read(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", false, false, &Bindings::default()).unwrap();
        assert_eq!((first.user.as_str(), first.identity.as_deref()), ("user", None));
        let keys = Keys::of(&Secret::new("pencil"), &decoded("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096);
        let (said, last) = first.answer_with(keys, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
        assert_eq!(said, "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let proof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(last.check(proof.as_bytes()).as_deref(), Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        for wrong in [
            proof.replace("dHzb", "dHzc"),
            proof.replace("c=biws", "c=eSws"),
            proof.replace("k0,p", "k1,p"),
            proof.replace("c=biws,", ""),
            proof.replace(",p=", ",q="),
            proof.replace("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", ""),
            proof.replace("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "YQ=="),
        ] {
            assert_eq!(last.check(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_first_message_is_none() {
        let read = |message: &str| First::read(message.as_bytes(), false, false, &Bindings::default());
        assert_eq!(read("n,a=other,n=user,r=abc,x=y").unwrap().identity.as_deref(), Some("other"));
        for wrong in
            ["", "n", "n,", "n,,", "n,,n=user", "n,,n=,r=abc", "n,,n=user,r=", "n,,m=x,n=user,r=abc", "n,b,n=user,r=abc", "x,,n=user,r=abc"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(read("n,,n=us=er,r=abc"), None);
        assert_eq!(read(&format!("n,,n=user,r={}", "x".repeat(257))), None);
    }

    #[test]
    fn a_binding_is_to_this_connection_and_nobody_hides_that_there_is_one() {
        let bindings = Bindings { exporter: Some([1; 32]), end_point: None };
        let read = |message: &str, plus, offered| First::read(message.as_bytes(), plus, offered, &bindings).is_some();
        assert!(read("p=tls-exporter,,n=user,r=abc", true, true));
        assert!(!read("p=tls-server-end-point,,n=user,r=abc", true, true));
        assert!(!read("p=tls-unique,,n=user,r=abc", true, true));
        assert!(!read("n,,n=user,r=abc", true, true));
        assert!(!read("p=tls-exporter,,n=user,r=abc", false, true));
        assert!(read("y,,n=user,r=abc", false, false) && !read("y,,n=user,r=abc", false, true));
        assert!(read("n,,n=user,r=abc", false, true));
    }
}
