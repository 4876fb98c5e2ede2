//! The one place that opens, writes, syncs, links and removes files.
#![allow(clippy::disallowed_methods, reason = "the place the ban points to")]

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Opened here only.
pub use std::fs::File;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::budget::Share;

/// How much is copied at once.
const PIECE: usize = 256 * 1024;

/// A file of a message's content: nameless where the file system can (`O_TMPFILE`), else `NAME` in the directory given, removed when dropped.
/// Written once from front to back, read at any place; it can become a named file without copying.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    named: Option<PathBuf>,
    /// What its bytes take of a budget.
    share: Option<Share>,
}

impl Scratch {
    /// A new empty file in `directory`; `name` is used where a nameless file is not possible.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(directory: &Path, name: &str) -> io::Result<Scratch> {
        match rustix::fs::open(directory, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Scratch { file: file.into(), named: None, share: None }),
            // open(2): what file systems and kernels without O_TMPFILE say.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Scratch::named(directory.join(name)),
            Err(error) => Err(error.into()),
        }
    }

    fn named(path: PathBuf) -> io::Result<Scratch> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Scratch { file, named: Some(path), share: None })
    }

    /// Ties it to the share of a budget that its bytes take: that is given back when the file goes.
    #[must_use]
    pub fn counted(mut self, share: Share) -> Scratch {
        self.share = Some(share);
        self
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

    /// Bytes written so far.
    ///
    /// # Errors
    /// What the file system says.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Syncs the content and gives it the name `to` (in the same file system); the directory is not synced. Can be done more than once, under several names.
    ///
    /// # Errors
    /// What the file system says.
    pub fn link(&self, to: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        let linked = match &self.named {
            // open(2): without CAP_DAC_READ_SEARCH a nameless file is linked by its entry in /proc.
            None => {
                let from = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                rustix::fs::linkat(CWD, from, CWD, to, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)
            }
            Some(from) => fs::hard_link(from, to),
        };
        match linked {
            Err(error) if cannot_link(&error) => self.copy(to),
            linked => linked,
        }
    }

    fn copy(&self, to: &Path) -> io::Result<()> {
        let copied = self.copy_into(&mut create_new(to)?);
        if copied.is_err() {
            let _ = fs::remove_file(to);
        }
        copied
    }

    fn copy_into(&self, to: &mut File) -> io::Result<()> {
        let size = self.size()?;
        let mut buffer = vec![0; PIECE];
        let mut offset = 0;
        while offset < size {
            let some = usize::try_from(size - offset).unwrap_or(PIECE).min(PIECE);
            self.read_at(&mut buffer[..some], offset)?;
            to.write_all(&buffer[..some])?;
            offset += some as u64;
        }
        to.sync_all()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(path) = &self.named {
            let _ = fs::remove_file(path);
        }
    }
}

/// No /proc, or a file system without hard links.
fn cannot_link(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::NOENT | Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP))
}

/// A file that only one process can hold at a time; the hold ends with the process, whatever ends it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Makes `path` anew and holds it.
    ///
    /// # Errors
    /// It exists already, or what the file system says.
    pub fn create(path: &Path) -> io::Result<Lock> {
        let file = create_new(path)?;
        file.lock()?;
        Ok(Lock { _file: file })
    }

    /// Holds the file at `path` if nobody does.
    ///
    /// # Errors
    /// What the file system says; [`io::ErrorKind::NotFound`] when there is no such file.
    pub fn take(path: &Path) -> io::Result<Option<Lock>> {
        let file = OpenOptions::new().write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Makes `path` if it is not there, and waits until it is ours.
    ///
    /// # Errors
    /// What the file system says.
    pub fn wait(path: &Path) -> io::Result<Lock> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        file.lock()?;
        Ok(Lock { _file: file })
    }
}

/// A whole file.
///
/// # Errors
/// What the file system says.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}

/// A whole file, which must be UTF-8.
///
/// # Errors
/// What the file system says.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}

/// What tells one state of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    modified: std::time::SystemTime,
    /// The inode's own change: other permissions make a file readable again that nobody wrote to.
    changed: (i64, i64),
    size: u64,
    inode: u64,
}

/// The state that a file is in.
///
/// # Errors
/// What the file system says.
pub fn stamp(path: &Path) -> io::Result<Stamp> {
    let data = fs::metadata(path)?;
    Ok(Stamp { modified: data.modified()?, changed: (data.ctime(), data.ctime_nsec()), size: data.len(), inode: data.ino() })
}

/// A file for reading.
///
/// # Errors
/// What the file system says.
pub fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Reads exactly `buffer.len()` bytes of a file at `offset`.
///
/// # Errors
/// What the file system says.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buffer, offset)
}

/// Writes a file, replacing what was there.
///
/// # Errors
/// What the file system says.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes)
}

/// A new file that only its owner may read.
///
/// # Errors
/// It exists already, or what the file system says.
pub fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// What is to take the place of a file, whole or not at all. While one is under way nobody else can begin another; what is dropped unfinished is gone.
#[derive(Debug)]
pub struct Replacement {
    file: File,
    /// The file that is written, beside the one it will replace.
    path: PathBuf,
    target: PathBuf,
    finished: bool,
}

