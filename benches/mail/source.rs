//! The sending end: sessions that send one message after the other, or at a given rate, or only hold on to what they have.
#![allow(clippy::disallowed_methods, reason = "a benchmark measures")]

use std::io::{self, IoSlice, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};

use crate::load::{Load, Until};
use crate::wire::{self, Input, Poll, Ready, Replies};

/// The token of what wakes an open loop.
const TIMER: u64 = u64::MAX;

/// So many connections may be under way to a greeting.
const OPENING: usize = 256;

/// Without anything happening for so long, something is stuck.
const SILENCE: Duration = Duration::from_secs(30);

/// The dot that ends a message, as the template has it at the end of the body.
const DOT: &[u8] = b".\r\n";

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub started: Instant,
    pub finished: Instant,
    /// From the moment a message should have been sent to the reply to its dot, in nanoseconds.
    pub latency: Histogram<u64>,
}

/// Sends it all. The first refusal or broken connection ends it.
pub fn run(load: &Load, mut until: Until<'_>) -> Result<Outcome, String> {
    let mut source = Source::new(load, &until).map_err(|error| format!("the source: {error}"))?;
    let mut ready = Vec::new();
    let mut active = Instant::now();
    while !source.finished() {
        source.open_more()?;
        source.poll.wait(&mut ready, Some(Duration::from_secs(1))).map_err(|error| format!("epoll: {error}"))?;
        for event in &ready {
            source.event(*event)?;
        }
        if source.held == load.sessions {
            match &mut until {
                Until::Answered => {}
                Until::BeforeTheDot(look) => {
                    look();
                    source.send_dots()?;
                }
                Until::Greeted(look) => {
                    look();
                    break;
                }
            }
            active = Instant::now();
        }
        if !ready.is_empty() {
            active = Instant::now();
        } else if active.elapsed() > SILENCE {
            return Err(format!("{} of {} messages were answered, then nothing happened for {SILENCE:?}", source.done, load.messages));
        }
    }
    let finished = Instant::now();
    source.quit();
    Ok(Outcome { started: source.started, finished, latency: source.latency })
}

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Greeting,
    Ehlo,
    /// Has nothing to send.
    Ready,
    /// In this group of commands.
    Commands(usize),
    Message,
    /// Waits for the reply to the dot.
    Dot,
    Held,
    Quit,
}

#[derive(Debug)]
struct Session {
    stream: Option<TcpStream>,
    state: State,
    replies: Replies,
    /// So many replies have to come before it goes on.
    due: u32,
    /// When its message should have been sent.
    since: Option<Instant>,
    header: Vec<u8>,
    /// Of what is being sent.
    sent: usize,
    waits_for_room: bool,
    /// Messages it may still begin over this connection.
    left: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Hold {
    Nothing,
    Dot,
    Greeting,
}

#[derive(Debug)]
struct Source<'a> {
    load: &'a Load,
    hold: Hold,
    poll: Poll,
    timer: Option<rustix::fd::OwnedFd>,
    sessions: Vec<Session>,
    /// Sessions without work, in an open loop.
    idle: Vec<usize>,
    /// What precedes a message: what is sent in one write, and the replies to it.
    commands: Vec<(Vec<u8>, u32)>,
    buffer: Vec<u8>,
    opened: usize,
    greeted: usize,
    begun: u64,
    done: u64,
    held: usize,
    started: Instant,
    latency: Histogram<u64>,
}

impl<'a> Source<'a> {
    fn new(load: &'a Load, until: &Until<'_>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = match load.rate {
            Some(_) => {
                let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
                poll.add(&timer, TIMER)?;
                Some(timer)
            }
            None => None,
        };
        let session = |_| Session {
            stream: None,
            state: State::Closed,
            replies: Replies::default(),
            due: 0,
            since: None,
            header: Vec::new(),
            sent: 0,
            waits_for_room: false,
            left: 0,
        };
        Ok(Self {
            load,
            hold: match until {
                Until::Answered => Hold::Nothing,
                Until::BeforeTheDot(_) => Hold::Dot,
                Until::Greeted(_) => Hold::Greeting,
            },
            poll,
            timer,
            sessions: (0..load.sessions).map(session).collect(),
            idle: Vec::new(),
            commands: load.commands(),
            buffer: vec![0; 1 << 16],
            opened: 0,
            greeted: 0,
            begun: 0,
            done: 0,
            held: 0,
            started: Instant::now(),
            latency: Histogram::new_with_max(600_000_000_000, 3).expect("three digits are allowed"),
        })
    }

