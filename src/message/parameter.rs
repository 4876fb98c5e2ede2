//! The values of Content-Type and Content-Disposition: a word and its parameters, RFC 2231 pieces and encoded words included, every way a reader could take them.

use super::common::{Word, lower_word, word};
use super::flags::{Flag, Flags};
use super::written::{Parameter, Written, pieces};
use super::{charset, simple, words};

/// A parsed value.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Structured {
    /// What stands before the first semicolon, lower case, without comments.
    pub value: Word,
    /// Names in lower case, in the order of RFC 2231's kinds: plain ones, extended ones, joined pieces.
    pub parameters: Vec<(Word, Word)>,
    /// Other ways in which readers take the same parameters.
    pub others: Vec<(String, String)>,
    /// The boundary in every spelling a reader could take it in, not decoded.
    pub boundaries: Vec<Vec<u8>>,
    pub flags: Flags,
}

/// A parameter as written.
struct Raw {
    /// In lower case, and as it is spelled.
    name: String,
    spelled: String,
    /// The number of a piece (`name*1`).
    piece: Option<u32>,
    /// Percent-encoded (a star at the end).
    extended: bool,
    /// Neither one word nor one quoted string.
    loose: bool,
    /// Every way a reader could take it; the first is the usual one.
    values: Vec<Vec<u8>>,
}

impl Raw {
    fn value(&self) -> &[u8] {
        &self.values[0]
    }
}

