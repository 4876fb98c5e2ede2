//! Names and passwords in the one form both sides compare (`SASLprep`, RFC 4013): however a keyboard composes an é, it is the same password.
//!
//! Letters are mapped and normalized (NFKC), and what must not stand in a name is refused. The rule about letters that are written from right to left is left out:
//! it refuses texts, and makes no two of them equal.

use unicode_normalization::UnicodeNormalization;

use crate::base::secret::Secret;

/// As long as a name or password can be, as it is said and as it is compared (RFC 4616 2: at least 255 bytes).
pub const LONGEST: usize = 255;

/// A name as it is looked up and logged; none for what can be no name.
#[must_use]
pub fn name(text: &str) -> Option<String> {
    prepared(text)
}

/// A password as keys are made of it; none for what can be no password.
#[must_use]
pub fn password(text: &str) -> Option<Secret> {
    prepared(text).map(Secret::new)
}

fn prepared(text: &str) -> Option<String> {
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Some(text.to_owned());
    }
    let mapped = text.chars().map(|letter| if is_space(letter) { ' ' } else { letter }).filter(|letter| !vanishes(*letter));
    // Room for all of it at once: what grows leaves copies behind in memory.
    let mut out = String::with_capacity(LONGEST);
    for letter in mapped.nfkc() {
        // Some letters become whole words, and what is too long is no name when it is read again.
        if is_prohibited(letter) || out.len() + letter.len_utf8() > LONGEST {
            return None;
        }
        out.push(letter);
    }
    (!out.is_empty()).then_some(out)
}

/// RFC 3454 C.1.2, become a blank.
fn is_space(letter: char) -> bool {
    matches!(letter, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200b}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// RFC 3454 B.1, mapped to nothing.
fn vanishes(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{34f}' | '\u{1806}' | '\u{180b}'..='\u{180d}' | '\u{200c}' | '\u{200d}' | '\u{2060}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
    )
}

/// RFC 3454 C.1.2, C.2.1, C.2.2 and C.3 to C.9.
fn is_prohibited(letter: char) -> bool {
    let number = u32::from(letter);
    is_space(letter)
        || letter.is_control()
        || number & 0xfffe == 0xfffe
        || matches!(
            letter,
            '\u{340}' | '\u{341}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200c}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2063}'
            | '\u{206a}'..='\u{206f}' | '\u{2ff0}'..='\u{2ffb}' | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{feff}' | '\u{fff9}'..='\u{fffd}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4013 3.
    #[test]
    fn the_examples_of_the_rfc() {
        for (text, wanted) in
            [("I\u{ad}X", Some("IX")), ("user", Some("user")), ("USER", Some("USER")), ("\u{aa}", Some("a")), ("\u{2168}", Some("IX"))]
        {
            assert_eq!(name(text).as_deref(), wanted, "{text:?}");
        }
        assert_eq!(name("\u{7}"), None);
    }

    #[test]
    fn one_password_however_it_was_typed() {
        assert_eq!(password("caf\u{e9}").unwrap().bytes(), "café".as_bytes());
        assert_eq!(password("cafe\u{301}").unwrap().bytes(), "caf\u{e9}".as_bytes());
        assert_eq!(name("a\u{a0}b").as_deref(), Some("a b"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "a\nb", "a\u{85}b", "\u{e000}", "a\u{202e}b", "\u{ad}", "\u{fffd}", "a\0b", "\u{1ffff}"] {
            assert_eq!(name(text), None, "{text:?}");
        }
        assert_eq!(name(&"x".repeat(LONGEST + 1)), None);
        assert!(name(&"x".repeat(LONGEST)).is_some());
    }

    #[test]
    fn what_was_prepared_is_the_same_when_it_is_prepared_again() {
        for number in [1, 7] {
            let once = name(&"\u{fdfa}".repeat(number)).unwrap();
            assert_eq!(once.len(), number * 33);
            assert_eq!(name(&once), Some(once));
        }
        assert_eq!(name(&"\u{fdfa}".repeat(8)), None);
    }
}
