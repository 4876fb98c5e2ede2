//! HTML as a reader sees it, and the way back from what is seen to the source.
//!
//! Tags, comments, and what stands in script, style, title and template are not seen; entities are what they stand for; white space is one blank, but in `pre`;
//! block tags and `br` end a line. Every letter that is seen knows the bytes of the source it was made from; line ends made by tags have none.

use std::ops::Range;

use super::text::escape_html;
use crate::message::Change;

/// Elements whose content is not text, or not shown.
const HIDDEN: [&str; 4] = ["script", "style", "title", "template"];

/// Elements that stand on lines of their own.
const BLOCKS: [&str; 37] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "br",
    "center",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
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
    "tbody",
    "tr",
    "ul",
];

/// What a reader sees.
#[derive(Debug, Default)]
pub struct Visible {
    pub text: String,
    runs: Vec<Run>,
}

/// A stretch of the text and the source it stands for.
#[derive(Debug)]
struct Run {
    text: Range<usize>,
    source: Range<usize>,
    /// Byte for byte the same, so that it can be cut anywhere.
    verbatim: bool,
}

impl Visible {
    /// What `source` shows.
    #[must_use]
    pub fn of(source: &str) -> Visible {
        let mut reader = Reader { source, at: 0, seen: Visible::default(), blank: None, pre: 0 };
        while reader.at < source.len() {
            reader.step();
        }
        reader.seen
    }

    /// Changes of the source after which `range` of the text reads `with`: tags between its letters stay. None where nothing of it stands in the source.
    #[must_use]
    pub fn change(&self, range: &Range<usize>, with: &str) -> Option<Vec<Change>> {
        let first = self.runs.partition_point(|run| run.text.end <= range.start);
        let mut pieces: Vec<Range<usize>> = Vec::new();
        for run in self.runs[first..].iter().take_while(|run| run.text.start < range.end) {
            let piece = run.cut(range);
            match pieces.last_mut() {
                Some(last) if last.end == piece.start => last.end = piece.end,
                _ => pieces.push(piece),
            }
        }
        if pieces.is_empty() {
            return None;
        }
        let mut with = Some(escape_html(with));
        Some(pieces.into_iter().map(|range| Change { range, with: with.take().unwrap_or_default() }).collect())
    }

    fn put(&mut self, text: &str, source: Range<usize>, verbatim: bool) {
        let start = self.text.len();
        self.text.push_str(text);
        match self.runs.last_mut() {
            Some(last) if verbatim && last.verbatim && last.source.end == source.start && last.text.end == start => {
                last.text.end = self.text.len();
                last.source.end = source.end;
            }
            _ => self.runs.push(Run { text: start..self.text.len(), source, verbatim }),
        }
    }
}

impl Run {
    fn cut(&self, range: &Range<usize>) -> Range<usize> {
        if !self.verbatim {
            return self.source.clone();
        }
        let skipped = range.start.saturating_sub(self.text.start);
        let left = self.text.end.saturating_sub(range.end);
        self.source.start + skipped..self.source.end - left
    }
}

struct Reader<'s> {
    source: &'s str,
    at: usize,
    seen: Visible,
    /// White space that is shown once a letter follows on the same line.
    blank: Option<Range<usize>>,
    /// How many `pre` are open.
    pre: usize,
}

