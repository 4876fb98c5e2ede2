//! The boundaries of the multiparts that are open at a place, found by the content of a line.

use std::collections::HashMap;

/// What a line that begins with two dashes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A delimiter of the open multipart of this number, counted from outside; the last one, or not.
    Delimiter {
        multipart: usize,
        last: bool,
    },
    /// Begins like one, but has more on its line, or comes behind the last one.
    Bad,
    /// A delimiter to readers that take the boundary parameter in another way.
    Other,
    Nothing,
}

/// One open multipart.
#[derive(Debug)]
struct Open {
    boundary: Box<[u8]>,
    others: Vec<Vec<u8>>,
    /// Its last delimiter has come.
    closed: bool,
}

/// A stack of boundaries. A look-up costs the length of the line, not the depth.
#[derive(Debug, Default)]
pub struct Boundaries {
    stack: Vec<Open>,
    /// For each boundary, the open multiparts that wait for it.
    waiting: HashMap<Box<[u8]>, Vec<usize>>,
    /// Other readings of the boundaries, with how many of the open multiparts have them.
    others: HashMap<Vec<u8>, u32>,
    /// What the leaf that is being read declares as a boundary although it is no multipart: some readers open it all the same.
    pub strays: Vec<Vec<u8>>,
}

impl Boundaries {
    /// Opens a multipart; `others` are readings of its boundary that only some readers share.
    pub fn push(&mut self, boundary: &[u8], others: &[Vec<u8>]) {
        self.waiting.entry(boundary.into()).or_default().push(self.stack.len());
        for other in others {
            *self.others.entry(other.clone()).or_default() += 1;
        }
        self.stack.push(Open { boundary: boundary.into(), others: others.to_vec(), closed: false });
    }

    pub fn len(&self) -> usize {
        self.stack.len()
    }

    pub fn close(&mut self, multipart: usize) {
        let open = &mut self.stack[multipart];
        open.closed = true;
        if let Some(list) = self.waiting.get_mut(&open.boundary) {
            list.retain(|other| *other != multipart);
        }
    }

    /// Leaves the innermost; whether its last delimiter had come.
    pub fn pop(&mut self) -> bool {
        let Some(open) = self.stack.pop() else { return true };
        for other in &open.others {
            if let Some(count) = self.others.get_mut(other) {
                *count -= 1;
                if *count == 0 {
                    self.others.remove(other);
                }
            }
        }
        let gone = self.stack.len();
        if let Some(list) = self.waiting.get_mut(&open.boundary) {
            list.retain(|other| *other != gone);
            if list.is_empty() {
                self.waiting.remove(&open.boundary);
            }
        }
        open.closed
    }

    /// Looks a line up that begins with `--`. Trailing blanks are allowed (RFC 2046 5.1.1). A line with more on it is no delimiter; `look_for_bad` says whether that is of interest.
    pub fn find(&self, line: &[u8], look_for_bad: bool) -> Found {
        if self.stack.is_empty() && self.strays.is_empty() {
            return Found::Nothing;
        }
        let text = line[2..].trim_ascii_end();
        for (text, last) in [(Some(text), false), (text.strip_suffix(b"--"), true)] {
            if let Some(list) = text.and_then(|text| self.waiting.get(text)) {
                return list.last().map_or(Found::Bad, |multipart| Found::Delimiter { multipart: *multipart, last });
            }
        }
        let known = |text: &[u8]| !self.others.is_empty() && self.others.contains_key(text);
        let other = |text: &[u8]| known(text) || self.strays.iter().any(|stray| stray == text);
        if other(text) || text.strip_suffix(b"--").is_some_and(other) {
            return Found::Other;
        }
        let begins_like = || self.stack.iter().any(|open| text.starts_with(&open.boundary));
        if look_for_bad && begins_like() { Found::Bad } else { Found::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_that_waits_is_found_and_a_closed_one_is_bad() {
        let mut boundaries = Boundaries::default();
        boundaries.push(b"a", &[]);
        boundaries.push(b"ab", &[]);
        assert_eq!(boundaries.find(b"--a  \r\n", true), Found::Delimiter { multipart: 0, last: false });
        assert_eq!(boundaries.find(b"--ab--\r\n", true), Found::Delimiter { multipart: 1, last: true });
        assert_eq!(boundaries.find(b"--abc\r\n", true), Found::Bad);
        assert_eq!(boundaries.find(b"--xa\r\n", true), Found::Nothing);
        boundaries.close(1);
        assert_eq!(boundaries.find(b"--ab\r\n", true), Found::Bad);
        assert!(boundaries.pop());
        assert!(!boundaries.pop());
        assert_eq!(boundaries.find(b"--a\r\n", true), Found::Nothing);
    }

    #[test]
    fn a_delimiter_of_another_reading_is_told_while_its_multipart_is_open() {
        let mut boundaries = Boundaries::default();
        boundaries.push(b"a b", &[b"a".to_vec()]);
        boundaries.push(b"c", &[b"a".to_vec()]);
        assert_eq!(boundaries.find(b"--a\r\n", true), Found::Other);
        boundaries.pop();
        assert_eq!(boundaries.find(b"--a--\r\n", true), Found::Other);
        assert_eq!(boundaries.find(b"--a b\r\n", true), Found::Delimiter { multipart: 0, last: false });
        boundaries.pop();
        assert_eq!(boundaries.find(b"--a\r\n", true), Found::Nothing);
    }
}
