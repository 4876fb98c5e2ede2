//! The receiving end: a thread that takes every message, compares it as it comes and enters it in the ledger.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use memchr::memmem;

use crate::ledger::{Body, Ledger};
use crate::mail::{Shape, Template};
use crate::wire::{self, Input, Poll};

/// What is no connection but a listener.
const LISTENER: u64 = 1 << 63;

/// The longest header that is looked at.
const HEADER: usize = 1 << 20;

const HELLO: &[u8] = b"250-sink.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n";
const HELLO_CHUNKING: &[u8] =
    b"250-sink.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250 8BITMIME\r\n";

/// What a body on the wire ends in that is not of it.
const DOT: &[u8] = b".\r\n";

/// The thread's handle. The thread lives as long as the process.
#[derive(Debug)]
pub struct Sink {
    ports: Vec<u16>,
    chunking: u16,
    ledger: Arc<Mutex<Ledger>>,
}

impl Sink {
    /// Listens on so many ports, and on one that announces CHUNKING.
    pub fn start(ports: usize) -> io::Result<Self> {
        let listeners = (0..=ports).map(|_| wire::listen(0)).collect::<io::Result<Vec<_>>>()?;
        let mut ports = listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<io::Result<Vec<_>>>()?;
        let chunking = ports.pop().ok_or(io::ErrorKind::NotFound)?;
        let ledger = Arc::new(Mutex::new(Ledger::new(Arc::new(Template::new(0, 0, Shape::Text, false)), 0)));
        let receiver = Receiver::new(listeners, Arc::clone(&ledger))?;
        thread::Builder::new().name("sink".to_owned()).spawn(move || receiver.run())?;
        Ok(Self { ports, chunking, ledger })
    }

    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// The port that announces CHUNKING (RFC 3030).
    pub fn chunking(&self) -> u16 {
        self.chunking
    }

    /// Begins a run.
    pub fn expect(&self, template: Arc<Template>, messages: u64) {
        *self.ledger() = Ledger::new(template, messages);
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("the sink's thread does not panic")
    }
}

/// What the next bytes are.
#[derive(Debug, Clone, Copy)]
enum Reading {
    Command,
    /// Up to the dot.
    Data,
    Chunk {
        left: usize,
        last: bool,
    },
}

/// How far the message is.
#[derive(Debug)]
enum Part {
    Header,
    /// As expected up to this byte.
    Body(usize),
    /// Not as expected from this byte on: only its end is looked for, in what came after these bytes.
    Spoilt(usize, Vec<u8>),
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    chunking: bool,
    reading: Reading,
    part: Part,
    /// A command whose end is not here yet.
    line: Vec<u8>,
    /// The header of the message.
    header: Vec<u8>,
    replies: Vec<u8>,
    template: Arc<Template>,
}

struct Receiver {
    poll: Poll,
    listeners: Vec<TcpListener>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    ledger: Arc<Mutex<Ledger>>,
}

impl Receiver {
    fn new(listeners: Vec<TcpListener>, ledger: Arc<Mutex<Ledger>>) -> io::Result<Self> {
        let poll = Poll::new()?;
        for (number, listener) in listeners.iter().enumerate() {
            listener.set_nonblocking(true)?;
            poll.add(listener, LISTENER | number as u64)?;
        }
        Ok(Self { poll, listeners, connections: Vec::new(), free: Vec::new(), ledger })
    }

    fn run(mut self) -> io::Result<()> {
        let (mut ready, mut buffer) = (Vec::new(), vec![0; 1 << 18]);
        loop {
            self.poll.wait(&mut ready, None)?;
            for event in &ready {
                let token = usize::try_from(event.token & !LISTENER).expect("an index");
                if event.token & LISTENER != 0 {
                    self.accept(token)?;
                    continue;
                }
                let Some(connection) = &mut self.connections[token] else { continue };
                let goes_on = match wire::read(&connection.stream, &mut buffer) {
                    Input::Bytes(bytes) => connection.take(bytes, &self.ledger) & connection.answer(),
                    Input::NotYet => true,
                    Input::Closed => false,
                };
                if !goes_on {
                    self.connections[token] = None;
                    self.free.push(token);
                }
            }
        }
    }

