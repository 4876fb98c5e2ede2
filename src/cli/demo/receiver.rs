//! The next hop of the demo: takes every message and keeps the last one, to the byte.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A listening server; it ends with the process.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    last: Arc<Mutex<Last>>,
}

#[derive(Debug, Default)]
struct Last {
    count: u32,
    taken: Option<Taken>,
}

/// A message that was taken, dot-stuffing undone, and what was answered.
#[derive(Debug)]
pub struct Taken {
    pub message: Vec<u8>,
    pub reply: String,
}

impl Receiver {
    /// Listens on a port of the system's choosing.
    pub fn start() -> io::Result<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let last = Arc::new(Mutex::new(Last::default()));
        let keep = Arc::clone(&last);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keep = Arc::clone(&keep);
                // A connection that breaks is the other side's loss: it has no 250.
                thread::spawn(move || session(stream, &keep).unwrap_or(()));
            }
        });
        Ok(Receiver { address, last })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came since the last call. It is complete once the sender has its 250.
    pub fn take(&self) -> Option<Taken> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).taken.take()
    }
}

fn session(stream: TcpStream, last: &Mutex<Last>) -> io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    let (mut sender, mut recipients, mut line) = (false, 0, String::new());
    out.write_all(b"220 receiver.example ESMTP\r\n")?;
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let verb = line.split_ascii_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => "250-receiver.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES".to_owned(),
            "HELO" => "250 receiver.example".to_owned(),
            "MAIL" => {
                (sender, recipients) = (true, 0);
                "250 2.1.0 sender ok".to_owned()
            }
            "RCPT" if sender => {
                recipients += 1;
                "250 2.1.5 recipient ok".to_owned()
            }
            "DATA" if recipients > 0 => {
                out.write_all(b"354 go on\r\n")?;
                let Some(message) = data(&mut input)? else { return Ok(()) };
                (sender, recipients) = (false, 0);
                keep(last, message)
            }
            "RSET" => {
                (sender, recipients) = (false, 0);
                "250 2.0.0 forgotten".to_owned()
            }
            "NOOP" => "250 2.0.0 ok".to_owned(),
            "QUIT" => return out.write_all(b"221 2.0.0 bye\r\n"),
            _ => "503 5.5.1 not now".to_owned(),
        };
        out.write_all(format!("{reply}\r\n").as_bytes())?;
    }
}

fn keep(last: &Mutex<Last>, message: Vec<u8>) -> String {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    last.count += 1;
    let reply = format!("250 2.0.0 taken as {}", last.count);
    last.taken = Some(Taken { message, reply: reply.clone() });
    reply
}

/// Up to the final dot (RFC 5321 4.1.1.4: CRLF before it, too); none if the connection ends first.
fn data(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let (mut message, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let line_start = message.is_empty() || message.ends_with(b"\r\n");
        if line_start && line == b".\r\n" {
            return Ok(Some(message));
        }
        message.extend_from_slice(if line_start && line.starts_with(b".") { &line[1..] } else { &line });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dot_between_two_line_ends_ends_the_data() {
        assert_eq!(data(&mut &b"a\r\n..b\r\nc\n.\r\n\r\n.\r\n"[..]).unwrap().unwrap(), b"a\r\n.b\r\nc\n.\r\n\r\n");
        assert_eq!(data(&mut &b"a\r\n"[..]).unwrap(), None);
    }
}
