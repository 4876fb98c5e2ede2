//! The socket towards a next hop: TCP or Unix, TLS over it or not, with a look at what lies unread in it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::tls::TlsStream;
use crate::tls::stream::Lying;

/// Bytes deciphered at a time where only tickets are expected.
const PIECE: usize = 4 * 1024;

/// A connected socket.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Over one of the others.
    Tls(Box<TlsStream<Stream>>),
}

/// What a look into the socket shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Open, and nothing unread.
    Quiet,
    /// Closed or broken by the other side.
    Closed,
    /// Bytes nobody asked for.
    Unread,
}

impl Stream {
    /// The same socket, known to the runtime of this thread and no longer to another's.
    ///
    /// # Errors
    /// What the system says.
    pub fn moved_here(self) -> io::Result<Stream> {
        Ok(match self {
            Stream::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream.into_std()?)?),
            Stream::Unix(stream) => Stream::Unix(UnixStream::from_std(stream.into_std()?)?),
            Stream::Tls(stream) => Stream::Tls(Box::new(stream.over(Stream::moved_here)?)),
        })
    }

    /// Whether something that was written has not left for the kernel.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        matches!(self, Stream::Tls(stream) if stream.is_behind())
    }

    /// Asks the kernel, not the runtime: what arrived a moment ago must be seen, too.
    #[must_use]
    pub fn look(&mut self) -> Seen {
        if let Stream::Tls(stream) = self {
            return look_through(stream);
        }
        let mut byte = [0; 1];
        match retry_on_intr(|| recv(self.fd(), &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT)) {
            Ok((_, 1..)) => Seen::Unread,
            Err(Errno::AGAIN) => Seen::Quiet,
            Ok(_) | Err(_) => Seen::Closed,
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Tls(stream) => stream.get_ref().fd(),
        }
    }
}

/// The same below TLS: what has arrived is deciphered, for a session ticket or a new key is no word of the next hop.
fn look_through(stream: &mut TlsStream<Stream>) -> Seen {
    let mut bytes = [0; PIECE];
    loop {
        match retry_on_intr(|| recv(stream.get_ref().fd(), &mut bytes, RecvFlags::DONTWAIT)) {
            Ok((_, count @ 1..)) if stream.take_in(&bytes[..count]).is_err() => return Seen::Closed,
            // One that says ever more has said enough.
            Ok((_, 1..)) if matches!(stream.lying(), Ok(Lying::Nothing)) => {}
            Ok((_, 1..)) | Err(Errno::AGAIN) => break,
            Ok(_) | Err(_) => return Seen::Closed,
        }
    }
    match stream.lying() {
        Ok(Lying::Nothing) => Seen::Quiet,
        Ok(Lying::Bytes) => Seen::Unread,
        Ok(Lying::Goodbye) | Err(_) => Seen::Closed,
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(_) | Stream::Unix(_) => Poll::Ready(Ok(())),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