    fn finished(&self) -> bool {
        self.hold != Hold::Greeting && self.done == self.load.messages
    }

    /// Opens sessions, not more at once than a server's backlog takes.
    fn open_more(&mut self) -> Result<(), String> {
        while self.opened < self.load.sessions && self.opened.saturating_sub(self.greeted) < OPENING {
            self.opened += 1;
            self.open(self.opened - 1)?;
        }
        Ok(())
    }

    fn open(&mut self, at: usize) -> Result<(), String> {
        let session = &mut self.sessions[at];
        let stream = wire::connect(self.load.port).map_err(|error| format!("connecting: {error}"))?;
        self.poll.add(&stream, at as u64).map_err(|error| format!("epoll: {error}"))?;
        session.stream = Some(stream);
        session.state = State::Greeting;
        session.replies = Replies::default();
        session.due = 1;
        session.left = self.load.per_connection.unwrap_or(u64::MAX);
        // Opening a connection belongs to the time of the message it is opened for.
        if self.load.rate.is_none() && self.hold == Hold::Nothing {
            session.since = Some(Instant::now());
        }
        Ok(())
    }

    fn event(&mut self, event: Ready) -> Result<(), String> {
        if event.token == TIMER {
            return self.begin_what_is_due();
        }
        let at = usize::try_from(event.token).expect("an index");
        if event.writable && self.sessions[at].stream.is_some() {
            self.send(at)?;
        }
        let session = &mut self.sessions[at];
        let Some(stream) = &session.stream else { return Ok(()) };
        if !event.readable {
            return Ok(());
        }
        let count = match wire::read(stream, &mut self.buffer) {
            Input::Bytes(bytes) => session.replies.ending_in(bytes),
            Input::NotYet => return Ok(()),
            Input::Closed if session.state == State::Quit => 1,
            Input::Closed => return Err(format!("the server closed the connection in state {:?}", session.state)),
        };
        if let Some(refusal) = &session.replies.refusal {
            return Err(format!("refused in state {:?}: {refusal}", session.state));
        }
        session.due = session.due.checked_sub(count).ok_or("a reply to nothing")?;
        if count > 0 && session.due == 0 { self.step(at) } else { Ok(()) }
    }

