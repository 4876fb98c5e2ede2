//! What a part holds, read piece by piece out of a file: transfer encoding and charset undone, and never more in memory than what is wanted in the end.

use bytes::Bytes;
use encoding_rs::{CoderResult, Decoder, DecoderResult, UTF_8, WINDOWS_1252};

use super::charset::{self, Charset};
use super::content::{Content, PIECE, hold, to_usize};
use super::part::Part;
use super::slot::Slot;
use super::text::Transfer;
use super::{Fault, Message, base64, quoted};

/// Bytes of text that wait for their line ends to be made `\n`.
const CHUNK: usize = 64 * 1024;

impl Message {
    /// Hands out the content of a leaf in order, transfer encoding undone. False: it was not whole and clean.
    pub(super) fn each_decoded<E: From<Fault>>(
        &self,
        slot: &Slot,
        transfer: Transfer,
        each: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<bool, E> {
        let content = Content::new(slot.pieces(&self.body.content));
        match transfer {
            Transfer::Identity => content.in_runs(PIECE, &mut |_, run| each(run)).map(|()| true),
            Transfer::Base64 => {
                let (mut decoder, mut out) = (base64::Decoder::default(), Vec::new());
                content.in_runs(PIECE, &mut |_, run| {
                    out.clear();
                    decoder.push(run, &mut out);
                    each(&out)
                })?;
                out.clear();
                let clean = decoder.finish(&mut out);
                each(&out).map(|()| clean)
            }
            Transfer::Quoted => {
                if let Some(bytes) = slot.in_memory(&self.body.content) {
                    let (decoded, clean) = quoted::decode(&bytes);
                    return each(&decoded).map(|()| clean);
                }
                let mut clean = true;
                content.in_cuts(PIECE, quoted::settled, &self.budget, &mut |_, run| {
                    let (decoded, sound) = quoted::decode(run);
                    clean &= sound;
                    each(&decoded)
                })?;
                Ok(clean)
            }
        }
    }

    /// The first bytes of a leaf's content, transfer encoding undone; all, if there are fewer.
    pub(super) fn first_decoded(&self, slot: &Slot, transfer: Transfer, most: usize) -> Result<Vec<u8>, Fault> {
        let mut start = Vec::new();
        let read = self.each_decoded(slot, transfer, &mut |run| {
            start.extend_from_slice(&run[..run.len().min(most - start.len())]);
            if start.len() < most { Ok(()) } else { Err(Ended::Enough) }
        });
        match read {
            Err(Ended::Fault(fault)) => Err(fault),
            Ok(_) | Err(Ended::Enough) => Ok(start),
        }
    }

    /// The content of a leaf as a whole.
    pub(super) fn all_decoded(&self, slot: &Slot, transfer: Transfer) -> Result<Bytes, Fault> {
        let mut share = self.budget.share();
        if !share.grow(slot.size()) {
            return Err(Fault::NoMemory);
        }
        let mut all = Vec::with_capacity(to_usize(transfer.most(slot.size())));
        self.each_decoded(slot, transfer, &mut |run| {
            all.extend_from_slice(run);
            Ok::<(), Fault>(())
        })?;
        share.shrink(share.bytes() - all.len() as u64);
        Ok(hold(all, share))
    }

    /// The text of a part that does not lie in memory together. None: it is larger than `limits.text`.
    pub(super) fn streamed(&self, part: &Part, slot: &Slot, transfer: Transfer) -> Result<Option<(String, Charset)>, Fault> {
        let label = part.charset.as_deref();
        let charset = charset::declared(label, &self.decoded_start(part.id, 2)?);
        let first = charset.unwrap_or(Charset { encoding: UTF_8, declared: false });
        let mut tried = self.assembled(slot, transfer, first, charset.is_none());
        if let Err(Stopped::NotUtf8) = tried {
            tried = self.assembled(slot, transfer, Charset { encoding: WINDOWS_1252, declared: false }, false);
        }
        match tried {
            Ok(text) => Ok(Some(text)),
            Err(Stopped::Fault(fault)) => Err(fault),
            Err(Stopped::TooLarge | Stopped::NotUtf8) => Ok(None),
        }
    }

    fn assembled(&self, slot: &Slot, transfer: Transfer, charset: Charset, strict: bool) -> Result<(String, Charset), Stopped> {
        let most = transfer.most(slot.size()).min(self.limits.text);
        let mut assembly = Assembly {
            decoder: charset.encoding.new_decoder_without_bom_handling(),
            strict,
            chunk: String::with_capacity(CHUNK),
            text: String::with_capacity(to_usize(most)),
            left: self.limits.text,
            returned: false,
        };
        self.each_decoded(slot, transfer, &mut |run| assembly.push(run, false))?;
        assembly.push(&[], true)?;
        assembly.text.shrink_to_fit();
        Ok((assembly.text, charset))
    }
}

/// What ends a look at the start of a content.
enum Ended {
    Enough,
    Fault(Fault),
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Ended {
        Ended::Fault(fault)
    }
}

/// Why a text is not put together.
enum Stopped {
    TooLarge,
    NotUtf8,
    Fault(Fault),
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Stopped {
        Stopped::Fault(fault)
    }
}

/// A text that is put together from bytes as they come, its line ends made `\n`.
struct Assembly {
    decoder: Decoder,
    /// Bytes that the charset does not know end it; else they become U+FFFD.
    strict: bool,
    /// Letters whose line ends are still as they came.
    chunk: String,
    text: String,
    /// Bytes there may still be, line ends as they came.
    left: u64,
    /// A CR came last, which is text unless a LF follows.
    returned: bool,
}

impl Assembly {
    fn push(&mut self, bytes: &[u8], last: bool) -> Result<(), Stopped> {
        let mut rest = bytes;
        loop {
            let (full, read) = if self.strict {
                match self.decoder.decode_to_string_without_replacement(rest, &mut self.chunk, last) {
                    (DecoderResult::Malformed(..), _) => return Err(Stopped::NotUtf8),
                    (result, read) => (result == DecoderResult::OutputFull, read),
                }
            } else {
                let (result, read, _) = self.decoder.decode_to_string(rest, &mut self.chunk, last);
                (result == CoderResult::OutputFull, read)
            };
            rest = &rest[read..];
            self.left = self.left.checked_sub(self.chunk.len() as u64).ok_or(Stopped::TooLarge)?;
            self.fold(last && !full);
            if !full {
                return Ok(());
            }
        }
    }

