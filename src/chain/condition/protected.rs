//! `protected`: whether something in the message is signed or encrypted.

use super::Condition;
use super::operand::Which;
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::facts::Facts;
use crate::chain::run::ActionError;
use crate::chain::string::word;
use crate::message::Protection;
use crate::yaml::{Node, Reported};

/// None: either.
#[derive(Debug)]
struct Protected(Option<Protection>);

pub const PROTECTED: Entry<dyn Condition> = Entry {
    name: "protected",
    about: "Holds if a part is signed or encrypted with S/MIME, PGP/MIME or PGP in its text; parts of attached messages count.",
    keys: &[KeyDoc { name: "", wants: "signed, encrypted or any", about: "Which of them." }],
    example: "protected: encrypted",
    before: "Subject: hi\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA\r\n-----END PGP MESSAGE-----\r\n",
    after: "Subject: hi\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\nhi\r\n",
    load: protected,
};

fn protected(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    let words = [("signed", Some(Protection::Signed)), ("encrypted", Some(Protection::Encrypted)), ("any", None)];
    Ok(Box::new(Protected(word(node, &words, load.problems)?)))
}

impl Condition for Protected {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        let closed = facts.parts().iter().any(|part| part.opaque);
        Which::Some.pass(facts.parts(), closed, |part| {
            let protection = facts.protection(part.id)?;
            if protection.is_some() {
                facts.saw(&part.media_type);
            }
            Ok(protection.is_some_and(|protection| self.0.is_none_or(|wanted| wanted == protection)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{asked, holds, refused};

    #[test]
    fn each_kind_is_known_and_any_is_either() {
        let kind = |kind: &str| format!("Content-Type: {kind}\r\n\r\nx\r\n");
        for (mail, is) in [
            (kind("application/pkcs7-mime; smime-type=signed-data"), "signed"),
            (kind("application/pkcs7-mime; smime-type=enveloped-data"), "encrypted"),
            (kind("multipart/signed; boundary=b"), "signed"),
            (kind("multipart/encrypted; boundary=b"), "encrypted"),
            ("Content-Transfer-Encoding: quoted-printable\r\n\r\n=2D----BEGIN PGP MESSAGE-----\r\n\r\nx\r\n".to_owned(), "encrypted"),
        ] {
            let other = if is == "signed" { "encrypted" } else { "signed" };
            assert!(holds(&format!("protected: {is}"), &mail), "{mail}");
            assert!(!holds(&format!("protected: {other}"), &mail), "{mail}");
            assert!(holds("protected: any", &mail), "{mail}");
        }
        assert!(!holds("protected: any", "Subject: x\r\n\r\nBEGIN PGP MESSAGE\r\n"));
        assert!(refused("protected: signd").contains("signed"));
    }

    #[test]
    fn what_was_left_unopened_may_be_protected() {
        let deep = (0..60).fold(String::new(), |mail, _| mail + "Content-Type: message/rfc822\r\n\r\n");
        assert!(asked("protected: any", &deep).is_err());
    }
}
