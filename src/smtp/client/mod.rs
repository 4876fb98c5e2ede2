//! Client side of SMTP, without I/O: the next hop's replies, what they mean at each stage, and what is said to it.
//!
//! | stage     | accepted | a verdict on the mail | trouble: everything else, for example |
//! |-----------|----------|-----------------------|---------------------------------------|
//! | Greeting  | 220      |                       | 421, 554                              |
//! | Hello     | 250      |                       | any 4xx, 5xx                          |
//! | Login     | 235, 334 |                       | any other                             |
//! | Mail      | 250      | 4xx, 5xx              | 421, 500, 502, 503, 530, 555, 354     |
//! | Recipient | 250, 251 | 4xx, 5xx              | as Mail                               |
//! | Data      | 354      | 4xx, 5xx              | as Mail, and 501, 504, 250            |
//! | Dot       | 250      | 4xx, 5xx              | as Data, and 354                      |
//! | Reset     | 250      |                       | any other                             |
//! | Introduction (XCLIENT)  | 220 |              | any other                             |
//! | Forwarding (XFORWARD)   | 250 |              | any other                             |
//! | StartTls  | 220      |                       | any other                             |

mod capabilities;
mod words;

pub use capabilities::{Capabilities, Limits};
pub use words::declared_anew;

use super::status::{self, Class, Enhanced};

/// Lines of a reply that are kept, and bytes of each (SEMANTICS 2).
const LINES: usize = 20;
const LINE: usize = 512;
/// A reply to EHLO is kept whole as far as this: a keyword in line 21 counts, too.
const HELLO_LINES: usize = 200;
/// A reply longer than this is no reply.
const REPLY: usize = 64 * 1024;

/// A reply as the next hop gave it: its code, enhanced code and text lines (printable ASCII, bounded: 20 lines of 512 bytes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: u16,
    pub enhanced: Option<Enhanced>,
    /// Its lines, without code, separator and enhanced code, LF between them.
    pub text: String,
}

impl Answer {
    /// By the first digit.
    #[must_use]
    pub fn class(&self) -> Class {
        status::class(self.code)
    }

    /// In one line, for logs: `250 2.0.0 Ok: queued`.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        let mut line = String::with_capacity(64);
        status::add_in_one_line(self.code, self.enhanced, &self.text, &mut line);
        line
    }

    /// A refused MAIL as it is told at RCPT: there 552 and 452 would mean too many recipients (RFC 5321 4.5.3.1.10).
    #[must_use]
    pub fn told_at_rcpt(mut self) -> Answer {
        match self.code {
            552 => (self.code, self.enhanced) = (554, Some(Enhanced(5, 3, 4))),
            452 => (self.code, self.enhanced) = (451, Some(Enhanced(4, 3, 1))),
            _ => {}
        }
        self
    }

    /// What it means at this stage.
    #[must_use]
    pub fn meaning(&self, stage: Stage) -> Meaning {
        let accepted = match stage {
            Stage::Greeting | Stage::Introduction | Stage::StartTls => self.code == 220,
            Stage::Data => self.code == 354,
            Stage::Login => matches!(self.code, 235 | 334),
            Stage::Hello | Stage::Mail | Stage::Recipient | Stage::Dot | Stage::Reset | Stage::Forwarding => self.class() == Class::Done,
        };
        let speaks_of_the_mail = match stage {
            Stage::Greeting | Stage::Hello | Stage::Reset | Stage::Login | Stage::Introduction | Stage::Forwarding | Stage::StartTls => {
                false
            }
            Stage::Mail | Stage::Recipient => true,
            Stage::Data | Stage::Dot => !matches!(self.code, 501 | 504),
        };
        // SEMANTICS 2: these speak of our manners towards the next hop, or of its own state, not of the mail.
        let speaks_of_us = matches!(self.code, 421 | 500 | 502 | 503 | 530 | 535 | 538 | 555 | 600..);
        match self.class() {
            _ if accepted => Meaning::Accepted,
            Class::Transient | Class::Permanent if speaks_of_the_mail && !speaks_of_us => Meaning::Verdict,
            _ => Meaning::Trouble,
        }
    }
}

