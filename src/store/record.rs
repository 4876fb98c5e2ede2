//! What is written about a held mail, beside its bytes: columns and back.

use jiff::Timestamp;
use rusqlite::{Row, named_params};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::quarantine::{NewHold, Reason};
use crate::smtp::envelope::Envelope;

/// A From or Subject longer than this is cut in the column (never in the mail).
const SHOWN: usize = 1000;

/// Everything known about a held mail but its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Reasons with the rule that gave each; the first stands.
    pub reasons: Vec<Reason>,
    /// Names of all rules that fired.
    pub rules: Vec<String>,
    /// Envelope as received, and as it would have been sent.
    pub received_envelope: Envelope,
    pub envelope: Envelope,
    /// From and Subject as received, decoded.
    pub from: String,
    pub subject: String,
    /// Bytes as received.
    pub size: u64,
    pub client: String,
    pub helo: String,
    /// As `Received` says it: `ESMTPS`.
    pub with: String,
    /// Where it goes when it is released.
    pub route: String,
    pub session: String,
    pub message: String,
    pub time: Timestamp,
}

/// In the order of [`read`].
pub(super) const COLUMNS: &str =
    "time, reasons, rules, received_envelope, envelope, from_field, subject, size, client, helo, spoken, route, session, message";

impl Record {
    /// Looks at header and sizes only.
    pub(super) fn of(hold: &NewHold) -> Record {
        let field =
            |name| hold.received.fields().iter().find(|field| field.is(name)).map(|field| shown(&field.value())).unwrap_or_default();
        Record {
            reasons: hold.reasons.clone(),
            rules: hold.rules.clone(),
            received_envelope: hold.received_envelope.clone(),
            envelope: hold.envelope.clone(),
            from: field("From"),
            subject: field("Subject"),
            size: hold.received.size(),
            client: hold.client.clone(),
            helo: hold.helo.clone(),
            with: hold.with.clone(),
            route: hold.route.clone(),
            session: hold.session.clone(),
            message: hold.message.clone(),
            time: hold.time,
        }
    }

    /// Inserts the row, `pending` under its owner, and gives its number.
    pub(super) fn insert(&self, sql: &rusqlite::Connection, id: &str, owner: &str, stored: u64) -> Result<i64, StoreError> {
        let reasons: Vec<_> = self.reasons.iter().map(|one| (&one.rule, &one.reason)).collect();
        let mut statement = sql.prepare_cached(
            "INSERT INTO hold (id, state, owner, stored, time, reasons, rules, received_envelope, envelope, from_field, subject, size, client, helo, spoken, route, session, message)
             VALUES (:id, 'pending', :owner, :stored, :time, :reasons, :rules, :received_envelope, :envelope, :from, :subject, :size, :client, :helo, :spoken, :route, :session, :message)",
        )?;
        Ok(statement.insert(named_params! {
            ":id": id,
            ":owner": owner,
            ":stored": stored,
            ":time": self.time.as_microsecond(),
            ":reasons": json(&reasons),
            ":rules": json(&self.rules),
            ":received_envelope": json(&self.received_envelope),
            ":envelope": json(&self.envelope),
            ":from": self.from,
            ":subject": self.subject,
            ":size": self.size,
            ":client": self.client,
            ":helo": self.helo,
            ":spoken": self.with,
            ":route": self.route,
            ":session": self.session,
            ":message": self.message,
        })?)
    }
}

/// Reads [`COLUMNS`], of which the first is at `first`.
pub(super) fn read(row: &Row<'_>, first: usize) -> Result<Record, StoreError> {
    let text = |column: usize| row.get::<_, String>(first + column);
    let reasons: Vec<(String, String)> = parse(&text(1)?)?;
    Ok(Record {
        time: Timestamp::from_microsecond(row.get(first)?).map_err(|error| damaged(&error))?,
        reasons: reasons.into_iter().map(|(rule, reason)| Reason { rule, reason }).collect(),
        rules: parse(&text(2)?)?,
        received_envelope: parse(&text(3)?)?,
        envelope: parse(&text(4)?)?,
        from: text(5)?,
        subject: text(6)?,
        size: row.get(first + 7)?,
        client: text(8)?,
        helo: text(9)?,
        with: text(10)?,
        route: text(11)?,
        session: text(12)?,
        message: text(13)?,
    })
}

pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers can be written as JSON")
}

pub(super) fn parse<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| damaged(&error))
}

pub(super) fn damaged(error: &dyn std::error::Error) -> StoreError {
    StoreError::Unable(format!("a row of the store cannot be read: {error}"))
}

fn shown(value: &str) -> String {
    value.chars().take(SHOWN).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::smtp::envelope::{Body, Declared};
    use crate::smtp::path::Path;

    pub(in crate::store) fn record(subject: &str) -> Record {
        let path = |address| Path::parse(address).unwrap();
        let declared = Declared { size: Some(1234), body: Some(Body::EightBitMime), smtputf8: false, ..Declared::default() };
        Record {
            reasons: vec![Reason { rule: "hold executables".into(), reason: "executable attachment".into() }],
            rules: vec!["tag".into(), "hold executables".into()],
            received_envelope: Envelope {
                sender: path("a@outside.example"),
                recipients: vec![path("b@example.org").into()],
                declared: declared.clone(),
            },
            envelope: Envelope {
                sender: Path::null(),
                recipients: vec![path("\"c d\"@example.org").into(), path("e@[192.0.2.1]").into()],
                declared,
            },
            from: "Ä <a@outside.example>".into(),
            subject: subject.into(),
            size: 77,
            client: "192.0.2.1".into(),
            helo: "client.example".into(),
            with: "ESMTP".into(),
            route: "partner".into(),
            session: "S".into(),
            message: "M".into(),
            time: "2026-11-21T10:14:03.120Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let sql = super::super::schema::open(dir.path()).unwrap();
        record("hello").insert(&sql, "ABC", "OWNER", 3).unwrap();
        let back = sql.query_row(&format!("SELECT {COLUMNS} FROM hold"), [], |row| Ok(read(row, 0))).unwrap().unwrap();
        assert_eq!(back, record("hello"));
    }
}
