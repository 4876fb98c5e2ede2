//! Every reply Transom gives, by name. The only file with reply codes: a `Reply` cannot be made anywhere else.

use std::borrow::Cow;
use std::fmt;

use super::client::{Answer, Meaning, Stage};
use super::status::{class, in_one_line, push_codes};

pub use super::status::{Class, Enhanced};

/// RFC 5321 4.5.3.1.5: a reply line with its CR LF.
const LONGEST_LINE: usize = 512;
const MOST_LINES: usize = 20;

/// What a client is told. Never empty; every line is printable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<Enhanced>,
    /// Lines, LF between them.
    text: Cow<'static, str>,
    last: bool,
}

impl Reply {
    fn new(code: u16, enhanced: Enhanced, text: impl Into<Cow<'static, str>>) -> Reply {
        Reply { code, enhanced: Some(enhanced), text: text.into(), last: false }
    }

    /// Without an enhanced code: greeting, EHLO, HELO and 3xx have none (RFC 2034 3).
    fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Reply {
        Reply { code, enhanced: None, text: text.into(), last: false }
    }

    fn and_close(mut self) -> Reply {
        self.last = true;
        self
    }

    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    #[must_use]
    pub fn enhanced(&self) -> Option<Enhanced> {
        self.enhanced
    }

    /// Whether the connection is closed after it.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.last
    }

    /// By the first digit.
    #[must_use]
    pub fn class(&self) -> Class {
        class(self.code)
    }

    /// Appends it as it goes over the wire: each line bounded, each with the codes (RFC 2034 4).
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').take(MOST_LINES).peekable();
        while let Some(text) = lines.next() {
            let start = out.len();
            push_codes(out, self.code, if lines.peek().is_some() { b'-' } else { b' ' }, self.enhanced);
            let room = (start + LONGEST_LINE - 2).saturating_sub(out.len());
            out.extend_from_slice(bounded(text, room).trim_end().as_bytes());
            // RFC 5321 4.2: a line without text keeps the blank after its code.
            while out.len() > start + 4 && out.ends_with(b" ") {
                out.pop();
            }
            out.extend_from_slice(b"\r\n");
        }
    }

    /// In one line, for logs: `250 2.0.0 Ok`.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        in_one_line(self.code, self.enhanced, self.text.split('\n'))
    }
}

/// In one line, for logs.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_one_line())
    }
}