impl<'s> Reader<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn step(&mut self) {
        let rest = self.rest();
        let first = rest.as_bytes()[0];
        if first == b'<' && self.markup() {
            return;
        }
        if first == b'&'
            && let Some((letters, length)) = entity(rest)
        {
            self.show(&letters, length, false);
        } else if first.is_ascii_whitespace() && self.pre == 0 {
            let length = rest.bytes().take_while(u8::is_ascii_whitespace).count();
            let end = self.at + length;
            self.blank.get_or_insert(self.at..end).end = end;
            self.at = end;
        } else {
            let plain = |byte: &u8| !matches!(byte, b'<' | b'&') && (self.pre > 0 || !byte.is_ascii_whitespace());
            // A `<` or `&` that begins nothing stands for itself.
            let length = if plain(&first) { rest.bytes().take_while(|byte| plain(byte)).count() } else { 1 };
            self.show(&rest[..length], length, true);
        }
    }

    fn show(&mut self, letters: &str, length: usize, verbatim: bool) {
        if let Some(blank) = self.blank.take()
            && !self.seen.text.is_empty()
            && !self.seen.text.ends_with(['\n', ' '])
        {
            // One blank is itself; only a longer run (or a line end) was made one.
            let same = &self.source[blank.clone()] == " ";
            self.seen.put(" ", blank, same);
        }
        self.seen.put(letters, self.at..self.at + length, verbatim);
        self.at += length;
    }

    fn end_line(&mut self, always: bool) {
        self.blank = None;
        if always || !(self.seen.text.is_empty() || self.seen.text.ends_with('\n')) {
            self.seen.text.push('\n');
        }
    }

    /// Reads a tag or comment; false if `<` stands for itself (HTML Living Standard 13.2.5.6).
    fn markup(&mut self) -> bool {
        let rest = self.rest();
        if let Some(comment) = rest.strip_prefix("<!--") {
            let length = if comment.starts_with('>') { 1 } else { comment.find("-->").map_or(comment.len(), |end| end + 3) };
            self.at += 4 + length;
            return true;
        }
        let (closing, name) = match rest.strip_prefix("</") {
            Some(name) => (true, name),
            None => (false, &rest[1..]),
        };
        match name.bytes().next() {
            Some(letter) if letter.is_ascii_alphabetic() => {}
            Some(b'!' | b'?') if !closing => return self.skip_past_bracket(),
            Some(_) if closing => return self.skip_past_bracket(),
            _ => return false,
        }
        let end = name.bytes().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>')).unwrap_or(name.len());
        let element = name[..end].to_ascii_lowercase();
        let name_end = rest.len() - name.len() + end;
        self.at += name_end + tag_length(&rest[name_end..]);
        self.element(&element, closing);
        true
    }

    fn skip_past_bracket(&mut self) -> bool {
        self.at += self.rest().find('>').map_or(self.rest().len(), |end| end + 1);
        true
    }

    fn element(&mut self, element: &str, closing: bool) {
        if element == "pre" {
            self.pre = if closing { self.pre.saturating_sub(1) } else { self.pre + 1 };
        }
        if BLOCKS.contains(&element) {
            self.end_line(element == "br");
        } else if !closing && matches!(element, "td" | "th") && !(self.seen.text.is_empty() || self.seen.text.ends_with(['\n', ' '])) {
            // Cells do not touch each other.
            self.seen.text.push(' ');
            self.blank = None;
        }
        if !closing && HIDDEN.contains(&element) {
            self.skip_hidden(element);
        }
    }

    /// Goes on after the end tag of an element that is not shown; without one, nothing more is.
    fn skip_hidden(&mut self, element: &str) {
        let rest = self.rest();
        let mut from = 0;
        while let Some(found) = rest[from..].find("</") {
            let name = &rest[from + found + 2..];
            let named = name.get(..element.len()).is_some_and(|name| name.eq_ignore_ascii_case(element));
            if named && !name[element.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-') {
                self.at += from + found;
                self.skip_past_bracket();
                return;
            }
            from += found + 2;
        }
        self.at = self.source.len();
    }
}

/// Bytes from behind a tag's name to behind its `>`; one in a quoted attribute value does not end it.
fn tag_length(attributes: &str) -> usize {
    let bytes = attributes.as_bytes();
    let mut at = 0;
    let mut after_equals = false;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'>' => return at,
            quote @ (b'"' | b'\'') if after_equals => {
                at += memchr::memchr(*quote, &bytes[at..]).map_or(bytes.len() - at, |end| end + 1);
                after_equals = false;
            }
            b'=' => after_equals = true,
            byte if byte.is_ascii_whitespace() => {}
            _ => after_equals = false,
        }
    }
    at
}

