//! The address of a connection.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where connections lead to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Remote {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remote::Tcp(address) => address.fmt(f),
            Remote::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
