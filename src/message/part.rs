//! A node of the MIME tree, and what its header declares about it.

use std::ops::Range;
use std::sync::Arc;

use super::charset;
use super::common::{Word, known_type, lower_word, word};
use super::flags::{Flag, Flags};
use super::header::Lying;
use super::parameter::Structured;

/// Index of a part in [`super::Message::parts`]. Good until the MIME index is built anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartId(pub u32);

impl PartId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    Signed,
    Encrypted,
}

/// A node of the MIME tree, in order of appearance; 0 is the message itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "answers to questions that rules ask, each on its own")]
pub struct Part {
    pub id: PartId,
    pub parent: Option<PartId>,
    pub depth: u32,
    /// Lower case `type/subtype`; `text/plain` (or `message/rfc822` in a digest) where absent or unreadable.
    pub media_type: Word,
    /// What else a reader could take it for (duplicate fields).
    pub other_types: Vec<Word>,
    pub charset: Option<Word>,
    /// Lower case; `7bit` where none is declared.
    pub encoding: Word,
    /// Every name a reader could show, decoded, without trailing dots, blanks or invisible characters.
    pub names: Vec<String>,
    /// Lower case: `inline`, `attachment`, …; none if not given.
    pub disposition: Option<Word>,
    /// No parts below it.
    pub leaf: bool,
    /// Below a message/rfc822 part.
    pub nested: bool,
    /// Part of, or is, something signed or encrypted.
    pub protection: Option<Protection>,
    /// Has more inside that a limit kept closed; a look inside is a [`super::Fault`].
    pub opaque: bool,
    /// Has a file in its text (uuencode, yEnc, `BinHex`).
    pub embedded: bool,
    /// Bytes of its encoded content, as received.
    pub size: u64,
    /// The slots of its content: one for a leaf, all that is below it for others.
    pub(super) slots: Range<usize>,
    /// What separates the parts below it, where they were opened.
    pub(super) boundary: Option<Arc<[u8]>>,
    /// The slot of its header (the blank line's follows it); none for the message itself.
    pub(super) header: Option<usize>,
}

impl Part {
    /// One that has begun below `above`; what it declares is not known yet.
    pub(super) fn begun(id: PartId, above: Option<&Part>, header: Option<usize>) -> Part {
        Part {
            id,
            parent: above.map(|above| above.id),
            depth: above.map_or(0, |above| above.depth + 1),
            media_type: Word::default(),
            other_types: Vec::new(),
            charset: None,
            encoding: Word::default(),
            names: Vec::new(),
            disposition: None,
            leaf: true,
            nested: above.is_some_and(|above| above.nested || !above.media_type.starts_with("multipart/")),
            protection: above.and_then(|above| above.protection),
            opaque: false,
            embedded: false,
            size: 0,
            slots: 0..0,
            boundary: None,
            header,
        }
    }

    /// Every media type a reader could take it for.
    pub fn media_types(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.media_type).chain(&self.other_types).map(AsRef::as_ref)
    }

    /// A text to be read, not saved.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.media_types().any(|kind| kind.starts_with("text/")) || (self.leaf && self.media_type.starts_with("multipart/"))
    }

    /// See [`super::Message::readable`].
    #[must_use]
    pub fn is_readable(&self, nested: bool) -> bool {
        let text = self.is_text() || (nested && self.is_text_to_some());
        (self.opaque || (self.leaf && text && self.disposition.as_deref() != Some("attachment"))) && (nested || !self.nested)
    }

    /// What some readers show as text although it is of another type: reports, and texts that say so only in their subtype.
    pub(super) fn is_text_to_some(&self) -> bool {
        let to_some = |kind: &str| kind.starts_with("message/") || matches!(kind, "application/xhtml+xml" | "application/text");
        self.media_types().any(to_some)
    }

    pub(super) fn declare(&mut self, declared: &Declared) {
        self.media_type.clone_from(&declared.media_type);
        self.other_types.clone_from(&declared.other_types);
        self.charset.clone_from(&declared.charset);
        self.encoding.clone_from(&declared.encoding);
        self.names.clone_from(&declared.names);
        self.disposition.clone_from(&declared.disposition);
    }
}

/// What the content fields of one header say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    pub media_type: Word,
    pub other_types: Vec<Word>,
    pub charset: Option<Word>,
    pub encoding: Word,
    pub names: Vec<String>,
    pub disposition: Option<Word>,
    pub boundary: Option<Vec<u8>>,
    /// Readings of the boundary parameter that only some readers share.
    pub other_boundaries: Vec<Vec<u8>>,
    pub protection: Option<Protection>,
    pub flags: Flags,
}

