//! A next hop that does what a script says, right or wrong, and writes down what it heard.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use rustls::ServerConfig;

use super::PATIENCE;
use super::wire::Wire;

/// What it does instead of the usual reply.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// Says this, byte for byte.
    Say(&'static str),
    /// Says this and closes.
    SayAndClose(&'static str),
    /// Says this, and that when it is told to.
    SayAndLater(&'static str, &'static str),
    /// Closes without a word.
    Close,
    /// Says nothing until it is told to, then the usual.
    Late,
    /// Closes without a word and takes back what it has said.
    Reset,
    /// Does as usual, closes without a word and takes back what it has said.
    Lost,
    /// Listens on and says nothing any more.
    Silence,
}

/// How one connection goes: everything is accepted but what is listed.
#[derive(Clone, Debug)]
pub struct Script {
    keywords: Vec<&'static str>,
    /// MAIL and RCPT are answered 2.1.x, the rest 2.0.0.
    tells_apart: bool,
    /// The end is answered for each recipient.
    lmtp: bool,
    /// TLS begins with the connection.
    secured: bool,
    /// What it shows in a handshake instead of the usual certificate.
    shows: Option<Arc<ServerConfig>>,
    acts: Vec<(&'static str, Act)>,
}

/// A next hop; it listens as long as the test process lives.
#[derive(Clone, Debug)]
pub struct NextHop {
    pub address: SocketAddr,
    heard: Arc<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    log: Mutex<Log>,
    changed: Condvar,
    /// What all connections follow from now on.
    instead: Mutex<Option<Script>>,
}

/// What was heard.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Number of the connection, from 0, and the line.
    pub lines: Vec<(usize, String)>,
    /// Content up to a dot, still stuffed; or all chunks of a message.
    pub messages: Vec<Vec<u8>>,
    /// Whether each of them came in TLS.
    pub in_tls: Vec<bool>,
    /// Whether each handshake took up a session again.
    pub resumed: Vec<bool>,
    /// The recipients of each message that was accepted, as far as they were.
    pub taken: Vec<Vec<String>>,
    pub connections: usize,
    pub closed: usize,
    told: bool,
    said_later: bool,
}

impl Log {
    /// The commands of one connection.
    pub fn of(&self, connection: usize) -> Vec<&str> {
        self.lines.iter().filter(|(number, _)| *number == connection).map(|(_, line)| line.as_str()).collect()
    }

    /// How often a line with this beginning was heard.
    pub fn count(&self, beginning: &str) -> usize {
        self.lines.iter().filter(|(_, line)| line.starts_with(beginning)).count()
    }
}

impl Script {
    pub fn good() -> Script {
        Script::offering(&["PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"])
    }

    pub fn offering(keywords: &[&'static str]) -> Script {
        Script { keywords: keywords.to_vec(), tells_apart: true, lmtp: false, secured: false, shows: None, acts: Vec::new() }
    }

    /// MAIL and RCPT are not answered 2.1.0 and 2.1.5, as they are by most servers.
    pub fn alike(mut self) -> Script {
        self.tells_apart = false;
        self
    }

    /// Speaks LMTP: the end has a reply for each recipient.
    pub fn lmtp(mut self) -> Script {
        self.lmtp = true;
        self
    }

    /// TLS begins with the connection. Where STARTTLS is offered it is done, too.
    pub fn secured(mut self) -> Script {
        self.secured = true;
        self
    }

    /// Its side of TLS is this.
    pub fn showing(mut self, config: Arc<ServerConfig>) -> Script {
        self.shows = Some(config);
        self
    }

    /// At the first line that begins so, and at every later one. `connect` is the greeting, `content` the first line of content (or the first chunk), `.` the
    /// end, in LMTP followed by the recipient it is answered for. BDAT is answered behind its bytes, unless this is to close or be silent. `handshake` is that of TLS; `tls:LINE` is a line over it. `end:EHLO` is EHLO
    /// or LHLO right behind a chunk.
    pub fn at(mut self, line: &'static str, act: Act) -> Script {
        self.acts.push((line, act));
        self
    }

    fn act(&self, line: &str) -> Option<Act> {
        self.acts.iter().find(|(beginning, _)| line.starts_with(beginning)).map(|(_, act)| *act)
    }
}

impl NextHop {
    /// The first connection follows the first script, and so on; all further ones the last.
    pub fn start(scripts: impl IntoIterator<Item = Script>) -> NextHop {
        let scripts: Vec<Script> = scripts.into_iter().collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Heard::default());
        let hearing = Arc::clone(&heard);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let session = Session {
                    number,
                    script: scripts[number.min(scripts.len() - 1)].clone(),
                    heard: Arc::clone(&hearing),
                    secured: Cell::new(false),
                };
                let stream = stream.unwrap();
                // What was said is there, and does not wait for the one before it to be acknowledged.
                stream.set_nodelay(true).unwrap();
                session.heard.note(|log| log.connections += 1);
                thread::spawn(move || {
                    let wire = Wire::new(stream);
                    // A connection that breaks has ended, too.
                    let _ = session.run(&wire);
                    drop(wire);
                    session.heard.note(|log| log.closed += 1);
                });
            }
        });
        NextHop { address, heard }
    }

    pub fn log(&self) -> Log {
        self.heard.log.lock().unwrap().clone()
    }

    /// Waits until what was heard is as wanted.
    #[track_caller]
    pub fn wait_for(&self, wanted: impl Fn(&Log) -> bool) -> Log {
        self.heard.wait_for(wanted)
    }

    /// From now on every connection, open or not, follows this script. What is left for later, or late, waits to be told again.
    pub fn follow(&self, script: Script) {
        *self.heard.instead.lock().unwrap() = Some(script);
        self.heard.note(|log| (log.told, log.said_later) = (false, false));
    }

    /// Whoever is [`Act::Late`] answers now.
    pub fn answer_now(&self) {
        self.heard.note(|log| log.told = true);
    }

    /// Has said what was left for later, when this returns.
    pub fn say_it_now(&self) {
        self.heard.note(|log| log.told = true);
        self.heard.wait_for(|log| log.said_later);
    }
}

