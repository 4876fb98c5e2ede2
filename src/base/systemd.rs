//! What the service manager hands over and what it is told: listening sockets (`sd_listen_fds(3)`), the state of the service (`sd_notify(3)`).

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;
use sd_notify::NotifyState;

/// A socket that was bound before this process began.
#[derive(Debug)]
pub enum Passed {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The sockets that were passed to this process, each with its name. Several may have the same.
#[derive(Debug, Default)]
pub struct Sockets(Vec<(String, Passed)>);

impl Sockets {
    /// Takes them over. To be called once, while there is only one thread: it empties the environment that told of them.
    ///
    /// # Errors
    /// One of them is no socket that clients can connect to.
    pub fn passed() -> io::Result<Sockets> {
        // Without names each is called so (`sd_listen_fds_with_names(3)`).
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut given = ListenFd::from_env();
        let passed = (0..given.len()).map(|at| {
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown").to_owned();
            let socket = taken(&mut given, at).map_err(|error| io::Error::new(error.kind(), format!("`{name}`: {error}")))?;
            Ok((name, socket))
        });
        passed.collect::<io::Result<_>>().map(Sockets)
    }

    /// All of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn take(&mut self, name: &str) -> io::Result<Vec<Passed>> {
        let (taken, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.0).into_iter().partition(|(other, _)| other == name);
        self.0 = left;
        if taken.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, self.missing(name)));
        }
        Ok(taken.into_iter().map(|(_, socket)| socket).collect())
    }

    /// The names of those that nobody has taken.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    fn missing(&self, name: &str) -> String {
        let others: Vec<String> = self.left().map(|name| format!("`{name}`")).collect();
        let passed = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        format!("no socket of this name was passed (passed: {passed}); set `FileDescriptorName={name}` in the .socket unit and start that")
    }
}

fn taken(given: &mut ListenFd, at: usize) -> io::Result<Passed> {
    let other = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what);
    let socket = match given.take_tcp_listener(at) {
        Ok(Some(socket)) => Passed::Tcp(socket),
        _ => match given.take_unix_listener(at) {
            Ok(Some(socket)) => Passed::Unix(socket),
            _ => return Err(other("what was passed is no stream socket: the .socket unit wants `ListenStream=`")),
        },
    };
    let listens = match &socket {
        Passed::Tcp(socket) => socket_acceptconn(socket)?,
        Passed::Unix(socket) => socket_acceptconn(socket)?,
    };
    if listens { Ok(socket) } else { Err(other("what was passed does not listen: the .socket unit wants `Accept=no`")) }
}

/// Mail is taken now, for the first time or after a reload.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload has begun; [`ready`] follows, whatever comes of it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager could not be told of a reload"),
    }
}

/// The end has begun, and may take so long.
pub fn stopping(patience: Duration) {
    let patience = u32::try_from(patience.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing what is under way"), NotifyState::ExtendTimeoutUsec(patience)]);
}

/// How often the service manager wants to hear that all is well, if it does: twice within the time after which it gives up.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2).filter(|time| !time.is_zero())
}

/// All is well.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// Nothing, where there is no service manager.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told: see NOTIFY_SOCKET and `NotifyAccess=`");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_one_name_go_together_and_a_missing_one_is_told_with_what_is_there() {
        let socket = || Passed::Tcp(TcpListener::bind("127.0.0.1:0").unwrap());
        let mut sockets = Sockets(["smtp", "lmtp", "smtp"].map(|name| (name.to_owned(), socket())).into());
        assert_eq!(sockets.take("smtp").unwrap().len(), 2);
        let error = sockets.take("smtp").unwrap_err().to_string();
        assert!(error.contains("(passed: `lmtp`)") && error.contains("FileDescriptorName=smtp"), "{error}");
        assert_eq!(sockets.left().collect::<Vec<_>>(), ["lmtp"]);
    }
}
