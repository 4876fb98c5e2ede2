//! The messages and rules that are counted.

use std::fmt::Write;

/// The four changes of the benchmark.
pub const FOUR_CHANGES: &str = "\
rules:
  - name: bench
    then:
      - header.add: {name: X-Filtered, value: 'yes'}
      - header.remove: {name: {starts_with: X-Remove-}}
      - header.replace: {name: Subject, matches: '^invoice ', with: '[EXT] invoice '}
      - body.replace: {matches: 'SECRET-[0-9]+', with: REDACTED}
";

const HEADER: &str = "\
Received: from client.example.com (client.example.com [192.0.2.1])\r
\tby mx.example.com with ESMTP id counts7;\r
\tMon, 03 Aug 2026 10:00:00 +0000\r
Date: Mon, 03 Aug 2026 10:00:00 +0000\r
From: Sender <sender@example.com>\r
To: Rcpt <rcpt@example.net>\r
Message-ID: <counts.7.1234567890@example.com>\r
Subject: invoice 7 from the bench\r
X-Remove-Tracking: internal-7\r
X-Bench-Id: counts-7-1234567890\r
X-Keep: yes\r
MIME-Version: 1.0\r
";

/// 10 KiB of text, in which the rules change something in the header and, in every 32nd line, in the body.
pub fn text() -> String {
    format!("{HEADER}Content-Type: text/plain; charset=us-ascii\r\n\r\n{}", lines(10 * 1024))
}

fn lines(size: usize) -> String {
    let mut text = String::new();
    for number in 0.. {
        let last = text.len() + 72 >= size;
        let _ = if number % 32 == 0 || last {
            write!(text, "line {number:08} token SECRET-{number:06} and the rest of an ordinary text line.\r\n")
        } else {
            write!(text, "line {number:08} The quick brown fox jumps over the lazy dog {number:06} times.\r\n")
        };
        if last {
            break;
        }
    }
    text
}

/// Text in two forms, and two attachments: 30 KiB.
pub fn multipart() -> String {
    let part = |content: &str, body: &str| format!("{content}\r\n\r\n{body}\r\n");
    let base64 = "JVBERi0xLjQKJcfsj6IKNSAwIG9iago8PC9MZW5ndGggNiAwIFIvRmlsdGVyIC9GbGF0ZURlY29k\r\n".repeat(140);
    let attached = |name: &str| {
        let content = format!(
            "Content-Type: application/pdf; name=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"{name}\""
        );
        part(&content, &base64)
    };
    let plain = part("Content-Type: text/plain; charset=utf-8", &lines(2 * 1024));
    let html = format!("<html><body><p>{}</p></body></html>", lines(4 * 1024).replace("\r\n", "<br>=\r\n"));
    let html = part("Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable", &html);
    let alternative =
        format!("Content-Type: multipart/alternative; boundary=\"inner\"\r\n\r\n--inner\r\n{plain}--inner\r\n{html}--inner--\r\n");
    let body = format!("--outer\r\n{alternative}--outer\r\n{}--outer\r\n{}--outer--\r\n", attached("invoice.pdf"), attached("terms.pdf"));
    format!("{HEADER}Content-Type: multipart/mixed; boundary=\"outer\"\r\n\r\n{body}")
}

/// 200 fields, and a short text.
pub fn many_fields() -> String {
    let mut more = String::new();
    for number in 0..187 {
        let _ = write!(more, "X-Field-{number}: a value of an ordinary length, number {number}\r\n");
    }
    format!("{HEADER}{more}Content-Type: text/plain\r\n\r\nshort\r\n")
}

/// 10 KiB of lines that begin with a dot.
pub fn dots() -> String {
    format!("{HEADER}\r\n{}", ".a line that begins with a dot, as few do\r\n".repeat(240))
}

/// As a client sends it.
pub fn on_the_wire(message: &str) -> Vec<u8> {
    format!("{}.\r\n", message.replace("\r\n.", "\r\n..")).into_bytes()
}