impl Heard {
    #[track_caller]
    fn wait_for(&self, wanted: impl Fn(&Log) -> bool) -> Log {
        let until = Instant::now() + PATIENCE;
        let mut log = self.log.lock().unwrap();
        while !wanted(&log) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it never came to that: {log:?}");
            log = self.changed.wait_timeout(log, left).unwrap().0;
        }
        log.clone()
    }

    fn note(&self, change: impl FnOnce(&mut Log)) {
        change(&mut self.log.lock().unwrap());
        self.changed.notify_all();
    }
}

struct Session {
    number: usize,
    script: Script,
    heard: Arc<Heard>,
    /// TLS has begun.
    secured: Cell<bool>,
}

impl Session {
    fn run(&self, wire: &Wire) -> std::io::Result<()> {
        let mut input = BufReader::new(wire);
        if self.script.secured && !self.secure(wire)? {
            return Ok(());
        }
        if !self.reply(wire, "connect", "220 scripted.example\r\n")? {
            return Ok(());
        }
        let mut line = String::new();
        let (mut open, mut recipients, mut chunks, mut behind_chunk) = (false, Vec::new(), None, false);
        loop {
            line.clear();
            if input.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let text = line.trim_end();
            self.heard.note(|log| log.lines.push((self.number, text.to_owned())));
            let verb = text.get(..4).unwrap_or_default();
            if verb == "BDAT" {
                if !self.chunk(wire, &mut input, text, &mut chunks, &mut recipients)? {
                    return Ok(());
                }
                behind_chunk = true;
                continue;
            }
            let text = if std::mem::take(&mut behind_chunk) && matches!(verb, "EHLO" | "LHLO") { "end:EHLO" } else { text };
            // What it says decides, not what another script says by then.
            let (done, go_on) = (self.says(text, "250"), self.says(text, "354"));
            let secures = verb == "STAR" && self.usual(verb).starts_with("220") && self.says(text, "220");
            let goes_on = self.reply(wire, text, &self.usual(if open || verb != "RCPT" { verb } else { "early" }))?;
            if !goes_on || text == "QUIT" {
                return Ok(());
            }
            match verb {
                "STAR" if secures && !self.secure(wire)? => return Ok(()),
                "MAIL" | "RSET" | "EHLO" | "LHLO" => (open, recipients, chunks) = (verb == "MAIL" && done, Vec::new(), None),
                "RCPT" if open && done => {
                    recipients.push(text["RCPT TO:<".len()..].split('>').next().unwrap_or_default().to_owned());
                }
                "DATA" if go_on && !self.content(wire, &mut input, &mut recipients)? => return Ok(()),
                _ => {}
            }
        }
    }

    /// The handshake; whether the connection goes on.
    fn secure(&self, wire: &Wire) -> std::io::Result<bool> {
        if !self.reply(wire, "handshake", "")? {
            return Ok(false);
        }
        let resumed = wire.accept(self.script.shows.as_ref())?;
        self.heard.note(|log| log.resumed.push(resumed));
        self.secured.set(true);
        Ok(true)
    }

    fn usual(&self, verb: &str) -> String {
        match verb {
            "EHLO" | "LHLO" => self.capabilities(),
            "DATA" => "354 go on\r\n".to_owned(),
            "QUIT" => "221 bye\r\n".to_owned(),
            "STAR" if !self.script.keywords.contains(&"STARTTLS") => "502 5.5.1 what?\r\n".to_owned(),
            "STAR" => "220 2.0.0 go ahead\r\n".to_owned(),
            "early" => "503 5.5.1 MAIL first\r\n".to_owned(),
            "AUTH" => "235 2.7.0 welcome\r\n".to_owned(),
            "MAIL" if self.script.tells_apart => "250 2.1.0 ok\r\n".to_owned(),
            "RCPT" if self.script.tells_apart => "250 2.1.5 ok\r\n".to_owned(),
            _ => "250 2.0.0 ok\r\n".to_owned(),
        }
    }

