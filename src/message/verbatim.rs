//! Texts that stand in the message as they read, line ends aside: no transfer encoding, letters in ASCII or UTF-8. Most do; a rule can search and change
//! their bytes where they lie, and nothing is decoded.
//!
//! In memory such a text is searched as a whole, and a changed one is one block: copying few bytes costs less than a list of pieces. What lies in a file is searched
//! and changed run by run, encoded or not ([`super::rewrite`]).

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use encoding_rs::UTF_8;

use super::charset;
use super::content::Content;
use super::field::Change;
use super::part::{PartId, Protection};
use super::slot::New;
use super::text::Transfer;
use super::{Fault, Message};

/// What a search comes to.
#[derive(Debug)]
pub enum Found {
    /// Nothing is to be changed.
    Nothing,
    /// The new text, for [`Message::put_found`].
    New(Changed),
    /// The text cannot be searched so, or not be changed in its bytes alone: it has to be decoded.
    Undecided,
}

/// A changed text.
#[derive(Debug)]
pub struct Changed {
    pub(super) form: Form,
    /// Of an encoded text: what protects it, where that shows in the text only.
    pub protection: Option<Protection>,
}

#[derive(Debug)]
pub(super) enum Form {
    Whole(Vec<u8>),
    /// And whether it has bytes over 127.
    Pieces(Arc<Content>, bool),
}

/// Says what is to be changed in a run of whole lines of a text, of which may be known that it is ASCII. The changes are in order and do not overlap, and none
/// begins or ends between a CR and its LF.
pub type Search<'s, E> = dyn FnMut(&str, bool) -> Result<Vec<Change>, E> + 's;

impl Message {
    /// Searches a part's text where its bytes lie; `by_lines`: it may be handed out in runs of lines, one after the other, else as a whole or not at all.
    ///
    /// # Errors
    /// Unopened, does not decode, disk, budget, or what `search` returned.
    pub fn search<E: From<Fault>>(&self, id: PartId, by_lines: bool, search: &mut Search<'_, E>) -> Result<Found, E> {
        let (_, slot) = self.leaf(id)?;
        if slot.in_memory(&self.body.content).is_none() {
            return if by_lines { self.search_runs(id, search) } else { Ok(Found::Undecided) };
        }
        let Some(bytes) = self.verbatim(id)? else { return Ok(Found::Undecided) };
        // Declared to be UTF-8, and is not.
        let Some(text) = charset::utf8(&bytes) else { return Ok(Found::Undecided) };
        let changes = search(text, !slot.eight_bit)?;
        if changes.is_empty() {
            return Ok(Found::Nothing);
        }
        let places = changes.iter().map(|change| (change.range.clone(), &*change.with));
        let new = changed(&bytes, places, self.text_limit());
        Ok(new.map_or(Found::Undecided, |new| Found::New(Changed { form: Form::Whole(new), protection: None })))
    }

    /// Puts what a search of a part came to in place of its text.
    ///
    /// # Errors
    /// Budget, disk, or the new text has a line that is a boundary.
    pub fn put_found(&mut self, part: PartId, changed: Changed) -> Result<(), Fault> {
        match changed.form {
            Form::Whole(new) => {
                // What had no bytes over 127 has none.
                let eight_bit = self.leaf(part)?.1.eight_bit && !new.is_ascii();
                self.put_bytes(part, new, eight_bit)
            }
            Form::Pieces(new, eight_bit) => self.put_new(part, New::Pieces(new), eight_bit),
        }
    }

    /// A part's bytes, if they lie in memory and are its text. None says nothing about the part: [`Message::text`] does.
    fn verbatim(&self, id: PartId) -> Result<Option<Bytes>, Fault> {
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
        Ok(itself.then_some(bytes))
    }
}

/// The bytes with other text in some places, where those bytes are all that has to change.
pub(super) fn changed<'t>(bytes: &[u8], changes: impl Iterator<Item = (Range<usize>, &'t str)>, limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 16);
    let mut done = 0;
    for (range, with) in changes {
        if !stays_as_it_reads(bytes, &range, with) {
            return None;
        }
        out.extend_from_slice(&bytes[done..range.start]);
        out.extend_from_slice(with.as_bytes());
        done = range.end;
    }
    out.extend_from_slice(&bytes[done..]);
    (out.len().max(bytes.len()) <= limit).then_some(out)
}

