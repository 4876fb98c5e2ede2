//! A structured value as it is written: pieces between semicolons, quoted strings and comments, and every way readers take them apart.
//!
//! Some readers know no comments, some no quoted string that begins inside a word, some end an unquoted word at the first blank or special character. Where no
//! grammar of RFC 2045 or 822 is broken, all their readings are given; where one is, the value is told to be odd.

/// Parameters of one field that are looked at.
const MOST: usize = 1000;

/// See the module.
#[derive(Debug, Default)]
pub struct Written {
    /// What stands before the first semicolon, without comments and quotes.
    pub value: Vec<u8>,
    pub parameters: Vec<Parameter>,
    /// Readers disagree about where its pieces begin and end.
    pub odd: bool,
    /// There are more parameters than are looked at.
    pub too_many: bool,
}

#[derive(Debug)]
pub struct Parameter {
    pub name: Vec<u8>,
    /// The value as most readers take it, then the other ways. Never empty.
    pub values: Vec<Vec<u8>>,
    /// Neither one word nor one quoted string.
    pub loose: bool,
}

#[derive(Clone, Copy, Debug)]
enum Token<'a> {
    Text(&'a [u8]),
    /// What stands between the quotes; whether there is a second one.
    Quoted(&'a [u8], bool),
    /// With its brackets; whether it stands apart from the word before it.
    Comment(&'a [u8], bool),
}

impl Written {
    /// Takes an unfolded value apart.
    #[must_use]
    pub fn read(unfolded: &[u8]) -> Written {
        let (list, open) = cut(unfolded);
        // A bracket that never closes hides what follows from readers that know comments.
        let odd = open.is_some_and(|at| memchr::memchr2(b';', b'=', &unfolded[at..]).is_some());
        let mut written = Written { odd, ..Written::default() };
        for (index, piece) in list.into_iter().enumerate() {
            if written.parameters.len() >= MOST {
                written.too_many = true;
                break;
            }
            let tokens = written.tokens(piece);
            if index == 0 {
                written.first(&tokens);
            }
            written.parameter(&tokens, index == 0);
        }
        written
    }

    fn tokens<'a>(&mut self, piece: &'a [u8]) -> Vec<Token<'a>> {
        let mut list = Vec::new();
        let (mut from, mut at, mut open) = (0, 0, false);
        while at < piece.len() {
            let end = match piece[at] {
                b'"' => quoted_end(&piece[at..]),
                b'(' if !open => comment_end(&piece[at..]),
                _ => None,
            };
            let unclosed = piece[at] == b'"' && end.is_none();
            if end.is_none() && !unclosed {
                open |= piece[at] == b'(';
                at += 1;
                continue;
            }
            let length = end.unwrap_or(piece.len() - at);
            if from < at {
                list.push(Token::Text(&piece[from..at]));
            }
            list.push(if piece[at] == b'"' {
                Token::Quoted(&piece[at + 1..at + length - usize::from(!unclosed)], !unclosed)
            } else {
                let comment = &piece[at..at + length];
                self.odd |= comment.iter().any(|byte| matches!(byte, b';' | b'"' | b'='));
                Token::Comment(comment, at == 0 || matches!(piece[at - 1], b' ' | b'\t'))
            });
            at += length;
            from = at;
        }
        if from < piece.len() {
            list.push(Token::Text(&piece[from..]));
        }
        list
    }

    /// What stands before the first semicolon.
    fn first(&mut self, tokens: &[Token<'_>]) {
        let mut commented = false;
        for token in tokens {
            match token {
                Token::Text(text) => {
                    self.odd |= (commented && !text.trim_ascii().is_empty()) || memchr::memchr(b'=', text).is_some();
                    self.value.extend_from_slice(text);
                }
                Token::Quoted(inner, _) => {
                    self.odd = true;
                    self.value.extend(unescaped(inner));
                }
                Token::Comment(..) => commented = true,
            }
        }
    }

    /// `name=value`. Before the first semicolon only the word before the equals sign is the name.
    fn parameter(&mut self, tokens: &[Token<'_>], first: bool) {
        let equals = |token: &Token<'_>| matches!(token, Token::Text(text) if memchr::memchr(b'=', text).is_some());
        let Some(index) = tokens.iter().position(equals) else { return };
        let Token::Text(text) = tokens[index] else { return };
        let at = memchr::memchr(b'=', text).unwrap_or(0);
        let mut name = Vec::new();
        for token in &tokens[..index] {
            self.odd |= !first && !matches!(token, Token::Text(_));
            if let Token::Text(text) = token {
                name.extend_from_slice(text);
            }
        }
        name.extend_from_slice(&text[..at]);
        let start = if first {
            let end = name.trim_ascii_end().len();
            name[..end].iter().rposition(u8::is_ascii_whitespace).map_or(0, |blank| blank + 1)
        } else {
            0
        };
        let mut value = vec![Token::Text(&text[at + 1..])];
        value.extend_from_slice(&tokens[index + 1..]);
        value.retain(|token| !matches!(token, Token::Text(text) if text.is_empty()));
        let values = self.values(&value);
        let loose = values.len() > 1 && !matches!(value.iter().find(|token| !is_blank(token)), Some(Token::Quoted(..)));
        self.parameters.push(Parameter { name: name.split_off(start), values, loose });
    }

    fn values(&mut self, tokens: &[Token<'_>]) -> Vec<Vec<u8>> {
        let said = |token: &&Token<'_>| {
            !matches!(token, Token::Comment(_, true)) && !matches!(token, Token::Text(text) if text.trim_ascii().is_empty())
        };
        let mut saying = tokens.iter().filter(said);
        let mut values = match (saying.next(), saying.next()) {
            (None, _) if tokens.iter().all(|token| !matches!(token, Token::Comment(..))) => vec![Vec::new()],
            (Some(Token::Quoted(inner, closed)), None | Some(Token::Comment(..))) => {
                self.odd |= !closed || !matches!(tokens.iter().find(|token| !is_blank(token)), Some(Token::Quoted(..)));
                vec![unescaped(inner), inner.to_vec()]
            }
            _ if tokens.iter().any(|token| matches!(token, Token::Quoted(..))) => {
                self.odd = true;
                let first = tokens.iter().find_map(|token| if let Token::Quoted(inner, _) = token { Some(unescaped(inner)) } else { None });
                vec![joined(tokens, |_| false), joined(tokens, |_| true), first.unwrap_or_default()]
            }
            _ => {
                let all = joined(tokens, |_| true);
                let bare = all.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">")).unwrap_or_default().to_vec();
                let word = all.iter().take_while(|byte| byte.is_ascii_graphic() && !SPECIAL.contains(byte)).count();
                vec![joined(tokens, |apart| !apart), all.clone(), joined(tokens, |_| false), all[..word].to_vec(), bare, unescaped(&all)]
            }
        };
        let mut seen: Vec<Vec<u8>> = Vec::new();
        values.retain(|value| {
            let new = seen.is_empty() || (!value.is_empty() && !seen.contains(value));
            if new {
                seen.push(value.clone());
            }
            new
        });
        values
    }
}

