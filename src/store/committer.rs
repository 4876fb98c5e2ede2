//! One thread that turns a queue of changes into few transactions: one sync for all that came in during the last one.
//!
//! | a change | its files | its asker hears |
//! |---|---|---|
//! | done, committed | stay; what it doomed is removed | its value |
//! | failed, or broke, alone (rolled back to its savepoint) | removed at once | its error |
//! | the directory of its files could not be synced: not tried | removed at once | that error |
//! | the transaction ended before its COMMIT was whole: no lock, no room | removed at once | that error |
//! | done, COMMIT failed otherwise | removed after the next good commit (until then recovery might still find the row) | that error |

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use rusqlite::{Connection, TransactionBehavior};

use super::content::Files;
use super::{StoreError, at};
use crate::base::disk;

/// Changes in one transaction at most: bounds how long the first one waits.
const BATCH: usize = 256;

/// What a change works on.
pub(super) struct Bench<'a> {
    pub sql: &'a Connection,
    /// Files that no row names any more once this is committed (they stand in the table `doomed`).
    pub doomed: &'a mut Vec<String>,
}

trait Change: Send {
    fn files(&mut self) -> &mut Files;
    /// Does it; an error if it must be rolled back.
    fn run(&mut self, bench: &mut Bench<'_>) -> Result<(), StoreError>;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Typed<T, F, A> {
    files: Files,
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    answer: A,
}

impl<T, F, A> Change for Typed<T, F, A>
where
    T: Send,
    F: FnOnce(&mut Bench<'_>) -> Result<T, StoreError> + Send,
    A: FnOnce(Result<T, StoreError>) + Send,
{
    fn files(&mut self) -> &mut Files {
        &mut self.files
    }

    fn run(&mut self, bench: &mut Bench<'_>) -> Result<(), StoreError> {
        // One that breaks is rolled back like one that fails; the thread has others to serve.
        let broke = |_| Err(StoreError::Unable("a change of the store broke; please report this".into()));
        self.result = self.work.take().map(|work| catch_unwind(AssertUnwindSafe(|| work(bench))).unwrap_or_else(broke));
        match &self.result {
            Some(Err(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Typed { files, result, answer, .. } = *self;
        drop(files);
        answer(match (committed, result) {
            (Err(error), _) | (Ok(()), Some(Err(error))) => Err(error),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Ok(()), None) => Err(stopped()),
        });
    }
}

/// The handle that the process keeps.
#[derive(Debug)]
pub(super) struct Committer {
    queue: Mutex<Option<mpsc::Sender<Box<dyn Change>>>>,
    thread: Option<JoinHandle<Connection>>,
}

impl Committer {
    pub(super) fn start(connection: Connection, content: PathBuf) -> Result<Committer, StoreError> {
        let (queue, changes) = mpsc::channel();
        let thread = Thread { connection, content, orphans: Vec::new(), removed: Vec::new() };
        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || thread.work(&changes))
            .map_err(|error| StoreError::Unable(format!("the committer thread cannot be started: {error}")))?;
        Ok(Committer { queue: Mutex::new(Some(queue)), thread: Some(thread) })
    }

    /// Queues a change; `answer` is called on the committer thread after the commit.
    pub(super) fn submit<T, F, A>(&self, files: Files, work: F, answer: A)
    where
        T: Send + 'static,
        F: FnOnce(&mut Bench<'_>) -> Result<T, StoreError> + Send + 'static,
        A: FnOnce(Result<T, StoreError>) + Send + 'static,
    {
        let change: Box<dyn Change> = Box::new(Typed { files, work: Some(work), result: None, answer });
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let queued = match queue.as_ref() {
            Some(queue) => queue.send(change).map_err(|unsent| unsent.0),
            None => Err(change),
        };
        drop(queue);
        if let Err(change) = queued {
            change.answer(Err(stopped()));
        }
    }

    /// Waits until what is queued is done, and hands the connection back; none if the thread failed.
    pub(super) fn stop(&mut self) -> Option<Connection> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.thread.take()?.join().ok()
    }
}

/// What an asker hears when the thread is gone.
pub(super) fn stopped() -> StoreError {
    StoreError::Unable("the store's committer thread has stopped: restart Transom".into())
}

struct Thread {
    connection: Connection,
    content: PathBuf,
    /// Files of changes whose commit failed.
    orphans: Vec<Files>,
    /// Doomed files that are removed; their rows in `doomed` go with the next transaction.
    removed: Vec<String>,
}

impl Thread {
    fn work(mut self, changes: &mpsc::Receiver<Box<dyn Change>>) -> Connection {
        while let Ok(first) = changes.recv() {
            let batch = std::iter::once(first).chain(changes.try_iter()).take(BATCH).collect();
            self.commit(batch);
        }
        // Left for the next owner to sweep: it knows for certain which of them a row names.
        for mut files in self.orphans {
            files.keep();
        }
        self.connection
    }

    fn commit(&mut self, batch: Vec<Box<dyn Change>>) {
        let batch = self.with_synced_files(batch);
        if batch.is_empty() {
            return;
        }
        let mut doomed = Vec::new();
        let mut done = Vec::with_capacity(batch.len());
        let committed = self.transact(batch, &mut done, &mut doomed);
        match &committed {
            Ok(()) => {
                self.orphans.clear();
                self.removed.clear();
                self.remove(doomed);
            }
            Err(failed) => tracing::error!(error = %failed.error, "the store could not commit"),
        }
        for (mut change, succeeded) in done {
            if succeeded {
                let files = std::mem::replace(change.files(), Files::none());
                self.settle(files, committed.as_ref().err());
                change.answer(committed.clone().map_err(|failed| failed.error));
            } else {
                change.answer(Ok(()));
            }
        }
    }

    /// What becomes of the files of a change that did not fail by itself.
    fn settle(&mut self, mut files: Files, failed: Option<&Failed>) {
        match failed {
            None => files.keep(),
            Some(Failed { may_be_there: true, .. }) if !files.is_empty() => self.orphans.push(files),
            // Dropped, and so removed: kept they would fill a disk that is full already.
            Some(_) => {}
        }
    }

    /// Syncs the content directory once for all that put a file there; those changes go no further if that fails.
    fn with_synced_files(&self, mut batch: Vec<Box<dyn Change>>) -> Vec<Box<dyn Change>> {
        if batch.iter_mut().all(|change| change.files().is_empty()) {
            return batch;
        }
        let Err(error) = disk::sync_dir(&self.content) else { return batch };
        let error = at(&self.content, &error);
        let (without, with): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|mut change| (change.files().is_empty(), change)).partition(|(none, _)| *none);
        for (_, change) in with {
            change.answer(Err(error.clone()));
        }
        without.into_iter().map(|(_, change)| change).collect()
    }

    /// Runs the batch in one transaction. `done` gets every change, and whether it stands.
    fn transact(
        &mut self,
        batch: Vec<Box<dyn Change>>,
        done: &mut Vec<(Box<dyn Change>, bool)>,
        doomed: &mut Vec<String>,
    ) -> Result<(), Failed> {
        let mut transaction = match self.connection.transaction_with_behavior(TransactionBehavior::Immediate) {
            Ok(transaction) => transaction,
            Err(error) => {
                done.extend(batch.into_iter().map(|change| (change, true)));
                return Err(Failed::before(error.into()));
            }
        };
        let mut outcome = forget(&transaction, &self.content, &self.removed);
        for mut change in batch {
            let stands = match outcome {
                Ok(()) => run(&mut transaction, change.as_mut(), doomed).unwrap_or_else(|error| {
                    outcome = Err(error);
                    true
                }),
                Err(_) => true,
            };
            done.push((change, stands));
        }
        outcome.map_err(Failed::before)?;
        transaction.commit().map_err(|error| Failed::in_commit(error.into()))
    }

    fn remove(&mut self, doomed: Vec<String>) {
        for file in doomed {
            match disk::remove_file(&self.content.join(&file)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(file, %error, "a content file could not be removed; the next start tries again");
                }
                _ => self.removed.push(file),
            }
        }
    }
}

/// Why nothing of a batch stands.
#[derive(Clone, Debug)]
struct Failed {
    error: StoreError,
    /// The rows may all the same be there after a crash.
    may_be_there: bool,
}

impl Failed {
    fn before(error: StoreError) -> Failed {
        Failed { error, may_be_there: false }
    }

