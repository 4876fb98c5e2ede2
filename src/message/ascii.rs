//! Bytes over 127 in a header field, said in ASCII (RFC 2047, RFC 2231), where that says the same.
//!
//! | where they stand                                                    | become                            |
//! |---------------------------------------------------------------------|-----------------------------------|
//! | free text: Subject, Content-Description, fields of unknown meaning  | encoded words                     |
//! | a name before an address in angle brackets, or of a group           | encoded words                     |
//! | a comment in any structured field                                   | encoded words                     |
//! | a parameter of Content-Type or Content-Disposition, not a boundary  | `name*=utf-8''…`                  |
//! | an address, an id, a date, the name of a field                      | nothing: there is no way to say it |
//!
//! What is not UTF-8 is of a charset that nobody has told, and is labelled so (`unknown-8bit`, RFC 1428 3): the bytes stay what they were.

use super::field::Field;
use super::words::{self, Kind};
use super::written::{comment_end, pieces, quoted_end, unescaped};

/// The charset of bytes that are no UTF-8.
const UNKNOWN: &str = "unknown-8bit";
/// Letters of one encoded word, and of one piece of a parameter.
const LETTERS: usize = 54;
/// A word that begins further on in its line is as short as one that begins there.
const FAR: usize = 60;
/// Parameters of a field that are compared with each other.
const MOST: usize = 1000;
/// Fields with addresses: names before these may be encoded words (RFC 2047 5 (3)).
const ADDRESSES: &str = "from sender reply-to to cc bcc resent-from resent-sender resent-reply-to resent-to resent-cc resent-bcc return-receipt-to \
    disposition-notification-to mail-followup-to list-id";
/// Other structured fields, in which only comments may be.
const STRUCTURED: &str = "date message-id in-reply-to references keywords received return-path delivered-to resent-date resent-message-id mime-version \
    content-transfer-encoding content-id content-md5 content-language content-location content-base content-duration \
    list-post list-help list-subscribe list-unsubscribe list-unsubscribe-post list-owner list-archive \
    dkim-signature authentication-results arc-seal arc-message-signature arc-authentication-results";

/// This field in ASCII; none where it cannot be said.
#[must_use]
pub fn in_ascii(field: &Field) -> Option<Field> {
    let (name, value) = (field.name(), field.raw_value());
    let is_in = |list: &str| list.split(' ').any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
    if name.is_empty() || !name.is_ascii() {
        return None;
    }
    let mut out = Out { bytes: Vec::with_capacity(value.len() * 2), before: name.len() + 1 };
    if is_in("content-type content-disposition") {
        out.parameters(value)?;
    } else if is_in(ADDRESSES) {
        out.addresses(value)?;
    } else if is_in(STRUCTURED) {
        out.around_comments(value)?;
    } else {
        out.text(value);
    }
    Some(field.with_raw_value(&out.bytes)).filter(|field| field.raw().is_ascii())
}

/// A value as it is written.
struct Out {
    bytes: Vec<u8>,
    /// What stands before it on its first line.
    before: usize,
}

impl Out {
    /// Where the next byte stands in its line, up to [`FAR`].
    fn column(&self) -> usize {
        let end = &self.bytes[self.bytes.len().saturating_sub(FAR)..];
        memchr::memrchr(b'\n', end).map_or((self.before + self.bytes.len()).min(FAR), |at| end.len() - at - 1)
    }

