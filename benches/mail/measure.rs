//! One run of the load through one peer, with everything that has to hold checked.
#![allow(clippy::disallowed_methods, reason = "a benchmark measures")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::load::{Load, Until};
use crate::mail::{Shape, Template};
use crate::peers::Running;
use crate::sink::Sink;
use crate::source;

/// A queueing peer may be this long without delivering anything before mail counts as lost.
const DRAIN: Duration = Duration::from_secs(20);

/// After the last message, doubles get this long to show.
const SETTLE: Duration = Duration::from_millis(50);

/// The shape of a load, whatever it goes through.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    pub size: usize,
    pub shape: Shape,
    pub sessions: usize,
    pub per_connection: Option<u64>,
    pub pipelined: bool,
    pub recipients: usize,
}

impl Default for Workload {
    fn default() -> Self {
        Self { size: 10 << 10, shape: Shape::Text, sessions: 10, per_connection: None, pipelined: false, recipients: 1 }
    }
}

/// What one run showed.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sample {
    pub messages: u64,
    /// A second.
    pub rate: f64,
    /// Of the peer with all its children, in microseconds a message.
    pub cpu: f64,
    /// Of source and sink together.
    pub load_cpu: f64,
    /// Milliseconds.
    pub p50: f64,
    pub p99: f64,
    pub slowest: f64,
    /// MiB.
    pub peak: f64,
    pub private: f64,
    pub processes: u64,
}

/// The load for a peer.
pub fn load(running: &Running, workload: &Workload, messages: u64) -> Load {
    static RUN: AtomicU32 = AtomicU32::new(1);
    let run = RUN.fetch_add(1, Ordering::Relaxed);
    Load {
        port: running.port,
        template: Arc::new(Template::new(run, workload.size, workload.shape, running.peer.changes)),
        messages,
        sessions: workload.sessions.min(usize::try_from(messages).unwrap_or(usize::MAX)),
        per_connection: workload.per_connection,
        pipelined: workload.pipelined,
        recipients: workload.recipients,
        rate: None,
    }
}

/// Sends a load and waits until all of it arrived.
#[allow(clippy::cast_precision_loss, reason = "counts and sizes are far below 2^52")]
pub fn measure(sink: &Sink, running: &Running, load: &Load, until: Until<'_>) -> Result<Sample, String> {
    sink.expect(Arc::clone(&load.template), load.messages);
    let cpu = || running.server.as_ref().map_or(Duration::ZERO, crate::process::Server::cpu);
    if let Some(server) = &running.server {
        server.forget_peak();
    }
    let (before, own_before) = (cpu(), own_cpu());
    let outcome = source::run(load, until);
    let arrived = outcome.and_then(|outcome| everything_arrived(sink, load).map(|last| (outcome, last)));
    let (outcome, last) = arrived.map_err(|trouble| describe(running, load, &trouble))?;
    let (cpu, own_cpu) = (cpu().saturating_sub(before), own_cpu().saturating_sub(own_before));
    let memory = running.server.as_ref().map(crate::process::Server::memory).unwrap_or_default();
    let seconds = outcome.finished.max(last).duration_since(outcome.started).as_secs_f64();
    let per_message = |time: Duration| time.as_secs_f64() * 1e6 / load.messages as f64;
    let milliseconds = |nanoseconds: u64| nanoseconds as f64 / 1e6;
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    Ok(Sample {
        messages: load.messages,
        rate: load.messages as f64 / seconds,
        cpu: per_message(cpu),
        load_cpu: per_message(own_cpu),
        p50: milliseconds(outcome.latency.value_at_quantile(0.5)),
        p99: milliseconds(outcome.latency.value_at_quantile(0.99)),
        slowest: milliseconds(outcome.latency.max()),
        peak: mebibytes(memory.peak),
        private: mebibytes(memory.private),
        processes: memory.processes,
    })
}

/// So many messages that a run takes about this long, from runs that get longer.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are positive and far below 2^52")]
pub fn calibrate(sink: &Sink, running: &Running, workload: &Workload, time: Duration) -> Result<u64, String> {
    let least = (workload.sessions as u64).max(2);
    let mut messages = least;
    for share in [20.0, 4.0, 1.0] {
        let sample = measure(sink, running, &load(running, workload, messages), Until::Answered)?;
        messages = ((sample.rate * time.as_secs_f64() / share) as u64).max(least);
    }
    Ok(messages)
}

fn everything_arrived(sink: &Sink, load: &Load) -> Result<Instant, String> {
    let (mut progress, mut since) = (0, Instant::now());
    loop {
        let arrived = sink.ledger().arrived();
        if arrived == load.messages {
            break;
        }
        if arrived > progress {
            (progress, since) = (arrived, Instant::now());
        } else if since.elapsed() > DRAIN {
            return Err(format!("{arrived} of {} messages arrived", load.messages));
        }
        sleep(Duration::from_millis(1));
    }
    sleep(SETTLE);
    let ledger = sink.ledger();
    match (ledger.trouble(), ledger.last()) {
        (Some(trouble), _) => Err(trouble.to_owned()),
        (None, last) => last.ok_or_else(|| "nothing was sent".to_owned()),
    }
}

fn describe(running: &Running, load: &Load, trouble: &str) -> String {
    let (sessions, bytes, log) = (load.sessions, load.template.sent.len(), running.log());
    format!("{}, {sessions} sessions, {bytes} bytes: {trouble}\n{log}", running.peer.name)
}

fn own_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