    /// Without room the record that makes a commit, which is written last, is not whole; of a write or a sync that failed nobody knows.
    fn in_commit(error: StoreError) -> Failed {
        let may_be_there = !matches!(error, StoreError::Full(_));
        Failed { error, may_be_there }
    }
}

/// Runs one change in a savepoint; false if it failed and was rolled back.
fn run(transaction: &mut rusqlite::Transaction<'_>, change: &mut dyn Change, doomed: &mut Vec<String>) -> Result<bool, StoreError> {
    let savepoint = transaction.savepoint()?;
    let before = doomed.len();
    let Err(error) = change.run(&mut Bench { sql: &savepoint, doomed }) else {
        savepoint.commit()?;
        return Ok(true);
    };
    doomed.truncate(before);
    // SQLite itself rolls everything back when the disk is full or fails: nothing in this transaction stands then.
    if savepoint.is_autocommit() {
        return Err(error);
    }
    savepoint.finish()?;
    Ok(false)
}

/// Strikes removed files off the list, once their removal is as durable as that.
fn forget(sql: &Connection, content: &Path, removed: &[String]) -> Result<(), StoreError> {
    if removed.is_empty() {
        return Ok(());
    }
    disk::sync_dir(content).map_err(|error| at(content, &error))?;
    let mut statement = sql.prepare_cached("DELETE FROM doomed WHERE file = ?1")?;
    for file in removed {
        statement.execute([file])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::store::schema;

    struct Fixture {
        dir: tempfile::TempDir,
        committer: Committer,
    }

    fn fixture() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let content = dir.path().join("content");
        disk::create_dir_all(&content).unwrap();
        let committer = Committer::start(schema::open(dir.path()).unwrap(), content).unwrap();
        Fixture { dir, committer }
    }

    impl Fixture {
        fn submit(
            &self,
            files: Files,
            work: impl FnOnce(&mut Bench<'_>) -> Result<(), StoreError> + Send + 'static,
        ) -> mpsc::Receiver<Result<(), StoreError>> {
            let (answer, answered) = mpsc::channel();
            self.committer.submit(files, work, move |result| answer.send(result).unwrap());
            answered
        }

        fn file(&self) -> (PathBuf, Files) {
            let path = self.dir.path().join("content/o.1");
            disk::write(&path, b"x").unwrap();
            let mut files = Files::none();
            files.add(path.clone());
            (path, files)
        }

        fn owners(&self) -> i64 {
            let sql = Connection::open(self.dir.path().join("store.db")).unwrap();
            sql.query_row("SELECT count(*) FROM owner", [], |row| row.get(0)).unwrap()
        }
    }

    fn insert(id: &str) -> impl FnOnce(&mut Bench<'_>) -> Result<(), StoreError> + Send + 'static {
        let id = id.to_owned();
        move |bench| {
            bench.sql.execute("INSERT INTO owner VALUES (?1)", [id])?;
            Ok(())
        }
    }

    #[test]
    fn all_that_queues_up_behind_a_commit_shares_the_next_one() {
        let fixture = fixture();
        let (go, wait) = mpsc::channel::<()>();
        let (started, running) = mpsc::channel();
        let first = fixture.submit(Files::none(), move |_| {
            started.send(()).unwrap();
            wait.recv().map_err(|_| stopped())
        });
        running.recv().unwrap();
        let (ran, (answer, answered)) = (Arc::new(AtomicUsize::new(0)), mpsc::channel());
        for n in 0..100 {
            let (running, seen, answer) = (Arc::clone(&ran), Arc::clone(&ran), answer.clone());
            let work = move |bench: &mut Bench<'_>| {
                running.fetch_add(1, Ordering::Relaxed);
                insert(&n.to_string())(bench)
            };
            fixture.committer.submit(Files::none(), work, move |result| answer.send((result, seen.load(Ordering::Relaxed))).unwrap());
        }
        go.send(()).unwrap();
        first.recv().unwrap().unwrap();
        for _ in 0..100 {
            assert_eq!(answered.recv().unwrap(), (Ok(()), 100), "nobody hears anything before all have run");
        }
        assert_eq!(fixture.owners(), 100);
    }

    #[test]
    fn one_that_fails_takes_no_other_with_it_and_its_files_go() {
        let mut fixture = fixture();
        let (path, files) = fixture.file();
        let good = fixture.submit(Files::none(), insert("a"));
        let bad = fixture.submit(files, |bench| {
            bench.sql.execute("INSERT INTO owner VALUES ('b')", [])?;
            Err(StoreError::Full("full".into()))
        });
        let after = fixture.submit(Files::none(), insert("c"));
        assert_eq!(good.recv().unwrap(), Ok(()));
        assert_eq!(bad.recv().unwrap(), Err(StoreError::Full("full".into())));
        assert_eq!(after.recv().unwrap(), Ok(()));
        assert!(fixture.committer.stop().is_some());
        assert_eq!(fixture.owners(), 2);
        assert!(!path.exists());
    }

    #[test]
    fn one_that_breaks_is_rolled_back_and_the_thread_serves_on() {
        let fixture = fixture();
        let (path, files) = fixture.file();
        let broken = fixture.submit(files, |bench| {
            insert("a")(bench)?;
            panic!("a fault of ours");
        });
        assert!(matches!(broken.recv().unwrap(), Err(StoreError::Unable(_))));
        assert!(!path.exists());
        assert_eq!(fixture.submit(Files::none(), insert("b")).recv().unwrap(), Ok(()));
        assert_eq!(fixture.owners(), 1);
    }

    #[test]
    fn files_of_a_change_that_found_no_room_do_not_stay_to_fill_the_disk() {
        let fixture = fixture();
        let (path, files) = fixture.file();
        // What SQLite itself does when a statement finds the disk full.
        let full = fixture.submit(files, |bench| {
            bench.sql.execute_batch("ROLLBACK")?;
            Err(StoreError::Full("full".into()))
        });
        assert_eq!(full.recv().unwrap(), Err(StoreError::Full("full".into())));
        assert!(!path.exists());
        assert!(!Failed::in_commit(StoreError::Full("full".into())).may_be_there);
        assert!(Failed::in_commit(StoreError::Unable("the sync failed".into())).may_be_there);
    }

    #[test]
    fn who_asks_after_the_end_is_told_so() {
        let mut fixture = fixture();
        assert!(fixture.committer.stop().is_some());
        assert_eq!(fixture.submit(Files::none(), insert("a")).recv().unwrap(), Err(stopped()));
    }

    #[test]
    fn a_file_whose_directory_cannot_be_synced_gets_no_row() {
        let fixture = fixture();
        let mut files = Files::none();
        files.add(fixture.dir.path().join("content/o.1"));
        disk::rename(&fixture.dir.path().join("content"), &fixture.dir.path().join("elsewhere")).unwrap();
        let with = fixture.submit(files, insert("a"));
        assert!(matches!(with.recv().unwrap(), Err(StoreError::Unable(_))));
        let without = fixture.submit(Files::none(), insert("b"));
        assert_eq!(without.recv().unwrap(), Ok(()));
        assert_eq!(fixture.owners(), 1);
    }

    #[test]
    fn a_failed_commit_is_told_to_all_and_their_files_wait_for_the_next_good_one() {
        let fixture = fixture();
        let (path, files) = fixture.file();
        // A deferred constraint is checked by COMMIT only, so that COMMIT is what fails.
        let broken = fixture.submit(files, |bench| {
            bench.sql.pragma_update(None, "defer_foreign_keys", true)?;
            bench.sql.execute("INSERT INTO piece VALUES (77, 0, 0, x'00', NULL, 0, 1)", [])?;
            Ok(())
        });
        assert!(matches!(broken.recv().unwrap(), Err(StoreError::Unable(_))));
        assert!(path.exists());
        assert_eq!(fixture.submit(Files::none(), insert("a")).recv().unwrap(), Ok(()));
        assert!(!path.exists());
    }
}
