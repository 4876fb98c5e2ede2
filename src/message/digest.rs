//! SHA-256 over what would be sent, with line ends as LF (RULES, "Details": as the forebear hashed).

use ring::digest::{Context, SHA256};

/// A digest that is fed piece by piece. A CR before an LF does not count, wherever the pieces are cut.
pub struct LfDigest {
    context: Context,
    cr: bool,
}

impl std::fmt::Debug for LfDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LfDigest").finish_non_exhaustive()
    }
}

impl Default for LfDigest {
    fn default() -> LfDigest {
        LfDigest { context: Context::new(&SHA256), cr: false }
    }
}

impl LfDigest {
    pub fn update(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut rest = bytes;
        if std::mem::take(&mut self.cr) && rest[0] != b'\n' {
            self.context.update(b"\r");
        }
        while let Some(at) = memchr::memchr(b'\r', rest) {
            self.context.update(&rest[..at]);
            match rest.get(at + 1) {
                Some(b'\n') => {}
                Some(_) => self.context.update(b"\r"),
                None => self.cr = true,
            }
            rest = &rest[at + 1..];
        }
        self.context.update(rest);
    }

    /// The digest in upper-case hex.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.cr {
            self.context.update(b"\r");
        }
        upper_hex(self.context.finish().as_ref())
    }
}

/// SHA-256 of bytes as they are, in upper-case hex.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    upper_hex(ring::digest::digest(&SHA256, bytes).as_ref())
}

fn upper_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        write!(out, "{byte:02X}").expect("a string takes all");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_count_as_lf_wherever_the_pieces_are_cut() {
        let whole = sha256(b"a\nb\rc\n\r");
        let text = b"a\r\nb\rc\r\n\r";
        for cut in 0..=text.len() {
            let mut digest = LfDigest::default();
            digest.update(&text[..cut]);
            digest.update(&text[cut..]);
            assert_eq!(digest.finish(), whole, "{cut}");
        }
    }
}
