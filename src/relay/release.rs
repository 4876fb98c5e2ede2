//! Sends a mail out of the quarantine: as it lies there, to all its recipients or to none, once (DESIGN decision 8).
//!
//! | the next hop | the row becomes |
//! |---|---|
//! | answers the dot 2xx | released |
//! | refuses the sender, a recipient, DATA or the dot | held, with that reply |
//! | cannot take a message like this, cannot be reached, is silent or unintelligible before the dot | held, with that trouble |
//! | is silent after the dot, or an LMTP one takes it for some recipients only | in doubt: sent again only by force |

use std::time::Duration;

use super::{Behalf, Delivery, Relay, Until, Word};
use crate::base::clock;
use crate::message::received::{self, Stamp};
use crate::message::{Field, Message};
use crate::smtp::envelope::Recipient;
use crate::smtp::reply::Class;
use crate::store::content::Form;
use crate::store::desk::{Claim, DeskError, Row, Settled};
use crate::store::quarantine::Record;
use crate::store::{Store, StoreError};

/// How long a transfer that keeps its rate may run (DESIGN decision 4).
const LONGEST_TRANSFER: Duration = Duration::from_mins(5);

/// How a mail is to be released.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The held form goes as it is; the received one with a `Received` of this host on top.
    pub form: Form,
    /// Also if it is in doubt.
    pub force: bool,
    /// Who asked for it.
    pub by: &'a str,
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
    let claim = store.claim(row, order.form, order.force, order.by).await?;
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
        message.insert_field(0, received_field(store, &row, order.hostname));
    }
    Ok(message)
}

/// The field that the server would have put on top. Only the held form has it (RFC 5321 4.4).
fn received_field(store: &Store, row: &Row, hostname: &str) -> Field {
    let record = &row.record;
    received::field(&Stamp {
        helo: &record.helo,
        name: None,
        address: record.client.parse().ok(),
        by: hostname,
        with: &record.with,
        tls: None,
        id: &record.message,
        token: store.token(),
        recipient: None,
        time: record.time,
    })
}

async fn send(relay: &Relay, claim: &Claim, message: &Message, deadline: Duration) -> Outcome {
    let Record { envelope, route, .. } = &claim.row.record;
    let now = clock::monotonic();
    let until = Until { deadline: now + deadline, hard_deadline: now + deadline.max(LONGEST_TRANSFER) };
    let mut transaction = relay.transaction(Some(route), Behalf::default(), envelope.sender.clone(), envelope.declared.clone());
    outcome(transaction.deliver(envelope, message, until, &mut std::future::pending()).await)
}

fn outcome(delivery: Delivery) -> Outcome {
    let refused = |class: Class, text: String| if class == Class::Permanent { Outcome::Refused(text) } else { Outcome::NotNow(text) };
    match delivery {
        Delivery::Accepted { next_hop, answer } => Outcome::Sent(format!("{next_hop} said: {}", answer.in_one_line())),
        Delivery::Refused { next_hop, answer } | Delivery::RefusedBefore { next_hop, answer } => {
            refused(answer.class(), format!("{next_hop} said: {}", answer.in_one_line()))
        }
        Delivery::Recipients { next_hop, refused: recipients } | Delivery::Beyond { next_hop, refused: recipients } => {
            let permanent = recipients.iter().any(|(_, answer)| answer.class() == Class::Permanent);
            let told: Vec<_> = recipients.iter().map(|(path, answer)| format!("{path}: {}", answer.in_one_line())).collect();
            refused(if permanent { Class::Permanent } else { Class::Transient }, format!("{next_hop} refused {}", told.join("; ")))
        }
        Delivery::Each { next_hop, words } => of_each(&next_hop, &words),
        Delivery::Unfit(unfit) => Outcome::Refused(unfit.text().to_owned()),
        Delivery::Unavailable(error) => Outcome::NotNow(error.to_string()),
        Delivery::ClientGone => Outcome::NotNow("it was called off before the dot".to_owned()),
        Delivery::InDoubt { next_hop, error } => Outcome::InDoubt(format!("{next_hop} did not answer the dot: {error}")),
    }
}

