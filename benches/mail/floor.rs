//! The SMTP floor: the least that a proxy can cost which takes a message before it sends it on.
//!
//! MAIL and RCPT go to the next hop in one write when the client says RCPT, which hears the next hop's answer; DATA when the message is here whole, and then the message
//! in one write, not one byte changed. One epoll loop a core; a client's connection to the next hop is kept as long as the client's own. A yardstick, not a
//! server: it knows no time limits and trusts both sides.

use std::io::{self, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use memchr::memmem;
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, eventfd};
use rustix::net::{RecvFlags, recv};

use crate::wire::{self, Input, Poll, Ready};

/// The token of what tells a thread that it has new clients.
const CLIENTS: u64 = u64::MAX;

/// A connection's input buffer at first.
const ROOM: usize = 1 << 16;

const HELLO: &[u8] = b"250-floor.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250 8BITMIME\r\n";

/// Serves for ever.
pub fn serve(port: u16, next_hop: u16) -> io::Result<()> {
    let listener = wire::listen(port)?;
    let threads = thread::available_parallelism()?.get();
    let mut loops = Vec::new();
    for _ in 0..threads {
        let (clients, of_thread) = channel();
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let own_wake = Arc::clone(&wake);
        loops.push((clients, wake));
        thread::Builder::new().spawn(move || Loop::new(next_hop, of_thread, own_wake)?.run())?;
    }
    for (clients, wake) in loops.iter().cycle() {
        let (stream, _) = listener.accept()?;
        hand_over(stream, clients, wake)?;
    }
    Ok(())
}

fn hand_over(stream: TcpStream, clients: &Sender<TcpStream>, wake: &OwnedFd) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    clients.send(stream).map_err(|_| io::Error::other("a thread of the floor is gone"))?;
    rustix::io::write(wake, &1_u64.to_ne_bytes())?;
    Ok(())
}

/// What the next hop is answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Nothing,
    Greeting,
    Ehlo,
    Recipient,
    Data,
    Dot,
}

#[derive(Debug)]
struct Session {
    client: TcpStream,
    next_hop: Option<TcpStream>,
    /// What the client sent and nobody has handled: commands, or a message as far as it is here.
    input: Vec<u8>,
    /// Handled up to here.
    at: usize,
    /// In DATA: no end was found before this byte.
    searched: Option<usize>,
    /// The end of a message that is here whole.
    end: Option<usize>,
    /// Of the message, sent up to here.
    sent: usize,
    waits_for_room: bool,
    /// Commands the next hop has not had, and how many they are.
    envelope: Vec<u8>,
    commands: u32,
    recipients: u32,
    waiting: Waiting,
    due: u32,
    answers: Vec<u8>,
    replies: Vec<u8>,
}

struct Loop {
    poll: Poll,
    next_hop: u16,
    clients: Receiver<TcpStream>,
    wake: Arc<OwnedFd>,
    sessions: Vec<Option<Session>>,
    free: Vec<usize>,
}

impl Loop {
    fn new(next_hop: u16, clients: Receiver<TcpStream>, wake: Arc<OwnedFd>) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.add(&wake, CLIENTS)?;
        Ok(Self { poll, next_hop, clients, wake, sessions: Vec::new(), free: Vec::new() })
    }

    fn run(mut self) -> io::Result<()> {
        let mut ready = Vec::new();
        loop {
            self.poll.wait(&mut ready, None)?;
            for event in &ready {
                if event.token == CLIENTS {
                    self.take_clients()?;
                    continue;
                }
                let at = usize::try_from(event.token >> 1).expect("an index");
                let Some(session) = &mut self.sessions[at] else { continue };
                let tokens = Tokens { poll: &self.poll, next_hop: self.next_hop, token: event.token | 1 };
                let done = if event.token & 1 == 0 { session.hear_client(&tokens) } else { session.hear_next_hop(*event, &tokens) };
                if done.is_err() {
                    self.sessions[at] = None;
                    self.free.push(at);
                }
            }
        }
    }

    fn take_clients(&mut self) -> io::Result<()> {
        rustix::io::read(&self.wake, &mut [0; 8])?;
        while let Ok(mut client) = self.clients.try_recv() {
            client.write_all(b"220 floor.example ESMTP\r\n")?;
            let at = self.free.pop().unwrap_or_else(|| {
                self.sessions.push(None);
                self.sessions.len() - 1
            });
            self.poll.add(&client, (at as u64) << 1)?;
            self.sessions[at] = Some(Session::new(client));
        }
        Ok(())
    }
}