/// RFC 2045 5.1: what ends a word.
const SPECIAL: &[u8] = b"()<>@,;:\\\"/[]?=";

fn is_blank(token: &Token<'_>) -> bool {
    matches!(token, Token::Text(text) if text.trim_ascii().is_empty())
}

/// The text of the tokens without quotes; comments that `keep` wants (told whether they stand apart) are text.
fn joined(tokens: &[Token<'_>], keep: impl Fn(bool) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    for token in tokens {
        match token {
            Token::Text(text) => out.extend_from_slice(text),
            Token::Quoted(inner, _) => out.extend(unescaped(inner)),
            Token::Comment(comment, apart) if keep(*apart) => out.extend_from_slice(comment),
            Token::Comment(..) => {}
        }
    }
    out.trim_ascii().to_vec()
}

/// RFC 822 3.3: a backslash stands before what is meant literally.
pub fn unescaped(inner: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        out.push(if *byte == b'\\' { bytes.next().copied().unwrap_or(b'\\') } else { *byte });
    }
    out
}

/// The length of the quoted string that begins here; none if it does not end.
pub fn quoted_end(rest: &[u8]) -> Option<usize> {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// The length of the comment that begins here, comments inside it included; none if it does not end.
pub fn comment_end(rest: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_u32, 0);
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 1,
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + 1),
            b')' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// The pieces between semicolons, each without the one before it; semicolons in quoted strings and comments do not count.
