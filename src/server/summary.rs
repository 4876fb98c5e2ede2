//! One line a transaction in the log: everything one needs to find the rest.

use std::time::Duration;

use crate::mail::Origin;
use crate::smtp::path::Path;
use crate::smtp::reply::Reply;

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
    pub fired: String,
    /// Rules that fired and are not in force.
    pub observed: String,
    pub next_hop: Option<&'a str>,
    /// What the next hop said last, or the trouble with it; left out where the client hears the same.
    pub answer: Option<&'a str>,
    /// What lies in the quarantine now.
    pub holds: String,
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
        let reply = self.reply.to_string();
        tracing::info!(
            id = %origin.id,
            session = %origin.session,
            client = client(origin),
            from = %self.sender,
            to = names(self.recipients),
            n = self.recipients.len(),
            bytes = self.bytes,
            outcome = self.outcome,
            fired = (!self.fired.is_empty()).then_some(self.fired.as_str()),
            observed = (!self.observed.is_empty()).then_some(self.observed.as_str()),
            hold = (!self.holds.is_empty()).then_some(self.holds.as_str()),
            next_hop = self.next_hop,
            answer = self.answer.filter(|answer| *answer != reply),
            reply,
            ms = self.times.text(),
            "mail"
        );
    }
}

impl Times {
    fn text(self) -> String {
        let milliseconds = |time: Duration| (time.as_secs_f64() * 10_000.0).round() / 10.0;
        format!("receive:{},chain:{},relay:{}", milliseconds(self.receive), milliseconds(self.chain), milliseconds(self.relay))
    }
}

/// The client as logs name it.
#[must_use]
pub fn client(origin: &Origin) -> String {
    origin.client.address.map_or_else(|| "unix".to_owned(), |address| address.to_string())
}

fn names(recipients: &[Path]) -> String {
    let mut names: Vec<String> = recipients.iter().take(MOST_NAMED).map(ToString::to_string).collect();
    if recipients.len() > MOST_NAMED {
        names.push("…".to_owned());
    }
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds_to_a_tenth() {
        let times = Times { receive: Duration::from_millis(3), chain: Duration::from_micros(249), relay: Duration::from_millis(11) };
        assert_eq!(times.text(), "receive:3,chain:0.2,relay:11");
    }

    #[test]
    fn a_thousand_recipients_are_not_all_named() {
        let recipients = vec![Path::parse("a@example.org").unwrap(); 1000];
        assert!(names(&recipients).len() < 400);
        assert_eq!(names(&recipients[..2]), "<a@example.org>,<a@example.org>");
    }
}
