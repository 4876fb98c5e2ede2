//! Mail held by a rule. `pending(owner) → held → releasing(owner) → released | held | in doubt` (DESIGN decision 8).

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::message::Message;
use crate::smtp::envelope::Envelope;

/// A row's id, as the operator types it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HoldId(pub String);

/// What goes into the quarantine.
#[derive(Clone, Debug)]
pub struct NewHold {
    /// Reasons with the rule that gave each; the first stands.
    pub reasons: Vec<Reason>,
    /// Names of all rules that fired.
    pub rules: Vec<String>,
    /// Envelope as received, and as it would have been sent.
    pub received_envelope: Envelope,
    pub envelope: Envelope,
    /// As received (unstuffed, nothing added).
    pub received: Message,
    /// As it would have been delivered, `Received` included.
    pub held: Message,
    pub client: String,
    pub helo: String,
    pub session: String,
    /// The id of the message, in logs and in `Received`.
    pub message: String,
    pub time: Timestamp,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub rule: String,
    pub reason: String,
}

impl Store {
    /// Makes a hold durable in state `pending`: returns after the sync.
    ///
    /// # Errors
    /// No room, or the store cannot.
    pub async fn stage(&self, hold: NewHold) -> Result<HoldId, StoreError> {
        let _ = hold;
        todo!("store helper")
    }

    /// Queues `pending → held`; what is pending is already durable.
    pub fn confirm(&self, hold: &HoldId) {
        let _ = hold;
        todo!("store helper")
    }

    /// Durably removes what was staged.
    ///
    /// # Errors
    /// The store cannot; the row stays `pending` and is shown as held, unconfirmed, once this process is gone.
    pub async fn undo(&self, hold: &HoldId) -> Result<(), StoreError> {
        let _ = hold;
        todo!("store helper")
    }
}
