//! Command lines → commands (RFC 5321 4.1.1).

mod auth;
mod bdat;
mod mail;
mod parameter;
mod rcpt;

use super::envelope::{Declared, Recipient};
use super::extension::Offer;
use super::identity::{Attribute, XCLIENT, XFORWARD, attributes};
use super::path::Path;
use super::reply::{self, Reply};
use crate::base::secret::Secret;

/// The longest line of MAIL and RCPT, CR LF included: 512 (RFC 5321 4.5.3.1.4) and what SIZE, BODY, SMTPUTF8, RET, ENVID, REQUIRETLS and AUTH= may add to one,
/// NOTIFY and ORCPT to the other (RFC 1870 3, 3030 3, 6531 3.4, 3461 4, 8689 2, 4954 5).
pub const LONGEST_LINE: usize = 1536;
/// The longest line of any other command, but for AUTH, whose first message may be as long as a later one.
const LONGEST_PLAIN_LINE: usize = 512;
const LONGEST_NAME: usize = 255;
/// STARTTLS, XFORWARD.
const LONGEST_VERB: usize = 8;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Helo(String),
    Ehlo(String),
    /// EHLO of LMTP.
    Lhlo(String),
    Mail {
        sender: Path,
        declared: Declared,
    },
    Rcpt(Recipient),
    Data,
    /// So many bytes of the message follow.
    Bdat {
        size: u64,
        last: bool,
    },
    Auth {
        mechanism: String,
        /// In base64.
        initial: Option<Secret>,
    },
    /// The client is another one (Postfix' `XCLIENT_README`).
    Xclient(Vec<Attribute>),
    /// Whose message the next one is (Postfix' `XFORWARD_README`).
    Xforward(Vec<Attribute>),
    Rset,
    StartTls,
    Noop,
    Vrfy,
    Help,
    Quit,
}

/// Why a line is no command; each has its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    #[error("longer than a command may be")]
    TooLong,
    #[error("does not end with CR LF")]
    LineEnd,
    #[error("no command of SMTP")]
    Unknown,
    #[error("a command that is not offered")]
    NotImplemented,
    #[error("arguments missing, too many or unreadable")]
    Arguments,
    #[error("no address after MAIL FROM")]
    Sender,
    #[error("no address after RCPT TO")]
    Recipient,
    #[error("a BDAT whose size cannot be read")]
    Chunk,
    #[error("a parameter that is not offered")]
    Parameter,
    #[error("a parameter that cannot be judged while the next hop is unknown")]
    NotJudged,
    #[error("an address beyond ASCII without SMTPUTF8")]
    NeedsSmtpUtf8,
}

impl SyntaxError {
    /// What the client hears.
    #[must_use]
    pub fn reply(self) -> Reply {
        match self {
            SyntaxError::TooLong => reply::line_too_long(),
            SyntaxError::LineEnd => reply::bad_line_end(),
            SyntaxError::Unknown => reply::unknown_command(),
            SyntaxError::NotImplemented => reply::not_implemented(),
            SyntaxError::Arguments => reply::bad_arguments(),
            SyntaxError::Sender => reply::bad_sender(),
            SyntaxError::Recipient => reply::bad_recipient(),
            SyntaxError::Chunk => reply::bad_chunk(),
            SyntaxError::Parameter => reply::unknown_parameter(),
            SyntaxError::NotJudged => reply::parameter_not_judged(),
            SyntaxError::NeedsSmtpUtf8 => reply::needs_smtputf8(),
        }
    }
}

impl Command {
    /// Reads a line that ends with LF.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &[u8], offer: &Offer) -> Result<Command, SyntaxError> {
        // How much content follows is then not known, and none of it may be taken for commands.
        read(line, offer).map_err(|error| if bdat::begins(line) { SyntaxError::Chunk } else { error })
    }
}

