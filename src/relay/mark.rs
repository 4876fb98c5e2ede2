//! Whose reply was that? A reply is known by its place only, and BDAT has no 354 that would show a reply too many before it: a server that answers a command twice, and whose
//! later answers take their time, would have its word on a recipient taken for the one on the message. So the answer to a message that went out by BDAT is
//! believed where
//!
//! | | it cannot be another's, because |
//! |---|---|
//! | MAIL and all RCPTs were answered 2.1.x, and it is not | no answer to them, however often it was given, speaks of a message (RFC 3463 3.2) |
//! | EHLO behind it is answered by what a server offers | that is no answer to anything else: as many replies came before it as were asked for |
//!
//! A connection that ends before EHLO is answered tells nothing: the message's own answer may have been lost with it.
//!
//! EHLO in the middle of a session is RSET (RFC 5321 4.1.4). It goes out in the write of a transaction that is opened anew ([`Ready::at_once`](super::dialog::Ready::at_once)), and
//! behind the answer where the first row does not hold: for content that can go no other way, and where the answer itself is 2.1.x.

use super::connection::{Connection, Trouble};
use crate::smtp::client::{Answer, Capabilities, Meaning, Stage};
use crate::smtp::reply::Enhanced;

/// Whether it speaks of an address (RFC 3463 3.2), so that it cannot be the answer to a message.
#[must_use]
pub fn tells_of_addresses(answer: &Answer) -> bool {
    matches!(answer.enhanced, Some(Enhanced(2, 1, _)))
}

impl Connection {
    /// EHLO, or LHLO.
    #[must_use]
    pub fn mark(&self) -> String {
        let verb = if self.next_hop.lmtp { "LHLO" } else { "EHLO" };
        format!("{verb} {}\r\n", self.target.settings.hostname)
    }

    /// Whether this answer to a message by BDAT can be no other's; asks where it does not tell.
    ///
    /// # Errors
    /// It may be another's.
    pub async fn told_apart(&mut self, answer: &Answer) -> Result<(), Trouble> {
        if self.tells_apart && !tells_of_addresses(answer) {
            return Ok(());
        }
        let mark = self.mark();
        match self.say(&mark, 1).await {
            // What it said before it closed is still there.
            Ok(()) | Err(Trouble::Closed) => {}
            Err(trouble) => return Err(trouble),
        }
        self.marked().await
    }

    /// The answer to [`Connection::mark`].
    ///
    /// # Errors
    /// It is another one: a reply too many came before it.
    pub async fn marked(&mut self) -> Result<(), Trouble> {
        let answer = self.answer(Stage::Hello).await?;
        if answer.meaning(Stage::Hello) != Meaning::Accepted || !Capabilities::read(&answer).chunking {
            let text = format!("answered EHLO behind the message with `{}`, which may be its word on the message", answer.in_one_line());
            return Err(Trouble::Other(text));
        }
        match self.quiet() {
            // All is answered; it may go.
            Err(Trouble::Closed) => Ok(()),
            quiet => quiet,
        }
    }
}
