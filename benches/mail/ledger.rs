//! What arrived in a run: each message once, changed as asked.

use std::sync::Arc;
use std::time::Instant;

use memchr::memmem;

use crate::mail::{FIRST_LINE, ID, Template};

/// Of so many messages the header is compared whole; of all, its changes and the body.
const KEPT: usize = 3;

/// How the body of a message compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    Right,
    /// It was another from this byte on.
    DiffersAt(usize),
}

/// The account of one run.
#[derive(Debug)]
pub struct Ledger {
    template: Arc<Template>,
    seen: Vec<bool>,
    arrived: u64,
    kept: usize,
    last: Option<Instant>,
    trouble: Option<String>,
}

impl Ledger {
    pub fn new(template: Arc<Template>, messages: u64) -> Self {
        let seen = vec![false; usize::try_from(messages).expect("they fit in memory")];
        Self { template, seen, arrived: 0, kept: 0, last: None, trouble: None }
    }

    pub fn template(&self) -> &Arc<Template> {
        &self.template
    }

    /// How many arrived, each counted once.
    pub fn arrived(&self) -> u64 {
        self.arrived
    }

    /// When the last one did.
    pub fn last(&self) -> Option<Instant> {
        self.last
    }

    /// What was wrong first.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Takes down a message that is here whole. The header comes without the empty line's CRLF.
    #[allow(clippy::disallowed_methods, reason = "a benchmark measures")]
    pub fn enter(&mut self, header: &[u8], body: Body) {
        self.last = Some(Instant::now());
        let trouble = self.check(header, body);
        if self.trouble.is_none() {
            self.trouble = trouble.err();
        }
    }

    fn check(&mut self, header: &[u8], body: Body) -> Result<(), String> {
        let (run, number) = id(header).ok_or("a message without our mark arrived")?;
        let seen = self.seen.get_mut(number).filter(|_| run == self.template.run);
        match seen {
            None => return Err(format!("message {number} of run {run} arrived in run {}", self.template.run)),
            Some(true) => return Err(format!("message {number} arrived twice")),
            Some(seen) => *seen = true,
        }
        self.arrived += 1;
        if let Body::DiffersAt(byte) = body {
            return Err(format!("the body of message {number} is not what was expected from byte {byte} on"));
        }
        if self.template.changed {
            changed(header).map_err(|field| format!("message {number}: {field}"))?;
        }
        if self.kept < KEPT {
            self.kept += 1;
            self.whole(header, number as u64)?;
        }
        Ok(())
    }

    /// Below what servers put on top, and apart from the added field, it has to be our header to the byte.
    fn whole(&self, header: &[u8], number: u64) -> Result<(), String> {
        let text = String::from_utf8_lossy(header);
        let mut lines: Vec<_> = text.split_inclusive("\r\n").collect();
        if self.template.changed {
            let before = lines.len();
            lines.retain(|line| *line != "X-Filtered: yes\r\n");
            if lines.len() + 1 != before {
                return Err(format!("message {number}: X-Filtered is not there once"));
            }
        }
        let ours = lines.iter().position(|line| line.as_bytes().starts_with(FIRST_LINE));
        let rest = lines[ours.ok_or_else(|| format!("message {number}: its first line is gone"))?..].concat();
        let mut expected = self.template.expected_header(number);
        expected.truncate(expected.len() - 2);
        if rest.as_bytes() != expected {
            return Err(format!("message {number}: the header is not what was expected:\n{rest}"));
        }
        Ok(())
    }
}

/// The mark: run and number.
fn id(header: &[u8]) -> Option<(u32, usize)> {
    let at = memmem::find(header, ID)? + ID.len();
    let value = &header[at..];
    let line = std::str::from_utf8(&value[..memchr::memchr(b'\r', value)?]).ok()?;
    let (run, number) = line.split_once('-')?;
    Some((run.parse().ok()?, number.parse().ok()?))
}

/// The three changes of the header; the body was compared already.
fn changed(header: &[u8]) -> Result<(), &'static str> {
    if !header.starts_with(b"X-Filtered: yes\r\n") && memmem::find(header, b"\nX-Filtered: yes\r\n").is_none() {
        Err("X-Filtered was not added")
    } else if memmem::find(header, b"\nX-Remove-").is_some() {
        Err("X-Remove-Host was not removed")
    } else if memmem::find(header, b"\nSubject: [EXT] invoice ").is_none() {
        Err("Subject was not rewritten")
    } else {
        Ok(())
    }
}
