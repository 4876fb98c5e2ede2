//! The usual slips in YAML, and the line as it was meant: quotes where a text looks like something else, indentation that fits the lines above.
//!
//! A guess is offered only if the file, read again with it, has nothing wrong any more up to the end of that line.

use std::ops::Range;

use saphyr_parser::{Event, Parser};

/// Bytes to be replaced, and by what.
pub type Edit = (Range<usize>, String);

/// In a longer file no guesses are made: each reads it again.
const LONGEST: usize = 100_000;

/// How many lines before the one complained of may hold the slip.
const BEFORE: usize = 3;

/// What in an unquoted text may be taken for something else.
const SPECIAL: [char; 16] = ['[', ']', '{', '}', '*', '&', '!', '%', '@', '`', '#', ':', '|', '>', '"', ','];

/// The text in single quotes.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What mends the slip that shows in this line, counted from 1.
pub(super) fn mend(text: &str, line: usize) -> Option<Edit> {
    if text.len() > LONGEST {
        return None;
    }
    let mut starts: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    starts.retain(|start| *start < text.len());
    let content = |at: usize| text[starts[at]..].split(['\r', '\n']).next().unwrap_or("");
    let last = line.min(starts.len()).checked_sub(1)?;
    for at in (0..=last).rev().filter(|at| is_content(content(*at))).take(BEFORE) {
        let above: Vec<&str> = (0..at).rev().map(content).filter(|line| is_content(line)).take(10).collect();
        for (range, with) in guesses(content(at), &above) {
            let edit = (starts[at] + range.start..starts[at] + range.end, with);
            let mut tried = text.to_owned();
            tried.replace_range(edit.0.clone(), &edit.1);
            if complaint(&tried, at + 1).is_none_or(|complaint| complaint > line) {
                return Some(edit);
            }
        }
    }
    None
}

fn is_content(line: &str) -> bool {
    let text = line.trim_start();
    !text.is_empty() && !text.starts_with('#')
}

/// The first line from this one on that cannot be read, or has an anchor, an alias or a tag.
fn complaint(text: &str, from: usize) -> Option<usize> {
    for event in Parser::new_from_str(text) {
        let (event, range) = match event {
            Ok(event) => event,
            Err(error) => return Some(error.marker().line()),
        };
        let odd = match event {
            Event::Alias(_) => true,
            Event::Scalar(_, _, anchor, tag) | Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                anchor != 0 || tag.is_some()
            }
            _ => false,
        };
        if odd && range.start.line() >= from {
            return Some(range.start.line());
        }
    }
    None
}

/// What may have been meant by a line, the likeliest first.
fn guesses(line: &str, above: &[&str]) -> Vec<Edit> {
    let indent = line.len() - line.trim_start().len();
    let mut columns: Vec<usize> = above.iter().flat_map(|line| columns(line)).collect();
    columns.dedup();
    let moved = |columns: Vec<usize>| columns.into_iter().map(|column| (0..indent, " ".repeat(column)));
    if line[..indent].contains('\t') {
        // Below a key that stands alone its value is meant.
        let below = above.first().filter(|line| line.trim_end().ends_with(':')).map(|line| self::columns(line)[0] + 2);
        return moved(below.into_iter().chain(columns).collect()).collect();
    }
    let mut guesses = apart(line, |after| after.starts_with(['{', '[']));
    if !columns.is_empty() && !columns.contains(&indent) {
        columns.sort_by_key(|column| (column.abs_diff(indent), usize::MAX - column));
        guesses.extend(moved(columns));
    }
    guesses.extend(in_block(line));
    guesses.extend(in_flow(line));
    guesses.extend(closed(line));
    guesses.extend(apart(line, |after| after.starts_with(|first: char| !first.is_whitespace())));
    guesses
}

/// A blank behind the colon of each word that has none there: `name:a`.
fn apart(line: &str, wanted: impl Fn(&str) -> bool) -> Vec<Edit> {
    let is_key = |before: &str| {
        let word = before.trim_end_matches(|letter: char| letter.is_ascii_alphanumeric() || "_.".contains(letter));
        word.len() < before.len() && (word.trim_start_matches([' ', '-']).is_empty() || word.trim_end().ends_with(['{', ',', '[']))
    };
    let colons = line.match_indices(':').map(|(at, _)| at).filter(|at| is_key(&line[..*at]) && wanted(&line[at + 1..]));
    colons.map(|at| (at + 1..at + 1, " ".to_owned())).collect()
}

