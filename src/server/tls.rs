//! TLS with a client: the handshake, and what it found out.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::interval;

use super::listener::Socket;
use super::shared::Setup;
use crate::mail::Secured;
use crate::smtp::auth::{Bindings, end_point};
use crate::smtp::session::Privacy;
use crate::tls::TlsStream;
use crate::tls::failure::{With, explain};
use crate::tls::server::Server;

/// How often it is asked whether the files of certificates have changed.
const LOOK: Duration = Duration::from_mins(1);

/// What protects a session.
#[derive(Debug)]
pub struct Protection {
    pub secured: Arc<Secured>,
    /// For a login that is good for this connection only.
    pub bindings: Bindings,
}

/// A handshake on this stream.
///
/// # Errors
/// Why it failed, and what to do.
pub async fn handshake(stream: Box<dyn Socket>, server: &Server) -> Result<(Box<dyn Socket>, Box<Protection>), String> {
    let current = server.current();
    let accepted = TlsStream::accept(stream, Arc::clone(&current.config)).await;
    let stream = accepted.map_err(|error: io::Error| explain(&error, With::Client))?;
    let agreed = stream.agreed();
    let certificate = current.names_of(stream.certificates()).unwrap_or_default();
    let secured = Arc::new(Secured { version: agreed.version, cipher: agreed.cipher, certificate });
    let bindings = Bindings { exporter: agreed.exporter, end_point: end_point(current.own()) };
    Ok((Box::new(stream), Box::new(Protection { secured, bindings })))
}

/// What a session can be told of the TLS of its listener.
#[must_use]
pub fn privacy(tls: Option<&crate::config::ListenerTls>) -> Privacy {
    match tls {
        // Where it has to be there from the start, a session that began in clear before a reload may only catch up on it.
        Some(tls) => Privacy::Offered { required: tls.required || tls.implicit },
        None => Privacy::Clear,
    }
}

/// Shows new certificates once their files have changed; a reload is not needed for that.
pub async fn watch(setup: Arc<tokio::sync::watch::Sender<Setup>>) {
    let stop = setup.borrow().shared.stop.clone();
    let mut times = interval(LOOK);
    loop {
        tokio::select! {
            biased;
            () = stop.given() => return,
            _ = times.tick() => {}
        }
        let doors: Vec<_> = setup.borrow().doors.iter().filter(|door| door.tls.is_some()).cloned().collect();
        for door in doors {
            // It reads files, so not here; a panic has been told.
            let _ = spawn_blocking(move || {
                let Some(tls) = &door.tls else { return };
                match tls.server.refresh() {
                    Ok(true) => tracing::info!(listener = %door.name, "a new certificate is shown"),
                    Ok(false) => {}
                    Err(fault) => {
                        tracing::error!(listener = %door.name, "the new certificate is not used, the old one goes on: {fault}; {}", fault.advice);
                    }
                }
            })
            .await;
        }
    }
}
