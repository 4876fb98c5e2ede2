//! The envelope: who sends, who receives, and what the client declared about the message and wishes for each recipient.

use std::fmt::{self, Write as _};
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::path::Path;

/// Bytes of an ORCPT (RFC 3461 4.2).
pub const LONGEST_ORCPT: usize = 500;

/// Sender and recipients of one transaction, in the order given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    pub sender: Path,
    pub recipients: Vec<Recipient>,
    pub declared: Declared,
}

/// A recipient: its mailbox, and what the sender wishes to hear of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    path: Path,
    /// Few senders wish for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wishes: Option<Arc<Wishes>>,
}

/// Parameters of RCPT (RFC 3461 4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wishes {
    pub notify: Option<Notify>,
    /// The original recipient as ORCPT gives it: address type, `;`, address in xtext.
    pub orcpt: Option<Arc<str>>,
}

/// Of what the sender wants to be told (RFC 3461 4.1). None of them is NEVER.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    pub success: bool,
    pub failure: bool,
    pub delay: bool,
}

/// Parameters of MAIL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// SIZE, in bytes (RFC 1870).
    pub size: Option<u64>,
    /// BODY (RFC 6152, RFC 3030 3).
    pub body: Option<Body>,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// REQUIRETLS (RFC 8689).
    pub require_tls: bool,
    /// What few clients say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Arc<Rest>>,
}

/// The parameters of MAIL that few clients give.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// RET (RFC 3461 4.3).
    pub ret: Option<Ret>,
    /// ENVID as given, in xtext (RFC 3461 4.4).
    pub envid: Option<Arc<str>>,
    /// AUTH= as given, in xtext, or `<>` (RFC 4954 5).
    pub auth: Option<Arc<str>>,
}

/// How much of the message a report is to bring back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ret {
    Full,
    Headers,
}

/// The BODY parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    SevenBit,
    EightBitMime,
    /// No byte of the content has a meaning for SMTP.
    BinaryMime,
}

impl Recipient {
    /// With what its sender wishes.
    #[must_use]
    pub fn new(path: Path, wishes: Wishes) -> Recipient {
        let wishes = (wishes != Wishes::default()).then(|| Arc::new(wishes));
        Recipient { path, wishes }
    }

    /// Without angle brackets.
    #[must_use]
    pub fn address(&self) -> &str {
        self.path.address()
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn wishes(&self) -> Option<&Wishes> {
        self.wishes.as_deref()
    }

    /// Under another address: what the sender wishes stays, and ORCPT keeps the address it knows (RFC 3461 5.2.1).
    #[must_use]
    pub fn rewritten(&self, path: Path) -> Recipient {
        if path == self.path {
            return self.clone();
        }
        let mut wishes = self.wishes.as_deref().cloned().unwrap_or_default();
        wishes.orcpt.get_or_insert_with(|| original(&self.path).into());
        Recipient::new(path, wishes)
    }
}

/// An address as ORCPT says it: `rfc822` in xtext, `utf-8` with what is beyond ASCII as it is (RFC 6533 3).
fn original(path: &Path) -> String {
    let mut text = String::from(if path.is_ascii() { "rfc822;" } else { "utf-8;" });
    for letter in path.address().chars() {
        match letter {
            '!'..='~' if !matches!(letter, '+' | '=') && (path.is_ascii() || letter != '\\') => text.push(letter),
            _ if !letter.is_ascii() => text.push(letter),
            _ if path.is_ascii() => write!(text, "+{:02X}", u32::from(letter)).expect("a String takes all"),
            _ => write!(text, "\\x{{{:02X}}}", u32::from(letter)).expect("a String takes all"),
        }
    }
    text
}

impl From<Path> for Recipient {
    fn from(path: Path) -> Recipient {
        Recipient { path, wishes: None }
    }
}

impl Deref for Recipient {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl PartialEq<Path> for Recipient {
    fn eq(&self, path: &Path) -> bool {
        self.path == *path
    }
}

/// With angle brackets, as on the wire.
impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(address: &str) -> Path {
        Path::parse(address).unwrap()
    }

    #[test]
    fn a_rewritten_recipient_keeps_the_first_original_and_its_wishes() {
        let notify = Some(Notify { failure: true, ..Notify::default() });
        let one = Recipient::new(path("a+b=c@example.org"), Wishes { notify, orcpt: None });
        let two = one.rewritten(path("x@example.org")).rewritten(path("y@example.org"));
        let wishes = two.wishes().unwrap();
        assert_eq!(
            (wishes.notify, wishes.orcpt.as_deref(), two.address()),
            (notify, Some("rfc822;a+2Bb+3Dc@example.org"), "y@example.org")
        );
        assert_eq!(one.rewritten(path("a+b=c@example.org")), one);
    }

    #[test]
    fn an_original_beyond_ascii_is_of_type_utf_8() {
        let two = Recipient::from(path("grün+1@example.org")).rewritten(path("x@example.org"));
        assert_eq!(two.wishes().unwrap().orcpt.as_deref(), Some("utf-8;grün\\x{2B}1@example.org"));
    }
}
