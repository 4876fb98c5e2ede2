//! Which process a row or file belongs to while something is being done with it (DESIGN decision 11).
//!
//! | `owners/ID` | row in `owner` | the process | so |
//! |---|---|---|---|
//! | `.ID`, any lock | no | died while it joined | the file is removed |
//! | locked | any | lives | its rows and files are untouchable |
//! | not locked | any | is dead | its work is taken over |
//! | missing | yes | is dead | its work is taken over |
//!
//! Joining, leaving and taking over are done by one process at a time: the caller holds `lock`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::{StoreError, at};
use crate::base::disk::{self, Lock};

/// This process, as long as the value lives.
#[derive(Debug)]
pub(super) struct Owner {
    id: String,
    file: PathBuf,
    _lock: Lock,
}

impl Owner {
    /// Takes over from the dead, then becomes an owner.
    pub(super) fn join(store: &Path, connection: &mut Connection, id: String) -> Result<Owner, StoreError> {
        let directory = store.join("owners");
        for dead in dead(&directory, connection)? {
            take_over(store, connection, &dead)?;
        }
        finish_removals(store, connection)?;
        let (unborn, file) = (directory.join(format!(".{id}")), directory.join(&id));
        let lock = Lock::create(&unborn).map_err(|error| at(&unborn, &error))?;
        disk::rename(&unborn, &file).and_then(|()| disk::sync_dir(&directory)).map_err(|error| at(&file, &error))?;
        connection.execute("INSERT INTO owner VALUES (?1)", [&id])?;
        Ok(Owner { id, file, _lock: lock })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Gives up what this owner still has, as a successor would. What fails here the next one to join does.
    pub(super) fn leave(&self, store: &Path, connection: &mut Connection) {
        let left = Lock::wait(&store.join("lock"))
            .map_err(|error| at(&self.file, &error))
            .and_then(|_leaving| take_over(store, connection, &self.id));
        if let Err(error) = left {
            tracing::warn!(%error, "the store was left untidy; the next start tidies it");
        }
    }
}

/// Owners whose lock nobody holds.
fn dead(directory: &Path, connection: &Connection) -> Result<BTreeSet<String>, StoreError> {
    let mut known =
        connection.prepare("SELECT id FROM owner")?.query_map([], |row| row.get(0))?.collect::<Result<BTreeSet<String>, _>>()?;
    for name in disk::list(directory).map_err(|error| at(directory, &error))? {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with('.') {
            disk::remove_file(&directory.join(&name)).map_err(|error| at(directory, &error))?;
        } else {
            known.insert(name);
        }
    }
    let mut dead = BTreeSet::new();
    for id in known {
        match Lock::take(&directory.join(&id)) {
            Ok(None) => {}
            Ok(Some(_)) => drop(dead.insert(id)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => drop(dead.insert(id)),
            // Another user's process: whether it lives cannot be told, so its work is left alone.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                tracing::warn!(
                    owner = id,
                    "the store is also used by another user: run every transom command as the user of `transom serve`, or as root"
                );
            }
            Err(error) => return Err(at(&directory.join(&id), &error)),
        }
    }
    Ok(dead)
}

/// What a dead owner was about becomes somebody's to decide; what it left lying about goes.
fn take_over(store: &Path, connection: &mut Connection, id: &str) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("UPDATE hold SET state = 'held', owner = NULL WHERE owner = ?1 AND state = 'pending'", [id])?;
    let in_doubt = transaction.execute(
        "UPDATE hold SET state = 'in doubt', owner = NULL, reply = 'the process that released it died meanwhile' WHERE owner = ?1 AND state = 'releasing'",
        [id],
    )?;
    transaction.execute("DELETE FROM owner WHERE id = ?1", [id])?;
    transaction.commit()?;
    if in_doubt > 0 {
        tracing::warn!(
            owner = id,
            rows = in_doubt,
            "a release was cut off and may have been sent: see `transom quarantine list --state in-doubt`, send again with --force"
        );
    }
    sweep(store, connection, id)?;
    match disk::remove_file(&store.join("owners").join(id)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(store, &error)),
        _ => Ok(()),
    }
}