impl Structured {
    /// The first value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.parameters.iter().filter(move |(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// All values of a parameter, in every way a reader could take them.
    pub fn every<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        let other = self.others.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str());
        self.all(name).chain(other)
    }

    /// Reads the raw value of a field.
    #[must_use]
    pub fn parse(raw: &[u8]) -> Structured {
        simple::read(raw).unwrap_or_else(|| Structured::parse_closely(raw))
    }

    /// The same for whatever is written.
    pub(super) fn parse_closely(raw: &[u8]) -> Structured {
        let unfolded: Vec<u8> = raw.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
        let written = Written::read(&unfolded);
        let value = lower_word(String::from_utf8_lossy(&written.value).trim());
        let mut structured = Structured { value, ..Structured::default() };
        let across = words::spans_syntax(&unfolded);
        structured.flags.raise_if(written.odd || across || structured.value.contains("=?"), Flag::AmbiguousParameter);
        structured.flags.raise_if(written.too_many, Flag::TooManyFields);
        let raws: Vec<Raw> = written.parameters.into_iter().filter_map(|parameter| structured.raw(parameter)).collect();
        structured.plain(&raws);
        structured.extended(&raws);
        structured.joined(&raws);
        structured
    }

    /// Splits RFC 2231's stars and number from a name. What is none of its forms is taken for both a plain and an extended parameter.
    fn raw(&mut self, parameter: Parameter) -> Option<Raw> {
        let Parameter { name, values, loose } = parameter;
        let name = String::from_utf8_lossy(&name).trim().to_owned();
        let (base, stars) = name.split_once('*').map_or((name.as_str(), None), |(base, stars)| (base, Some(stars)));
        let spelled = base.trim_end().to_owned();
        let name = spelled.to_ascii_lowercase();
        if name.is_empty() {
            return None;
        }
        let mut raw = Raw { name, spelled, piece: None, extended: false, loose, values };
        let Some(stars) = stars.map(str::trim) else { return Some(raw) };
        raw.extended = stars.is_empty() || stars.ends_with('*');
        let number = stars.strip_suffix('*').unwrap_or(stars);
        let counts = number == "0" || (number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0'));
        raw.piece = number.parse().ok().filter(|_| counts);
        if raw.piece.is_none() && !number.is_empty() || stars == "*" {
            self.flags.raise(Flag::AmbiguousParameter);
            let text = self.read(raw.value());
            self.add_other(&raw.name, text);
            raw.extended = true;
        }
        Some(raw)
    }

    /// The text of a value that is not percent-encoded.
    fn read(&mut self, value: &[u8]) -> String {
        let reading = words::read(value, true);
        self.flags.raise_if(reading.torn, Flag::BadEncoding);
        reading.text
    }

    fn add(&mut self, name: &str, value: String) {
        self.flags.raise_if(words::has_control(&value), Flag::ControlCharacters);
        self.parameters.push((word(name), value.into()));
    }

    fn add_other(&mut self, name: &str, value: String) {
        self.others.push((name.to_owned(), value));
    }

    fn plain(&mut self, raws: &[Raw]) {
        for raw in raws.iter().filter(|raw| raw.piece.is_none() && !raw.extended) {
            let value = self.read(raw.value());
            // RFC 2047 5 wants blanks around an encoded word; where there are none, some leave it as it is.
            let word = memchr::memmem::find(raw.value(), b"=?");
            if word.is_some_and(|at| at > 0 || !raw.value().ends_with(b"?=")) {
                self.add_other(&raw.name, words::read(raw.value(), false).text);
            }
            let differs = self.get(&raw.name).is_some_and(|known| known != value);
            self.flags.raise_if(differs, Flag::AmbiguousParameter);
            self.add(&raw.name, value);
            for other in &raw.values[1..] {
                let other = self.read(other);
                self.add_other(&raw.name, other);
            }
            // Some take the marks for RFC 2231's without its star.
            if let (Some(_), text) = extended_value(raw.value()) {
                self.add_other(&raw.name, unmarked(text));
                self.add_other(&raw.name, String::from_utf8_lossy(text).into_owned());
            }
            if raw.name == "boundary" {
                self.boundaries.extend(raw.values.iter().cloned());
            }
        }
    }

    fn extended(&mut self, raws: &[Raw]) {
        for (index, raw) in raws.iter().enumerate().filter(|(_, raw)| raw.piece.is_none() && raw.extended) {
            let twice = raws[..index]
                .iter()
                .any(|other| other.extended && other.piece.is_none() && other.name == raw.name && other.value() != raw.value());
            let (label, value) = extended_value(raw.value());
            self.flags.raise_if(twice || label.is_none() || value.is_empty(), Flag::AmbiguousParameter);
            let text = self.unescape(label.as_deref(), value);
            self.add(&raw.name, text);
            self.extended_otherwise(raw, value);
        }
    }

    /// What readers make of an extended value that is not quite one: too few or too many marks, nothing behind them, an encoded word.
    fn extended_otherwise(&mut self, raw: &Raw, text: &[u8]) {
        let marks = memchr::memchr_iter(b'\'', raw.value()).count();
        let from = if marks < 2 || text.is_empty() { 0 } else { 2 };
        let pieces = raw.value().split(|byte| *byte == b'\'').skip(from).take(if marks == 2 && from == 2 { 0 } else { MOST_PIECES });
        let others: Vec<&[u8]> = pieces.chain(raw.values[1..].iter().map(|other| extended_value(other).1)).collect();
        for other in others {
            self.add_other(&raw.name, unmarked(other));
        }
        if marks < 2 || memchr::memmem::find(raw.value(), b"=?").is_some() {
            let text = self.read(raw.value());
            self.add_other(&raw.name, text);
        }
    }

    /// Percent-encoded bytes to text.
    fn unescape(&mut self, label: Option<&str>, value: &[u8]) -> String {
        let (bytes, whole) = percent(value);
        self.flags.raise_if(!whole, Flag::AmbiguousParameter);
        self.decode(label, &bytes)
    }

    fn decode(&mut self, label: Option<&str>, bytes: &[u8]) -> String {
        let label = label.filter(|label| !label.is_empty());
        self.flags.raise_if(label.is_some_and(charset::is_odd_in_headers), Flag::BadEncoding);
        charset::decode(charset::choose(label, bytes).encoding, bytes).into_owned()
    }

    /// RFC 2231 3: pieces, joined by number.
    fn joined(&mut self, raws: &[Raw]) {
        let pieces: Vec<&Raw> = raws.iter().filter(|raw| raw.piece.is_some()).collect();
        let mut names: Vec<&str> = pieces.iter().map(|raw| raw.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let mut list: Vec<&Raw> = pieces.iter().copied().filter(|raw| raw.name == name).collect();
            let ordered = list.iter().zip(0..).all(|(raw, number)| raw.piece == Some(number));
            let spelled = list.iter().all(|raw| raw.spelled == list[0].spelled);
            let beside = raws.iter().any(|raw| raw.piece.is_none() && raw.extended && raw.name == name);
            list.sort_by_key(|raw| raw.piece);
            list.dedup_by_key(|raw| raw.piece);
            // RFC 2231 4.1: only the first can say the charset.
            let late = !list[0].extended && list.iter().any(|raw| raw.extended);
            self.flags.raise_if(!ordered || !spelled || beside || late, Flag::AmbiguousParameter);
            self.join(name, &list);
        }
    }

    fn join(&mut self, name: &str, list: &[&Raw]) {
        let (marked, text) = extended_value(list[0].value());
        let marked_plain = !list[0].extended && marked.as_deref().is_some_and(|label| charset::find(label).is_some());
        self.flags.raise_if(marked_plain || list.iter().any(|raw| raw.loose), Flag::AmbiguousParameter);
        let all: Vec<u8> = list.iter().flat_map(|raw| raw.value().iter().copied()).collect();
        // RFC 2047 5 (3): no encoded words in parameters. One in pieces is read whole, by the piece, or not at all.
        self.flags.raise_if(memchr::memmem::find(&all, b"=?").is_some(), Flag::AmbiguousParameter);
        if !list.iter().any(|raw| raw.extended) {
            let value = self.read(&all);
            self.add(name, value);
            return;
        }
        // Without its marks, some decode the whole, some a piece, some nothing.
        self.flags.raise_if(marked.is_none() || text.is_empty(), Flag::AmbiguousParameter);
        let mut label = None;
        let mut bytes = Vec::new();
        for (index, raw) in list.iter().enumerate() {
            let (charset, value) = if index == 0 && raw.extended { extended_value(raw.value()) } else { (None, raw.value()) };
            label = label.or(charset);
            if raw.extended {
                bytes.extend(percent(value).0);
            } else {
                bytes.extend_from_slice(value);
            }
        }
        let value = self.decode(label.as_deref(), &bytes);
        self.add(name, value);
        // Some readers join first, and then decode all alike.
        let value = self.unescape(label.as_deref(), extended_value(&all).1);
        self.add_other(name, value);
    }
}

