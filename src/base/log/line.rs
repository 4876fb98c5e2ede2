//! One event as one line: `TIME LEVEL message key=value …`, or a JSON object with `time`, `level`, `message` and the fields.

use std::fmt::{self, Write};

use jiff::Timestamp;
use tracing::field::{Field, Visit};

use super::Format;
use crate::base::clock::Second;
use crate::base::text::add_number;

/// Characters of one value; more is cut, so that no peer can fill a disk with one line.
const LONGEST: usize = 16_384;
/// Bytes of room that are kept for the next line.
const MOST_KEPT: usize = 64 * 1024;

/// A line being made, and the room for the next one.
#[derive(Debug, Default)]
pub(super) struct Line {
    format: Format,
    text: String,
    /// Where the message ends; the fields are behind it.
    message_end: usize,
    /// For a value that has to be written before it can be looked at.
    value: String,
    second: Second,
}

impl Line {
    /// Begins another line.
    pub(super) fn begin(&mut self, format: Format, time: Timestamp, level: tracing::Level) {
        let Line { text, second, .. } = self;
        text.clear();
        text.push_str(if format == Format::Json { "{\"time\":\"" } else { "" });
        text.push_str(second.text(time, |second| format!("{second:.0}").trim_end_matches('Z').to_owned()));
        text.push('.');
        let thousandths = time.as_millisecond().rem_euclid(1000).unsigned_abs();
        for digit in [thousandths / 100, thousandths / 10 % 10, thousandths % 10] {
            add_number(digit, text);
        }
        text.push('Z');
        match format {
            Format::Text => {
                text.push(' ');
                text.push_str(level.as_str());
                text.push(' ');
            }
            Format::Json => {
                text.push_str("\",\"level\":\"");
                text.extend(level.as_str().chars().map(|letter| letter.to_ascii_lowercase()));
                text.push_str("\",\"message\":\"");
            }
        }
        (self.format, self.message_end) = (format, text.len());
        if format == Format::Json {
            text.push('"');
        }
    }

    /// Adds to the message.
    pub(super) fn message(&mut self, message: &str) {
        let behind = self.text.split_off(self.message_end);
        match self.format {
            Format::Text => escape(message, false, &mut self.text),
            Format::Json => json(message, &mut self.text),
        }
        self.message_end = self.text.len();
        self.text.push_str(&behind);
    }

    /// Adds a field that is a number.
    pub(super) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        add_number(value, &mut self.text);
    }

    /// The line with its end.
    pub(super) fn end(&mut self, everywhere: &[(&str, &str)]) -> &str {
        for (name, value) in everywhere {
            self.text(name, value);
        }
        self.text.push_str(if self.format == Format::Json { "}\n" } else { "\n" });
        &self.text
    }

    /// To be kept for the next line. A long one leaves no room behind.
    pub(super) fn kept(mut self) -> Line {
        for room in [&mut self.text, &mut self.value] {
            room.clear();
            room.shrink_to(MOST_KEPT);
        }
        self
    }

    fn name(&mut self, name: &str) {
        match self.format {
            Format::Text => {
                self.text.push(' ');
                self.text.push_str(name);
                self.text.push('=');
            }
            Format::Json => {
                self.text.push_str(",\"");
                json(name, &mut self.text);
                self.text.push_str("\":");
            }
        }
    }

    /// A value that needs no quotes in either format.
    fn bare(&mut self, name: &str, value: impl fmt::Display) {
        self.name(name);
        let _ = write!(self.text, "{value}");
    }

    fn text(&mut self, name: &str, value: &str) {
        let cut = if value.len() > LONGEST { value.char_indices().nth(LONGEST) } else { None };
        let cut = cut.map(|(at, _)| format!("{}…", &value[..at]));
        let value = cut.as_deref().unwrap_or(value);
        self.name(name);
        if self.format == Format::Text && !needs_quotes(value) {
            self.text.push_str(value);
            return;
        }
        self.text.push('"');
        match self.format {
            Format::Text => escape(value, true, &mut self.text),
            Format::Json => json(value, &mut self.text),
        }
        self.text.push('"');
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut written = std::mem::take(&mut self.value);
        written.clear();
        let _ = write!(written, "{value:?}");
        if field.name() == "message" {
            self.message(&written);
        } else {
            self.text(field.name(), &written);
        }
        self.value = written;
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message(value);
        } else {
            self.text(field.name(), value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.bare(field.name(), value);
        } else {
            self.text(field.name(), &value.to_string());
        }
    }
}