    /// BDAT (RFC 3030 2); whether the connection goes on.
    fn chunk(
        &self,
        wire: &Wire,
        input: &mut impl BufRead,
        text: &str,
        chunks: &mut Option<Vec<u8>>,
        recipients: &mut Vec<String>,
    ) -> std::io::Result<bool> {
        if let Some(Act::Close | Act::Reset | Act::Silence) = self.act(text) {
            return self.reply(wire, text, "");
        }
        let size: u64 = text.split(' ').nth(1).and_then(|size| size.parse().ok()).expect("BDAT has a size");
        if chunks.is_none() && !self.reply(wire, "content", "")? {
            return Ok(false);
        }
        let message = chunks.get_or_insert_with(Vec::new);
        if input.take(size).read_to_end(message)? as u64 != size {
            return Ok(false);
        }
        if recipients.is_empty() {
            *chunks = None;
            return self.reply(wire, text, "554 5.5.1 no valid recipients\r\n");
        }
        if !text.ends_with(" LAST") {
            return self.reply(wire, text, "250 2.0.0 ok\r\n");
        }
        let line = if self.act(text).is_some() { text } else { "." };
        self.end(wire, line, std::mem::take(message), recipients)
    }

    /// The answers to the end of a message, that `line` has brought; whether the connection goes on.
    fn end(&self, wire: &Wire, line: &str, message: Vec<u8>, recipients: &mut Vec<String>) -> std::io::Result<bool> {
        let recipients = std::mem::take(recipients);
        let line_for = |to: &String| if self.script.lmtp && line == "." { format!(".{to}") } else { line.to_owned() };
        let answered = if self.script.lmtp { recipients.len() } else { 1 };
        let lines: Vec<String> = recipients.iter().take(answered).map(line_for).collect();
        let taken: Vec<String> = recipients.iter().filter(|to| self.says(&line_for(to), "250")).cloned().collect();
        self.heard.note(|log| {
            log.messages.push(message);
            log.in_tls.push(self.secured.get());
            log.taken.extend(Some(taken).filter(|taken| !taken.is_empty()));
        });
        for line in lines {
            if !self.reply(wire, &line, "250 2.0.0 taken\r\n")? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn act(&self, line: &str) -> Option<Act> {
        let instead = self.heard.instead.lock().unwrap();
        let script = instead.as_ref().unwrap_or(&self.script);
        let secured = self.secured.get().then(|| script.act(&format!("tls:{line}"))).flatten();
        secured.or_else(|| script.act(line))
    }

    /// Whether the answer to this line begins so, if it is the usual one.
    fn says(&self, line: &str, usual: &str) -> bool {
        match self.act(line) {
            None | Some(Act::Late | Act::Lost) => true,
            Some(Act::Say(said) | Act::SayAndLater(said, _) | Act::SayAndClose(said)) => said.starts_with(usual),
            Some(Act::Close | Act::Reset | Act::Silence) => false,
        }
    }

    fn content(&self, wire: &Wire, input: &mut impl BufRead, recipients: &mut Vec<String>) -> std::io::Result<bool> {
        let mut message = Vec::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                return Ok(false);
            }
            if line == b".\r\n" {
                break;
            }
            if message.is_empty() && !self.reply(wire, "content", "")? {
                return Ok(false);
            }
            message.extend_from_slice(&line);
        }
        self.end(wire, ".", message, recipients)
    }

    /// Whether the connection goes on.
    fn reply(&self, mut wire: &Wire, line: &str, usual: &str) -> std::io::Result<bool> {
        match self.act(line) {
            None => wire.write_all(usual.as_bytes()).map(|()| true),
            Some(Act::Say(said)) => wire.write_all(said.as_bytes()).map(|()| true),
            Some(Act::SayAndClose(said)) => wire.write_all(said.as_bytes()).map(|()| false),
            Some(Act::SayAndLater(said, later)) => {
                wire.write_all(said.as_bytes())?;
                self.heard.wait_for(|log| log.told);
                wire.write_all(later.as_bytes())?;
                self.heard.note(|log| log.said_later = true);
                Ok(true)
            }
            Some(Act::Late) => {
                self.heard.wait_for(|log| log.told);
                wire.write_all(usual.as_bytes()).map(|()| true)
            }
            Some(Act::Close) => Ok(false),
            Some(Act::Reset | Act::Lost) => {
                socket2::SockRef::from(wire.socket()).set_linger(Some(std::time::Duration::ZERO)).map(|()| false)
            }
            Some(Act::Silence) => wire.read_to_end(&mut Vec::new()).map(|_| false),
        }
    }

    fn capabilities(&self) -> String {
        let keywords = self.script.keywords.iter().copied().filter(|keyword| *keyword != "STARTTLS" || !self.secured.get());
        let lines: Vec<&str> = std::iter::once("scripted.example").chain(keywords).collect();
        let last = lines.len() - 1;
        let lines = lines.iter().enumerate().map(|(number, line)| [if number == last { "250 " } else { "250-" }, *line, "\r\n"].concat());
        lines.collect()
    }
}
