//! Mail held by a rule. `pending(owner) → held → releasing(owner) → released | held | in doubt` (DESIGN decision 8).
//!
//! Here: what the server does. What an operator does is in [`super::desk`].

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use rusqlite::params;

use super::committer::{Bench, stopped};
use super::content::{self, Content, Form};
use super::{Limits, Store, StoreError, record, reserve};
use crate::base::random;
use crate::message::Message;
use crate::smtp::envelope::Envelope;

pub use super::record::Record;

/// Rows that one transaction of [`Store::expire`] takes away; others wait meanwhile.
const EXPIRED_AT_ONCE: usize = 200;

/// A row's id, as the operator types it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HoldId(pub String);

impl AsRef<str> for HoldId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for HoldId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

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
    /// As `Received` says it: `ESMTPS`.
    pub with: String,
    /// Where it goes when it is released.
    pub route: String,
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
    /// Makes a hold durable in state `pending`: returns after the sync. To be awaited to its end: dropped before, the hold may be there all the same, and stays
    /// pending as long as this process lives.
    ///
    /// # Errors
    /// No room, or the store cannot.
    pub async fn stage(&self, hold: NewHold) -> Result<HoldId, StoreError> {
        let store = self.clone();
        let prepared = tokio::task::spawn_blocking(move || {
            reserve::keep(&store.inner.path)?;
            let forms = [(Form::Received, hold.received.pieces()), (Form::Held, hold.held.pieces())];
            Content::prepare(&store, &forms).map(|content| (Record::of(&hold), content))
        });
        let (record, content) = prepared.await.map_err(|error| StoreError::Unable(format!("staging failed: {error}")))??;
        self.stage_prepared(record, content).await
    }

    pub(super) async fn stage_prepared(&self, record: Record, mut content: Content) -> Result<HoldId, StoreError> {
        let files = content.take_files();
        let (owner, limits) = (self.owner().to_owned(), self.inner.limits);
        let (id, usage) = self.change(files, move |bench| insert(bench, &record, &content, &owner, limits)).await?;
        self.watch(usage);
        Ok(id)
    }

    /// Queues `pending → held`; what is pending is already durable.
    pub fn confirm(&self, hold: &HoldId) {
        self.end(hold.clone(), End::Held, |_| ());
    }

    /// Queues `pending → held` of a copy whose message may or may not have gone to the others, with that as a further reason. Nobody was told 250: it stays
    /// unconfirmed.
    pub fn doubt(&self, hold: &HoldId, reason: Reason) {
        self.end(hold.clone(), End::InDoubt(reason), |_| ());
    }

    /// Durably removes what was staged.
    ///
    /// # Errors
    /// The store cannot. It is tried again later; until then the row stays `pending`, and is shown as held, unconfirmed, once this process is gone.
    pub async fn undo(&self, hold: &HoldId) -> Result<(), StoreError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.end(hold.clone(), End::Undone, move |result| {
            // Nobody waits any more: it is done all the same.
            let _ = answer.send(result);
        });
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Ends a pending hold, and with it those whose end the store could not write before.
    fn end(&self, hold: HoldId, end: End, told: impl FnOnce(Result<(), StoreError>) + Send + 'static) {
        self.end_again();
        self.submit_end(hold, end, told);
    }

    /// Queues those whose end the store could not write before; for the last time when the server ends.
    pub fn end_again(&self) {
        let unsettled = std::mem::take(&mut *self.inner.unsettled.lock().unwrap_or_else(PoisonError::into_inner));
        for (hold, end) in unsettled {
            self.submit_end(hold, end, |_| ());
        }
    }

    fn submit_end(&self, hold: HoldId, end: End, told: impl FnOnce(Result<(), StoreError>) + Send + 'static) {
        let (owner, unsettled, again) = (self.owner().to_owned(), Arc::clone(&self.inner.unsettled), (hold.clone(), end.clone()));
        let work = move |bench: &mut Bench<'_>| end.write(bench, &hold.0, &owner);
        self.inner.committer.submit(content::Files::none(), work, move |result| {
            if let Err(error) = &result {
                tracing::error!(hold = %again.0, %error, "a hold stays pending; it is safe; trying again with the next one, or within the hour");
                unsettled.lock().unwrap_or_else(PoisonError::into_inner).push(again);
            }
            told(result);
        });
    }

    /// Removes what is older than `store.quarantine.keep`, with a line in the log for each mail that was still held. To be called now and then.
    ///
    /// # Errors
    /// The store cannot; what is left goes at the next call.
    pub async fn expire(&self, now: Timestamp) -> Result<usize, StoreError> {
        let keep = jiff::SignedDuration::try_from(self.inner.limits.keep).unwrap_or(jiff::SignedDuration::MAX);
        let Ok(before) = now.checked_sub(keep) else { return Ok(0) };
        self.end_again();
        let mut all = 0;
        loop {
            let expired = self.change(content::Files::none(), move |bench| expire(bench, before)).await?;
            for row in expired.iter().filter(|row| row.state != "released" && row.state != "deleted") {
                tracing::info!(
                    hold = row.id,
                    state = row.state,
                    message = row.message,
                    "a hold expired and was deleted (store.quarantine.keep)"
                );
            }
            all += expired.len();
            if expired.len() < EXPIRED_AT_ONCE {
                return Ok(all);
            }
        }
    }

    /// Says once when the quarantine gets nearly full, and again after it had room.
    fn watch(&self, usage: u64) {
        let size = self.inner.limits.size;
        let nearly = usage >= size / 5 * 4;
        if self.inner.warned.swap(nearly, Ordering::Relaxed) != nearly && nearly {
            tracing::warn!(
                bytes = usage,
                size,
                "the quarantine is at 80 % of store.quarantine.size: release or delete some, or raise it; when it is full mail that a rule holds gets 452"
            );
        }
    }
}

