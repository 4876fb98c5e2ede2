//! What is said to a next hop about one mail: MAIL and RCPT, with the parameters it offers.

use std::fmt::Write as _;

use super::Capabilities;
use crate::smtp::envelope::{Declared, Envelope};
use crate::smtp::path::Path;

impl Capabilities {
    /// Whether this envelope can be said here: addresses beyond ASCII need SMTPUTF8 (RFC 6531 3.2).
    #[must_use]
    pub fn can_say<'p>(&self, mut paths: impl Iterator<Item = &'p Path>) -> bool {
        self.smtputf8 || paths.all(|path| path.address().is_ascii())
    }

    /// MAIL with the parameters that are offered. BODY=8BITMIME is said whenever it is, for a rule may bring in 8-bit content later.
    #[must_use]
    pub fn mail(&self, sender: &Path, declared: &Declared) -> String {
        let mut command = String::with_capacity(64 + sender.address().len());
        for text in ["MAIL FROM:<", sender.address(), ">"] {
            command.push_str(text);
        }
        if let Some(size) = declared.size.filter(|_| self.size) {
            write!(command, " SIZE={size}").expect("a String takes all");
        }
        if self.eight_bit {
            command.push_str(" BODY=8BITMIME");
        }
        if self.smtputf8 && (declared.smtputf8 || !sender.address().is_ascii()) {
            command.push_str(" SMTPUTF8");
        }
        command.push_str("\r\n");
        command
    }
}

/// Appends RCPT.
pub fn rcpt(recipient: &Path, commands: &mut String) {
    for text in ["RCPT TO:<", recipient.address(), ">\r\n"] {
        commands.push_str(text);
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
    use super::*;

    #[test]
    fn mail_carries_only_what_is_offered() {
        let declared = Declared { size: Some(10), body: None, smtputf8: true, ..Declared::default() };
        let all = Capabilities { size: true, eight_bit: true, smtputf8: true, ..Capabilities::default() };
        assert_eq!(all.mail(&Path::null(), &declared), "MAIL FROM:<> SIZE=10 BODY=8BITMIME SMTPUTF8\r\n");
        assert_eq!(Capabilities::default().mail(&Path::null(), &declared), "MAIL FROM:<>\r\n");
    }
}
