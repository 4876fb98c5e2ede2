//! What no text has: NULs, and CR or LF that are not one line end together. Looked for by itself, since only rules about malformed messages ask for it.

use super::flags::{Flag, Flags};

/// Bytes that were looked at, however they were cut.
#[derive(Debug, Default)]
pub struct Ends {
    after_cr: bool,
    flags: Flags,
}

impl Ends {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let Some(first) = bytes.first() else { return };
        let returned = std::mem::replace(&mut self.after_cr, bytes.ends_with(b"\r"));
        self.flags.raise_if(returned != (*first == b'\n') || is_bare_inside(bytes), Flag::BareLineEnding);
        self.flags.raise_if(memchr::memchr(0, bytes).is_some(), Flag::Nul);
    }

    /// No more will come.
    #[must_use]
    pub fn finish(mut self) -> Flags {
        self.flags.raise_if(self.after_cr, Flag::BareLineEnding);
        self.flags
    }
}

/// Bytes that are looked at together.
const BLOCK: usize = 256;

/// Whether a CR has no LF behind it, or an LF no CR before it. A CR at the end has something behind it that is not here, as an LF at the start has before it.
#[must_use]
pub fn is_bare_inside(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let (Some(block), Some(next)) = (rest.first_chunk(), rest.get(1..).and_then(<[u8]>::first_chunk)) {
        if is_bare_in_block(block, next) {
            return true;
        }
        rest = &rest[BLOCK..];
    }
    rest.windows(2).any(|pair| is_bare(pair[0], pair[1]))
}

/// The same for a block, given it one byte later. All are looked at, without a branch: by itself, and on arrays, a compiler makes a few wide instructions of it.
#[inline(never)]
fn is_bare_in_block(block: &[u8; BLOCK], next: &[u8; BLOCK]) -> bool {
    block.iter().zip(next).fold(false, |bare, (one, next)| bare | is_bare(*one, *next))
}

#[inline]
fn is_bare(one: u8, next: u8) -> bool {
    (one == b'\r') != (next == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_are_found_wherever_it_is_cut(
            pieces in proptest::collection::vec(prop_oneof![8 => Just("\r\n"), 8 => Just("a"), 4 => Just("a line of some thirty letters, \r\n"), 1 => Just("\r"), 1 => Just("\n"), 1 => Just("\0")], 0..60),
            cuts in proptest::collection::vec(1_usize..900, 1..9),
        ) {
            let text = pieces.concat();
            let (mut ends, mut rest) = (Ends::default(), text.as_bytes());
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                ends.push(now);
                rest = later;
                if rest.is_empty() { break }
            }
            let flags = ends.finish();
            prop_assert_eq!(flags.has(Flag::BareLineEnding), text.replace("\r\n", "").contains(['\r', '\n']));
            prop_assert_eq!(flags.has(Flag::Nul), text.contains('\0'));
        }
    }
}
