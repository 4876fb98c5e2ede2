//! Connections to the admin address: few at once, none for long. What a request may be is bounded by that, and by what an HTTP server takes as a header.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

use crate::server::{Listening, Socket};

/// Connections at once; the next ones wait to be accepted.
const MOST: usize = 16;
/// How long one may last, whatever goes on.
const TIME: Duration = Duration::from_mins(1);
/// How long one may go without a byte.
const SILENCE: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub struct Limited {
    listening: Listening,
    places: Arc<Semaphore>,
}

/// One connection.
pub struct Connection {
    stream: Box<dyn Socket>,
    end: Pin<Box<Sleep>>,
    silence: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Limited {
    /// All of these, with their places in common.
    pub fn together(all: Vec<Listening>) -> impl Iterator<Item = Limited> {
        let places = Arc::new(Semaphore::new(MOST));
        all.into_iter().map(move |listening| Limited { listening, places: Arc::clone(&places) })
    }
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = ();

    async fn accept(&mut self) -> (Connection, ()) {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("nobody closes it");
        loop {
            let (arrival, _) = self.listening.accept().await;
            match arrival.open() {
                Ok(stream) => return (Connection::new(stream, place), ()),
                Err(error) => tracing::error!(%error, "a connection to the admin address could not be taken; see the limit of open files"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection {
    fn new(stream: Box<dyn Socket>, place: OwnedSemaphorePermit) -> Connection {
        Connection { stream, end: Box::pin(sleep(TIME)), silence: Box::pin(sleep(SILENCE)), _place: place }
    }

    /// What the socket has done, if that was in time.
    fn in_time<T>(&mut self, context: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if done.is_ready() {
            self.silence = Box::pin(sleep(SILENCE));
            return done;
        }
        ready!(self.silence.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.in_time(context, done)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(context);
        self.in_time(context, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_shutdown(context);
        self.in_time(context, done)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn connection() -> (Connection, tokio::io::DuplexStream, Arc<Semaphore>) {
        let places = Arc::new(Semaphore::new(1));
        let (ours, theirs) = duplex(64);
        let place = Arc::clone(&places).try_acquire_owned().unwrap();
        (Connection::new(Box::new(ours), place), theirs, places)
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_connection_and_frees_its_place() {
        let (mut connection, _theirs, places) = connection();
        let error = connection.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(connection);
        assert_eq!(places.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_does_not_keep_it_open() {
        let (mut connection, mut theirs, _places) = connection();
        let drip = tokio::spawn(async move {
            while theirs.write_u8(b'G').await.is_ok() {
                sleep(SILENCE / 2).await;
            }
        });
        let began = tokio::time::Instant::now();
        while connection.read_u8().await.is_ok() {}
        assert_eq!(began.elapsed(), TIME);
        drop(connection);
        drip.await.unwrap();
    }
}
