//! Sends a mail out of the quarantine: as it lies there, to all its recipients or to none, once (DESIGN decision 8).
//!
//! | the next hop | the row becomes |
//! |---|---|
//! | answers the dot 2xx | released |
//! | refuses the sender, a recipient, DATA or the dot | held, with that reply |
//! | cannot take a message like this, cannot be reached, is silent or unintelligible before the dot | held, with that trouble |
//! | is silent after the dot | in doubt: sent again only by force |

use std::time::Duration;

use jiff::fmt::rfc2822;

use super::{Delivery, Relay, Unfit, Until};
use crate::base::clock;
use crate::message::{Field, Message};
use crate::smtp::reply::Class;
use crate::store::content::Form;
use crate::store::desk::{Claim, DeskError, Row, Settled};
use crate::store::{Store, StoreError};

/// How a mail is to be released.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The held form goes as it is; the received one with a `Received` of this host on top.
    pub form: Form,
    /// Also if it is in doubt.
    pub force: bool,
    pub hostname: &'a str,
    /// How long it may take up to the dot.
    pub deadline: Duration,
}

/// What came of it, each with the next hop's words, or ours about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The next hop has it.
    Sent(String),
    /// The next hop does not want it, and will not.
    Refused(String),
    /// Not now; the same may work later.
    NotNow(String),
    /// Nobody knows whether the next hop has it.
    InDoubt(String),
}

/// Why nothing was sent, or what was sent could not be written down.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    #[error(transparent)]
    Desk(#[from] DeskError),
    #[error("{outcome}, but the store could not write that down: {error}; the row will be shown as in doubt")]
    Unwritten { outcome: String, error: StoreError },
}

/// Sends a row, and writes down what came of it.
///
/// # Errors
/// The row cannot be had, or the outcome not be written.
pub async fn release(store: &Store, relay: &Relay, row: &Row, order: Order<'_>) -> Result<Outcome, ReleaseError> {
    let claim = store.claim(row, order.force).await?;
    let outcome = match message(store, row, order).await {
        Ok(message) => send(relay, &claim, &message, order.deadline).await,
        Err(error) => Outcome::NotNow(error.to_string()),
    };
    let (settled, word) = match outcome.clone() {
        Outcome::Sent(reply) => (Settled::Released { reply }, "it was sent"),
        Outcome::Refused(reply) | Outcome::NotNow(reply) => (Settled::Held { reply }, "it was not sent"),
        Outcome::InDoubt(reply) => (Settled::InDoubt { reply }, "it may have been sent"),
    };
    let written = store.settle(claim, settled).await;
    written.map_err(|error| ReleaseError::Unwritten { outcome: word.to_owned(), error })?;
    Ok(outcome)
}

async fn message(store: &Store, row: &Row, order: Order<'_>) -> Result<Message, DeskError> {
    let (reading, row) = (store.clone(), row.clone());
    let read = tokio::task::spawn_blocking(move || reading.message(&row, order.form).map(|message| (message, row)));
    let (mut message, row) = read.await.map_err(|error| StoreError::Unable(format!("reading failed: {error}")))??;
    if order.form == Form::Received {
        message.insert_field(0, received(store, &row, order.hostname));
    }
    Ok(message)
}

/// RFC 5321 4.4: who made this copy and when; `from` says whom it came from first, as the server's own field would have.
fn received(store: &Store, row: &Row, hostname: &str) -> Field {
    let record = &row.record;
    let date = rfc2822::DateTimePrinter::new();
    let date = date.timestamp_to_string(&clock::now()).unwrap_or_default();
    Field::new(
        "Received",
        &format!("from {} ([{}]) by {hostname} id {}.{}; {date}", record.helo, record.client, record.message, store.token()),
    )
}

async fn send(relay: &Relay, claim: &Claim, message: &Message, deadline: Duration) -> Outcome {
    let envelope = &claim.row.record.envelope;
    let end = clock::monotonic() + deadline;
    let until = Until { deadline: end, hard_deadline: end + 4 * deadline };
    let mut transaction = relay.transaction(envelope.sender.clone(), envelope.declared);
    outcome(transaction.deliver(envelope, message, until, &mut std::future::pending()).await)
}

fn outcome(delivery: Delivery) -> Outcome {
    let refused = |class: Class, text: String| if class == Class::Permanent { Outcome::Refused(text) } else { Outcome::NotNow(text) };
    match delivery {
        Delivery::Accepted { next_hop, answer } => Outcome::Sent(format!("{next_hop} said: {}", answer.in_one_line())),
        Delivery::Refused { next_hop, answer } | Delivery::RefusedBefore { next_hop, answer } => {
            refused(answer.class(), format!("{next_hop} said: {}", answer.in_one_line()))
        }
        Delivery::Recipients { next_hop, refused: recipients } => {
            let permanent = recipients.iter().any(|(_, answer)| answer.class() == Class::Permanent);
            let told: Vec<_> = recipients.iter().map(|(path, answer)| format!("{path}: {}", answer.in_one_line())).collect();
            refused(if permanent { Class::Permanent } else { Class::Transient }, format!("{next_hop} refused {}", told.join("; ")))
        }
        Delivery::Unfit(unfit) => Outcome::Refused(unfit_text(unfit).to_owned()),
        Delivery::Unavailable(error) => Outcome::NotNow(error.to_string()),
        Delivery::ClientGone => Outcome::NotNow("it was called off before the dot".to_owned()),
        Delivery::InDoubt { next_hop, error } => Outcome::InDoubt(format!("{next_hop} did not answer the dot: {error}")),
    }
}

fn unfit_text(unfit: Unfit) -> &'static str {
    match unfit {
        Unfit::TooLarge => "it is larger than the next hop's SIZE",
        Unfit::NeedsSmtpUtf8 => "it needs SMTPUTF8, which the next hop does not have",
        Unfit::EightBit => "it needs 8BITMIME, which the next hop does not have, and a signed part may not be converted",
    }
}