    /// All replies that were due are here.
    fn step(&mut self, at: usize) -> Result<(), String> {
        let state = self.sessions[at].state;
        match state {
            State::Greeting => self.say(at, State::Ehlo, b"EHLO client.example.com\r\n"),
            State::Ehlo => {
                self.greeted += 1;
                self.sessions[at].state = State::Ready;
                self.greeted_one(at)
            }
            State::Commands(group) => {
                let next = group + 1;
                if next < self.commands.len() { self.go_to(at, State::Commands(next)) } else { self.go_to(at, State::Message) }
            }
            State::Dot => {
                let session = &mut self.sessions[at];
                let since = session.since.take().expect("a message was begun");
                self.latency.saturating_record(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX));
                self.done += 1;
                session.left -= 1;
                session.state = State::Ready;
                if session.left == 0 { self.say(at, State::Quit, b"QUIT\r\n") } else { self.next(at) }
            }
            State::Quit => {
                self.sessions[at].stream = None;
                self.sessions[at].state = State::Closed;
                if self.begun < self.load.messages { self.open(at) } else { Ok(()) }
            }
            State::Closed | State::Ready | State::Message | State::Held => Err(format!("an unexpected reply in state {state:?}")),
        }
    }

    fn greeted_one(&mut self, at: usize) -> Result<(), String> {
        if self.hold == Hold::Greeting {
            self.sessions[at].state = State::Held;
            self.held += 1;
            return Ok(());
        }
        if self.load.rate.is_none() {
            return self.next(at);
        }
        self.idle.push(at);
        // An open loop starts its clock when everybody is there.
        if self.greeted == self.load.sessions && self.begun == 0 {
            self.started = Instant::now();
        }
        if self.greeted >= self.load.sessions { self.begin_what_is_due() } else { Ok(()) }
    }

    /// This session has nothing to do: its next message, if one is due.
    fn next(&mut self, at: usize) -> Result<(), String> {
        if self.begun == self.load.messages {
            return Ok(());
        }
        let now = Instant::now();
        let since = match self.due_at() {
            Some(due) if due > now => {
                self.idle.push(at);
                return self.set_timer();
            }
            Some(due) => due,
            None => self.sessions[at].since.unwrap_or(now),
        };
        let session = &mut self.sessions[at];
        session.since = Some(since);
        self.load.template.header(self.begun, &mut session.header);
        self.begun += 1;
        self.go_to(at, State::Commands(0))
    }

    /// When the next message should be sent, in an open loop.
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn due_at(&self) -> Option<Instant> {
        self.load.rate.map(|rate| self.started + Duration::from_secs_f64(self.begun as f64 / rate))
    }

    fn begin_what_is_due(&mut self) -> Result<(), String> {
        while self.begun < self.load.messages
            && self.due_at().is_some_and(|due| due <= Instant::now())
            && let Some(at) = self.idle.pop()
        {
            self.next(at)?;
        }
        self.set_timer()
    }

    /// Wakes an open loop when its next message is due, if there is a session for it; otherwise the next one that is answered begins it.
    fn set_timer(&self) -> Result<(), String> {
        let Some(timer) = &self.timer else { return Ok(()) };
        let due = self.due_at().unwrap_or(self.started);
        // A timer of zero is off.
        let off = self.idle.is_empty() || self.begun == self.load.messages;
        let wait = if off { Duration::ZERO } else { due.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1)) };
        let value = Timespec::try_from(wait).map_err(|error| format!("timer: {error}"))?;
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(timer, TimerfdTimerFlags::empty(), &once).map(drop).map_err(|error| format!("timer: {error}"))
    }

    fn say(&mut self, at: usize, state: State, line: &[u8]) -> Result<(), String> {
        let session = &mut self.sessions[at];
        session.state = state;
        session.due = 1;
        let Some(mut stream) = session.stream.as_ref() else { return Ok(()) };
        stream.write_all(line).map_err(|error| format!("sending in state {state:?}: {error}"))
    }

    fn go_to(&mut self, at: usize, state: State) -> Result<(), String> {
        let session = &mut self.sessions[at];
        session.state = state;
        session.sent = 0;
        session.due = if let State::Commands(group) = state { self.commands[group].1 } else { 1 };
        self.send(at)
    }

    /// Sends the commands or the message of this session, as far as there is room.
    fn send(&mut self, at: usize) -> Result<(), String> {
        let session = &mut self.sessions[at];
        let Some(mut stream) = session.stream.as_ref() else { return Ok(()) };
        let body = &self.load.template.sent;
        let parts: [&[u8]; 2] = match session.state {
            State::Commands(group) => [&self.commands[group].0, &[]],
            State::Message if self.hold == Hold::Dot => [&session.header, &body[..body.len() - DOT.len()]],
            State::Message => [&session.header, body],
            _ => return Ok(()),
        };
        let whole = parts[0].len() + parts[1].len();
        while session.sent < whole {
            let first = &parts[0][session.sent.min(parts[0].len())..];
            let second = &parts[1][session.sent.saturating_sub(parts[0].len())..];
            match stream.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]) {
                Ok(written) => session.sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    session.waits_for_room = true;
                    return self.poll.writable(stream, at as u64, true).map_err(|error| format!("epoll: {error}"));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("sending in state {:?}: {error}", session.state)),
            }
        }
        if std::mem::take(&mut session.waits_for_room) {
            self.poll.writable(stream, at as u64, false).map_err(|error| format!("epoll: {error}"))?;
        }
        match (session.state, &self.hold) {
            (State::Message, Hold::Dot) => {
                session.state = State::Held;
                self.held += 1;
            }
            (State::Message, _) => session.state = State::Dot,
            _ => {}
        }
        Ok(())
    }

    /// Nobody is waited for.
    fn quit(&mut self) {
        for mut stream in self.sessions.iter().filter_map(|session| session.stream.as_ref()) {
            let _ = stream.write_all(b"QUIT\r\n");
        }
    }

    fn send_dots(&mut self) -> Result<(), String> {
        self.held = 0;
        self.hold = Hold::Nothing;
        for at in 0..self.sessions.len() {
            self.say(at, State::Dot, DOT)?;
        }
        Ok(())
    }
}