/// At most `most` bytes, cut between letters.
fn bounded(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// Only what may stand in a reply that another party had a say in.
fn printable(text: &str) -> String {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    text.chars().map(|letter| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' }).collect()
}

// Sessions

/// 220, the first line of all.
pub fn greeting(hostname: &str) -> Reply {
    Reply::plain(220, format!("{hostname} ESMTP Transom"))
}

/// The answer to HELO.
pub fn hello(hostname: &str) -> Reply {
    Reply::plain(250, hostname.to_owned())
}

/// The answer to EHLO: our name, then a keyword a line.
pub fn extended_hello(hostname: &str, keywords: &[String]) -> Reply {
    Reply::plain(250, format!("{hostname}\n{}", keywords.join("\n")))
}

/// The answer to RSET and NOOP.
pub fn ok() -> Reply {
    Reply::new(250, Enhanced(2, 0, 0), "Ok")
}

/// The answer to MAIL.
pub fn sender_ok() -> Reply {
    Reply::new(250, Enhanced(2, 1, 0), "Ok")
}

/// The answer to RCPT where the next hop has nothing to say about it.
pub fn recipient_ok() -> Reply {
    Reply::new(250, Enhanced(2, 1, 5), "Ok")
}

/// The answer to DATA.
pub fn send_data() -> Reply {
    Reply::plain(354, "End data with <CR><LF>.<CR><LF>")
}

/// The answer to HELP.
pub fn help() -> Reply {
    Reply::new(214, Enhanced(2, 0, 0), "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT")
}

/// The answer to VRFY (RFC 5321 3.5.3).
pub fn cannot_verify() -> Reply {
    Reply::new(252, Enhanced(2, 5, 0), "Cannot verify; send some mail and see")
}

/// The answer to QUIT.
pub fn goodbye() -> Reply {
    Reply::new(221, Enhanced(2, 0, 0), "Bye").and_close()
}

/// Shutdown.
pub fn shutting_down() -> Reply {
    Reply::new(421, Enhanced(4, 3, 2), "Service is shutting down").and_close()
}

/// `limits.sessions`, `limits.sessions_per_address`.
pub fn too_many_sessions() -> Reply {
    Reply::new(421, Enhanced(4, 7, 0), "Too many connections, try again later").and_close()
}

/// `limits.commands_per_session`.
pub fn too_many_commands() -> Reply {
    Reply::new(421, Enhanced(4, 7, 0), "Too many commands").and_close()
}

/// `limits.errors_per_session`.
pub fn too_many_errors() -> Reply {
    Reply::new(421, Enhanced(4, 7, 0), "Too many errors").and_close()
}

/// `timeouts.command`.
pub fn timed_out() -> Reply {
    Reply::new(421, Enhanced(4, 4, 2), "Timed out waiting for you").and_close()
}

/// `limits.min_data_rate`.
pub fn too_slow() -> Reply {
    Reply::new(421, Enhanced(4, 4, 2), "Data comes in too slowly").and_close()
}

// Commands

/// A command line over its limit (RFC 5321 4.5.3.1.4).
pub fn line_too_long() -> Reply {
    Reply::new(500, Enhanced(5, 5, 2), "Line too long")
}

/// A command that ends with a bare LF.
pub fn bad_line_end() -> Reply {
    Reply::new(500, Enhanced(5, 5, 2), "Lines end with <CR><LF>")
}

pub fn unknown_command() -> Reply {
    Reply::new(500, Enhanced(5, 5, 2), "Command not recognized")
}

/// A command of SMTP that is not offered.
pub fn not_implemented() -> Reply {
    Reply::new(502, Enhanced(5, 5, 1), "Command not implemented")
}

pub fn bad_arguments() -> Reply {
    Reply::new(501, Enhanced(5, 5, 4), "Syntax error in parameters or arguments")
}

pub fn bad_sender() -> Reply {
    Reply::new(501, Enhanced(5, 1, 7), "Bad sender address syntax")
}

pub fn bad_recipient() -> Reply {
    Reply::new(501, Enhanced(5, 1, 3), "Bad recipient address syntax")
}

pub fn unknown_parameter() -> Reply {
    Reply::new(555, Enhanced(5, 5, 4), "Parameter not recognized or not implemented")
}

/// A parameter that only the next hop can judge, while it is not known what that offers (DESIGN decision 10).
pub fn parameter_not_judged() -> Reply {
    Reply::new(451, Enhanced(4, 3, 0), "Not available now, try again later")
}

/// An address beyond ASCII without SMTPUTF8 (RFC 6531 3.5).
pub fn needs_smtputf8() -> Reply {
    Reply::new(553, Enhanced(5, 6, 7), "Address needs SMTPUTF8")
}

pub fn bad_sequence(expected: &'static str) -> Reply {
    Reply::new(503, Enhanced(5, 5, 1), expected)
}

/// DATA without an accepted recipient.
pub fn no_recipients() -> Reply {
    Reply::new(554, Enhanced(5, 5, 1), "No valid recipients")
}

/// Commands sent where the answer had to be waited for (RFC 2920 3.1).
pub fn out_of_step() -> Reply {
    Reply::new(554, Enhanced(5, 5, 0), "Error: input sent before its time").and_close()
}

// Envelope and message

/// Who may not relay, to where it may not (DESIGN decision 13).
pub fn relaying_denied() -> Reply {
    Reply::new(550, Enhanced(5, 7, 1), "Relaying denied")
}

/// `limits.recipients`.
pub fn too_many_recipients() -> Reply {
    Reply::new(452, Enhanced(4, 5, 3), "Too many recipients")
}

/// A recipient of another class than the first accepted one: it comes again in a transaction of its own (RFC 5321 4.5.3.1.10).
pub fn another_class() -> Reply {
    Reply::new(452, Enhanced(4, 5, 3), "Send this recipient in a transaction of its own")
}

/// `limits.message_size`, `header_size`, `header_fields`, or the next hop's SIZE.
pub fn too_large() -> Reply {
    Reply::new(552, Enhanced(5, 3, 4), "Message is larger than accepted here")
}

/// So large that its end is not waited for.
pub fn far_too_large() -> Reply {
    too_large().and_close()
}

/// Memory, temporary disk or the store are full.
pub fn no_room() -> Reply {
    Reply::new(452, Enhanced(4, 3, 1), "Insufficient system storage, try again later")
}

/// A CR or LF that stands alone.
pub fn bare_line_ends() -> Reply {
    Reply::new(550, Enhanced(5, 6, 11), "Message has a bare <CR> or <LF>")
}

/// The same, where it is not certain that the message has ended.
pub fn doubtful_end() -> Reply {
    bare_line_ends().and_close()
}

/// `malformed: reject`.
pub fn unreadable_header() -> Reply {
    Reply::new(550, Enhanced(5, 6, 0), "The header of this message cannot be read")
}

/// Too many `Received`, or too many of our own.
pub fn mail_loop() -> Reply {
    Reply::new(554, Enhanced(5, 4, 6), "Too many hops, this looks like a mail loop")
}

/// Our own or the next hop's trouble that is no verdict on the message. The cause is in the log.
pub fn trouble() -> Reply {
    Reply::new(451, Enhanced(4, 3, 0), "Temporary trouble, try again later")
}

/// The dot was sent to the next hop and not answered: 250 would risk a loss.
pub fn outcome_unknown() -> Reply {
    Reply::new(451, Enhanced(4, 4, 2), "Delivery could not be confirmed, try again later")
}

/// Taken, and not sent on: held, or discarded by a rule. The text tells neither.
pub fn taken(id: &str) -> Reply {
    Reply::new(250, Enhanced(2, 0, 0), printable(&format!("Ok: {id}")))
}

/// Content that the next hop cannot take and that may not be converted (RFC 3463 X.6.3).
pub fn cannot_convert() -> Reply {
    Reply::new(554, Enhanced(5, 6, 3), "Conversion required but not possible")
}

/// The next hop has no SMTPUTF8 and the message cannot do without (RFC 6531 3.5).
pub fn smtputf8_not_possible() -> Reply {
    Reply::new(550, Enhanced(5, 6, 7), "Message needs SMTPUTF8, which is not available on its way")
}

/// What a rule's `reject` or `defer` says. A code that is neither becomes 451, which loses nothing.
pub fn ruled(code: u16, enhanced: Enhanced, text: &str) -> Reply {
    match class(code) {
        Class::Transient | Class::Permanent if (400..600).contains(&code) && code != 421 => Reply::new(code, enhanced, printable(text)),
        _ => trouble(),
    }
}

// What the next hop said

/// Whether an answer speaks about this sender, recipient or message; any other is our trouble with the next hop, and the client hears 451 (SEMANTICS 2).
pub fn is_verdict(stage: Stage, answer: &Answer) -> bool {
    answer.meaning(stage) != Meaning::Trouble && answer.class() != Class::Continue
}

/// The next hop's answer for the client: its code, enhanced code and lines. What is no verdict becomes [`trouble`]. A 2xx to the dot becomes 250.
pub fn passed(stage: Stage, answer: &Answer) -> Reply {
    let mut reply = passed_silently(stage, answer);
    let mut lines = answer.lines.iter().take(MOST_LINES).map(|line| printable(line));
    if let Some(first) = lines.next().filter(|_| is_verdict(stage, answer)) {
        reply.text = lines.fold(first, |text, line| text + "\n" + &line).into();
    }
    reply
}

/// The same with a text of ours: after the envelope was rewritten, the next hop's text may show what is to be hidden.
pub fn passed_silently(stage: Stage, answer: &Answer) -> Reply {
    if !is_verdict(stage, answer) {
        return trouble();
    }
    let code = match (stage, answer.code) {
        (Stage::Recipient, 251) => 251,
        (_, 200..=299) => 250,
        (_, code) => code,
    };
    let digit = match class(code) {
        Class::Done => 2,
        Class::Continue => 3,
        Class::Transient => 4,
        Class::Permanent => 5,
    };
    let enhanced = answer.enhanced.filter(|enhanced| enhanced.0 == digit).unwrap_or(Enhanced(digit, 0, 0));
    let text = match class(code) {
        Class::Done | Class::Continue => "Ok",
        Class::Transient => "Not accepted for now, try again later",
        Class::Permanent => "Not accepted",
    };
    Reply::new(code, enhanced, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, enhanced: Option<Enhanced>, lines: &[&str]) -> Answer {
        Answer { code, enhanced, lines: lines.iter().map(ToString::to_string).collect() }
    }

    fn wire(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_line_carries_the_codes() {
        let said = answer(550, Some(Enhanced(5, 1, 1)), &["no such user", "try elsewhere"]);
        assert_eq!(wire(&passed(Stage::Recipient, &said)), "550-5.1.1 no such user\r\n550 5.1.1 try elsewhere\r\n");
        assert_eq!(wire(&extended_hello("h", &["PIPELINING".into()])), "250-h\r\n250 PIPELINING\r\n");
    }

    #[test]
    fn a_line_without_text_keeps_the_blank_after_its_code() {
        assert_eq!(wire(&hello("")), "250 \r\n");
    }

    #[test]
    fn a_missing_or_contradicting_enhanced_code_becomes_x_0_0() {
        assert_eq!(passed(Stage::Dot, &answer(450, None, &["later"])).enhanced(), Some(Enhanced(4, 0, 0)));
        assert_eq!(passed(Stage::Dot, &answer(450, Some(Enhanced(5, 1, 1)), &["later"])).enhanced(), Some(Enhanced(4, 0, 0)));
    }

    #[test]
    fn what_is_no_verdict_becomes_our_trouble() {
        for (stage, code) in [
            (Stage::Recipient, 421),
            (Stage::Recipient, 503),
            (Stage::Recipient, 530),
            (Stage::Recipient, 354),
            (Stage::Data, 250),
            (Stage::Data, 501),
            (Stage::Dot, 354),
            (Stage::Dot, 504),
            (Stage::Mail, 555),
            (Stage::Mail, 700),
        ] {
            assert_eq!(passed(stage, &answer(code, None, &["x"])), trouble(), "{stage:?} {code}");
        }
        assert_eq!(passed(Stage::Mail, &answer(501, None, &["x"])).code(), 501);
        assert_eq!(passed(Stage::Recipient, &answer(251, None, &["x"])).code(), 251);
    }

    #[test]
    fn texts_are_printable_and_bounded() {
        let line = format!("a\r\nb\0{}", "é".repeat(600));
        let sent = wire(&passed(Stage::Dot, &answer(550, None, &vec![line.as_str(); 30])));
        assert_eq!(sent.lines().count(), 20);
        assert!(sent.split_inclusive("\r\n").all(|line| line.len() <= 512 && line.is_ascii()));
    }

    #[test]
    fn a_rules_verdict_never_says_250() {
        assert_eq!(ruled(250, Enhanced(2, 0, 0), "x"), trouble());
        assert_eq!(ruled(550, Enhanced(5, 7, 1), "no").to_string(), "550 5.7.1 no");
    }
}
