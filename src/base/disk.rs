//! The one place that opens, writes, syncs, links and removes files.
#![allow(clippy::disallowed_methods, reason = "the place the ban points to")]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A file of a message's content: nameless where the file system can (`O_TMPFILE`), else `NAME` in the directory given, removed when dropped.
/// Written once from front to back, read at any place; it can become a named file without copying.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    named: Option<PathBuf>,
}

impl Scratch {
    /// A new empty file in `directory`; `name` is used where a nameless file is not possible.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(directory: &Path, name: &str) -> io::Result<Scratch> {
        let _ = (directory, name);
        todo!("store helper")
    }

    /// Writes all of `bytes` at `offset`. Blocks.
    ///
    /// # Errors
    /// What the file system says; [`io::ErrorKind::StorageFull`] when there is no room.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Reads exactly `buffer.len()` bytes at `offset`. Blocks.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// Syncs the content and gives it the name `to` (in the same file system); the directory is not synced. Can be done more than once, under several names.
    ///
    /// # Errors
    /// What the file system says.
    pub fn link(&self, to: &Path) -> io::Result<()> {
        let _ = (to, &self.named);
        todo!("store helper")
    }
}
