//! Where the bytes of a message lie: in memory, in a file, or partly replaced; read by span, never handed out as a whole.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::Fault;
use crate::base::budget::{Budget, Share};
use crate::base::disk::Scratch;

/// How much of a file is read or written at once.
pub const PIECE: u64 = 256 * 1024;

/// A run of output bytes.
#[derive(Clone, Debug)]
pub enum Piece {
    Memory(Bytes),
    File { file: Arc<Scratch>, span: Range<u64> },
}

impl Piece {
    /// Its length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Piece::Memory(bytes) => bytes.len() as u64,
            Piece::File { span, .. } => span.end - span.start,
        }
    }

    fn slice(&self, range: Range<u64>) -> Piece {
        match self {
            Piece::Memory(bytes) => Piece::Memory(bytes.slice(to_usize(range.start)..to_usize(range.end))),
            Piece::File { file, span } => Piece::File { file: Arc::clone(file), span: span.start + range.start..span.start + range.end },
        }
    }

    /// Hands out the bytes in runs of at most [`PIECE`]. Blocks for a file.
    ///
    /// # Errors
    /// Disk, or what `each` returned.
    pub fn for_each<E: From<io::Error>>(&self, each: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        match self {
            Piece::Memory(bytes) => bytes.chunks(to_usize(PIECE)).try_for_each(each),
            Piece::File { file, span } => {
                let mut buffer = vec![0; to_usize((span.end - span.start).min(PIECE))];
                let mut at = span.start;
                while at < span.end {
                    let most = to_usize((span.end - at).min(PIECE));
                    file.read_at(&mut buffer[..most], at)?;
                    each(&buffer[..most])?;
                    at += most as u64;
                }
                Ok(())
            }
        }
    }
}

/// Adds a piece to a list, as one with the last where they are neighbours in one file or one block of memory.
pub fn add_piece(pieces: &mut Vec<Piece>, piece: Piece) {
    if piece.size() == 0 {
        return;
    }
    if let (Some(Piece::File { file, span }), Piece::File { file: next, span: after }) = (pieces.last_mut(), &piece)
        && Arc::ptr_eq(file, next)
        && span.end == after.start
    {
        span.end = after.end;
        return;
    }
    pieces.push(piece);
}

/// Bytes that were received, or made by an edit, under one numbering from 0 on.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Each with the offset at which it begins.
    pieces: Vec<(u64, Piece)>,
    size: u64,
}

impl Content {
    /// The content these pieces make, one after the other.
    #[must_use]
    pub fn new(list: impl IntoIterator<Item = Piece>) -> Content {
        let mut content = Content::default();
        for piece in list {
            let size = piece.size();
            if size > 0 {
                content.pieces.push((content.size, piece));
                content.size += size;
            }
        }
        content
    }

    /// The same with another piece behind it.
    #[must_use]
    pub fn with(&self, piece: Piece) -> Content {
        Content::new(self.pieces(0..self.size).chain([piece]))
    }

    /// Its length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether some of it lies in a file.
    #[must_use]
    pub fn in_file(&self) -> bool {
        self.pieces.iter().any(|(_, piece)| matches!(piece, Piece::File { .. }))
    }

    /// The pieces of a span, in order; what lies beyond the end is left out.
    pub fn pieces(&self, span: Range<u64>) -> impl Iterator<Item = Piece> + '_ {
        let first = self.pieces.partition_point(|(start, piece)| start + piece.size() <= span.start);
        self.pieces[first..].iter().take_while(move |(start, _)| *start < span.end).map(move |(start, piece)| {
            let from = span.start.saturating_sub(*start);
            let to = (span.end - start).min(piece.size());
            piece.slice(from.min(to)..to)
        })
    }

    /// The bytes of a span, where they lie in memory together.
    #[must_use]
    pub fn in_one(&self, span: Range<u64>) -> Option<Bytes> {
        let wanted = span.end - span.start;
        match self.pieces(span).next() {
            Some(Piece::Memory(bytes)) if bytes.len() as u64 == wanted => Some(bytes),
            None if wanted == 0 => Some(Bytes::new()),
            _ => None,
        }
    }

    /// The bytes of a span; no copy where they lie in memory together. Blocks for a file.
    ///
    /// # Errors
    /// Disk.
    pub fn read(&self, span: Range<u64>) -> io::Result<Bytes> {
        let span = span.start..span.end.min(self.size);
        if let Some(bytes) = self.in_one(span.clone()) {
            return Ok(bytes);
        }
        let mut all = Vec::new();
        self.append(span, &mut all)?;
        Ok(all.into())
    }
}