impl Declared {
    /// Reads the content fields among these; `default` is the media type where none is given.
    pub fn read<'a>(fields: impl Iterator<Item: Into<Lying<'a>>>, default: &'static str) -> Declared {
        let mut declared = Declared {
            media_type: default.into(),
            other_types: Vec::new(),
            charset: None,
            encoding: "7bit".into(),
            names: Vec::new(),
            disposition: None,
            boundary: None,
            other_boundaries: Vec::new(),
            protection: None,
            flags: Flags::default(),
        };
        let mut counts = [0_u32; 4];
        for field in fields {
            let field: Lying<'_> = field.into();
            let Some(which) = content_field(field.name()) else { continue };
            counts[which] += 1;
            let first = counts[which] == 1;
            declared.flags.raise_if(!first, Flag::DuplicateField);
            match which {
                0 => declared.content_type(&Structured::parse(field.raw_value()), first),
                1 => declared.transfer_encoding(field.raw_value(), first),
                2 => declared.content_disposition(&Structured::parse(field.raw_value()), first),
                _ => {}
            }
        }
        declared.finish();
        declared
    }

    fn content_type(&mut self, value: &Structured, first: bool) {
        let (kind, whole) = media_type(&value.value);
        self.flags = self.flags.and(value.flags);
        // What some open is a text to others, who take RFC 2045 5.2 at its word.
        self.flags.raise_if(!whole && (kind != "text/plain" || value.get("boundary").is_some()), Flag::AmbiguousParameter);
        self.add_names(value.every("name"));
        self.add_names(value.every("filename"));
        self.flags.raise_if(value.all("boundary").count() + usize::from(!first && self.boundary.is_some()) > 1, Flag::TwoBoundaries);
        if first {
            self.first_content_type(value, &kind);
            self.media_type = kind;
        } else if kind != self.media_type && !self.other_types.contains(&kind) {
            self.other_types.push(kind);
        }
    }

    /// Where there are more, the first is taken.
    fn first_content_type(&mut self, value: &Structured, kind: &str) {
        self.text_charset(value, kind);
        let boundary = value.get("boundary").map(|text| text.trim_end().as_bytes());
        self.boundary = boundary.filter(|text| (1..=MAX_BOUNDARY).contains(&text.len())).map(<[u8]>::to_vec);
        self.other_boundaries = other_boundaries(value, self.boundary.as_deref());
        self.protection = match kind {
            "multipart/signed" | "application/pgp-signature" | "application/pkcs7-signature" | "application/x-pkcs7-signature" => {
                Some(Protection::Signed)
            }
            "multipart/encrypted" | "application/pgp-encrypted" => Some(Protection::Encrypted),
            "application/pkcs7-mime" | "application/x-pkcs7-mime" => {
                let signed = value.get("smime-type").is_some_and(|kind| kind.eq_ignore_ascii_case("signed-data"));
                Some(if signed { Protection::Signed } else { Protection::Encrypted })
            }
            _ => None,
        };
    }

    /// Two charsets, or two readings of one, hide a text where one of them does not read ASCII as it is.
    fn text_charset(&mut self, value: &Structured, kind: &str) {
        let label = |label: &str| Some(lower_word(label.trim())).filter(|label| !label.is_empty());
        self.charset = value.get("charset").and_then(label);
        let found = self.charset.as_deref().map(charset::find);
        self.flags.raise_if(kind.starts_with("text/") && found == Some(None), Flag::BadEncoding);
        let rare = |found: Option<&'static encoding_rs::Encoding>| found.is_some_and(|encoding| !encoding.is_ascii_compatible());
        let differs = |other: Word| {
            let other = charset::find(&other);
            Some(other) != found && (rare(other) || rare(found.flatten()))
        };
        let others = value.every("charset").filter_map(label).filter(|other| Some(other) != self.charset.as_ref());
        self.flags.raise_if(others.into_iter().any(differs), Flag::AmbiguousParameter);
    }

    fn transfer_encoding(&mut self, raw: &[u8], first: bool) {
        let value = Structured::parse(raw).value;
        // Some readers know an encoding only where nothing else stands on its line.
        let alone = raw.trim_ascii().eq_ignore_ascii_case(value.as_bytes());
        let known = alone && matches!(&*value, "7bit" | "8bit" | "binary" | "base64" | "quoted-printable");
        self.flags.raise_if(!known || !first, Flag::BadEncoding);
        if first {
            self.encoding = word(value.split_ascii_whitespace().next().unwrap_or("7bit"));
        }
    }

    fn content_disposition(&mut self, value: &Structured, first: bool) {
        self.flags = self.flags.and(value.flags);
        self.add_names(value.every("filename"));
        self.add_names(value.every("name"));
        if first && !value.value.is_empty() {
            self.disposition = Some(value.value.clone());
        }
    }

    fn add_names<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        for name in names {
            // Where a path stands before the name, or a fold by a tab in it, readers differ.
            let file = name.rsplit(['/', '\\']).next().unwrap_or_default();
            let mut shown = vec![shown_name(name), shown_name(&name.replace('\t', " ")), shown_name(file)];
            shown.dedup();
            for shown in shown {
                if self.names.len() >= MOST_NAMES {
                    self.flags.raise(Flag::TooManyFields);
                    return;
                }
                if !shown.is_empty() && !self.names.contains(&shown) {
                    self.names.push(shown);
                }
            }
        }
    }

    fn finish(&mut self) {
        let embeds =
            ["application/ms-tnef", "application/vnd.ms-tnef", "message/partial", "message/external-body", "application/mac-binhex40"];
        self.flags.raise_if(
            embeds.contains(&&*self.media_type) || self.other_types.iter().any(|kind| embeds.contains(&&**kind)),
            Flag::EmbeddedFile,
        );
        let kind = &*self.media_type;
        let composite = kind.starts_with("multipart/") || opens(kind);
        let plain = matches!(&*self.encoding, "7bit" | "8bit" | "binary");
        self.flags.raise_if(composite && !plain, Flag::BadEncoding);
        self.flags.raise_if(kind.starts_with("multipart/") && self.boundary.is_none(), Flag::MissingBoundary);
    }

    /// What the tree below depends on.
    pub fn structure(&self) -> (&str, bool, Option<&[u8]>) {
        let kind = &*self.media_type;
        let composite = kind.starts_with("multipart/") || kind.starts_with("message/") || self.protection.is_some();
        (if composite { kind } else { "" }, self.is_message(), self.boundary.as_deref().filter(|_| kind.starts_with("multipart/")))
    }

    /// Whether an attached message that can be opened: RFC 2046 5.2.1 allows no encoding for it.
    pub fn is_message(&self) -> bool {
        opens(&self.media_type) && !matches!(&*self.encoding, "base64" | "quoted-printable")
    }
}

