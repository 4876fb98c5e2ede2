//! Everything that is counted, under the names and labels that Prometheus expects. Labels have few values: words of ours, and what the operator has written
//! (rules, next hops).

use std::time::Duration;

use prometheus_client::registry::Unit;

use super::exposition::{Family, Value, written};
use crate::base::metrics::{BOUNDS, COUNTS, Distribution, Histogram};
use crate::relay::health::Connections;
use crate::server::view::{Usage, View};
use crate::smtp::client::Stage;
use crate::store::tally::Sum;

type Labels = Vec<(&'static str, String)>;
type Samples = Vec<(Labels, Value)>;

/// The answer to `/metrics`. Blocks: it reads the store.
#[must_use]
pub fn text(view: &View) -> String {
    let mut families = traffic();
    families.extend(times());
    families.extend(of_server(view));
    families.extend(of_rules(view));
    families.extend(of_next_hops(&view.relay().connections()));
    families.extend(of_store(view));
    written(families)
}

fn family(name: &'static str, help: &'static str, samples: Samples) -> Family {
    Family { name, help, unit: None, samples }
}

fn bytes(name: &'static str, help: &'static str, samples: Samples) -> Family {
    Family { name, help, unit: Some(Unit::Bytes), samples }
}

fn one(value: Value) -> Samples {
    vec![(Vec::new(), value)]
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is read by people: what is beyond 2^53 may be rounded")]
fn gauge(value: u64) -> Value {
    Value::Gauge(value as f64)
}

fn labelled(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

fn traffic() -> Vec<Family> {
    let counter = |count: u64| one(Value::Counter(count));
    let messages = COUNTS.messages().map(|(outcome, count)| (labelled("outcome", outcome), Value::Counter(count)));
    let replies = Stage::ALL.into_iter().flat_map(|stage| {
        let of_class = move |(class, count): (usize, u64)| {
            let labels = vec![("stage", stage.word().to_owned()), ("class", format!("{class}xx"))];
            (labels, Value::Counter(count))
        };
        // 1xx is no SMTP reply.
        COUNTS.replies(stage as usize).filter(|(class, _)| *class > 1).map(of_class)
    });
    vec![
        family("sessions", "Clients that were greeted", counter(COUNTS.sessions.get())),
        family("sessions_turned_away", "Clients for whom there was no place", counter(COUNTS.turned_away.get())),
        family("messages_turned_away", "Messages refused at MAIL: limits.messages_per_address", counter(COUNTS.too_many.get())),
        family("logins", "Clients that have logged in", counter(COUNTS.logins.get())),
        family("logins_failed", "Logins that failed: another password, no such user", counter(COUNTS.logins_failed.get())),
        family("messages", "Messages from DATA on, by what became of them", messages.collect()),
        bytes("received", "Messages that came whole, as received", counter(COUNTS.received.get())),
        bytes("relayed", "Messages that were sent whole to a next hop", counter(COUNTS.relayed.get())),
        family("next_hop_replies", "Replies of next hops, by what they answer and their first digit", replies.collect()),
        family("reloads", "Configurations that were put in force after the first", counter(COUNTS.reloads.get())),
        family("reloads_refused", "Configurations that were not", counter(COUNTS.reloads_refused.get())),
    ]
}

fn times() -> Vec<Family> {
    let seconds =
        |name, help, histogram: &Histogram| Family { name, help, unit: Some(Unit::Seconds), samples: one(distribution(&histogram.now())) };
    vec![
        seconds("receive", "From the answer to DATA to the last byte of a message", &COUNTS.receive),
        seconds("chain", "What the rules took to decide on a message", &COUNTS.chain),
        seconds("relay", "From the decision to the answer of the next hop", &COUNTS.relay),
    ]
}

fn distribution(of: &Distribution) -> Value {
    let bounds = BOUNDS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
    Value::Histogram { sum: of.sum.as_secs_f64(), count: of.counts.iter().sum(), buckets: bounds.zip(of.counts).collect() }
}

fn of_server(view: &View) -> Vec<Family> {
    let sessions = view.sessions();
    let (memory, disk) = view.budgets();
    let used = |usage: Usage| one(gauge(usage.used));
    let limit = |usage: Usage| one(gauge(usage.limit));
    vec![
        family("build_info", "The version that runs", vec![(labelled("version", env!("CARGO_PKG_VERSION")), gauge(1))]),
        family("ending", "1 once it has been told to stop", one(gauge(view.is_ending().into()))),
        family("sessions_open", "Sessions now", used(sessions)),
        family("sessions_limit", "limits.sessions", limit(sessions)),
        bytes("in_flight", "Memory that messages take now", used(memory)),
        bytes("in_flight_limit", "limits.bytes_in_flight", limit(memory)),
        bytes("temporary_disk", "Disk that messages on their way take now", used(disk)),
        bytes("temporary_disk_limit", "limits.temporary_disk", limit(disk)),
    ]
}

fn of_rules(view: &View) -> Vec<Family> {
    let rules = view.rules();
    let counts = |count: fn(&Sum) -> u64| {
        let samples = rules.iter().map(|((rule, observed), sum)| {
            let mode = if *observed { "observe" } else { "enforce" };
            (vec![("rule", rule.to_string()), ("mode", mode.to_owned())], Value::Counter(count(sum)))
        });
        samples.collect()
    };
    vec![
        family("rule_seen", "Messages that the rule was asked about", counts(|sum| sum.seen)),
        family("rule_fired", "Messages for which its conditions held", counts(|sum| sum.fired)),
        family("rule_failed", "Messages for which it could not be carried out", counts(|sum| sum.errors)),
    ]
}

fn of_next_hops(connections: &[Connections]) -> Vec<Family> {
    let each = |of: fn(&Connections) -> usize| {
        connections.iter().map(|known| (labelled("address", &known.address), gauge(of(known) as u64))).collect()
    };
    vec![
        family("next_hop_connections_busy", "Connections that carry a mail now", each(|known| known.busy)),
        family("next_hop_connections_idle", "Connections kept for the next mail", each(|known| known.idle)),
        family("next_hop_connections_limit", "Connections there may be now", each(|known| known.most)),
        family("next_hop_waiting", "Sessions that wait for a connection", each(|known| known.waiting)),
    ]
}

/// Nothing but that it cannot be read, where it cannot.
fn of_store(view: &View) -> Vec<Family> {
    let overview = view.store().overview();
    let readable = one(gauge(overview.is_ok().into()));
    let mut families = vec![family("store_readable", "1 if the store could be read for this", readable)];
    if let Ok(overview) = overview {
        let mails = overview.mails.iter().map(|(state, count)| (labelled("state", state.word()), gauge(*count)));
        families.extend([
            family("quarantine_mails", "Mails in the quarantine, by state", mails.collect()),
            bytes("quarantine", "What the quarantine takes", one(gauge(overview.bytes))),
            bytes("quarantine_limit", "store.quarantine.size", one(gauge(overview.size))),
        ]);
    }
    families
}