/// Where bytes may be cut in two, at best as far behind as can be; the first so many were looked at before.
pub type Cut = fn(&[u8], usize) -> Option<usize>;

/// Behind the last line.
#[must_use]
pub fn last_line(bytes: &[u8], searched: usize) -> Option<usize> {
    memchr::memrchr(b'\n', &bytes[searched..]).map(|at| searched + at + 1)
}

/// Takes a run of bytes that stands at this place.
pub type EachRun<'e, E> = dyn FnMut(u64, &[u8]) -> Result<(), E> + 'e;

impl Content {
    /// Hands out all bytes, front to back, in runs with the place of each, cut where `cut` says: it gets bytes, and how many of them it has seen before. A run has
    /// `step` bytes or somewhat more, and more than that only where there is no place to cut. What is read ahead counts against the budget.
    ///
    /// # Errors
    /// Disk, budget, or what `each` returned.
    pub fn in_cuts<E: From<Fault>>(&self, step: u64, cut: Cut, budget: &Arc<Budget>, each: &mut EachRun<'_, E>) -> Result<(), E> {
        let mut share = budget.share();
        let mut buffer = Vec::new();
        let mut done = 0;
        while done < self.size {
            let from = done + buffer.len() as u64;
            let to = (from + step).min(self.size);
            let searched = buffer.len();
            let more = (buffer.len() as u64 + to - from).saturating_sub(share.bytes());
            if !share.grow(more) {
                return Err(Fault::NoMemory.into());
            }
            self.append(from..to, &mut buffer).map_err(Fault::Disk)?;
            let end = if to == self.size { Some(buffer.len()) } else { cut(&buffer, searched) };
            if let Some(end) = end {
                each(done, &buffer[..end])?;
                buffer.drain(..end);
                done += end as u64;
            }
        }
        Ok(())
    }

    /// Hands out all bytes, front to back, in runs of at most `step` bytes with the place of each. Blocks for a file.
    ///
    /// # Errors
    /// Disk, or what `each` returned.
    pub fn in_runs<E: From<Fault>>(&self, step: u64, each: &mut EachRun<'_, E>) -> Result<(), E> {
        let mut buffer = Vec::new();
        for at in (0..self.size).step_by(to_usize(step)) {
            let span = at..self.size.min(at + step);
            if let Some(bytes) = self.in_one(span.clone()) {
                each(at, &bytes)?;
                continue;
            }
            buffer.clear();
            self.append(span, &mut buffer).map_err(Fault::Disk)?;
            each(at, &buffer)?;
        }
        Ok(())
    }

    /// Appends the bytes of a span. Blocks for a file.
    fn append(&self, span: Range<u64>, to: &mut Vec<u8>) -> io::Result<()> {
        to.reserve(to_usize(span.end - span.start));
        self.pieces(span).try_for_each(|piece| match piece {
            Piece::Memory(bytes) => {
                to.extend_from_slice(&bytes);
                Ok(())
            }
            Piece::File { file, span } => {
                let start = to.len();
                to.resize(start + to_usize(span.end - span.start), 0);
                file.read_at(&mut to[start..], span.start)
            }
        })
    }
}

