//! What the next hop said, as the client hears it.

use super::{Class, Enhanced, Reply, class, printable, trouble};
use crate::smtp::client::{Answer, Meaning, Stage};

/// Whether an answer speaks about this sender, recipient or message; any other is our trouble with the next hop, and the client hears 451 (SEMANTICS 2).
pub fn is_verdict(stage: Stage, answer: &Answer) -> bool {
    answer.meaning(stage) != Meaning::Trouble && answer.class() != Class::Continue
}

/// The next hop's answer for the client: its code, enhanced code and lines. What is no verdict becomes [`trouble`]. A 2xx to the dot becomes 250.
pub fn passed(stage: Stage, answer: &Answer) -> Reply {
    let mut reply = passed_silently(stage, answer);
    if is_verdict(stage, answer) {
        reply.text = printable(&answer.text).into();
    }
    reply
}

/// The same with a text of ours: after the envelope was rewritten, the next hop's text may show what is to be hidden.
pub fn passed_silently(stage: Stage, answer: &Answer) -> Reply {
    if !is_verdict(stage, answer) {
        return trouble();
    }
    let code = match (stage, answer.code) {
        (Stage::Recipient, 251) => 251,
        (_, 200..=299) => 250,
        (_, code) => code,
    };
    let digit = match class(code) {
        Class::Done => 2,
        Class::Continue => 3,
        Class::Transient => 4,
        Class::Permanent => 5,
    };
    let enhanced = answer.enhanced.filter(|enhanced| enhanced.0 == digit).unwrap_or(Enhanced(digit, 0, 0));
    let text = match class(code) {
        Class::Done | Class::Continue => "Ok",
        Class::Transient => "Not accepted for now, try again later",
        Class::Permanent => "Not accepted",
    };
    Reply::new(code, enhanced, text)
}
