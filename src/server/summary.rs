//! One line a transaction in the log: everything one needs to find the rest.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::mail::Origin;
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
    pub recipients: &'a [Path],
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
    /// Writes it.
    pub fn log(&self) {
        let Summary { origin, .. } = self;
        let reply = self.reply.in_one_line();
        tracing::info!(
            id = %origin.id,
            session = %origin.session,
            client = %Client(origin.client.address),
            from = %self.sender,
            to = %Names(self.recipients),
            n = self.recipients.len(),
            bytes = self.bytes,
            outcome = self.outcome,
            fired = joined(self.fired, ", ").map(tracing::field::display),
            observed = joined(&self.observed, ", ").map(tracing::field::display),
            hold = joined(self.holds, ",").map(tracing::field::display),
            next_hop = self.next_hop,
            answer = self.answer.filter(|answer| *answer != reply),
            reply,
            ms = %self.times,
            "mail"
        );
    }
}

/// In milliseconds, to a tenth.
impl Display for Times {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (name, time) in [("receive:", self.receive), (",chain:", self.chain), (",relay:", self.relay)] {
            let tenths = time.as_secs() * 10_000 + u64::from((time.subsec_nanos() + 50_000) / 100_000);
            write!(f, "{name}{}", tenths / 10)?;
            if tenths % 10 > 0 {
                write!(f, ".{}", tenths % 10)?;
            }
        }
        Ok(())
    }
}

struct Client(Option<IpAddr>);

impl Display for Client {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

struct Names<'a>(&'a [Path]);

impl Display for Names<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let named = &self.0[..self.0.len().min(MOST_NAMED)];
        Joined(named, ",").fmt(f)?;
        if named.len() < self.0.len() { f.write_str(",…") } else { Ok(()) }
    }
}

struct Joined<'a, T>(&'a [T], &'static str);

/// None where there is nothing.
fn joined<'a, T>(all: &'a [T], between: &'static str) -> Option<Joined<'a, T>> {
    (!all.is_empty()).then_some(Joined(all, between))
}

impl<T: Display> Display for Joined<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (number, one) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str(self.1)?;
            }
            one.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds_to_a_tenth() {
        let times = Times { receive: Duration::from_millis(3), chain: Duration::from_micros(249), relay: Duration::from_micros(10_950) };
        assert_eq!(times.to_string(), "receive:3,chain:0.2,relay:11");
    }

    #[test]
    fn a_thousand_recipients_are_not_all_named() {
        let recipients = vec![Path::parse("a@example.org").unwrap(); 1000];
        assert!(Names(&recipients).to_string().len() < 400);
        assert!(Names(&recipients).to_string().ends_with("<a@example.org>,…"));
        assert_eq!(Names(&recipients[..2]).to_string(), "<a@example.org>,<a@example.org>");
    }
}
