//! The bytes of a stored mail: in its row as long as they are few, else in files that are there before the row.
//!
//! | the bytes lie in | they are stored |
//! |---|---|
//! | memory, up to 64 KiB in the form | in the row |
//! | memory, more | in one file of the mail's own; bytes that both forms share once |
//! | a content file of the message | by giving that file a name here: nothing is copied |
//! | many pieces of it, between what rules put there | in the file of the mail's own: a row for each would cost more |

use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, params};

use super::{Store, StoreError, at};
use crate::base::budget::Budget;
use crate::base::disk::{self, File, Scratch};
use crate::message::{Limits, Message, Piece, Receiver, Refusal, Room};

/// Bytes of one form that are kept in the row.
const INLINE: usize = 64 * 1024;

/// Pieces of files, of one form, that get rows.
const MOST_ROWS: usize = 100;

/// How much is read from a file at once.
const PIECE: usize = 256 * 1024;

/// Which bytes of a held mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it came in.
    Received,
    /// As it would have been delivered.
    Held,
}

impl Form {
    fn number(self) -> i64 {
        match self {
            Form::Received => 0,
            Form::Held => 1,
        }
    }
}

/// Files made for rows that are not committed yet; removed when dropped, unless kept.
#[derive(Debug)]
pub(super) struct Files(Vec<PathBuf>);

impl Files {
    pub(super) fn none() -> Files {
        Files(Vec::new())
    }

