//! `part` and `attachment`: the MIME tree, a part at a time.

use bytes::Bytes;

use super::Condition;
use super::operand::{EVERY, Number, Operand, Which, number, one_passes, passes, string};
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::facts::Facts;
use crate::chain::run::ActionError;
use crate::chain::string::StringTest;
use crate::message;
use crate::yaml::{Node, Reported, Settings, Size};

#[derive(Debug)]
struct Part {
    test: Operand<PartKeys>,
    which: Which,
}

#[derive(Debug)]
struct PartKeys {
    kind: Option<StringTest>,
    name: Option<StringTest>,
    size: Option<Number<Size>>,
    charset: Option<StringTest>,
    encoding: Option<StringTest>,
    depth: Option<Number<u64>>,
}

const TYPE: KeyDoc = KeyDoc {
    name: "type",
    wants: "string tests",
    about: "The media type, such as image/png; where readers could take two, each of them. `glob: image/*` for all of a kind.",
};
const NAME: KeyDoc = KeyDoc {
    name: "name",
    wants: "string tests",
    about: "Every name a reader could show: of Content-Disposition and Content-Type, decoded, without trailing dots and blanks.",
};

pub const PART: Entry<dyn Condition> = Entry {
    name: "part",
    about: "Tests the parts of the message, containers too; the message itself is the one at depth 0.",
    keys: &[
        TYPE,
        NAME,
        KeyDoc { name: "size", wants: "a size such as 10MB, or number tests of it", about: "Its content in bytes, encoded, as received." },
        KeyDoc { name: "charset", wants: "string tests", about: "The charset it declares." },
        KeyDoc { name: "encoding", wants: "string tests", about: "Its transfer encoding; `7bit` where none is declared." },
        KeyDoc { name: "depth", wants: "a number or number tests", about: "How many parts it stands inside." },
        EVERY,
    ],
    example: "part: {type: text/plain, charset: {starts_with: iso-2022}}",
    before: "Content-Type: text/plain; charset=ISO-2022-JP\r\n\r\nhi\r\n",
    after: "Content-Type: text/html; charset=ISO-2022-JP\r\n\r\nhi\r\n",
    load: part,
};

fn part(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    let mut settings = load.settings("`part`", node)?;
    let which = Which::take(&mut settings, load);
    let test = Operand::take("`part`", &mut settings, part_keys, load);
    settings.finish(load.problems)?;
    Ok(Box::new(Part { test: test?, which: which? }))
}

fn part_keys(settings: &mut Settings<'_>, load: &mut Load<'_>) -> Result<PartKeys, Reported> {
    let (kind, name) = (string(settings, "type", load), string(settings, "name", load));
    let (charset, encoding) = (string(settings, "charset", load), string(settings, "encoding", load));
    let (size, depth) = (number(settings, "size", load), number(settings, "depth", load));
    Ok(PartKeys { kind: kind?, name: name?, size: size?, charset: charset?, encoding: encoding?, depth: depth? })
}

impl Condition for Part {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        let (open, closed): (Vec<_>, Vec<_>) = facts.parts().iter().partition(|part| !part.opaque);
        self.which.pass(open, !closed.is_empty(), |part| self.test.holds(&mut |keys| Ok(keys.hold(part, facts))))
    }
}

impl PartKeys {
    fn hold(&self, part: &message::Part, facts: &dyn Facts) -> bool {
        one_passes(self.kind.as_ref(), part.media_types(), facts)
            && one_passes(self.name.as_ref(), part.names.iter().map(String::as_str), facts)
            && self.size.is_none_or(|test| test.holds(Size(part.size)))
            && passes(self.charset.as_ref(), part.charset.as_deref(), facts)
            && passes(self.encoding.as_ref(), Some(&part.encoding), facts)
            && self.depth.is_none_or(|test| test.holds(u64::from(part.depth)))
    }
}

#[derive(Debug)]
struct Attachment {
    test: Operand<AttachmentKeys>,
    which: Which,
    /// Whether what attached messages carry counts.
    nested: bool,
}