    fn as_it_is(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Encoded words for bytes without line ends; what is encoded in them already is read, for it cannot be in another word.
    fn words(&mut self, bytes: &[u8]) {
        let column = self.column();
        if let Ok(text) = std::str::from_utf8(bytes) {
            let text = if words::may_hold_words(bytes) { words::read(bytes, true).text } else { text.to_owned() };
            return self.as_it_is(words::encode(&text, column).as_bytes());
        }
        for (index, piece) in bytes.chunks(LETTERS / 3).enumerate() {
            let fold = if index == 0 { "" } else { "\r\n " };
            self.as_it_is(format!("{fold}=?{UNKNOWN}?Q?{}?=", words::q(piece)).as_bytes());
        }
    }

    /// Free text: words that need it, with the blanks between them, which between encoded words would be none (RFC 2047 6.2).
    fn text(&mut self, value: &[u8]) {
        let tokens = tokens(value);
        let mut at = 0;
        while let Some((blanks, word)) = tokens.get(at) {
            self.as_it_is(blanks);
            let more = tokens[at..].iter().take_while(|(_, word)| !word.is_ascii()).count();
            if more == 0 {
                self.as_it_is(word);
                at += 1;
                continue;
            }
            let mut run = Vec::new();
            if at > 0 && is_encoded(tokens[at - 1].1, true) && !is_encoded(word, false) {
                run.extend(unfolded(blanks));
            }
            run.extend_from_slice(word);
            for (blanks, word) in &tokens[at + 1..at + more] {
                run.extend(unfolded(blanks));
                run.extend_from_slice(word);
            }
            let last = tokens[at + more - 1].1;
            at += more;
            if let Some((blanks, _)) = tokens.get(at).filter(|(_, word)| is_encoded(word, false) && !is_encoded(last, true)) {
                run.extend(unfolded(blanks));
            }
            self.words(&run);
        }
    }

    /// A comment, with its brackets.
    fn comment(&mut self, comment: &[u8]) {
        if comment.is_ascii() {
            return self.as_it_is(comment);
        }
        self.as_it_is(b"(");
        self.words(&unescaped(&unfolded(&comment[1..comment.len() - 1])));
        self.as_it_is(b")");
    }

    /// Comments; around them nothing may need words.
    fn around_comments(&mut self, value: &[u8]) -> Option<()> {
        for token in lexed(value) {
            match token {
                Token::Comment(comment) => self.comment(comment),
                other if other.bytes().is_ascii() => self.as_it_is(other.bytes()),
                _ => return None,
            }
        }
        Some(())
    }

    /// Mailboxes and groups.
    fn addresses(&mut self, value: &[u8]) -> Option<()> {
        let mut tokens = lexed(value).into_iter().peekable();
        while tokens.peek().is_some() {
            let mut one = Vec::new();
            let mut end = None;
            for token in tokens.by_ref() {
                if let Token::Separator(_) = token {
                    end = Some(token);
                    break;
                }
                one.push(token);
            }
            let named = one.iter().any(|token| matches!(token, Token::Angle(_))) || matches!(end, Some(Token::Separator(b":")));
            self.address(&one, named)?;
            self.as_it_is(end.map_or(b"", |end| end.bytes()));
        }
        Some(())
    }

    /// One mailbox, or the name of a group. Only where it is `named` the words before an address are a name.
    fn address(&mut self, tokens: &[Token<'_>], named: bool) -> Option<()> {
        let spoken = |token: &Token<'_>| matches!(token, Token::Word(_) | Token::Quoted(_));
        let name = tokens.iter().take_while(|token| !matches!(token, Token::Angle(_))).filter(|token| spoken(token));
        if !named || name.clone().all(|token| token.bytes().is_ascii()) {
            for token in tokens {
                match token {
                    Token::Comment(comment) => self.comment(comment),
                    other if other.bytes().is_ascii() => self.as_it_is(other.bytes()),
                    _ => return None,
                }
            }
            return Some(());
        }
        // As one, for blanks between encoded words are none.
        let mut whole = Vec::new();
        for token in name {
            match token {
                Token::Quoted(quoted) => whole.extend(unescaped(&unfolded(&quoted[1..quoted.len() - 1]))),
                other => whole.extend(unfolded(other.bytes())),
            }
        }
        let lead = tokens.first().map_or(b"".as_slice(), |token| token.bytes());
        self.as_it_is(&lead[..lead.len() - lead.trim_ascii_start().len()]);
        self.words(whole.trim_ascii());
        for token in tokens.iter().filter(|token| !spoken(token)) {
            self.as_it_is(b" ");
            match token {
                Token::Comment(comment) => self.comment(comment),
                other if other.bytes().is_ascii() => self.as_it_is(other.bytes()),
                _ => return None,
            }
        }
        Some(())
    }

    /// A word and its parameters.
    fn parameters(&mut self, value: &[u8]) -> Option<()> {
        let list = pieces(value);
        if list.len() > MOST {
            return None;
        }
        for (index, piece) in list.iter().enumerate() {
            if index > 0 {
                self.as_it_is(b";");
            }
            if piece.is_ascii() {
                self.as_it_is(piece);
            } else if index == 0 {
                self.around_comments(piece)?;
            } else {
                let (name, value) = parameter(piece)?;
                let twice = |other: &&[u8]| {
                    other
                        .trim_ascii_start()
                        .get(..=name.len())
                        .is_some_and(|start| start[..name.len()].eq_ignore_ascii_case(name.as_bytes()) && start[name.len()] == b'*')
                };
                // Readers would take either.
                if list.iter().any(twice) {
                    return None;
                }
                self.as_it_is(&piece[..piece.len() - piece.trim_ascii_start().len()]);
                self.as_it_is(extended(name, &value).as_bytes());
            }
        }
        Some(())
    }
}

/// A run of bytes of a structured value.
#[derive(Clone, Copy)]
enum Token<'a> {
    /// With its quotes, or its brackets.
    Quoted(&'a [u8]),
    Comment(&'a [u8]),
    Angle(&'a [u8]),
    /// A comma, a semicolon, a colon.
    Separator(&'a [u8]),
    /// Anything else, blanks among it.
    Word(&'a [u8]),
}

impl<'a> Token<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            Token::Quoted(bytes) | Token::Comment(bytes) | Token::Angle(bytes) | Token::Separator(bytes) | Token::Word(bytes) => bytes,
        }
    }
}

/// What never closes is a word.
fn lexed(value: &[u8]) -> Vec<Token<'_>> {
    let mut list = Vec::new();
    let (mut from, mut at) = (0, 0);
    // Looked for once: what does not close here does not close further on.
    let (mut quotes, mut comments, mut angles) = (true, true, true);
    while at < value.len() {
        let rest = &value[at..];
        let found: Option<(fn(_) -> _, usize)> = match rest[0] {
            b'"' if quotes => quoted_end(rest).map(|end| (Token::Quoted as fn(_) -> _, end)).or_else(|| none(&mut quotes)),
            b'(' if comments => comment_end(rest).map(|end| (Token::Comment as fn(_) -> _, end)).or_else(|| none(&mut comments)),
            b'<' if angles => memchr::memchr(b'>', rest).map(|end| (Token::Angle as fn(_) -> _, end + 1)).or_else(|| none(&mut angles)),
            b',' | b';' | b':' => Some((Token::Separator, 1)),
            _ => None,
        };
        let Some((token, length)) = found else {
            at += 1;
            continue;
        };
        if from < at {
            list.push(Token::Word(&value[from..at]));
        }
        list.push(token(&rest[..length]));
        at += length;
        from = at;
    }
    if from < value.len() {
        list.push(Token::Word(&value[from..]));
    }
    list
}

fn none<T>(any: &mut bool) -> Option<T> {
    *any = false;
    None
}

/// Blanks, and the word behind them; the last word may be empty.
fn tokens(value: &[u8]) -> Vec<(&[u8], &[u8])> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let mut list = Vec::new();
    let mut rest = value;
    while !rest.is_empty() {
        let (blanks, others) = rest.split_at(rest.iter().take_while(|byte| is_blank(byte)).count());
        let (word, behind) = others.split_at(others.iter().take_while(|byte| !is_blank(byte)).count());
        list.push((blanks, word));
        rest = behind;
    }
    list
}

/// Whether a reader takes what this word begins with, or ends with, for an encoded word.
fn is_encoded(word: &[u8], at_end: bool) -> bool {
    let units = if words::may_hold_words(word) { words::read(word, true).units } else { Vec::new() };
    let unit = if at_end { units.last() } else { units.first() };
    unit.is_some_and(|unit| unit.kind == Kind::Word)
}

fn unfolded(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect()
}

/// Name and value of a parameter that another form can be given.
fn parameter(piece: &[u8]) -> Option<(&str, Vec<u8>)> {
    let at = memchr::memchr(b'=', piece)?;
    let name = std::str::from_utf8(piece[..at].trim_ascii()).ok()?;
    let sound = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    // A boundary is looked for as it is written.
    if !sound || name.eq_ignore_ascii_case("boundary") {
        return None;
    }
    let value = piece[at + 1..].trim_ascii();
    if value.first() == Some(&b'"') {
        let end = quoted_end(value).filter(|end| *end == value.len())?;
        return Some((name, unescaped(&unfolded(&value[1..end - 1]))));
    }
    let is_one_word = !value.iter().any(|byte| byte.is_ascii_whitespace() || b"()<>\"".contains(byte));
    is_one_word.then(|| (name, value.to_vec()))
}

/// A parameter as RFC 2231 has it: in pieces, where it is long.
fn extended(name: &str, value: &[u8]) -> String {
    let (label, letters): (_, Vec<String>) = match std::str::from_utf8(value) {
        Ok(text) => ("utf-8", text.chars().map(|c| percent(c.encode_utf8(&mut [0; 4]).as_bytes())).collect()),
        Err(_) => (UNKNOWN, value.iter().map(|byte| percent(&[*byte])).collect()),
    };
    let mut pieces = vec![String::new()];
    for letter in letters {
        if pieces.last().is_some_and(|piece| piece.len() + letter.len() > LETTERS) {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(&letter);
        }
    }
    if let [one] = &*pieces {
        return format!("{name}*={label}''{one}");
    }
    let numbered = pieces.iter().enumerate().map(|(index, piece)| match index {
        0 => format!("{name}*0*={label}''{piece}"),
        _ => format!("{name}*{index}*={piece}"),
    });
    numbered.collect::<Vec<_>>().join(";\r\n ")
}

fn percent(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => out.push(char::from(*byte)),
            _ => write!(out, "%{byte:02X}").expect("a string takes all"),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parameter::Structured;
    use super::*;

    fn field(line: &[u8]) -> Field {
        Field::from_raw([line, b"\r\n"].concat().into())
    }

    fn said(line: impl AsRef<[u8]>) -> Option<String> {
        in_ascii(&field(line.as_ref())).map(|field| String::from_utf8(field.raw().trim_ascii_end().to_vec()).unwrap())
    }

    /// The same with each encoded word as the text it stands for, in brackets, and without folds between two of them.
    fn opened(line: &str) -> String {
        let (mut out, mut rest) = (String::new(), line);
        while let Some(at) = rest.find("=?") {
            let letters = at + 2 + rest[at + 2..].match_indices('?').nth(1).unwrap().0;
            let end = letters + 1 + rest[letters + 1..].find("?=").unwrap() + 2;
            let read = words::read(&rest.as_bytes()[at..end], true).text;
            out.extend([&rest[..at], "«", &read, "»"]);
            rest = &rest[end..];
        }
        (out + rest).replace("»\r\n «", "")
    }

    #[test]
    fn free_text_becomes_encoded_words_and_what_is_ascii_stays() {
        for (line, wanted) in [
            ("Subject: Grüße aus  Köln an Bob", "Subject: «Grüße» aus  «Köln» an Bob"),
            ("Subject: é è\r\n ê\tx", "Subject: «é è ê»\tx"),
            ("Content-Description: é =?utf-8?q?a?= è", "Content-Description: «é » «a» « è»"),
            ("X-Any:é", "X-Any:«é»"),
            ("Subject: é=?utf-8?q?a?= c", "Subject: «éa» c"),
        ] {
            let said = said(line).unwrap();
            assert_eq!(field(said.as_bytes()).value(), field(line.as_bytes()).value(), "{said}");
            assert_eq!(opened(&said), wanted, "{line}");
        }
    }

    #[test]
    fn bytes_of_no_known_charset_stay_what_they_are() {
        assert_eq!(said(b"Subject: caf\xe9 \xe0 x").unwrap(), "Subject: =?unknown-8bit?Q?caf=E9_=E0?= x");
        let long = said([b"Subject: ".as_slice(), &[0xE9; 300]].concat()).unwrap();
        assert!(long.split("\r\n").all(|line| line.len() <= 90) && long.matches("=E9").count() == 300, "{long}");
        assert_eq!(said(b"Content-Type: a/b; name=\xe9").unwrap(), "Content-Type: a/b; name*=unknown-8bit''%E9");
    }

    #[test]
    fn names_of_addresses_become_encoded_words_and_addresses_do_not() {
        for (line, wanted) in [
            ("From: Jörg Müller <j@a.example>", "From: «Jörg Müller» <j@a.example>"),
            ("To: \"Müller, \\\"J\\\"\" <j@a.example>, b@c", "To: «Müller, \"J\"» <j@a.example>, b@c"),
            ("Cc: j@a.example (Jörg (x)), Ann <a@b>", "Cc: j@a.example («Jörg (x)»), Ann <a@b>"),
            ("From: é =?utf-8?q?x?= <a@b>", "From: «é x» <a@b>"),
            ("To: Büro: a@b, Bö <c@d>;", "To: «Büro»: a@b, «Bö» <c@d>;"),
        ] {
            assert_eq!(said(line).map(|said| opened(&said)).as_deref(), Some(wanted));
        }
        for none in ["From: jörg@a.example", "From: J <jörg@a.example>", "From: \"jö\"@a.example", "From: Jö"] {
            assert_eq!(said(none), None, "{none}");
        }
    }

    #[test]
    fn parameters_are_written_as_rfc_2231_has_them_and_read_the_same() {
        for (line, wanted) in [
            (
                "Content-Disposition: attachment; filename=\"Übersicht \\\"1\\\".pdf\"; size=3",
                "Content-Disposition: attachment; filename*=utf-8''%C3%9Cbersicht%20%221%22.pdf; size=3",
            ),
            ("Content-Type: a/b (é);\r\n\tname=é", "Content-Type: a/b («é»);\r\n\tname*=utf-8''%C3%A9"),
        ] {
            assert_eq!(said(line).map(|said| opened(&said)).as_deref(), Some(wanted));
        }
        let name = "Größe ".repeat(30);
        let long = said(format!("Content-Type: a/b; name=\"{name}\"")).unwrap();
        assert!(long.split("\r\n").all(|line| line.len() <= 100), "{long}");
        assert_eq!(Structured::parse(field(long.as_bytes()).raw_value()).get("name"), Some(&*name));
    }

    #[test]
    fn what_would_be_another_thing_in_ascii_is_not_said() {
        for none in [
            "Content-Type: multipart/mixed; boundary=\"é\"",
            "Content-Type: téxt/plain",
            "Content-Disposition: attachment; filename=é; filename*=utf-8''%C3%A9",
            "Content-Disposition: attachment; filé=x",
            "Content-Disposition: attachment; filename=\"é\" x",
            "Content-Disposition: attachment; filename=\"é",
            "Message-ID: <é@x>",
            "Sübject: x",
            "no field é",
        ] {
            assert_eq!(said(none), None, "{none}");
        }
        assert_eq!(said("Received: from x (é) by y").map(|said| opened(&said)).as_deref(), Some("Received: from x («é») by y"));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_ascii_or_nothing_and_text_reads_the_same(
            text in "( ?([a-z]{0,3}|[é日=?]{1,3}|=\\?utf-8\\?q\\?x_?\\?=|\r\n [xö])){0,12}", bytes in proptest::collection::vec(any::<u8>(), 0..60), name in 0_usize..6,
        ) {
            let before = field(format!("Subject: {text}é").as_bytes());
            let after = in_ascii(&before).unwrap();
            prop_assert!(after.raw().is_ascii());
            prop_assert_eq!(after.value(), before.value());
            let name = ["From", "Subject", "Content-Type", "Content-Disposition", "Date", ""][name];
            let hostile = field(&[name.as_bytes(), b": ", bytes.as_slice()].concat());
            prop_assert!(in_ascii(&hostile).is_none_or(|said| said.raw().is_ascii()));
        }
    }
}
