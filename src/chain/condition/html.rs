//! HTML as a reader sees it: without tags, comments, scripts and styles, entities as the letters they stand for.

use std::borrow::Cow;

/// Elements whose content no reader sees as text.
const UNSEEN: [&str; 6] = ["script", "style", "title", "template", "noframes", "noembed"];

/// Elements that begin and end a line of their own.
const BLOCKS: [&str; 33] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "br",
    "center",
    "dd",
    "div",
    "dl",
    "dt",
    "fieldset",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "html",
    "li",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "tr",
    "ul",
];

/// The text in `html`. Runs over it once, whatever it holds.
#[must_use]
pub fn shown(html: &str) -> String {
    let mut out = Shown { text: String::with_capacity(html.len() / 2), blank: false };
    let mut rest = html;
    while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
        out.words(&rest[..at]);
        rest = out.markup(&rest[at..]);
    }
    out.words(rest);
    out.text
}

struct Shown {
    text: String,
    /// Blanks were read that stand for one, if a word follows on the same line.
    blank: bool,
}

impl Shown {
    /// Text between tags: entities undone, runs of blanks made one.
    fn words(&mut self, source: &str) {
        for letter in entities(source).chars() {
            if letter.is_ascii_whitespace() || letter == '\u{a0}' {
                self.blank = true;
            } else {
                if self.blank && !self.text.is_empty() && !self.text.ends_with('\n') {
                    self.text.push(' ');
                }
                self.blank = false;
                self.text.push(letter);
            }
        }
    }

    fn line(&mut self) {
        self.blank = false;
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    /// What begins with `<`; returns what stands after it.
    fn markup<'h>(&mut self, source: &'h str) -> &'h str {
        if let Some(comment) = source.strip_prefix("<!--") {
            // HTML 13.2.5.43: `<!-->` and `<!--->` are whole comments.
            if let Some(rest) = comment.strip_prefix('>').or_else(|| comment.strip_prefix("->")) {
                return rest;
            }
            return after(comment, "-->");
        }
        let inner = &source[1..];
        let (closing, named) = inner.strip_prefix('/').map_or((false, inner), |named| (true, named));
        if !named.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
            if inner.starts_with(['!', '?', '/']) {
                return after(inner, ">");
            }
            self.words("<");
            return inner;
        }
        let end = named.find(|letter: char| letter.is_ascii_whitespace() || letter == '/' || letter == '>').unwrap_or(named.len());
        let name = named[..end].to_ascii_lowercase();
        let rest = after_tag(&named[end..]);
        if !closing && UNSEEN.contains(&name.as_str()) {
            return after_element(rest, &name);
        }
        if name == "td" || name == "th" {
            self.blank = true;
        } else if BLOCKS.contains(&name.as_str()) {
            self.line();
        }
        rest
    }
}

/// What stands after the first `end`; nothing if there is none.
fn after<'h>(source: &'h str, end: &str) -> &'h str {
    memchr::memmem::find(source.as_bytes(), end.as_bytes()).map_or("", |at| &source[at + end.len()..])
}

/// What stands after the `>` that ends a tag; one inside a quoted value does not.
fn after_tag(source: &str) -> &str {
    let mut quote = None;
    let mut value = false;
    for (at, byte) in source.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return &source[at + 1..],
            (None, b'"' | b'\'') if value => quote = Some(byte),
            (Some(open), _) if open == byte => {
                quote = None;
                value = false;
            }
            (None, b'=') => value = true,
            (None, byte) if !byte.is_ascii_whitespace() => value = false,
            _ => {}
        }
    }
    ""
}

/// What stands after the end tag of an element whose content is no markup.
fn after_element<'h>(source: &'h str, name: &str) -> &'h str {
    let mut from = 0;
    while let Some(at) = memchr::memmem::find(&source.as_bytes()[from..], b"</") {
        let start = from + at + 2;
        let rest = &source.as_bytes()[start..];
        if rest.len() >= name.len() && rest[..name.len()].eq_ignore_ascii_case(name.as_bytes()) {
            return after_tag(&source[start + name.len()..]);
        }
        from = start;
    }
    ""
}

/// The longest name of an entity, with room to spare; what is longer is none.
const LONGEST: usize = 32;

