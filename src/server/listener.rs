//! Sockets that clients connect to.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::sleep;

use super::peer::Peer;
use crate::base::disk;
use crate::base::systemd::{Passed, Sockets};
use crate::config::Address;
use crate::tls::TlsStream;
use crate::tls::stream::Lying;

/// The socket of one client.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {
    /// Whether it has said something that nobody has read yet. One look, without waiting.
    fn talks(&mut self) -> bool;
}

impl Socket for TcpStream {
    fn talks(&mut self) -> bool {
        has_unread(self.as_fd())
    }
}

impl Socket for UnixStream {
    fn talks(&mut self) -> bool {
        has_unread(self.as_fd())
    }
}

/// What is below TLS by now has been deciphered as far as it came with the handshake.
impl Socket for TlsStream<Box<dyn Socket>> {
    fn talks(&mut self) -> bool {
        matches!(self.lying(), Ok(Lying::Bytes))
    }
}

/// No client, while TLS begins.
impl Socket for tokio::io::Empty {
    fn talks(&mut self) -> bool {
        false
    }
}

/// Asks the kernel: the runtime of a socket that was opened a moment ago does not know yet.
fn has_unread(socket: BorrowedFd<'_>) -> bool {
    let mut byte = [0; 1];
    matches!(retry_on_intr(|| recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT)), Ok((_, 1..)))
}

/// A bound address.
#[derive(Debug)]
pub enum Listening {
    Tcp(TcpListener),
    /// With its path, if it is ours to remove.
    Unix {
        listener: UnixListener,
        path: Option<PathBuf>,
    },
}

impl Listening {
    /// Binds it. A Unix socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// What the system says; it is an address that others bind.
    pub async fn bind(address: &Address) -> io::Result<Listening> {
        match address {
            Address::Tcp(address) => TcpListener::bind(address).await.map(Listening::Tcp),
            Address::Unix(path) => {
                remove_dead(path).await?;
                Ok(Listening::Unix { listener: UnixListener::bind(path)?, path: Some(path.clone()) })
            }
            Address::Systemd(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "what systemd passes is taken at a start")),
        }
    }

    /// Binds it, or takes all that the service manager has bound under this name.
    ///
    /// # Errors
    /// The same; nothing was passed under that name.
    pub async fn bind_or_take(address: &Address, passed: &mut Sockets) -> io::Result<Vec<Listening>> {
        match address {
            Address::Systemd(name) => passed.take(name)?.into_iter().map(Listening::passed).collect(),
            own => Ok(vec![Listening::bind(own).await?]),
        }
    }

    fn passed(socket: Passed) -> io::Result<Listening> {
        match socket {
            Passed::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                TcpListener::from_std(socket).map(Listening::Tcp)
            }
            Passed::Unix(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Listening::Unix { listener: UnixListener::from_std(socket)?, path: None })
            }
        }
    }

    /// The address as bound: with the port that the system chose for port 0, or what the service manager has chosen.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Listening::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Listening::Unix { path: Some(path), .. } => Ok(Address::Unix(path.clone())),
            Listening::Unix { listener, path: None } => {
                let address: std::os::unix::net::SocketAddr = listener.local_addr()?.into();
                let in_no_folder = || address.as_abstract_name().map(|name| format!("@{}", name.escape_ascii()).into());
                Ok(Address::Unix(address.as_pathname().map(Path::to_path_buf).or_else(in_no_folder).unwrap_or_default()))
            }
        }
    }

    /// The next client. Trouble with one client or with too many open files is waited out.
    pub async fn accept(&self) -> (Arrival, Peer) {
        loop {
            let arrived = match self {
                Listening::Tcp(listener) => match listener.accept().await {
                    Ok((stream, peer)) => stream.into_std().map(|stream| (Arrival::Tcp(stream), Peer::new(peer))),
                    Err(error) => Err(error),
                },
                Listening::Unix { listener, .. } => match listener.accept().await {
                    Ok((stream, _)) => stream.into_std().map(|stream| (Arrival::Unix(stream), Peer::Unix)),
                    Err(error) => Err(error),
                },
            };
            let error = match arrived {
                Ok(arrived) => return arrived,
                Err(error) => error,
            };
            if error.kind() != io::ErrorKind::ConnectionAborted {
                tracing::error!(%error, "cannot accept a connection; if files run out, raise the limit of open files or lower limits.sessions");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A client's socket that no runtime knows yet.
#[derive(Debug)]
pub enum Arrival {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Arrival {
    /// The socket, known to the runtime of this thread.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(self) -> io::Result<Box<dyn Socket>> {
        Ok(match self {
            Arrival::Tcp(stream) => {
                let stream = TcpStream::from_std(stream)?;
                // Replies are written whole, so there is nothing to gather. Without it they are only slower.
                let _ = stream.set_nodelay(true);
                Box::new(stream)
            }
            Arrival::Unix(stream) => Box::new(UnixStream::from_std(stream)?),
        })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Listening::Unix { path: Some(path), .. } = self {
            // Gone already, or not ours to remove: then it stays.
            let _ = disk::remove_file(path);
        }
    }
}

async fn remove_dead(path: &Path) -> io::Result<()> {
    if !disk::is_socket(path) {
        return Ok(());
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => disk::remove_file(path),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Socket for tokio::io::DuplexStream {
        fn talks(&mut self) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn a_socket_left_by_a_dead_process_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let address = Address::Unix(directory.path().join("in.sock"));
        drop(std::os::unix::net::UnixListener::bind(directory.path().join("in.sock")).unwrap());
        let listening = Listening::bind(&address).await.unwrap();
        assert_eq!(Listening::bind(&address).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listening);
        assert!(!directory.path().join("in.sock").exists());
    }

    #[tokio::test]
    async fn port_0_becomes_a_port() {
        let listening = Listening::bind(&Address::Tcp("127.0.0.1:0".parse().unwrap())).await.unwrap();
        let Ok(Address::Tcp(address)) = listening.address() else { panic!() };
        assert_ne!(address.port(), 0);
    }

    #[tokio::test]
    async fn a_socket_that_was_passed_says_where_it_is_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("in.sock");
        let abstract_name = std::os::unix::net::SocketAddr::from_abstract_name(b"transom-test-listener").unwrap();
        let bound = [std::os::unix::net::UnixListener::bind(&path), std::os::unix::net::UnixListener::bind_addr(&abstract_name)];
        let listening = bound.map(|socket| Listening::passed(Passed::Unix(socket.unwrap())).unwrap());
        assert_eq!(
            listening.each_ref().map(|listening| listening.address().unwrap().to_string()),
            [format!("unix:{}", path.display()), "unix:@transom-test-listener".to_owned()]
        );
        drop(listening);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn what_a_client_has_said_is_seen_without_waiting() {
        let (client, server) = std::os::unix::net::UnixStream::pair().unwrap();
        server.set_nonblocking(true).unwrap();
        let mut server = UnixStream::from_std(server).unwrap();
        assert!(!server.talks());
        std::io::Write::write_all(&mut &client, b"EHLO x\r\n").unwrap();
        assert!(server.talks());
        drop(client);
        assert!(server.talks());
    }
}
