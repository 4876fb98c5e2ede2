//! Room on the disk that only the operator's decisions may use: a quarantine that filled its disk could not be emptied otherwise, as deleting, too, is written.
//!
//! | who | finds no room | finds no reserve |
//! |---|---|---|
//! | opening, claim, settle, delete | gives it up and tries again | goes on |
//! | a new hold | is refused | makes it again, or is refused |
//! | leaving | | makes it again, if there is room |

use std::path::Path;

use super::{StoreError, at};
use crate::base::disk;

const NAME: &str = "reserve";

/// More than the write-ahead log and what it brings into the database when it is taken over.
const SIZE: u64 = 8 << 20;

/// Makes it, if it is not there.
pub(super) fn keep(store: &Path) -> Result<(), StoreError> {
    let path = store.join(NAME);
    match disk::size(&path) {
        Ok(SIZE) => return Ok(()),
        // Its making was cut off.
        Ok(_) => disk::remove_file(&path).map_err(|error| at(&path, &error))?,
        Err(_) => {}
    }
    match disk::allocate(&path, SIZE) {
        // Another process was faster.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(|error| at(&path, &error)),
    }
}

/// Gives its room away; false if there was none.
pub(super) fn give_up(store: &Path) -> bool {
    disk::remove_file(&store.join(NAME)).is_ok()
}

/// Tries again with the room of the reserve, if there was no other.
pub(super) fn or_with_it<T>(store: &Path, mut attempt: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    match attempt() {
        Err(StoreError::Full(_)) if give_up(store) => attempt(),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_given_up_once_and_made_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        keep(dir.path()).unwrap();
        keep(dir.path()).unwrap();
        assert_eq!(disk::size(&path).unwrap(), SIZE);
        assert!(give_up(dir.path()));
        assert!(!give_up(dir.path()));
        disk::write(&path, b"cut off").unwrap();
        keep(dir.path()).unwrap();
        assert_eq!(disk::size(&path).unwrap(), SIZE);
    }

    #[test]
    fn only_who_finds_no_room_uses_it_and_only_once() {
        let dir = tempfile::tempdir().unwrap();
        keep(dir.path()).unwrap();
        let path = dir.path().join(NAME);
        assert_eq!(or_with_it(dir.path(), || Ok(path.exists())), Ok(true));
        let full = || StoreError::Full("full".into());
        assert_eq!(or_with_it(dir.path(), || if path.exists() { Err(full()) } else { Ok(1) }), Ok(1));
        assert_eq!(or_with_it::<()>(dir.path(), || Err(full())), Err(full()));
    }
}
