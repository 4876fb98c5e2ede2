//! The integration tests, one binary. Each runs the real `transom` between a client and a next hop of its own.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests may panic, ask the machine directly and say what they saw"
)]

mod chunks;
mod classes;
mod cli;
mod corpus;
mod demo;
mod dialogs;
mod disk;
mod faults;
mod health;
mod hostile;
mod introductions;
mod kill;
mod lint;
mod listener;
mod lmtp;
mod login;
mod modes;
mod parity;
mod peers;
mod pools;
mod quarantine;
mod readme;
mod reference;
mod relay;
mod reload;
mod routes;
mod rules;
mod samples;
mod service;
mod support;
mod tidy;
mod tls;