/// Where keys and items of a line begin: `  - a: b` has 2 and 4.
fn columns(line: &str) -> Vec<usize> {
    let mut at = line.len() - line.trim_start().len();
    let mut columns = vec![at];
    while let Some(rest) = line[at..].strip_prefix("- ") {
        at = line.len() - rest.trim_start().len();
        columns.push(at);
    }
    columns.reverse();
    columns
}

/// The value that ends a line, in quotes.
fn in_block(line: &str) -> Vec<Edit> {
    let start = columns(line)[0];
    let value = match line[start..].find(": ") {
        Some(colon) if !line[start..].starts_with(['"', '\'', '{', '[']) => start + colon + 2,
        _ => start,
    };
    let value = line.len() - line[value..].trim_start().len();
    let text = line[value..].trim_end();
    let whole = value..value + text.len();
    if let Some((inner, _)) = text.strip_prefix('"').and_then(|rest| rest.split_once('"')).filter(|(inner, _)| inner.contains('\\')) {
        return vec![(value..value + inner.len() + 2, quoted(inner))];
    }
    if text.is_empty() || text.starts_with(['\'', '"', '|', '>']) || (text.starts_with(['{', '[']) && !goes_on(text)) {
        return Vec::new();
    }
    let comment = text.find(" #").map(|end| (value..value + text[..end].trim_end().len(), quoted(text[..end].trim_end())));
    comment.into_iter().chain([(whole, quoted(text))]).collect()
}

/// Whether text follows the bracket that closes the first one.
fn goes_on(text: &str) -> bool {
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            let rest = text[at + 1..].trim_start();
            return !rest.is_empty() && !rest.starts_with(['#', ',', ']', '}']);
        }
    }
    false
}

/// The bracket that is missing, where the line shows which: `{a: [b}`.
fn closed(line: &str) -> Option<Edit> {
    let (mut open, mut quote) = (Vec::new(), None);
    for (at, letter) in line.char_indices() {
        match (quote, letter) {
            (Some(mark), _) => quote = Some(mark).filter(|mark| *mark != letter),
            (None, '\'' | '"') => quote = Some(letter),
            (None, '[') => open.push(']'),
            (None, '{') => open.push('}'),
            (None, ']' | '}') if open.last() != Some(&letter) => return open.last().map(|wanted| (at..at, wanted.to_string())),
            (None, ']' | '}') => drop(open.pop()),
            _ => {}
        }
    }
    let end = line.trim_end().len();
    (quote.is_none() && !open.is_empty()).then(|| (end..end, open.iter().rev().collect()))
}

/// Whether a further key stands in it: `X, value: ticket`.
fn has_key(text: &str) -> bool {
    text.match_indices(": ").any(|(colon, _)| {
        let before = text[..colon].trim_end_matches(|letter: char| letter.is_ascii_alphanumeric() || "_.".contains(letter));
        before.trim_end().ends_with(',')
    })
}

/// Each value between brackets in quotes, the shortest reading first; last those that would take in other keys.
fn in_flow(line: &str) -> Vec<Edit> {
    const MOST: usize = 12;
    let mut guesses = Vec::new();
    for (opening, _) in line.match_indices(['{', '[', ',']).filter(|(at, _)| !line[..*at].ends_with('$')).take(MOST) {
        let inner = line.len() - line[opening + 1..].trim_start().len();
        let key = line[inner..]
            .find(": ")
            .filter(|colon| line[inner..inner + colon].bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte)));
        let start = key.map_or(inner, |colon| line.len() - line[inner + colon + 2..].trim_start().len());
        let text = &line[start..];
        if let Some((inner, _)) = text.strip_prefix('"').and_then(|rest| rest.split_once('"')).filter(|(inner, _)| inner.contains('\\')) {
            guesses.push((start..start + inner.len() + 2, quoted(inner)));
            continue;
        }
        if text.starts_with(['\'', '"']) || (text.starts_with(['{', '[']) && !goes_on(text)) {
            continue;
        }
        let ends = text.match_indices([',', '}', ']']).map(|(end, _)| end).filter(|end| *end > 0).take(MOST);
        for end in ends {
            let value = text[..end].trim_end();
            if value.contains(SPECIAL) {
                guesses.push((start..start + value.len(), quoted(value)));
            }
        }
    }
    guesses.sort_by_key(|(range, _)| has_key(&line[range.clone()]));
    guesses
}

