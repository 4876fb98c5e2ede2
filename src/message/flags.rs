//! The `malformed` flags (RULES.md): places where readers could take a message in two ways.

/// One flag. The order is that of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flag {
    AmbiguousParameter,
    BadDelimiter,
    BadEncoding,
    BadHeaderLine,
    BareLineEnding,
    ControlCharacters,
    Deep,
    DuplicateField,
    EightBitHeader,
    EmbeddedFile,
    MissingBoundary,
    Nul,
    TooLarge,
    TooManyFields,
    TooManyParts,
    TwoBoundaries,
}

const NAMES: [(Flag, &str); 16] = [
    (Flag::AmbiguousParameter, "ambiguous_parameter"),
    (Flag::BadDelimiter, "bad_delimiter"),
    (Flag::BadEncoding, "bad_encoding"),
    (Flag::BadHeaderLine, "bad_header_line"),
    (Flag::BareLineEnding, "bare_line_ending"),
    (Flag::ControlCharacters, "control_characters"),
    (Flag::Deep, "deep"),
    (Flag::DuplicateField, "duplicate_field"),
    (Flag::EightBitHeader, "eight_bit_header"),
    (Flag::EmbeddedFile, "embedded_file"),
    (Flag::MissingBoundary, "missing_boundary"),
    (Flag::Nul, "nul"),
    (Flag::TooLarge, "too_large"),
    (Flag::TooManyFields, "too_many_fields"),
    (Flag::TooManyParts, "too_many_parts"),
    (Flag::TwoBoundaries, "two_boundaries"),
];

impl Flag {
    /// All flags, sorted by name.
    pub fn all() -> impl Iterator<Item = (Flag, &'static str)> {
        NAMES.into_iter()
    }

    /// As rules write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES[self as usize].1
    }
}