/// Appends what stands between the quotes of a JSON string.
fn json(text: &str, out: &mut String) {
    let is_special = |byte: u8| byte < b' ' || matches!(byte, b'"' | b'\\');
    if any(text, is_special) {
        let quoted = serde_json::Value::from(text).to_string();
        out.push_str(&quoted[1..quoted.len() - 1]);
    } else {
        out.push_str(text);
    }
}

/// Looks at all bytes in one go, which is faster than to stop at the first.
fn any(text: &str, is: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(false, |any, byte| any | is(byte))
}

fn needs_quotes(value: &str) -> bool {
    let is_special = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'"' | b'=' | b'\\');
    let needs = |letter: char| letter.is_whitespace() || matches!(letter, '"' | '=' | '\\') || is_hidden(letter);
    value.is_empty() || any(value, is_special) && value.chars().any(needs)
}

/// What a terminal acts on instead of showing it: control characters, line and paragraph separators, marks that turn the direction of writing or take no room.
fn is_hidden(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Appends a text that shows what a terminal would act on.
fn escape(text: &str, quoted: bool, safe: &mut String) {
    let is_special = |byte: u8| !matches!(byte, b' '..=b'~') || quoted && matches!(byte, b'"' | b'\\');
    if !any(text, is_special) {
        safe.push_str(text);
        return;
    }
    for letter in text.chars() {
        match letter {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            '"' | '\\' if quoted => safe.extend(['\\', letter]),
            _ if is_hidden(letter) => safe.extend(letter.escape_unicode()),
            _ => safe.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_the_event_whatever_was_written_before() {
        let mut line = Line::default();
        for (seconds, nanoseconds) in
            [(1_700_000_000, 0), (1_700_000_000, 999_999_999), (1_700_000_001, 7_000_000), (1_699_999_999, 1_500_000)]
        {
            let time = Timestamp::new(seconds, nanoseconds).unwrap();
            line.begin(Format::Text, time, tracing::Level::INFO);
            line.message("x");
            assert_eq!(line.end(&[]), format!("{time:.3} INFO x\n"));
            line.begin(Format::Json, time, tracing::Level::WARN);
            line.message("x");
            assert_eq!(line.end(&[]), format!("{{\"time\":\"{time:.3}\",\"level\":\"warn\",\"message\":\"x\"}}\n"));
        }
    }

    #[test]
    fn a_message_stands_before_the_fields_whenever_it_comes() {
        let mut line = Line::default();
        for (format, wanted) in
            [(Format::Text, "INFO one two n=1\n"), (Format::Json, "\"level\":\"info\",\"message\":\"one two\",\"n\":1}\n")]
        {
            line.begin(format, Timestamp::UNIX_EPOCH, tracing::Level::INFO);
            line.message("one");
            line.number("n", 1);
            line.message(" two");
            assert!(line.end(&[]).ends_with(wanted), "{line:?}");
        }
    }

    #[test]
    fn a_long_line_leaves_no_room_behind() {
        let mut line = Line::default();
        line.begin(Format::Text, Timestamp::UNIX_EPOCH, tracing::Level::INFO);
        line.message(&"x".repeat(1_000_000));
        assert!(line.kept().text.capacity() <= MOST_KEPT);
    }
}