/// Removes files of a dead owner that no row names.
fn sweep(store: &Path, connection: &Connection, id: &str) -> Result<(), StoreError> {
    let mut named = connection.prepare("SELECT 1 FROM piece WHERE file = ?1 LIMIT 1")?;
    for (directory, may_be_named) in [("tmp", false), ("content", true)] {
        let directory = store.join(directory);
        for name in disk::list(&directory).map_err(|error| at(&directory, &error))? {
            let Some(name) = name.to_str() else { continue };
            let own = name.strip_prefix(id).is_some_and(|rest| rest.starts_with('.'));
            if own && !(may_be_named && named.exists([name])?) {
                disk::remove_file(&directory.join(name)).map_err(|error| at(&directory, &error))?;
            }
        }
        // Before the owner is forgotten: nobody would look for its files again.
        disk::sync_dir(&directory).map_err(|error| at(&directory, &error))?;
    }
    Ok(())
}

/// Files whose rows are gone and whose removal a crash may have cut off.
fn finish_removals(store: &Path, connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let doomed = transaction.prepare("SELECT file FROM doomed")?.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let content = store.join("content");
    for file in &doomed {
        let path = content.join(file);
        match disk::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(&path, &error)),
            _ => drop(transaction.execute("DELETE FROM doomed WHERE file = ?1", [file])?),
        }
    }
    if !doomed.is_empty() {
        disk::sync_dir(&content).map_err(|error| at(&content, &error))?;
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{make_directories, schema};

    fn store() -> (tempfile::TempDir, Connection) {
        let dir = tempfile::tempdir().unwrap();
        make_directories(dir.path()).unwrap();
        let connection = schema::open(dir.path()).unwrap();
        (dir, connection)
    }

    fn touch(dir: &tempfile::TempDir, name: &str) -> PathBuf {
        let path = dir.path().join(name);
        disk::write(&path, b"x").unwrap();
        path
    }

    #[test]
    fn files_of_a_dead_owner_go_and_those_of_a_living_one_stay() {
        let (dir, mut sql) = store();
        let dead = Owner::join(dir.path(), &mut sql, "DEAD".into()).unwrap();
        let living = Owner::join(dir.path(), &mut sql, "LIVING".into()).unwrap();
        let gone = [touch(&dir, "tmp/DEAD.1"), touch(&dir, "content/DEAD.1"), touch(&dir, "owners/.HALF")];
        let stays = [touch(&dir, "tmp/LIVING.1"), touch(&dir, "content/LIVING.1"), touch(&dir, "content/DEADLY.1")];
        drop(dead);
        let _third = Owner::join(dir.path(), &mut sql, "THIRD".into()).unwrap();
        assert!(gone.iter().all(|path| !path.exists()));
        assert!(stays.iter().all(|path| path.exists()));
        assert_eq!(disk::list(&dir.path().join("owners")).unwrap(), ["LIVING", "THIRD"]);
        drop(living);
    }

    #[test]
    fn a_removal_that_was_cut_off_is_finished() {
        let (dir, mut sql) = store();
        let path = touch(&dir, "content/OLD.1");
        sql.execute_batch("INSERT INTO doomed VALUES ('OLD.1'), ('OLD.2')").unwrap();
        Owner::join(dir.path(), &mut sql, "NEW".into()).unwrap();
        assert!(!path.exists());
        assert!(!sql.prepare("SELECT 1 FROM doomed").unwrap().exists([]).unwrap());
    }

    #[test]
    fn an_owner_that_leaves_leaves_no_trace() {
        let (dir, mut sql) = store();
        let owner = Owner::join(dir.path(), &mut sql, "ONE".into()).unwrap();
        owner.leave(dir.path(), &mut sql);
        assert!(disk::list(&dir.path().join("owners")).unwrap().is_empty());
        assert!(!sql.prepare("SELECT 1 FROM owner").unwrap().exists([]).unwrap());
    }
}
