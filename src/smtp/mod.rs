//! SMTP as values and state machines, without I/O: what either side may say, and when (RFC 5321).
pub mod auth;
pub mod client;
pub mod command;
pub mod data;
pub mod envelope;
pub mod extension;
pub mod identity;
pub mod path;
pub mod reply;
pub mod session;
mod status;
pub mod stuff;
pub mod xtext;
