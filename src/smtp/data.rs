//! The way in of a message: dots undone, its end found (RFC 5321 4.1.1.4 and 4.5.2).
//!
//! | state       | `.`          | CR       | LF              | other        |
//! |-------------|--------------|----------|-----------------|--------------|
//! | `LineStart` | Dot          | Cr       | bare, Inside    | Inside       |
//! | Inside      | Inside       | Cr       | bare, Inside    | Inside       |
//! | Cr          | bare, Inside | bare, Cr | `LineStart`     | bare, Inside |
//! | Dot         | Inside       | `DotCr`  | bare, Inside    | Inside       |
//! | `DotCr`     | bare, Inside | bare, Cr | **end of data** | bare, Inside |
//!
//! The dot that leads to Dot is dropped: it either was added by the sender or ends the data. Nothing else is dropped. A line that begins after CR CR LF is
//! in doubt: readers differ on whether it begins there, so an end found on it is told apart.
//!
//! A message that comes by BDAT has no dots; see [`LineEnds`].
//!
//! The table is for places where something happens. Between them, lines are passed over a block at a time.

mod chunk;

pub use self::chunk::LineEnds;

/// What becomes of a CR or LF that stands alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineEndings {
    /// The message is refused.
    #[default]
    Reject,
    /// It becomes CR LF.
    Normalize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    LineStart { doubtful: bool },
    Inside,
    Cr { doubtful: bool },
    Dot { doubtful: bool },
    DotCr { doubtful: bool },
}

/// How far a push came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All input was taken; the message goes on.
    More,
    /// The message has ended after this many bytes of the input; the rest is commands.
    Ended { taken: usize },
    /// It ended on a line in doubt: some sender may mean what follows as data, so nothing that follows may be read as commands.
    Doubtful,
}

/// Undoes dot-stuffing and finds the end of data, in whatever pieces the bytes come.
#[derive(Debug)]
pub struct Unstuffer {
    state: State,
    size: u64,
    bare: bool,
    dots: bool,
}

impl Default for Unstuffer {
    fn default() -> Unstuffer {
        Unstuffer::new()
    }
}

impl Unstuffer {
    /// At the start of a message, which is the start of a line.
    #[must_use]
    pub fn new() -> Unstuffer {
        Unstuffer { state: State::LineStart { doubtful: false }, size: 0, bare: false, dots: false }
    }

    /// Bytes of message handed out so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether a CR or LF stood alone. It was handed out as CR LF.
    #[must_use]
    pub fn found_bare(&self) -> bool {
        self.bare
    }

    /// Whether a line that was handed out may begin with a dot.
    #[must_use]
    pub fn has_dots(&self) -> bool {
        // Where the line ends are ours, lines begin that the table knows nothing of.
        self.dots || self.bare
    }

    /// Takes input; `out` gets the message's bytes in runs as long as they come, slices of the input where nothing had to change.
    pub fn push(&mut self, input: &[u8], mut out: impl FnMut(&[u8])) -> Progress {
        let mut run = Run { input, start: 0, size: 0 };
        let mut at = 0;
        let mut progress = Progress::More;
        while at < input.len() {
            if self.state == State::Inside {
                at = self.pass(input, at);
                if at == input.len() {
                    break;
                }
            }
            if let Some(end) = self.step(at, &mut run, &mut out) {
                progress = end;
                break;
            }
            at += 1;
        }
        if progress == Progress::More {
            run.flush(input.len(), &mut out);
        }
        self.size += run.size;
        progress
    }

    /// From inside a line past all that is plain: whole lines too, where no dot begins them. The next byte that needs the table.
    fn pass(&mut self, input: &[u8], at: usize) -> usize {
        let rest = &input[at..];
        if rest[0] == b'\n' {
            return at;
        }
        let pairs = rest.len() - 1;
        let mut found = 0;
        while let (Some(block), Some(next)) = (rest[found..].first_chunk(), rest[found + 1..].first_chunk())
            && is_plain(block, next)
        {
            found += BLOCK;
        }
        // Something happens in the next block, and that can only be at a line end or before one.
        while found < pairs {
            let Some(next) = memchr::memchr2(b'\r', b'\n', &rest[found..pairs]) else {
                found = pairs - usize::from(rest[pairs] == b'\n');
                break;
            };
            found += next;
            if rest[found] == b'\n' && next > 0 {
                found -= 1;
                break;
            }
            if is_special(rest[found], rest[found + 1]) {
                break;
            }
            found += 1;
        }
        let at = at + found;
        match rest[found] {
            b'\r' => at,
            b'\n' => {
                self.state = State::LineStart { doubtful: false };
                at + 1
            }
            _ => at + 1,
        }
    }

