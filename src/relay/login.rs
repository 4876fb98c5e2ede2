//! Our login at a next hop (RFC 4954): between EHLO and the first mail, where the route has an account.

use std::sync::Arc;

use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::connection::{Connection, Trouble};
use crate::config::Place;
use crate::smtp::auth::client::{Account, Login, LoginError, Message, Wire};
use crate::smtp::auth::{Bindings, decoded, encoded};
use crate::smtp::client::{Answer, Stage};

/// A command line with its CR LF; a longer first message waits until it is asked for (RFC 4954 4).
const LONGEST_LINE: usize = 512;

impl Connection {
    /// Logs in. What is wrong is our trouble or the next hop's, never a word on a mail (SEMANTICS 2).
    ///
    /// # Errors
    /// Why there is no login, and who has to do what.
    pub(super) async fn log_in(&mut self, account: &Arc<Account>) -> Result<(), Trouble> {
        let chosen = {
            let (clear, protection) = (Bindings::default(), self.tls.as_ref());
            let private = protection.is_some() || matches!(self.next_hop.place, Place::Unix(_));
            let wire = Wire { private, bindings: protection.map_or(&clear, |protection| &protection.bindings) };
            Login::choose(account, &self.capabilities.auth.join(" "), wire)
        };
        let mut login = chosen.map_err(|error| refused(&error))?;
        let mut waiting = login.begin();
        let alone = Zeroizing::new(format!("AUTH {}\r\n", login.mechanism()));
        let with_message = waiting.as_ref().map(|message| Zeroizing::new(format!("AUTH {} {}", login.mechanism(), *in_base64(message))));
        self.quiet()?;
        match with_message.filter(|line| line.len() <= LONGEST_LINE) {
            Some(line) => {
                waiting = None;
                self.say(&line, 1).await?;
            }
            None => self.say(&alone, 1).await?,
        }
        loop {
            let answer = self.answer(Stage::Login).await?;
            if answer.code != 334 {
                login.end(answer.code, &answer.in_one_line()).map_err(|error| refused(&error))?;
                tracing::debug!(mechanism = login.mechanism().name(), "logged in at next hop {}", self.next_hop);
                return self.quiet();
            }
            let message = if let Some(message) = waiting.take() {
                Ok(message)
            } else {
                let next;
                (login, next) = answered(login, &answer).await?;
                next
            };
            match message {
                Ok(message) => self.say(&in_base64(&message), 1).await?,
                Err(error) => {
                    // RFC 4954 4: cancelled. Nobody waits for the answer: the connection is closed, however this goes.
                    let _ = self.say("*\r\n", 1).await;
                    return Err(refused(&error));
                }
            }
        }
    }
}

/// What is said to a challenge. Hashing a password takes a while.
async fn answered(mut login: Login, answer: &Answer) -> Result<(Login, Result<Message, LoginError>), Trouble> {
    let Some(challenge) = decoded(answer.text.split('\n').next().unwrap_or_default().trim()) else {
        return Ok((login, Err(LoginError::Failed(format!("its challenge `{}` is no base64", answer.in_one_line())))));
    };
    let hashed = spawn_blocking(move || {
        let message = login.answer(&challenge);
        (login, message)
    });
    hashed.await.map_err(|panic| Trouble::Other(format!("cannot be logged in at: {panic}; please report this")))
}

fn in_base64(message: &[u8]) -> Zeroizing<String> {
    let mut line = Zeroizing::new(encoded(message));
    line.push_str("\r\n");
    line
}

fn refused(error: &LoginError) -> Trouble {
    Trouble::Other(format!("does not let us log in: {error}"))
}
