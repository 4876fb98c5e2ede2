//! The values of Content-Type and Content-Disposition: a word and its parameters, RFC 2231 pieces and encoded words included, every way a reader could take them.

use super::flags::{Flag, Flags};
use super::{charset, words};

/// A parsed value.
#[derive(Debug, Default)]
pub struct Structured {
    /// What stands before the first semicolon, lower case, without comments.
    pub value: String,
    /// Names in lower case, in the order of RFC 2231's kinds: plain ones, extended ones, joined pieces.
    pub parameters: Vec<(String, String)>,
    pub flags: Flags,
}

/// A parameter as written.
struct Raw {
    name: String,
    /// The number of a piece (`name*1`).
    piece: Option<u32>,
    /// Percent-encoded (a star at the end).
    extended: bool,
    value: Vec<u8>,
}

impl Structured {
    /// The first value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.parameters.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Reads the raw value of a field.
    #[must_use]
    pub fn parse(raw: &[u8]) -> Structured {
        let unfolded: Vec<u8> = raw.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
        let mut list = split(&unfolded).into_iter();
        let value = String::from_utf8_lossy(&list.next().unwrap_or_default().0).trim().to_ascii_lowercase();
        let mut structured = Structured { value, ..Structured::default() };
        let raws: Vec<Raw> = list.filter_map(|(name, value)| raw_parameter(&name, value?, &mut structured.flags)).collect();
        structured.plain(&raws);
        structured.extended(&raws);
        structured.joined(&raws);
        structured
    }

    fn add(&mut self, name: &str, value: String) {
        self.flags.raise_if(words::has_control(&value), Flag::ControlCharacters);
        self.parameters.push((name.to_owned(), value));
    }

    fn plain(&mut self, raws: &[Raw]) {
        for raw in raws.iter().filter(|raw| raw.piece.is_none() && !raw.extended) {
            let value = words::read(&raw.value, true).text;
            let differs = self.get(&raw.name).is_some_and(|known| known != value);
            self.flags.raise_if(differs, Flag::AmbiguousParameter);
            self.add(&raw.name, value);
        }
    }

    fn extended(&mut self, raws: &[Raw]) {
        for (index, raw) in raws.iter().enumerate().filter(|(_, raw)| raw.piece.is_none() && raw.extended) {
            let twice = raws[..index]
                .iter()
                .any(|other| other.extended && other.piece.is_none() && other.name == raw.name && other.value != raw.value);
            self.flags.raise_if(twice, Flag::AmbiguousParameter);
            let (label, value) = extended_value(&raw.value);
            self.add(&raw.name, decode(label.as_deref(), &percent(value)));
        }
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
            self.flags.raise_if(!ordered, Flag::AmbiguousParameter);
            list.sort_by_key(|raw| raw.piece);
            list.dedup_by_key(|raw| raw.piece);
            let mut label = None;
            let mut bytes = Vec::new();
            for (index, raw) in list.iter().enumerate() {
                match (raw.extended, index) {
                    (true, 0) => {
                        let (charset, value) = extended_value(&raw.value);
                        label = charset;
                        bytes.extend(percent(value));
                    }
                    (true, _) => bytes.extend(percent(&raw.value)),
                    (false, _) => bytes.extend_from_slice(&raw.value),
                }
            }
            let value = if label.is_some() { decode(label.as_deref(), &bytes) } else { words::read(&bytes, true).text };
            self.add(name, value);
        }
    }
}

/// A raw Content-Type value with this charset; all else stays as it is.
#[must_use]
pub fn with_charset(raw: &[u8], charset: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + charset.len() + 12);
    let mut done = false;
    for (index, segment) in segments(raw).into_iter().enumerate() {
        let name_end = memchr::memchr(b'=', segment).unwrap_or(segment.len());
        let name = segment[..name_end].strip_prefix(b";").unwrap_or_default().trim_ascii();
        let base = name.split(|byte| *byte == b'*').next().unwrap_or_default();
        if index == 0 || !base.eq_ignore_ascii_case(b"charset") {
            out.extend_from_slice(segment);
        } else if !done && base.len() == name.len() && name_end < segment.len() {
            out.extend_from_slice(&segment[..=name_end]);
            out.extend_from_slice(charset.as_bytes());
            let blanks = segment.len() - segment.trim_ascii_end().len();
            out.extend_from_slice(&segment[segment.len() - blanks..]);
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

/// The pieces between semicolons, each with the semicolon before it; those in quoted strings and comments do not count.
fn segments(raw: &[u8]) -> Vec<&[u8]> {
    let mut list = Vec::new();
    let (mut start, mut quoted, mut comments, mut escaped) = (0, false, 0_u32, false);
    for (at, &byte) in raw.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted || comments > 0,
            b'"' if comments == 0 => quoted = !quoted,
            b'(' if !quoted => comments += 1,
            b')' if !quoted => comments = comments.saturating_sub(1),
            b';' if !quoted && comments == 0 => {
                list.push(&raw[start..at]);
                start = at;
            }
            _ => {}
        }
    }
    list.push(&raw[start..]);
    list
}