/// What a reply answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Greeting,
    /// EHLO or HELO.
    Hello,
    Mail,
    Recipient,
    Data,
    /// The end of the data.
    Dot,
    Reset,
    /// XCLIENT.
    Introduction,
    /// XFORWARD.
    Forwarding,
    /// AUTH, and each answer to a challenge.
    Login,
    StartTls,
}

impl Stage {
    /// All of them, in the order in which they are declared.
    pub const ALL: [Stage; 11] = [
        Stage::Greeting,
        Stage::Hello,
        Stage::Mail,
        Stage::Recipient,
        Stage::Data,
        Stage::Dot,
        Stage::Reset,
        Stage::Introduction,
        Stage::Forwarding,
        Stage::Login,
        Stage::StartTls,
    ];

    /// For counts.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Stage::Greeting => "greeting",
            Stage::Hello => "ehlo",
            Stage::Mail => "mail",
            Stage::Recipient => "rcpt",
            Stage::Data => "data",
            Stage::Dot => "dot",
            Stage::Reset => "rset",
            Stage::Introduction => "xclient",
            Stage::Forwarding => "xforward",
            Stage::Login => "auth",
            Stage::StartTls => "starttls",
        }
    }

    /// For logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stage::Greeting => "the connection",
            Stage::Hello => "EHLO",
            Stage::Mail => "MAIL",
            Stage::Recipient => "RCPT",
            Stage::Data => "DATA",
            Stage::Dot => "the end of the data",
            Stage::Reset => "RSET",
            Stage::Introduction => "XCLIENT",
            Stage::Forwarding => "XFORWARD",
            Stage::Login => "AUTH",
            Stage::StartTls => "STARTTLS",
        }
    }
}

/// What a reply means for the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    Accepted,
    /// The next hop's word on this mail: it goes back to the client.
    Verdict,
    /// No word on the mail: the client hears 451.
    Trouble,
}

/// What came is no SMTP reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no SMTP reply: {0}")]
pub struct Garbage(pub String);

/// Bytes of the next hop, cut into replies. Holds what has not been asked for.
#[derive(Debug, Default)]
pub struct Replies {
    buffer: Vec<u8>,
    begun: Begun,
}

/// A reply as far as it has been read: what comes piece by piece is looked at once.
#[derive(Debug, Default)]
struct Begun {
    answer: Option<Answer>,
    lines: usize,
    /// Where its next line begins, and how far the end of that has been looked for.
    at: usize,
    searched: usize,
}

impl Replies {
    /// Takes bytes as they came in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Where bytes that come in are to be added.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Bytes that came and were not asked for yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// What came and was not asked for, for logs.
    #[must_use]
    pub fn rest(&self) -> String {
        printable(&self.buffer)
    }

    /// The next whole reply; none if more bytes are needed.
    ///
    /// # Errors
    /// What came cannot become a reply.
    pub fn next(&mut self, stage: Stage) -> Result<Option<Answer>, Garbage> {
        let keep = if stage == Stage::Hello { HELLO_LINES } else { LINES };
        let Replies { buffer, begun } = self;
        while let Some(end) = memchr::memchr(b'\n', &buffer[begun.searched..]) {
            let line = &buffer[begun.at..begun.searched + end];
            begun.at += line.len() + 1;
            begun.searched = begun.at;
            if begun.at > REPLY {
                break;
            }
            let (code, last, text) = reply_line(line.strip_suffix(b"\r").unwrap_or(line))?;
            let (enhanced, rest) = enhanced(code, text).map_or((None, text), |(found, rest)| (Some(found), rest));
            let text = if stage == Stage::Hello { text } else { rest };
            begun.lines += 1;
            match &mut begun.answer {
                None => begun.answer = Some(Answer { code, enhanced, text: printable(text) }),
                Some(so_far) if so_far.code != code => return Err(Garbage(format!("one line says {}, another {code}", so_far.code))),
                Some(so_far) if begun.lines <= keep => so_far.text.extend(["\n", &printable(text)]),
                Some(_) => {}
            }
            if last {
                buffer.drain(..begun.at);
                return Ok(std::mem::take(begun).answer);
            }
        }
        if buffer.len() > REPLY || begun.at > REPLY {
            return Err(Garbage(format!("a reply of more than {REPLY} bytes")));
        }
        begun.searched = buffer.len();
        Ok(None)
    }
}

