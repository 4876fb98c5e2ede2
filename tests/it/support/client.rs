//! An SMTP client that sends exactly what it is told to, and reads replies.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::PATIENCE;

/// One connection to the server.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects and reads the greeting.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).expect("a greeting")
    }

    /// Connects and reads the greeting; none if there is no server, or it does not want to.
    pub fn try_connect(address: SocketAddr) -> Option<Client> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        stream.set_nodelay(true).ok()?;
        let mut client = Client { stream: BufReader::new(stream) };
        client.try_reply().filter(|greeting| greeting.starts_with("220 ")).map(|_| client)
    }

    /// Sends these bytes as they are.
    #[track_caller]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// Sends a line and gives the reply: its lines, joined by `\n`, without line ends.
    #[track_caller]
    pub fn say(&mut self, line: &str) -> String {
        self.raw(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// Sends bytes and reads a reply; none when the connection broke.
    pub fn try_say(&mut self, bytes: &[u8]) -> Option<String> {
        self.stream.get_mut().write_all(bytes).ok()?;
        self.try_reply()
    }

    /// Sends a line whose reply must begin with `start`.
    #[track_caller]
    pub fn expect(&mut self, line: &str, start: &str) -> String {
        let reply = self.say(line);
        assert!(reply.starts_with(start), "{line}\nwanted {start}\ngot    {reply}");
        reply
    }

    /// EHLO.
    #[track_caller]
    pub fn hello(&mut self) -> String {
        self.expect("EHLO client.example", "250")
    }

    /// A whole transaction up to the 354, all of it accepted.
    #[track_caller]
    pub fn open(&mut self, sender: &str, recipients: &[&str]) {
        self.expect(&format!("MAIL FROM:<{sender}>"), "250");
        for recipient in recipients {
            self.expect(&format!("RCPT TO:<{recipient}>"), "250");
        }
        self.expect("DATA", "354");
    }

    /// Sends a message (its line ends are CRLF), dots stuffed, with the final dot, and gives the reply.
    pub fn data(&mut self, message: &[u8]) -> String {
        self.raw(&stuffed(message));
        self.reply()
    }

    /// EHLO, one transaction; the reply to the data.
    #[track_caller]
    pub fn send(&mut self, sender: &str, recipients: &[&str], message: &[u8]) -> String {
        self.open(sender, recipients);
        self.data(message)
    }

    /// Reads a reply, all its lines. Panics at the end of input.
    #[track_caller]
    pub fn reply(&mut self) -> String {
        self.try_reply().expect("a reply")
    }

    /// Reads a reply; none at the end of input or when the connection broke.
    pub fn try_reply(&mut self) -> Option<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.strip_suffix("\r\n")?;
            lines.push(line.to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Some(lines.join("\n"));
            }
        }
    }

    /// Whether the server says nothing for a moment.
    pub fn hears_nothing(&mut self) -> bool {
        self.socket().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let silent =
            self.stream.buffer().is_empty() && self.socket().peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        self.socket().set_read_timeout(Some(PATIENCE)).unwrap();
        silent
    }

    /// Whether the server has closed the connection without another byte.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0))
    }

    /// The socket, for what a well-behaved client would not do.
    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }
}

/// A message as it goes over the wire: dots at line start doubled, `.` at the end.
pub fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 8);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}
