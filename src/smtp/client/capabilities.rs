//! What a next hop offers in its reply to EHLO or LHLO.

use super::Answer;

/// What a next hop offers; nothing after HELO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword of its own, any of them may be there")]
pub struct Capabilities {
    pub pipelining: bool,
    /// Whether MAIL may carry SIZE.
    pub size: bool,
    /// The largest message, if it says one (RFC 1870 4: 0 says none).
    pub largest: Option<u64>,
    pub eight_bit: bool,
    pub smtputf8: bool,
    pub enhanced_codes: bool,
    /// BDAT (RFC 3030 2).
    pub chunking: bool,
    /// BODY=BINARYMIME, which needs CHUNKING (RFC 3030 3).
    pub binary: bool,
    /// RET, ENVID, NOTIFY and ORCPT (RFC 3461).
    pub dsn: bool,
    /// RFC 8689.
    pub requiretls: bool,
    pub starttls: bool,
    pub limits: Limits,
    /// Mechanisms of AUTH, in upper case.
    pub auth: Vec<String>,
    /// Attributes that XFORWARD and XCLIENT may carry, in upper case.
    pub xforward: Vec<String>,
    pub xclient: Vec<String>,
    /// The instance token, if it is a Transom.
    pub token: Option<String>,
}

/// LIMITS (RFC 9422), as far as they bind a relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// RCPTMAX: recipients of a transaction.
    pub recipients: Option<usize>,
    /// MAILMAX: transactions of a session.
    pub transactions: Option<u64>,
}

impl Capabilities {
    /// Reads the reply to EHLO or LHLO; its first line is a greeting.
    #[must_use]
    pub fn read(answer: &Answer) -> Capabilities {
        let mut found = Capabilities::default();
        let mut binary = false;
        for line in answer.text.split('\n').skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => found.pipelining = true,
                "SIZE" => {
                    found.size = true;
                    found.largest = words.next().and_then(|number| number.parse().ok()).filter(|size| *size > 0);
                }
                "8BITMIME" => found.eight_bit = true,
                "SMTPUTF8" => found.smtputf8 = true,
                "ENHANCEDSTATUSCODES" => found.enhanced_codes = true,
                "CHUNKING" => found.chunking = true,
                "BINARYMIME" => binary = true,
                "DSN" => found.dsn = true,
                "REQUIRETLS" => found.requiretls = true,
                "STARTTLS" => found.starttls = true,
                "LIMITS" => words.for_each(|limit| found.limits.read(limit)),
                "AUTH" => found.auth.extend(words.map(str::to_ascii_uppercase)),
                "XFORWARD" => found.xforward.extend(words.map(str::to_ascii_uppercase)),
                "XCLIENT" => found.xclient.extend(words.map(str::to_ascii_uppercase)),
                "X-TRANSOM" => found.token = words.next().map(str::to_owned),
                _ => {}
            }
        }
        found.binary = binary && found.chunking;
        found
    }
}

impl Limits {
    /// One of them: a name, `=`, a number that is not 0 (RFC 9422 4). What is not understood binds nobody.
    fn read(&mut self, limit: &str) {
        let Some((name, number)) = limit.split_once('=') else { return };
        let number: Option<u64> = number.parse().ok().filter(|number| *number > 0);
        match name.to_ascii_uppercase().as_str() {
            "RCPTMAX" => self.recipients = number.map(|number| usize::try_from(number).unwrap_or(usize::MAX)),
            "MAILMAX" => self.transactions = number,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Replies, Stage};
    use super::*;

    fn read(reply: &[u8]) -> Capabilities {
        let mut replies = Replies::default();
        replies.push(reply);
        Capabilities::read(&replies.next(Stage::Hello).unwrap().unwrap())
    }

    #[test]
    fn keywords_are_read_whatever_their_case_and_place() {
        let mut reply = b"250-host SIZE\r\n250-size 1000\r\n250-Pipelining\r\n250-8BITMIME\r\n".to_vec();
        reply.extend_from_slice(&b"250-X-NOTHING\r\n".repeat(30));
        reply.extend_from_slice(b"250-X-TRANSOM ABC\r\n250 SMTPUTF8\r\n");
        let found = read(&reply);
        assert!(found.pipelining && found.eight_bit && found.smtputf8 && found.size && !found.enhanced_codes);
        assert_eq!((found.largest, found.token.as_deref()), (Some(1000), Some("ABC")));
        assert_eq!(read(b"250-host\r\n250 SIZE 0\r\n"), Capabilities { size: true, ..Capabilities::default() });
        assert_eq!(read(b"250 CHUNKING\r\n"), Capabilities::default());
    }

    #[test]
    fn extensions_and_what_stands_behind_them() {
        let found = read(
            b"250-host\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250-DSN\r\n250-REQUIRETLS\r\n250-STARTTLS\r\n250-AUTH plain Login\r\n\
              250-XFORWARD name ADDR\r\n250 XCLIENT NAME LOGIN\r\n",
        );
        assert!(found.chunking && found.binary && found.dsn && found.requiretls && found.starttls);
        assert_eq!(
            (found.auth, found.xforward, found.xclient),
            (
                vec!["PLAIN".to_owned(), "LOGIN".to_owned()],
                vec!["NAME".to_owned(), "ADDR".to_owned()],
                vec!["NAME".to_owned(), "LOGIN".to_owned()]
            )
        );
        // Content that needs BDAT cannot go where there is none.
        assert!(!read(b"250-host\r\n250 BINARYMIME\r\n").binary);
    }

    #[test]
    fn limits_are_numbers_and_others_bind_nobody() {
        let limits = |text: &str| read(format!("250-host\r\n250 LIMITS {text}\r\n").as_bytes()).limits;
        let both = Limits { recipients: Some(50), transactions: Some(3) };
        assert_eq!(limits("RCPTMAX=50 mailmax=3 RCPTDOMAINMAX=2"), both);
        for none in ["", "RCPTMAX", "RCPTMAX=0", "RCPTMAX=many MAILMAX=-1", "RCPTMAX=1x"] {
            assert_eq!(limits(none), Limits::default(), "{none}");
        }
    }
}