    fn fold(&mut self, last: bool) {
        let mut chunk = self.chunk.as_str();
        if self.returned && (last || !chunk.is_empty()) && !chunk.starts_with('\n') {
            self.text.push('\r');
        }
        self.returned &= chunk.is_empty();
        if !last && let Some(before) = chunk.strip_suffix('\r') {
            (chunk, self.returned) = (before, true);
        }
        let mut done = 0;
        for at in memchr::memchr_iter(b'\r', chunk.as_bytes()).filter(|at| chunk.as_bytes().get(at + 1) == Some(&b'\n')) {
            self.text.push_str(&chunk[done..at]);
            done = at + 1;
        }
        self.text.push_str(&chunk[done..]);
        self.chunk.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::message::tests::{limits, parse_into_file};
    use crate::message::{Limits, PartId};

    const CHARSETS: [&str; 7] = ["utf-8", "iso-8859-1", "utf-16le", "utf-16", "iso-2022-jp", "gb18030", "x-nobody"];

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let some = prop_oneof![
            Just(b"\r\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\n".to_vec()),
            Just("h\u{e9}\u{65e5}\u{1f600}".as_bytes().to_vec()),
            Just(b"=\r\n".to_vec()),
            Just(b"=C3=A9 =\t\r\n".to_vec()),
            Just(b"YWJj\r\nZA==".to_vec()),
            Just(b"\xff\xfea\0".to_vec()),
            Just(b"\x1b$B%F\x1b(B".to_vec()),
            Just(b"plain".to_vec()),
            any::<u8>().prop_map(|byte| vec![byte]),
        ];
        proptest::collection::vec(some, 0..20).prop_map(|list| list.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn a_text_is_the_same_however_its_bytes_come(
            bytes in bytes(), label in proptest::sample::select(CHARSETS.to_vec()), cuts in proptest::collection::vec(1_usize..9, 1..20), room in 8_usize..40,
        ) {
            let charset = charset::choose(Some(label), &bytes);
            let strict = !charset.declared && charset.encoding == UTF_8;
            let decoder = charset.encoding.new_decoder_without_bom_handling();
            let whole = charset::decode(charset.encoding, &bytes);
            let mut assembly =
                Assembly { decoder, strict, chunk: String::with_capacity(room), text: String::new(), left: whole.len() as u64, returned: false };
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                prop_assert!(assembly.push(now, false).is_ok());
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert!(assembly.push(&[], true).is_ok());
            prop_assert_eq!(&*assembly.text, charset::with_lf(&whole));
            prop_assert_eq!(assembly.left, 0);
        }

        #[test]
        fn a_file_holds_what_memory_does(
            bytes in bytes(), label in proptest::sample::select(CHARSETS.to_vec()), limit in 0_u64..60,
            encoding in proptest::sample::select(vec!["8bit", "base64", "quoted-printable"]),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let mail = [format!("Content-Type: text/plain; charset={label}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n").as_bytes(), &bytes].concat();
            let part = PartId(0);
            for text in [limit, 1 << 20] {
                let limits = Arc::new(Limits { text, ..limits() });
                let one = Message::parse(mail.clone().into(), &limits).unwrap();
                let mut other = parse_into_file(&mail, 0, directory.path());
                other.limits = limits;
                let (wanted, found) = (one.text(part).ok(), other.text(part).ok());
                prop_assert_eq!(&wanted, &found);
                prop_assert_eq!(wanted.map(|text| text.charset), found.map(|text| text.charset));
                prop_assert_eq!(one.too_large(part).unwrap(), other.too_large(part).unwrap());
                prop_assert_eq!(one.decodes_whole(part).unwrap(), other.decodes_whole(part).unwrap());
                prop_assert_eq!(one.decoded(part).unwrap(), other.decoded(part).unwrap());
                let mut content = Vec::new();
                other.each_of_content(part, &mut |run| content.extend_from_slice(run)).unwrap();
                prop_assert_eq!(content, one.decoded(part).unwrap());
            }
        }
    }

    #[test]
    fn what_stands_for_nothing_hides_no_first_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let text: Vec<u8> = std::iter::once(0xfeff).chain("one\r\ntwo\r\n".repeat(50).encode_utf16()).flat_map(u16::to_be_bytes).collect();
        let quoted = text.iter().map(|byte| format!("={byte:02X}")).collect::<Vec<_>>().concat();
        let base64 = crate::message::base64::encode(&text);
        let many = "\r\n".repeat(200_000);
        for (encoding, empty, content) in [
            ("base64", "\r\n".repeat(300), &base64),
            ("base64", many.clone(), &base64),
            ("quoted-printable", "=\r\n".repeat(180), &quoted),
            ("quoted-printable", many.replace('\r', "=\r"), &quoted),
            // A start that ends within a token, or with what may be a soft break.
            ("quoted-printable", "=\r\n".repeat(171) + "=\n", &quoted),
            ("quoted-printable", "=\r\n".repeat(172) + "= ", &format!("\r\n{quoted}")),
        ] {
            let mail = format!("Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{empty}{content}");
            let one = Message::parse(mail.clone().into(), &Arc::new(limits())).unwrap();
            let other = parse_into_file(mail.as_bytes(), 100, directory.path());
            let free = other.budget.free();
            let part = PartId(0);
            assert_eq!(one.text(part).unwrap(), other.text(part).unwrap());
            assert!(one.text(part).unwrap().ends_with("one\ntwo\n"));
            for message in [&one, &other] {
                for most in [0, 1, 2, 8, 60, 8192] {
                    assert_eq!(
                        message.decoded_start(part, most).unwrap(),
                        &text[..most.min(text.len())],
                        "{encoding} {} {most}",
                        empty.len()
                    );
                }
            }
            assert_eq!(other.budget.free(), free);
        }
    }

    #[test]
    fn a_long_line_of_quoted_printable_is_not_in_memory_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let mail = format!("Content-Transfer-Encoding: quoted-printable\r\n\r\n{}", "=41 b".repeat(600_000));
        let message = parse_into_file(mail.as_bytes(), 100, directory.path());
        message.budget.set_limit(message.budget.used() + 2 * PIECE);
        let mut size = 0;
        message.each_of_content(PartId(0), &mut |run| size += run.len()).unwrap();
        assert_eq!((size, &*message.decoded_start(PartId(0), 5).unwrap()), (1_800_000, b"A bA ".as_slice()));
    }

    #[test]
    fn a_text_in_a_file_takes_budget_only_while_somebody_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let message = parse_into_file(&[b"\r\n".as_slice(), &b"line\r\n".repeat(1000)].concat(), 100, directory.path());
        let free = message.budget.free();
        let text = message.text(PartId(0)).unwrap();
        assert_eq!(message.budget.free(), free - 5000);
        assert!(Arc::ptr_eq(&text, &message.clone().text(PartId(0)).unwrap()));
        drop(text);
        assert_eq!(message.budget.free(), free);
    }
}
