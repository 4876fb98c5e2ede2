//! What the tests share: the real server as a process, a next hop that records, a client that says exactly what it is told to.

pub mod client;
pub mod next_hop;
pub mod recorder;
pub mod transom;
pub mod wire;

/// No test waits longer than this for anything; what takes longer has failed.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
