//! What all matches of a pattern begin with, where that is a text of ASCII letters: it is found without the automaton, which then looks at these places only.

use std::ops::Range;

use memchr::arch::all::packedpair::Pair;
use regex::Regex;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// A letter in its cases: two bytes, or twice the same.
type Letter = (u8, u8);

/// More letters say no more.
const LONGEST: usize = 32;

/// See the module.
#[derive(Debug)]
pub struct Opening {
    letters: Vec<Letter>,
    /// Whether it stands at the beginning of a line.
    begins_line: bool,
    /// The place of the letter that is looked for: the one that texts have least of.
    rare: usize,
    /// Whether that, with the run behind it, is all that the pattern asks for.
    whole: bool,
    run: Option<Run>,
}

/// Letters of a class, as many as there are.
#[derive(Debug)]
struct Run {
    /// One bit for each ASCII letter.
    class: u128,
    least: usize,
    most: usize,
}

impl Opening {
    /// What matches begin with in a text that is ASCII; none if that is less than two letters.
    #[must_use]
    pub fn of(tree: &Hir) -> Option<Opening> {
        let mut opening = Opening { letters: Vec::new(), begins_line: false, rare: 0, whole: true, run: None };
        opening.whole &= opening.add(tree).is_some();
        let small: Vec<u8> = opening.letters.iter().map(|letter| letter.1).collect();
        opening.rare = Pair::new(&small)?.index1().into();
        Some(opening)
    }

    /// None: what follows is no such letter.
    fn add(&mut self, tree: &Hir) -> Option<()> {
        match tree.kind() {
            HirKind::Empty => Some(()),
            _ if self.run.is_some() => None,
            HirKind::Literal(text) => text.0.iter().try_for_each(|byte| self.push((*byte, *byte))),
            HirKind::Class(class) => self.push(letter(class)?),
            HirKind::Look(Look::StartLF) if self.letters.is_empty() => {
                self.begins_line = true;
                Some(())
            }
            HirKind::Look(_) => {
                self.whole = false;
                Some(())
            }
            HirKind::Capture(inner) => self.add(&inner.sub),
            HirKind::Concat(list) => list.iter().try_for_each(|inner| self.add(inner)),
            HirKind::Repetition(run) => {
                let HirKind::Class(class) = run.sub.kind() else { return None };
                let count = |number: u32| usize::try_from(number).ok();
                let most = run.max.map_or(Some(usize::MAX), count);
                self.run = run.greedy.then_some(Run {
                    class: ascii(class).fold(0, |all, letter| all | (1 << letter)),
                    least: count(run.min)?,
                    most: most?,
                });
                self.run.as_ref().map(|_| ())
            }
            HirKind::Alternation(_) => None,
        }
    }

    fn push(&mut self, letter: Letter) -> Option<()> {
        let fits = letter.1.is_ascii() && self.letters.len() < LONGEST;
        fits.then(|| self.letters.push(letter))
    }

    /// The first place at or behind `from` where a match could begin. One at which none does costs the search time, nothing else.
    fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        let (one, other) = self.letters[self.rare];
        let mut at = from + self.rare;
        let mut patience = text.len().saturating_sub(from) / 32 + 16;
        loop {
            let rest = text.get(at..)?;
            let found = if one == other { memchr::memchr(one, rest) } else { memchr::memchr2(one, other, rest) };
            let start = at + found? - self.rare;
            // Where the letter is not rare after all, the automaton is faster.
            if patience == 0 || self.stands(text, start)? {
                return Some(start);
            }
            patience -= 1;
            at = start + self.rare + 1;
        }
    }

    /// None: the text ends before it could.
    fn stands(&self, text: &[u8], start: usize) -> Option<bool> {
        let there = text.get(start..start + self.letters.len())?;
        let alike = there.iter().zip(&self.letters).all(|(byte, letter)| *byte == letter.0 || *byte == letter.1);
        Some(alike && (!self.begins_line || start == 0 || text[start - 1] == b'\n'))
    }

    /// The length of a match at the start of this text, where the pattern asks for no more than is known here.
    fn length(&self, text: &[u8]) -> Option<usize> {
        let Some(run) = &self.run else { return Some(self.letters.len()) };
        let rest = &text[self.letters.len()..];
        let length = rest.iter().take(run.most).take_while(|letter| letter.is_ascii() && (run.class >> **letter) & 1 == 1).count();
        (length >= run.least).then_some(self.letters.len() + length)
    }

    /// Whether `regex`, whose opening this is, finds something in a text that is ASCII.
    #[must_use]
    pub fn is_match(&self, regex: &Regex, text: &str) -> bool {
        if self.whole {
            return self.matches(regex, text).next().is_some();
        }
        self.find(text.as_bytes(), 0).is_some_and(|at| regex.is_match_at(text, at))
    }

    /// What `regex`, whose opening this is, finds in a text that is ASCII, one match after the other.
    pub fn matches<'a>(&'a self, regex: &'a Regex, text: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        let mut at = 0;
        std::iter::from_fn(move || {
            loop {
                let start = self.find(text.as_bytes(), at)?;
                let found = if self.whole && self.stands(text.as_bytes(), start)? {
                    self.length(&text.as_bytes()[start..]).map(|length| start..start + length)
                } else {
                    Some(regex.find_at(text, start)?.range())
                };
                at = found.as_ref().map_or(start + 1, |found| found.end);
                if found.is_some() {
                    return found;
                }
            }
        })
    }
}

