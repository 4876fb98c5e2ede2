//! The store at a glance, for whoever watches the server.

use super::desk::State;
use super::{Store, StoreError, at, content::Files, reserve};
use crate::base::disk;

/// Room that a mail may need, and a little for the database: without it the next one is not taken.
const ROOM: u64 = 1 << 20;

/// What lies in the quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Mails by state, in the order of [`State::ALL`].
    pub mails: [(State, u64); State::ALL.len()],
    /// Bytes stored, of those that `store.quarantine.size` allows.
    pub bytes: u64,
    pub size: u64,
}

impl Store {
    /// Counts what lies there. Blocks.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn overview(&self) -> Result<Overview, StoreError> {
        let mut mails = State::ALL.map(|state| (state, 0));
        let bytes = self.read(|sql| {
            let mut counts = sql.prepare_cached("SELECT count(*) FROM hold WHERE state = ?1")?;
            for (state, count) in &mut mails {
                *count = counts.query_row([state.word()], |row| row.get(0))?;
            }
            Ok(sql.prepare_cached("SELECT bytes FROM usage")?.query_row([], |row| row.get(0))?)
        })?;
        Ok(Overview { mails, bytes, size: self.inner.limits.size })
    }

    /// Whether the next mail that has to be held could be: the one who writes is there and gets his turn, and the disk has room.
    ///
    /// # Errors
    /// It could not, and why.
    pub async fn responds(&self) -> Result<(), StoreError> {
        let (path, probe) = (self.inner.path.clone(), self.temporary().join(self.next_file()));
        self.change(Files::none(), move |_| {
            reserve::keep(&path)?;
            let made = disk::allocate(&probe, ROOM).and_then(|()| disk::remove_file(&probe));
            made.map_err(|error| at(&path, &error))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::super::quarantine::tests::stage;
    use super::*;
    use crate::store::Limits;

    #[tokio::test]
    async fn mails_are_counted_by_state_and_their_bytes_are_those_of_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Limits { size: 1_000_000, ..Limits::default() }).unwrap();
        assert_eq!(store.overview().unwrap().mails.iter().map(|(_, count)| count).sum::<u64>(), 0);
        let held = stage(&store, 100).await.unwrap();
        stage(&store, 100).await.unwrap();
        store.confirm(&held);
        assert_eq!(store.responds().await, Ok(()));
        let Overview { mails, bytes, size } = store.overview().unwrap();
        assert_eq!(mails[..3], [(State::Pending, 1), (State::Held, 1), (State::Releasing, 0)]);
        assert!(bytes >= 200 && size == 1_000_000, "{bytes}");
    }
}