fn raw_parameter(name: &[u8], value: Vec<u8>, flags: &mut Flags) -> Option<Raw> {
    let name = String::from_utf8_lossy(name).trim().to_ascii_lowercase();
    let (name, extended) = name.strip_suffix('*').map_or((name.as_str(), false), |name| (name, true));
    match name.rsplit_once('*') {
        Some((base, number)) => {
            // RFC 2231 3: a number without sign and without zeros before it. Readers differ on all others.
            let piece = number.parse::<u32>().ok();
            flags.raise_if(piece.is_none_or(|piece| piece.to_string() != number), Flag::AmbiguousParameter);
            Some(Raw { name: base.to_owned(), piece: Some(piece?), extended, value })
        }
        None if name.is_empty() => None,
        None => Some(Raw { name: name.to_owned(), piece: None, extended, value }),
    }
}

/// `charset'language'text`.
fn extended_value(value: &[u8]) -> (Option<String>, &[u8]) {
    let mut marks = memchr::memchr_iter(b'\'', value);
    match (marks.next(), marks.next()) {
        (Some(first), Some(second)) => (Some(String::from_utf8_lossy(&value[..first]).into_owned()), &value[second + 1..]),
        _ => (None, value),
    }
}

fn percent(value: &[u8]) -> Vec<u8> {
    let digit = |at: usize| value.get(at).and_then(|byte| char::from(*byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(value.len());
    let mut at = 0;
    while at < value.len() {
        match (value[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn decode(label: Option<&str>, bytes: &[u8]) -> String {
    charset::decode(charset::choose(label.filter(|label| !label.is_empty()), bytes).encoding, bytes).into_owned()
}

/// Name and value between semicolons; the first has no value. Comments are left out; what a quoted string holds is taken literally.
fn split(raw: &[u8]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let mut list = vec![(Vec::new(), None)];
    let mut quoted = false;
    let mut was_quoted = false;
    let mut comments = 0_u32;
    let mut at = 0;
    while at < raw.len() {
        let byte = raw[at];
        at += 1;
        let parameter = list.len() > 1;
        let (name, value) = list.last_mut().expect("it begins with one");
        let named = value.is_some();
        let target = value.as_mut().unwrap_or(name);
        match byte {
            b'\\' if (quoted || comments > 0) && at < raw.len() => {
                if quoted {
                    target.push(raw[at]);
                }
                at += 1;
            }
            b'"' if comments == 0 => {
                quoted = !quoted;
                // `""x""` and the like: blanks before a quoted string are none of it.
                if quoted && target.iter().all(u8::is_ascii_whitespace) {
                    target.clear();
                }
                was_quoted = true;
            }
            _ if quoted => target.push(byte),
            b'(' if comments > 0 || list_allows_comment(target) => comments += 1,
            b')' if comments > 0 => comments -= 1,
            _ if comments > 0 => {}
            b';' => {
                finish(list.last_mut(), was_quoted);
                was_quoted = false;
                list.push((Vec::new(), None));
            }
            b'=' if parameter && !named => list.last_mut().expect("it begins with one").1 = Some(Vec::new()),
            b' ' | b'\t' if was_quoted => {}
            _ => target.push(byte),
        }
    }
    finish(list.last_mut(), was_quoted);
    list
}

/// A bracket inside an unquoted word, as in `name=copy(1).pdf`, is part of it.
fn list_allows_comment(before: &[u8]) -> bool {
    before.last().is_none_or(|byte| matches!(byte, b' ' | b'\t')) || !before.iter().any(u8::is_ascii_graphic)
}

fn finish(entry: Option<&mut (Vec<u8>, Option<Vec<u8>>)>, quoted: bool) {
    if let Some((_, Some(value))) = entry.filter(|_| !quoted) {
        *value = value.trim_ascii().to_vec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &str) -> Structured {
        Structured::parse(raw.as_bytes())
    }

    #[test]
    fn a_value_with_quoted_parameters_and_comments_is_read() {
        let value = parse(" Text/Plain (comment; x=y); charset=\"utf-8\" ; name=\"a;\\\"b\\\".txt\"; format=flowed");
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
