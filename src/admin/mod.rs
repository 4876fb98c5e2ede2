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
use tokio::task::JoinHandle;
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
    /// As configured, and as it came out.
    configured: Address,
    address: Address,
    end: CancellationToken,
    serving: JoinHandle<()>,
}

impl Admin {
    /// Of a server that can be seen so; nothing listens yet.
    #[must_use]
    pub fn new(view: View) -> Admin {
        Admin { view, open: None }
    }

    /// Listens there from now on, and nowhere else; none is nowhere. What listened before goes on if this cannot.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn listen(&mut self, address: Option<&Address>) -> std::io::Result<()> {
        if self.open.as_ref().map(|open| &open.configured) == address {
            return Ok(());
        }
        let opened = match address {
            Some(address) => Some(self.open(address).await?),
            None => None,
        };
        self.close().await;
        self.open = opened;
        if let Some(open) = &self.open {
            tracing::info!("health and metrics at {}", open.address);
        }
        Ok(())
    }

    async fn open(&self, configured: &Address) -> std::io::Result<Open> {
        let listener = Limited::new(Listening::bind(configured).await?);
        let address = listener.address()?;
        let end = CancellationToken::new();
        let (routes, ended) = (routes(&self.view), end.clone().cancelled_owned());
        let serving = tokio::spawn(async move {
            // It ends when it is told to.
            let _ = axum::serve(listener, routes).with_graceful_shutdown(ended).await;
        });
        Ok(Open { configured: configured.clone(), address, end, serving })
    }

    /// Answers what is asked now, and nothing more.
    pub async fn close(&mut self) {
        if let Some(mut open) = self.open.take() {
            open.end.cancel();
            if timeout(FAREWELL, &mut open.serving).await.is_err() {
                open.serving.abort();
                // However it ends, its socket is closed by then.
                let _ = open.serving.await;
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