/// What an entity stands for, and its length in the source; none if the `&` begins none.
fn entity(rest: &str) -> Option<(String, usize)> {
    let bytes = rest.as_bytes();
    let number = bytes.get(1) == Some(&b'#');
    let hex = number && matches!(bytes.get(2), Some(b'x' | b'X'));
    let start = 1 + usize::from(number) + usize::from(hex);
    // The longest name HTML has is 31 letters; a number may have leading zeros.
    let digits = bytes[start.min(bytes.len())..]
        .iter()
        .take(64)
        .take_while(|byte| {
            if hex {
                byte.is_ascii_hexdigit()
            } else if number {
                byte.is_ascii_digit()
            } else {
                byte.is_ascii_alphanumeric()
            }
        })
        .count();
    if digits == 0 {
        return None;
    }
    let end = start + digits;
    let closed = bytes.get(end) == Some(&b';');
    let length = end + usize::from(closed);
    if number {
        let code = u32::from_str_radix(&rest[start..end], if hex { 16 } else { 10 }).unwrap_or(u32::MAX);
        return Some((letter(code).to_string(), length));
    }
    // Without its semicolon a reader takes these; the others need it.
    if !closed && !matches!(&rest[1..end], "amp" | "lt" | "gt" | "quot" | "nbsp") {
        return None;
    }
    let mut letters = String::new();
    mail_parser::decoders::html::add_html_token(&mut letters, format!("&{};", &rest[1..end]).as_bytes(), false);
    if letters.starts_with('&') && letters.len() > 1 {
        return None;
    }
    Some((letters.replace('\u{a0}', " "), length))
}

/// HTML Living Standard 13.2.5.80: codes 0x80 to 0x9F are read as windows-1252, 0 and what is no letter as U+FFFD.
fn letter(code: u32) -> char {
    match code {
        0 => char::REPLACEMENT_CHARACTER,
        0xa0 => ' ',
        0x80..=0x9f => {
            let byte = [u8::try_from(code).expect("the range is that of a byte")];
            encoding_rs::WINDOWS_1252.decode_without_bom_handling(&byte).0.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        code => char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str) -> String {
        Visible::of(source).text
    }

    fn replaced(source: &str, what: &str, with: &str) -> Option<String> {
        let seen = Visible::of(source);
        let start = seen.text.find(what).unwrap();
        let mut changed = source.to_owned();
        for change in seen.change(&(start..start + what.len()), with)?.iter().rev() {
            changed.replace_range(change.range.clone(), &change.with);
        }
        Some(changed)
    }

    #[test]
    fn tags_comments_scripts_and_styles_are_not_seen() {
        assert_eq!(
            shown("<html><head><title>T</title><style>p{}</style></head><body>a<!-- no --><script>if (a<b) x</script>b</body>"),
            "ab\n"
        );
        assert_eq!(shown("<a title='x>y' href=\"z\">in</a> <!DOCTYPE x><?php ?>k"), "in k");
        assert_eq!(shown("a<!-->b<script>never closed"), "ab");
    }

    #[test]
    fn blocks_end_lines_and_white_space_is_one_blank() {
        assert_eq!(shown("<p>one  two\n three </p><div>four<br>five</div>"), "one two three\nfour\nfive\n");
        assert_eq!(shown("<tr><td>a</td> <td>b</td></tr>"), "a b\n");
        assert_eq!(shown("<pre>a  b\n c</pre>"), "a  b\n c\n");
    }

    #[test]
    fn entities_are_what_they_stand_for() {
        assert_eq!(
            shown("&lt;b&gt; &amp; &eacute;&#233;&#xE9; &#150; a&nbsp;b &unknown; & AT&T &#0;"),
            "<b> & ééé – a b &unknown; & AT&T \u{fffd}"
        );
        assert_eq!(shown("1 < 2 <3"), "1 < 2 <3");
    }

    #[test]
    fn a_change_keeps_the_tags_between_the_letters() {
        assert_eq!(replaced("x sec<b>ret</b> y", "secret", "[&]").unwrap(), "x [&amp;]<b></b> y");
        assert_eq!(replaced("a &amp; b", "& b", "c").unwrap(), "a c");
        assert_eq!(replaced("one \n two three", "one two", "1").unwrap(), "1 three");
        assert_eq!(replaced("plain text", "in te", "_").unwrap(), "pla_xt");
    }

    #[test]
    fn a_line_end_made_by_a_tag_cannot_be_changed() {
        assert_eq!(replaced("<p>a</p>b", "\n", " "), None);
        assert_eq!(replaced("<p>a</p>b", "a\nb", "c").unwrap(), "<p>c</p>");
    }
}