/// The fields that say what a part is. The index in this list is used above.
const CONTENT_FIELDS: [&str; 4] = ["content-type", "content-transfer-encoding", "content-disposition", "mime-version"];
/// RFC 2046 5.1.1 allows 70; some write more.
const MAX_BOUNDARY: usize = 900;

/// Names of one part that are kept.
const MOST_NAMES: usize = 1000;

/// Kinds of message/* that are no messages: reports, requests of other protocols, pieces.
const NO_MESSAGES: [&str; 16] = [
    "cpim",
    "delivery-status",
    "disposition-notification",
    "external-body",
    "feedback-report",
    "global-delivery-status",
    "global-disposition-notification",
    "global-headers",
    "http",
    "imdn+xml",
    "partial",
    "s-http",
    "sip",
    "sipfrag",
    "tracking-status",
    "vnd.si.simp",
];

/// Whether readers open a part of this type as a message: message/rfc822 and its like, known or not.
#[must_use]
pub fn opens(kind: &str) -> bool {
    kind.strip_prefix("message/").is_some_and(|subtype| !NO_MESSAGES.contains(&subtype))
}

/// Every other way in which readers take the boundary parameter.
fn other_boundaries(value: &Structured, taken: Option<&[u8]>) -> Vec<Vec<u8>> {
    let mut others: Vec<Vec<u8>> = Vec::new();
    let texts = value.every("boundary").map(|text| text.as_bytes().to_vec());
    for one in value.boundaries.iter().cloned().chain(texts) {
        let words: Vec<&[u8]> = one.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
        let bare = one.trim_ascii().strip_prefix(b"'").and_then(|bare| bare.strip_suffix(b"'")).map(<[u8]>::to_vec);
        for other in
            [Some(one.trim_ascii_end().to_vec()), Some(one.trim_ascii().to_vec()), Some(words.join(&b' ')), bare].into_iter().flatten()
        {
            if !other.is_empty() && Some(other.as_slice()) != taken && !others.contains(&other) && others.len() < MOST_BOUNDARIES {
                others.push(other);
            }
        }
    }
    others
}

/// Other readings of a boundary that are kept. Where there are more, the parameter stands there more than once, which has its flag.
const MOST_BOUNDARIES: usize = 20;

/// Whether a field says what a part is.
#[must_use]
pub fn is_content_field(name: &[u8]) -> bool {
    content_field(name).is_some()
}

fn content_field(name: &[u8]) -> Option<usize> {
    // Nearly all others begin otherwise.
    let may_be = matches!(name.first(), Some(b'C' | b'c' | b'M' | b'm'));
    CONTENT_FIELDS.iter().position(|known| may_be && name.eq_ignore_ascii_case(known.as_bytes()))
}

