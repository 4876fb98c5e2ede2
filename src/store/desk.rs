//! What can be done with what is stored, whoever asks: list, find, claim, settle, delete. Works beside a running server: another process is another owner.
//!
//! | state | claim | claim by force | settle | delete | undo, confirm |
//! |---|---|---|---|---|---|
//! | pending, owner lives | no | no | | no | its owner |
//! | held | releasing | releasing | | deleted | |
//! | releasing, owner lives | no | no | its owner: released, held, in doubt | no | |
//! | in doubt | no | releasing | | deleted | |
//! | released, deleted | no | no | | no | |
//!
//! A row of a dead owner is `held` (unconfirmed) or `in doubt` before anyone here sees it: every opening of the store takes over first.

use rusqlite::{Connection, named_params, params_from_iter};

use super::committer::Bench;
use super::content::{self, Form};
use super::history::{self, APPENDED, Deed};
use super::quarantine::HoldId;
use super::record::{self, Record};
use super::{Store, StoreError};
use crate::message::Message;

/// Where a held mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Pending,
    Held,
    Releasing,
    Released,
    InDoubt,
    Deleted,
}

impl State {
    /// All of them, in the order a mail goes through.
    pub const ALL: [State; 6] = [State::Pending, State::Held, State::Releasing, State::Released, State::InDoubt, State::Deleted];

    /// The states in which somebody may still have to act.
    pub const OPEN: [State; 4] = [State::Pending, State::Held, State::Releasing, State::InDoubt];

    /// Its word, in the store and in lists.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Held => "held",
            State::Releasing => "releasing",
            State::Released => "released",
            State::InDoubt => "in doubt",
            State::Deleted => "deleted",
        }
    }

    fn from_word(word: &str) -> Result<State, StoreError> {
        let unknown = || StoreError::Unable(format!("a row of the store has the unknown state `{word}`"));
        State::ALL.into_iter().find(|state| state.word() == word).ok_or_else(unknown)
    }
}

/// A mail in the quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: HoldId,
    pub state: State,
    /// False while nobody is known to have been told 250 for it: the server that took it died before it could say, or the mail is in doubt.
    pub confirmed: bool,
    /// What the next hop last said to a release.
    pub reply: Option<String>,
    /// Who decided what about it, oldest first.
    pub history: Vec<Deed>,
    pub record: Record,
    seq: i64,
}

/// Where a list goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page(i64);

/// A row that is ours to send, until settled; dropped unsettled it is in doubt once this process is gone.
#[derive(Debug)]
pub struct Claim {
    pub row: Row,
    by: String,
}

/// How a release went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The next hop has it: the content goes.
    Released { reply: String },
    /// It does not have it.
    Held { reply: String },
    /// Nobody knows.
    InDoubt { reply: String },
}

/// Why it was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    #[error("no mail in the quarantine has an id that begins with `{0}`: see `transom quarantine list`")]
    NotFound(String),
    #[error("more than one mail has an id that begins with `{0}`: write more of it")]
    Ambiguous(String),
    #[error("{id} is {}: {}", .state.word(), why(*.state))]
    State { id: HoldId, state: State },
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn why(state: State) -> &'static str {
    match state {
        State::Pending => "the server is still about to answer for it",
        State::Held => "nobody is releasing it",
        State::Releasing => "another process is releasing it now",
        State::Released => "the next hop has it already",
        State::InDoubt => "it may have been sent already; --force sends it again",
        State::Deleted => "its content is gone",
    }
}

impl Store {
    /// Mails in these states, newest first, at most `most`; with the page to go on with, if there may be more. Blocks.
    ///
    /// # Errors
    /// The store cannot.
    pub fn list(&self, states: &[State], after: Option<Page>, most: usize) -> Result<(Vec<Row>, Option<Page>), StoreError> {
        let words = states.iter().map(|state| format!("'{}'", state.word())).collect::<Vec<_>>().join(", ");
        let sql = format!("{} WHERE state IN ({words}) AND seq < ?1 ORDER BY seq DESC LIMIT ?2", select());
        let before = after.map_or(i64::MAX, |page| page.0);
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = self.read(|connection| rows(connection, &sql, &[before, most]))?;
        let next = rows.last().filter(|_| i64::try_from(rows.len()) == Ok(most)).map(|row| Page(row.seq));
        Ok((rows, next))
    }

