//! What must survive: a SQLite file, content files, owners (DESIGN decision 11). Knows no chain.
//!
//! | in `store.path` | what it is |
//! |---|---|
//! | `store.db` | rows; written by one thread a process ([`committer`]), read by anyone |
//! | `content/OWNER.N` | content too large for a row ([`content`]); there before the row that names it, gone after it |
//! | `tmp/` | content of messages on their way, of no use after a crash |
//! | `owners/ID` | locked while that process lives ([`owner`]) |
//! | `reserve` | room for tidying up when the disk is full ([`reserve`]) |
//! | `lock` | held while a process joins or takes over from the dead |
mod committer;
pub mod content;
pub mod desk;
pub mod history;
pub mod overview;
mod owner;
pub mod quarantine;
mod record;
mod reserve;
mod schema;
pub mod tally;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use crate::base::{clock, disk, random};
use committer::{Bench, Committer};
use content::Files;
use owner::Owner;

/// Why the store could not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room: on the disk, or in `store.quarantine.size`. Answered 452.
    #[error("{0}")]
    Full(String),
    /// Anything else; answered 451.
    #[error("{0}")]
    Unable(String),
}

/// `store.quarantine` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a hold is kept.
    pub keep: Duration,
    /// Bytes all holds may take.
    pub size: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { keep: Duration::from_hours(30 * 24), size: 50_000_000_000 }
    }
}

/// An open store. Cheap to clone; the process is one owner of it until the last clone is gone. Dropping that one waits for what is queued.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    token: String,
    limits: Limits,
    owner: Owner,
    committer: Committer,
    /// For reading; WAL lets it see the last commit while the committer writes.
    reader: Mutex<Connection>,
    /// Content files made by this process so far: their numbers.
    files: AtomicU64,
    /// Holds whose end could not be written; see [`quarantine`].
    unsettled: Arc<Mutex<Vec<(quarantine::HoldId, quarantine::End)>>>,
    /// Counts of rules that were not written yet.
    gathered: tally::Gathered,
    /// Whether it was said that the quarantine is nearly full.
    warned: AtomicBool,
}

impl Store {
    /// Opens (and makes, if absent) the store at `path`, takes over from dead owners, starts the committer thread. Blocks.
    ///
    /// # Errors
    /// Cannot be read or written, or made by a newer version.
    pub fn open(path: &Path, limits: Limits) -> Result<Store, StoreError> {
        let Entered { connection, reader, token, owner } = reserve::or_with_it(path, || enter(path))?;
        // Without it everything works but new holds, and those say why.
        let _ = reserve::keep(path);
        let committer = Committer::start(connection, path.join("content"))?;
        let inner = Inner {
            path: path.to_path_buf(),
            token,
            limits,
            owner,
            committer,
            reader: Mutex::new(reader),
            files: AtomicU64::new(0),
            unsettled: Arc::default(),
            gathered: tally::Gathered::default(),
            warned: AtomicBool::new(false),
        };
        Ok(Store { inner: Arc::new(inner) })
    }

    /// The instance token made with the store: ten base32 letters.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.inner.token
    }

    /// This process's id as an owner; names of temporary files begin with it.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.inner.owner.id()
    }

    /// Where content of messages on their way goes: in the same file system as the store, so that it can be linked in.
    #[must_use]
    pub fn temporary(&self) -> PathBuf {
        self.inner.path.join("tmp")
    }

    fn content_directory(&self) -> PathBuf {
        self.inner.path.join("content")
    }

    fn next_file(&self) -> String {
        format!("{}.{}", self.owner(), self.inner.files.fetch_add(1, Ordering::Relaxed))
    }

    /// Queues a change and waits for its commit.
    async fn change<T, F>(&self, files: Files, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Bench<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.inner.committer.submit(files, work, move |result| {
            let _ = answer.send(result);
        });
        answered.await.unwrap_or_else(|_| Err(committer::stopped()))
    }

    /// [`Store::change`] for callers that are not async.
    fn change_blocking<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Bench<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        self.inner.committer.submit(Files::none(), work, move |result| {
            let _ = answer.send(result);
        });
        answered.recv().unwrap_or_else(|_| Err(committer::stopped()))
    }

    /// [`Store::change`] for what the operator decides: it may use the reserve.
    async fn decide<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Bench<'_>) -> Result<T, StoreError> + Clone + Send + 'static,
    {
        match self.change(Files::none(), work.clone()).await {
            Err(StoreError::Full(_)) if reserve::give_up(&self.inner.path) => self.change(Files::none(), work).await,
            done => done,
        }
    }

    /// [`Store::decide`] for callers that are not async.
    fn decide_blocking<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Bench<'_>) -> Result<T, StoreError> + Clone + Send + 'static,
    {
        reserve::or_with_it(&self.inner.path, || self.change_blocking(work.clone()))
    }

    fn read<T>(&self, look: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let reader = self.inner.reader.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        look(&reader)
    }
}

/// Leaves in order: what is queued is committed, then what this owner still holds is given up, as a successor would do it.
impl Drop for Inner {
    fn drop(&mut self) {
        self.gathered.write(&self.committer, tally::day(clock::now()));
        if let Some(mut connection) = self.committer.stop() {
            self.owner.leave(&self.path, &mut connection);
            // The next process that holds something tries again.
            let _ = reserve::keep(&self.path);
        }
    }
}

struct Entered {
    connection: Connection,
    reader: Connection,
    token: String,
    owner: Owner,
}

