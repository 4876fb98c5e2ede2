//! Texts that stand in the message as they read, line ends aside: no transfer encoding, letters in ASCII or UTF-8. Most do; a rule can search and change
//! their bytes where they lie, and nothing is decoded.

use std::ops::Range;

use bytes::Bytes;
use encoding_rs::UTF_8;

use super::charset;
use super::field::Change;
use super::part::PartId;
use super::text::Transfer;
use super::{Fault, Message};

/// The bytes of such a text, with CR LF where [`Message::text`] has `\n`.
#[derive(Clone, Debug)]
pub struct Verbatim {
    bytes: Bytes,
    /// Whether it is known to be ASCII.
    pub ascii: bool,
}

impl Verbatim {
    /// None: it is declared to be UTF-8 and is not.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        charset::utf8(&self.bytes)
    }

    /// The bytes with other text in some places, where those bytes are all that has to change. ASCII in place of whole letters leaves a text in ASCII or UTF-8
    /// what it is. Line ends stay what they are while none comes with the new text and no CR gets a LF behind it that did not stand there.
    pub(super) fn with<'t>(&self, changes: impl Iterator<Item = (Range<usize>, &'t str)>, limit: usize) -> Option<Vec<u8>> {
        let bytes = &self.bytes;
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 16);
        let mut done = 0;
        for (range, with) in changes {
            let plain = with.bytes().all(|byte| byte.is_ascii() && !matches!(byte, b'\r' | b'\n'));
            if !plain || bytes[..range.start].ends_with(b"\r") {
                return None;
            }
            out.extend_from_slice(&bytes[done..range.start]);
            out.extend_from_slice(with.as_bytes());
            done = range.end;
        }
        out.extend_from_slice(&bytes[done..]);
        (out.len().max(bytes.len()) <= limit).then_some(out)
    }
}

impl Message {
    /// A part's bytes, if they lie in memory and are its text. None says nothing about the part: [`Message::text`] does.
    ///
    /// # Errors
    /// Unopened, does not decode.
    pub fn verbatim(&self, id: PartId) -> Result<Option<Verbatim>, Fault> {
        let (part, slot) = self.leaf(id)?;
        if Message::transfer(part)? != Transfer::Identity || slot.size() > self.limits.text {
            return Ok(None);
        }
        let Some(bytes) = slot.in_memory(&self.body.content) else { return Ok(None) };
        let label = part.charset.as_deref();
        let itself = if slot.eight_bit {
            charset::choose(label, &bytes).encoding == UTF_8
        } else {
            label.and_then(charset::find).is_none_or(encoding_rs::Encoding::is_ascii_compatible)
        };
        Ok(itself.then_some(Verbatim { bytes, ascii: !slot.eight_bit }))
    }

    /// As [`Message::edit_text`], by ranges of a part's verbatim text. They are in order and do not overlap, and none begins or ends between a CR and its LF.
    /// False, and nothing is changed: the changes cannot be made there.
    ///
    /// # Errors
    /// As [`Message::edit_text`].
    pub fn edit_verbatim(&mut self, part: PartId, verbatim: &Verbatim, changes: &[Change]) -> Result<bool, Fault> {
        let list = changes.iter().map(|change| (change.range.clone(), &*change.with));
        let Some(new) = verbatim.with(list, self.text_limit()) else { return Ok(false) };
        self.put_verbatim(part, new).map(|()| true)
    }

