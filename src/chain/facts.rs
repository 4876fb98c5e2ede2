//! What conditions may ask: values of a mail. A mail in the chain answers today; what is stored can answer the same questions.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::html::Visible;
use super::run::ActionError;
use super::{Run, example, skeleton};
use crate::mail::{Client, Direction, Secured};
use crate::message::{Decoded, Fault, Field, Flag, Message, Part, PartId, Protection};
use crate::smtp::envelope::Recipient;
use crate::smtp::path::Path;

/// Named groups of patterns, with what they matched.
pub type Groups = BTreeMap<String, String>;

/// Size and hash of what a reader would save.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    pub size: u64,
    /// Lower-case hexadecimal SHA-256.
    pub sha256: String,
}

/// Values of a mail, as they now stand.
pub trait Facts {
    fn sender(&self) -> &Path;
    fn recipients(&self) -> &[Recipient];
    /// What a test says of this recipient, as the `at: recipient` rules left it.
    ///
    /// # Errors
    /// What `test` says; or it tells recipients apart that were accepted as one class.
    fn of_this_recipient(&self, test: &dyn Fn(&Path) -> Result<bool, ActionError>) -> Result<bool, ActionError>;
    /// Which way the mail goes to this recipient.
    fn direction(&self) -> Direction;
    fn client(&self) -> &Client;
    fn helo(&self) -> &str;
    fn listener(&self) -> &str;
    /// Who logged in.
    fn user(&self) -> Option<&str>;
    /// What protected the connection of the peer.
    fn secured(&self) -> Option<&Secured>;
    /// When the message came in.
    ///
    /// # Errors
    /// In a test that says no time there is none.
    fn time(&self) -> Result<Timestamp, ActionError>;
    /// Bytes of the message as received.
    fn size(&self) -> u64;
    /// The length of the longest line, without its line end.
    ///
    /// # Errors
    /// Disk.
    fn longest_line(&self) -> Result<u64, ActionError>;
    /// Whether a flag is raised.
    fn malformed(&self, flag: Flag) -> Result<bool, ActionError>;
    fn tags(&self) -> &[String];
    /// The score of that name; the unnamed total under "".
    fn score(&self, name: &str) -> f64;
    /// The outer header.
    fn fields(&self) -> &[Field];
    /// The MIME tree, in order of appearance; the first is the message itself.
    fn parts(&self) -> &[Part];
    /// The header of a part other than the message itself; that of an attached message is the header of the part below it.
    fn header(&self, part: PartId) -> Result<Vec<Field>, ActionError>;
    /// Whether a part is signed or encrypted.
    fn protection(&self, part: PartId) -> Result<Option<Protection>, ActionError>;
    /// The parts whose text a reader sees.
    fn readable(&self) -> Vec<PartId>;
    /// The parts a reader would save.
    fn attachments(&self) -> Vec<PartId>;
    /// The decoded source of a text part.
    fn source(&self, part: PartId) -> Result<Arc<Decoded>, ActionError>;
    /// The text a reader sees in a text part: the source, or what HTML shows.
    fn shown(&self, part: PartId) -> Result<Arc<Decoded>, ActionError>;
    /// What the eye takes that text for: see [`super::skeleton`].
    fn skeleton(&self, part: PartId) -> Result<Arc<Decoded>, ActionError>;
    /// The whole body, encoded as it stands.
    fn raw_body(&self) -> Result<Arc<Decoded>, ActionError>;
    /// The first bytes of a leaf's decoded content.
    fn start(&self, part: PartId) -> Result<Bytes, ActionError>;
    /// Size and hash of a leaf's decoded content.
    fn measure(&self, part: PartId) -> Result<Measure, ActionError>;
    /// # Errors
    /// The time for the chain is spent.
    fn check_time(&self) -> Result<(), ActionError>;
    /// Tells `explain` that a condition is being asked, in the operator's words.
    fn asked(&self, condition: &str);
    /// Tells `explain` its answer; none: it could not be answered.
    fn answered(&self, holds: Option<bool>);
    /// Tells `explain` a value that was looked at.
    fn saw(&self, value: &dyn Display);
    /// Keeps what named groups matched, for the texts of the rule.
    fn capture(&self, groups: Groups);
}

