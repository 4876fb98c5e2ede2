//! TLS over another stream, either side.
//!
//! As with a socket, what was written is on its way: whoever reads on or shuts down after writing needs no flush, for reading moves what waits to be
//! written, too. What comes in is read in large pieces into a buffer of the thread, so that a session that rests has no room for records.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Agreed, cipher};

/// Bytes read from the socket at a time: two records.
const PIECE: usize = 32 * 1024;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// See the module.
pub struct TlsStream<S> {
    io: S,
    session: Connection,
    /// What came in and had no room in the session yet.
    left: Vec<u8>,
    ended: bool,
    said_goodbye: bool,
}

/// What lies in a stream that nobody has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lying {
    Nothing,
    Bytes,
    /// The other side has said that it sends no more.
    Goodbye,
}

impl<S> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").finish_non_exhaustive()
    }
}

impl<S> TlsStream<S> {
    fn new(io: S, session: Connection) -> TlsStream<S> {
        TlsStream { io, session, left: Vec::new(), ended: false, said_goodbye: false }
    }

    /// What the handshake agreed on.
    #[must_use]
    pub fn agreed(&self) -> Agreed {
        let version = self.session.protocol_version().unwrap_or(ProtocolVersion::TLSv1_2);
        // RFC 9266 4.2: an older version has such material only under conditions that cannot be seen here.
        let exporter = (version == ProtocolVersion::TLSv1_3)
            .then(|| self.session.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None).ok())
            .flatten();
        let cipher = self.session.negotiated_cipher_suite().map_or("unknown", |suite| cipher::name(suite.suite()));
        let resumed = self.session.handshake_kind() == Some(HandshakeKind::Resumed);
        Agreed { version: cipher::version(version), cipher, exporter, resumed }
    }

    /// The certificates the other side has shown, its own first.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        self.session.peer_certificates().unwrap_or_default()
    }

    /// The stream below.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// The same over what becomes of the stream below.
    ///
    /// # Errors
    /// What `change` says; then all is lost.
    pub fn over<T>(self, change: impl FnOnce(S) -> io::Result<T>) -> io::Result<TlsStream<T>> {
        let TlsStream { io, session, left, ended, said_goodbye } = self;
        Ok(TlsStream { io: change(io)?, session, left, ended, said_goodbye })
    }

    /// Takes bytes that came from the stream below past [`AsyncRead`].
    ///
    /// # Errors
    /// They are not what TLS has there.
    pub fn take_in(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.left.is_empty() {
            return self.digest(bytes);
        }
        self.left.extend_from_slice(bytes);
        self.digest_left()
    }

    /// Whether something that was written has not left for the stream below.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.session.wants_write()
    }

    /// What lies here: session tickets and other words of TLS itself are nothing.
    ///
    /// # Errors
    /// It is not what TLS has there.
    pub fn lying(&mut self) -> io::Result<Lying> {
        if !self.left.is_empty() {
            self.digest_left()?;
        }
        let state = self.session.process_new_packets().map_err(broken)?;
        Ok(match state.plaintext_bytes_to_read() + self.left.len() {
            1.. => Lying::Bytes,
            0 if state.peer_has_closed() || self.ended => Lying::Goodbye,
            0 => Lying::Nothing,
        })
    }

    fn digest(&mut self, bytes: &[u8]) -> io::Result<()> {
        let rest = self.feed(bytes)?;
        self.left.extend_from_slice(&bytes[bytes.len() - rest..]);
        Ok(())
    }

    fn digest_left(&mut self) -> io::Result<()> {
        let left = std::mem::take(&mut self.left);
        self.digest(&left)
    }

    /// Gives the session what it takes; how much is left over.
    fn feed(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.session.read_tls(&mut rest) {
                // Behind the goodbye of the other side nothing counts.
                Ok(0) => return Ok(0),
                Ok(_) => {
                    self.session.process_new_packets().map_err(broken)?;
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error),
                // It is full until somebody reads.
                Err(_) => break,
            }
        }
        Ok(rest.len())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// The server's side of a handshake.
    ///
    /// # Errors
    /// It failed; see [`failure`](super::failure).
    pub async fn accept(io: S, config: Arc<ServerConfig>) -> io::Result<TlsStream<S>> {
        let session = ServerConnection::new(config).map_err(broken)?;
        TlsStream::new(io, session.into()).shaken().await
    }

    /// The client's side of a handshake with the server of this name.
    ///
    /// # Errors
    /// It failed; see [`failure`](super::failure).
    pub async fn connect(io: S, config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<TlsStream<S>> {
        let session = ClientConnection::new(config, name).map_err(broken)?;
        TlsStream::new(io, session.into()).shaken().await
    }

    async fn shaken(mut self) -> io::Result<TlsStream<S>> {
        poll_fn(|context| self.poll_handshake(context)).await?;
        Ok(self)
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let pushed = self.push(context)?;
            if !self.session.is_handshaking() {
                // The server waits for a client's last word. Its own is a ticket, which moves on with what follows.
                return if matches!(self.session, Connection::Server(_)) { Poll::Ready(Ok(())) } else { pushed.map(Ok) };
            }
            match ready!(self.fill(context)) {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Err(error) => {
                    // The other side is told why, if it still listens.
                    let _ = self.push(context);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    /// Writes what waits to be written.
    fn push(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Below { io: &mut self.io, context }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads more for the session; false at the end of input.
    fn fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if !self.left.is_empty() {
            return Poll::Ready(self.digest_left().map(|()| true));
        }
        let mut spare = SPARE.take();
        spare.resize(PIECE, 0);
        let filled = self.fill_with(&mut spare, context);
        SPARE.set(spare);
        filled
    }

    fn fill_with(&mut self, spare: &mut [u8], context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut piece = ReadBuf::new(spare);
        ready!(Pin::new(&mut self.io).poll_read(context, &mut piece))?;
        if piece.filled().is_empty() {
            self.ended = true;
        } else {
            self.digest(piece.filled())?;
        }
        Poll::Ready(Ok(!self.ended))
    }

    /// Copies what has been deciphered; whether there was anything, or nothing will come any more.
    fn read_out(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<bool> {
        let before = buffer.filled().len();
        while buffer.remaining() > 0 {
            let taken = match self.session.reader().into_first_chunk() {
                // Without a goodbye: what SMTP says shows its own end.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::UnexpectedEof) => break,
                Err(error) => return Err(error),
                Ok([]) => return Ok(true),
                Ok(chunk) => {
                    let taken = chunk.len().min(buffer.remaining());
                    buffer.put_slice(&chunk[..taken]);
                    taken
                }
            };
            io::BufRead::consume(&mut self.session.reader(), taken);
        }
        Ok(buffer.filled().len() > before || buffer.remaining() == 0)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // That it cannot be written shows when more is to be; what there is to read is read all the same.
        let _ = this.push(context);
        while !this.read_out(buffer)? && !this.ended {
            ready!(this.fill(context))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Takes what `write` gives the session, once all that it took before is on its way.
    fn poll_take(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(&mut Connection) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.push(context))?;
        let taken = write(&mut self.session)?;
        let _ = self.push(context)?;
        Poll::Ready(Ok(taken))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_take(context, |session| session.writer().write(bytes))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_take(context, |session| session.writer().write_vectored(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.push(context))?;
        Pin::new(&mut this.io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.said_goodbye, true) {
            this.session.send_close_notify();
        }
        ready!(this.push(context))?;
        Pin::new(&mut this.io).poll_shutdown(context)
    }
}

/// The stream below as the session writes to it.
struct Below<'a, 'c, S> {
    io: &'a mut S,
    context: &'a mut Context<'c>,
}

impl<S: AsyncWrite + Unpin> Write for Below<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        now(Pin::new(&mut *self.io).poll_write(self.context, bytes))
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        now(Pin::new(&mut *self.io).poll_write_vectored(self.context, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn now(written: Poll<io::Result<usize>>) -> io::Result<usize> {
    match written {
        Poll::Ready(written) => written,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
