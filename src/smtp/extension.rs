//! What EHLO announces (DESIGN decision 10): hop by hop what Transom itself can do, end to end what the next hops have.

/// The keyword that shows a loop: our instance token (SEMANTICS 19).
pub const TOKEN_KEYWORD: &str = "X-TRANSOM";

/// An extension that is worth nothing unless every server on the way has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// RFC 6531.
    SmtpUtf8,
    /// RFC 3030 3.
    BinaryMime,
    /// RFC 3461.
    Dsn,
    /// RFC 8689.
    RequireTls,
}

/// Some of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions(u8);

/// What may be promised at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The largest message, the next hops' limit taken in.
    pub size: u64,
    /// Bytes of temporary disk that are free now.
    pub room: u64,
    /// The most recipients of a transaction, the next hops' limit taken in.
    pub recipients: usize,
    pub announced: Extensions,
    /// Whose parameters are taken from this client: more than the announced ones from a server that the operator trusts.
    pub understood: Extensions,
    pub submitter: Submitter,
    /// False as long as no next hop has said what it has: then nothing can be judged.
    pub known: bool,
}

/// What becomes of AUTH=, by which a client names who submitted a message (RFC 4954 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitter {
    /// AUTH was not announced.
    Refused,
    /// It is taken, and `<>` goes on: the client is not trusted to know.
    Hidden,
    Passed,
}

impl Extension {
    /// All of them, in the order in which they are announced.
    pub const ALL: [Extension; 4] = [Extension::SmtpUtf8, Extension::BinaryMime, Extension::Dsn, Extension::RequireTls];

    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Extension::SmtpUtf8 => "SMTPUTF8",
            Extension::BinaryMime => "BINARYMIME",
            Extension::Dsn => "DSN",
            Extension::RequireTls => "REQUIRETLS",
        }
    }
}

impl Extensions {
    pub const ALL: Extensions = Extensions(0b1111);

    #[must_use]
    pub fn has(self, extension: Extension) -> bool {
        self.0 & bit(extension) != 0
    }

    /// With this one, if it is there.
    #[must_use]
    pub fn and(self, extension: Extension, there: bool) -> Extensions {
        Extensions(if there { self.0 | bit(extension) } else { self.0 })
    }

    #[must_use]
    pub fn without(self, extension: Extension) -> Extensions {
        Extensions(self.0 & !bit(extension))
    }

    /// Those that are in both.
    #[must_use]
    pub fn common(self, other: Extensions) -> Extensions {
        Extensions(self.0 & other.0)
    }
}

fn bit(extension: Extension) -> u8 {
    1 << extension as u8
}

/// The keywords of an EHLO reply, one a line.
#[must_use]
pub fn keywords(offer: &Offer, token: &str) -> Vec<String> {
    let hop_by_hop = ["8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES"];
    let end_to_end = Extension::ALL.into_iter().filter(|extension| offer.announced.has(*extension)).map(Extension::keyword);
    let mut lines = vec!["PIPELINING".to_owned(), format!("SIZE {}", offer.size)];
    lines.extend(hop_by_hop.into_iter().chain(end_to_end).map(str::to_owned));
    lines.push(format!("LIMITS RCPTMAX={}", offer.recipients));
    lines.push(format!("{TOKEN_KEYWORD} {token}"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_end_to_end_is_announced_only_if_it_is_offered() {
        let offer = |announced| Offer {
            size: 1000,
            room: 1,
            recipients: 50,
            announced,
            understood: Extensions::ALL,
            submitter: Submitter::Refused,
            known: true,
        };
        let said = |announced| keywords(&offer(announced), "ABC").join(" ");
        let always = "PIPELINING SIZE 1000 8BITMIME CHUNKING ENHANCEDSTATUSCODES";
        assert_eq!(said(Extensions::default()), format!("{always} LIMITS RCPTMAX=50 X-TRANSOM ABC"));
        assert_eq!(said(Extensions::ALL), format!("{always} SMTPUTF8 BINARYMIME DSN REQUIRETLS LIMITS RCPTMAX=50 X-TRANSOM ABC"));
    }

    #[test]
    fn sets_are_what_was_put_into_them() {
        let some = Extensions::default().and(Extension::Dsn, true).and(Extension::SmtpUtf8, false);
        assert!(some.has(Extension::Dsn) && !some.has(Extension::SmtpUtf8));
        assert_eq!(Extension::ALL.into_iter().fold(Extensions::default(), |set, one| set.and(one, true)), Extensions::ALL);
        assert_eq!(Extensions::ALL.without(Extension::Dsn).common(some), Extensions::default());
    }
}
