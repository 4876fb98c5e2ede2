//! Line ends of a message that comes counted (RFC 3030 2): no dots, but the same policy for a CR or LF that stands alone as behind DATA.

use super::{BLOCK, is_plain};

/// Makes every line end CR LF, in whatever pieces the bytes come, and remembers whether one was not.
#[derive(Debug, Default)]
pub struct LineEnds {
    /// The last byte was a CR, not handed out yet.
    held_cr: bool,
    bare: bool,
}

impl LineEnds {
    /// Whether a CR or LF stood alone. It was handed out as CR LF.
    #[must_use]
    pub fn found_bare(&self) -> bool {
        self.bare
    }

    /// Takes input; `out` gets the bytes in runs, slices of the input where nothing had to change.
    pub fn push(&mut self, input: &[u8], mut out: impl FnMut(&[u8])) {
        let Some(first) = input.first() else { return };
        let mut start = 0;
        if std::mem::take(&mut self.held_cr) {
            out(b"\r\n");
            start = usize::from(*first == b'\n');
            self.bare |= start == 0;
        }
        let mut at = start;
        while let Some(found) = next_line_end(input, at) {
            match (input[found], input.get(found + 1)) {
                (b'\r', Some(b'\n')) => {
                    at = found + 2;
                    continue;
                }
                (b'\r', None) => {
                    self.held_cr = true;
                    hand_out(&input[start..found], &mut out);
                    return;
                }
                _ => {}
            }
            self.bare = true;
            hand_out(&input[start..found], &mut out);
            out(b"\r\n");
            (start, at) = (found + 1, found + 1);
        }
        hand_out(&input[start..], &mut out);
    }

    /// The message has ended: a CR that waited for its LF stands alone.
    pub fn end(&mut self, mut out: impl FnMut(&[u8])) {
        if std::mem::take(&mut self.held_cr) {
            self.bare = true;
            out(b"\r\n");
        }
    }
}

fn hand_out(run: &[u8], out: &mut impl FnMut(&[u8])) {
    if !run.is_empty() {
        out(run);
    }
}

/// The next CR or LF that has to be looked at; whole lines may be passed over.
fn next_line_end(input: &[u8], at: usize) -> Option<usize> {
    let mut at = at;
    if input.get(at) != Some(&b'\n') {
        while let (Some(block), Some(next)) = (input[at..].first_chunk::<BLOCK>(), input.get(at + 1..).and_then(|rest| rest.first_chunk()))
            && is_plain(block, next)
        {
            at += BLOCK;
        }
        // The line end whose CR was the last byte passed over.
        at += usize::from(at > 0 && input[at - 1] == b'\r' && input.get(at) == Some(&b'\n'));
    }
    memchr::memchr2(b'\r', b'\n', &input[at..]).map(|found| at + found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let (mut lines, mut out) = (LineEnds::default(), Vec::new());
        for piece in pieces {
            lines.push(piece, |run| out.extend_from_slice(run));
        }
        lines.end(|run| out.extend_from_slice(run));
        (out, lines.found_bare())
    }

    /// The same, one byte at a time and without cleverness.
    fn plainly(input: &[u8]) -> (Vec<u8>, bool) {
        let (mut out, mut bare) = (Vec::new(), false);
        for (at, byte) in input.iter().enumerate() {
            let (before, after) = (at.checked_sub(1).map(|at| input[at]), input.get(at + 1));
            match byte {
                b'\r' if after == Some(&b'\n') => {}
                b'\r' => {
                    bare = true;
                    out.extend_from_slice(b"\r\n");
                }
                b'\n' => {
                    bare |= before != Some(b'\r');
                    out.extend_from_slice(b"\r\n");
                }
                other => out.push(*other),
            }
        }
        (out, bare)
    }

    #[test]
    fn dots_are_data_and_a_missing_last_line_end_stays_missing() {
        assert_eq!(read(&[b".\r\n..\r\n.", b"\r\n.a"]), (b".\r\n..\r\n.\r\n.a".to_vec(), false));
    }

    #[test]
    fn a_line_end_split_over_two_pieces_is_one() {
        assert_eq!(read(&[b"a\r", b"\nb"]), (b"a\r\nb".to_vec(), false));
        assert_eq!(read(&[b"a\r", b"", b"\nb"]), (b"a\r\nb".to_vec(), false));
        assert_eq!(read(&[b"a\r", b"b"]), (b"a\r\nb".to_vec(), true));
        assert_eq!(read(&[b"a\r"]), (b"a\r\n".to_vec(), true));
        assert_eq!(read(&[b"\n"]), (b"\r\n".to_vec(), true));
    }

    #[test]
    fn a_run_of_whole_lines_is_handed_out_whole() {
        let mut runs = 0;
        LineEnds::default().push(&b"one and more of it\r\n.two\r\n".repeat(100), |_| runs += 1);
        assert_eq!(runs, 1);
    }

    proptest! {
        #[test]
        fn however_it_is_cut_it_is_read_as_if_byte_by_byte(
            pieces in proptest::collection::vec(prop_oneof![
                4 => (0_usize..200).prop_map(|length| vec![b'x'; length]), 8 => Just(b"\r\n".to_vec()), 1 => Just(b"\r\n.".to_vec()), 1 => Just(b"\r".to_vec()),
                1 => Just(b"\n".to_vec())], 0..60),
            cut in 0_usize..900
        ) {
            let input = pieces.concat();
            let cut = cut.min(input.len());
            let wanted = plainly(&input);
            prop_assert_eq!(&read(&[&input]), &wanted);
            prop_assert_eq!(&read(&[&input[..cut], &input[cut..]]), &wanted);
            prop_assert_eq!(&read(&input.chunks(1).collect::<Vec<_>>()), &wanted);
        }
    }
}
