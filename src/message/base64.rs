//! Base64 (RFC 2045 6.8): reading it as readers do, and writing it again from the first group of four that changed.

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// The longest line RFC 2045 allows.
const LINE: usize = 76;

const NONE: u8 = 0xff;
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut index = 0_u8;
    while index < 64 {
        values[LETTERS[index as usize] as usize] = index;
        index += 1;
    }
    values
};

/// A decoder that is fed piece by piece.
#[derive(Debug, Default)]
pub struct Decoder {
    bits: u32,
    /// Letters in `bits`, 0 to 3.
    letters: u8,
    padded: bool,
    bad: bool,
}

impl Decoder {
    /// Appends what `encoded` stands for to `out`. Letters outside the alphabet are skipped, as RFC 2045 says, and remembered, unless they are blanks or line ends.
    pub fn push(&mut self, encoded: &[u8], out: &mut Vec<u8>) {
        for &byte in encoded {
            let value = VALUES[usize::from(byte)];
            if value != NONE {
                // Data behind padding: some readers go on, some stop.
                self.bad |= self.padded && self.letters == 0;
                self.bits = self.bits << 6 | u32::from(value);
                self.letters += 1;
                if self.letters == 4 {
                    out.extend_from_slice(&self.bits.to_be_bytes()[1..]);
                    self.letters = 0;
                    self.bits = 0;
                }
            } else if byte == b'=' {
                self.flush(out);
                self.padded = true;
            } else if !matches!(byte, b'\r' | b'\n' | b' ' | b'\t') {
                self.bad = true;
            }
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        match self.letters {
            2 => out.push((self.bits >> 4).to_le_bytes()[0]),
            3 => out.extend_from_slice(&(self.bits >> 2).to_be_bytes()[2..]),
            1 => self.bad = true,
            _ => {}
        }
        self.letters = 0;
        self.bits = 0;
    }

    /// Ends; false if the input was not whole and clean.
    pub fn finish(mut self, out: &mut Vec<u8>) -> bool {
        let open = self.letters != 0;
        self.flush(out);
        !self.bad && !open
    }
}

/// Decodes all; false with it if the input was not whole and clean.
#[must_use]
pub fn decode(encoded: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(encoded.len() / 4 * 3);
    let mut decoder = Decoder::default();
    decoder.push(encoded, &mut out);
    let clean = decoder.finish(&mut out);
    (out, clean)
}

/// Whether readers differ about the letters of an encoded word: some leave the padding out, which all forgive.
#[must_use]
pub fn is_torn(encoded: &[u8]) -> bool {
    let letters = encoded.trim_ascii().strip_suffix(b"=").unwrap_or(encoded.trim_ascii());
    let letters = letters.strip_suffix(b"=").unwrap_or(letters);
    letters.iter().any(|byte| VALUES[usize::from(*byte)] == NONE) || letters.len() % 4 == 1
}

/// One group of four for one to three bytes.
fn group(bytes: &[u8]) -> [u8; 4] {
    let get = |index: usize| u32::from(bytes.get(index).copied().unwrap_or(0));
    let bits = get(0) << 16 | get(1) << 8 | get(2);
    let letter = |shift: u32, index: usize| if index <= bytes.len() { LETTERS[(bits >> shift & 63) as usize] } else { b'=' };
    [letter(18, 0), letter(12, 1), letter(6, 2), letter(0, 3)]
}

/// Base64 in one line, with padding.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    bytes.chunks(3).flat_map(group).map(char::from).collect()
}

