//! `transom serve`.

use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Exit, Global, complain};
use crate::admin::Admin;
use crate::base::log;
use crate::base::metrics::COUNTS;
use crate::base::systemd::{self, Sockets};
use crate::config::{self, Address, Config, Options};
use crate::server::{self, Listening, Reload, Server, StartError};
use crate::yaml::{Level, Problems};

const EXAMPLES: &str = "\
Examples:
  transom serve                                  with ./transom.yaml or /etc/transom/transom.yaml
  transom serve --config /etc/mail/transom.yaml
  transom serve --without-chain                  pass all mail on unchanged, in an emergency

It says on standard error where it listens. SIGTERM and SIGINT end it: messages under way
are finished first. SIGHUP reads the configuration and the rules again; if anything is
wrong with them, the old ones stay in force and the log says why.";

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
    let options = Options { without_chain, lint: true, ..Options::default() };
    let config = match global.load(options) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    // Before there are threads that could look at the environment.
    let sockets = match Sockets::passed() {
        Ok(sockets) => sockets,
        Err(error) => {
            complain(&format!("error: a socket that was passed cannot be used: {error}"));
            return Exit::Unavailable;
        }
    };
    let log = log::start(config.log.format, config.log.level, if without_chain { &[("chain", "off")] } else { &[] });
    if without_chain {
        tracing::warn!("no rule is in force (--without-chain): all mail passes unchanged");
    }
    // It accepts and watches; sessions have threads of their own.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("error: cannot start threads: {error}"));
            return Exit::Io;
        }
    };
    match runtime.block_on(serve(config, options, sockets, &log)) {
        Ok(()) => Exit::Success,
        Err(error) => {
            complain(&format!("error: {error}"));
            match error {
                StartError::Listen { .. } => Exit::Unavailable,
                StartError::Store(_) | StartError::Threads(_) => Exit::Io,
                StartError::OpenRelay(_) | StartError::Loop(_) => Exit::Config,
            }
        }
    }
}

async fn serve(config: Config, options: Options, mut sockets: Sockets, log: &log::Guard) -> Result<(), StartError> {
    let shutdown = CancellationToken::new();
    let watched = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = watched else {
        tracing::error!("signals cannot be watched: only SIGKILL will end this server, and nothing will make it reload");
        return server::run(&config, sockets, shutdown).await;
    };
    let unable = |address: &Address, error| StartError::Listen { address: address.clone(), error };
    let health = match &config.admin {
        Some(config::Admin { address }) => {
            let listening = Listening::bind_or_take(address, &mut sockets).await.map_err(|error| unable(address, error))?;
            Some((address, listening))
        }
        None => None,
    };
    let server = Server::start(&config, sockets).await?;
    let mut admin = Admin::new(server.view());
    if let Some((address, listening)) = health {
        admin.answer(address, listening).map_err(|error| unable(address, error))?;
    }
    let stop = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    let path = config.file.clone();
    let mut other = server.reload(config);
    let reloads = async {
        while hangup.recv().await.is_some() {
            systemd::reloading();
            let again = again(&path, options, &mut other, &mut admin, log).await;
            let taken = again.is_ok();
            // Whoever has read that it was done finds it counted.
            let counter = if taken { &COUNTS.reloads } else { &COUNTS.reloads_refused };
            counter.add(1);
            match again {
                Ok(waiting) => {
                    for change in waiting {
                        tracing::warn!("{change}: that takes a restart; until then it stays as it is");
                    }
                    tracing::info!("reloaded");
                }
                Err(why) => tracing::error!("{why}"),
            }
            systemd::ready(if taken { "taking mail" } else { "taking mail; the last reload was refused, see the log" });
        }
        std::future::pending().await
    };
    let result = tokio::select! {
        result = server.serve(shutdown) => result,
        result = reloads => result,
    };
    // It tells how the server is until that has ended.
    admin.close().await;
    result
}

/// Reads the configuration again and puts it in force. What of it waits for a restart, or why the old one goes on.
async fn again(path: &Path, options: Options, reload: &mut Reload, admin: &mut Admin, log: &log::Guard) -> Result<Vec<String>, String> {
    tracing::info!("reloading {}", path.display());
    let path = path.to_owned();
    // It reads files, compiles patterns and runs the tests of the rules.
    let loaded = match tokio::task::spawn_blocking(move || config::load(&path, options)).await {
        Ok(Ok(loaded)) => loaded,
        Ok(Err(problems)) => {
            tell(&problems);
            return Err(problems.summary("not reloaded: the old configuration stays in force"));
        }
        Err(panic) => {
            return Err(format!("not reloaded: reading the configuration broke; the old one stays in force; please report this: {panic}"));
        }
    };
    tell(&loaded.warnings);
    let (lines, health) = (loaded.config.log, loaded.config.admin.as_ref().map(|admin| admin.address.clone()));
    match reload.take(loaded.config).await {
        Ok(waiting) => {
            log.change(lines.format, lines.level);
            if let Err(error) = admin.listen(health.as_ref()).await {
                tracing::error!("health and metrics stay where they were: the new admin.address cannot be listened on: {error}");
            }
            Ok(waiting)
        }
        Err(error) => Err(format!("not reloaded: the old configuration stays in force: {error}")),
    }
}

/// One line for each problem.
fn tell(problems: &Problems) {
    for problem in problems {
        let (at, hint) = (problem.place(), Some(problem.label.as_str()).filter(|label| !label.is_empty()));
        match problem.level {
            Level::Error => tracing::error!(at, hint, "{}", problem.title),
            Level::Warning => tracing::warn!(at, hint, "{}", problem.title),
        }
    }
}
