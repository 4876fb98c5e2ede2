//! What a client has sent and nobody has read yet: lines while commands come, raw bytes while a message does.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::pin::pin;
use std::time::Instant;

use bytes::BufMut;
use memchr::memchr;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::base::alarm::Alarm;
use crate::smtp::command::LONGEST_LINE;

/// Bytes asked for at a time, and kept for an idle session.
const FOR_COMMANDS: usize = 2 * 1024;
/// The same while a message comes in.
const FOR_DATA: usize = 64 * 1024;
/// How much may lie here unread while a message is on its way to the next hop.
const MOST_AHEAD: usize = 16 * 1024;
/// Buffers for data that a thread keeps for the next message.
const SPARE: usize = 8;

thread_local! {
    /// A buffer for data serves one message after another: asking the allocator for one each time costs more than reading into it.
    static SPARES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// The input of one connection.
#[derive(Debug, Default)]
pub struct Input {
    bytes: Vec<u8>,
    /// The buffer for commands, empty, while `bytes` is one for data.
    resting: Vec<u8>,
    /// What lies before it has been read.
    start: usize,
    /// The line that began is over its limit; it is thrown away up to its end. Whether it is a BDAT.
    skipping: Option<bool>,
    /// For reading within a time.
    alarm: Alarm,
}

/// A line of commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Where it lies, its LF included; see [`Input::text`].
    Whole(Range<usize>),
    /// It was over the limit and is gone.
    TooLong {
        /// Nobody knows how many bytes behind it are no commands.
        bdat: bool,
    },
}

impl Input {
    /// Reads more, once. Zero is the end of input. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn fill(&mut self, stream: &mut (impl AsyncRead + Unpin + ?Sized)) -> io::Result<usize> {
        self.read(stream, FOR_COMMANDS).await
    }

    /// The same, until `due`: none when nothing came.
    pub async fn fill_until(&mut self, stream: &mut (impl AsyncRead + Unpin + ?Sized), due: Instant) -> Option<io::Result<usize>> {
        self.read_until(stream, FOR_COMMANDS, due).await
    }

    /// The same in the larger pieces a message comes in.
    pub async fn fill_for_data_until(&mut self, stream: &mut (impl AsyncRead + Unpin + ?Sized), due: Instant) -> Option<io::Result<usize>> {
        self.read_until(stream, FOR_DATA, due).await
    }

    async fn read_until(&mut self, stream: &mut (impl AsyncRead + Unpin + ?Sized), most: usize, due: Instant) -> Option<io::Result<usize>> {
        let mut alarm = std::mem::take(&mut self.alarm);
        let read = alarm.until(due, pin!(self.read(stream, most))).await;
        self.alarm = alarm;
        read
    }

    async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin + ?Sized), most: usize) -> io::Result<usize> {
        self.bytes.drain(..self.start);
        self.start = 0;
        if most < FOR_DATA {
            self.give_back();
        } else {
            self.borrow();
        }
        self.bytes.reserve_exact(most);
        stream.read_buf(&mut (&mut self.bytes).limit(most)).await
    }

    /// Reads into a buffer for data from now on.
    fn borrow(&mut self) {
        if self.bytes.capacity() < FOR_DATA && self.bytes.is_empty() {
            let spare = SPARES.with_borrow_mut(Vec::pop);
            self.resting = std::mem::replace(&mut self.bytes, spare.unwrap_or_default());
        }
    }

    /// Reads commands again, once nothing of the data's buffer is needed any more.
    fn give_back(&mut self) {
        if self.bytes.capacity() > FOR_COMMANDS && self.bytes.is_empty() {
            let bytes = std::mem::replace(&mut self.bytes, std::mem::take(&mut self.resting));
            SPARES.with_borrow_mut(|spares| {
                if spares.len() < SPARE && bytes.capacity() == FOR_DATA {
                    spares.push(bytes);
                }
            });
        }
    }

    /// Resolves when the client is gone: its connection broke, or it ended with nothing behind what has been read (SEMANTICS 29). Else it never does, and
    /// what comes in meanwhile stays here.
    pub async fn gone(&mut self, stream: &mut (impl AsyncRead + Unpin + ?Sized)) {
        while self.rest().len() < MOST_AHEAD {
            match self.fill(stream).await {
                Ok(0) if self.is_empty() => return,
                Ok(0) => break,
                Ok(_) => {}
                Err(_) => return,
            }
        }
        std::future::pending::<()>().await;
    }

    /// The next whole line, if there is one.
    pub fn next_line(&mut self) -> Option<Line> {
        let rest = &self.bytes[self.start..];
        let Some(end) = memchr(b'\n', rest) else {
            if rest.len() > LONGEST_LINE {
                self.skipping = self.skipping.or(Some(is_bdat(rest)));
            }
            if self.skipping.is_some() {
                self.start = self.bytes.len();
            }
            return None;
        };
        let line = self.start..self.start + end + 1;
        self.start = line.end;
        Some(match self.skipping.take() {
            Some(bdat) => Line::TooLong { bdat },
            None if line.len() > LONGEST_LINE => Line::TooLong { bdat: is_bdat(self.text(&line)) },
            None => Line::Whole(line),
        })
    }

    /// The bytes of a line, until more is read.
    #[must_use]
    pub fn text(&self, line: &Range<usize>) -> &[u8] {
        &self.bytes[line.clone()]
    }

    /// What has not been read.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// Marks so many bytes of [`Input::rest`] as read.
    pub fn consume(&mut self, count: usize) {
        self.start += count;
    }
}

