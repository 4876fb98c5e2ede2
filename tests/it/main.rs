//! The integration tests, one binary. Each runs the real `transom` between a client and a next hop of its own.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests may panic, and ask the machine directly")]

mod kill;
mod samples;
mod support;
mod tidy;