    pub(super) fn add(&mut self, path: PathBuf) {
        self.0.push(path);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in &self.0 {
            // What stays is swept when this process is gone.
            let _ = disk::remove_file(path);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Run {
    Inline(Vec<u8>),
    File { name: String, span: Range<u64> },
}

/// Content that is ready for its rows: files synced and in their place.
#[derive(Debug)]
pub(super) struct Content {
    runs: Vec<(Form, Vec<Run>)>,
    /// Bytes it takes, in rows and files.
    pub stored: u64,
    pub files: Files,
}

impl Content {
    /// Puts what is too large for rows into files. Blocks.
    pub(super) fn prepare(store: &Store, forms: &[(Form, Vec<Piece>)]) -> Result<Content, StoreError> {
        let mut builder = Builder { store, files: Files::none(), linked: Vec::new(), own: None, written: Vec::new(), stored: 0 };
        let mut runs = Vec::new();
        for (form, pieces) in forms {
            runs.push((*form, builder.form(pieces)?));
        }
        if let Some(own) = &builder.own {
            own.file.sync_all().map_err(|error| at(&builder.path(&own.name), &error))?;
        }
        Ok(Content { runs, stored: builder.stored, files: builder.files })
    }

    /// Takes the files, which are then the caller's to keep.
    pub(super) fn take_files(&mut self) -> Files {
        std::mem::replace(&mut self.files, Files::none())
    }

    pub(super) fn insert(&self, sql: &Connection, hold: i64) -> Result<(), StoreError> {
        let mut statement =
            sql.prepare_cached("INSERT INTO piece (hold, form, position, bytes, file, start, length) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        for (form, runs) in &self.runs {
            for (position, run) in runs.iter().enumerate() {
                let (bytes, file, start, length) = match run {
                    Run::Inline(bytes) => (Some(bytes), None, 0, bytes.len() as u64),
                    Run::File { name, span } => (None, Some(name), span.start, span.end - span.start),
                };
                statement.execute(params![hold, form.number(), position, bytes, file, start, length])?;
            }
        }
        Ok(())
    }
}

struct Own {
    name: String,
    file: File,
    length: u64,
}

struct Builder<'a> {
    store: &'a Store,
    files: Files,
    /// Content files of the message, and the name each has here.
    linked: Vec<(Arc<Scratch>, String)>,
    own: Option<Own>,
    /// Memory that is in the own file already, and where.
    written: Vec<(Range<usize>, u64)>,
    stored: u64,
}

impl Builder<'_> {
    fn form(&mut self, pieces: &[Piece]) -> Result<Vec<Run>, StoreError> {
        let in_memory: usize = pieces.iter().map(|piece| if let Piece::Memory(bytes) = piece { bytes.len() } else { 0 }).sum();
        let mut runs = Vec::new();
        if pieces.iter().filter(|piece| matches!(piece, Piece::File { .. })).count() > MOST_ROWS {
            let (name, span) = self.copy(pieces)?;
            append_span(&mut runs, name, span);
            return Ok(runs);
        }
        for piece in pieces {
            match piece {
                Piece::Memory(bytes) if bytes.is_empty() => {}
                Piece::Memory(bytes) if in_memory <= INLINE => {
                    self.stored += bytes.len() as u64;
                    append_bytes(&mut runs, bytes);
                }
                Piece::Memory(bytes) => {
                    let (name, span) = self.write(bytes)?;
                    append_span(&mut runs, name, span);
                }
                Piece::File { file, span } if span.is_empty() => drop(Arc::clone(file)),
                Piece::File { file, span } => append_span(&mut runs, self.link(file)?, span.clone()),
            }
        }
        Ok(runs)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.store.content_directory().join(name)
    }

    fn write(&mut self, bytes: &Bytes) -> Result<(String, Range<u64>), StoreError> {
        let start = bytes.as_ptr().addr();
        let memory = start..start + bytes.len();
        let same = self.written.iter().find(|(known, _)| known.start <= memory.start && memory.end <= known.end);
        if let (Some((known, offset)), Some(own)) = (same, &self.own) {
            let from = offset + (memory.start - known.start) as u64;
            return Ok((own.name.clone(), from..from + bytes.len() as u64));
        }
        let (name, span) = self.copy(&[Piece::Memory(bytes.clone())])?;
        self.written.push((memory, span.start));
        Ok((name, span))
    }

    /// Writes pieces into the own file, one behind the other.
    fn copy(&mut self, pieces: &[Piece]) -> Result<(String, Range<u64>), StoreError> {
        let mut own = match self.own.take() {
            Some(own) => own,
            None => self.create()?,
        };
        let start = own.length;
        for piece in pieces {
            let copied = piece.for_each(&mut |bytes| own.file.write_all(bytes));
            copied.map_err(|error| at(&self.path(&own.name), &error))?;
            own.length += piece.size();
        }
        let span = start..own.length;
        self.stored += span.end - span.start;
        let name = own.name.clone();
        self.own = Some(own);
        Ok((name, span))
    }

    fn create(&mut self) -> Result<Own, StoreError> {
        let name = self.store.next_file();
        let path = self.path(&name);
        let file = disk::create_new(&path).map_err(|error| at(&path, &error))?;
        self.files.add(path);
        Ok(Own { name, file, length: 0 })
    }

    fn link(&mut self, scratch: &Arc<Scratch>) -> Result<String, StoreError> {
        if let Some((_, name)) = self.linked.iter().find(|(known, _)| Arc::ptr_eq(known, scratch)) {
            return Ok(name.clone());
        }
        let name = self.store.next_file();
        let path = self.path(&name);
        scratch.link(&path).map_err(|error| at(&path, &error))?;
        self.files.add(path.clone());
        self.stored += scratch.size().map_err(|error| at(&path, &error))?;
        self.linked.push((Arc::clone(scratch), name.clone()));
        Ok(name)
    }
}

fn append_bytes(runs: &mut Vec<Run>, bytes: &Bytes) {
    match runs.last_mut() {
        Some(Run::Inline(last)) => last.extend_from_slice(bytes),
        _ => runs.push(Run::Inline(bytes.to_vec())),
    }
}

fn append_span(runs: &mut Vec<Run>, name: String, span: Range<u64>) {
    match runs.last_mut() {
        Some(Run::File { name: last, span: before }) if *last == name && before.end == span.start => before.end = span.end,
        _ => runs.push(Run::File { name, span }),
    }
}

/// Removes a row's content; the files are doomed until the commit and gone after it.
pub(super) fn discard(bench: &mut super::committer::Bench<'_>, hold: i64) -> Result<(), StoreError> {
    let mut files = bench.sql.prepare_cached("SELECT DISTINCT file FROM piece WHERE hold = ?1 AND file IS NOT NULL")?;
    let files = files.query_map([hold], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    for file in &files {
        bench.sql.prepare_cached("INSERT INTO doomed VALUES (?1)")?.execute([file])?;
    }
    bench.sql.prepare_cached("DELETE FROM piece WHERE hold = ?1")?.execute([hold])?;
    bench.doomed.extend(files);
    Ok(())
}

/// Reads a form back, byte for byte as it was stored. Blocks.
pub(super) fn each(store: &Store, hold: i64, form: Form, with: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>) -> Result<(), StoreError> {
    let runs = store.read(|sql| stored_runs(sql, hold, form))?;
    for run in runs {
        match run {
            Run::Inline(bytes) => with(&bytes)?,
            Run::File { name, span } => each_of_file(&store.content_directory().join(name), span, with)?,
        }
    }
    Ok(())
}

fn stored_runs(sql: &Connection, hold: i64, form: Form) -> Result<Vec<Run>, StoreError> {
    let mut statement =
        sql.prepare_cached("SELECT bytes, file, start, length FROM piece WHERE hold = ?1 AND form = ?2 ORDER BY position")?;
    let runs = statement.query_map(params![hold, form.number()], |row| {
        let start: u64 = row.get(2)?;
        Ok(match row.get::<_, Option<String>>(1)? {
            Some(name) => Run::File { name, span: start..start + row.get::<_, u64>(3)? },
            None => Run::Inline(row.get(0)?),
        })
    })?;
    Ok(runs.collect::<Result<_, _>>()?)
}

fn each_of_file(path: &Path, span: Range<u64>, with: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>) -> Result<(), StoreError> {
    let file = disk::open(path).map_err(|error| at(path, &error))?;
    let mut buffer = vec![0; PIECE];
    let mut offset = span.start;
    while offset < span.end {
        let some = usize::try_from(span.end - offset).unwrap_or(PIECE).min(PIECE);
        disk::read_at(&file, &mut buffer[..some], offset).map_err(|error| at(path, &error))?;
        with(&buffer[..some])?;
        offset += some as u64;
    }
    Ok(())
}

/// A stored form as a message again: no limit refuses what was accepted once.
pub(super) fn message(store: &Store, hold: i64, form: Form) -> Result<Message, StoreError> {
    const NO_LIMIT: u64 = 1 << 48;
    let limits = Limits {
        message_size: NO_LIMIT,
        header_size: NO_LIMIT,
        header_fields: NO_LIMIT,
        depth: 50,
        parts: 2000,
        part_fields: 20_000,
        memory: 1 << 20,
        text: 16_000_000,
    };
    let room = Room {
        memory: Budget::new(NO_LIMIT),
        disk: Budget::new(NO_LIMIT),
        directory: store.temporary().into(),
        owner: store.owner().into(),
    };
    let mut receiver = Receiver::new(Arc::new(limits), room);
    let refused = |refusal: Refusal| match refusal {
        Refusal::Disk(error) => at(&store.temporary(), &error),
        other => StoreError::Unable(format!("a stored message cannot be read: {other}")),
    };
    each(store, hold, form, &mut |bytes| {
        receiver.push(bytes).map_err(refused)?;
        if receiver.wants_flush() { receiver.flush().map_err(refused) } else { Ok(()) }
    })?;
    receiver.finish().map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Limits;

    fn memory(bytes: &Bytes) -> Piece {
        Piece::Memory(bytes.clone())
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Limits::default()).unwrap();
        (dir, store)
    }

    fn files(dir: &tempfile::TempDir) -> usize {
        disk::list(&dir.path().join("content")).unwrap().len()
    }

    #[test]
    fn a_small_mail_needs_no_file() {
        let (dir, store) = store();
        let content = Content::prepare(&store, &[(Form::Held, vec![memory(&"a: b\r\n".into()), memory(&"\r\nhi".into())])]).unwrap();
        assert_eq!(content.runs, [(Form::Held, vec![Run::Inline(b"a: b\r\n\r\nhi".to_vec())])]);
        assert_eq!((content.stored, files(&dir)), (10, 0));
    }

    #[test]
    fn bytes_that_both_forms_share_are_stored_once() {
        let (dir, store) = store();
        let all = Bytes::from(vec![b'x'; INLINE * 2]);
        let held = vec![memory(&"new: field\r\n".into()), memory(&all.slice(..100)), memory(&all.slice(200..))];
        let content = Content::prepare(&store, &[(Form::Received, vec![memory(&all)]), (Form::Held, held)]).unwrap();
        assert_eq!(content.stored, all.len() as u64 + 12);
        assert_eq!(content.runs[1].1.len(), 3);
        assert_eq!(files(&dir), 1);
    }

    #[test]
    fn many_pieces_of_a_file_are_copied_into_one() {
        let (dir, store) = store();
        let scratch = Arc::new(Scratch::create(&store.temporary(), "o.1").unwrap());
        scratch.write_at(&[b'x'; 1000], 0).unwrap();
        let piece = |at: u64| [memory(&"new".into()), Piece::File { file: Arc::clone(&scratch), span: at..at + 1 }];
        let held = (0..1000).step_by(2).flat_map(piece).collect();
        let received = vec![Piece::File { file: Arc::clone(&scratch), span: 0..1000 }];
        let content = Content::prepare(&store, &[(Form::Received, received), (Form::Held, held)]).unwrap();
        let [Run::File { name, span }] = &content.runs[1].1[..] else { panic!("{:?}", content.runs) };
        assert_eq!((content.stored, files(&dir), span.clone()), (3000, 2, 0..2000));
        assert_eq!(disk::read(&dir.path().join("content").join(name)).unwrap(), b"newx".repeat(500));
    }

    #[test]
    fn a_content_file_is_linked_once_for_both_forms() {
        let (dir, store) = store();
        let scratch = Arc::new(Scratch::create(&store.temporary(), "o.1").unwrap());
        scratch.write_at(b"0123456789", 0).unwrap();
        let form = |span| vec![memory(&"a: b\r\n".into()), Piece::File { file: Arc::clone(&scratch), span }];
        let content = Content::prepare(&store, &[(Form::Received, form(0..10)), (Form::Held, form(2..8))]).unwrap();
        assert_eq!((content.stored, files(&dir)), (22, 1));
        drop(content);
        assert_eq!(files(&dir), 0, "what never got its row goes");
    }
}
