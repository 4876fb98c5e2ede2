//! What touches the machine: clock and timers, randomness, disk, log, counts, and the budgets of memory and temporary disk. Nothing above does so itself. And texts that are
//! written for every message.
pub mod alarm;
pub mod budget;
pub mod clock;
pub mod disk;
pub mod log;
pub mod machine;
pub mod metrics;
pub mod random;
pub mod secret;
pub mod sign;
pub mod systemd;
pub mod text;
