//! Every reply Transom gives, by name. The only files with reply codes: a `Reply` cannot be made anywhere but here and below.

mod auth;
mod command;
mod message;
mod passed;
mod session;

use std::borrow::Cow;
use std::fmt;

use super::client::Answer;
use super::status::{add_in_one_line, class, push_codes};

pub use self::auth::*;
pub use self::command::*;
pub use self::message::*;
pub use self::passed::*;
pub use self::session::*;
pub use super::status::{Class, Enhanced};

/// RFC 5321 4.5.3.1.5: a reply line with its CR LF.
const LONGEST_LINE: usize = 512;
const MOST_LINES: usize = 20;

/// What a client is told. Never empty; every line is printable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<Enhanced>,
    /// Lines, LF between them.
    text: Cow<'static, str>,
    last: bool,
}

impl Reply {
    fn new(code: u16, enhanced: Enhanced, text: impl Into<Cow<'static, str>>) -> Reply {
        Reply { code, enhanced: Some(enhanced), text: text.into(), last: false }
    }

    /// Without an enhanced code: greeting, EHLO, HELO and 3xx have none (RFC 2034 3).
    fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Reply {
        Reply { code, enhanced: None, text: text.into(), last: false }
    }

    fn and_close(mut self) -> Reply {
        self.last = true;
        self
    }

    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    #[must_use]
    pub fn enhanced(&self) -> Option<Enhanced> {
        self.enhanced
    }

    /// Whether the connection is closed after it.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.last
    }

    /// 421: whatever is under way is over with it.
    #[must_use]
    pub fn is_farewell(&self) -> bool {
        self.code == 421
    }

    /// By the first digit.
    #[must_use]
    pub fn class(&self) -> Class {
        class(self.code)
    }

    /// Appends it as it goes over the wire: each line bounded, each with the codes (RFC 2034 4).
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').take(MOST_LINES).peekable();
        while let Some(text) = lines.next() {
            let start = out.len();
            push_codes(out, self.code, if lines.peek().is_some() { b'-' } else { b' ' }, self.enhanced);
            let room = (start + LONGEST_LINE - 2).saturating_sub(out.len());
            out.extend_from_slice(bounded(text, room).trim_end().as_bytes());
            // RFC 5321 4.2: a line without text keeps the blank after its code.
            while out.len() > start + 4 && out.ends_with(b" ") {
                out.pop();
            }
            out.extend_from_slice(b"\r\n");
        }
    }

    /// In one line, for logs: `250 2.0.0 Ok`.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        let mut line = String::with_capacity(64);
        self.add_in_one_line(&mut line);
        line
    }

    /// Appends it in one line.
    pub fn add_in_one_line(&self, out: &mut String) {
        add_in_one_line(self.code, self.enhanced, &self.text, out);
    }

    /// Whether it says what the next hop has said, no more and no less.
    #[must_use]
    pub fn repeats(&self, answer: &Answer) -> bool {
        self.code == answer.code && self.enhanced == answer.enhanced && self.text == answer.text
    }
}

/// In one line, for logs.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_one_line())
    }
}

/// At most `most` bytes, cut between letters.
fn bounded(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// Lines of a reply that another party had a say in: only what may stand there.
fn printable(text: &str) -> String {
    if text.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')) {
        return text.to_owned();
    }
    text.chars().map(|letter| if letter.is_ascii_graphic() || matches!(letter, '\n' | ' ') { letter } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::client::Stage;

    fn answer(code: u16, enhanced: Option<Enhanced>, lines: &[&str]) -> Answer {
        Answer { code, enhanced, text: lines.join("\n") }
    }

    fn wire(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_line_carries_the_codes() {
        let said = answer(550, Some(Enhanced(5, 1, 1)), &["no such user", "try elsewhere"]);
        assert_eq!(wire(&passed(Stage::Recipient, &said)), "550-5.1.1 no such user\r\n550 5.1.1 try elsewhere\r\n");
        assert_eq!(wire(&extended_hello("h", &["PIPELINING".into()])), "250-h\r\n250 PIPELINING\r\n");
    }

    #[test]
    fn a_line_without_text_keeps_the_blank_after_its_code() {
        assert_eq!(wire(&hello("")), "250 \r\n");
    }

    #[test]
    fn a_missing_or_contradicting_enhanced_code_becomes_x_0_0() {
        assert_eq!(passed(Stage::Dot, &answer(450, None, &["later"])).enhanced(), Some(Enhanced(4, 0, 0)));
        assert_eq!(passed(Stage::Dot, &answer(450, Some(Enhanced(5, 1, 1)), &["later"])).enhanced(), Some(Enhanced(4, 0, 0)));
    }

    #[test]
    fn what_is_no_verdict_becomes_our_trouble() {
        for (stage, code) in [
            (Stage::Recipient, 421),
            (Stage::Recipient, 503),
            (Stage::Recipient, 530),
            (Stage::Recipient, 354),
            (Stage::Data, 250),
            (Stage::Data, 501),
            (Stage::Dot, 354),
            (Stage::Dot, 504),
            (Stage::Mail, 555),
            (Stage::Mail, 700),
        ] {
            assert_eq!(passed(stage, &answer(code, None, &["x"])), trouble(), "{stage:?} {code}");
        }
        assert_eq!(passed(Stage::Mail, &answer(501, None, &["x"])).code(), 501);
        assert_eq!(passed(Stage::Recipient, &answer(251, None, &["x"])).code(), 251);
    }

    #[test]
    fn texts_are_printable_and_bounded() {
        let line = format!("a\r\nb\0{}", "é".repeat(600));
        let sent = wire(&passed(Stage::Dot, &answer(550, None, &vec![line.as_str(); 30])));
        assert_eq!(sent.lines().count(), 20);
        assert!(sent.split_inclusive("\r\n").all(|line| line.len() <= 512 && line.is_ascii()));
    }

    #[test]
    fn a_rules_verdict_never_says_250() {
        assert_eq!(ruled(250, Enhanced(2, 0, 0), "x"), trouble());
        assert_eq!(ruled(550, Enhanced(5, 7, 1), "no").to_string(), "550 5.7.1 no");
    }
}