/// Encodes `decoded` in place of what `encoded` stood for; `same` bytes at its start are known not to have changed. What stands before the first changed group
/// stays, line breaks included; then follow lines of the length the first line had, and what stood behind the last group.
#[must_use]
pub fn rewrite(encoded: &[u8], decoded: &[u8], same: usize) -> Vec<u8> {
    let (kept, column) = keep(encoded, same / 3);
    let length = line_length(encoded);
    let end = encoded.iter().rposition(|byte| VALUES[usize::from(*byte)] != NONE || *byte == b'=').map_or(0, |last| last + 1);
    let mut out = encoded[..kept].to_vec();
    Encoder::new(column, length).write(decoded.get(same / 3 * 3..).unwrap_or_default(), &mut out);
    if out.ends_with(b"\r\n") && encoded[end..].starts_with(b"\r\n") {
        out.truncate(out.len() - 2);
    }
    out.extend_from_slice(&encoded[end..]);
    out
}

/// The length of the lines of a content, of which this is the beginning; none if that does not tell it.
#[must_use]
pub fn line_length_of(beginning: &[u8]) -> Option<usize> {
    let lines = beginning.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    // The last of three may be cut.
    (lines.take(3).count() == 3).then(|| line_length(beginning))
}

/// How many of these bytes hold so many letters, and where the line stands behind them; the letters and the columns of what stood before are counted in.
#[derive(Debug, Default)]
pub struct Counter {
    letters: u64,
    column: usize,
    /// Bytes so far, and those up to the last letter.
    bytes: u64,
    pub end: u64,
    end_column: usize,
}

impl Counter {
    /// Counts on. If more than `letters` have come: the place of the first of them, and the column there.
    pub fn push(&mut self, encoded: &[u8], letters: u64) -> Option<(u64, usize)> {
        for &byte in encoded {
            let letter = VALUES[usize::from(byte)] != NONE || byte == b'=';
            if letter {
                if self.letters == letters {
                    return Some((self.bytes, self.column));
                }
                self.letters += 1;
            }
            self.bytes += 1;
            self.column = if byte == b'\n' { 0 } else { self.column + usize::from(byte != b'\r') };
            if letter {
                (self.end, self.end_column) = (self.bytes, self.column);
            }
        }
        None
    }

    /// The place behind the last letter, and the column there.
    pub fn end(&self) -> (u64, usize) {
        (self.end, self.end_column)
    }
}

/// Writes groups of four in lines, piece by piece.
#[derive(Debug)]
pub struct Encoder {
    column: usize,
    length: usize,
    waiting: Vec<u8>,
}

impl Encoder {
    /// Goes on at this column of a line.
    #[must_use]
    pub fn new(column: usize, length: usize) -> Encoder {
        Encoder { column, length, waiting: Vec::new() }
    }

    pub fn push(&mut self, decoded: &[u8], out: &mut Vec<u8>) {
        self.waiting.extend_from_slice(decoded);
        let whole = self.waiting.len() / 3 * 3;
        let waiting = self.waiting.split_off(whole);
        let groups = std::mem::replace(&mut self.waiting, waiting);
        self.write(&groups, out);
    }

    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let rest = std::mem::take(&mut self.waiting);
        self.write(&rest, out);
    }

    fn write(&mut self, decoded: &[u8], out: &mut Vec<u8>) {
        for bytes in decoded.chunks(3) {
            if self.column + 4 > self.length && self.column > 0 {
                out.extend_from_slice(b"\r\n");
                self.column = 0;
            }
            out.extend_from_slice(&group(bytes));
            self.column += 4;
        }
    }
}

/// How many bytes of `encoded` hold the first `groups` groups with the line break behind them, and the column after them.
fn keep(encoded: &[u8], groups: usize) -> (usize, usize) {
    let mut letters = 0;
    let mut column = 0;
    for (index, &byte) in encoded.iter().enumerate() {
        if VALUES[usize::from(byte)] != NONE || byte == b'=' {
            if letters == groups * 4 {
                return (index, column);
            }
            letters += 1;
        }
        column = if byte == b'\n' { 0 } else { column + usize::from(byte != b'\r') };
    }
    (encoded.len() - trailing_blanks(encoded, groups * 4), if groups == 0 { 0 } else { column_at_end(encoded) })
}

