//! The tables, their version, and how the SQLite file is opened.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::{StoreError, at};
use crate::base::{disk, random};

/// Which tables these are. Another number is refused.
const VERSION: i64 = 2;

/// "Trsm": tells our file from another program's.
const APPLICATION: i64 = 0x5472_736d;

/// How long the write-ahead log gets in the ordinary course, in pages of 4 KiB, and the most of it that is kept on the disk.
const WAL_PAGES: i64 = 1000;
const WAL_BYTES: i64 = 16 * 1024 * 1024;

const TABLES: &str = "
CREATE TABLE instance (token TEXT NOT NULL);
CREATE TABLE owner (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE hold (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE COLLATE NOCASE,
    state TEXT NOT NULL CHECK (state IN ('pending', 'held', 'releasing', 'released', 'in doubt', 'deleted')),
    owner TEXT CHECK ((owner IS NOT NULL) = (state IN ('pending', 'releasing'))),
    confirmed INTEGER NOT NULL DEFAULT 0,
    reply TEXT,
    history TEXT NOT NULL DEFAULT '[]',
    time INTEGER NOT NULL,
    reasons TEXT NOT NULL,
    rules TEXT NOT NULL,
    received_envelope TEXT NOT NULL,
    envelope TEXT NOT NULL,
    from_field TEXT NOT NULL,
    subject TEXT NOT NULL,
    size INTEGER NOT NULL,
    client TEXT NOT NULL,
    helo TEXT NOT NULL,
    spoken TEXT NOT NULL,
    route TEXT NOT NULL,
    session TEXT NOT NULL,
    message TEXT NOT NULL,
    stored INTEGER NOT NULL
);
CREATE INDEX hold_by_state ON hold (state, seq);
CREATE INDEX hold_by_time ON hold (time);
CREATE INDEX hold_by_owner ON hold (owner) WHERE owner IS NOT NULL;
CREATE TABLE piece (
    hold INTEGER NOT NULL REFERENCES hold ON DELETE CASCADE,
    form INTEGER NOT NULL,
    position INTEGER NOT NULL,
    bytes BLOB,
    file TEXT CHECK ((file IS NULL) != (bytes IS NULL)),
    start INTEGER NOT NULL,
    length INTEGER NOT NULL
);
CREATE UNIQUE INDEX piece_in_order ON piece (hold, form, position);
CREATE INDEX piece_by_file ON piece (file) WHERE file IS NOT NULL;
CREATE TABLE doomed (file TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE usage (bytes INTEGER NOT NULL);
INSERT INTO usage VALUES (0);
CREATE TRIGGER hold_added AFTER INSERT ON hold BEGIN UPDATE usage SET bytes = bytes + NEW.stored; END;
CREATE TRIGGER hold_emptied AFTER UPDATE OF stored ON hold BEGIN UPDATE usage SET bytes = bytes - OLD.stored + NEW.stored; END;
CREATE TRIGGER hold_removed AFTER DELETE ON hold BEGIN UPDATE usage SET bytes = bytes - OLD.stored; END;
CREATE TABLE tally (
    rule TEXT NOT NULL,
    observed INTEGER NOT NULL,
    day INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    fired INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    different INTEGER NOT NULL,
    last INTEGER,
    messages TEXT NOT NULL,
    PRIMARY KEY (rule, observed, day)
) WITHOUT ROWID;
CREATE INDEX tally_by_day ON tally (day);
";

/// Opens `store.db` in `path`, making its tables if they are not there.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let file = path.join("store.db");
    // Made here, so that nobody else may read the mail in it; SQLite gives its other files the same mode.
    match disk::create_new(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(at(&file, &error)),
        _ => {}
    }
    let mut connection =
        Connection::open(&file).map_err(|error| StoreError::Unable(format!("{} cannot be opened: {error}", file.display())))?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Checkpointed by the commit that makes it longer than this, and cut down after one that was exceptionally long.
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    match (number(&connection, "application_id")?, number(&connection, "user_version")?) {
        (0, 0) => {
            make(&mut connection)?;
            disk::sync_dir(path).map_err(|error| at(path, &error))?;
            Ok(connection)
        }
        (APPLICATION, VERSION) => Ok(connection),
        (APPLICATION, other) => Err(StoreError::Unable(format!(
            "{} has version {other}, made by {} Transom; this one knows {VERSION}: use that one, or another store.path",
            file.display(),
            if other > VERSION { "a newer" } else { "an older" }
        ))),
        _ => Err(StoreError::Unable(format!("{} is another program's database: set store.path to an empty directory", file.display()))),
    }
}

fn make(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    transaction.execute_batch(TABLES)?;
    transaction.execute("INSERT INTO instance VALUES (?1)", [random::token()])?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}

/// The instance token made with the store.
pub(super) fn token(connection: &Connection) -> Result<String, StoreError> {
    Ok(connection.query_row("SELECT token FROM instance", [], |row| row.get(0))?)
}

fn number(connection: &Connection, pragma: &str) -> Result<i64, StoreError> {
    Ok(connection.pragma_query_value(None, pragma, |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_commit_is_synced_before_it_is_answered() {
        let dir = tempfile::tempdir().unwrap();
        let connection = open(dir.path()).unwrap();
        assert_eq!(number(&connection, "synchronous").unwrap(), 2);
        assert_eq!(connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0)).unwrap(), "wal");
    }

    #[test]
    fn the_write_ahead_log_does_not_grow_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let connection = open(dir.path()).unwrap();
        connection.execute_batch("CREATE TABLE ballast (bytes BLOB)").unwrap();
        let longest = || disk::open(&dir.path().join("store.db-wal")).unwrap().metadata().unwrap().len();
        for _ in 0..20 {
            connection.execute("INSERT INTO ballast VALUES (zeroblob(2000000))", []).unwrap();
        }
        assert!(longest() < 8_000_000, "{}", longest());
        connection.execute("INSERT INTO ballast VALUES (zeroblob(40000000))", []).unwrap();
        connection.execute("INSERT INTO ballast VALUES (x'00')", []).unwrap();
        assert!(longest() <= u64::try_from(WAL_BYTES).unwrap(), "{}", longest());
    }

    #[test]
    fn nobody_else_may_read_the_mail_in_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let _connection = open(dir.path()).unwrap();
        for name in disk::list(dir.path()).unwrap() {
            let mode = disk::open(&dir.path().join(&name)).unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} {mode:o}", name.display());
        }
    }

    #[test]
    fn a_database_of_another_program_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        Connection::open(dir.path().join("store.db")).unwrap().pragma_update(None, "user_version", 7).unwrap();
        assert!(open(dir.path()).unwrap_err().to_string().contains("another program"));
    }
}
