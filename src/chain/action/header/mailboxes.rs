//! Where the addresses of an address field stand (RFC 5322 3.4), so that one can change and no other byte does.
//!
//! Read as readers do: a name is no address where an angle bracket follows, a group's name and an obsolete route are none, and what cannot be read hides nothing
//! of the rest.

use std::ops::Range;

use super::addresses::{Token, token};
use super::value::is_space;

/// An address in a raw value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// All of it, from the local part to the domain.
    pub range: Range<usize>,
    /// Where its domain stands.
    pub domain_range: Range<usize>,
    /// As written, without the blanks and comments that may stand between its words.
    pub local: Vec<u8>,
    /// The same of the domain.
    pub domain: Vec<u8>,
}

/// A word of a member of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    At,
    Dot,
    /// An atom, a quoted string, a domain literal.
    Text,
    /// Blanks, a comment.
    Gap,
}

type Word = (Kind, Range<usize>);

/// The list as far as it is read.
#[derive(Default)]
struct Walk<'v> {
    raw: &'v [u8],
    found: Vec<Mailbox>,
    /// The words of the member at hand, and those in its angle brackets once there are any.
    outside: Vec<Word>,
    inside: Option<Vec<Word>>,
    in_angle: bool,
}

/// The addresses of a raw value, in order.
#[must_use]
pub fn mailboxes(raw: &[u8]) -> Vec<Mailbox> {
    let mut walk = Walk { raw, ..Walk::default() };
    let mut at = 0;
    // What opens and never closes separates like a blank; its end is looked for once, since a value full of them would be read again for each.
    let mut open: Vec<u8> = Vec::new();
    while let Some(&first) = raw.get(at) {
        let read = if open.contains(&first) { None } else { token(&raw[at..]) };
        let Some((token, rest)) = read else {
            open.push(first);
            walk.word(Kind::Gap, at..at + 1);
            at += 1;
            continue;
        };
        let end = raw.len() - rest.len();
        match token {
            Token::Special(byte) => walk.special(byte),
            Token::Comment(_) => walk.word(Kind::Gap, at..end),
            Token::Word(b"@") => walk.word(Kind::At, at..end),
            Token::Word(b".") => walk.word(Kind::Dot, at..end),
            Token::Word([byte]) if is_space(*byte) => walk.word(Kind::Gap, at..end),
            Token::Word(_) => walk.word(Kind::Text, at..end),
        }
        at = end;
    }
    walk.end_member();
    walk.found
}

impl Walk<'_> {
    fn word(&mut self, kind: Kind, range: Range<usize>) {
        let words = match &mut self.inside {
            Some(inside) if self.in_angle => inside,
            Some(_) => return,
            None => &mut self.outside,
        };
        match words.last_mut() {
            // The letters of an atom are one word, and so are blanks.
            Some((last, known)) if *last == kind && matches!(kind, Kind::Text | Kind::Gap) && known.end == range.start => {
                known.end = range.end;
            }
            _ => words.push((kind, range)),
        }
    }

    fn special(&mut self, byte: u8) {
        match byte {
            b'<' => {
                self.end_angle();
                self.in_angle = true;
                self.inside = Some(Vec::new());
            }
            b'>' => self.in_angle = false,
            // The end of an obsolete route, or of the name of a group.
            b',' | b':' if self.in_angle => self.inside = Some(Vec::new()),
            b':' => self.outside.clear(),
            _ => self.end_member(),
        }
    }

    fn end_angle(&mut self) {
        if let Some(words) = self.inside.take() {
            self.take(&words);
        }
    }

    fn end_member(&mut self) {
        let outside = std::mem::take(&mut self.outside);
        if self.inside.is_none() {
            self.take(&outside);
        }
        self.end_angle();
        self.in_angle = false;
    }

    /// The addresses of one member: one, but where a comma was forgotten.
    fn take(&mut self, words: &[Word]) {
        for at in (0..words.len()).filter(|at| words[*at].0 == Kind::At) {
            let domain = run(words[at + 1..].iter());
            let mut local = run(words[..at].iter().rev());
            local.reverse();
            let (Some(first), Some(last)) = (local.first(), domain.last()) else { continue };
            let text = |words: &[&Word]| words.iter().flat_map(|word| self.raw[word.1.clone()].iter().copied()).collect();
            let domain_range = domain[0].1.start..last.1.end;
            self.found.push(Mailbox { range: first.1.start..domain_range.end, domain_range, local: text(&local), domain: text(&domain) });
        }
    }
}

