//! `body.hash`: replaces the body, or the content of each part, by its SHA-256.

use crate::chain::action::settings::{needed, spelled};
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::chain::string::word;
use crate::message::digest::LfDigest;
use crate::yaml::{Node, Reported};

/// What is hashed, and whether signed and encrypted parts may be.
#[derive(Debug)]
struct Hash {
    of: Of,
    break_signatures: bool,
}

/// What is hashed on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Whole,
    Parts,
}

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "body.hash",
    about: "Replaces the body by the SHA-256 of the whole message as it now is (`whole`), or the content of each part by that of its encoded content (`parts`), line ends as LF. A body whose structure cannot be read keeps its parts as they are; signed and encrypted parts are an error, unless the rule says `break_signatures: true`.",
    keys: &[KeyDoc {
        name: "of",
        wants: "whole or parts",
        about: "What is hashed on its own. `body.hash: parts` is short for `body.hash: {of: parts}`.",
    }],
    example: "body.hash: parts",
    before: "Subject: hi\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 7bit\r\n\r\nsecret\r\n",
    after: "Subject: hi\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\r\nPART HIDDEN.\r\nORIGINAL_ENCODING:7bit\r\nHASH:B37E50CEDCD3E3F1FF64F4AFC0422084AE694253CF399326868E07A35F4A45FB\r\n",
    load,
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = spelled(node, "of");
    let mut settings = load.settings("body.hash", &node)?;
    let of = needed(&mut settings, "of", load).and_then(|node| word(node, &[("whole", Of::Whole), ("parts", Of::Parts)], load.problems));
    settings.finish(load.problems)?;
    Ok(Box::new(Hash { of: of?, break_signatures: load.break_signatures }))
}

impl Action for Hash {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        // A signature or a cipher text is hidden with the rest or not at all: that is for the operator to decide, so it is never skipped.
        let message = &run.mail.message;
        if !self.break_signatures
            && let Some(part) = message.first_protected()?
        {
            let media_type = message.parts().iter().find(|found| found.id == part).map_or("", |part| &*part.media_type);
            return Err(ActionError::Message(format!("a signed or encrypted part ({media_type}) cannot be hashed")));
        }
        match self.of {
            Of::Whole => whole(run)?,
            Of::Parts => parts(run)?,
        }
        Ok(Flow::Next)
    }
}

fn whole(run: &mut Run) -> Result<(), ActionError> {
    let mut digest = LfDigest::default();
    let each = &mut |piece: &[u8]| {
        digest.update(piece);
        Ok(())
    };
    run.mail.message.for_each(each).map_err(|error| ActionError::Machine(format!("the content could not be read: {error}")))?;
    let text = format!("\nBODY HIDDEN.\nHASH={}\n", digest.finish());
    run.mail.message.replace_body(&text)?;
    run.edited("body", "", text.trim());
    Ok(())
}

fn parts(run: &mut Run) -> Result<(), ActionError> {
    if let Some(flag) =
        run.mail.message.malformed().into_iter().find(|flag| matches!(*flag, "missing_boundary" | "deep" | "too_many_parts"))
    {
        let note = format!("the structure of the body cannot be read ({flag}): it stays as it is");
        run.noted(&note);
        run.log(note);
        return Ok(());
    }
    let leaves: Vec<_> = run
        .mail
        .message
        .parts()
        .iter()
        .filter(|part| part.leaf)
        .map(|part| (part.id, part.encoding.clone(), part.media_type.clone()))
        .collect();
    for (part, encoding, media_type) in leaves {
        run.check_time()?;
        let mut digest = LfDigest::default();
        run.mail.message.encoded(part, &mut |piece| digest.update(piece))?;
        let text = format!("\nPART HIDDEN.\nORIGINAL_ENCODING:{encoding}\nHASH:{}\n", digest.finish());
        run.mail.message.replace_leaf(part, &text, None)?;
        run.edited(&media_type, "", text.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::{after, after_breaking, bytes, ruling};

    #[test]
    fn whole_is_the_hash_of_header_and_body_as_transformed_so_far() {
        let left = after("A: 1\r\nB: 2\r\n\r\nsecret\r\n", &["header.remove: A", "body.hash: whole"]);
        assert!(
            left.ends_with("\r\n\r\n\r\nBODY HIDDEN.\r\nHASH=3DF487D760051AFBD41A74E34A5B12846A79D12D7695AFA9DDF71C0CF280905B11\r\n"),
            "{left}"
        );
        assert!(
            left.contains("\r\nB: 2\r\n") && left.contains("Content-Transfer-Encoding: quoted-printable\r\n") && !left.contains("secret"),
            "{left}"
        );
    }

    #[test]
    fn parts_keep_structure_and_types() {
        let mail = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: BASE64\r\n\r\nAAAA\r\n--b--\r\nepilogue\r\n";
        let left = after(mail, &["body.hash: {of: parts}"]);
        assert!(left.contains("\r\n\r\n\r\nPART HIDDEN.\r\nORIGINAL_ENCODING:7bit\r\nHASH:7692C3AD3540BB803C020B3AEE66CD8887123234EA0C6E7143C0ADD73FF431ED\r\n\r\n--b\r\nContent-Type: image/png\r\n"), "{left}");
        assert!(left.contains("\r\n\r\nPART HIDDEN.\r\nORIGINAL_ENCODING:base64\r\nHASH:63C1DD951FFEDF6F7FD968AD4EFA39B8ED584F162F46E715114EE184F8DE9201\r\n\r\n--b--\r\nepilogue\r\n"), "{left}");
        assert!(left.contains("preamble\r\n--b\r\n"), "{left}");
    }

    #[test]
    fn leaves_of_attached_messages_are_hashed_in_their_place() {
        let mail = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\none\r\n--i--\r\n--o--\r\n";
        let left = after(mail, &["body.hash: parts"]);
        let (head, tail) = mail.split_once("--i\r\n\r\none\r\n").unwrap();
        assert!(left.starts_with(head) && left.ends_with(tail), "{left}");
        assert!(
            left.contains("--i\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\r\nPART HIDDEN.\r\n") && !left.contains("one"),
            "{left}"
        );
    }

    #[test]
    fn a_body_that_cannot_be_taken_apart_stays() {
        let mail = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed\r\n\r\n--b\r\n\r\none\r\n--b--\r\n";
        let ruling = ruling(mail, &["body.hash: parts"]);
        assert_eq!(bytes(&ruling), mail);
        assert!(ruling.logs[0].1.contains("missing_boundary"), "{:?}", ruling.logs);
    }

    #[test]
    fn signed_and_encrypted_parts_are_an_error_unless_the_rule_breaks_signatures() {
        let mail = "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b; protocol=\"application/pgp-signature\"\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n";
        for action in ["body.hash: parts", "body.hash: whole"] {
            let ruling = ruling(mail, &[action]);
            assert_eq!((ruling.word(), bytes(&ruling).as_str(), ruling.failures.len()), ("quarantine", mail, 1), "{action}");
            let broken = after_breaking(mail, &[action]);
            assert!(broken.contains("HIDDEN.") && !broken.contains("one"), "{broken}");
        }
    }
}