    /// Puts what [`Verbatim::with`] made in place of a content: what had no bytes over 127 has none.
    pub(super) fn put_verbatim(&mut self, part: PartId, new: Vec<u8>) -> Result<(), Fault> {
        let eight_bit = self.leaf(part)?.1.eight_bit && !new.is_ascii();
        self.put_bytes(part, new, eight_bit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::tests::{output, parse};

    /// No start or end of a change is between a CR and its LF, nor in a letter.
    fn changes(text: &str, cuts: &[usize], with: &[String]) -> Vec<Change> {
        let sound = |at: &usize| text.is_char_boundary(*at) && !(text[..*at].ends_with('\r') && text[*at..].starts_with('\n'));
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).filter(sound).collect();
        places.sort_unstable();
        let pairs = places.chunks_exact(2);
        pairs.zip(with).map(|(pair, with)| Change { range: pair[0]..pair[1], with: with.as_str().into() }).collect()
    }

    /// The changes as they are for the text with `\n` alone.
    fn folded(verbatim: &Verbatim, changes: &[Change]) -> Vec<Change> {
        let mut ends = memchr::memmem::find_iter(&verbatim.bytes, b"\r\n").peekable();
        let mut before = 0;
        let mut fold = |offset: usize| {
            while ends.next_if(|end| *end < offset).is_some() {
                before += 1;
            }
            offset - before
        };
        changes.iter().map(|change| Change { range: fold(change.range.start)..fold(change.range.end), with: change.with.clone() }).collect()
    }

    const HEADERS: [&str; 6] = [
        "",
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n",
        "Content-Type: text/plain; charset=us-ascii\r\n",
        "Content-Type: text/plain; charset=iso-8859-1\r\n",
        "Content-Type: text/plain; charset=x-nobody\r\n",
        "Content-Type: multipart/mixed; boundary=a\r\n",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn a_change_in_place_is_what_decoding_and_encoding_make_of_it(
            header in proptest::sample::select(HEADERS.to_vec()), body in "[ab\\-é\r\n]{0,12}(\r\n[ab \r\n]{0,5}){0,3}",
            cuts in proptest::collection::vec(0_usize..40, 0..8), with in proptest::collection::vec("[xa\\-é\n\r]{0,2}", 4),
        ) {
            let message = parse(format!("{header}\r\n{body}"));
            let part = PartId(0);
            if !message.parts()[0].leaf {
                return Ok(());
            }
            let verbatim = message.verbatim(part).unwrap();
            prop_assert_eq!(verbatim.is_some(), body.is_ascii() || !header.contains("iso-8859-1"));
            let Some(verbatim) = verbatim else { return Ok(()) };
            let changes = changes(verbatim.text().unwrap(), &cuts, &with);
            let (mut one, mut other) = (message.clone(), message.clone());
            let text = message.text_of(part).unwrap();
            let folded = folded(&verbatim, &changes);
            let done = match one.edit_verbatim(part, &verbatim, &changes) {
                Ok(true) => Ok(()),
                Ok(false) => one.edit_text(part, &folded),
                Err(fault) => Err(fault),
            };
            let wanted = other.write_back(part, &text, &folded);
            prop_assert_eq!(done.is_ok(), wanted.is_ok());
            if done.is_ok() {
                prop_assert_eq!(output(&one), output(&other));
                prop_assert_eq!((one.eight_bit(), one.longest_line().unwrap()), (other.eight_bit(), other.longest_line().unwrap()));
                prop_assert_eq!(one.text(part).unwrap(), other.text(part).unwrap());
            }
            let mut third = message.clone();
            prop_assert_eq!(third.edit_text(part, &folded).is_ok(), done.is_ok());
            prop_assert_eq!(done.is_err() || output(&third) == output(&one), true);
        }
    }

    #[test]
    fn what_is_encoded_or_in_another_charset_is_not_verbatim() {
        for (header, body) in [
            ("Content-Transfer-Encoding: base64\r\n", "YQ=="),
            ("Content-Transfer-Encoding: quoted-printable\r\n", "a"),
            ("Content-Type: text/plain; charset=utf-16le\r\n", "a"),
            ("Content-Type: text/plain; charset=iso-2022-jp\r\n", "a"),
            ("Content-Type: text/plain; charset=gb18030\r\n", "\u{e9}"),
        ] {
            assert!(parse(format!("{header}\r\n{body}")).verbatim(PartId(0)).unwrap().is_none(), "{header}");
        }
    }
}