    fn step(&mut self, at: usize, run: &mut Run<'_>, out: &mut impl FnMut(&[u8])) -> Option<Progress> {
        let byte = run.input[at];
        self.state = match (self.state, byte) {
            (State::LineStart { doubtful }, b'.') => {
                run.skip(at, out);
                State::Dot { doubtful }
            }
            (State::Dot { doubtful }, b'\r') => {
                run.skip(at, out);
                State::DotCr { doubtful }
            }
            (State::LineStart { .. } | State::Inside, b'\r') => {
                run.skip(at, out);
                State::Cr { doubtful: false }
            }
            (State::LineStart { .. } | State::Inside | State::Dot { .. }, b'\n') => {
                run.skip(at, out);
                self.bare_line_end(run, out);
                State::Inside
            }
            (State::Dot { .. }, b'.') => {
                self.dots = true;
                State::Inside
            }
            (State::LineStart { .. } | State::Inside | State::Dot { .. }, _) => State::Inside,
            (State::Cr { doubtful }, b'\n') => {
                run.line_end(out);
                run.start = at + 1;
                State::LineStart { doubtful }
            }
            (State::DotCr { doubtful }, b'\n') => {
                return Some(if doubtful { Progress::Doubtful } else { Progress::Ended { taken: at + 1 } });
            }
            (State::Cr { .. } | State::DotCr { .. }, b'\r') => {
                self.bare_line_end(run, out);
                run.start = at + 1;
                State::Cr { doubtful: true }
            }
            (State::Cr { .. } | State::DotCr { .. }, _) => {
                self.bare_line_end(run, out);
                run.start = at;
                State::Inside
            }
        };
        None
    }

    fn bare_line_end(&mut self, run: &mut Run<'_>, out: &mut impl FnMut(&[u8])) {
        self.bare = true;
        run.line_end(out);
    }
}

/// The bytes of the input that were passed over and not handed out yet.
struct Run<'i> {
    input: &'i [u8],
    start: usize,
    size: u64,
}

impl Run<'_> {
    fn flush(&mut self, end: usize, out: &mut impl FnMut(&[u8])) {
        if self.start < end {
            self.size += (end - self.start) as u64;
            out(&self.input[self.start..end]);
        }
        self.start = end;
    }

    /// Hands out what stands before `at` and leaves that byte out.
    fn skip(&mut self, at: usize, out: &mut impl FnMut(&[u8])) {
        self.flush(at, out);
        self.start = at + 1;
    }

    fn line_end(&mut self, out: &mut impl FnMut(&[u8])) {
        self.size += 2;
        out(b"\r\n");
    }
}

/// Bytes that are looked at together, without a branch between them.
const BLOCK: usize = 128;

/// Whether something happens at this byte or the next one: a CR or LF that stands alone, or a dot behind a line end.
fn is_special(one: u8, next: u8) -> bool {
    ((one == b'\r') != (next == b'\n')) || (one == b'\n' && next == b'.')
}

