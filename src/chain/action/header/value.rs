//! Raw field values as bytes: unfolding, the blank that leads, and lines kept within what RFC 5322 allows.

/// RFC 5322 2.1.1: a line has at most 998 characters.
const LINE: usize = 998;

/// White space as the whitespace actions see it.
#[must_use]
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c)
}

/// Without white space at both ends.
#[must_use]
pub fn trim(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_space(*byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// What stands between colon and value, and the value with its folds undone and without white space at its end.
#[must_use]
pub fn unfolded(raw: &[u8]) -> (&[u8], Vec<u8>) {
    let lead = raw.iter().position(|byte| !is_space(*byte)).unwrap_or(raw.len());
    let value = trim(&raw[lead..]).iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    (&raw[..lead], value)
}

/// A raw value that joined lines into one, folded again at blanks only where the line would be longer than RFC 5322 2.1.1 allows. `before` is the length of name and colon.
#[must_use]
pub fn bounded(before: usize, value: Vec<u8>) -> Vec<u8> {
    if before + value.len() <= LINE {
        return value;
    }
    let mut folded = Vec::with_capacity(value.len() + value.len() / LINE * 2 + 2);
    let mut column = before;
    for (index, word) in value.split(|byte| *byte == b' ').enumerate() {
        if index > 0 {
            // A line of blanks only would end up between two folds, so a fold needs a word before it on its line.
            if column + 1 + word.len() > LINE && !word.is_empty() && folded.last().is_some_and(|last| !is_space(*last)) {
                folded.extend_from_slice(b"\r\n");
                column = 0;
            }
            folded.push(b' ');
            column += 1;
        }
        folded.extend_from_slice(word);
        column += word.len();
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lead_stays_apart_and_folds_go() {
        assert_eq!(unfolded(b" a\r\n b "), (b" ".as_slice(), b"a b".to_vec()));
        assert_eq!(unfolded(b"\r\n a"), (b"\r\n ".as_slice(), b"a".to_vec()));
        assert_eq!(unfolded(b"  "), (b"  ".as_slice(), vec![]));
    }

    #[test]
    fn only_lines_that_are_too_long_are_folded() {
        let short = b" a b".to_vec();
        assert_eq!(bounded(8, short.clone()), short);
        let long = [b" ".as_slice(), &b"word ".repeat(500)].concat();
        let folded = bounded(8, long.clone());
        assert_eq!(folded.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect::<Vec<_>>(), long);
        assert!(folded.split(|byte| *byte == b'\n').all(|line| line.len() <= LINE + 1 && !trim(line).is_empty()));
    }
}
