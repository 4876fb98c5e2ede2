//! Sockets that clients connect to.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::sleep;

use crate::base::disk;
use crate::config::Address;

/// The socket of one client.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A bound address.
#[derive(Debug)]
pub enum Listening {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: PathBuf },
}

impl Listening {
    /// Binds it. A Unix socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// What the system says.
    pub async fn bind(address: &Address) -> io::Result<Listening> {
        match address {
            Address::Tcp(address) => TcpListener::bind(address).await.map(Listening::Tcp),
            Address::Unix(path) => {
                remove_dead(path).await?;
                Ok(Listening::Unix { listener: UnixListener::bind(path)?, path: path.clone() })
            }
        }
    }

    /// The address as bound: with the port that the system chose for port 0.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Listening::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Listening::Unix { path, .. } => Ok(Address::Unix(path.clone())),
        }
    }

    /// The next client; its address is none on a Unix socket. Trouble with one client or with too many open files is waited out.
    pub async fn accept(&self) -> (Arrival, Option<IpAddr>) {
        loop {
            let arrived = match self {
                Listening::Tcp(listener) => match listener.accept().await {
                    Ok((stream, peer)) => stream.into_std().map(|stream| (Arrival::Tcp(stream), Some(peer.ip().to_canonical()))),
                    Err(error) => Err(error),
                },
                Listening::Unix { listener, .. } => match listener.accept().await {
                    Ok((stream, _)) => stream.into_std().map(|stream| (Arrival::Unix(stream), None)),
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
        if let Listening::Unix { path, .. } = self {
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
}