/// Whether nothing happens in a block, given the same one byte later. A compiler makes a few wide instructions of this.
fn is_plain(block: &[u8; BLOCK], next: &[u8; BLOCK]) -> bool {
    let mut special = false;
    for at in 0..BLOCK {
        special |= is_special(block[at], next[at]);
    }
    !special
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is handed out, whether bare line ends were found, and how it ended.
    fn read(pieces: &[&[u8]]) -> (Vec<u8>, bool, Progress) {
        let mut unstuffer = Unstuffer::new();
        let mut out = Vec::new();
        let mut progress = Progress::More;
        for piece in pieces {
            progress = unstuffer.push(piece, |bytes| out.extend_from_slice(bytes));
            if progress != Progress::More {
                break;
            }
        }
        assert_eq!(unstuffer.size(), out.len() as u64);
        assert!(unstuffer.has_dots() || !out.starts_with(b".") && memchr::memmem::find(&out, b"\n.").is_none());
        (out, unstuffer.found_bare(), progress)
    }

    fn in_every_split(input: &[u8], check: impl Fn(Vec<u8>, bool, Progress)) {
        for one in 0..=input.len() {
            for two in one..=input.len() {
                check_split(&[&input[..one], &input[one..two], &input[two..]], &check);
            }
        }
        check_split(&input.chunks(1).collect::<Vec<_>>(), &check);
    }

    fn check_split(pieces: &[&[u8]], check: &impl Fn(Vec<u8>, bool, Progress)) {
        let (out, bare, progress) = read(pieces);
        check(out, bare, progress);
    }

    #[test]
    fn dots_are_undone_once_and_the_end_is_found_in_any_split() {
        in_every_split(b"a\r\n..\r\n.b\r\n\r\n...c\r\n.\r\n", |out, bare, progress| {
            assert_eq!(out, b"a\r\n.\r\nb\r\n\r\n..c\r\n");
            assert!(!bare);
            assert!(matches!(progress, Progress::Ended { .. }));
        });
    }

    #[test]
    fn an_empty_message_is_a_lone_dot() {
        assert_eq!(read(&[b".\r\nQUIT\r\n"]), (vec![], false, Progress::Ended { taken: 3 }));
    }

    #[test]
    fn smuggled_ends_never_end_a_message() {
        let sequences: [&[u8]; 13] = [
            b"\n.\n",
            b"\n.\r\n",
            b"\r\n.\n",
            b"\r.\r",
            b"\r.\r\n",
            b"\r\n.\r",
            b"\r\n.\r\r\n",
            b"\r\r\n.",
            b"\r\n\0.\r\n",
            b"\r\n.\0\r\n",
            b"\n\r\n.\n",
            b"\r\n\r.\r\n",
            b"\r\n.\n\r\n",
        ];
        for sequence in sequences {
            let input = [b"body".as_slice(), sequence, b"MAIL FROM:<x@example.org>\r\n"].concat();
            in_every_split(&input, |_, _, progress| assert_eq!(progress, Progress::More, "{sequence:?}"));
        }
    }

    #[test]
    fn every_string_of_the_three_letters_ends_exactly_at_the_first_five_bytes() {
        // All strings of six bytes over the alphabet that matters, behind a body.
        for number in 0..4_u32.pow(6) {
            let tail: Vec<u8> = (0..6).map(|place| b"\r\n.x"[(number / 4_u32.pow(place) % 4) as usize]).collect();
            let input = [b"b".as_slice(), &tail].concat();
            let first = memchr::memmem::find(&input, b"\r\n.\r\n");
            let (out, bare, progress) = read(&[&input]);
            let (out_singly, bare_singly, progress_singly) = read(&input.chunks(1).collect::<Vec<_>>());
            assert_eq!((&out, bare), (&out_singly, bare_singly), "{input:?}");
            assert_eq!(std::mem::discriminant(&progress), std::mem::discriminant(&progress_singly), "{input:?}");
            // Normalised, no line end is left alone.
            assert!(!String::from_utf8(out).unwrap().replace("\r\n", "").contains(['\r', '\n']) || progress == Progress::More, "{input:?}");
            match (first, progress) {
                (None, Progress::More) => {}
                (Some(at), Progress::Ended { taken }) => assert_eq!(taken, at + 5, "{input:?}"),
                (Some(at), Progress::Doubtful) => assert_eq!(input[at - 1], b'\r', "{input:?}"),
                other => panic!("{input:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_end_behind_cr_cr_lf_is_in_doubt() {
        in_every_split(b"a\r\r\n.\r\n", |_, bare, progress| {
            assert!(bare);
            assert_eq!(progress, Progress::Doubtful);
        });
    }

    #[test]
    fn lone_line_ends_come_out_as_cr_lf_and_are_remembered() {
        in_every_split(b"a\nb\rc\r\rd\n.e\r\n.\nf\r\n.\r\n", |out, bare, _| {
            assert_eq!(out, b"a\r\nb\r\nc\r\n\r\nd\r\n.e\r\n\r\nf\r\n");
            assert!(bare);
        });
    }

    #[test]
    fn nuls_and_high_bytes_are_data() {
        assert_eq!(read(&[b"\0\xff\r\n\0.\r\n.\r\n"]).0, b"\0\xff\r\n\0.\r\n");
    }

    #[test]
    fn a_run_without_dots_is_handed_out_whole() {
        let runs = |input: &[u8]| {
            let mut runs = 0;
            Unstuffer::new().push(input, |_| runs += 1);
            runs
        };
        assert_eq!(runs(b"one\r\ntwo\r\nthree and more"), 1);
        assert_eq!(runs(b"one\r\ntwo\r\n.\r\n"), 1);
        assert_eq!(runs(b"one\r\n..two\r\n.\r\n"), 2);
    }

    #[test]
    fn neither_the_end_nor_a_dot_that_is_undone_makes_a_line_that_begins_with_one() {
        let has_dots = |input: &[u8]| {
            let mut unstuffer = Unstuffer::new();
            unstuffer.push(input, |_| {});
            unstuffer.has_dots()
        };
        assert!(!has_dots(b"one.\r\n.two\r\n.\r\n"));
        assert!(has_dots(b"one\r\n..two\r\n.\r\n"));
    }

    proptest! {
        #[test]
        fn what_is_passed_over_by_the_block_is_what_the_table_passes_over(
            pieces in proptest::collection::vec(prop_oneof![
                4 => (0_usize..90).prop_map(|length| vec![b'x'; length]), 8 => Just(b"\r\n".to_vec()), 1 => Just(b"\r\n.".to_vec()), 1 => Just(b"\r".to_vec()),
                1 => Just(b"\n".to_vec()), 1 => Just(b".".to_vec())], 0..60),
            cut in 0_usize..900
        ) {
            let input = pieces.concat();
            let cut = cut.min(input.len());
            let singly = read(&input.chunks(1).collect::<Vec<_>>());
            for (out, bare, progress) in [read(&[&input]), read(&[&input[..cut], &input[cut..]])] {
                prop_assert_eq!((&out, bare), (&singly.0, singly.1));
                prop_assert_eq!(std::mem::discriminant(&progress), std::mem::discriminant(&singly.2));
            }
        }
    }
}