    /// The one mail whose id begins with `prefix`, without regard to case. Blocks.
    ///
    /// # Errors
    /// None, or more than one; or the store cannot.
    pub fn find(&self, prefix: &str) -> Result<Row, DeskError> {
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(DeskError::NotFound(prefix.to_owned()));
        }
        let (from, to) = (prefix.to_ascii_uppercase(), format!("{}~", prefix.to_ascii_uppercase()));
        let sql = format!("{} WHERE id >= ?1 AND id < ?2 LIMIT 2", select());
        let mut rows = self.read(|connection| rows(connection, &sql, &[from, to]))?;
        match (rows.pop(), rows.pop()) {
            (Some(row), None) => Ok(row),
            (Some(_), Some(_)) => Err(DeskError::Ambiguous(prefix.to_owned())),
            (None, _) => Err(DeskError::NotFound(prefix.to_owned())),
        }
    }

    /// A stored form as a message again, byte for byte. Blocks.
    ///
    /// # Errors
    /// Released or deleted: the content is gone; or the store cannot.
    pub fn message(&self, row: &Row, form: Form) -> Result<Message, DeskError> {
        if matches!(row.state, State::Released | State::Deleted) {
            return Err(DeskError::State { id: row.id.clone(), state: row.state });
        }
        Ok(content::message(self, row.seq, form)?)
    }

    /// `held → releasing`, by force also `in doubt → releasing`: durable before it returns, so that no two send it. `by` is who asked for it.
    ///
    /// # Errors
    /// The row is in another state, or the store cannot.
    pub async fn claim(&self, row: &Row, form: Form, force: bool, by: &str) -> Result<Claim, DeskError> {
        let (owner, seq) = (self.owner().to_owned(), row.seq);
        let in_doubt = if force { State::InDoubt.word() } else { State::Held.word() };
        let what = match (form, force) {
            (Form::Held, false) => "release",
            (Form::Held, true) => "release by force",
            (Form::Received, false) => "release as received",
            (Form::Received, true) => "release as received, by force",
        };
        let deed = history::entry(by, what);
        let claimed = self.decide(move |bench| {
            let sql = format!(
                "UPDATE hold SET state = 'releasing', owner = :owner, history = {APPENDED} WHERE seq = :seq AND state IN ('held', :in_doubt)"
            );
            let with = named_params! { ":seq": seq, ":owner": owner, ":in_doubt": in_doubt, ":deed": deed, ":most": history::MOST };
            Ok(bench.sql.prepare_cached(&sql)?.execute(with)?)
        });
        match claimed.await? {
            0 => Err(self.refused(row)),
            _ => Ok(Claim { row: Row { state: State::Releasing, ..row.clone() }, by: by.to_owned() }),
        }
    }

    /// Writes down how the release of a claimed row went.
    ///
    /// # Errors
    /// The store cannot: the row is in doubt once this process is gone.
    pub async fn settle(&self, claim: Claim, settled: Settled) -> Result<(), StoreError> {
        let (owner, seq) = (self.owner().to_owned(), claim.row.seq);
        let (state, reply, word) = match settled {
            Settled::Released { reply } => (State::Released, reply, "released"),
            Settled::Held { reply } => (State::Held, reply, "not released"),
            Settled::InDoubt { reply } => (State::InDoubt, reply, "in doubt"),
        };
        tracing::info!(hold = %claim.row.id, by = claim.by, answer = reply, "{word}");
        let deed = history::entry(&claim.by, &format!("{word}: {reply}"));
        self.decide(move |bench| {
            let sql = format!(
                "UPDATE hold SET state = :state, owner = NULL, reply = :reply, history = {APPENDED}
                 WHERE seq = :seq AND state = 'releasing' AND owner = :owner"
            );
            let with = named_params! { ":seq": seq, ":owner": owner, ":state": state.word(), ":reply": reply, ":deed": deed, ":most": history::MOST };
            let changed = bench.sql.prepare_cached(&sql)?.execute(with)?;
            if changed == 1 && state == State::Released { empty(bench, seq) } else { Ok(()) }
        })
        .await
    }

    /// Deletes a mail that is held or in doubt; its row stays listed as deleted until `keep` is over. `by` is who asked for it. Blocks.
    ///
    /// # Errors
    /// The row is in another state, or the store cannot.
    pub fn delete(&self, row: &Row, by: &str) -> Result<(), DeskError> {
        let (seq, deed) = (row.seq, history::entry(by, "deleted"));
        let deleted = self.decide_blocking(move |bench| {
            let sql = format!("UPDATE hold SET state = 'deleted', history = {APPENDED} WHERE seq = :seq AND state IN ('held', 'in doubt')");
            let with = named_params! { ":seq": seq, ":deed": deed, ":most": history::MOST };
            let changed = bench.sql.prepare_cached(&sql)?.execute(with)?;
            if changed == 1 {
                empty(bench, seq)?;
            }
            Ok(changed)
        })?;
        if deleted == 0 {
            return Err(self.refused(row));
        }
        tracing::info!(hold = %row.id, by, "deleted");
        Ok(())
    }

    /// Why a row could not be had: by the state it is in now.
    fn refused(&self, row: &Row) -> DeskError {
        match self.find(&row.id.0) {
            Ok(now) => DeskError::State { id: now.id, state: now.state },
            Err(error) => error,
        }
    }
}

