//! `transom serve`.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Exit, Global, complain};
use crate::base::log;
use crate::config::{Config, Options};
use crate::server::{self, StartError};

const EXAMPLES: &str = "\
Examples:
  transom serve                                  with ./transom.yaml or /etc/transom/transom.yaml
  transom serve --config /etc/mail/transom.yaml
  transom serve --without-chain                  pass all mail on unchanged, in an emergency

It says on standard error where it listens. SIGTERM and SIGINT end it: messages under way are finished first.";

/// Takes mail in, filters it and relays it, until SIGTERM
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Start without any rule
    #[arg(long)]
    without_chain: bool,
}

/// Runs it.
pub fn run(Args { without_chain }: Args, global: &Global) -> Exit {
    let config = match global.load(Options { without_chain, ..Options::default() }) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let _log = log::start(config.log.format, config.log.level, if without_chain { &[("chain", "off")] } else { &[] });
    if without_chain {
        tracing::warn!("no rule is in force (--without-chain): all mail passes unchanged");
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("error: cannot start threads: {error}"));
            return Exit::Io;
        }
    };
    match runtime.block_on(serve(&config)) {
        Ok(()) => Exit::Success,
        Err(error) => {
            complain(&format!("error: {error}"));
            match error {
                StartError::Listen { .. } => Exit::Unavailable,
                StartError::Store(_) => Exit::Io,
                StartError::OpenRelay(_) | StartError::Loop(_) => Exit::Config,
            }
        }
    }
}

async fn serve(config: &Config) -> Result<(), StartError> {
    let shutdown = CancellationToken::new();
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "signals cannot be watched: only SIGKILL will end this server");
            return server::run(config, shutdown).await;
        }
    };
    let stop = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    server::run(config, shutdown).await
}