#[cfg(test)]
mod tests {
    use super::super::{Problems, Source, parse};

    /// The corrected lines, as they are shown.
    fn mended(text: &str) -> String {
        let mut problems = Problems::default();
        parse(&Source::new("test.yaml", text), &mut problems);
        let problem = problems.iter().next().unwrap_or_else(|| panic!("nothing is wrong with {text}"));
        problem.fix.as_ref().map_or_else(|| format!("{}: {}", problem.title, problem.label), |fix| fix.lines.join("\n"))
    }

    #[test]
    fn each_slip_is_told_with_the_line_as_it_was_meant() {
        for (text, meant) in [
            // An unquoted `[`, `*`, `!`, `@`, and `: ` inside a text.
            ("a:\n  b: [EXT] hello\n", "  b: '[EXT] hello'"),
            ("a:\n  - [EXT] hello\n", "  - '[EXT] hello'"),
            ("a: {b: [a-z]+, c: d}\n", "a: {b: '[a-z]+', c: d}"),
            ("a: *.exe\n", "a: '*.exe'"),
            // A bracket that is not closed.
            ("a: {b: [127.0.0.1:25}\n", "a: {b: [127.0.0.1:25]}"),
            ("a: [{b: c}\nd: e\n", "a: [{b: c}]"),
            ("a: {b: c\nd: e\n", "a: {b: c}"),
            ("a: [b, c\n", "a: [b, c]"),
            ("a: {b: *.exe}\n", "a: {b: '*.exe'}"),
            ("a: [*.exe, b]\n", "a: ['*.exe', b]"),
            ("a: !important\nb: c\n", "a: '!important'"),
            ("a: {b: !x, c: d}\n", "a: {b: '!x', c: d}"),
            ("a: @home\n", "a: '@home'"),
            ("a: b: it's\n", "a: 'b: it''s'"),
            // `${}`, ` #` in flow text, escapes in double quotes.
            ("a: {b: ${sender}, c: d}\n", "a: {b: '${sender}', c: d}"),
            ("a: {b: from ${sender} on}\n", "a: {b: 'from ${sender} on'}"),
            ("a: {b: ticket #5, c: d}\ne: f\n", "a: {b: 'ticket #5', c: d}"),
            ("a: {name: X, value: ticket #5}\n", "a: {name: X, value: 'ticket #5'}"),
            ("a: {name: X, value: ${sender}}\n", "a: {name: X, value: '${sender}'}"),
            ("a: {name: X, value: from ${sender} on, b: c}\n", "a: {name: X, value: 'from ${sender} on', b: c}"),
            ("a: \"\\d+\"\n", "a: '\\d+'"),
            ("a: {b: \"\\d\", c: d}\n", "a: {b: '\\d', c: d}"),
            // No blank behind a colon.
            ("a: {b:{c: d}}\n", "a: {b: {c: d}}"),
            ("a:[b]\nc: d\n", "a: [b]"),
            ("a:\n  - name:b\n    then: c\n", "  - name: b"),
            // Indentation.
            ("a:\n  - b: c\n    d:\n\t  e: f\n", "      e: f"),
            ("a:\n  - b: c\n   d: e\n", "    d: e"),
            ("a:\n  - b: c\n\td: e\n", "    d: e"),
        ] {
            assert_eq!(mended(text), meant, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_guessed_is_told_without_a_guess() {
        for text in ["a: 'b\nc: d\n", "a: \"b\n"] {
            assert!(mended(text).starts_with("not YAML: "), "{text}: {}", mended(text));
        }
    }

    #[test]
    fn the_line_is_drawn_under_the_problem() {
        let mut problems = Problems::default();
        parse(&Source::new("rules.yaml", "rules:\n  - name: [EXT] tag\n"), &mut problems);
        let text = problems.render(false);
        assert!(text.ends_with("help: write\n2 │   - name: '[EXT] tag'\n"), "{text}");
    }
}
