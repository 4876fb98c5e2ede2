//! What is said to a next hop about one mail: MAIL and RCPT, with the parameters it offers.
//!
//! | parameter             | said where                                                                                                    |
//! |-----------------------|---------------------------------------------------------------------------------------------------------------|
//! | SIZE                  | offered and known                                                                                             |
//! | BODY=BINARYMIME       | offered with CHUNKING, and declared; BODY=8BITMIME wherever offered                                           |
//! | SMTPUTF8              | offered, and declared or needed                                                                               |
//! | REQUIRETLS            | declared; whoever says it has seen to it that it is offered, inside verified TLS                              |
//! | RET ENVID NOTIFY ORCPT | DSN is offered. Else they go: a "relayed" report (RFC 3461 5.2.2) is not ours to write, who holds no message |
//! | AUTH=                 | AUTH is offered, and it was declared; `<>` where it was not and we are logged in (RFC 4954 5)                 |

use std::fmt::Write as _;

use super::Capabilities;
use crate::smtp::envelope::{Body, Declared, Envelope, LONGEST_ORCPT, Notify, Recipient, Rest, Ret};
use crate::smtp::path::Path;

impl Capabilities {
    /// Whether this envelope can be said here: addresses beyond ASCII need SMTPUTF8 (RFC 6531 3.2).
    #[must_use]
    pub fn can_say<'p>(&self, mut paths: impl Iterator<Item = &'p Path>) -> bool {
        self.smtputf8 || paths.all(|path| path.address().is_ascii())
    }

    /// Whether MAIL says SMTPUTF8.
    #[must_use]
    pub fn says_smtputf8(&self, sender: &Path, declared: &Declared) -> bool {
        self.smtputf8 && (declared.smtputf8 || !sender.address().is_ascii())
    }

    /// Whether MAIL says BODY=BINARYMIME: then the content can only go by BDAT (RFC 3030 3).
    #[must_use]
    pub fn says_binary(&self, declared: &Declared) -> bool {
        self.binary && declared.body == Some(Body::BinaryMime)
    }

    /// MAIL with the parameters that are offered. BODY=8BITMIME is said whenever it is, for a rule may bring in 8-bit content later.
    /// Whoever is logged in and speaks for nobody says so.
    #[must_use]
    pub fn mail(&self, sender: &Path, declared: &Declared, logged_in: bool) -> String {
        let mut command = String::with_capacity(64 + sender.address().len());
        for text in ["MAIL FROM:<", sender.address(), ">"] {
            command.push_str(text);
        }
        if let Some(size) = declared.size.filter(|_| self.size) {
            write!(command, " SIZE={size}").expect("a String takes all");
        }
        if self.says_binary(declared) {
            command.push_str(" BODY=BINARYMIME");
        } else if self.eight_bit {
            command.push_str(" BODY=8BITMIME");
        }
        if self.says_smtputf8(sender, declared) {
            command.push_str(" SMTPUTF8");
        }
        if declared.require_tls {
            command.push_str(" REQUIRETLS");
        }
        let submitter = declared.rest.as_ref().and_then(|rest| rest.auth.as_deref()).or(logged_in.then_some("<>"));
        if let Some(rest) = declared.rest.as_ref().filter(|_| self.dsn) {
            say_rest(rest, &mut command);
        }
        if let Some(submitter) = submitter.filter(|_| !self.auth.is_empty()) {
            command.extend([" AUTH=", submitter]);
        }
        command.push_str("\r\n");
        command
    }

    /// Appends RCPT, within a transaction that has SMTPUTF8 or not.
    pub fn rcpt(&self, recipient: &Recipient, smtputf8: bool, commands: &mut String) {
        for text in ["RCPT TO:<", recipient.address(), ">"] {
            commands.push_str(text);
        }
        if let Some(wishes) = recipient.wishes().filter(|_| self.dsn) {
            if let Some(notify) = wishes.notify {
                say_notify(notify, commands);
            }
            if let Some(orcpt) = &wishes.orcpt {
                say_original(orcpt, smtputf8, commands);
            }
        }
        commands.push_str("\r\n");
    }

    /// Whether something that the sender wishes to be told of is lost here.
    #[must_use]
    pub fn drops_wishes(&self, declared: &Declared, recipients: &[Recipient]) -> bool {
        let of_mail = || declared.rest.as_ref().is_some_and(|rest| rest.ret.is_some() || rest.envid.is_some());
        let of_one = |one: &Recipient| one.wishes().is_some_and(|wishes| wishes.notify.is_some());
        !self.dsn && (of_mail() || recipients.iter().any(of_one))
    }
}

/// RFC 3461 4.3 and 4.4.
fn say_rest(rest: &Rest, command: &mut String) {
    if let Some(ret) = rest.ret {
        command.push_str(match ret {
            Ret::Full => " RET=FULL",
            Ret::Headers => " RET=HDRS",
        });
    }
    if let Some(envid) = &rest.envid {
        command.extend([" ENVID=", envid]);
    }
}

/// RFC 3461 4.1.
fn say_notify(notify: Notify, commands: &mut String) {
    let words = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
    let mut separator = " NOTIFY=";
    for (_, word) in words.iter().filter(|(wished, _)| *wished) {
        commands.extend([separator, word]);
        separator = ",";
    }
    if separator != "," {
        commands.push_str(" NOTIFY=NEVER");
    }
}