fn read(line: &[u8], offer: &Offer) -> Result<Command, SyntaxError> {
    if line.len() > LONGEST_LINE {
        return Err(SyntaxError::TooLong);
    }
    // A lone LF is no line end (RFC 5321 2.3.8): a client that means it would disagree with us about where commands begin.
    let text = line.strip_suffix(b"\r\n").ok_or(SyntaxError::LineEnd)?;
    let text = std::str::from_utf8(text).map_err(|_| SyntaxError::Arguments)?;
    if text.bytes().any(|byte| !matches!(byte, b' '..=b'~')) && text.contains(|letter: char| letter.is_control() && letter != '\t') {
        return Err(SyntaxError::Arguments);
    }
    let (verb, arguments) = text.split_once(' ').unwrap_or((text, ""));
    let arguments = arguments.trim_matches([' ', '\t']);
    let mut letters = [0; LONGEST_VERB];
    let verb = parameter::upper(verb, &mut letters);
    if line.len() > LONGEST_PLAIN_LINE && !["MAIL", "RCPT", "AUTH"].contains(&verb) {
        return Err(SyntaxError::TooLong);
    }
    match verb {
        "HELO" => name(arguments).map(Command::Helo),
        "EHLO" => name(arguments).map(Command::Ehlo),
        "LHLO" => name(arguments).map(Command::Lhlo),
        "MAIL" => mail::read(arguments, offer),
        "RCPT" => rcpt::read(arguments, offer).map(Command::Rcpt),
        "DATA" => alone(arguments, Command::Data),
        "BDAT" => bdat::read(arguments),
        "AUTH" => auth::read(arguments),
        "XCLIENT" => attributes(arguments, XCLIENT).map(Command::Xclient).ok_or(SyntaxError::Arguments),
        "XFORWARD" => attributes(arguments, XFORWARD).map(Command::Xforward).ok_or(SyntaxError::Arguments),
        "RSET" => alone(arguments, Command::Rset),
        "QUIT" => alone(arguments, Command::Quit),
        "STARTTLS" => alone(arguments, Command::StartTls),
        "NOOP" => Ok(Command::Noop),
        "HELP" => Ok(Command::Help),
        "VRFY" if arguments.is_empty() => Err(SyntaxError::Arguments),
        "VRFY" => Ok(Command::Vrfy),
        "EXPN" | "TURN" | "SEND" | "SOML" | "SAML" | "ETRN" => Err(SyntaxError::NotImplemented),
        _ => Err(SyntaxError::Unknown),
    }
}

fn alone(arguments: &str, command: Command) -> Result<Command, SyntaxError> {
    if arguments.is_empty() { Ok(command) } else { Err(SyntaxError::Arguments) }
}

