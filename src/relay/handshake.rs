//! From a connected socket to a connection that takes mail.
//!
//! | step     | what is said | where |
//! |----------|--------------|-------|
//! | Greeting | nothing      | here  |
//! | Hello    | EHLO, or HELO to a server that knows no EHLO (RFC 5321 3.2); LHLO in LMTP | here |
//! | Login    | AUTH, where the route has an account | [`login`](super::login) |

use std::sync::Arc;

use super::connection::{Connection, Trouble};
use super::stream::Stream;
use super::target::Target;
use crate::smtp::client::{Capabilities, Stage};

/// Why nothing came of a connected socket.
#[derive(Debug)]
pub struct Unopened {
    pub trouble: Trouble,
    /// It had a greeting for us.
    pub greeted: bool,
}

impl Connection {
    /// Everything up to the point where a mail may be sent.
    ///
    /// # Errors
    /// [`Trouble::Said`] for a refused greeting or EHLO.
    pub async fn open(stream: Stream, target: &Arc<Target>) -> Result<Connection, Unopened> {
        let mut connection = Connection::on(stream, target);
        if let Err(trouble) = connection.expect(Stage::Greeting).await {
            let greeted = matches!(trouble, Trouble::Said(..));
            return Err(Unopened { trouble, greeted });
        }
        match connection.greeted(target).await {
            Ok(()) => Ok(connection),
            Err(trouble) => Err(Unopened { trouble, greeted: true }),
        }
    }

    /// What follows the greeting.
    async fn greeted(&mut self, target: &Target) -> Result<(), Trouble> {
        self.hello(&target.settings.hostname).await?;
        match &target.route.auth {
            Some(account) => self.log_in(account).await,
            None => Ok(()),
        }
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
