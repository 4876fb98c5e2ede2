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

/// The thread's handle. The thread lives as long as the process.
#[derive(Debug)]
pub struct Sink {
    ports: Vec<u16>,
    ledger: Arc<Mutex<Ledger>>,
}

impl Sink {
    /// Listens on so many ports.
    pub fn start(ports: usize) -> io::Result<Self> {
        let listeners = (0..ports).map(|_| wire::listen(0)).collect::<io::Result<Vec<_>>>()?;
        let ports = listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<io::Result<_>>()?;
        let ledger = Arc::new(Mutex::new(Ledger::new(Arc::new(Template::new(0, 0, Shape::Text, false)), 0)));
        let receiver = Receiver::new(listeners, Arc::clone(&ledger))?;
        thread::Builder::new().name("sink".to_owned()).spawn(move || receiver.run())?;
        Ok(Self { ports, ledger })
    }

    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Begins a run.
    pub fn expect(&self, template: Arc<Template>, messages: u64) {
        *self.ledger() = Ledger::new(template, messages);
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("the sink's thread does not panic")
    }
}

/// Where a connection is.
#[derive(Debug)]
enum State {
    Command,
    Header,
    /// As expected up to this byte.
    Body(usize),
    /// Not as expected from this byte on: only its end is looked for, in what came after these bytes.
    Spoilt(usize, Vec<u8>),
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    state: State,
    /// A command whose end is not here yet, or the header of the message.
    buffer: Vec<u8>,
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
            let replies = b"220 sink.example ESMTP\r\n".to_vec();
            let mut connection = Connection { stream, state: State::Command, buffer: Vec::new(), replies, template };
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
            bytes = match &mut self.state {
                State::Command => {
                    let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
                    let (line, rest) = bytes.split_at(end);
                    self.buffer.extend_from_slice(line);
                    if self.buffer.ends_with(b"\n") && !self.command(ledger) {
                        return false;
                    }
                    rest
                }
                State::Header => self.header(bytes, ledger),
                State::Body(_) => self.body(bytes, ledger),
                State::Spoilt(..) => self.spoilt(bytes, ledger),
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
        let verb = self.buffer.get(..4).unwrap_or_default();
        let (reply, goes_on): (&[u8], _) = if verb.eq_ignore_ascii_case(b"DATA") {
            self.state = State::Header;
            self.template = Arc::clone(ledger.lock().expect("nobody panics with it").template());
            (b"354 go on\r\n", true)
        } else if verb.eq_ignore_ascii_case(b"EHLO") {
            (HELLO, true)
        } else if verb.eq_ignore_ascii_case(b"QUIT") {
            (b"221 2.0.0 bye\r\n", false)
        } else {
            (b"250 2.0.0 ok\r\n", true)
        };
        self.replies.extend_from_slice(reply);
        self.buffer.clear();
        goes_on
    }

    fn header<'b>(&mut self, bytes: &'b [u8], ledger: &Mutex<Ledger>) -> &'b [u8] {
        let before = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        if let Some(at) = memmem::find(&self.buffer[before.saturating_sub(3)..], b"\r\n\r\n") {
            let end = before.saturating_sub(3) + at + 4;
            self.buffer.truncate(end - 2);
            self.state = State::Body(0);
            &bytes[end - before..]
        } else {
            if self.buffer.ends_with(b"\r\n.\r\n") {
                self.finish(Body::DiffersAt(0), ledger);
            } else if self.buffer.len() > HEADER {
                self.buffer.clear();
                self.state = State::Spoilt(0, Vec::new());
            }
            &[]
        }
    }

    fn body<'b>(&mut self, bytes: &'b [u8], ledger: &Mutex<Ledger>) -> &'b [u8] {
        let State::Body(at) = &mut self.state else { return bytes };
        let expected = &self.template.expected[*at..];
        let length = expected.len().min(bytes.len());
        if bytes[..length] == expected[..length] {
            *at += length;
            // What is expected ends in the dot.
            if length == expected.len() {
                self.finish(Body::Right, ledger);
            }
            &bytes[length..]
        } else {
            let same = expected.iter().zip(bytes).take_while(|(ours, theirs)| ours == theirs).count();
            // At the beginning of the body a line has ended too.
            let before = [b"\r\n", &self.template.expected[at.saturating_sub(4)..*at]].concat();
            let tail = before[before.len().saturating_sub(4)..].to_vec();
            self.state = State::Spoilt(*at + same, tail);
            bytes
        }
    }

    fn spoilt<'b>(&mut self, bytes: &'b [u8], ledger: &Mutex<Ledger>) -> &'b [u8] {
        const END: &[u8] = b"\r\n.\r\n";
        let State::Spoilt(since, tail) = &mut self.state else { return bytes };
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
        ledger.lock().expect("nobody panics with it").enter(&self.buffer, body);
        self.buffer.clear();
        self.state = State::Command;
        self.replies.extend_from_slice(b"250 2.0.0 taken\r\n");
    }
}
