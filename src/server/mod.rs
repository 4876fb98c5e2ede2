//! From the client: sockets, sessions, permission, limits, commit, shutdown.
pub mod commit;
