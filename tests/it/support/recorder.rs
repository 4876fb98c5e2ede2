//! A next hop that takes everything and keeps it, to the byte.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A message as the next hop got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The whole MAIL line, with its parameters.
    pub mail: String,
    pub sender: String,
    pub recipients: Vec<String>,
    /// Dot-stuffing undone, without the final dot.
    pub message: Vec<u8>,
}

impl Taken {
    /// The message without the topmost field, which must be the `Received` of Transom.
    #[track_caller]
    pub fn without_received(&self) -> &[u8] {
        assert!(self.message.starts_with(b"Received: "), "no Received on top: {:?}", String::from_utf8_lossy(&self.message));
        let mut at = 0;
        loop {
            at += self.message[at..].iter().position(|byte| *byte == b'\n').expect("a line end") + 1;
            if !matches!(self.message.get(at), Some(b' ' | b'\t')) {
                return &self.message[at..];
            }
        }
    }
}

/// The next hop; it listens as long as the test process lives.
#[derive(Clone, Debug)]
pub struct Recorder {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    keywords: Vec<String>,
    taken: Mutex<Vec<Taken>>,
}

impl Recorder {
    /// Announces what today's servers do.
    pub fn start() -> Recorder {
        Recorder::start_with(&["PIPELINING", "SIZE 104857600", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8"])
    }

    /// Announces these EHLO keywords.
    pub fn start_with(keywords: &[&str]) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { keywords: keywords.iter().map(ToString::to_string).collect(), ..Shared::default() });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), shared) = (stream, Arc::clone(&accepting)) else { continue };
                // A connection that breaks is the end of that connection; what was taken stays.
                thread::spawn(move || shared.session(stream).unwrap_or(()));
            }
        });
        Recorder { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has taken so far. After a 250 to the client that is complete.
    pub fn taken(&self) -> Vec<Taken> {
        self.shared.taken.lock().unwrap().clone()
    }

    /// The only message it has taken.
    #[track_caller]
    pub fn only(&self) -> Taken {
        let mut taken = self.taken();
        assert_eq!(taken.len(), 1, "{taken:?}");
        taken.remove(0)
    }
}

impl Shared {
    fn session(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut out = stream.try_clone()?;
        let mut input = BufReader::new(stream);
        let (mut mail, mut recipients, mut line) = (None::<String>, Vec::new(), Vec::new());
        out.write_all(b"220 recorder.example ESMTP\r\n")?;
        loop {
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let verb = text.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            let reply = match verb.as_str() {
                "EHLO" => self.capabilities(),
                "HELO" => "250 recorder.example\r\n".into(),
                "MAIL" if mail.is_none() => {
                    mail = Some(text);
                    "250 2.1.0 sender ok\r\n".into()
                }
                "RCPT" if mail.is_some() => {
                    recipients.push(path(&text));
                    "250 2.1.5 recipient ok\r\n".into()
                }
                "DATA" if !recipients.is_empty() => {
                    out.write_all(b"354 go on\r\n")?;
                    let Some(message) = data(&mut input)? else { return Ok(()) };
                    let number = self.keep(mail.take().unwrap_or_default(), std::mem::take(&mut recipients), message);
                    format!("250 2.0.0 taken as {number}\r\n")
                }
                "RSET" => {
                    (mail, recipients) = (None, Vec::new());
                    "250 2.0.0 forgotten\r\n".into()
                }
                "NOOP" => "250 2.0.0 ok\r\n".into(),
                "QUIT" => return out.write_all(b"221 2.0.0 bye\r\n"),
                _ => "503 5.5.1 not now\r\n".into(),
            };
            out.write_all(reply.as_bytes())?;
        }
    }

    fn capabilities(&self) -> String {
        let keywords: Vec<_> = self.keywords.iter().map(|keyword| format!("250-{keyword}\r\n")).collect();
        format!("250-recorder.example\r\n{}250 HELP\r\n", keywords.concat())
    }

    fn keep(&self, mail: String, recipients: Vec<String>, message: Vec<u8>) -> usize {
        let mut taken = self.taken.lock().unwrap();
        taken.push(Taken { sender: path(&mail), mail, recipients, message });
        taken.len()
    }
}

/// What stands between the brackets.
fn path(line: &str) -> String {
    let inner = line.split_once('<').map_or("", |(_, rest)| rest);
    inner.rsplit_once('>').map_or(inner, |(path, _)| path).to_owned()
}

/// Reads up to the final dot; none when the connection ended before it, so that half a message is never taken.
fn data(input: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let (mut message, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        // RFC 5321 4.1.1.4: CRLF before the dot, too; a line that ended in a bare LF does not count.
        let at_line_start = message.is_empty() || message.ends_with(b"\r\n");
        if at_line_start && line == b".\r\n" {
            return Ok(Some(message));
        }
        message.extend_from_slice(if at_line_start && line.starts_with(b".") { &line[1..] } else { &line });
    }
}