/// The ASCII letters of a class.
fn ascii(class: &Class) -> impl Iterator<Item = u8> {
    let ranges: Vec<(u32, u32)> = match class {
        Class::Unicode(class) => class.iter().map(|range| (range.start().into(), range.end().into())).collect(),
        Class::Bytes(class) => class.iter().map(|range| (range.start().into(), range.end().into())).collect(),
    };
    let letters = ranges.into_iter().flat_map(|(first, last)| first..=last.min(0x7f));
    letters.filter_map(|letter| u8::try_from(letter).ok())
}

/// A class of one ASCII letter, or of one in its cases.
fn letter(class: &Class) -> Option<Letter> {
    let mut letters = ascii(class);
    let (one, other, third) = (letters.next()?, letters.next(), letters.next());
    third.is_none().then_some((one, other.unwrap_or(one)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Flags, Pattern};

    fn pattern(text: &str, exact: bool) -> Pattern {
        Pattern::of(text, Flags { exact, ..Flags::default() }, 1 << 20).unwrap()
    }

    #[test]
    fn an_opening_is_two_letters_or_more_that_every_match_begins_with() {
        let opening = |text: &str| {
            pattern(text, false).opening.map(|opening| {
                let letters: Vec<u8> = opening.letters.iter().map(|letter| letter.1).collect();
                (String::from_utf8(letters).unwrap(), opening.whole)
            })
        };
        let told = |text: &str, whole| Some((text.to_owned(), whole));
        assert_eq!(opening("SECRET-[0-9]+"), told("secret-", true));
        assert_eq!(opening("SECRET-[0-9]+x"), told("secret-", false));
        assert_eq!(opening("SECRET-[0-9]+?"), told("secret-", false));
        assert_eq!(opening("^invoice "), told("invoice ", true));
        assert_eq!(opening("(?<what>kiosk)(s)"), told("kiosks", true));
        assert_eq!(opening("ab?c"), None);
        assert_eq!(opening("ab|cd"), None);
        assert_eq!(opening("xy\u{e9}z"), told("xy", false));
        assert_eq!(opening(".a"), None);
    }

    const PATTERNS: [&str; 15] = [
        "ks",
        "as-?b",
        "^ab",
        "^ks[a-k]+",
        r"s\b",
        "k(s)(-)",
        "a-+",
        "ab|ka",
        "ss[a-k]",
        "--",
        r"\bka$",
        "ab[a-z]+",
        "ab[a-z]{2,3}",
        "sa[^a]*",
        "k(s[b-]+)?",
    ];

    proptest! {
        #[test]
        fn what_is_found_by_an_opening_is_what_is_found_without(
            text in "[abkKsS \n\u{17f}\u{212a}-]{0,60}", which in 0..PATTERNS.len(), exact in any::<bool>()
        ) {
            for text in [text.clone(), text.replace(['\u{17f}', '\u{212a}'], "s")] {
                let pattern = pattern(PATTERNS[which], exact);
                let wanted: Vec<_> = pattern.regex().find_iter(&text).map(|found| found.range()).collect();
                prop_assert_eq!(pattern.is_match(&text), !wanted.is_empty());
                prop_assert_eq!(pattern.ranges((&*text).into()).collect::<Vec<_>>(), wanted);
            }
        }

        #[test]
        fn a_letter_that_is_everywhere_is_given_up(text in "(ab|a|b){0,300}(abc)?(ab){0,9}") {
            let pattern = pattern("abc+", false);
            let wanted: Vec<_> = pattern.regex().find_iter(&text).map(|found| found.range()).collect();
            prop_assert_eq!(pattern.ranges((&*text).into()).collect::<Vec<_>>(), wanted);
        }
    }
}
