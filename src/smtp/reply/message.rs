//! Replies about an envelope or a message.

use super::{Class, Enhanced, Reply, class, printable};

/// Who may not relay, to where it may not (DESIGN decision 13).
pub fn relaying_denied() -> Reply {
    Reply::new(550, Enhanced(5, 7, 1), "Relaying denied")
}

/// `limits.messages_per_address`.
pub fn too_many_messages() -> Reply {
    Reply::new(451, Enhanced(4, 7, 1), "Too many messages from your address within a minute, try again later")
}

/// `limits.recipients`.
pub fn too_many_recipients() -> Reply {
    Reply::new(452, Enhanced(4, 5, 3), "Too many recipients")
}

/// A recipient of another class than the first accepted one: it comes again in a transaction of its own (RFC 5321 4.5.3.1.10).
pub fn another_class() -> Reply {
    Reply::new(452, Enhanced(4, 5, 3), "Send this recipient in a transaction of its own")
}

/// `limits.classes`.
pub fn too_many_classes() -> Reply {
    Reply::new(452, Enhanced(4, 5, 3), "Too many kinds of recipients, send this one again later")
}

/// `limits.message_size`, `header_size`, `header_fields`, or the next hop's SIZE.
pub fn too_large() -> Reply {
    Reply::new(552, Enhanced(5, 3, 4), "Message is larger than accepted here")
}

/// So large that its end is not waited for.
pub fn far_too_large() -> Reply {
    too_large().and_close()
}

/// Memory, temporary disk or the store are full.
pub fn no_room() -> Reply {
    Reply::new(452, Enhanced(4, 3, 1), "Insufficient system storage, try again later")
}

/// A CR or LF that stands alone.
pub fn bare_line_ends() -> Reply {
    Reply::new(550, Enhanced(5, 6, 11), "Message has a bare <CR> or <LF>")
}

/// The same, where it is not certain that the message has ended.
pub fn doubtful_end() -> Reply {
    bare_line_ends().and_close()
}

/// `malformed: reject`.
pub fn unreadable_header() -> Reply {
    Reply::new(550, Enhanced(5, 6, 0), "The header of this message cannot be read")
}

/// Too many `Received`, or too many of our own.
pub fn mail_loop() -> Reply {
    Reply::new(554, Enhanced(5, 4, 6), "Too many hops, this looks like a mail loop")
}

/// Our own or the next hop's trouble that is no verdict on the message. The cause is in the log.
pub fn trouble() -> Reply {
    Reply::new(451, Enhanced(4, 3, 0), "Temporary trouble, try again later")
}

/// The dot was sent to the next hop and not answered: 250 would risk a loss.
pub fn outcome_unknown() -> Reply {
    Reply::new(451, Enhanced(4, 4, 2), "Delivery could not be confirmed, try again later")
}

/// A part of a message that came by BDAT.
pub fn chunk_taken(size: u64) -> Reply {
    Reply::new(250, Enhanced(2, 0, 0), format!("Ok: {size} octets"))
}

/// Taken, and not sent on: held, or discarded by a rule. The text tells neither.
pub fn taken(id: &str) -> Reply {
    Reply::new(250, Enhanced(2, 0, 0), printable(&format!("Ok: {id}")))
}

/// Content that the next hop cannot take and that may not be converted (RFC 3463 X.6.3).
pub fn cannot_convert() -> Reply {
    Reply::new(554, Enhanced(5, 6, 3), "Conversion required but not possible")
}

/// The next hop has no SMTPUTF8 and the message cannot do without (RFC 6531 3.5).
pub fn smtputf8_not_possible() -> Reply {
    Reply::new(550, Enhanced(5, 6, 7), "Message needs SMTPUTF8, which is not available on its way")
}

/// REQUIRETLS, which cannot be kept towards the next hop (RFC 8689 4.2.1).
pub fn tls_not_possible() -> Reply {
    Reply::new(550, Enhanced(5, 7, 30), "REQUIRETLS support required")
}

/// What a rule's `reject` or `defer` says. A code that is neither becomes 451, which loses nothing.
pub fn ruled(code: u16, enhanced: Enhanced, text: &str) -> Reply {
    match class(code) {
        Class::Transient | Class::Permanent if (400..600).contains(&code) && code != 421 => Reply::new(code, enhanced, printable(text)),
        _ => trouble(),
    }
}
