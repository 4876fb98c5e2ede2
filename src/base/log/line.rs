//! One event as one line: `TIME LEVEL message key=value …`, or a JSON object with `time`, `level`, `message` and the fields.

use std::fmt::{self, Write};

use jiff::Timestamp;
use tracing::field::{Field, Visit};

use super::Format;

/// Characters of one value; more is cut, so that no peer can fill a disk with one line.
const LONGEST: usize = 16_384;

/// A line being made.
pub(super) struct Line {
    format: Format,
    /// Up to the message.
    start: String,
    message: String,
    fields: String,
}

impl Line {
    pub(super) fn new(format: Format, time: Timestamp, level: tracing::Level) -> Line {
        let start = match format {
            Format::Text => format!("{time:.3} {level} "),
            Format::Json => format!("{{\"time\":\"{time:.3}\",\"level\":\"{}\",\"message\":", level.as_str().to_ascii_lowercase()),
        };
        Line { format, start, message: String::new(), fields: String::new() }
    }

    /// Adds to the message.
    pub(super) fn message(&mut self, text: &str) {
        self.message.push_str(text);
    }

    /// Adds a field that is a number.
    pub(super) fn number(&mut self, name: &str, value: u64) {
        self.bare(name, value);
    }

    /// The line with its end.
    pub(super) fn end(mut self, everywhere: &[(&str, &str)]) -> String {
        for (name, value) in everywhere {
            self.text(name, value);
        }
        let Line { format, start, message, fields } = self;
        match format {
            Format::Text => format!("{start}{}{fields}\n", escaped(&message, false)),
            Format::Json => format!("{start}{}{fields}}}\n", json(&message)),
        }
    }

    /// A value that needs no quotes in either format.
    fn bare(&mut self, name: &str, value: impl fmt::Display) {
        let _ = match self.format {
            Format::Text => write!(self.fields, " {name}={value}"),
            Format::Json => write!(self.fields, ",{}:{value}", json(name)),
        };
    }

    fn text(&mut self, name: &str, value: &str) {
        let cut = value.char_indices().nth(LONGEST).map(|(at, _)| format!("{}…", &value[..at]));
        let value = cut.as_deref().unwrap_or(value);
        match self.format {
            Format::Text if needs_quotes(value) => self.bare(name, format_args!("\"{}\"", escaped(value, true))),
            Format::Text => self.bare(name, value),
            Format::Json => self.bare(name, json(value)),
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            self.text(field.name(), &format!("{value:?}"));
        }
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

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn needs_quotes(value: &str) -> bool {
    value.is_empty() || value.chars().any(|letter| letter.is_whitespace() || matches!(letter, '"' | '=' | '\\') || is_hidden(letter))
}

/// What a terminal acts on instead of showing it: control characters, line and paragraph separators, marks that turn the direction of writing or take no room.
fn is_hidden(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn escaped(text: &str, quoted: bool) -> String {
    let mut safe = String::with_capacity(text.len());
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
    safe
}
