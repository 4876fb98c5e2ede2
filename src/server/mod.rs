//! From the client: sockets, sessions, permission, limits, commit, shutdown.
