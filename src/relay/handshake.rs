//! From a connected socket to a connection that takes mail.
//!
//! | step     | what is said | where |
//! |----------|--------------|-------|
//! | Greeting | nothing      | here  |
//! | Hello    | EHLO, or HELO to a server that knows no EHLO (RFC 5321 3.2); LHLO in LMTP | here |
//! | Login    | AUTH, where the route has an account | [`login`](super::login) |
//! | TLS      | STARTTLS and EHLO again, or TLS before the greeting, as the policy has it | [`connection::tls`](super::connection) |

use std::sync::Arc;

use tokio::time::timeout;

use super::connection::{Connection, Trouble};
use super::pool::Remote;
use super::reach;
use super::stream::Stream;
use super::target::Target;
use crate::config::{Policy, TlsMode};
use crate::smtp::client::{Capabilities, Stage};

/// Why nothing came of a connected socket.
#[derive(Debug)]
pub struct Unopened {
    pub trouble: Trouble,
    /// It had a greeting for us.
    pub greeted: bool,
}

impl Connection {
    /// Everything up to the point where a mail may be sent. Where TLS fails that need not be, on a new socket to the same place.
    ///
    /// # Errors
    /// [`Trouble::Said`] for a refused greeting or EHLO.
    pub async fn open(stream: Stream, target: &Arc<Target>, place: &Remote) -> Result<Connection, Unopened> {
        let policy = &target.policy;
        match Connection::open_under(policy, stream, target).await {
            Err(Unopened { trouble: Trouble::Tls(why), .. }) if matches!(policy.mode, TlsMode::IfAvailable | TlsMode::AlwaysTry) => {
                tracing::warn!(
                    "next hop {} cannot be spoken to in TLS: {why}; it gets its mail in clear, as `relay.tls` allows",
                    target.next_hop
                );
                let Ok(Ok(stream)) = timeout(target.route.connections.connect, reach::connect(place)).await else {
                    return Err(Unopened { trouble: Trouble::Closed, greeted: true });
                };
                Connection::open_under(&policy.in_clear(), stream, target).await
            }
            opened => opened,
        }
    }

    async fn open_under(policy: &Policy, stream: Stream, target: &Arc<Target>) -> Result<Connection, Unopened> {
        let connected =
            if policy.mode == TlsMode::Implicit { Connection::in_tls(stream, target).await } else { Ok(Connection::on(stream, target)) };
        // A handshake that fails is no sign of too many connections.
        let mut connection = connected.map_err(|trouble| Unopened { trouble, greeted: true })?;
        if let Err(trouble) = connection.expect(Stage::Greeting).await {
            let greeted = matches!(trouble, Trouble::Said(..));
            return Err(Unopened { trouble, greeted });
        }
        connection.greeted(policy).await.map_err(|trouble| Unopened { trouble, greeted: true })
    }

    /// What follows the greeting.
    async fn greeted(mut self, policy: &Policy) -> Result<Connection, Trouble> {
        let target = Arc::clone(&self.target);
        self.hello(&target.settings.hostname).await?;
        let mut connection = self.secured(policy).await?;
        if let Some(account) = &target.route.auth {
            connection.log_in(account).await?;
        }
        Ok(connection)
    }

    /// EHLO, and HELO for a server that knows no EHLO; LHLO in LMTP, which has nothing older (RFC 2033 4.1). What was known of it before is forgotten.
    pub(super) async fn hello(&mut self, name: &str) -> Result<(), Trouble> {
        // What it says beyond its greeting would be taken for the answer to EHLO, and every later answer for the one before it.
        self.quiet()?;
        self.capabilities = Capabilities::default();
        let lmtp = self.next_hop.lmtp;
        self.say(&format!("{} {name}\r\n", if lmtp { "LHLO" } else { "EHLO" }), 1).await?;
        let answer = self.answer(Stage::Hello).await?;
        match answer.code {
            200..=299 => self.capabilities = Capabilities::read(&answer),
            500..=599 if !lmtp => {
                self.quiet()?;
                self.say(&format!("HELO {name}\r\n"), 1).await?;
                self.expect(Stage::Hello).await?;
            }
            _ => return Err(Trouble::Said(Stage::Hello, answer)),
        }
        self.quiet()
    }
}
