//! One line a transaction in the log: everything one needs to find the rest.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ulid::ULID_LEN;

use crate::base::metrics::COUNTS;
use crate::base::text::{add_address, add_number};
use crate::mail::{Client, Origin};
use crate::smtp::envelope::Recipient;
use crate::smtp::path::Path;
use crate::smtp::reply::Reply;
use crate::store::quarantine::HoldId;

/// More recipients than these are counted, not named.
const MOST_NAMED: usize = 20;

/// What became of one transaction from DATA on.
#[derive(Debug)]
pub struct Summary<'a> {
    pub origin: &'a Origin,
    pub sender: &'a Path,
    pub recipients: &'a [Recipient],
    /// As received; none where the message never came whole.
    pub bytes: Option<u64>,
    pub outcome: &'a str,
    pub fired: &'a [Arc<str>],
    /// Rules that fired and are not in force.
    pub observed: Vec<&'a str>,
    pub next_hop: Option<&'a str>,
    /// What the next hop said last, or the trouble with it; left out where the client hears the same.
    pub answer: Option<&'a str>,
    /// What lies in the quarantine now.
    pub holds: &'a [HoldId],
    /// What the client is told.
    pub reply: &'a Reply,
    pub times: Times,
}

/// How long each step took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    pub receive: Duration,
    pub chain: Duration,
    pub relay: Duration,
}

impl Summary<'_> {
    /// Writes it, and counts it.
    pub fn log(&self) {
        self.count();
        let Summary { origin, .. } = self;
        let (mut id, mut session) = ([0; ULID_LEN], [0; ULID_LEN]);
        let mut texts = Texts(String::with_capacity(512));
        let client = texts.add(|text| add_client(&origin.client, text));
        // Where a trusted peer speaks for a client.
        let peer = texts.add(|text| {
            if let Some(peer) = origin.peer.filter(|peer| Some(*peer) != origin.client.address) {
                add_address(peer, text);
            }
        });
        let from = texts.add(|text| add_path(self.sender, text));
        let to = texts.add(|text| add_names(self.recipients, text));
        let fired = texts.add(|text| add_all(self.fired, ", ", text));
        let observed = texts.add(|text| add_all(&self.observed, ", ", text));
        let hold = texts.add(|text| add_all(self.holds, ",", text));
        let ms = texts.add(|text| self.times.add_to(text));
        let reply = texts.add(|text| self.reply.add_in_one_line(text));
        let reply = texts.0.get(reply).unwrap_or_default();
        tracing::info!(
            id = &*origin.id.array_to_str(&mut id),
            session = &*origin.session.array_to_str(&mut session),
            client = texts.get(client),
            peer = texts.get(peer),
            ident = origin.client.ident.as_deref(),
            user = origin.user.as_deref(),
            from = texts.get(from),
            to = texts.get(to),
            n = self.recipients.len(),
            bytes = self.bytes,
            outcome = self.outcome,
            fired = texts.get(fired),
            observed = texts.get(observed),
            hold = texts.get(hold),
            next_hop = self.next_hop,
            answer = self.answer.filter(|answer| *answer != reply),
            reply,
            ms = texts.get(ms),
            "mail"
        );
    }

    fn count(&self) {
        let Times { receive, chain, relay } = self.times;
        COUNTS.message(self.outcome);
        COUNTS.receive.note(receive);
        if let Some(bytes) = self.bytes {
            COUNTS.received.add(bytes);
        }
        if !chain.is_zero() {
            COUNTS.chain.note(chain);
        }
        if self.next_hop.is_some() {
            COUNTS.relay.note(relay);
        }
    }
}

/// Texts of one line, in one piece of memory.
struct Texts(String);

impl Texts {
    fn add(&mut self, write: impl FnOnce(&mut String)) -> Range<usize> {
        let start = self.0.len();
        write(&mut self.0);
        start..self.0.len()
    }

    /// None where there is nothing to say.
    fn get(&self, range: Range<usize>) -> Option<&str> {
        self.0.get(range).filter(|text| !text.is_empty())
    }
}

impl Times {
    /// In milliseconds, to a tenth.
    fn add_to(self, text: &mut String) {
        for (name, time) in [("receive:", self.receive), (",chain:", self.chain), (",relay:", self.relay)] {
            let tenths = time.as_secs() * 10_000 + u64::from((time.subsec_nanos() + 50_000) / 100_000);
            text.push_str(name);
            add_number(tenths / 10, text);
            if tenths % 10 > 0 {
                text.push('.');
                add_number(tenths % 10, text);
            }
        }
    }
}

fn add_client(client: &Client, text: &mut String) {
    match client.address {
        Some(address) => add_address(address, text),
        None => write!(text, "{client}").expect("a String takes all"),
    }
}

fn add_path(path: &Path, text: &mut String) {
    text.push('<');
    text.push_str(path.address());
    text.push('>');
}

fn add_names(recipients: &[Recipient], text: &mut String) {
    for (number, path) in recipients.iter().take(MOST_NAMED).enumerate() {
        text.push_str(if number > 0 { "," } else { "" });
        add_path(path, text);
    }
    if recipients.len() > MOST_NAMED {
        text.push_str(",…");
    }
}

fn add_all(all: &[impl AsRef<str>], between: &str, text: &mut String) {
    for (number, one) in all.iter().enumerate() {
        text.push_str(if number > 0 { between } else { "" });
        text.push_str(one.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds_to_a_tenth() {
        let times = Times { receive: Duration::from_millis(3), chain: Duration::from_micros(249), relay: Duration::from_micros(10_950) };
        let mut text = String::new();
        times.add_to(&mut text);
        assert_eq!(text, "receive:3,chain:0.2,relay:11");
    }

    #[test]
    fn a_thousand_recipients_are_not_all_named() {
        let recipients = vec![Recipient::from(Path::parse("a@example.org").unwrap()); 1000];
        let named = |recipients: &[Recipient]| {
            let mut text = String::new();
            add_names(recipients, &mut text);
            text
        };
        assert!(named(&recipients).len() < 400);
        assert!(named(&recipients).ends_with("<a@example.org>,…"));
        assert_eq!(named(&recipients[..2]), "<a@example.org>,<a@example.org>");
    }
}
