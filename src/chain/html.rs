//! HTML as a reader sees it, and the way back from what is seen to the source.
//!
//! Tags, comments, and what stands in script, style, title and template are not seen; entities are what they stand for; white space is one blank, but in `pre`;
//! block tags and `br` end a line. Every letter that is seen knows the bytes of the source it was made from; line ends made by tags have none.

mod entity;

use std::ops::Range;

use entity::entity;

use super::text::escape_html;
use crate::message::Change;

/// Elements whose content is not text, or not shown.
const HIDDEN: [&str; 6] = ["script", "style", "title", "template", "noframes", "noembed"];

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
        Some(pieces.into_iter().map(|range| Change { range, with: with.take().unwrap_or_default().into() }).collect())
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
            if letters == "\u{a0}" {
                self.take_blank(length);
            } else {
                self.show(&letters, length, false);
            }
        } else if first.is_ascii_whitespace() && self.pre == 0 {
            self.take_blank(rest.bytes().take_while(u8::is_ascii_whitespace).count());
        } else {
            let plain = |byte: &u8| !matches!(byte, b'<' | b'&') && (self.pre > 0 || !byte.is_ascii_whitespace());
            // A `<` or `&` that begins nothing stands for itself.
            let length = if plain(&first) { rest.bytes().take_while(|byte| plain(byte)).count() } else { 1 };
            self.show(&rest[..length], length, true);
        }
    }

    fn take_blank(&mut self, length: usize) {
        let end = self.at + length;
        self.blank.get_or_insert(self.at..end).end = end;
        self.at = end;
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
            // 13.2.5.43: `<!-->` and `<!--->` are whole comments.
            let whole = [">", "->"].into_iter().find(|end| comment.starts_with(end)).map(str::len);
            self.at += 4 + whole.or_else(|| comment.find("-->").map(|end| end + 3)).unwrap_or(comment.len());
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
            // Cells do not touch each other; the blank between them stands for no source.
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
    fn comments_end_where_readers_end_them() {
        assert_eq!(shown("a<!-- <b> x --><script>if (a</b) '</p>'</script>b<style>p{}</style >c"), "abc");
        assert_eq!(shown("a<!-->b<!--->c"), "abc");
        assert_eq!(shown("a<!-- open"), "a");
    }

    #[test]
    fn what_is_no_tag_is_text() {
        assert_eq!(shown("1 < 2 and <3"), "1 < 2 and <3");
        assert_eq!(shown("a <"), "a <");
        assert_eq!(shown("pass<span>word</span> a&nbsp;&nbsp; b &lt;i&gt; <a b'>w"), "password a b <i> w");
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