/// What stands behind the last letter, when all groups are kept.
fn trailing_blanks(encoded: &[u8], letters: usize) -> usize {
    if letters == 0 { 0 } else { encoded.iter().rev().take_while(|byte| VALUES[usize::from(**byte)] == NONE && **byte != b'=').count() }
}

fn column_at_end(encoded: &[u8]) -> usize {
    let data = &encoded[..encoded.len() - trailing_blanks(encoded, 1)];
    data.len() - memchr::memrchr(b'\n', data).map_or(0, |at| at + 1)
}

/// The length of the part's lines: that of its first where a second follows, else as RFC 2045 says; a single longer line stays one.
fn line_length(encoded: &[u8]) -> usize {
    let lines = || encoded.split(|byte| *byte == b'\n').map(|line| line.trim_ascii().len()).filter(|length| *length > 0);
    match (lines().next(), lines().nth(1)) {
        (Some(first), Some(_)) => first.max(4),
        (Some(only), None) if only > LINE => usize::MAX,
        _ => LINE,
    }
}

/// A whole content in lines of 76, each with its CR LF.
#[must_use]
pub fn encode_lines(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() / 3 * 4 + bytes.len() / 28 + 8);
    for line in bytes.chunks(LINE / 4 * 3) {
        out.extend(line.chunks(3).flat_map(group));
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blanks_are_no_fault_and_other_letters_are_skipped_but_told() {
        assert_eq!(decode(b"aGVs\r\nbG8=\r\n"), (b"hello".to_vec(), true));
        assert_eq!(decode(b"aG!Vsb G8="), (b"hello".to_vec(), false));
        assert_eq!(decode(b"aGVsbG8"), (b"hello".to_vec(), false));
        assert_eq!(decode(b"aA==aA=="), (b"hh".to_vec(), false));
    }

    #[test]
    fn letters_without_padding_are_not_torn_and_padding_inside_is() {
        assert!(["aGVsbG8=", "aGVsbG8", "aA==", ""].iter().all(|word| !is_torn(word.as_bytes())));
        assert!(["aA==aA==", "aGVsb", "aG!s"].iter().all(|word| is_torn(word.as_bytes())));
    }

    #[test]
    fn what_stands_before_the_first_changed_group_stays() {
        let encoded = b"aGVs\r\nbG8g\r\nd29y\r\nbGQ=\r\n";
        let out = rewrite(encoded, b"hello there", 6);
        assert_eq!(out, b"aGVs\r\nbG8g\r\ndGhl\r\ncmU=\r\n");
        let out = rewrite(encoded, b"hello world", 11);
        assert_eq!(out, encoded);
    }

    #[test]
    fn a_text_that_shrinks_to_the_end_of_a_group_has_one_line_end() {
        assert_eq!(rewrite(b"aGVs\r\nbG8g\r\n", b"hel", 3), b"aGVs\r\n");
        assert_eq!(rewrite(b"aGVs\r\nbG8g\r\n", b"", 0), b"\r\n");
        assert_eq!(rewrite(b"aGVs\r\n", b"hello ", 3), b"aGVsbG8g\r\n");
    }

    proptest! {
        #[test]
        fn a_rewritten_text_decodes_to_the_new_one(old in proptest::collection::vec(any::<u8>(), 0..300), new in proptest::collection::vec(any::<u8>(), 0..300), keep in 0_usize..300) {
            let keep = keep.min(old.len());
            let mut wanted = old[..keep].to_vec();
            wanted.extend_from_slice(&new);
            let encoded = encode_lines(&old);
            let out = rewrite(&encoded, &wanted, keep);
            prop_assert_eq!(decode(&out), (wanted.clone(), true));
            let same = keep / 3 * 4;
            let kept = |bytes: &[u8]| bytes.iter().copied().filter(u8::is_ascii_graphic).take(same).collect::<Vec<u8>>();
            prop_assert_eq!(kept(&out), kept(&encoded));
            prop_assert!(out.split(|byte| *byte == b'\n').all(|line| line.len() <= 77));
        }
    }
}