/// Whether a part is a message that was looked into, so that it has parts and no content of its own.
fn attached_message(message: &Message, part: PartId) -> bool {
    message.parts().iter().any(|found| found.id == part && !found.leaf && !found.opaque)
}

impl Run {
    /// Counts the content of a part, the first time that it is decoded as a whole.
    pub(super) fn charge_once(&self, part: &Part) -> Result<(), ActionError> {
        if !self.measured.borrow().contains(&part.id) {
            self.charge(part.size)?;
            self.measured.borrow_mut().insert(part.id);
        }
        Ok(())
    }
}

/// A mail in the chain, as it now stands.
impl Facts for Run {
    fn sender(&self) -> &Path {
        &self.mail.envelope.sender
    }

    fn recipients(&self) -> &[Recipient] {
        &self.mail.envelope.recipients
    }

    fn of_this_recipient(&self, test: &dyn Fn(&Path) -> Result<bool, ActionError>) -> Result<bool, ActionError> {
        let answer = test(self.this_recipient())?;
        let captured = self.groups.borrow().clone();
        // A list that was read again since their RCPTs must not do to all of them what it says of the first. What is only observed parts nobody.
        let in_force = self.trace.is_none() && !self.in_shadow();
        for other in self.these_recipients().iter().skip(1).filter(|_| in_force) {
            if test(other)? != answer {
                let why = "the recipients of this message were taken together, and a list that has changed since tells them apart: when it comes again they come one by one";
                return Err(ActionError::Machine(why.to_owned()));
            }
        }
        *self.groups.borrow_mut() = captured;
        Ok(answer)
    }

    fn direction(&self) -> Direction {
        self.inside.direction(self.mail.origin.standing, self.this_recipient())
    }

    fn client(&self) -> &Client {
        &self.mail.origin.client
    }

    fn helo(&self) -> &str {
        &self.mail.origin.helo
    }

    fn listener(&self) -> &str {
        &self.mail.origin.listener
    }

    fn user(&self) -> Option<&str> {
        self.mail.origin.user.as_deref()
    }

    fn secured(&self) -> Option<&Secured> {
        self.mail.origin.tls.as_deref()
    }

    fn size(&self) -> u64 {
        self.size_of_message()
    }

    fn time(&self) -> Result<Timestamp, ActionError> {
        let time = self.mail.origin.time;
        let told = (time != example::NO_TIME).then_some(time);
        told.ok_or_else(|| ActionError::Machine("this test has no clock: give it a `time`".to_owned()))
    }

    fn longest_line(&self) -> Result<u64, ActionError> {
        Ok(self.mail.message.longest_line()?)
    }

