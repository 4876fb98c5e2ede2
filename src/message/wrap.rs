//! A message whose header cannot be read, made the text of a message whose header can.

use std::io;
use std::sync::Arc;

use super::body::{Body, Tree};
use super::field::Field;
use super::flags::{Flag, Flags};
use super::part::Declared;
use super::{Fault, Message, output};

impl Message {
    /// Whether every line of the outer header belongs to a field. A blank between name and colon is out of date (RFC 5322 4.5), and readable.
    #[must_use]
    pub fn header_is_readable(&self) -> bool {
        self.fields.iter().all(|field| !field.name().is_empty() && field.name().iter().all(u8::is_ascii_graphic))
    }

    /// A new message with these fields, and others that say what the body is: all bytes of this one as they were received. Blocks if they lie in a file.
    ///
    /// # Errors
    /// Disk.
    pub fn wrapped(&self, mut fields: Vec<Field>) -> Result<Message, Fault> {
        let content = self.body.content.clone();
        let mut text = Text::default();
        for piece in content.pieces(0..content.size()) {
            piece.for_each(&mut |run| {
                text.look_at(run);
                io::Result::Ok(())
            })?;
        }
        let (charset, encoding) = text.described();
        fields.push(Field::new("MIME-Version", "1.0"));
        fields.push(Field::new("Content-Type", &format!("text/plain; charset={charset}")));
        fields.push(Field::new("Content-Transfer-Encoding", encoding));
        let declared = Declared::read(fields.iter(), "text/plain");
        // Normalised away by now; all else that is odd about the text shows again.
        let mut noted = Flags::default();
        noted.raise_if(self.has_flag(Flag::BareLineEnding), Flag::BareLineEnding);
        let (tree, flags) = Tree::read_with_flags(&self.limits, declared, &content, 0);
        let body = Body::known(content, 0, tree, noted.and(flags));
        Ok(Message { fields: Arc::new(fields), blank: output::LINE_END, body: Arc::new(body), ..self.clone() })
    }
}

/// What kind of text some bytes are, however they are cut.
#[derive(Debug, Default)]
struct Text {
    eight_bit: bool,
    not_utf8: bool,
    /// The beginning of a character.
    kept: Vec<u8>,
}

impl Text {
    fn look_at(&mut self, run: &[u8]) {
        self.eight_bit |= !run.is_ascii();
        if self.not_utf8 || (self.kept.is_empty() && run.is_ascii()) {
            return;
        }
        self.kept.extend_from_slice(run);
        let begun = match std::str::from_utf8(&self.kept) {
            Ok(_) => self.kept.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => {
                self.not_utf8 = true;
                self.kept.len()
            }
        };
        self.kept.drain(..begun);
    }

    /// Charset and transfer encoding.
    fn described(&self) -> (&'static str, &'static str) {
        match (self.eight_bit, self.not_utf8 || !self.kept.is_empty()) {
            (false, _) => ("us-ascii", "7bit"),
            (true, false) => ("utf-8", "8bit"),
            (true, true) => ("windows-1252", "8bit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::message::tests::{limits, output};

    fn message(raw: &[u8]) -> Message {
        Message::parse(Bytes::copy_from_slice(raw), &Arc::new(limits())).unwrap()
    }

    fn wrapped(raw: &[u8]) -> Message {
        message(raw).wrapped(vec![Field::new("From", "a@example.org")]).unwrap()
    }

    #[test]
    fn a_header_with_a_line_that_is_no_field_cannot_be_read() {
        for raw in [
            "hello\r\n\r\n",
            "A: b\r\nhello\r\n\r\n",
            ": a\r\n\r\n",
            "Fr om: a\r\n\r\n",
            " A: b\r\n\r\n",
            "From a@b 10:00\r\nA: b\r\n\r\n",
            "A\0: b",
        ] {
            assert!(!message(raw.as_bytes()).header_is_readable(), "{raw:?}");
        }
        for raw in ["", "\r\nhello", "A: b", "A : b\r\n c\r\n\r\nhello: you", "A:\r\n\r\n", "A: \u{e9}\r\n\r\n"] {
            assert!(message(raw.as_bytes()).header_is_readable(), "{raw:?}");
        }
    }

    #[test]
    fn all_that_came_is_the_body_and_reads_as_text() {
        let raw = b"hello\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n";
        let wrapped = wrapped(raw);
        let header = "From: a@example.org\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n";
        assert_eq!(output(&wrapped), [header.as_bytes(), raw].concat());
        assert_eq!((wrapped.parts().len(), wrapped.readable(true).len()), (1, 1));
        assert!(wrapped.malformed().is_empty() && wrapped.header_is_readable());
        assert_eq!(wrapped.received_size(), raw.len() as u64);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_wrapped_whole_and_readable(raw in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b':'), Just(b' ')], 0..200)) {
            let wrapped = wrapped(&raw);
            prop_assert!(wrapped.header_is_readable() && output(&wrapped).ends_with(&[b"\r\n\r\n", &raw[..]].concat()));
            prop_assert_eq!((wrapped.fields().len(), wrapped.parts().len()), (4, 1));
        }
    }

    #[test]
    fn the_charset_is_what_the_bytes_can_be() {
        let charset = |raw: &[u8]| wrapped(raw).parts()[0].charset.clone().unwrap_or_default();
        assert_eq!(charset("h\u{e9}llo".as_bytes()), "utf-8");
        assert_eq!(charset(b"h\xe9llo"), "windows-1252");
        assert_eq!(charset(b"hello \xc3"), "windows-1252");
        let mut cut = Text::default();
        "\u{1f600}a".as_bytes().chunks(1).for_each(|run| cut.look_at(run));
        assert_eq!(cut.described(), ("utf-8", "8bit"));
    }
}