/// What a client calls itself. Anything printable passes: it is only written down, and many clients have no proper name.
fn name(arguments: &str) -> Result<String, SyntaxError> {
    let fits = (1..=LONGEST_NAME).contains(&arguments.len()) && arguments.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(arguments.to_owned()) } else { Err(SyntaxError::Arguments) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::envelope::Body;
    use crate::smtp::extension::{Extension, Extensions, Submitter};

    /// Everything.
    pub(super) fn offer() -> Offer {
        let (announced, understood) = (Extensions::ALL, Extensions::ALL);
        Offer { size: 1000, room: 1000, recipients: 100, announced, understood, submitter: Submitter::Passed, known: true }
    }

    fn parse(line: &str) -> Result<Command, SyntaxError> {
        Command::parse(format!("{line}\r\n").as_bytes(), &offer())
    }

    #[test]
    fn commands_are_known_in_any_case() {
        assert_eq!(parse("eHlO [192.0.2.1]"), Ok(Command::Ehlo("[192.0.2.1]".into())));
        assert_eq!(parse("lhlo c"), Ok(Command::Lhlo("c".into())));
        assert_eq!(parse("data "), Ok(Command::Data));
        assert_eq!(parse("noop with words"), Ok(Command::Noop));
        assert_eq!(parse("quit"), Ok(Command::Quit));
        assert_eq!(parse("bdat 12 last"), Ok(Command::Bdat { size: 12, last: true }));
        assert_eq!(parse("BDAT 99999999999999999999"), Ok(Command::Bdat { size: u64::MAX, last: false }));
        assert_eq!(parse("rcpt to: <a@example.org>"), Ok(Command::Rcpt(Path::parse("a@example.org").unwrap().into())));
    }

    #[test]
    fn parameters_of_mail_are_read() {
        let Ok(Command::Mail { sender, declared }) = parse("MAIL FROM:<\"a> b\"@example.org> size=12 BODY=8bitmime SMTPUTF8") else {
            panic!()
        };
        assert_eq!(sender.address(), "\"a> b\"@example.org");
        assert_eq!(declared, Declared { size: Some(12), body: Some(Body::EightBitMime), smtputf8: true, ..Declared::default() });
        let Ok(Command::Mail { declared, .. }) = parse("MAIL FROM:<> SIZE=99999999999999999999") else { panic!() };
        assert_eq!(declared.size, Some(u64::MAX));
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        for (line, error) in [
            ("", SyntaxError::Unknown),
            ("FROB", SyntaxError::Unknown),
            ("STARTTLS now", SyntaxError::Arguments),
            ("BDAT", SyntaxError::Chunk),
            ("BDAT x", SyntaxError::Chunk),
            ("BDAT -1", SyntaxError::Chunk),
            ("BDAT 1 FIRST", SyntaxError::Chunk),
            ("BDAT 1 LAST LAST", SyntaxError::Chunk),
            ("BDAT 123456789012345678901", SyntaxError::Chunk),
            ("EHLO", SyntaxError::Arguments),
            ("EHLO a b", SyntaxError::Arguments),
            ("DATA now", SyntaxError::Arguments),
            ("VRFY", SyntaxError::Arguments),
            ("MAIL", SyntaxError::Arguments),
            ("MAIL FROM:a@example.org", SyntaxError::Sender),
            ("MAIL FROM:<a@example.org", SyntaxError::Sender),
            ("MAIL FROM:<a@example.org>SIZE=1", SyntaxError::Sender),
            ("MAIL FROM:<user>", SyntaxError::Sender),
            ("MAIL FROM:<postmaster>", SyntaxError::Sender),
            ("MAIL FROM:<> SIZE=", SyntaxError::Arguments),
            ("MAIL FROM:<> SIZE=-1", SyntaxError::Arguments),
            ("MAIL FROM:<> SIZE=1 SIZE=1", SyntaxError::Arguments),
            ("MAIL FROM:<> BODY=9BIT", SyntaxError::Arguments),
            ("RCPT TO:<>", SyntaxError::Recipient),
            ("RCPT TO:<user>", SyntaxError::Recipient),
            ("NOOP \u{7f}", SyntaxError::Arguments),
        ] {
            assert_eq!(parse(line), Err(error), "{line}");
        }
        assert_eq!(Command::parse(b"NOOP\n", &offer()), Err(SyntaxError::LineEnd));
        assert_eq!(Command::parse(b"bdat 10\n", &offer()), Err(SyntaxError::Chunk));
        assert_eq!(Command::parse(b"NOOP \xff\r\n", &offer()), Err(SyntaxError::Arguments));
        assert_eq!(Command::parse(b"NOOP\0\r\n", &offer()), Err(SyntaxError::Arguments));
    }

    #[test]
    fn an_address_beyond_ascii_needs_smtputf8() {
        assert_eq!(parse("MAIL FROM:<grün@example.org>"), Err(SyntaxError::NeedsSmtpUtf8));
        assert!(parse("MAIL FROM:<grün@example.org> SMTPUTF8").is_ok());
        let without = Offer { understood: Extensions::ALL.without(Extension::SmtpUtf8), ..offer() };
        assert_eq!(Command::parse("MAIL FROM:<grün@example.org> SMTPUTF8\r\n".as_bytes(), &without), Err(SyntaxError::Parameter));
    }

    #[test]
    fn auth_is_a_mechanism_and_perhaps_a_message() {
        let auth =
            |mechanism: &str, initial: Option<&str>| Command::Auth { mechanism: mechanism.into(), initial: initial.map(Secret::new) };
        assert_eq!(parse("auth plain"), Ok(auth("plain", None)));
        assert_eq!(parse("AUTH PLAIN  ="), Ok(auth("PLAIN", Some("="))));
        let long = "A".repeat(800);
        assert_eq!(parse(&format!("AUTH PLAIN {long}")), Ok(auth("PLAIN", Some(&long))));
        assert_eq!(parse("AUTH"), Err(SyntaxError::Arguments));
        assert_eq!(parse("AUTH PLAIN a b"), Err(SyntaxError::Arguments));
    }

    #[test]
    fn only_mail_and_rcpt_may_be_longer_than_512_bytes() {
        let fill = " ".repeat(600);
        assert!(parse(&format!("MAIL FROM:<>{fill}")).is_ok());
        assert_eq!(parse(&format!("NOOP {fill}")), Err(SyntaxError::TooLong));
        assert_eq!(parse(&format!("MAIL FROM:<>{fill}{fill}{fill}")), Err(SyntaxError::TooLong));
    }
}
