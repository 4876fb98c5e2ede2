//! `once`: a text that is put to a field stands there once, however many replies the field has been through.
//!
//! Older copies are taken out where mail programs and lists leave them: one after the other at the end that the text is put to, and in front also behind
//! `Re:`, `Fwd:` and their like, and behind marks in brackets. What stands further in the value is the writer's own words.

use crate::message::Change;

/// How replies and forwarded mail are marked, by the programs of many languages.
const PREFIXES: [&str; 27] = [
    "re", "fwd", "fw", "aw", "wg", "antw", "antwort", "sv", "vs", "vb", "rv", "res", "enc", "tr", "ref", "rif", "doorst", "odp", "pd",
    "ynt", "ilt", "回复", "回覆", "答复", "转发", "轉寄", "轉發",
];
/// A longer text in brackets is no mark.
const LONGEST_MARK: usize = 40;

/// The changes that leave one copy of the text in front of the value.
#[must_use]
pub fn in_front(value: &str, text: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut at = 0;
    loop {
        let rest = &value[at..];
        if let Some(length) = copy_in_front(rest, text) {
            changes.push(Change { range: at..at + length, with: "".into() });
            at += length;
        } else if let Some(length) = prefix(rest).or_else(|| mark(rest)) {
            at += length;
        } else {
            break;
        }
    }
    let stands = value.starts_with(text) || value == text.trim_end_matches(BLANK);
    match changes.first_mut().filter(|first| first.range.start == 0) {
        Some(_) if stands => drop(changes.remove(0)),
        Some(first) => first.with = text.into(),
        None => changes.insert(0, Change { range: 0..0, with: text.into() }),
    }
    changes
}

/// The changes that leave one copy of the text behind the value.
#[must_use]
pub fn behind(value: &str, text: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut end = value.len();
    while let Some(length) = copy_behind(&value[..end], text) {
        changes.insert(0, Change { range: end - length..end, with: "".into() });
        end -= length;
    }
    let stands = value.ends_with(text) || value == text.trim_start_matches(BLANK);
    match changes.last_mut() {
        Some(_) if stands => drop(changes.pop()),
        Some(last) => last.with = text.into(),
        None => changes.push(Change { range: value.len()..value.len(), with: text.into() }),
    }
    changes
}

const BLANK: [char; 2] = [' ', '\t'];

/// The length of a copy of the text at the start of the value, with the blanks after it. Where the text ends with a blank, a word that only begins like it is none.
fn copy_in_front(value: &str, text: &str) -> Option<usize> {
    let core = text.trim_matches(BLANK);
    let length = same(value.chars(), core.chars()).filter(|_| !core.is_empty())?;
    let rest = &value[length..];
    let blanks = rest.len() - rest.trim_start_matches(BLANK).len();
    let apart = blanks > 0 || rest.is_empty() || !text.ends_with(BLANK);
    apart.then_some(length + blanks)
}

/// As [`copy_in_front`], at the end of the value.
fn copy_behind(value: &str, text: &str) -> Option<usize> {
    let core = text.trim_matches(BLANK);
    let trimmed = value.trim_end_matches(BLANK);
    let length = same(trimmed.chars().rev(), core.chars().rev()).filter(|_| !core.is_empty())?;
    let rest = &trimmed[..trimmed.len() - length];
    let before = rest.trim_end_matches(BLANK).len();
    let apart = before < rest.len() || rest.is_empty() || !text.starts_with(BLANK);
    apart.then_some(value.len() - before)
}

/// The bytes of the value that are the text, without case; any blanks are as good as others.
fn same(value: impl Iterator<Item = char>, text: impl Iterator<Item = char>) -> Option<usize> {
    let (mut value, mut text) = (value.peekable(), text.peekable());
    let mut length = 0;
    while let Some(wanted) = text.next() {
        let found = value.next()?;
        length += found.len_utf8();
        if BLANK.contains(&wanted) && BLANK.contains(&found) {
            while text.next_if(|letter| BLANK.contains(letter)).is_some() {}
            while let Some(blank) = value.next_if(|letter| BLANK.contains(letter)) {
                length += blank.len_utf8();
            }
        } else if found != wanted && !found.to_lowercase().eq(wanted.to_lowercase()) {
            return None;
        }
    }
    Some(length)
}

/// The length of `Re:`, `AW: `, `Re[2]:`, `RE (3) :` with the blanks after it.
fn prefix(value: &str) -> Option<usize> {
    let word = PREFIXES.iter().filter_map(|word| same(value.chars(), word.chars())).max()?;
    let rest = counted(value[word..].trim_start_matches(BLANK)).trim_start_matches(BLANK);
    let rest = rest.strip_prefix([':', '：'])?.trim_start_matches(BLANK);
    Some(value.len() - rest.len())
}

