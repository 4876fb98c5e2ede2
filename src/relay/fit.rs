//! Whether a mail can be said to a next hop, and what has to be changed for that (DESIGN decision 10, SEMANTICS 13, 18).
//!
//! | it needs   | and the next hop has it not                                                         |
//! |------------|-------------------------------------------------------------------------------------|
//! | SMTPUTF8   | refused, unless only the word was said (RFC 6531 3.2)                               |
//! | REQUIRETLS | refused, never dropped (RFC 8689 4.2.1)                                             |
//! | 8BITMIME   | parts that need it become quoted-printable (RFC 6152 3), headers say it in ASCII    |
//! |            | (RFC 2047, RFC 2231); refused where one may not or cannot                           |
//! | BINARYMIME | parts that need it become base64 (RFC 3030 3); refused where one may not            |
//! | its size   | refused                                                                             |
//! | DSN        | what the sender wishes to be told is dropped (RFC 3461 5.2.2), and that is logged   |

use super::connection::Connection;
use super::{Delivery, RelayError, Unfit};
use crate::message::{Fault, Message};
use crate::smtp::envelope::{Body, Declared, Envelope, Recipient};
use crate::smtp::path::Path;

/// Messages up to this size are converted where they are; larger ones off the async threads.
const SMALL: u64 = 256 * 1024;

/// Why this envelope can never be said on this connection.
#[must_use]
pub fn cannot_say(connection: &Connection, sender: &Path, declared: &Declared, recipients: &[Recipient]) -> Option<Unfit> {
    let capabilities = &connection.capabilities;
    if capabilities.drops_wishes(declared, recipients) {
        tracing::info!("next hop {} has no DSN: what the sender wishes to be told of is not passed on", connection.next_hop);
    }
    if !capabilities.can_say(recipients.iter().map(Recipient::path).chain([sender])) {
        return Some(Unfit::NeedsSmtpUtf8);
    }
    (declared.require_tls && !(capabilities.requiretls && connection.is_verified())).then_some(Unfit::NeedsTls)
}

/// Whether the mail can go to this next hop; the message as it has to be changed for it.
///
/// # Errors
/// It cannot.
pub async fn fit(connection: &Connection, envelope: &Envelope, message: &Message) -> Result<Option<Message>, Delivery> {
    let capabilities = &connection.capabilities;
    if !capabilities.smtputf8 && envelope.declared.smtputf8 && message.has_eight_bit_header() {
        return Err(Delivery::Unfit(Unfit::NeedsSmtpUtf8));
    }
    if let Some(unfit) = cannot_say(connection, &envelope.sender, &envelope.declared, &envelope.recipients) {
        return Err(Delivery::Unfit(unfit));
    }
    let binary = envelope.declared.body == Some(Body::BinaryMime);
    let takes_all = capabilities.eight_bit || binary && capabilities.binary;
    let needs = Needs { lines: binary && !capabilities.binary, seven_bit: !takes_all && is_eight_bit(message) };
    let converted = if needs.lines || needs.seven_bit { Some(converted(message, needs).await?) } else { None };
    let size = || converted.as_ref().unwrap_or(message).size();
    if capabilities.largest.is_some_and(|largest| size() > largest) {
        return Err(Delivery::Unfit(Unfit::TooLarge));
    }
    Ok(converted)
}

/// What a next hop wants of a message.
#[derive(Clone, Copy)]
struct Needs {
    lines: bool,
    seven_bit: bool,
}

async fn converted(message: &Message, needs: Needs) -> Result<Message, Delivery> {
    let converted = if message.in_file() || message.size() > SMALL {
        let message = message.clone();
        tokio::task::spawn_blocking(move || convert(&message, needs))
            .await
            .unwrap_or_else(|error| Err((Unfit::EightBit, Fault::Disk(std::io::Error::other(error)))))
    } else {
        convert(message, needs)
    };
    converted.map_err(|(unfit, fault)| match fault {
        Fault::Message(text) => {
            tracing::info!("a message cannot be converted for its next hop: {text}");
            Delivery::Unfit(unfit)
        }
        fault @ (Fault::Disk(_) | Fault::Write(_) | Fault::NoMemory | Fault::NoDisk) => {
            let text = format!(
                "the message could not be converted for its next hop: {fault}; see to the disk of store.path, limits.bytes_in_flight and limits.temporary_disk"
            );
            tracing::error!("{text}");
            Delivery::Unavailable(RelayError::Unavailable(text))
        }
    })
}

fn convert(message: &Message, needs: Needs) -> Result<Message, (Unfit, Fault)> {
    let message = if needs.lines { message.in_lines().map_err(|fault| (Unfit::Binary, fault))? } else { message.clone() };
    // What became base64 may have been all that was 8-bit.
    if needs.seven_bit && is_eight_bit(&message) {
        return message.seven_bit().map_err(|fault| (Unfit::EightBit, fault));
    }
    Ok(message)
}

fn is_eight_bit(message: &Message) -> bool {
    let (header, body) = message.eight_bit();
    header || body
}
