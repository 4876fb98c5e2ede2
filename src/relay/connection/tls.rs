//! TLS towards a next hop, as the policy for it says: from the start, after STARTTLS, or not (CONFIG `relay.tls`).
//!
//! | mode         | STARTTLS        | refused        | handshake fails              |
//! |--------------|-----------------|----------------|------------------------------|
//! | never        | never           |                |                              |
//! | `if_available` | where offered   | goes on        | a new connection, in clear   |
//! | `always_try` | always          | goes on        | a new connection, in clear   |
//! | required     | where offered   | trouble        | trouble                      |
//! | implicit     | never           |                | trouble                      |
//!
//! Where it is required and not offered is trouble, too: whoever strips the keyword gets no mail.

use std::sync::Arc;

use tokio::time::timeout;

use super::super::stream::{Seen, Stream};
use super::super::target::Target;
use super::{Connection, Trouble};
use crate::config::{Policy, TlsMode};
use crate::smtp::auth::{Bindings, end_point};
use crate::smtp::client::{Meaning, Stage};
use crate::tls::TlsStream;
use crate::tls::failure::{With, explain};

/// What protects a connection.
#[derive(Clone, Debug)]
pub struct Protection {
    /// For a login that is good for this connection only.
    pub bindings: Bindings,
}

impl Connection {
    /// STARTTLS where the policy asks for it, and EHLO again.
    pub(in super::super) async fn secured(mut self, policy: &Policy) -> Result<Connection, Trouble> {
        let offered = self.capabilities.starttls;
        match policy.mode {
            TlsMode::Never | TlsMode::Implicit => return Ok(self),
            TlsMode::IfAvailable if !offered => return Ok(self),
            TlsMode::Required if !offered => {
                let text = "it offers no STARTTLS, and `relay.tls` requires it; look into its settings, or for who takes the offer away on the way";
                return Err(Trouble::Tls(text.to_owned()));
            }
            TlsMode::IfAvailable | TlsMode::AlwaysTry | TlsMode::Required => {}
        }
        self.quiet()?;
        self.say("STARTTLS\r\n", 1).await.map_err(in_starttls)?;
        let answer = self.answer(Stage::StartTls).await.map_err(in_starttls)?;
        match answer.meaning(Stage::StartTls) {
            Meaning::Accepted => {}
            _ if policy.mode == TlsMode::Required || answer.code == 421 => return Err(Trouble::Said(Stage::StartTls, answer)),
            _ => {
                self.quiet()?;
                return Ok(self);
            }
        }
        // What was said in clear would be taken for the answer to the first command in TLS (SEMANTICS 9).
        match self.stream.look() {
            Seen::Quiet if self.replies.waiting() == 0 => {}
            Seen::Quiet | Seen::Unread => return Err(Trouble::Other(INJECTED.to_owned())),
            Seen::Closed => return Err(in_starttls(Trouble::Closed)),
        }
        let (stream, protection) = handshake(self.stream, &self.target).await?;
        let target = Arc::clone(&self.target);
        let mut connection = Connection { stream, tls: Some(Box::new(protection)), ..self };
        // What it offered in clear anybody may have written; this forgets it.
        connection.hello(&target.settings.hostname).await?;
        Ok(connection)
    }

    /// TLS from the start; the greeting is awaited.
    pub(in super::super) async fn in_tls(stream: Stream, target: &Arc<Target>) -> Result<Connection, Trouble> {
        let (stream, protection) = handshake(stream, target).await?;
        Ok(Connection { tls: Some(Box::new(protection)), ..Connection::on(stream, target) })
    }
}

const INJECTED: &str = "says more in clear behind its answer to STARTTLS; look for somebody between who writes into the connection";

/// It went away, or silent, at the word.
fn in_starttls(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Closed => Trouble::Tls("it closed the connection at STARTTLS; look into its log".to_owned()),
        Trouble::Other(text) => Trouble::Tls(format!("it {text}")),
        said => said,
    }
}

/// A handshake on this stream.
async fn handshake(stream: Stream, target: &Target) -> Result<(Stream, Protection), Trouble> {
    let (policy, within) = (&target.policy, target.settings.next_hop);
    let Some(name) = policy.server_name(&target.next_hop) else {
        return Err(Trouble::Tls("it has no name that a certificate could have; set `name` in its rule of `relay.tls`".to_owned()));
    };
    let shaken = timeout(within, TlsStream::connect(stream, policy.client.config(), name)).await;
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Trouble::Tls(explain(&error, With::Server))),
        Err(_) => {
            let within = within.as_secs_f32();
            return Err(Trouble::Tls(format!(
                "it does not finish the handshake within {within} s (timeouts.next_hop); see whether it is overloaded"
            )));
        }
    };
    let agreed = stream.agreed();
    let verified = policy.client.verifies();
    tracing::debug!(
        version = agreed.version,
        cipher = agreed.cipher,
        verified,
        resumed = agreed.resumed,
        "TLS with next hop {}",
        target.next_hop
    );
    let end_point = stream.certificates().first().and_then(|certificate| end_point(certificate));
    let bindings = Bindings { exporter: agreed.exporter, end_point };
    Ok((Stream::Tls(Box::new(stream)), Protection { bindings }))
}
