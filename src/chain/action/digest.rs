//! SHA-256 with line ends as LF, in upper-case hexadecimal: what `header.hash` and `body.hash` write.

use std::fmt::Write as _;

use ring::digest::{Context, SHA256};

/// A running hash. CR LF counts as LF, wherever the pieces are cut; a lone CR counts as itself.
pub struct Digest {
    context: Context,
    /// The last piece ended with a CR that is not hashed yet.
    cr: bool,
}

impl Default for Digest {
    fn default() -> Digest {
        Digest { context: Context::new(&SHA256), cr: false }
    }
}

impl Digest {
    pub fn update(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if std::mem::take(&mut self.cr) && first != b'\n' {
                self.context.update(b"\r");
            }
            let end = memchr::memchr(b'\r', rest).unwrap_or(rest.len());
            self.context.update(&rest[..end]);
            self.cr = end < rest.len();
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }

    #[must_use]
    pub fn finish(mut self) -> String {
        if self.cr {
            self.context.update(b"\r");
        }
        self.context.finish().as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
            write!(hex, "{byte:02X}").expect("a String takes what is written");
            hex
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(pieces: &[&str]) -> String {
        let mut digest = Digest::default();
        for piece in pieces {
            digest.update(piece.as_bytes());
        }
        digest.finish()
    }

    #[test]
    fn line_ends_count_as_lf_wherever_the_pieces_are_cut() {
        let lf = hash(&["a\nb\r\rc\n\r"]);
        assert_eq!(hash(&["a\r\nb\r\rc\r\n\r"]), lf);
        assert_eq!(hash(&["a\r", "", "\nb\r", "\rc\r", "\n", "\r"]), lf);
        assert_ne!(hash(&["a\nb\nc\n"]), lf);
    }

    #[test]
    fn it_is_the_sha256_everybody_knows() {
        assert_eq!(hash(&["abc"]), "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD");
    }
}