/// Takes the content of a row away; what it took is free again.
fn empty(bench: &mut Bench<'_>, seq: i64) -> Result<(), StoreError> {
    content::discard(bench, seq)?;
    bench.sql.prepare_cached("UPDATE hold SET stored = 0 WHERE seq = ?1")?.execute([seq])?;
    Ok(())
}

fn select() -> String {
    format!("SELECT seq, id, state, confirmed, reply, history, {} FROM hold", record::COLUMNS)
}

fn rows<P: rusqlite::ToSql>(connection: &Connection, sql: &str, parameters: &[P]) -> Result<Vec<Row>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(params_from_iter(parameters))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push(Row {
            seq: row.get(0)?,
            id: HoldId(row.get(1)?),
            state: State::from_word(&row.get::<_, String>(2)?)?,
            confirmed: row.get(3)?,
            reply: row.get(4)?,
            history: history::read(&row.get::<_, String>(5)?)?,
            record: record::read(row, 6)?,
        });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Piece;
    use crate::store::Limits;
    use crate::store::content::Content;
    use crate::store::record::tests::record;

    const BY: &str = "operator (1000)";

    async fn held(store: &Store, subject: &str) -> Row {
        let content = Content::prepare(store, &[(Form::Held, vec![Piece::Memory("a: b\r\n\r\nhi".into())])]).unwrap();
        let id = store.stage_prepared(record(subject), content).await.unwrap();
        store.confirm(&id);
        // Settling nothing is a change like any other: it comes after the confirmation.
        store.undo(&id).await.unwrap();
        store.find(&id.0).unwrap()
    }

    fn open(dir: &tempfile::TempDir) -> Store {
        Store::open(dir.path(), Limits::default()).unwrap()
    }

    fn bytes(store: &Store, row: &Row) -> Vec<u8> {
        let mut all = Vec::new();
        content::each(store, row.seq, Form::Held, &mut |bytes| {
            all.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
        all
    }

    #[tokio::test]
    async fn two_processes_cannot_claim_the_same_mail() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (open(&dir), open(&dir));
        let row = held(&one, "x").await;
        let claim = one.claim(&row, Form::Held, false, BY).await.unwrap();
        assert_eq!(
            two.claim(&row, Form::Held, true, BY).await.unwrap_err(),
            DeskError::State { id: row.id.clone(), state: State::Releasing }
        );
        one.settle(claim, Settled::Held { reply: "450 later".into() }).await.unwrap();
        let row = two.find(&row.id.0).unwrap();
        assert_eq!((row.state, row.reply.as_deref()), (State::Held, Some("450 later")));
        assert_eq!(bytes(&two, &row), b"a: b\r\n\r\nhi");
        two.claim(&row, Form::Held, false, BY).await.unwrap();
    }

    #[tokio::test]
    async fn a_release_whose_process_died_is_in_doubt_and_sent_again_only_by_force() {
        let dir = tempfile::tempdir().unwrap();
        let (dying, other) = (open(&dir), open(&dir));
        let row = held(&dying, "x").await;
        drop(dying.claim(&row, Form::Held, false, BY).await.unwrap());
        drop(dying);
        let next = open(&dir);
        assert_eq!(next.find(&row.id.0).unwrap().state, State::InDoubt);
        assert!(matches!(next.claim(&row, Form::Held, false, BY).await, Err(DeskError::State { state: State::InDoubt, .. })));
        next.claim(&row, Form::Held, true, BY).await.unwrap();
        drop(other);
    }

    #[tokio::test]
    async fn what_is_released_or_deleted_stays_listed_without_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        let released = held(&store, "x").await;
        let claim = store.claim(&released, Form::Held, false, BY).await.unwrap();
        store.settle(claim, Settled::Released { reply: "250 ok".into() }).await.unwrap();
        let deleted = held(&store, "y").await;
        store.delete(&deleted, BY).unwrap();
        assert!(store.list(&State::OPEN, None, 10).unwrap().0.is_empty());
        let (rows, _) = store.list(&[State::Released, State::Deleted], None, 10).unwrap();
        assert_eq!(rows.iter().map(|row| row.state).collect::<Vec<_>>(), [State::Deleted, State::Released]);
        assert!(rows.iter().all(|row| bytes(&store, row).is_empty()));
        assert!(matches!(store.message(&rows[0], Form::Held), Err(DeskError::State { state: State::Deleted, .. })));
        assert!(matches!(store.claim(&released, Form::Held, true, BY).await, Err(DeskError::State { state: State::Released, .. })));
        assert!(matches!(store.delete(&deleted, BY), Err(DeskError::State { state: State::Deleted, .. })));
    }

    #[tokio::test]
    async fn who_decided_what_stands_in_the_row_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        let row = held(&store, "x").await;
        assert!(row.history.is_empty());
        let claim = store.claim(&row, Form::Received, false, "one (1)").await.unwrap();
        store.settle(claim, Settled::Held { reply: "450 \"later\"".into() }).await.unwrap();
        store.delete(&row, "two (2)").unwrap();
        assert!(store.delete(&row, "three (3)").is_err());
        let history = store.find(&row.id.0).unwrap().history;
        let told: Vec<_> = history.iter().map(|deed| (deed.who.as_str(), deed.what.as_str())).collect();
        assert_eq!(told, [("one (1)", "release as received"), ("one (1)", "not released: 450 \"later\""), ("two (2)", "deleted")]);
        assert!(history.is_sorted_by_key(|deed| deed.time));
    }

    #[tokio::test]
    async fn a_history_keeps_its_newest_entries() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        let row = held(&store, "x").await;
        for number in 0..history::MOST {
            let claim = store.claim(&row, Form::Held, false, &number.to_string()).await.unwrap();
            store.settle(claim, Settled::Held { reply: "450".into() }).await.unwrap();
        }
        let history = store.find(&row.id.0).unwrap().history;
        assert_eq!((history.len(), history[0].who.as_str(), history[99].who.as_str()), (history::MOST, "50", "99"));
    }

    #[tokio::test]
    async fn a_list_goes_from_new_to_old_page_by_page() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        for subject in ["1", "2", "3", "4", "5"] {
            held(&store, subject).await;
        }
        let (mut page, mut seen) = (None, Vec::new());
        loop {
            let (rows, next) = store.list(&State::OPEN, page, 2).unwrap();
            seen.extend(rows.into_iter().map(|row| row.record.subject));
            page = next;
            if page.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["5", "4", "3", "2", "1"]);
    }

    #[tokio::test]
    async fn an_id_may_be_cut_as_long_as_it_is_unique() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        let row = held(&store, "x").await;
        assert_eq!(store.find(&row.id.0[..4].to_ascii_lowercase()).unwrap().id, row.id);
        assert_eq!(store.find(&format!("{}A", row.id)), Err(DeskError::NotFound(format!("{}A", row.id))));
        assert!(matches!(store.find("%"), Err(DeskError::NotFound(_))));
        store.change_blocking(|bench| Ok(bench.sql.execute_batch("INSERT INTO hold SELECT seq + 1, 'ZZZZ1', state, owner, confirmed, reply, history, time, reasons, rules, received_envelope, envelope, from_field, subject, size, client, helo, spoken, route, session, message, 0 FROM hold")?)).unwrap();
        store.change_blocking(|bench| Ok(bench.sql.execute_batch("UPDATE hold SET id = 'ZZZZ2' WHERE id <> 'ZZZZ1'")?)).unwrap();
        assert_eq!(store.find("zzzz"), Err(DeskError::Ambiguous("zzzz".into())));
    }
}