#[derive(Debug)]
struct AttachmentKeys {
    name: Option<StringTest>,
    extension: Option<StringTest>,
    kind: Option<StringTest>,
    true_type: Option<StringTest>,
    size: Option<Number<Size>>,
    sha256: Option<StringTest>,
}

pub const ATTACHMENT: Entry<dyn Condition> = Entry {
    name: "attachment",
    about: "Tests what a reader would save. `attachment: {}` holds if there is one. Archives are not looked into.",
    keys: &[
        NAME,
        KeyDoc { name: "extension", wants: "string tests", about: "What stands after the last dot of a name." },
        TYPE,
        KeyDoc { name: "true_type", wants: "string tests", about: "The media type that its first bytes show, where they show one." },
        KeyDoc { name: "size", wants: "a size such as 10MB, or number tests of it", about: "Its bytes as they would be saved." },
        KeyDoc { name: "sha256", wants: "string tests", about: "Its SHA-256, in hexadecimal." },
        KeyDoc { name: "nested", wants: "true or false", about: "Whether what attached messages carry counts; `true` if absent." },
        EVERY,
    ],
    example: "attachment: {extension: [exe, scr]}",
    before: "Content-Type: application/octet-stream; name=\"Setup.EXE\"\r\nContent-Disposition: attachment\r\n\r\nMZ\r\n",
    after: "Content-Type: application/pdf; name=\"exe.pdf\"\r\nContent-Disposition: attachment\r\n\r\n%PDF-1.7\r\n",
    load: attachment,
};

fn attachment(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    let mut settings = load.settings("`attachment`", node)?;
    let which = Which::take(&mut settings, load);
    let test = Operand::take("`attachment`", &mut settings, attachment_keys, load);
    let nested = settings.take::<bool>("nested", load.problems);
    settings.finish(load.problems)?;
    Ok(Box::new(Attachment { test: test?, which: which?, nested: nested?.unwrap_or(true) }))
}

fn attachment_keys(settings: &mut Settings<'_>, load: &mut Load<'_>) -> Result<AttachmentKeys, Reported> {
    let (name, extension) = (string(settings, "name", load), string(settings, "extension", load));
    let (kind, true_type) = (string(settings, "type", load), string(settings, "true_type", load));
    let (size, sha256) = (number(settings, "size", load), string(settings, "sha256", load));
    Ok(AttachmentKeys { name: name?, extension: extension?, kind: kind?, true_type: true_type?, size: size?, sha256: sha256? })
}

impl Condition for Attachment {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        let parts = facts.parts();
        let attachments = facts.attachments();
        let meant = parts.iter().filter(|part| attachments.contains(&part.id) && (self.nested || !part.nested));
        let (open, closed): (Vec<_>, Vec<_>) = meant.partition(|part| !part.opaque);
        self.which.pass(open, !closed.is_empty(), |part| {
            facts.saw(&part.names.first().map_or(&*part.media_type, String::as_str));
            self.test.holds(&mut |keys| keys.hold(part, facts))
        })
    }
}