/// A raw Content-Type value with this charset; all else stays as it is.
#[must_use]
pub fn with_charset(raw: &[u8], charset: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + charset.len() + 12);
    let mut done = false;
    for (index, piece) in pieces(raw).into_iter().enumerate() {
        let name_end = memchr::memchr(b'=', piece).unwrap_or(piece.len());
        let name = piece[..name_end].trim_ascii();
        let base = name.split(|byte| *byte == b'*').next().unwrap_or_default();
        if index == 0 || !base.eq_ignore_ascii_case(b"charset") {
            out.extend_from_slice(if index == 0 { b"" } else { b";" });
            out.extend_from_slice(piece);
        } else if !done && base.len() == name.len() && name_end < piece.len() {
            out.push(b';');
            out.extend_from_slice(&piece[..=name_end]);
            out.extend_from_slice(charset.as_bytes());
            let blanks = piece.len() - piece.trim_ascii_end().len();
            out.extend_from_slice(&piece[piece.len() - blanks..]);
            done = true;
        }
    }
    if !done {
        let end = out.trim_ascii_end().strip_suffix(b";").unwrap_or(out.trim_ascii_end()).len();
        out.truncate(end);
        out.extend_from_slice(format!("; charset={charset}").as_bytes());
    }
    out
}

/// `charset'language'text`.
fn extended_value(value: &[u8]) -> (Option<String>, &[u8]) {
    let mut marks = memchr::memchr_iter(b'\'', value);
    match (marks.next(), marks.next()) {
        (Some(first), Some(second)) => (Some(String::from_utf8_lossy(&value[..first]).into_owned()), &value[second + 1..]),
        _ => (None, value),
    }
}

/// Pieces between marks that are looked at.
const MOST_PIECES: usize = 4;

/// A percent-encoded text in a charset that nobody says.
fn unmarked(value: &[u8]) -> String {
    let bytes = percent(value).0;
    charset::decode(charset::choose(None, &bytes).encoding, &bytes).into_owned()
}