/// ASCII in place of whole letters leaves a text in ASCII or UTF-8 what it is. Line ends stay what they are while none comes with the new text and no CR gets a LF
/// behind it that did not stand there.
pub(super) fn stays_as_it_reads(bytes: &[u8], range: &Range<usize>, with: &str) -> bool {
    let plain = with.bytes().all(|byte| byte.is_ascii() && !matches!(byte, b'\r' | b'\n'));
    plain && !bytes[..range.start].ends_with(b"\r")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::tests::{output, parse, parse_into_file};
    use crate::message::{Limits, base64, quoted};

    /// No start or end of a change is between a CR and its LF, nor in a letter.
    fn changes(text: &str, cuts: &[usize], with: &[String]) -> Vec<Change> {
        let sound = |at: &usize| text.is_char_boundary(*at) && !(text[..*at].ends_with('\r') && text[*at..].starts_with('\n'));
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).filter(sound).collect();
        places.sort_unstable();
        let pairs = places.chunks_exact(2);
        pairs.zip(with).map(|(pair, with)| Change { range: pair[0]..pair[1], with: with.as_str().into() }).collect()
    }

    /// The changes as they are for the text with `\n` alone.
    fn folded(text: &str, changes: &[Change]) -> Vec<Change> {
        let mut ends = memchr::memmem::find_iter(text.as_bytes(), b"\r\n").peekable();
        let mut before = 0;
        let mut fold = |offset: usize| {
            while ends.next_if(|end| *end < offset).is_some() {
                before += 1;
            }
            offset - before
        };
        changes.iter().map(|change| Change { range: fold(change.range.start)..fold(change.range.end), with: change.with.clone() }).collect()
    }

    /// Makes the same changes where the text lies, if it can be; if not, through its charset.
    fn change(message: &mut Message, part: PartId, changes: &[Change], folded: &[Change]) -> Result<(), Fault> {
        match message.search(part, false, &mut |_, _| Ok::<_, Fault>(changes.to_vec()))? {
            Found::New(new) => message.put_found(part, new),
            Found::Nothing => Ok(()),
            Found::Undecided => message.edit_text(part, folded),
        }
    }

    const ENCODED: [&str; 6] = [
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n",
        "Content-Transfer-Encoding: base64\r\n",
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n",
        "Content-Transfer-Encoding: quoted-printable\r\n",
        "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n",
        "Content-Type: text/plain; charset=gb18030\r\nContent-Transfer-Encoding: quoted-printable\r\n",
    ];

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
            prop_assert_eq!(message.verbatim(part).unwrap().is_some(), body.is_ascii() || !header.contains("iso-8859-1"));
            if message.verbatim(part).unwrap().is_none() {
                return Ok(());
            }
            let changes = changes(&body, &cuts, &with);
            let (mut one, mut other) = (message.clone(), message.clone());
            let text = message.text(part).unwrap();
            let folded = folded(&body, &changes);
            let done = change(&mut one, part, &changes, &folded);
            let wanted = if changes.is_empty() { Ok(()) } else { other.write_back(part, &text, &folded) };
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

    fn found(text: &str, with: &str) -> Vec<Change> {
        text.match_indices('@').map(|(at, _)| Change { range: at..at + 1, with: with.into() }).collect()
    }

    /// Everywhere something else instead of `@`: where it lies, or through the whole text. Whether it was so.
    fn replaced(message: &mut Message, part: PartId, with: &str) -> Result<bool, Fault> {
        match message.search(part, true, &mut |text, _| Ok::<_, Fault>(found(text, with)))? {
            Found::New(new) => message.put_found(part, new).map(|()| true),
            Found::Nothing => Ok(true),
            Found::Undecided => {
                let text = message.text(part)?;
                message.edit_text(part, &found(&text, with)).map(|()| false)
            }
        }
    }

    /// A body as a part says it is written.
    fn written(header: &str, body: &str) -> Vec<u8> {
        if header.contains("base64") {
            base64::encode_lines(body.as_bytes())
        } else if header.contains("quoted") {
            quoted::encode(body.as_bytes())
        } else if header.contains("iso-8859-1") {
            charset::encode(encoding_rs::WINDOWS_1252, body).unwrap()
        } else {
            body.as_bytes().to_vec()
        }
    }

    /// Lines in which something is found, far from each other and near, of a text of some runs.
    fn lines() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            Just("@".to_owned()),
            Just("a@b@\r\n".to_owned()),
            Just("--a\r\n".to_owned()),
            Just("--@a\r\n".to_owned()),
            Just("@\r\n".to_owned()),
            Just("\u{e9}@\r\n".to_owned()),
            Just("x\r@\n".to_owned()),
            (1_usize..40).prop_map(|count| "quite an ordinary line\r\n".repeat(count * 8)),
            (1_usize..6000).prop_map(|count| "long".repeat(count)),
            Just("\r\n".to_owned()),
        ];
        proptest::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn a_text_in_a_file_becomes_what_it_becomes_in_memory(
            header in proptest::sample::select([&HEADERS[..], &ENCODED].concat()), body in lines(), with in proptest::collection::vec("[xa\\-]{0,2}|[é\n]", 3),
            cuts in proptest::collection::vec(0_usize..60_000, 0..6), spill in any::<bool>(), nested in any::<bool>(), broken in any::<bool>(),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let mut bytes = [header.as_bytes(), b"\r\n", &written(header, &body)].concat();
            if nested {
                bytes = [b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n", &bytes[..], b"\r\n--a--\r\n"].concat();
            }
            if broken && let Some(at) = memchr::memchr(0xc3, &bytes) {
                bytes[at] = b'c';
            }
            let mut one = parse(bytes.clone());
            let mut other = parse_into_file(&bytes, if spill { 0 } else { 4000 }, directory.path());
            for (part, list) in one.parts().to_vec().iter().filter(|part| part.leaf).map(|part| (part.id, &with)) {
                for (round, with) in list.iter().enumerate() {
                    let before = (one.clone(), other.clone());
                    let (wanted, done) = (replaced(&mut one, part, with), replaced(&mut other, part, with));
                    prop_assert_eq!(wanted.is_ok(), done.is_ok());
                    if wanted.is_err() {
                        // A rule that fails is undone.
                        (one, other) = before;
                        continue;
                    }
                    let (left, right) = (output(&one), output(&other));
                    let same = left.iter().zip(&right).take_while(|(left, right)| left == right).count();
                    let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[same.saturating_sub(60).min(bytes.len())..bytes.len().min(same + 60)]).into_owned();
                    prop_assert!(left == right, "round {} {:?} {:?}: {:?} {:?}", round, wanted, done, shown(&left), shown(&right));
                    prop_assert_eq!(one.eight_bit(), other.eight_bit());
                    let text = one.text(part).unwrap();
                    prop_assert_eq!(&text, &other.text(part).unwrap());
                    let changes = changes(&text, &cuts[round.min(cuts.len())..], std::slice::from_ref(with));
                    let before = (one.clone(), other.clone());
                    let (wanted, done) = (one.edit_text(part, &changes), other.edit_text(part, &changes));
                    prop_assert_eq!(wanted.is_ok(), done.is_ok());
                    if wanted.is_err() {
                        (one, other) = before;
                        continue;
                    }
                    prop_assert_eq!((output(&one), one.eight_bit()), (output(&other), other.eight_bit()));
                    prop_assert_eq!(one.longest_line().unwrap(), other.longest_line().unwrap());
                }
            }
        }
    }

    #[test]
    fn a_text_in_a_file_is_changed_run_by_run_however_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        for header in ENCODED {
            let body = "an ordinary line\r\nand one with an @ in it\r\n".repeat(1000);
            let ascii = header.contains("gb18030");
            let body = if ascii { body } else { body.replace("one", "\u{e9}ine") };
            let mail = [header.as_bytes(), b"\r\n", &written(header, &body)].concat();
            let mut message = parse_into_file(&mail, 100, directory.path());
            assert!(replaced(&mut message, PartId(0), "X").unwrap(), "{header}");
            let text = message.text(PartId(0)).unwrap();
            assert_eq!(**text, *body.replace('@', "X").replace("\r\n", "\n"), "{header}");
        }
    }

    #[test]
    fn of_a_line_that_is_no_text_no_more_is_gathered_than_a_text_may_have() {
        let directory = tempfile::tempdir().unwrap();
        let mail = [b"Content-Transfer-Encoding: base64\r\n\r\n".as_slice(), &base64::encode_lines(&b"a".repeat(280_000))].concat();
        let mut message = parse_into_file(&mail, 100, directory.path());
        message.limits = Arc::new(Limits { text: 100_000, ..Limits::clone(&message.limits) });
        message.budget.set_limit(message.budget.used() + 120_000);
        let found = message.search(PartId(0), true, &mut |_, _| Ok::<_, Fault>(Vec::new()));
        assert!(matches!(found, Ok(Found::Undecided)), "{found:?}");
        let fault = message.text(PartId(0)).unwrap_err();
        assert!(matches!(&fault, Fault::Message(why) if why.contains("larger than limits.chain.text")), "{fault}");
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