/// What follows a number in brackets, if there is one.
fn counted(value: &str) -> &str {
    let Some((open, rest)) = value.split_at_checked(1) else { return value };
    let close = match open {
        "[" => ']',
        "(" => ')',
        _ => return value,
    };
    match rest.split_once(close) {
        Some((number, rest)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => value,
    }
}

/// The length of a mark such as `[list]` with the blanks after it.
fn mark(value: &str) -> Option<usize> {
    let (mark, rest) = value.strip_prefix('[')?.split_once(']')?;
    (mark.len() <= LONGEST_MARK && !mark.contains('[')).then(|| value.len() - rest.trim_start_matches(BLANK).len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn changed(value: &str, changes: &[Change]) -> String {
        let mut out = value.to_owned();
        for change in changes.iter().rev() {
            out.replace_range(change.range.clone(), &change.with);
        }
        out
    }

    #[test]
    fn one_copy_stands_in_front() {
        for (value, expected) in [
            ("Hello", "[EXT] Hello"),
            ("[EXT] Hello", "[EXT] Hello"),
            ("Re: [EXT] Re: [ext]  Hello", "[EXT] Re: Re: Hello"),
            ("[EXT] Re: [EXT] Hello", "[EXT] Re: Hello"),
            ("[ext]\tHello", "[EXT] Hello"),
            ("AW: WG: SV: Fwd:[EXT] Hello", "[EXT] AW: WG: SV: Fwd:Hello"),
            ("RE[2]: [EXT] Re (3) : [EXT] Hello", "[EXT] RE[2]: Re (3) : Hello"),
            ("[list] Re: [EXT] Hello", "[EXT] [list] Re: Hello"),
            ("回复：[EXT] Hello", "[EXT] 回复：Hello"),
            ("Hello [EXT] Re: [EXT] x", "[EXT] Hello [EXT] Re: [EXT] x"),
            ("Reading: [EXT] x", "[EXT] Reading: [EXT] x"),
            ("[EXT]ra work", "[EXT] [EXT]ra work"),
            ("[EXT]", "[EXT]"),
            ("", "[EXT] "),
            ("Re:", "[EXT] Re:"),
        ] {
            assert_eq!(changed(value, &in_front(value, "[EXT] ")), expected, "{value}");
        }
        assert_eq!(changed("Re: Hello", &in_front("Re: Hello", "Re: ")), "Re: Hello");
        assert_eq!(changed("[X]a", &in_front("[X]a", "[X]")), "[X]a");
        assert_eq!(changed("a", &in_front("a", " ")), " a");
        assert!(in_front("[EXT] Re: Hello", "[EXT] ").is_empty());
    }

    #[test]
    fn blanks_inside_the_text_may_have_been_folded() {
        assert_eq!(changed("Re: [FROM\t OUT] x", &in_front("Re: [FROM\t OUT] x", "[from out] ")), "[from out] Re: x");
    }

    #[test]
    fn one_copy_stands_behind() {
        for (value, expected) in [
            ("Hello", "Hello (ext)"),
            ("Re: Hello (ext)", "Re: Hello (ext)"),
            ("Hello (ext) (EXT)  (ext)", "Hello  (ext)"),
            ("Hello (Ext)", "Hello (ext)"),
            ("Hello(ext)", "Hello(ext) (ext)"),
            ("(ext) Hello", "(ext) Hello (ext)"),
            ("(ext)", "(ext)"),
            ("", " (ext)"),
        ] {
            assert_eq!(changed(value, &behind(value, " (ext)")), expected, "{value}");
        }
        assert!(behind("Hello (ext)", " (ext)").is_empty());
    }

    proptest! {
        #[test]
        fn a_second_time_changes_nothing(pieces in prop::collection::vec(prop::sample::select(
            vec!["Re: ", "AW:", "[EXT] ", "[ext]  ", "[l] ", "x", " ", "ſ", "回复：", "(2)", ":", "["]), 0..10)) {
            let value = pieces.concat();
            let value = value.trim_matches(BLANK);
            for text in ["[EXT] ", " [EXT]", "[EXT]"] {
                let front = changed(value, &in_front(value, text));
                prop_assert!(front.starts_with(text.trim_end()), "{value:?} {front:?}");
                let front = front.trim_matches(BLANK);
                let again = changed(front, &in_front(front, text));
                prop_assert_eq!(again.trim_matches(BLANK), front);
                let behind_it = changed(value, &behind(value, text));
                prop_assert!(behind_it.ends_with(text.trim_start()), "{value:?} {behind_it:?}");
                let behind_it = behind_it.trim_matches(BLANK);
                let again = changed(behind_it, &behind(behind_it, text));
                prop_assert_eq!(again.trim_matches(BLANK), behind_it);
            }
        }
    }

    #[test]
    fn a_long_value_is_read_once() {
        let value = "Re: [EXT] ".repeat(100_000);
        assert_eq!(in_front(&value, "[EXT] ").len(), 100_001);
        let value = " (ext)".repeat(50_000);
        assert!(behind(&value, " (ext)").len() >= 49_999);
    }
}