/// Makes what is missing, takes over from dead owners and becomes one.
fn enter(path: &Path) -> Result<Entered, StoreError> {
    make_directories(path).map_err(|error| at(path, &error))?;
    let _joining = disk::Lock::wait(&path.join("lock")).map_err(|error| at(path, &error))?;
    let mut connection = schema::open(path)?;
    let token = schema::token(&connection)?;
    let reader = schema::open(path)?;
    let owner = Owner::join(path, &mut connection, random::ulid().to_string())?;
    Ok(Entered { connection, reader, token, owner })
}

fn make_directories(path: &Path) -> io::Result<()> {
    // One that was there already may lie in a directory that only root may read: that one is not ours to sync.
    let new: Vec<&Path> = path.ancestors().take_while(|directory| !directory.as_os_str().is_empty() && !directory.exists()).collect();
    for directory in ["content", "tmp", "owners"] {
        disk::create_private_dir(&path.join(directory))?;
    }
    disk::sync_dir(path)?;
    // A name is in the directory above: each that was made now is there to stay only once that one is synced.
    new.into_iter()
        .filter_map(Path::parent)
        .try_for_each(|above| disk::sync_dir(if above.as_os_str().is_empty() { Path::new(".") } else { above }))
}

/// What an error of the file system means for the store.
fn at(path: &Path, error: &io::Error) -> StoreError {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreError::Full(format!("no room on the disk for {path}: make room, or set store.path to another disk"))
        }
        io::ErrorKind::ReadOnlyFilesystem => StoreError::Unable(format!("{path} is on a read-only file system: mount it writable")),
        io::ErrorKind::PermissionDenied => StoreError::Unable(format!("{path} may not be written by this user: check its owner and mode")),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            StoreError::Unable(format!("{path} cannot be made: a file is where a directory should be: move it away, or set store.path"))
        }
        _ => StoreError::Unable(format!("{path}: {error}")),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        // Without room SQLite cannot make its shared memory, which is a file.
        let no_shared_memory = error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
        match error.sqlite_error_code() {
            Some(code) if code == ErrorCode::DiskFull || no_shared_memory => {
                StoreError::Full("no room on the disk for the store: make room, or set store.path to another disk".into())
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                StoreError::Unable("the store was locked by another process for 5 s: see which (fuser store.db)".into())
            }
            Some(ErrorCode::ReadOnly) => {
                StoreError::Unable("the store may not be written: check the owner and mode of store.path, and its file system".into())
            }
            Some(ErrorCode::SystemIoFailure) => StoreError::Unable(format!(
                "the disk of the store failed ({error}): look into the system's log, and at quotas and limits on file size for this user"
            )),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Unable(format!("store.db is damaged ({error}): move store.path away and start with a fresh one, or restore it"))
            }
            _ => StoreError::Unable(format!("the store cannot: {error}; see to the disk of store.path")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_trouble() {
        let path = Path::new("store");
        assert!(matches!(at(path, &io::ErrorKind::StorageFull.into()), StoreError::Full(_)));
        assert!(matches!(at(path, &io::ErrorKind::QuotaExceeded.into()), StoreError::Full(_)));
        assert!(matches!(at(path, &io::ErrorKind::ReadOnlyFilesystem.into()), StoreError::Unable(_)));
        let sqlite = |code| StoreError::from(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
        assert!(matches!(sqlite(rusqlite::ffi::SQLITE_FULL), StoreError::Full(_)));
        assert!(matches!(sqlite(rusqlite::ffi::SQLITE_READONLY), StoreError::Unable(_)));
        assert!(matches!(sqlite(rusqlite::ffi::SQLITE_IOERR), StoreError::Unable(_)));
    }

    #[test]
    fn a_store_keeps_its_token_and_each_opening_is_another_owner() {
        let dir = tempfile::tempdir().unwrap();
        let first = Store::open(dir.path(), Limits::default()).unwrap();
        let second = Store::open(dir.path(), Limits::default()).unwrap();
        assert_eq!(first.token().len(), 10);
        assert_eq!(first.token(), second.token());
        assert_ne!(first.owner(), second.owner());
        drop((first, second));
        assert!(disk::list(&dir.path().join("owners")).unwrap().is_empty());
    }

    #[test]
    fn what_the_operator_decides_is_written_on_a_full_disk_too_and_the_room_for_it_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Limits::default()).unwrap();
        let reserve = dir.path().join("reserve");
        let full = {
            let reserve = reserve.clone();
            move |_: &mut Bench<'_>| if reserve.exists() { Err(StoreError::Full("full".into())) } else { Ok(()) }
        };
        assert!(store.change_blocking(full.clone()).is_err());
        assert_eq!(store.decide_blocking(full), Ok(()));
        assert!(!reserve.exists());
        drop(store);
        assert!(reserve.exists());
    }

    #[test]
    fn a_new_store_is_made_with_all_that_is_above_it_and_for_its_user_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("var/lib/store");
        drop(Store::open(&path, Limits::default()).unwrap());
        for name in ["", "content", "tmp", "owners"] {
            let mode = path.join(name).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o700, "{name} {mode:o}");
        }
    }

    #[test]
    fn a_store_of_a_newer_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), Limits::default()).unwrap());
        Connection::open(dir.path().join("store.db")).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let error = Store::open(dir.path(), Limits::default()).unwrap_err();
        assert!(error.to_string().contains("newer"), "{error}");
    }
}
