//! What the machine and the service manager say about themselves.

use std::path::PathBuf;

/// The machine's own name, if it is text.
#[must_use]
pub fn host_name() -> Option<String> {
    rustix::system::uname().nodename().to_str().ok().map(str::to_owned)
}

/// The directory systemd made for our state; the first, if it made several (systemd.exec(5), `StateDirectory`).
#[must_use]
pub fn state_directory() -> Option<PathBuf> {
    let directories = std::env::var("STATE_DIRECTORY").ok()?;
    directories.split(':').next().filter(|first| !first.is_empty()).map(PathBuf::from)
}