/// Released only if all have it. Who has not cannot be told apart by a row: it stays in doubt, with the words that tell.
fn of_each(next_hop: &str, words: &[(Recipient, Word)]) -> Outcome {
    let told = |(path, word): &(Recipient, Word)| match word {
        Word::Said(answer) => format!("{path}: {}", answer.in_one_line()),
        Word::Unknown(error) => format!("{path}: {error}"),
    };
    let text = format!("{next_hop} said of {}", words.iter().map(told).collect::<Vec<_>>().join("; "));
    let all = |wanted: &[Class]| words.iter().all(|(_, word)| matches!(word, Word::Said(answer) if wanted.contains(&answer.class())));
    match () {
        () if all(&[Class::Done]) => Outcome::Sent(text),
        () if all(&[Class::Permanent]) => Outcome::Refused(text),
        () if all(&[Class::Permanent, Class::Transient]) => Outcome::NotNow(text),
        () => Outcome::InDoubt(text),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::mpsc;

    use super::*;
    use crate::config::{Connections, Route};
    use crate::relay::{NextHop, Settings};
    use crate::smtp::client::Answer;
    use crate::smtp::envelope::{Declared, Envelope};
    use crate::smtp::path::Path;
    use crate::store::Limits;
    use crate::store::desk::State;
    use crate::store::quarantine::{NewHold, Reason};

    const RECEIVED: &str = "Subject: x\r\n\r\nhi\r\n";
    const HELD: &str = "Tagged: yes\r\nSubject: x\r\n\r\nhi\r\n";

    /// A next hop that answers each line by its first word (the dot is a word); a word without an answer closes the connection. Gives what it heard.
    fn next_hop(answers: &'static [(&'static str, &'static str)]) -> (SocketAddr, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, (hear, heard)) = (listener.local_addr().unwrap(), mpsc::channel());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream.write_all(b"220 there ESMTP\r\n").unwrap();
                let mut in_data = false;
                for line in BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok) {
                    let _ = hear.send(line.clone());
                    let known = answers.iter().find(|(start, _)| line.starts_with(start));
                    let answer = match known.map(|(_, answer)| *answer) {
                        _ if in_data && line != "." => continue,
                        Some(answer) => answer,
                        None if line == "." => break,
                        None if line == "DATA" => "354 go on",
                        None => "250 2.0.0 fine",
                    };
                    in_data = answer.starts_with("354");
                    stream.write_all(format!("{answer}\r\n").as_bytes()).unwrap();
                }
            }
        });
        (address, heard)
    }

    fn relay(address: SocketAddr) -> Relay {
        let second = Duration::from_secs(10);
        let connections =
            Connections { max: 2, idle: 2, idle_time: second, wait: second, hold: second, connect: second, ..Connections::default() };
        let next_hops = vec![NextHop::tcp(address.ip().to_string(), address.port())];
        Relay::new(Settings {
            hostname: "filter.example".into(),
            token: "TOKEN".into(),
            routes: vec![Route { next_hops, connections, ..Route::default() }.into()],
            next_hop: second,
            after_dot: second,
            min_data_rate: 1,
        })
    }

    fn message(text: &'static str) -> Message {
        let limits = crate::message::Limits {
            message_size: 1_000_000,
            header_size: 10_000,
            header_fields: 100,
            depth: 10,
            parts: 10,
            part_fields: 100,
            memory: 100_000,
            text: 100_000,
        };
        Message::parse(text.into(), &std::sync::Arc::new(limits)).unwrap()
    }

    async fn held(store: &Store) -> Row {
        let path = |address| Path::parse(address).unwrap();
        let envelope = Envelope {
            sender: path("a@outside.example"),
            recipients: vec![path("b@inside.example").into(), path("c@inside.example").into()],
            declared: Declared::default(),
        };
        let hold = NewHold {
            reasons: vec![Reason { rule: "r".into(), reason: "because".into() }],
            rules: vec!["r".into()],
            received_envelope: envelope.clone(),
            envelope,
            received: message(RECEIVED),
            held: message(HELD),
            client: "192.0.2.1".into(),
            helo: "client.example".into(),
            with: "ESMTP".into(),
            route: "relay".into(),
            session: "S".into(),
            message: "M".into(),
            time: clock::now(),
        };
        let id = store.stage(hold).await.unwrap();
        store.confirm(&id);
        store.undo(&id).await.unwrap();
        store.find(&id.0).unwrap()
    }

    const ORDER: Order<'static> =
        Order { form: Form::Held, force: false, by: "operator (1000)", hostname: "filter.example", deadline: Duration::from_secs(10) };

    /// Releases a mail to such a next hop: the outcome, the row after it, and what the next hop heard.
    async fn released(order: Order<'_>, answers: &'static [(&'static str, &'static str)]) -> (Outcome, Row, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Limits::default()).unwrap();
        let row = held(&store).await;
        let (address, heard) = next_hop(answers);
        let outcome = release(&store, &relay(address), &row, order).await.unwrap();
        let row = store.find(&row.id.0).unwrap();
        (outcome, row, heard.try_iter().collect())
    }

    #[tokio::test]
    async fn the_held_form_goes_as_it_is_to_all_recipients() {
        let (outcome, row, heard) = released(ORDER, &[(".", "250 2.0.0 queued as 4F2")]).await;
        assert!(matches!(&outcome, Outcome::Sent(reply) if reply.contains("queued as 4F2")), "{outcome:?}");
        assert_eq!(row.state, State::Released);
        let all = heard.join("\r\n");
        assert!(all.contains("<b@inside.example>") && all.contains("<c@inside.example>"), "{all}");
        assert!(all.contains(&format!("DATA\r\n{HELD}.")), "{all}");
    }

    #[tokio::test]
    async fn the_received_form_goes_with_one_received_on_top() {
        let (_, _, heard) = released(Order { form: Form::Received, ..ORDER }, &[(".", "250 ok")]).await;
        let all = heard.join("\r\n");
        let (_, data) = all.split_once("DATA\r\n").unwrap();
        assert!(data.starts_with("Received: from client.example ([192.0.2.1])") && data.contains(&format!("\r\n{RECEIVED}.")), "{data}");
        assert_eq!(data.matches("Received: ").count(), 1);
    }

    #[tokio::test]
    async fn one_refused_recipient_keeps_it_from_all() {
        let (outcome, row, heard) = released(ORDER, &[("RCPT TO:<c@", "550 5.1.1 no such user"), (".", "250 ok")]).await;
        assert!(matches!(&outcome, Outcome::Refused(reply) if reply.contains("no such user")), "{outcome:?}");
        assert_eq!(row.state, State::Held);
        assert!(row.reply.unwrap().contains("no such user"));
        assert!(!heard.iter().any(|line| line == "."), "{heard:?}");
    }

    #[tokio::test]
    async fn what_the_next_hop_cannot_take_now_stays_held_with_its_reply() {
        let (outcome, row, _) = released(ORDER, &[(".", "451 4.7.1 greylisted")]).await;
        assert!(matches!(&outcome, Outcome::NotNow(reply) if reply.contains("greylisted")), "{outcome:?}");
        assert_eq!((row.state, row.confirmed), (State::Held, true));
    }

    #[tokio::test]
    async fn without_an_answer_to_the_dot_it_is_in_doubt_and_goes_again_only_by_force() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Limits::default()).unwrap();
        let row = held(&store).await;
        let (silent, _) = next_hop(&[]);
        assert!(matches!(release(&store, &relay(silent), &row, ORDER).await.unwrap(), Outcome::InDoubt(_)));
        let (good, heard) = next_hop(&[(".", "250 ok")]);
        let relay = relay(good);
        let refused = release(&store, &relay, &row, ORDER).await.unwrap_err();
        assert!(matches!(refused, ReleaseError::Desk(DeskError::State { state: State::InDoubt, .. })), "{refused}");
        assert_eq!(heard.try_iter().count(), 0);
        assert!(matches!(release(&store, &relay, &row, Order { force: true, ..ORDER }).await.unwrap(), Outcome::Sent(_)));
    }

    #[tokio::test]
    async fn a_next_hop_that_is_not_there_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Limits::default()).unwrap();
        let row = held(&store).await;
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(matches!(release(&store, &relay(closed), &row, ORDER).await.unwrap(), Outcome::NotNow(_)));
        assert_eq!(store.find(&row.id.0).unwrap().state, State::Held);
    }

    #[test]
    fn what_lmtp_took_for_some_recipients_only_is_in_doubt_for_the_row() {
        let said = |code: u16| Word::Said(Answer { code, enhanced: None, text: "x".into() });
        let row = |one: Word, other: Word| {
            let to = |address| Recipient::from(Path::parse(address).unwrap());
            of_each("there", &[(to("b@inside.example"), one), (to("c@inside.example"), other)])
        };
        assert_eq!(row(said(250), said(250)), Outcome::Sent("there said of <b@inside.example>: 250 x; <c@inside.example>: 250 x".into()));
        assert!(matches!(row(said(550), said(552)), Outcome::Refused(_)));
        assert!(matches!(row(said(550), said(450)), Outcome::NotNow(_)));
        assert!(matches!(row(said(250), said(450)), Outcome::InDoubt(_)));
        assert!(matches!(row(said(550), Word::Unknown("silent".into())), Outcome::InDoubt(_)));
    }
}
