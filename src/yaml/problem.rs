//! What is wrong with a file, told so that an operator can mend it.

use std::sync::Arc;

use super::node::shortened;
use super::{Edit, Source, Span, draw};

/// How bad it is: an error stops a start, a warning never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Error,
    Warning,
}

/// One mistake.
#[derive(Clone, Debug)]
pub struct Problem {
    pub level: Level,
    /// What is wrong: "unknown action `header.delete`".
    pub title: String,
    /// Where; none for what is missing as a whole (no such file).
    pub span: Option<Span>,
    /// Written under the excerpt: "did you mean `header.remove`?", "a size such as 50MB or 10MiB is wanted". May be empty.
    pub label: String,
    /// The lines as they were probably meant.
    pub fix: Option<Fix>,
}

/// Corrected lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// The number of the first.
    pub line: usize,
    pub lines: Vec<String>,
}

impl Fix {
    /// The lines that these edits touch, with them. The edits are in order and none overlaps another.
    fn of(source: &Source, edits: &[Edit]) -> Option<Fix> {
        let text = &source.text;
        let start = text[..edits.first()?.0.start].rfind('\n').map_or(0, |end| end + 1);
        let last = edits.last()?.0.end;
        let end = text[last..].find('\n').map_or(text.len(), |end| last + end);
        let mut meant = text[start..end].to_owned();
        for (range, with) in edits.iter().rev() {
            meant.replace_range(range.start - start..range.end - start, with);
        }
        Some(Fix { line: text[..start].matches('\n').count() + 1, lines: meant.lines().map(str::to_owned).collect() })
    }
}

/// All mistakes found so far, in the order they were found.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    found: Vec<Problem>,
    /// The key whose value is being read: "`message_size`".
    name: Option<String>,
}

/// A problem has been put into [`Problems`]; there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported;

impl Problem {
    /// `file:line:column`, if it has a place.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        self.span.as_ref().map(|span| {
            let (line, column) = span.line_column();
            format!("{}:{line}:{column}", span.source.name)
        })
    }
}

impl Problems {
    /// Adds an error and returns the mark that says so, to be used with `?`.
    pub fn error(&mut self, span: &Span, title: impl Into<String>, label: impl Into<String>) -> Reported {
        self.add(Level::Error, Some(span.clone()), title.into(), label.into())
    }

    /// Shows with the problem added last what was probably meant, in the same file.
    pub fn mend(&mut self, edits: &[Edit]) {
        if let Some(problem) = self.found.last_mut() {
            problem.fix = problem.span.as_ref().and_then(|span| Fix::of(&span.source, edits));
        }
    }

    /// Takes an error back that another one tells better.
    pub fn take_back(&mut self, span: &Span, title: &str) {
        let there = |other: &Span| Arc::ptr_eq(&other.source, &span.source) && (other.start, other.end) == (span.start, span.end);
        self.found.retain(|problem| problem.title != title || !problem.span.as_ref().is_some_and(there));
    }

    /// Adds an error that has no place: a file that is not there.
    pub fn missing(&mut self, title: impl Into<String>, label: impl Into<String>) -> Reported {
        self.add(Level::Error, None, title.into(), label.into())
    }

    /// Adds a warning.
    pub fn warning(&mut self, span: &Span, title: impl Into<String>, label: impl Into<String>) {
        self.add(Level::Warning, Some(span.clone()), title.into(), label.into());
    }

    fn add(&mut self, level: Level, span: Option<Span>, title: String, label: String) -> Reported {
        self.found.push(Problem { level, title, span, label, fix: None });
        Reported
    }

