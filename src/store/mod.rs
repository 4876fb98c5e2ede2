//! What must survive: a SQLite file, content files, owners (DESIGN decision 11). Knows no chain.
pub mod quarantine;

use std::path::Path;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room: on the disk, or in `store.quarantine.size`. Answered 452.
    #[error("{0}")]
    Full(String),
    /// Anything else; answered 451.
    #[error("{0}")]
    Unable(String),
}

/// An open store. Cheap to clone; the process is one owner of it until the last clone is gone.
#[derive(Clone, Debug)]
pub struct Store {}

impl Store {
    /// Opens (and makes, if absent) the store at `path`, takes over from dead owners, starts the committer thread. Blocks.
    ///
    /// # Errors
    /// Cannot be read or written, or made by a newer version.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        let _ = path;
        todo!("store helper")
    }

    /// The instance token made with the store: ten base32 letters.
    #[must_use]
    pub fn token(&self) -> &str {
        todo!("store helper")
    }

    /// This process's id as an owner; names of temporary files begin with it.
    #[must_use]
    pub fn owner(&self) -> &str {
        todo!("store helper")
    }
}
