//! What the machine and the service manager say about themselves.

use std::path::{Path, PathBuf};

use super::disk;

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

/// A variable of the environment.
#[must_use]
pub fn variable(name: &str) -> Option<Vec<u8>> {
    std::env::var_os(name).map(std::ffi::OsString::into_encoded_bytes)
}

/// Who runs this process, as `name (uid)`; for root the one who became it with sudo, too.
#[must_use]
pub fn user() -> String {
    let uid = rustix::process::getuid();
    let users = disk::read_to_string(Path::new("/etc/passwd")).unwrap_or_default();
    let user = named(&users, uid.as_raw());
    // Others could say there whatever they like.
    match std::env::var("SUDO_USER").ok().filter(|_| uid.is_root()) {
        Some(who) if !who.is_empty() => format!("{user}, sudo by {who}"),
        _ => user,
    }
}

/// A user without an entry, as in a container or a directory service, is a number.
fn named(users: &str, uid: u32) -> String {
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, of) = (fields.next()?, fields.nth(1)?);
        (of.parse() == Ok(uid)).then_some(name)
    });
    name.map_or_else(|| format!("uid {uid}"), |name| format!("{name} ({uid})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_with_the_number_and_numbered_without_a_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nmail:x:8:8::/var/mail:/bin/false\n";
        assert_eq!(named(users, 8), "mail (8)");
        assert_eq!(named(users, 1000), "uid 1000");
    }
}