impl Replacement {
    /// Begins; where `target` is a link, with what it leads to. A new file is for its owner alone, another keeps owner and permissions.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] while another one is under way; what the file system says.
    pub fn begin(target: &Path) -> io::Result<Replacement> {
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let path = Replacement::beside(&target);
        let file = create_new(&path)?;
        let replacement = Replacement { file, path, target, finished: false };
        if let Ok(old) = fs::metadata(&replacement.target) {
            replacement.file.set_permissions(old.permissions())?;
            let new = replacement.file.metadata()?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                std::os::unix::fs::fchown(&replacement.file, Some(old.uid()), Some(old.gid()))?;
            }
        }
        Ok(replacement)
    }

    /// Where it is written.
    #[must_use]
    pub fn beside(target: &Path) -> PathBuf {
        let mut path = target.as_os_str().to_owned();
        path.push(".new");
        path.into()
    }

    /// Puts it in place.
    ///
    /// # Errors
    /// What the file system says; then the old file is as it was.
    pub fn finish(mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_all()?;
        fs::rename(&self.path, &self.target)?;
        self.finished = true;
        sync_dir(self.target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Bytes in a file.
///
/// # Errors
/// What the file system says.
pub fn size(path: &Path) -> io::Result<u64> {
    fs::metadata(path).map(|found| found.len())
}

/// A new file that takes so many bytes on the disk; none when they are not to be had.
///
/// # Errors
/// It exists already, or what the file system says.
pub fn allocate(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = create_new(path)?;
    let allocated = match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        // fallocate(2): file systems that know no other way than writing.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => io::copy(&mut io::repeat(0).take(bytes), &mut file).and_then(|_| file.sync_all()),
        allocated => allocated.map_err(io::Error::from),
    };
    if allocated.is_err() {
        let _ = fs::remove_file(path);
    }
    allocated
}

/// Removes a file.
///
/// # Errors
/// What the file system says.
pub fn remove_file(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

/// Why a file cannot be read, in an operator's words.
#[must_use]
pub fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not read it: see the owner and the mode of it and of its directory".to_owned(),
        _ => error.to_string(),
    }
}

/// Whether a Unix socket lies there, live or left behind.
#[must_use]
pub fn is_socket(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|data| data.file_type().is_socket())
}

/// Gives a file another name, replacing what had it.
///
/// # Errors
/// What the file system says.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// Makes a directory and those above it.
///
/// # Errors
/// What the file system says.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Makes a directory that only its owner may enter, and those above it.
///
/// # Errors
/// What the file system says.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The names in a directory, sorted by bytes.
///
/// # Errors
/// What the file system says.
pub fn list(path: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Makes names made, linked or removed in a directory survive a crash.
///
/// # Errors
/// What the file system says.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(scratch: &Scratch) {
        scratch.write_at(b"hello ", 0).unwrap();
        scratch.write_at(b"world", 6).unwrap();
    }

    #[test]
    fn a_scratch_has_no_name_until_it_is_linked_and_may_get_several() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch::create(dir.path(), "o.1").unwrap();
        filled(&scratch);
        scratch.link(&dir.path().join("a")).unwrap();
        scratch.link(&dir.path().join("b")).unwrap();
        drop(scratch);
        assert_eq!(list(dir.path()).unwrap(), ["a", "b"]);
        assert_eq!(read(&dir.path().join("b")).unwrap(), b"hello world");
    }

    #[test]
    fn where_nameless_files_are_missing_a_named_one_serves_and_is_gone_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch::named(dir.path().join("o.1")).unwrap();
        filled(&scratch);
        scratch.link(&dir.path().join("a")).unwrap();
        assert_eq!(list(dir.path()).unwrap(), ["a", "o.1"]);
        drop(scratch);
        assert_eq!(list(dir.path()).unwrap(), ["a"]);
        assert_eq!(read_to_string(&dir.path().join("a")).unwrap(), "hello world");
    }

    #[test]
    fn where_links_are_missing_the_content_is_copied() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch::create(dir.path(), "o.1").unwrap();
        filled(&scratch);
        scratch.copy(&dir.path().join("a")).unwrap();
        assert_eq!(read(&dir.path().join("a")).unwrap(), b"hello world");
    }

    #[test]
    fn linking_never_replaces_a_file() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("a"), b"old").unwrap();
        let scratch = Scratch::create(dir.path(), "o.1").unwrap();
        assert_eq!(scratch.link(&dir.path().join("a")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read(&dir.path().join("a")).unwrap(), b"old");
    }

    #[test]
    fn room_that_is_allocated_is_taken_from_the_disk() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("room");
        allocate(&path, 100_000).unwrap();
        assert_eq!(size(&path).unwrap(), 100_000);
        assert!(fs::metadata(&path).unwrap().blocks() * 512 >= 100_000);
        assert!(allocate(&dir.path().join("more"), 1 << 60).is_err());
        assert_eq!(list(dir.path()).unwrap(), ["room"]);
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all_and_by_one_at_a_time() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        Replacement::begin(&path).unwrap().finish(b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let begun = Replacement::begin(&path).unwrap();
        assert_eq!(Replacement::begin(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        drop(begun);
        assert_eq!(list(dir.path()).unwrap(), ["users"]);
        Replacement::begin(&path).unwrap().finish(b"two").unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_lock_is_free_once_its_holder_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::create(&path).unwrap();
        assert!(Lock::take(&path).unwrap().is_none());
        drop(held);
        assert!(Lock::take(&path).unwrap().is_some());
    }
}