fn is_bdat(line: &[u8]) -> bool {
    line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn input(bytes: &[u8]) -> Input {
        let (mut source, mut input) = (bytes, Input::default());
        while input.fill(&mut source).await.unwrap() > 0 {}
        input
    }

    #[tokio::test]
    async fn lines_come_one_by_one_and_half_a_line_waits() {
        let mut input = input(b"EHLO c\r\nQUIT\r\nNO").await;
        let Some(Line::Whole(line)) = input.next_line() else { panic!() };
        assert_eq!(input.text(&line), b"EHLO c\r\n");
        assert!(input.next_line().is_some());
        assert_eq!(input.next_line(), None);
        assert_eq!(input.rest(), b"NO");
        input.fill(&mut b"OP\r\n".as_slice()).await.unwrap();
        let Some(Line::Whole(line)) = input.next_line() else { panic!() };
        assert_eq!(input.text(&line), b"NOOP\r\n");
    }

    #[tokio::test]
    async fn an_endless_line_takes_no_room_and_ends_as_too_long() {
        let mut input = Input::default();
        for _ in 0..100 {
            input.fill(&mut [b'x'; FOR_COMMANDS].as_slice()).await.unwrap();
            assert_eq!(input.next_line(), None);
        }
        assert!(input.bytes.capacity() <= 4 * FOR_COMMANDS);
        input.fill(&mut b"x\r\nNOOP\r\n".as_slice()).await.unwrap();
        assert_eq!(input.next_line(), Some(Line::TooLong { bdat: false }));
        assert!(matches!(input.next_line(), Some(Line::Whole(_))));
    }

    #[tokio::test]
    async fn an_overlong_bdat_is_told_from_other_lines_however_it_comes() {
        let long = "x".repeat(LONGEST_LINE);
        let mut at_once = input(format!("bdat {long}\r\nNOOP {long}\r\n").as_bytes()).await;
        assert_eq!(at_once.next_line(), Some(Line::TooLong { bdat: true }));
        assert_eq!(at_once.next_line(), Some(Line::TooLong { bdat: false }));
        let mut in_pieces = input(format!("BDAT {long}").as_bytes()).await;
        assert_eq!(in_pieces.next_line(), None);
        in_pieces.fill(&mut format!("{long}\r\n").as_bytes()).await.unwrap();
        assert_eq!(in_pieces.next_line(), Some(Line::TooLong { bdat: true }));
    }

    #[tokio::test]
    async fn a_client_is_gone_when_its_input_ends_with_nothing_behind_the_message() {
        let mut empty = Input::default();
        empty.gone(&mut b"".as_slice()).await;
        let mut quitting = Input::default();
        let waited = tokio::time::timeout(std::time::Duration::ZERO, quitting.gone(&mut b"QUIT\r\n".as_slice())).await;
        assert!(waited.is_err());
        assert_eq!(quitting.rest(), b"QUIT\r\n");
    }
}
