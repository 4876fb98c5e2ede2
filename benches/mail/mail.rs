//! The message of the load: what is sent, and what has to arrive.
//!
//! It asks for four changes: a field to add, one to remove, a Subject to rewrite and a body to replace in. Of every 32 lines of the body one has what is to be
//! replaced, and so have the first and the last.

use std::io::Write;

/// The name of the field that tells one message from all others: `X-Bench-Id: RUN-NUMBER`.
pub const ID: &[u8] = b"\r\nX-Bench-Id: ";

/// The line that a header of ours begins with; servers put theirs before it.
pub const FIRST_LINE: &[u8] = b"Received: from client.example.com (client.example.com [192.0.2.1])\r\n";

/// What a body consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// All of it is text.
    Text,
    /// A text of 10 KiB, and an attachment for the rest.
    Attachment,
}

/// What all messages of one run have in common.
#[derive(Debug)]
pub struct Template {
    /// Marks the messages of this run.
    pub run: u32,
    /// The body as it is sent, with the dot at its end.
    pub sent: Vec<u8>,
    /// The body as it has to arrive, with the dot at its end.
    pub expected: Vec<u8>,
    /// Whether what is between has to make the changes.
    pub changed: bool,
    content_type: &'static str,
}

impl Template {
    pub fn new(run: u32, size: usize, shape: Shape, changed: bool) -> Self {
        let sent = body(size, shape, |number| format!("SECRET-{number:06}"));
        let expected = if changed { body(size, shape, |_| "REDACTED".to_owned()) } else { sent.clone() };
        let content_type = match shape {
            Shape::Text => "text/plain; charset=us-ascii",
            Shape::Attachment => "multipart/mixed; boundary=between",
        };
        Self { run, sent, expected, changed, content_type }
    }

    /// The header of one message, with the empty line.
    pub fn header(&self, number: u64, into: &mut Vec<u8>) {
        let Self { run, content_type, .. } = self;
        into.clear();
        write!(
            into,
            "Received: from client.example.com (client.example.com [192.0.2.1])\r\n\tby mx.example.com with ESMTP id {run}.{number};\r\n\
             \tTue, 03 Nov 2026 10:00:00 +0000\r\nDate: Tue, 03 Nov 2026 10:00:00 +0000\r\nFrom: Ada <ada@example.com>\r\n\
             To: Berta <berta@example.net>\r\nMessage-ID: <{run}.{number}@example.com>\r\nSubject: invoice {number} for November\r\n\
             X-Remove-Host: build-{number}.internal.example\r\nX-Bench-Id: {run}-{number}\r\nX-Keep: yes\r\nMIME-Version: 1.0\r\n\
             Content-Type: {content_type}\r\n\r\n",
        )
        .expect("a Vec takes all");
    }

    /// The lines of the same header as they have to arrive, but for the field that is added, which may stand anywhere.
    pub fn expected_header(&self, number: u64) -> Vec<u8> {
        let mut header = Vec::new();
        self.header(number, &mut header);
        if !self.changed {
            return header;
        }
        let text = String::from_utf8(header).expect("it is ASCII");
        let lines = text.split_inclusive("\r\n").filter(|line| !line.starts_with("X-Remove-"));
        lines.map(|line| line.replace("Subject: ", "Subject: [EXT] ")).collect::<String>().into_bytes()
    }
}

fn body(size: usize, shape: Shape, token: impl Fn(usize) -> String) -> Vec<u8> {
    const TEXT: usize = 10 << 10;
    const LINE: &[u8] = b"JVBERi0xLjcKJeLjz9MKNSAwIG9iago8PC9GaWx0ZXIvRmxhdGVEZWNvZGUvTGVuZ3RoIDM4OT4+\r\n";
    let mut out = Vec::with_capacity(size + 1024);
    if shape == Shape::Text {
        text(size, token, &mut out);
    } else {
        out.extend_from_slice(b"--between\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n");
        text(TEXT, token, &mut out);
        out.extend_from_slice(
            b"\r\n--between\r\nContent-Type: application/pdf; name=plan.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        );
        // By number, not by size: what is sent and what has to arrive have the same lines here, though not the same text before.
        for _ in 0..size.saturating_sub(TEXT).div_ceil(LINE.len()) {
            out.extend_from_slice(LINE);
        }
        out.extend_from_slice(b"\r\n--between--\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

/// Lines of text of so many bytes.
fn text(size: usize, token: impl Fn(usize) -> String, out: &mut Vec<u8>) {
    // The sizes of the lines are those of the sent body, so that both bodies have the same lines.
    const TOKEN: usize = "line 00000000 token SECRET-000000 and the rest of an ordinary text line.\r\n".len();
    const PLAIN: usize = "line 00000000 The quick brown fox jumps over the lazy dog 000000 times.\r\n".len();
    let (mut length, mut number) = (0, 0);
    loop {
        let last = length + TOKEN >= size;
        let short = number % 1_000_000;
        if last || number % 32 == 0 {
            write!(out, "line {number:08} token {} and the rest of an ordinary text line.\r\n", token(short))
        } else {
            write!(out, "line {number:08} The quick brown fox jumps over the lazy dog {short:06} times.\r\n")
        }
        .expect("a Vec takes all");
        if last {
            break;
        }
        length += if number % 32 == 0 { TOKEN } else { PLAIN };
        number += 1;
    }
}