    /// Adds an error about a word that is none of the valid ones, with the nearest of them: "unknown action `header.delete`", "did you mean `header.remove`?".
    pub fn unknown<'a>(&mut self, span: &Span, what: &str, word: &str, valid: impl IntoIterator<Item = &'a str>) -> Reported {
        const MOST_LISTED: usize = 40;
        let valid: Vec<&str> = valid.into_iter().collect();
        let label = match nearest(word, valid.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if valid.is_empty() => "none is known here".to_owned(),
            None if valid.len() > MOST_LISTED => String::new(),
            None => format!("known: {}", valid.join(", ")),
        };
        self.error(span, format!("unknown {what} `{}`", shortened(word)), label)
    }

    /// Puts them into the order of the places they speak of: file by file as first met, from top to bottom; what has no place first.
    pub fn sort(&mut self) {
        let mut files: Vec<Arc<Source>> = Vec::new();
        for span in self.found.iter().filter_map(|problem| problem.span.as_ref()) {
            if !files.iter().any(|file| Arc::ptr_eq(file, &span.source)) {
                files.push(Arc::clone(&span.source));
            }
        }
        let file = |span: &Span| files.iter().position(|file| Arc::ptr_eq(file, &span.source));
        self.found.sort_by_key(|problem| problem.span.as_ref().map(|span| (file(span), span.start)));
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.found.iter()
    }

    /// Takes over what another one found.
    pub fn append(&mut self, mut other: Problems) {
        self.found.append(&mut other.found);
    }

    /// Leaves each once that is found several times.
    pub fn dedup(&mut self) {
        let mut known: Vec<Problem> = Vec::new();
        let place = |problem: &Problem| problem.span.as_ref().map(|span| (Arc::as_ptr(&span.source), span.start));
        for problem in std::mem::take(&mut self.found) {
            if !known.iter().any(|other| other.title == problem.title && place(other) == place(&problem)) {
                known.push(problem);
            }
        }
        self.found = known;
    }

    /// Whether there is none, not even a warning.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How many are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.found.iter().filter(|problem| problem.level == Level::Error).count()
    }

    /// Whether any of them is an error.
    #[must_use]
    pub fn any_error(&self) -> bool {
        self.errors() > 0
    }

    /// Reads something that messages call `name`.
    pub fn naming<T>(&mut self, name: String, read: impl FnOnce(&mut Problems) -> T) -> T {
        let outer = self.name.replace(name);
        let value = read(self);
        self.name = outer;
        value
    }

    /// What the value being read is called.
    #[must_use]
    pub fn named(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// All of them as text, with file, line, column and excerpt; `color` adds ANSI escapes.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        self.found.iter().map(|problem| draw::draw(problem, color)).collect()
    }

    /// The line that ends a report: "2 errors; nothing was started".
    #[must_use]
    pub fn summary(&self, consequence: &str) -> String {
        match self.errors() {
            1 => format!("1 error; {consequence}"),
            count => format!("{count} errors; {consequence}"),
        }
    }
}

impl<'p> IntoIterator for &'p Problems {
    type Item = &'p Problem;
    type IntoIter = std::slice::Iter<'p, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The word of `valid` that `word` was probably meant to be.
#[must_use]
pub fn nearest<'a>(word: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    valid
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(word.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_file_by_file_from_top_to_bottom() {
        let (one, two) = (Source::new("one", "abc"), Source::new("two", "abc"));
        let mut problems = Problems::default();
        problems.error(&one.span(2, 3), "c", "");
        problems.error(&two.span(0, 1), "d", "");
        problems.error(&one.span(0, 1), "b", "");
        problems.missing("a", "");
        problems.sort();
        assert_eq!(problems.iter().map(|problem| problem.title.as_str()).collect::<String>(), "abcd");
    }

    #[test]
    fn the_nearest_word_is_offered_only_if_it_is_near() {
        assert_eq!(nearest("header.delet", ["header.add", "header.remove", "header.delete"]), Some("header.delete"));
        assert_eq!(nearest("next_hop", ["next_hops", "commit"]), Some("next_hops"));
        assert_eq!(nearest("colour", ["commit", "balance"]), None);
    }
}
