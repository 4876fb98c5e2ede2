//! What the eye takes a text for (`view: skeleton`, Unicode TS 39): compatibility forms made plain (NFKC), what cannot be seen removed, and letters of other
//! scripts folded onto the ones they look like. ASCII stays as it is written, so that patterns see the words they name; literal tests
//! meet the look-alikes that are left within ASCII (`0 O`, `1 l I |`, `rn m`) by [`literal`].

use unicode_normalization::UnicodeNormalization;
use unicode_security::skeleton;

/// The text as the eye takes it.
#[must_use]
pub fn fold(text: &str) -> String {
    fold_within(text, usize::MAX).unwrap_or_default()
}

/// As [`fold`]; none if the text comes out longer than `limit` bytes: a letter may stand for eighteen.
#[must_use]
pub fn fold_within(text: &str, limit: usize) -> Option<String> {
    if text.is_ascii() {
        return Some(text.to_owned());
    }
    let mut folded = String::with_capacity(text.len());
    for letter in text.nfkc() {
        push(letter, &mut folded);
        if folded.len() > limit {
            return None;
        }
    }
    // Accents that stood behind a folded letter join it again.
    Some(folded.nfkc().collect())
}

fn push(letter: char, folded: &mut String) {
    if letter.is_ascii() {
        folded.push(letter);
        return;
    }
    let before = folded.len();
    folded.extend(skeleton(letter.encode_utf8(&mut [0; 4])));
    match &folded[before..] {
        // The table has small l for all that is one stroke; a capital is a capital I.
        "l" if letter.is_uppercase() => folded.replace_range(before.., "I"),
        "rn" => folded.replace_range(before.., "m"),
        _ => {}
    }
}

/// A pattern for a text, and for what looks like it within ASCII.
#[must_use]
pub fn literal(text: &str) -> String {
    let folded = fold(text);
    let mut pattern = String::with_capacity(folded.len() * 8);
    let mut letters = folded.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '0' | 'o' => pattern.push_str("[0o]"),
            'O' => pattern.push_str("[0O]"),
            'l' => pattern.push_str(r"(?:[l1|]|(?-i:I))"),
            'I' => pattern.push_str(r"(?:[I1|]|(?-i:l))"),
            // Where case does not matter a capital may be meant, which looks like l.
            'i' => pattern.push_str(r"(?:[i1|]|(?-i:l))"),
            '1' | '|' => pattern.push_str(r"(?-i:[1|lI])"),
            'm' => pattern.push_str("(?:m|rn)"),
            'r' if letters.next_if_eq(&'n').is_some() => pattern.push_str("(?:rn|m)"),
            other => pattern.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use regex::RegexBuilder;

    use super::*;

    #[test]
    fn letters_of_other_scripts_become_the_ones_they_look_like() {
        for (text, seen) in [
            ("\u{440}\u{430}\u{443}\u{440}\u{430}l", "paypal"),
            ("\u{412}\u{410}\u{41d}\u{41a}", "BAHK"),
            ("\u{406}nvoice", "Invoice"),
            ("\u{456}nvoice", "invoice"),
            ("\u{ff30}\u{ff41}\u{ff59}", "Pay"),
            ("\u{1d429}\u{1d41a}\u{1d432}", "pay"),
            ("\u{217f}ail", "mail"),
        ] {
            assert_eq!(fold(text), seen, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_gone() {
        assert_eq!(fold("pass\u{200b}w\u{ad}o\u{2060}r\u{feff}d\u{202e}\u{e0041}\u{fe0f}"), "password");
        assert_eq!(fold("a\u{a0}b"), "a b");
    }

    #[test]
    fn a_text_that_grows_beyond_its_limit_is_none() {
        assert_eq!(fold_within(&"\u{fdfa}".repeat(100), 500), None);
        assert_eq!(fold_within("\u{430}bc", 3).as_deref(), Some("abc"));
    }

    #[test]
    fn ascii_and_accents_stay() {
        for text in ["moon 10 lI|", "caf\u{e9}", "K\u{e4}se\n", "cafe\u{301}"] {
            assert_eq!(fold(text), text.nfkc().collect::<String>());
        }
    }

    #[test]
    fn a_literal_meets_its_look_alikes_within_ascii() {
        let finds =
            |text: &str, seen: &str| RegexBuilder::new(&literal(text)).case_insensitive(true).build().unwrap().is_match(&fold(seen));
        for (text, seen) in [
            ("paypal", "PAYPAL"),
            ("paypal", "paypa1"),
            ("paypal", "paypaI"),
            ("Invoice", "lnvoice"),
            ("invoice", "1nvo1ce"),
            ("microsoft", "rnicros0ft"),
            ("corner", "comer"),
            ("M.O.", "m.0."),
            ("\u{440}ay", "p\u{430}y"),
        ] {
            assert!(finds(text, seen), "{text} in {seen}");
        }
        for (text, seen) in [("paypal", "paypai"), ("M.O.", "maon"), ("1", "L"), ("m", "n")] {
            assert!(!finds(text, seen), "{text} in {seen}");
        }
    }
}