/// What a session needs to reach its next hop.
struct Tokens<'a> {
    poll: &'a Poll,
    next_hop: u16,
    /// Of the connection to the next hop.
    token: u64,
}

/// The session is over.
struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Session {
    fn new(client: TcpStream) -> Self {
        Self {
            client,
            next_hop: None,
            input: Vec::with_capacity(ROOM),
            at: 0,
            searched: None,
            end: None,
            sent: 0,
            waits_for_room: false,
            envelope: Vec::new(),
            commands: 0,
            recipients: 0,
            waiting: Waiting::Nothing,
            due: 0,
            answers: Vec::new(),
            replies: Vec::new(),
        }
    }

    fn hear_client(&mut self, tokens: &Tokens<'_>) -> Result<(), Over> {
        if self.at > 0 && self.waiting == Waiting::Nothing {
            self.input.drain(..self.at);
            self.searched = self.searched.map(|searched| searched - self.at);
            self.at = 0;
        }
        if self.input.capacity() - self.input.len() < ROOM / 4 {
            self.input.reserve(self.input.capacity());
        }
        match recv(&self.client, spare_capacity(&mut self.input), RecvFlags::empty()) {
            Ok((0, _)) => Err(Over),
            Ok(_) if self.waiting == Waiting::Nothing => self.handle(tokens),
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(_) => Err(Over),
        }
    }

    /// What is here, until the next hop has to be asked.
    fn handle(&mut self, tokens: &Tokens<'_>) -> Result<(), Over> {
        while self.waiting == Waiting::Nothing && self.at < self.input.len() {
            let went_on = match self.searched {
                Some(searched) => self.message(searched, tokens)?,
                None => self.command(tokens)?,
            };
            if !went_on {
                break;
            }
        }
        if self.waiting == Waiting::Nothing && !self.replies.is_empty() {
            self.client.write_all(&self.replies)?;
            self.replies.clear();
        }
        if self.at == self.input.len() {
            self.input.clear();
            self.at = 0;
            // After a large message.
            self.input.shrink_to(16 * ROOM);
        }
        Ok(())
    }

    fn command(&mut self, tokens: &Tokens<'_>) -> Result<bool, Over> {
        let rest = &self.input[self.at..];
        let Some(end) = memchr::memchr(b'\n', rest) else { return Ok(false) };
        let line = &rest[..=end];
        self.at += line.len();
        let verb = line.get(..4).unwrap_or_default();
        let is = |name: &[u8]| verb.eq_ignore_ascii_case(name);
        if is(b"MAIL") {
            self.envelope.extend_from_slice(line);
            self.commands += 1;
            self.replies.extend_from_slice(b"250 2.1.0 ok\r\n");
        } else if is(b"RCPT") {
            self.envelope.extend_from_slice(line);
            self.commands += 1;
            self.ask(Waiting::Recipient, tokens)?;
        } else if is(b"DATA") && self.recipients > 0 {
            self.searched = Some(self.at);
            self.replies.extend_from_slice(b"354 go on\r\n");
        } else if is(b"EHLO") {
            self.replies.extend_from_slice(HELLO);
        } else if is(b"QUIT") {
            self.replies.extend_from_slice(b"221 2.0.0 bye\r\n");
            self.client.write_all(&self.replies)?;
            return Err(Over);
        } else if is(b"NOOP") {
            self.replies.extend_from_slice(b"250 2.0.0 ok\r\n");
        } else {
            self.replies.extend_from_slice(b"503 5.5.1 not here\r\n");
        }
        Ok(true)
    }

    /// The message, once its end is here.
    fn message(&mut self, searched: usize, tokens: &Tokens<'_>) -> Result<bool, Over> {
        const END: &[u8] = b"\r\n.\r\n";
        // An end may begin in what was searched.
        let from = searched.saturating_sub(END.len() - 1).max(self.at);
        let Some(found) = memmem::find(&self.input[from..], END) else {
            self.searched = Some(self.input.len());
            return Ok(false);
        };
        self.searched = None;
        self.end = Some(from + found + END.len());
        self.sent = self.at;
        self.envelope.extend_from_slice(b"DATA\r\n");
        self.commands += 1;
        self.ask(Waiting::Data, tokens)?;
        Ok(true)
    }

    /// Sends the commands that the next hop has not had, over the connection it has or gets.
    fn ask(&mut self, waiting: Waiting, tokens: &Tokens<'_>) -> Result<(), Over> {
        if let Some(next_hop) = &mut self.next_hop {
            next_hop.write_all(&self.envelope)?;
            self.waiting = waiting;
            self.due = std::mem::take(&mut self.commands);
            self.envelope.clear();
        } else {
            let next_hop = wire::connect(tokens.next_hop)?;
            tokens.poll.add(&next_hop, tokens.token)?;
            self.next_hop = Some(next_hop);
            self.waiting = Waiting::Greeting;
            self.due = 1;
        }
        Ok(())
    }

    fn hear_next_hop(&mut self, event: Ready, tokens: &Tokens<'_>) -> Result<(), Over> {
        if event.writable && self.waits_for_room {
            self.send_message(tokens)?;
        }
        let Some(next_hop) = self.next_hop.as_ref().filter(|_| event.readable) else { return Ok(()) };
        let mut buffer = [0; 2048];
        let bytes = match wire::read(next_hop, &mut buffer) {
            Input::Bytes(bytes) => bytes,
            Input::NotYet => return Ok(()),
            Input::Closed => return Err(Over),
        };
        self.answers.extend_from_slice(bytes);
        let mut line = 0;
        while let Some(end) = memchr::memchr(b'\n', &self.answers[line..]) {
            let answer = &self.answers[line..=line + end];
            if answer.get(3) != Some(&b'-') {
                self.due = self.due.checked_sub(1).ok_or(Over)?;
                if !matches!(answer[0], b'2' | b'3') {
                    return Err(Over);
                }
                if self.due == 0 && matches!(self.waiting, Waiting::Recipient | Waiting::Dot) {
                    self.replies.extend_from_slice(answer);
                }
            }
            line += end + 1;
        }
        self.answers.drain(..line);
        if self.due == 0 { self.answered(tokens) } else { Ok(()) }
    }

    fn answered(&mut self, tokens: &Tokens<'_>) -> Result<(), Over> {
        match self.waiting {
            Waiting::Nothing => Err(Over),
            Waiting::Greeting => {
                self.next_hop.as_mut().ok_or(Over)?.write_all(b"EHLO floor.example\r\n")?;
                self.waiting = Waiting::Ehlo;
                self.due = 1;
                Ok(())
            }
            // What it was opened for.
            Waiting::Ehlo => self.ask(Waiting::Recipient, tokens),
            Waiting::Recipient => {
                self.recipients += 1;
                self.waiting = Waiting::Nothing;
                self.handle(tokens)
            }
            Waiting::Data => {
                self.waiting = Waiting::Dot;
                self.due = 1;
                self.send_message(tokens)
            }
            Waiting::Dot => {
                self.at = self.end.take().unwrap_or(self.at);
                self.recipients = 0;
                self.waiting = Waiting::Nothing;
                self.handle(tokens)
            }
        }
    }

    fn send_message(&mut self, tokens: &Tokens<'_>) -> Result<(), Over> {
        let (Some(next_hop), Some(end)) = (&mut self.next_hop, self.end) else { return Err(Over) };
        while self.sent < end {
            match next_hop.write(&self.input[self.sent..end]) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.waits_for_room {
                        tokens.poll.writable(&*next_hop, tokens.token, true)?;
                    }
                    self.waits_for_room = true;
                    return Ok(());
                }
                Err(_) => return Err(Over),
            }
        }
        if std::mem::take(&mut self.waits_for_room) {
            tokens.poll.writable(&*next_hop, tokens.token, false)?;
        }
        Ok(())
    }
}