/// Words with dots between them, from one end; blanks and comments may stand at each dot (RFC 5322 4.4).
fn run<'w>(words: impl Iterator<Item = &'w Word>) -> Vec<&'w Word> {
    let mut run: Vec<&Word> = Vec::new();
    for word in words {
        match (word.0, run.last().map(|last| last.0)) {
            (Kind::Gap, _) => {}
            (Kind::Text, None | Some(Kind::Dot)) | (Kind::Dot, Some(Kind::Text)) => run.push(word),
            _ => break,
        }
    }
    // A dot at the end belongs to nothing that was read.
    if run.last().is_some_and(|last| last.0 == Kind::Dot) {
        run.pop();
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(value: &str) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let told = |mailbox: Mailbox| {
            assert!(mailbox.domain_range.end == mailbox.range.end);
            format!("{}|{}", text(&mailbox.local), text(&value.as_bytes()[mailbox.domain_range]))
        };
        mailboxes(value.as_bytes()).into_iter().map(told).collect()
    }

    #[test]
    fn every_address_is_found_and_no_name() {
        for (value, expected) in [
            (" a@x.example", vec!["a|x.example"]),
            (" A <a@x.example>,\r\n\tb@y.example (B)", vec!["a|x.example", "b|y.example"]),
            (" \"a@x.example, b\" <c@y.example>", vec!["c|y.example"]),
            (" a@x.example <c@y.example>", vec!["c|y.example"]),
            (" Team: a@x.example, B <b@x.example>;, c@x.example", vec!["a|x.example", "b|x.example", "c|x.example"]),
            (" <@a.example,@b.example:c@x.example>", vec!["c|x.example"]),
            (" \"a b\"@x.example, a.b@[192.0.2.1]", vec!["\"a b\"|x.example", "a.b|[192.0.2.1]"]),
            (" a (c@y.example) @ x . example", vec!["a|x . example"]),
            (" Doe, John <j@x.example>", vec!["j|x.example"]),
            (" \"open <a@x.example>, (b@x.example", vec!["a|x.example", "b|x.example"]),
            (" <a@x.example> <b@x.example>", vec!["a|x.example", "b|x.example"]),
            (" a@x.example b@x.example", vec!["a|x.example", "b|x.example"]),
            (" undisclosed-recipients:;", vec![]),
            (" @x.example, a@, <>, @", vec![]),
            (" a@x.example.", vec!["a|x.example"]),
            (" a@x.example>, <b@x.example", vec!["a|x.example", "b|x.example"]),
        ] {
            assert_eq!(found(value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(pieces in prop::collection::vec(prop::sample::select(
            vec!["a", "@", ".", "<", ">", ",", ":", ";", "(", ")", "\"", "[", "]", "\\", " ", "\r\n ", "\u{e9}", "x@y.z"]), 0..20)) {
            let value = pieces.concat();
            for mailbox in mailboxes(value.as_bytes()) {
                prop_assert!(mailbox.range.start < mailbox.domain_range.start && mailbox.domain_range.start < mailbox.domain_range.end);
                prop_assert!(mailbox.range.end <= value.len() && !mailbox.local.is_empty());
            }
        }
    }

    #[test]
    fn a_value_full_of_what_never_closes_is_read_in_linear_time() {
        let value = format!("{}a@x.example", "(\"[".repeat(300_000));
        assert_eq!(mailboxes(value.as_bytes()).len(), 1);
        assert_eq!(mailboxes("a@".repeat(300_000).as_bytes()).len(), 299_999);
    }
}