    fn accept(&mut self, listener: usize) -> io::Result<()> {
        while let Ok((stream, _)) = self.listeners[listener].accept() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let template = Arc::clone(self.ledger.lock().expect("nobody panics with it").template());
            let mut connection = Connection {
                stream,
                // The last of the listeners.
                chunking: listener + 1 == self.listeners.len(),
                reading: Reading::Command,
                part: Part::Header,
                line: Vec::new(),
                header: Vec::new(),
                replies: b"220 sink.example ESMTP\r\n".to_vec(),
                template,
            };
            connection.answer();
            let at = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            self.poll.add(&connection.stream, at as u64)?;
            self.connections[at] = Some(connection);
        }
        Ok(())
    }
}

impl Connection {
    /// Whether the connection goes on.
    fn take(&mut self, mut bytes: &[u8], ledger: &Mutex<Ledger>) -> bool {
        while !bytes.is_empty() {
            bytes = match self.reading {
                Reading::Command => {
                    let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
                    let (line, rest) = bytes.split_at(end);
                    self.line.extend_from_slice(line);
                    if self.line.ends_with(b"\n") && !self.command(ledger) {
                        return false;
                    }
                    rest
                }
                Reading::Data => self.content(bytes, ledger),
                Reading::Chunk { left, last } => {
                    let (mut content, rest) = bytes.split_at(left.min(bytes.len()));
                    self.reading = Reading::Chunk { left: left - content.len(), last };
                    while !content.is_empty() {
                        content = self.content(content, ledger);
                    }
                    self.chunk(ledger);
                    rest
                }
            };
        }
        true
    }

    fn answer(&mut self) -> bool {
        // Replies are far below what a socket holds.
        let sent = self.replies.is_empty() || (&self.stream).write_all(&self.replies).is_ok();
        self.replies.clear();
        sent
    }

    fn command(&mut self, ledger: &Mutex<Ledger>) -> bool {
        let verb = self.line.get(..4).unwrap_or_default();
        let (reply, goes_on): (&[u8], _) = if verb.eq_ignore_ascii_case(b"DATA") {
            self.reading = Reading::Data;
            self.begin(ledger);
            (b"354 go on\r\n", true)
        } else if verb.eq_ignore_ascii_case(b"BDAT") {
            let Some((left, last)) = chunk(&self.line) else { return false };
            self.reading = Reading::Chunk { left, last };
            if self.header.is_empty() {
                self.begin(ledger);
            }
            self.chunk(ledger);
            (b"", true)
        } else if verb.eq_ignore_ascii_case(b"EHLO") {
            (if self.chunking { HELLO_CHUNKING } else { HELLO }, true)
        } else if verb.eq_ignore_ascii_case(b"QUIT") {
            (b"221 2.0.0 bye\r\n", false)
        } else if verb.eq_ignore_ascii_case(b"MAIL") {
            (b"250 2.1.0 ok\r\n", true)
        } else if verb.eq_ignore_ascii_case(b"RCPT") {
            (b"250 2.1.5 ok\r\n", true)
        } else {
            (b"250 2.0.0 ok\r\n", true)
        };
        self.replies.extend_from_slice(reply);
        self.line.clear();
        goes_on
    }

    fn begin(&mut self, ledger: &Mutex<Ledger>) {
        self.part = Part::Header;
        self.template = Arc::clone(ledger.lock().expect("nobody panics with it").template());
    }