/// A set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    pub fn raise(&mut self, flag: Flag) {
        self.0 |= 1 << flag as u32;
    }

    pub fn raise_if(&mut self, condition: bool, flag: Flag) {
        if condition {
            self.raise(flag);
        }
    }

    #[must_use]
    pub fn has(self, flag: Flag) -> bool {
        self.0 & (1 << flag as u32) != 0
    }

    #[must_use]
    pub fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// The names as rules write them, sorted.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        NAMES.iter().filter(|(flag, _)| self.has(*flag)).map(|(_, name)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::message::{Limits, Message, tests};

    #[test]
    fn names_come_sorted_and_each_flag_has_one() {
        let mut all = Flags::default();
        for (index, (flag, _)) in NAMES.iter().enumerate() {
            assert_eq!(*flag as usize, index);
            all.raise(*flag);
        }
        let names = all.names();
        assert_eq!(names.len(), NAMES.len());
        assert!(names.is_sorted());
    }

    fn flags(message: &str) -> Vec<&'static str> {
        raised(message, tests::limits())
    }

    /// The flags that reception raises, and those that parts raise when they are asked.
    fn raised(message: &str, limits: Limits) -> Vec<&'static str> {
        let message = Message::parse(message.to_owned().into(), &Arc::new(limits)).unwrap();
        let mut flags = message.malformed();
        for part in message.parts().iter().filter(|part| part.leaf && !part.opaque) {
            if !message.decodes_whole(part.id).unwrap() && !flags.contains(&"bad_encoding") {
                flags.push("bad_encoding");
            }
            if part.is_text() && message.too_large(part.id).unwrap_or(false) {
                flags.push("too_large");
            }
        }
        flags
    }

    fn multipart(body: &str) -> String {
        format!("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{body}")
    }

    fn with_part(header: &str, body: &str) -> String {
        multipart(&format!("--b\r\n{header}\r\n{body}\r\n--b--\r\n"))
    }

    #[track_caller]
    fn raises(flag: &str, messages: &[String]) {
        for message in messages {
            assert_eq!(flags(message), [flag], "{message:?}");
        }
    }

    #[track_caller]
    fn raises_nothing(messages: &[String]) {
        for message in messages {
            assert!(flags(message).is_empty(), "{:?}: {message:?}", flags(message));
        }
    }

    #[test]
    fn bare_line_endings_and_nuls_are_seen_in_header_and_body() {
        raises(
            "bare_line_ending",
            &[
                "A: b\n\r\nx\r\n",
                "A: b\r\n\nx\r\n",
                "A: b\r\r\n\r\nx\r\n",
                "A: b\rc\r\n\r\n",
                "A: b\r\n\r\nx\ry\r\n",
                "A: b\r\n\r\nx\ny\r\n",
            ]
            .map(str::to_owned),
        );
        raises("nul", &["A: b\0\r\n\r\n".to_owned(), "A: b\r\n\r\nx\0\r\n".to_owned()]);
        raises_nothing(&["A: b\r\n c\r\n\r\nx\r\n\r\ny".to_owned()]);
    }

    #[test]
    fn a_field_that_comes_twice_is_seen_where_readers_differ() {
        for name in ["Content-Type", "Content-Disposition", "MIME-Version"] {
            raises(
                "duplicate_field",
                &[
                    format!("{name}: text/plain\r\n{name}: text/plain\r\n\r\n"),
                    with_part(&format!("{name}: text/plain\r\n").repeat(2), "x"),
                ],
            );
        }
        assert_eq!(
            flags("Content-Transfer-Encoding: 7bit\r\ncontent-transfer-encoding: 7bit\r\n\r\n"),
            ["bad_encoding", "duplicate_field"]
        );
        for name in ["From", "Sender", "To", "Cc", "Subject", "Date", "Message-ID"] {
            raises("duplicate_field", &[format!("{name}: a\r\n{}: a\r\n\r\n", name.to_lowercase())]);
        }
        raises_nothing(&[
            "Received: a\r\nReceived: b\r\nComments: a\r\nComments: b\r\n\r\n".to_owned(),
            with_part("Subject: a\r\nSubject: b\r\n", "x"),
        ]);
    }

    #[test]
    fn two_boundaries_are_seen_in_whatever_spelling() {
        let body = "--b\r\n\r\nx\r\n--b--\r\n";
        for parameters in ["boundary=b; boundary=c", "boundary*=us-ascii''b; boundary*0=c"] {
            let found = flags(&format!("Content-Type: multipart/mixed; {parameters}\r\n\r\n{body}"));
            assert!(found.contains(&"two_boundaries"), "{parameters}: {found:?}");
        }
        raises("two_boundaries", &[format!("Content-Type: multipart/mixed; boundary=b; boundary*=us-ascii''c\r\n\r\n{body}")]);
        let twice = format!("Content-Type: multipart/mixed; boundary=b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n{body}");
        assert_eq!(flags(&twice), ["duplicate_field", "two_boundaries"]);
        raises_nothing(&[
            multipart(body),
            "Content-Type: multipart/mixed; boundary*0=\"b\"; boundary*1=\"c\"\r\n\r\n--bc\r\n\r\nx\r\n--bc--\r\n".to_owned(),
        ]);
    }

    #[test]
    fn a_multipart_without_boundary_delimiter_or_end_is_seen() {
        let with = |parameters: &str, body: &str| format!("Content-Type: multipart/mixed{parameters}\r\n\r\n{body}");
        let long = format!("; boundary={}", "b".repeat(1000));
        raises(
            "missing_boundary",
            &[
                with("", "x"),
                with("; boundary=\"\"", "x"),
                with(&long, "x"),
                multipart("no delimiter\r\n"),
                multipart("only the end\r\n--b--\r\n"),
                multipart("--b\r\n\r\nno end\r\n"),
                multipart("--b\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\nx\r\n--b--\r\n"),
            ],
        );
        raises_nothing(&[multipart("preamble\r\n--b\r\n\r\nx\r\n--b--\r\nepilogue\r\n"), multipart("--b\r\n\r\nx\r\n--b--")]);
    }

    #[test]
    fn delimiters_with_more_on_their_line_or_behind_the_end_are_seen() {
        let long = " ".repeat(70_000);
        raises(
            "bad_delimiter",
            &[
                multipart("--b x\r\n--b\r\n\r\nx\r\n--b--\r\n"),
                multipart("--b\r\n\r\nx\r\n--b-- x\r\n--b--\r\n"),
                multipart(&format!("--b\r\n\r\nx\r\n--b{long}\r\n\r\nhidden\r\n--b--\r\n")),
                multipart("--b\r\n\r\nx\r\n--b--\r\n--b\r\n\r\nhidden\r\n--b--\r\n"),
            ],
        );
        raises_nothing(&[
            multipart("--b \t\r\n\r\nx\r\n--b--  \r\n"),
            multipart("--b\r\n\r\n-- \r\nAnna\r\nfoo --b bar\r\n--\r\n--b--\r\n"),
            // An inner boundary may begin like the outer one.
            multipart("--b\r\nContent-Type: multipart/mixed; boundary=b2\r\n\r\n--b2\r\n\r\nx\r\n--b2--\r\n--b--\r\n"),
        ]);
    }

    #[test]
    fn header_lines_that_are_no_fields_are_seen() {
        for line in ["no colon", ": no name", "A b: c", "A : b", " first line", "A\u{7f}: b"] {
            raises("bad_header_line", &[format!("{line}\r\n\r\n"), with_part(&format!("{line}\r\n"), "x")]);
        }
        raises_nothing(&["A: b\r\n c\r\n\tno colon\r\nX-Y_Z.1:\r\n\r\n".to_owned(), with_part("A: b\r\n c\r\n", "x")]);
    }

    #[test]
    fn parameters_that_readers_join_in_different_ways_are_seen() {
        for parameters in [
            "name*1=b; name*0=a",
            "name*0=a; name*2=b",
            "name*0=a; name*0=b",
            "name*0=a; name*01=b",
            "name=a; name=b",
            "name*=utf-8''a; name*=utf-8''b",
        ] {
            raises(
                "ambiguous_parameter",
                &[
                    format!("Content-Type: text/plain; {parameters}\r\n\r\n"),
                    with_part(&format!("Content-Disposition: attachment; {parameters}\r\n"), "x"),
                ],
            );
        }
        raises_nothing(&[
            with_part("Content-Disposition: attachment; filename=\"e.txt\"; filename*=utf-8''%c3%a9.txt\r\n", "x"),
            with_part("Content-Type: text/plain; name*0*=utf-8''a; name*1=b; name*2*=%20\r\n", "x"),
            "Content-Type: text/plain; charset=utf-8; charset=utf-8\r\n\r\n".to_owned(),
        ]);
    }

    #[test]
    fn encodings_that_readers_undo_in_different_ways_are_seen() {
        let coded = |encoding: &str, body: &str| format!("Content-Transfer-Encoding: {encoding}\r\n\r\n{body}");
        raises(
            "bad_encoding",
            &[
                coded("x-unknown", "x"),
                coded("base64 (comment)", "QUJD\r\n"),
                coded("base64 quoted-printable", "x"),
                coded("base64", "QUJD*\r\n"),
                coded("base64", "QUI\r\n"),
                coded("base64", "QUI=QUJD\r\n"),
                coded("quoted-printable", "a=b=XY\r\n"),
                format!("Content-Transfer-Encoding: base64\r\n{}", multipart("--b\r\n\r\nx\r\n--b--\r\n")),
                "Content-Type: text/plain; charset=nobody-knows\r\n\r\nx\r\n".to_owned(),
            ],
        );
        raises_nothing(&[
            coded("BASE64", "QUJD\r\nQUI=\r\n\r\n"),
            coded("\t Quoted-Printable ", "caf=C3=A9 =\r\nau lait=20\r\n"),
            coded("binary", "x=y\r\n"),
            format!("Content-Transfer-Encoding: 8bit\r\n{}", multipart("--b\r\n\r\nx\r\n--b--\r\n")),
        ]);
    }

    #[test]
    fn control_characters_hidden_in_words_and_parameters_are_seen() {
        raises(
            "control_characters",
            &[
                "Subject: =?utf-8?q?a=0D=0ABcc:_x?=\r\n\r\n".to_owned(),
                "Subject: =?utf-8?b?AA==?=\r\n\r\n".to_owned(),
                with_part("Content-Description: =?utf-8?q?=1B[2J?=\r\n", "x"),
                with_part("Content-Disposition: attachment; filename*=utf-8''a%0ab\r\n", "x"),
            ],
        );
        raises_nothing(&[
            "Subject: =?utf-8?q?tab=09and_=C3=A9?=\r\n\r\n".to_owned(),
            "Subject: =?iso-2022-jp?b?GyRCRnxLXBsoQg==?=\r\n\r\n".to_owned(),
        ]);
    }

    #[test]
    fn files_inside_texts_are_seen() {
        for line in ["begin 644 a.exe", "=ybegin line=128 size=1 name=a.exe", "(This file must be converted with BinHex 4.0)"] {
            raises("embedded_file", &[format!("A: b\r\n\r\nhello\r\n{line}\r\n"), with_part("", line)]);
        }
        for kind in ["application/ms-tnef", "message/partial; id=x; number=1", "message/external-body; access-type=x"] {
            raises("embedded_file", &[format!("Content-Type: {kind}\r\n\r\nx\r\n"), with_part(&format!("Content-Type: {kind}\r\n"), "x")]);
        }
        raises_nothing(&["A: b\r\n\r\nbegin again\r\nbegin 99 bottles\r\n= y\r\n".to_owned()]);
    }

    #[test]
    fn raw_eight_bit_is_seen_in_headers_only() {
        raises("eight_bit_header", &["Subject: \u{e9}\r\n\r\n".to_owned(), with_part("Content-Description: \u{e9}\r\n", "x")]);
        raises_nothing(&["Content-Transfer-Encoding: 8bit\r\n\r\n\u{e9}\r\n".to_owned()]);
    }

    #[test]
    fn what_is_beyond_a_limit_is_seen() {
        let three = multipart("--b\r\n\r\nx\r\n--b\r\nA: b\r\nC: d\r\n\r\ny\r\n--b--\r\n");
        assert!(raised(&three, Limits { parts: 3, part_fields: 2, depth: 1, text: 100, ..tests::limits() }).is_empty());
        assert!(raised(&three, Limits { depth: 0, ..tests::limits() }).contains(&"deep"));
        assert!(raised(&three, Limits { parts: 2, ..tests::limits() }).contains(&"too_many_parts"));
        assert!(raised(&three, Limits { part_fields: 1, ..tests::limits() }).contains(&"too_many_fields"));
        let text = |body: &str| {
            format!("Content-Type: text/plain; charset=windows-1252\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{body}")
        };
        assert_eq!(raised(&text("=80=80"), Limits { text: 5, ..tests::limits() }), ["too_large"]);
        assert!(raised(&text("=80=80"), Limits { text: 6, ..tests::limits() }).is_empty());
    }

    /// The samples that are made to raise something; no other does.
    const ODD: [(&str, &[&str]); 14] = [
        ("ambiguous-header.eml", &["bad_header_line"]),
        ("ambiguous-name.eml", &["ambiguous_parameter"]),
        ("bad-delimiter.eml", &["bad_delimiter"]),
        ("broken-base64.eml", &["bad_encoding"]),
        ("broken-boundary.eml", &["missing_boundary"]),
        ("control-characters.eml", &["control_characters"]),
        ("duplicate-fields.eml", &["duplicate_field"]),
        ("deep-nesting.eml", &["deep"]),
        ("eight-bit-header.eml", &["eight_bit_header"]),
        ("missing-end-boundary.eml", &["missing_boundary"]),
        ("two-boundaries.eml", &["two_boundaries"]),
        ("two-content-types.eml", &["duplicate_field"]),
        ("unknown-charset.eml", &["bad_encoding"]),
        ("uuencode.eml", &["embedded_file"]),
    ];

    #[test]
    fn no_sample_raises_a_flag_but_those_made_for_it() {
        for entry in std::fs::read_dir("samples").unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "eml") {
                let name = path.file_name().unwrap().to_str().unwrap();
                let message = Message::parse(crate::base::disk::read(&path).unwrap().into(), &Arc::new(tests::limits())).unwrap();
                let expected = ODD.iter().find(|(odd, _)| *odd == name).map_or(&[][..], |(_, flags)| flags);
                let mut raised = message.malformed();
                if message.parts().iter().any(|part| part.leaf && !part.opaque && !message.decodes_whole(part.id).unwrap())
                    && !raised.contains(&"bad_encoding")
                {
                    raised.push("bad_encoding");
                    raised.sort_unstable();
                }
                assert_eq!(raised, expected, "{name}");
            }
        }
    }
}