/// `type/subtype`; and whether it is written as such, with nothing behind it. What cannot be read is text/plain (RFC 2045 5.2), but for what some readers open all the same.
fn media_type(value: &str) -> (Word, bool) {
    if let Some(known) = known_type(value) {
        return (known, true);
    }
    let whole = value.split_ascii_whitespace().next().and_then(kind_of);
    if let Some(whole) = whole {
        let alone = value.trim_ascii().len() == whole.len();
        return (whole, alone);
    }
    let squeezed: String = value.split_ascii_whitespace().collect();
    let first = value.split(|c: char| c.is_ascii_whitespace() || "/;,=".contains(c)).next().unwrap_or_default();
    match kind_of(&squeezed) {
        Some(kind) => (kind, false),
        None if first == "multipart" => ("multipart/mixed".into(), false),
        None => ("text/plain".into(), false),
    }
}

fn kind_of(token: &str) -> Option<Word> {
    let (kind, subtype) = token.split_once('/')?;
    let is_token =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte));
    (is_token(kind) && is_token(subtype)).then(|| word(token))
}

/// A name as a reader would save it: without invisible characters, and without dots and blanks at its end.
#[must_use]
pub fn shown_name(name: &str) -> String {
    let visible: String = name.chars().filter(|c| !is_invisible(*c)).collect();
    visible.trim_start().trim_end_matches(|c: char| c == '.' || c.is_whitespace()).to_owned()
}

/// Characters that show nothing, or turn the direction of what follows.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::field::Field;

    fn declared(header: &'static str) -> Declared {
        let fields: Vec<Field> = header.split_inclusive('\n').map(|line| Field::from_raw(line.into())).collect();
        Declared::read(fields.iter(), "text/plain")
    }

    #[test]
    fn every_name_and_type_a_reader_could_take_is_there() {
        let found = declared(
            "Content-Type: text/plain; name=a.txt\r\ncontent-type: image/png\r\nContent-Disposition: attachment; filename=\"b.exe. \"\r\n",
        );
        assert_eq!(found.names, ["a.txt", "b.exe"]);
        assert_eq!((&*found.media_type, &*found.other_types), ("text/plain", &["image/png".into()][..]));
        assert_eq!(found.disposition.as_deref(), Some("attachment"));
        assert!(found.flags.has(Flag::DuplicateField));
    }

    #[test]
    fn what_cannot_be_read_is_plain_text() {
        assert_eq!(declared("Content-Type: nonsense\r\n").media_type, "text/plain");
        assert_eq!(declared("").media_type, "text/plain");
        assert!(declared("Content-Type: multipart/mixed\r\n").flags.has(Flag::MissingBoundary));
        assert!(declared("Content-Transfer-Encoding: x-foo\r\n").flags.has(Flag::BadEncoding));
    }

    #[test]
    fn a_type_that_only_some_readers_open_is_opened_and_flagged() {
        for kind in ["multipart/ mixed", "multipart / mixed", "multipart", "\"multipart/mixed\"", "multipart(c)/mixed"] {
            let field = Field::from_raw(format!("Content-Type: {kind}; boundary=b\r\n").into());
            let found = Declared::read([field].iter(), "text/plain");
            assert_eq!(found.media_type, "multipart/mixed", "{kind}");
            assert!(found.flags.has(Flag::AmbiguousParameter), "{kind}");
        }
        assert_eq!(declared("Content-Type: text\r\n").flags, Flags::default());
        assert!(declared("Content-Type: message/x-rfc822\r\n").is_message() && !declared("Content-Type: message/http\r\n").is_message());
    }

    #[test]
    fn a_name_is_there_with_and_without_its_path_and_from_either_field() {
        let found = declared("Content-Type: a/b; filename=\"x\ty.exe\"\r\nContent-Disposition: attachment; name=\"../z.exe\"\r\n");
        assert_eq!(found.names, ["xy.exe", "x y.exe", "../z.exe", "z.exe"]);
    }

    #[test]
    fn two_charsets_are_flagged_where_one_hides_ascii() {
        let flagged = |header| declared(header).flags.has(Flag::AmbiguousParameter);
        assert!(flagged("Content-Type: text/plain; charset=us-ascii; charset*=us-ascii''utf-16\r\n"));
        assert!(flagged("Content-Type: text/plain; charset=utf-16 (x)\r\n"));
        assert!(!flagged("Content-Type: text/plain; charset=us-ascii (Plain text)\r\n"));
    }

    #[test]
    fn other_readings_of_a_boundary_are_kept() {
        let found = declared("Content-Type: multipart/mixed; boundary=a b\r\n");
        assert_eq!((found.boundary.as_deref(), found.other_boundaries), (Some(b"a b".as_slice()), vec![b"a".to_vec()]));
        assert!(declared("Content-Type: multipart/mixed; boundary=\"a b\"\r\n").other_boundaries.is_empty());
    }

    #[test]
    fn names_lose_what_hides_their_end() {
        assert_eq!(shown_name("a\u{202e}txt.exe\u{200b}. ."), "atxt.exe");
    }
}