impl AttachmentKeys {
    /// What costs nothing is asked first.
    fn hold(&self, part: &message::Part, facts: &dyn Facts) -> Result<bool, ActionError> {
        let names = || part.names.iter().map(String::as_str);
        let extensions = names().filter_map(|name| name.rsplit_once('.').map(|(_, extension)| extension));
        if !(one_passes(self.name.as_ref(), names(), facts)
            && one_passes(self.extension.as_ref(), extensions, facts)
            && one_passes(self.kind.as_ref(), part.media_types(), facts))
        {
            return Ok(false);
        }
        if self.true_type.is_some() {
            // An attached message has no first bytes of a file.
            let start = if part.leaf { facts.start(part.id)? } else { Bytes::new() };
            if !passes(self.true_type.as_ref(), infer::get(&start).map(|kind| kind.mime_type()), facts) {
                return Ok(false);
            }
        }
        if self.size.is_none() && self.sha256.is_none() {
            return Ok(true);
        }
        let measure = facts.measure(part.id)?;
        Ok(self.size.is_none_or(|test| test.holds(Size(measure.size))) && passes(self.sha256.as_ref(), Some(&measure.sha256), facts))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{asked, holds, refused};

    const MAIL: &str = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: \
        base64\r\n\r\nTVqQAAMAAAA=\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: application/zip; name=inner.zip\r\n\r\nPK\r\n--b--\r\n";

    #[test]
    fn all_keys_speak_of_the_same_attachment() {
        assert!(holds("attachment: {}", MAIL));
        assert!(holds("attachment: {extension: pdf, type: application/pdf}", MAIL));
        assert!(!holds("attachment: {extension: pdf, type: application/zip}", MAIL));
        assert!(holds("attachment: {type: {glob: 'application/*'}, not: {extension: zip}}", MAIL));
        assert!(!holds("attachment: {}", "Subject: hi\r\n\r\ntext\r\n"));
    }

    #[test]
    fn the_first_bytes_tell_the_true_type() {
        assert!(holds("attachment: {name: a.pdf, true_type: application/vnd.microsoft.portable-executable}", MAIL));
        assert!(!holds("attachment: {true_type: application/pdf}", MAIL));
    }

    #[test]
    fn size_and_hash_are_of_what_would_be_saved() {
        assert!(holds("attachment: {size: 8, name: a.pdf}", MAIL));
        let hash = ring::digest::digest(&ring::digest::SHA256, b"MZ\x90\0\x03\0\0\0");
        let hash: String = hash
            .as_ref()
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|nibble| char::from(b"0123456789abcdef"[usize::from(nibble)]))
            .collect();
        assert!(holds(&format!("attachment: {{sha256: {hash}}}"), MAIL));
    }

    #[test]
    fn what_attached_messages_carry_counts_unless_told_not_to() {
        assert!(holds("attachment: {extension: zip}", MAIL));
        assert!(!holds("attachment: {extension: zip, nested: false}", MAIL));
        assert!(holds("attachment: {type: message/rfc822, nested: false}", MAIL));
    }

    #[test]
    fn every_asks_it_of_all_and_of_one_at_least() {
        assert!(holds(
            "attachment: {extension: pdf, nested: false, every: true}",
            &MAIL.replace("Content-Type: message/rfc822\r\n\r\n", "").replace("application/zip; name=inner.zip", "text/plain")
        ));
        assert!(!holds("attachment: {extension: pdf, every: true}", MAIL));
        assert!(holds("attachment: {every: true}", MAIL));
        assert!(!holds("attachment: {every: true}", "Subject: hi\r\n\r\ntext\r\n"));
        assert!(holds("part: {depth: {at_most: 2}, every: true}", MAIL));
        assert!(!holds("part: {depth: {at_most: 1}, every: true}", MAIL));
    }

    #[test]
    fn what_was_left_unopened_may_pass_or_not() {
        let deep = (0..60).fold(String::new(), |mail, _| mail + "Content-Type: message/rfc822\r\n\r\n");
        assert!(holds("part: {depth: 3}", &deep));
        assert!(asked("part: {type: text/html}", &deep).is_err());
        assert!(asked("part: {type: message/rfc822, every: true}", &deep).is_err());
        assert!(!holds("part: {depth: {under: 3}, every: true}", &deep));
    }

    #[test]
    fn parts_are_tested_by_what_they_declare() {
        assert!(holds("part: {type: multipart/mixed, depth: 0}", MAIL));
        assert!(holds("part: {encoding: base64, depth: {at_least: 1}}", MAIL));
        assert!(!holds("part: {charset: {exists: true}}", MAIL));
        assert!(holds("part: {charset: {exists: false}, size: {under: 1kB}}", MAIL));
        assert!(refused("attachment: {inside: false}").contains("unknown key"));
    }
}