/// Bytes that count against a budget until the last copy of them is gone.
struct Held {
    bytes: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Ties bytes to the share of a budget that was taken for them.
#[must_use]
pub fn hold(bytes: Vec<u8>, share: Share) -> Bytes {
    Bytes::from_owner(Held { bytes, _share: share })
}

/// Takes budget for bytes; none if it has not that much left.
#[must_use]
pub fn hold_in(bytes: Vec<u8>, budget: &Arc<Budget>) -> Option<Bytes> {
    let mut share = budget.share();
    share.grow(bytes.len() as u64).then(|| hold(bytes, share))
}

/// A length that is known to lie in memory, or is bounded by a limit.
#[must_use]
pub fn to_usize(length: u64) -> usize {
    usize::try_from(length).expect("lengths of what is in memory fit the address space")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(text: &'static str) -> Piece {
        Piece::Memory(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_span_is_read_across_memory_and_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = Scratch::create(directory.path(), "x").unwrap();
        file.write_at(b"0123456789", 0).unwrap();
        let content = Content::new([memory("abc"), memory(""), Piece::File { file: Arc::new(file), span: 2..6 }, memory("xyz")]);
        assert_eq!(content.size(), 10);
        for start in 0..=10_u64 {
            for end in start..=10 {
                let wanted = &b"abc2345xyz"[to_usize(start)..to_usize(end)];
                assert_eq!(content.read(start..end).unwrap(), wanted, "{start}..{end}");
            }
        }
        assert!(content.in_file());
    }

    #[test]
    fn runs_of_lines_are_whole_however_long_a_line_is() {
        let budget = Budget::new(3 * PIECE);
        let text = |sizes: &[usize]| sizes.iter().flat_map(|size| [vec![b'x'; *size], b"\n".to_vec()].concat()).collect::<Vec<u8>>();
        let piece = to_usize(PIECE);
        for bytes in
            [text(&[]), text(&[0, 9]), [text(&[5, piece, 7, 2 * piece - 1]), b"end".to_vec()].concat(), text(&vec![99; piece / 30])]
        {
            let content = Content::new(bytes.chunks(1 << 17).map(|chunk| Piece::Memory(chunk.to_vec().into())));
            let mut all = Vec::new();
            let read = content.in_cuts::<Fault>(PIECE, last_line, &budget, &mut |at, run| {
                assert_eq!(at, all.len() as u64);
                all.extend_from_slice(run);
                assert!(run.ends_with(b"\n") || all.len() == bytes.len());
                assert!(run.len() <= piece * 2 || memchr::memchr_iter(b'\n', run).count() < 3);
                Ok(())
            });
            read.unwrap();
            assert_eq!((all, budget.free()), (bytes, 3 * PIECE));
        }
        let long = Content::new([Piece::Memory(vec![b'x'; 4 * piece].into())]);
        assert!(matches!(long.in_cuts::<Fault>(PIECE, last_line, &budget, &mut |_, _| Ok(())), Err(Fault::NoMemory)));
    }

    #[test]
    fn neighbours_in_a_file_become_one_piece() {
        let directory = tempfile::tempdir().unwrap();
        let file = Arc::new(Scratch::create(directory.path(), "x").unwrap());
        let mut pieces = Vec::new();
        add_piece(&mut pieces, Piece::File { file: Arc::clone(&file), span: 0..3 });
        add_piece(&mut pieces, Piece::File { file: Arc::clone(&file), span: 3..5 });
        add_piece(&mut pieces, memory(""));
        add_piece(&mut pieces, Piece::File { file, span: 6..7 });
        assert_eq!(pieces.len(), 2);
    }

    #[test]
    fn bytes_give_their_budget_back_with_the_last_copy() {
        let budget = Budget::new(10);
        let bytes = hold_in(vec![0; 8], &budget).unwrap();
        let copy = bytes.slice(2..3);
        drop(bytes);
        assert_eq!(budget.free(), 2);
        assert!(hold_in(vec![0; 3], &budget).is_none());
        drop(copy);
        assert_eq!(budget.free(), 10);
    }
}
