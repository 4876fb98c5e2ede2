//! How the server is, over HTTP: for load balancers, service managers and Prometheus, not for people or mail.
//!
//! | path | |
//! |---|---|
//! | `/healthz` | 200: the process lives |
//! | `/readyz` | 200: it takes mail and can hand it on; 503 and why not ([`health`]) |
//! | `/metrics` | all there is to count, as `OpenMetrics` text ([`metrics`]) |
//!
//! It asks nobody who they are, so it tells nothing of any message and changes nothing; and whoever reaches it has as little to spend as any stranger
//! ([`listener`]).

mod exposition;
mod health;
mod listener;
pub mod metrics;

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::health::Health;
use self::listener::Limited;
use crate::config::Address;
use crate::server::Listening;
use crate::server::view::View;

/// How long an answer may take to be found.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long open connections may take to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// What it answers from.
#[derive(Clone, Debug)]
struct Seen {
    view: View,
    health: Health,
}

/// The listener and who serves it. Dropped, it is no more.
#[derive(Debug)]
pub struct Admin {
    view: View,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    /// As configured.
    address: Address,
    end: CancellationToken,
    /// What the service manager passes may be several sockets.
    serving: JoinSet<()>,
}

impl Admin {
    /// Of a server that can be seen so; nothing listens yet.
    #[must_use]
    pub fn new(view: View) -> Admin {
        Admin { view, open: None }
    }

    /// Answers from now on what comes to these, which are bound to the address of the configuration.
    ///
    /// # Errors
    /// What the system says.
    pub fn answer(&mut self, address: &Address, listening: Vec<Listening>) -> std::io::Result<()> {
        for bound in &listening {
            let bound = bound.address()?;
            tracing::info!("health and metrics at {bound}");
            if matches!(address, Address::Systemd(_)) && !bound.is_local() {
                tracing::warn!(
                    "whoever can reach {bound} sees next hops, names of rules and how much mail there is: let the .socket unit listen on 127.0.0.1 or a Unix socket"
                );
            }
        }
        let end = CancellationToken::new();
        let mut serving = JoinSet::new();
        let routes = routes(&self.view);
        for listener in Limited::together(listening) {
            let (routes, ended) = (routes.clone(), end.clone().cancelled_owned());
            serving.spawn(async move {
                // It ends when it is told to.
                let _ = axum::serve(listener, routes).with_graceful_shutdown(ended).await;
            });
        }
        self.open = Some(Open { address: address.clone(), end, serving });
        Ok(())
    }

    /// Listens there from now on, and nowhere else; none is nowhere. What listened before goes on if this cannot.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn listen(&mut self, address: Option<&Address>) -> std::io::Result<()> {
        let before = self.open.as_ref().map(|open| &open.address);
        if before == address {
            return Ok(());
        }
        // One that is left would go on being bound, and nobody would answer there.
        if [before, address].into_iter().flatten().any(|one| matches!(one, Address::Systemd(_))) {
            return Err(std::io::Error::other("a socket that systemd passes is taken, and given up, only with a restart"));
        }
        let opened = match address {
            Some(address) => Some((address, Listening::bind(address).await?)),
            None => None,
        };
        self.close().await;
        match opened {
            Some((address, listening)) => self.answer(address, vec![listening]),
            None => Ok(()),
        }
    }

    /// Answers what is asked now, and nothing more.
    pub async fn close(&mut self) {
        if let Some(mut open) = self.open.take() {
            open.end.cancel();
            let ended = async { while open.serving.join_next().await.is_some() {} };
            if timeout(FAREWELL, ended).await.is_err() {
                // However they end, their sockets are closed by then.
                open.serving.shutdown().await;
            }
        }
    }
}

fn routes(view: &View) -> Router {
    let seen = Seen { view: view.clone(), health: Health::new(view.clone()) };
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(counts))
        .fallback(async || (StatusCode::NOT_FOUND, "there is /healthz, /readyz and /metrics\n"))
        .with_state(seen)
}

async fn ready(State(seen): State<Seen>) -> Response {
    let ready = timeout(PATIENCE, seen.health.ready()).await.unwrap_or_else(|_| Err("the server takes too long to say".to_owned()));
    match ready {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn counts(State(seen): State<Seen>) -> Response {
    let view = seen.view.clone();
    // It reads the store.
    let gathered = tokio::task::spawn_blocking(move || metrics::text(&view));
    match timeout(PATIENCE, gathered).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, exposition::TYPE)], text).into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the counts could not be gathered in time\n").into_response(),
    }
}