    /// Answers a chunk that is here whole.
    fn chunk(&mut self, ledger: &Mutex<Ledger>) {
        match self.reading {
            Reading::Chunk { left: 0, last: true } => {
                let whole = self.template.expected.len() - DOT.len();
                let body = match self.part {
                    Part::Body(at) if at == whole => Body::Right,
                    Part::Body(at) | Part::Spoilt(at, _) => Body::DiffersAt(at),
                    Part::Header => Body::DiffersAt(0),
                };
                self.finish(body, ledger);
            }
            Reading::Chunk { left: 0, last: false } => {
                self.reading = Reading::Command;
                self.replies.extend_from_slice(b"250 2.0.0 go on\r\n");
            }
            _ => {}
        }
    }

    fn content<'b>(&mut self, bytes: &'b [u8], ledger: &Mutex<Ledger>) -> &'b [u8] {
        match self.part {
            Part::Header => self.header(bytes, ledger),
            Part::Body(at) => self.body(at, bytes, ledger),
            Part::Spoilt(..) => self.spoilt(bytes, ledger),
        }
    }

    fn by_dot(&self) -> bool {
        matches!(self.reading, Reading::Data)
    }

    fn header<'b>(&mut self, bytes: &'b [u8], ledger: &Mutex<Ledger>) -> &'b [u8] {
        let before = self.header.len();
        self.header.extend_from_slice(bytes);
        if let Some(at) = memmem::find(&self.header[before.saturating_sub(3)..], b"\r\n\r\n") {
            let end = before.saturating_sub(3) + at + 4;
            self.header.truncate(end - 2);
            self.part = Part::Body(0);
            &bytes[end - before..]
        } else {
            if self.by_dot() && self.header.ends_with(b"\r\n.\r\n") {
                self.finish(Body::DiffersAt(0), ledger);
            } else if self.header.len() > HEADER {
                self.header.clear();
                self.part = Part::Spoilt(0, Vec::new());
            }
            &[]
        }
    }

    fn body<'b>(&mut self, at: usize, bytes: &'b [u8], ledger: &Mutex<Ledger>) -> &'b [u8] {
        let whole = self.template.expected.len() - if self.by_dot() { 0 } else { DOT.len() };
        let expected = &self.template.expected[at..whole];
        let length = expected.len().min(bytes.len());
        // More than what is expected would be another body, too.
        if length > 0 && bytes[..length] == expected[..length] {
            self.part = Part::Body(at + length);
            // What is expected ends in the dot.
            if length == expected.len() && self.by_dot() {
                self.finish(Body::Right, ledger);
            }
            &bytes[length..]
        } else {
            let same = expected.iter().zip(bytes).take_while(|(ours, theirs)| ours == theirs).count();
            // At the beginning of the body a line has ended too.
            let before = [b"\r\n", &self.template.expected[at.saturating_sub(4)..at]].concat();
            let tail = before[before.len().saturating_sub(4)..].to_vec();
            self.part = Part::Spoilt(at + same, tail);
            bytes
        }
    }

    fn spoilt<'b>(&mut self, bytes: &'b [u8], ledger: &Mutex<Ledger>) -> &'b [u8] {
        const END: &[u8] = b"\r\n.\r\n";
        if !self.by_dot() {
            return &[];
        }
        let Part::Spoilt(since, tail) = &mut self.part else { return bytes };
        let (since, before) = (*since, tail.len());
        tail.extend_from_slice(bytes);
        if let Some(at) = memmem::find(tail, END) {
            self.finish(Body::DiffersAt(since), ledger);
            &bytes[at + END.len() - before..]
        } else {
            tail.drain(..tail.len().saturating_sub(END.len() - 1));
            &[]
        }
    }

    fn finish(&mut self, body: Body, ledger: &Mutex<Ledger>) {
        ledger.lock().expect("nobody panics with it").enter(&self.header, body);
        self.header.clear();
        self.reading = Reading::Command;
        self.replies.extend_from_slice(b"250 2.0.0 taken\r\n");
    }
}

/// `BDAT n [LAST]` (RFC 3030 2).
fn chunk(line: &[u8]) -> Option<(usize, bool)> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace().skip(1);
    let size = words.next()?.parse().ok()?;
    Some((size, words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"))))
}