/// Takes percent signs and their digits for bytes; false with it if a sign had no digits.
fn percent(value: &[u8]) -> (Vec<u8>, bool) {
    let digit = |at: usize| value.get(at).and_then(|byte| char::from(*byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(value.len());
    let mut whole = true;
    let mut at = 0;
    while at < value.len() {
        match (value[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            (byte, ..) => {
                whole &= byte != b'%';
                out.push(byte);
                at += 1;
            }
        }
    }
    (out, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &str) -> Structured {
        Structured::parse(raw.as_bytes())
    }

    #[test]
    fn a_value_with_quoted_parameters_and_comments_is_read() {
        let value = parse(" Text/Plain (a comment); charset=\"utf-8\" ; name=\"a;\\\"b\\\".txt\"; format=flowed");
        assert_eq!(value.value, "text/plain");
        assert_eq!(value.get("charset"), Some("utf-8"));
        assert_eq!(value.get("name"), Some("a;\"b\".txt"));
        assert_eq!(value.get("format"), Some("flowed"));
        assert_eq!(value.flags, Flags::default());
    }

    #[test]
    fn pieces_are_joined_by_number_and_faults_are_flagged() {
        let value = parse("attachment; filename*0*=utf-8''%e2%82%ac%20; filename*1=\"rate.\";\r\n filename*2=exe");
        assert_eq!(value.get("filename"), Some("€ rate.exe"));
        assert_eq!(value.flags, Flags::default());
        assert!(parse("a; f*1=b; f*0=a").flags.has(Flag::AmbiguousParameter));
        assert!(parse("a; f*0=a; f*2=b").flags.has(Flag::AmbiguousParameter));
        assert!(parse("a; f*0=a; f*0=b").flags.has(Flag::AmbiguousParameter));
        assert!(parse("a; f*0=a; f*01=b").flags.has(Flag::AmbiguousParameter));
        assert!(parse("a; f*x=b").flags.has(Flag::AmbiguousParameter));
        assert!(parse("a; f=a; f=b").flags.has(Flag::AmbiguousParameter));
    }

    #[test]
    fn every_name_is_kept() {
        let value = parse("attachment; filename=\"a.txt\"; filename*=utf-8''b.exe");
        assert_eq!(value.all("filename").collect::<Vec<_>>(), ["a.txt", "b.exe"]);
        assert!(!value.flags.has(Flag::AmbiguousParameter));
        assert_eq!(parse("a; name==?utf-8?q?=C3=A9.exe?=").get("name"), Some("é.exe"));
        assert_eq!(parse("a; name=copy(1).pdf").get("name"), Some("copy(1).pdf"));
        assert_eq!(parse("a; name=two words.exe").get("name"), Some("two words.exe"));
    }

    #[test]
    fn names_are_given_in_every_way_a_reader_takes_them() {
        let every = |raw: &str| parse(raw).every("name").map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(every("a; name=my evil.exe"), ["my evil.exe", "my"]);
        assert!(every("a; name*==?utf-8?q?evil=2Eexe?=").contains(&"evil.exe".to_owned()));
        assert!(every("a; name*=utf-8'evil.exe").contains(&"evil.exe".to_owned()));
        assert!(every("a; name*0*=utf-8''evil%2; name*1*=Eexe").contains(&"evil.exe".to_owned()));
        assert!(every("a; name*0*=utf-8''evil; name*1=%2Eexe").contains(&"evil.exe".to_owned()));
        assert_eq!(every("a; name *=utf-8''evil.exe"), ["evil.exe"]);
        assert_eq!(every("a; name*=evil%2Eexe"), ["evil.exe", "evil.exe", "evil%2Eexe"]);
        assert!(every("a; name*='evil.exe'").contains(&"evil.exe".to_owned()));
        assert!(every("a; name=utf-8''evil.exe").contains(&"evil.exe".to_owned()));
        assert_eq!(every("name=evil.exe")[0], "evil.exe");
    }

    #[test]
    fn pieces_and_stars_out_of_form_are_flagged_and_still_read() {
        for raw in [
            "a; n*0=x y",
            "a; n*0=utf-8''x",
            "a; n*0*=x",
            "a; n*=x",
            "a; n*0*='x'",
            "a; n*a=x",
            "a; n**0=x",
            "a; n*+0=x",
            "a; n*0*=u%zz",
            "a; n*=utf-8''x; n*0=y",
            "a; n*0=x; N*1=y",
            "a; n*0=x; n*1*=y",
        ] {
            assert!(parse(raw).flags.has(Flag::AmbiguousParameter), "{raw}");
            assert!(parse(raw).every("n").next().is_some(), "{raw}");
        }
        assert_eq!(parse("a; n*=utf-8''x; n=y").flags, Flags::default());
        assert!(parse("a; n*=utf-7''x").flags.has(Flag::BadEncoding));
        assert!(parse("=?utf-8?q?a=3B_n=3Dx?=").flags.has(Flag::AmbiguousParameter));
        assert!(parse(&format!("a{}", ";n=x".repeat(2000))).flags.has(Flag::TooManyFields));
    }

    #[test]
    fn a_charset_is_changed_in_place_or_added() {
        let with = |raw: &str| String::from_utf8(with_charset(raw.as_bytes(), "utf-8")).unwrap();
        assert_eq!(with(" text/plain; charset=\"us-ascii\"; format=flowed"), " text/plain; charset=utf-8; format=flowed");
        assert_eq!(with(" text/plain;\r\n\tCharset=x"), " text/plain;\r\n\tCharset=utf-8");
        assert_eq!(with(" text/plain; name=\"a;charset=b\""), " text/plain; name=\"a;charset=b\"; charset=utf-8");
        assert_eq!(with(" text/plain;"), " text/plain; charset=utf-8");
        assert_eq!(with(" text/plain; charset*=us-ascii''x"), " text/plain; charset=utf-8");
    }

    #[test]
    fn a_name_that_hides_control_characters_is_flagged() {
        assert!(parse("a; filename*=utf-8''a%0d%0ab").flags.has(Flag::ControlCharacters));
    }
}