/// The text with its character references undone.
#[must_use]
pub fn entities(source: &str) -> Cow<'_, str> {
    if !source.contains('&') {
        return Cow::Borrowed(source);
    }
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match reference(rest) {
            Some((letter, length)) => {
                text.push_str(&letter);
                rest = &rest[length..];
            }
            None => text.push('&'),
        }
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// What the reference after a `&` stands for, and its length.
fn reference(source: &str) -> Option<(String, usize)> {
    if let Some(number) = source.strip_prefix('#') {
        let (digits, radix, before) = match number.strip_prefix(['x', 'X']) {
            Some(hexadecimal) => (hexadecimal, 16, 2),
            None => (number, 10, 1),
        };
        let length = digits.bytes().take_while(|byte| char::from(*byte).is_digit(radix)).count();
        if length == 0 {
            return None;
        }
        let code = u32::from_str_radix(&digits[..length], radix).unwrap_or(u32::MAX);
        let semicolon = usize::from(digits[length..].starts_with(';'));
        return Some((code_point(code).to_string(), before + length + semicolon));
    }
    let length = source.bytes().take(LONGEST).take_while(u8::is_ascii_alphanumeric).count();
    let name = &source[..length];
    if source[length..].starts_with(';') {
        let mut text = String::new();
        mail_parser::decoders::html::add_html_token(&mut text, format!("&{name};").as_bytes(), false);
        if !text.starts_with('&') || text.len() == 1 {
            return Some((text, length + 1));
        }
        return None;
    }
    // HTML 13.5: these few, and their kin, end without a semicolon too.
    let (name, letter) = [("lt", "<"), ("gt", ">"), ("amp", "&"), ("quot", "\""), ("nbsp", "\u{a0}"), ("shy", "\u{ad}")]
        .into_iter()
        .find(|(name, _)| source.starts_with(name))?;
    Some((letter.to_owned(), name.len()))
}

/// HTML 13.2.5.80: numbers of the C1 controls mean windows-1252, impossible ones the replacement character.
fn code_point(code: u32) -> char {
    if (0x80..0xa0).contains(&code) {
        let byte = u8::try_from(code).unwrap_or(b'?');
        return encoding_rs::WINDOWS_1252.decode_without_bom_handling(&[byte]).0.chars().next().unwrap_or('\u{fffd}');
    }
    char::from_u32(code).filter(|letter| *letter != '\0').unwrap_or('\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_words_without_tags() {
        assert_eq!(shown("<html><body><p>Pay <b>now</b>,\n please</p><p>Bye</p>"), "Pay now, please\nBye\n");
        assert_eq!(shown("pass<span>word</span>"), "password");
        assert_eq!(shown("<td>a</td><td>b</td>"), "a b");
    }

    #[test]
    fn comments_scripts_and_styles_are_not_seen() {
        assert_eq!(shown("a<!-- <b> x --><script>if (a</b) '</p>'</script>b<style>p{}</style >c"), "abc");
        assert_eq!(shown("a<!-->b<!--->c"), "abc");
        assert_eq!(shown("a<!-- open"), "a");
    }

    #[test]
    fn a_bracket_in_a_quoted_value_does_not_end_a_tag() {
        assert_eq!(shown("<a title=\"x > y\" href='z'>w</a>"), "w");
        assert_eq!(shown("<a b'>w"), "w");
    }

    #[test]
    fn what_is_no_tag_is_text() {
        assert_eq!(shown("1 < 2 and <3"), "1 < 2 and <3");
        assert_eq!(shown("a <"), "a <");
    }

    #[test]
    fn character_references_are_undone_once() {
        assert_eq!(entities("&lt;b&gt; &amp;amp; &#65;&#x42; &eacute;&copy;"), "<b> &amp; AB é©");
        assert_eq!(entities("&ltx &#150; &#0; &#xffffffff; &; &nosuch; &"), "<x – \u{fffd} \u{fffd} &; &nosuch; &");
    }

    #[test]
    fn nothing_in_it_makes_it_slow() {
        for piece in ["<", "&", "<!--", "<a b=\"", "</", "<script>"] {
            let _ = shown(&piece.repeat(200_000));
        }
    }
}