    fn malformed(&self, flag: Flag) -> Result<bool, ActionError> {
        let message = &self.mail.message;
        if message.has_flag(flag) {
            return Ok(true);
        }
        // What a limit kept closed raised the flag of that limit.
        for part in message.parts().iter().filter(|part| part.leaf && !part.opaque) {
            let raised = match flag {
                Flag::BadEncoding => {
                    self.charge_once(part)?;
                    !message.decodes_whole(part.id)?
                }
                // What does not decode is another flag's.
                Flag::TooLarge if part.is_text() => match message.too_large(part.id) {
                    Err(Fault::Message(_)) => false,
                    answer => answer?,
                },
                _ => false,
            };
            if raised {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn header(&self, part: PartId) -> Result<Vec<Field>, ActionError> {
        Ok(self.mail.message.header(part)?)
    }

    fn protection(&self, part: PartId) -> Result<Option<Protection>, ActionError> {
        Ok(self.mail.message.protection(part)?)
    }

    fn tags(&self) -> &[String] {
        &self.tags
    }

    fn score(&self, name: &str) -> f64 {
        Run::score(self, name)
    }

    fn fields(&self) -> &[Field] {
        self.mail.message.fields()
    }

    fn parts(&self) -> &[Part] {
        self.mail.message.parts()
    }

    fn readable(&self) -> Vec<PartId> {
        self.mail.message.readable(true)
    }

    fn attachments(&self) -> Vec<PartId> {
        self.mail.message.attachments()
    }

    fn source(&self, part: PartId) -> Result<Arc<Decoded>, ActionError> {
        self.text(part)
    }

    fn shown(&self, part: PartId) -> Result<Arc<Decoded>, ActionError> {
        let source = self.text(part)?;
        if !self.mail.message.parts().iter().any(|one| one.id == part && one.media_types().any(|kind| kind == "text/html")) {
            return Ok(source);
        }
        if let Some(shown) = self.texts.borrow().get(&part).and_then(|seen| seen.shown.clone()) {
            return Ok(shown);
        }
        let shown = Arc::new(Decoded::from(Visible::of(&source).text));
        if let Some(seen) = self.texts.borrow_mut().get_mut(&part) {
            seen.shown = Some(Arc::clone(&shown));
        }
        Ok(shown)
    }

    fn skeleton(&self, part: PartId) -> Result<Arc<Decoded>, ActionError> {
        let shown = self.shown(part)?;
        if let Some(skeleton) = self.texts.borrow().get(&part).and_then(|seen| seen.skeleton.clone()) {
            return Ok(skeleton);
        }
        let skeleton = if shown.is_ascii() {
            shown
        } else {
            // No text in a language grows so much; one that does is made for it.
            let limit = shown.len().saturating_mul(2).saturating_add(4096);
            let folded = skeleton::fold_within(&shown, limit);
            let folded = folded.ok_or_else(|| ActionError::Message("the text grows too much when look-alikes are folded".to_owned()))?;
            Arc::new(Decoded::from(folded))
        };
        if let Some(seen) = self.texts.borrow_mut().get_mut(&part) {
            seen.skeleton = Some(Arc::clone(&skeleton));
        }
        Ok(skeleton)
    }

    fn raw_body(&self) -> Result<Arc<Decoded>, ActionError> {
        self.raw_text()
    }

    fn start(&self, part: PartId) -> Result<Bytes, ActionError> {
        if attached_message(&self.mail.message, part) {
            // It has no signature of its own; what lies in it is asked by itself.
            return Ok(Bytes::new());
        }
        // Enough for every signature that `infer` knows (ISO 9660 apart), tar's at 257 and Office's first names.
        Ok(self.mail.message.decoded_start(part, 8192)?)
    }

    fn measure(&self, part: PartId) -> Result<Measure, ActionError> {
        let message = &self.mail.message;
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        let mut size = 0;
        // What is counted before it is decoded: no transfer encoding makes content larger when undone.
        let encoded = message.parts().iter().find(|one| one.id == part);
        encoded.map_or(Ok(()), |part| self.charge_once(part))?;
        if encoded.is_some_and(|part| part.leaf && ["base64", "quoted-printable"].contains(&&*part.encoding)) {
            message.each_of_content(part, &mut |run| {
                size += run.len() as u64;
                digest.update(run);
            })?;
        } else {
            message.encoded(part, &mut |piece| {
                size += piece.len() as u64;
                digest.update(piece);
            })?;
        }
        let sha256 = hexadecimal(digest.finish().as_ref());
        Ok(Measure { size, sha256 })
    }

    fn check_time(&self) -> Result<(), ActionError> {
        Run::check_time(self)
    }

    fn asked(&self, condition: &str) {
        if let Some(trace) = &self.trace {
            trace.borrow_mut().asked(condition);
        }
    }

    fn answered(&self, holds: Option<bool>) {
        if let Some(trace) = &self.trace {
            trace.borrow_mut().answered(holds);
        }
    }

    fn saw(&self, value: &dyn Display) {
        if let Some(trace) = &self.trace {
            trace.borrow_mut().saw(value.to_string());
        }
    }

    fn capture(&self, groups: Groups) {
        self.groups.borrow_mut().extend(groups);
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).expect("a nibble is below 16");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