/// Code, whether it is the last line, and text (RFC 5321 4.2).
fn reply_line(line: &[u8]) -> Result<(u16, bool, &[u8]), Garbage> {
    let not_a_reply = || Garbage(format!("`{}`", printable(line)));
    let (digits, rest) = line.split_at_checked(3).ok_or_else(not_a_reply)?;
    if !matches!(digits[0], b'2'..=b'5') || !digits.iter().all(u8::is_ascii_digit) {
        return Err(not_a_reply());
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest.split_first() {
        None => Ok((code, true, rest)),
        Some((b' ', text)) => Ok((code, true, text)),
        Some((b'-', text)) => Ok((code, false, text)),
        Some(_) => Err(not_a_reply()),
    }
}

/// An enhanced code at the start of a text, if its class fits the code (RFC 2034 4), and the text after it.
fn enhanced(code: u16, text: &[u8]) -> Option<(Enhanced, &[u8])> {
    let (class, rest) = number(text, 1)?;
    let (subject, rest) = number(rest.strip_prefix(b".")?, 3)?;
    let (detail, rest) = number(rest.strip_prefix(b".")?, 3)?;
    if class != code / 100 || !matches!(class, 2 | 4 | 5) || !matches!(rest.first(), None | Some(b' ')) {
        return None;
    }
    Some((Enhanced(u8::try_from(class).unwrap_or(5), subject, detail), rest.get(1..).unwrap_or_default()))
}

/// A number of at most so many digits at the start of a text, and what follows it.
fn number(text: &[u8], most: usize) -> Option<(u16, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(length);
    (1..=most).contains(&length).then(|| (digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')), rest))
}

/// Printable ASCII, at most a line: a tab is a blank, other control characters go, what is not ASCII is `?`.
fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    if text.len() <= LINE && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.into_owned();
    }
    let seen = text.chars().filter(|char| *char == '\t' || !char.is_control());
    seen.map(|char| match char {
        '\t' => ' ',
        char if char.is_ascii() => char,
        _ => '?',
    })
    .take(LINE)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Answer>, Garbage> {
        let mut replies = Replies::default();
        replies.push(bytes);
        replies.next(Stage::Recipient)
    }

    #[test]
    fn a_reply_of_several_lines_is_read_in_any_split() {
        let bytes = b"550-5.1.1 No such\r\n550-5.1.1\r\n550 5.1.1 user\r\n250 Ok\r\n";
        for split in 0..bytes.len() {
            let mut replies = Replies::default();
            let mut answers = Vec::new();
            for piece in [&bytes[..split], &bytes[split..]] {
                replies.push(piece);
                while let Some(answer) = replies.next(Stage::Recipient).unwrap() {
                    answers.push(answer);
                }
            }
            assert_eq!(answers.len(), 2, "split at {split}");
            assert_eq!(answers[0].text, "No such\n\nuser");
            assert_eq!(answers[0].enhanced, Some(Enhanced(5, 1, 1)));
            assert_eq!(answers[1], Answer { code: 250, enhanced: None, text: "Ok".into() });
            assert_eq!(replies.waiting(), 0);
        }
    }

    #[test]
    fn a_reply_that_comes_byte_by_byte_is_the_same() {
        let bytes = b"250-2.0.0 one\r\n250-two\n250 2.0.0 three\r\n550 5.1.1 no\r\n";
        let (mut replies, mut answers) = (Replies::default(), Vec::new());
        for byte in bytes {
            replies.push(&[*byte]);
            answers.extend(replies.next(Stage::Recipient).unwrap());
        }
        assert_eq!(answers.iter().map(|answer| &*answer.text).collect::<Vec<_>>(), ["one\ntwo\nthree", "no"]);
        assert_eq!((replies.waiting(), replies.begun.searched), (0, 0));
    }

    #[test]
    fn an_enhanced_code_of_another_class_stays_text() {
        let answer = read(b"250 5.1.1 odd\r\n").unwrap().unwrap();
        assert_eq!((answer.enhanced, &*answer.text), (None, "5.1.1 odd"));
        let answer = read(b"450 4.2 short\r\n").unwrap().unwrap();
        assert_eq!((answer.enhanced, &*answer.text), (None, "4.2 short"));
        for odd in ["5.1.1.1 x", "5.1.1x", "5.1234.1 x", "55.1.1 x", "5..1 x", "5.1. x", " 5.1.1 x", "5.1.-1"] {
            let answer = read(format!("550 {odd}\r\n").as_bytes()).unwrap().unwrap();
            assert_eq!((answer.enhanced, &*answer.text), (None, odd));
        }
        let answer = read(b"550 5.999.007\r\n").unwrap().unwrap();
        assert_eq!((answer.enhanced, &*answer.text), (Some(Enhanced(5, 999, 7)), ""));
    }

    #[test]
    fn what_is_no_reply_is_garbage() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\r\n",
            b"99\r\n",
            b"250_ok\r\n",
            b"650 no\r\n",
            b"250-a\r\n251 b\r\n",
            b"\xff\xfe\x00\n",
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_reply_without_end_is_garbage_and_many_lines_are_cut() {
        let mut endless = Replies::default();
        let outcome = (0..10_000).find_map(|_| {
            endless.push(b"250-more and more\r\n");
            endless.next(Stage::Recipient).err()
        });
        assert!(outcome.is_some());
        assert!(read(&vec![b'2'; REPLY + 1]).is_err());
        let mut long = b"550-x\r\n".repeat(30);
        long.extend_from_slice(b"550 end\r\n");
        assert_eq!(read(&long).unwrap().unwrap().text.lines().count(), LINES);
    }

    #[test]
    fn a_reply_that_is_too_long_only_with_its_last_line_is_garbage_too() {
        let lines = b"250-more and more\r\n".repeat(REPLY / 19 - 1);
        let end = |length: usize| [&lines[..], b"250 ", &vec![b'x'; length], b"\r\n"].concat();
        let room = REPLY - lines.len() - b"250 \r\n".len();
        assert!(read(&end(room)).unwrap().is_some());
        assert!(read(&end(room + 1)).is_err());
    }

    #[test]
    fn text_is_made_printable_and_bounded() {
        let answer = read(b"550 a\x1b[31m\tb\x00 \xc3\xa9\r\n").unwrap().unwrap();
        assert_eq!(answer.text, "a[31m b ?");
        let long = [&b"550 "[..], &[b'x'; 2000], b"\r\n"].concat();
        assert_eq!(read(&long).unwrap().unwrap().text.len(), LINE);
    }

    #[test]
    fn the_table_of_stages_holds() {
        let meaning = |code, stage| Answer { code, enhanced: None, text: String::new() }.meaning(stage);
        for code in [421, 500, 502, 503, 530, 535, 538, 555] {
            for stage in [Stage::Mail, Stage::Recipient, Stage::Data, Stage::Dot] {
                assert_eq!(meaning(code, stage), Meaning::Trouble, "{code} to {stage:?}");
            }
        }
        for code in [501, 504] {
            assert_eq!(meaning(code, Stage::Recipient), Meaning::Verdict);
            assert_eq!(meaning(code, Stage::Dot), Meaning::Trouble);
        }
        assert_eq!(meaning(250, Stage::Data), Meaning::Trouble);
        assert_eq!(meaning(354, Stage::Dot), Meaning::Trouble);
        assert_eq!(meaning(354, Stage::Data), Meaning::Accepted);
        assert_eq!(meaning(554, Stage::Greeting), Meaning::Trouble);
        assert_eq!(meaning(550, Stage::Hello), Meaning::Trouble);
        assert_eq!(meaning(452, Stage::Dot), Meaning::Verdict);
    }

    #[test]
    fn a_refused_mail_never_sounds_like_too_many_recipients() {
        let told = |code| Answer { code, enhanced: None, text: String::new() }.told_at_rcpt();
        assert_eq!((told(552).code, told(552).enhanced), (554, Some(Enhanced(5, 3, 4))));
        assert_eq!((told(452).code, told(452).enhanced), (451, Some(Enhanced(4, 3, 1))));
        assert_eq!(told(550).code, 550);
    }
}
