//! A server with all its children: what they take, and their end.
#![allow(clippy::disallowed_methods, reason = "it reads /proc and watches the clock")]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::wire;

/// How long a server may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Memory in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// The most that was resident since the last `forget_peak`; of several processes the sum of their peaks.
    pub peak: u64,
    /// What is resident now.
    pub resident: u64,
    /// Of that, what belongs to no file.
    pub private: u64,
    pub processes: u64,
}

/// A process that this program started, and its descendants.
#[derive(Debug)]
pub struct Server {
    child: Child,
}

impl Server {
    pub fn new(child: Child) -> Self {
        Self { child }
    }

    /// Waits for the greeting on its port.
    pub fn greets(&mut self, port: u16) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("it ended at once: {status}"));
            }
            if greeting(port).is_some_and(|line| line.starts_with("220")) {
                return Ok(());
            }
            sleep(Duration::from_millis(50));
        }
        Err(format!("no greeting on port {port} after {PATIENCE:?}"))
    }

    /// Processor time so far, children that ended included.
    pub fn cpu(&self) -> Duration {
        self.processes().iter().map(|process| cpu_of(*process)).sum()
    }

    pub fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        for status in self.processes().iter().filter_map(|process| fs::read_to_string(format!("/proc/{process}/status")).ok()) {
            let kilobytes = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name))?;
                line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().ok()
            };
            memory.peak += kilobytes("VmHWM").unwrap_or(0) << 10;
            memory.resident += kilobytes("VmRSS").unwrap_or(0) << 10;
            memory.private += kilobytes("RssAnon").unwrap_or(0) << 10;
            memory.processes += 1;
        }
        memory
    }

    /// From here on the peak counts anew.
    pub fn forget_peak(&self) {
        for process in self.processes() {
            // Where it is not allowed, the peak is that of the whole life.
            let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
        }
    }

    fn processes(&self) -> Vec<u32> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(process) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Some(parent) = stat(process).and_then(|fields| fields.get(1)?.parse().ok()) {
                children.entry(parent).or_default().push(process);
            }
        }
        let mut found = vec![self.child.id()];
        let mut at = 0;
        while let Some(process) = found.get(at) {
            found.extend(children.remove(process).unwrap_or_default());
            at += 1;
        }
        found
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let processes = self.processes();
        signal(self.child.id(), Signal::TERM);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            sleep(Duration::from_millis(20));
        }
        // What is left of them was not asked by its parent to end, or did not.
        for process in processes.into_iter().skip(1).filter(|process| stat(*process).is_some()) {
            signal(process, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(process: u32, signal: Signal) {
    if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        let _ = kill_process(process, signal);
    }
}

/// The first line that a server says.
fn greeting(port: u16) -> Option<String> {
    let stream = TcpStream::connect(wire::here(port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(3))).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    Some(line)
}

/// The fields of /proc/PID/stat behind the name: state, parent, …
fn stat(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

/// The kernel's account in ticks knows threads and children that ended; that of the living threads is exact to the nanosecond.
fn cpu_of(process: u32) -> Duration {
    let field = |fields: &[String], at: usize| fields.get(at)?.parse::<u64>().ok();
    let fields = stat(process).unwrap_or_default();
    let ticks = |range: std::ops::Range<usize>| {
        let sum: u64 = range.filter_map(|at| field(&fields, at)).sum();
        Duration::from_nanos(sum * (1_000_000_000 / rustix::param::clock_ticks_per_second()))
    };
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let exact =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok());
    let exact = Duration::from_nanos(exact.sum());
    ticks(11..13).max(exact) + ticks(13..15)
}
