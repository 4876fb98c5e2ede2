//! The mails of documented examples, and of tests that say nothing else.
//!
//! A mail is written as it travels; lines in parentheses before it tell what is not in the message: `(sender a@b.example)`, `(recipient c@d.example)`, `(client
//! 192.0.2.1 mail.example)`, `(time 2026-11-21T12:00:00Z)`, `(inside)` (where the client stands), `(helo mail.example)`, `(listener inbound)`, `(user anna)`, `(tls)` or `(tls NAMES OF A CERTIFICATE)`,
//! `(tag newsletter)`, `(score 12)`, `(score phish 3)`.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use ulid::Ulid;

use super::test::bytes;
use super::{Limits, Run};
use crate::mail::{Client, Inside, Mail, Origin, Protocol, Secured, Standing};
use crate::message::{self, Message};
use crate::smtp::envelope::{Declared, Envelope};
use crate::smtp::path::Path;

/// Who sends where nothing else is said.
pub const SENDER: &str = "sender@outside.example";
/// Who receives where nothing else is said.
pub const RECIPIENT: &str = "recipient@inside.example";

/// The time of a mail that came in nowhere: a test that says no time has no clock.
pub const NO_TIME: Timestamp = Timestamp::UNIX_EPOCH;

/// Limits no example comes near.
#[must_use]
pub fn limits() -> Arc<message::Limits> {
    Arc::new(message::Limits {
        message_size: 50_000_000,
        header_size: 1_000_000,
        header_fields: 2000,
        depth: 50,
        parts: 2000,
        part_fields: 20_000,
        memory: 50_000_000,
        text: 16_000_000,
    })
}

/// A client outside, with a name.
#[must_use]
pub fn origin() -> Origin {
    let client = Client { address: Some([192, 0, 2, 1].into()), ..Client::default() };
    Origin {
        peer: client.address,
        client,
        standing: Standing::Outside,
        helo: "client.outside.example".into(),
        protocol: Protocol::Esmtp,
        tls: None,
        user: None,
        listener: Arc::from("test"),
        time: NO_TIME,
        session: Ulid::nil(),
        id: Ulid::nil(),
        token: Arc::from(""),
    }
}

/// TLS with a client whose certificate has these names.
#[must_use]
pub fn secured(certificate: Vec<String>) -> Secured {
    Secured { version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", certificate }
}

/// What is inside where nothing else is said: the domain of [`RECIPIENT`] and its subdomains.
#[must_use]
pub fn inside() -> Arc<Inside> {
    Arc::new(Inside { domains: vec!["inside.example".to_owned(), ".inside.example".to_owned()], networks: Vec::new() })
}

/// A run at its start with the mail that `text` shows.
///
/// # Panics
/// When `text` is not written as the module says; examples are part of the program.
#[must_use]
pub fn run(text: &str) -> Run {
    let mut origin = origin();
    let (mut sender, mut recipients) = (SENDER, Vec::new());
    let (mut tags, mut scores) = (Vec::new(), Vec::new());
    let mut rest = text;
    while let Some((line, below)) = rest.strip_prefix('(').and_then(|line| line.split_once(")\r\n")) {
        let (word, value) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "sender" => sender = value,
            "recipient" => recipients.push(value),
            "inside" => origin.standing = Standing::Inside,
            "helo" => origin.helo = Arc::from(value),
            "listener" => origin.listener = Arc::from(value),
            "user" => origin.user = Some(Arc::from(value)),
            "tls" => origin.tls = Some(Arc::new(secured(value.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect()))),
            "time" => origin.time = value.parse().expect("a time in an example"),
            "tag" => tags.push(value),
            "score" => scores.push(value.rsplit_once(' ').unwrap_or(("", value))),
            "client" => {
                let (address, name) = value.split_once(' ').map_or((value, None), |(address, name)| (address, Some(name.to_owned())));
                origin.client = Client { address: Some(address.parse().expect("an address in an example")), name, ..Client::default() };
            }
            other => panic!("`{other}` means nothing in an example"),
        }
        rest = below;
    }
    if recipients.is_empty() {
        recipients.push(RECIPIENT);
    }
    let path = |address: &str| Path::parse(address).expect("an address in an example");
    let envelope = Envelope {
        sender: path(sender),
        recipients: recipients.into_iter().map(|one| path(one).into()).collect(),
        declared: Declared::default(),
    };
    let message = Message::parse(Bytes::copy_from_slice(rest.as_bytes()), &limits()).expect("an example within the limits");
    let mut run = Run::new(Mail { origin: Arc::new(origin), envelope, message }, Limits::default(), inside(), false);
    for tag in tags {
        run.add_tag(tag);
    }
    for (name, points) in scores {
        run.add_score(name, points.parse().expect("a number in an example"));
    }
    run
}

/// The mail of a run, written as [`run`] reads it: only what differs from where nothing is said, and the message.
///
/// # Panics
/// When the message cannot be read; examples are in memory.
#[must_use]
pub fn written(run: &Run) -> String {
    let mut text = String::new();
    let envelope = &run.mail.envelope;
    if envelope.sender.address() != SENDER {
        text.extend(["(sender ", envelope.sender.address(), ")\r\n"]);
    }
    if envelope.recipients.len() != 1 || envelope.recipients[0].address() != RECIPIENT {
        text.extend(envelope.recipients.iter().map(|recipient| format!("(recipient {})\r\n", recipient.address())));
    }
    text.extend(run.tags.iter().map(|tag| format!("(tag {tag})\r\n")));
    text.extend(run.scores.iter().map(|(name, points)| match name.as_str() {
        "" => format!("(score {points})\r\n"),
        name => format!("(score {name} {points})\r\n"),
    }));
    text.push_str(&String::from_utf8_lossy(&bytes(&run.mail.message)));
    text
}
