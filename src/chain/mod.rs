//! The chain: rules in order, actions in order, each seeing what earlier ones did. Pure: a mail of one class in, a [`Ruling`] out.
pub mod action;
pub mod condition;
pub mod ruling;

use crate::mail::Mail;
use ruling::Ruling;

/// Rules, compiled and ready.
#[derive(Debug)]
pub struct Chain {}

impl Chain {
    /// Runs a mail to its ruling. Blocks only for the message's own file. Never panics: a rule that does has failed.
    #[must_use]
    pub fn run(&self, mail: Mail) -> Ruling {
        let _ = mail;
        todo!("chain helper")
    }
}