/// What is beyond ASCII is written in ASCII outside SMTPUTF8 (RFC 6533 3). What is then longer than it may be is left out: it would cost the recipient.
fn say_original(orcpt: &str, smtputf8: bool, commands: &mut String) {
    let before = commands.len();
    commands.push_str(" ORCPT=");
    let start = commands.len();
    for letter in orcpt.chars() {
        if letter.is_ascii() || smtputf8 {
            commands.push(letter);
        } else {
            write!(commands, "\\x{{{:X}}}", u32::from(letter)).expect("a String takes all");
        }
    }
    if commands.len() - start > LONGEST_ORCPT {
        commands.truncate(before);
    }
}

/// The parameters a mail needs as it now stands: its size computed anew, SMTPUTF8 also when a rule brought in an address that needs it.
#[must_use]
pub fn declared_anew(envelope: &Envelope, size: u64) -> Declared {
    let ascii = envelope.recipients.iter().all(|path| path.address().is_ascii()) && envelope.sender.address().is_ascii();
    Declared { size: Some(size), smtputf8: envelope.declared.smtputf8 || !ascii, ..envelope.declared.clone() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::smtp::envelope::Wishes;

    fn everything() -> Capabilities {
        let size = Capabilities { size: true, eight_bit: true, smtputf8: true, chunking: true, binary: true, ..Capabilities::default() };
        Capabilities { dsn: true, requiretls: true, auth: vec!["PLAIN".into()], ..size }
    }

    fn said(capabilities: &Capabilities, recipient: &Recipient, smtputf8: bool) -> String {
        let mut commands = String::new();
        capabilities.rcpt(recipient, smtputf8, &mut commands);
        commands
    }

    #[test]
    fn mail_carries_only_what_is_offered() {
        let rest = Rest { ret: Some(Ret::Headers), envid: Some("a+2Bb".into()), auth: Some("<>".into()) };
        let declared =
            Declared { size: Some(10), body: Some(Body::BinaryMime), smtputf8: true, rest: Some(Arc::new(rest)), ..Declared::default() };
        let all = "MAIL FROM:<> SIZE=10 BODY=BINARYMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=<>\r\n";
        assert_eq!(everything().mail(&Path::null(), &declared, true), all);
        let few = Capabilities { size: true, eight_bit: true, ..Capabilities::default() };
        assert_eq!(few.mail(&Path::null(), &declared, true), "MAIL FROM:<> SIZE=10 BODY=8BITMIME\r\n");
        assert_eq!(Capabilities::default().mail(&Path::null(), &declared, true), "MAIL FROM:<>\r\n");
        let required = Declared { require_tls: true, ..Declared::default() };
        assert_eq!(everything().mail(&Path::null(), &required, false), "MAIL FROM:<> BODY=8BITMIME REQUIRETLS\r\n");
        let undeclared = everything().mail(&Path::null(), &Declared::default(), true);
        assert_eq!(undeclared, "MAIL FROM:<> BODY=8BITMIME AUTH=<>\r\n");
    }

    #[test]
    fn rcpt_carries_wishes_only_where_they_are_understood() {
        let path = || Path::parse("b@example.org").unwrap();
        let notify =
            |success, failure, delay| Wishes { notify: Some(Notify { success, failure, delay }), orcpt: Some("rfc822;a@x".into()) };
        for (wishes, words) in [
            (notify(true, true, true), " NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;a@x"),
            (notify(false, true, false), " NOTIFY=FAILURE ORCPT=rfc822;a@x"),
            (notify(false, false, false), " NOTIFY=NEVER ORCPT=rfc822;a@x"),
            (Wishes::default(), ""),
        ] {
            let recipient = Recipient::new(path(), wishes.clone());
            assert_eq!(said(&everything(), &recipient, false), format!("RCPT TO:<b@example.org>{words}\r\n"));
            assert_eq!(said(&Capabilities::default(), &recipient, false), "RCPT TO:<b@example.org>\r\n");
            assert_eq!(Capabilities::default().drops_wishes(&Declared::default(), &[recipient]), wishes.notify.is_some());
        }
    }

    #[test]
    fn an_original_beyond_ascii_is_said_in_ascii_outside_smtputf8() {
        let recipient = Recipient::from(Path::parse("gr\u{fc}n@example.org").unwrap()).rewritten(Path::parse("b@example.org").unwrap());
        assert_eq!(said(&everything(), &recipient, true), "RCPT TO:<b@example.org> ORCPT=utf-8;gr\u{fc}n@example.org\r\n");
        assert_eq!(said(&everything(), &recipient, false), "RCPT TO:<b@example.org> ORCPT=utf-8;gr\\x{FC}n@example.org\r\n");
    }

    #[test]
    fn an_original_that_gets_longer_than_it_may_be_is_left_out() {
        let elsewhere = || Path::parse("b@example.org").unwrap();
        let wish = |letters: usize| Wishes { orcpt: Some(format!("utf-8;{}", "\u{fc}".repeat(letters)).into()), notify: None };
        for (letters, smtputf8, is_said) in [(82, false, true), (83, false, false), (247, true, true)] {
            let line = said(&everything(), &Recipient::new(elsewhere(), wish(letters)), smtputf8);
            assert_eq!(line.contains(" ORCPT=utf-8;"), is_said, "{line}");
            assert!(is_said || line == "RCPT TO:<b@example.org>\r\n", "{line}");
        }
        let pluses = Recipient::from(Path::parse(&format!("{}@example.org", "+".repeat(200))).unwrap()).rewritten(elsewhere());
        assert_eq!(said(&everything(), &pluses, false), "RCPT TO:<b@example.org>\r\n");
    }
}