/// What a pending hold comes to.
#[derive(Clone, Debug)]
pub(super) enum End {
    Held,
    InDoubt(Reason),
    Undone,
}

impl End {
    /// Does nothing to a row that is not pending under this owner.
    fn write(&self, bench: &mut Bench<'_>, id: &str, owner: &str) -> Result<(), StoreError> {
        match self {
            End::Held => {
                let sql = "UPDATE hold SET state = 'held', owner = NULL, confirmed = 1 WHERE id = ?1 AND state = 'pending' AND owner = ?2";
                bench.sql.prepare_cached(sql)?.execute([id, owner])?;
            }
            End::InDoubt(reason) => {
                let sql = "UPDATE hold SET state = 'held', owner = NULL, reasons = json_insert(reasons, '$[#]', json(?3))
                    WHERE id = ?1 AND state = 'pending' AND owner = ?2";
                bench.sql.prepare_cached(sql)?.execute([id, owner, &record::json(&(&reason.rule, &reason.reason))])?;
            }
            End::Undone => {
                let sql = "SELECT seq FROM hold WHERE id = ?1 AND state = 'pending' AND owner = ?2";
                let rows = bench.sql.prepare_cached(sql)?.query_map([id, owner], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
                rows.into_iter().try_for_each(|seq| remove(bench, seq))?;
            }
        }
        Ok(())
    }
}

fn insert(bench: &mut Bench<'_>, record: &Record, content: &Content, owner: &str, limits: Limits) -> Result<(HoldId, u64), StoreError> {
    let usage: u64 = bench.sql.prepare_cached("SELECT bytes FROM usage")?.query_row([], |row| row.get(0))?;
    let usage = usage.saturating_add(content.stored);
    if usage > limits.size {
        return Err(StoreError::Full(format!(
            "the quarantine is full (store.quarantine.size is {} bytes): release or delete some, or raise it",
            limits.size
        )));
    }
    let id = free_id(bench)?;
    let seq = record.insert(bench.sql, &id, owner, content.stored)?;
    content.insert(bench.sql, seq)?;
    Ok((HoldId(id), usage))
}

fn free_id(bench: &Bench<'_>) -> Result<String, StoreError> {
    let mut taken = bench.sql.prepare_cached("SELECT 1 FROM hold WHERE id = ?1")?;
    loop {
        let id = random::token();
        if !taken.exists([&id])? {
            return Ok(id);
        }
    }
}

/// Removes a row with its content.
fn remove(bench: &mut Bench<'_>, seq: i64) -> Result<(), StoreError> {
    content::discard(bench, seq)?;
    bench.sql.prepare_cached("DELETE FROM hold WHERE seq = ?1")?.execute([seq])?;
    Ok(())
}

struct Expired {
    seq: i64,
    id: String,
    state: String,
    message: String,
}

fn expire(bench: &mut Bench<'_>, before: Timestamp) -> Result<Vec<Expired>, StoreError> {
    let sql = "SELECT seq, id, state, message FROM hold WHERE time < ?1 AND owner IS NULL ORDER BY time LIMIT ?2";
    let mut statement = bench.sql.prepare_cached(sql)?;
    let expired = statement
        .query_map(params![before.as_microsecond(), EXPIRED_AT_ONCE], |row| {
            Ok(Expired { seq: row.get(0)?, id: row.get(1)?, state: row.get(2)?, message: row.get(3)? })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    drop(statement);
    for row in &expired {
        remove(bench, row.seq)?;
    }
    Ok(expired)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::desk::{DeskError, Row, State};
    use super::super::record::tests::record;
    use super::*;
    use crate::base::disk;
    use crate::message::Piece;

    fn open(dir: &tempfile::TempDir, size: u64) -> Store {
        Store::open(dir.path(), Limits { size, ..Limits::default() }).unwrap()
    }

    pub async fn stage(store: &Store, bytes: usize) -> Result<HoldId, StoreError> {
        let pieces = vec![Piece::Memory(vec![b'x'; bytes].into())];
        let content = Content::prepare(store, &[(Form::Received, pieces.clone()), (Form::Held, pieces)])?;
        store.stage_prepared(record("hello"), content).await
    }

    fn all(store: &Store) -> Vec<Row> {
        store.list(&State::ALL, None, 100).unwrap().0
    }

    fn files(dir: &tempfile::TempDir) -> usize {
        disk::list(&dir.path().join("content")).unwrap().len()
    }

    #[tokio::test]
    async fn what_was_staged_and_never_confirmed_is_held_unconfirmed_once_its_owner_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, u64::MAX);
        let id = stage(&store, 100_000).await.unwrap();
        let other = open(&dir, u64::MAX);
        assert_eq!(all(&other)[0].state, State::Pending);
        assert!(matches!(other.delete(&all(&other)[0], "x"), Err(DeskError::State { state: State::Pending, .. })));
        drop(store);
        drop(other);
        let next = open(&dir, u64::MAX);
        let rows = all(&next);
        assert_eq!((rows[0].id.clone(), rows[0].state, rows[0].confirmed), (id, State::Held, false));
        assert_eq!(files(&dir), 1);
    }

    #[tokio::test]
    async fn a_store_that_turns_read_only_takes_nothing_more_loses_nothing_and_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, u64::MAX);
        let (kept, pending) = (stage(&store, 10).await.unwrap(), stage(&store, 100_000).await.unwrap());
        store.confirm(&kept);
        // From here on SQLite answers this connection as if its file could be read only.
        store.change_blocking(|bench| Ok(bench.sql.pragma_update(None, "query_only", true)?)).unwrap();
        for bytes in [10, 100_000] {
            let error = stage(&store, bytes).await.unwrap_err();
            assert!(matches!(error, StoreError::Unable(_)), "{error:?}: a client hears 451");
            assert!(error.to_string().contains("may not be written: check the owner and mode of store.path"), "{error}");
        }
        assert!(store.undo(&pending).await.is_err());
        assert_eq!((all(&store).len(), files(&dir)), (2, 1), "nothing that was answered is lost, nothing else is left behind");
        drop(store);
        let next = open(&dir, u64::MAX);
        let states: Vec<_> = all(&next).into_iter().map(|row| (row.id, row.state)).collect();
        assert_eq!(states, [(pending, State::Held), (kept, State::Held)]);
        assert!(stage(&next, 10).await.is_ok());
    }

    #[tokio::test]
    async fn a_confirmed_hold_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, u64::MAX);
        let id = stage(&store, 10).await.unwrap();
        store.confirm(&id);
        drop(store);
        let rows = all(&open(&dir, u64::MAX));
        assert_eq!((rows[0].state, rows[0].confirmed, &rows[0].record), (State::Held, true, &record("hello")));
    }

    #[tokio::test]
    async fn what_is_undone_leaves_neither_row_nor_file_nor_usage() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, 250_000);
        for _ in 0..3 {
            let id = stage(&store, 200_000).await.unwrap();
            store.undo(&id).await.unwrap();
        }
        assert!(all(&store).is_empty());
        drop(store);
        assert_eq!(files(&dir), 0);
    }

    #[tokio::test]
    async fn a_copy_in_doubt_is_held_with_that_as_a_further_reason_and_nobody_was_told_250() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, u64::MAX);
        let (id, other) = (stage(&store, 10).await.unwrap(), stage(&store, 10).await.unwrap());
        let doubt = Reason { rule: "(next hop)".into(), reason: "in doubt: \"?\"".into() };
        store.doubt(&id, doubt.clone());
        store.undo(&id).await.unwrap();
        let row = store.find(&id.0).unwrap();
        assert_eq!((row.state, row.confirmed), (State::Held, false));
        assert_eq!(row.record.reasons, [record("").reasons, vec![doubt]].concat());
        let other = store.find(&other.0).unwrap();
        assert_eq!((other.state, other.record.reasons), (State::Pending, record("").reasons));
    }

    #[tokio::test]
    async fn an_end_that_could_not_be_written_is_written_with_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, u64::MAX);
        let (confirmed, undone) = (stage(&store, 10).await.unwrap(), stage(&store, 100_000).await.unwrap());
        let sql = |sql: &'static str| store.change_blocking(move |bench| Ok(bench.sql.execute_batch(sql)?)).unwrap();
        sql("CREATE TRIGGER stuck BEFORE UPDATE ON hold BEGIN SELECT RAISE(ABORT, 'stuck'); END;
            CREATE TRIGGER stays BEFORE DELETE ON hold BEGIN SELECT RAISE(ABORT, 'stays'); END");
        store.confirm(&confirmed);
        assert!(store.undo(&undone).await.is_err());
        assert!(all(&store).iter().all(|row| row.state == State::Pending));
        sql("DROP TRIGGER stuck; DROP TRIGGER stays");
        store.expire(record("").time).await.unwrap();
        assert_eq!(all(&store).iter().map(|row| (row.id.clone(), row.state)).collect::<Vec<_>>(), [(confirmed, State::Held)]);
        drop(store);
        assert_eq!(files(&dir), 0);
    }

    #[tokio::test]
    async fn nothing_is_undone_by_another_owner_or_after_its_confirmation() {
        let dir = tempfile::tempdir().unwrap();
        let (store, other) = (open(&dir, u64::MAX), open(&dir, u64::MAX));
        let id = stage(&store, 10).await.unwrap();
        other.undo(&id).await.unwrap();
        store.confirm(&id);
        store.undo(&id).await.unwrap();
        assert_eq!(all(&store)[0].state, State::Held);
    }

    #[tokio::test]
    async fn a_full_quarantine_refuses_and_deletes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, 150_000);
        let first = stage(&store, 100_000).await.unwrap();
        assert!(matches!(stage(&store, 100_000).await, Err(StoreError::Full(_))));
        assert_eq!(all(&store).len(), 1);
        assert_eq!(files(&dir), 1);
        store.confirm(&first);
        let id = stage(&store, 10).await.unwrap();
        store.confirm(&id);
        tokio::task::spawn_blocking(move || {
            let row = store.find(&first.0).unwrap();
            store.delete(&row, "x").unwrap();
            store
        })
        .await
        .unwrap();
        assert_eq!(files(&dir), 0);
        stage(&open(&dir, 150_000), 100_000).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_many_that_stage_at_once_none_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, u64::MAX);
        let tasks: Vec<_> = (0..64)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move { stage(&store, if n % 8 == 0 { 70_000 } else { 10 }).await.unwrap() })
            })
            .collect();
        let mut ids = std::collections::HashSet::new();
        for task in tasks {
            ids.insert(task.await.unwrap());
        }
        assert_eq!(ids.len(), 64);
        assert_eq!(all(&store).len(), 64);
        assert_eq!(files(&dir), 8);
    }

    #[tokio::test]
    async fn a_full_disk_is_told_as_such_and_what_was_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, u64::MAX);
        stage(&store, 10).await.unwrap();
        let most = |pages: &'static str| {
            let all = format!("PRAGMA max_page_count = {pages}");
            store.change_blocking(move |bench| Ok(bench.sql.query_row(&all, [], |row| row.get::<_, i64>(0))?)).unwrap()
        };
        most("1");
        for _ in 0..3 {
            let told = stage(&store, 60_000).await;
            assert!(matches!(&told, Err(StoreError::Full(_))), "{told:?}");
        }
        assert_eq!(all(&store).len(), 1);
        most("1000000");
        stage(&store, 60_000).await.unwrap();
        assert_eq!(all(&store).len(), 2);
    }

    #[tokio::test]
    async fn holds_expire_when_keep_is_over_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, u64::MAX);
        let id = stage(&store, 100_000).await.unwrap();
        let (pending, day) = (stage(&store, 10).await.unwrap(), jiff::SignedDuration::from_hours(24));
        store.confirm(&id);
        let time = record("").time;
        assert_eq!(store.expire(time + day * 30).await.unwrap(), 0);
        assert_eq!(store.expire(time + day * 31).await.unwrap(), 1);
        assert_eq!(all(&store).iter().map(|row| row.id.clone()).collect::<Vec<_>>(), [pending]);
        drop(store);
        assert_eq!(files(&dir), 0);
    }
}