#[must_use]
pub fn pieces(raw: &[u8]) -> Vec<&[u8]> {
    cut(raw).0
}

/// The pieces, and where a bracket stands that never closes: it is no comment, nor are those behind it, so that the work is linear.
fn cut(raw: &[u8]) -> (Vec<&[u8]>, Option<usize>) {
    let mut list = Vec::new();
    let (mut start, mut at, mut open) = (0, 0, None);
    while at < raw.len() {
        let mut length = 1;
        match raw[at] {
            b'"' => length = quoted_end(&raw[at..]).unwrap_or(raw.len() - at),
            b'(' if open.is_none() => match comment_end(&raw[at..]) {
                Some(end) => length = end,
                None => open = Some(at),
            },
            b';' => {
                list.push(&raw[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += length;
    }
    list.push(&raw[start..]);
    (list, open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(raw: &str) -> (Vec<String>, bool) {
        let written = Written::read(format!("a; x={raw}").as_bytes());
        let text = |value: &Vec<u8>| String::from_utf8_lossy(value).into_owned();
        (written.parameters[0].values.iter().map(text).collect(), written.odd)
    }

    #[test]
    fn what_keeps_to_the_grammar_has_one_value() {
        for raw in ["word", "\"word\"", " \"word\" (a comment)", "\tword "] {
            assert_eq!(values(raw), (vec!["word".to_owned()], false), "{raw}");
        }
        assert_eq!(values("\"a; (b) \\\"c\\\"\"").0[0], "a; (b) \"c\"");
    }

    #[test]
    fn unquoted_words_are_given_in_every_way_without_being_odd() {
        assert_eq!(values("my file.pdf"), (vec!["my file.pdf".to_owned(), "my".to_owned()], false));
        assert_eq!(values("copy(1).pdf"), (["copy(1).pdf", "copy.pdf", "copy"].map(str::to_owned).to_vec(), false));
        assert_eq!(values("<x.exe>").0, ["<x.exe>", "x.exe"]);
        assert_eq!(values("x\\y").0, ["x\\y", "x", "xy"]);
        assert_eq!(values("us-ascii (plain text)").0, ["us-ascii", "us-ascii (plain text)"]);
        assert_eq!(values("\"C:\\dir\\x.exe\""), (["C:dirx.exe", "C:\\dir\\x.exe"].map(str::to_owned).to_vec(), false));
    }

    #[test]
    fn quotes_that_do_not_hold_the_whole_value_are_odd() {
        for raw in ["\"fine.txt\".exe", "\"a\" \"b\"", "ev\"il.exe\"", "\"open", "\"\"x\"\""] {
            assert!(values(raw).1, "{raw}");
        }
        assert_eq!(values("\"fine.txt\".exe").0, ["fine.txt.exe", "fine.txt"]);
    }

    #[test]
    fn comments_that_hide_parameters_are_odd() {
        for raw in ["x (; filename=evil.exe)", "x (a \" b)", "x (a; y=z"] {
            assert!(values(raw).1, "{raw}");
        }
        assert!(Written::read(b"attachment; filename(c)=x").odd);
        assert!(Written::read(b"multipart(c)/mixed; boundary=b").odd);
        assert!(!Written::read(b"text/plain (c); charset=x").odd);
    }

    #[test]
    fn a_parameter_without_its_semicolon_is_found() {
        let written = Written::read(b"attachment filename=x.exe");
        assert!(written.odd);
        assert_eq!(written.parameters[0].name, b"filename");
        assert_eq!(Written::read(b"filename=x.exe").parameters[0].values[0], b"x.exe");
    }

    #[test]
    fn hostile_values_take_linear_time() {
        for unit in ["(", "\"", "a;", "(;", "\\", ";x=", "()", "x=(y) "] {
            let written = Written::read(unit.repeat(200_000 / unit.len()).as_bytes());
            assert!(written.parameters.len() <= MOST);
        }
    }
}
