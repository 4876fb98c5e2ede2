//! What is wrong with a file, told so that an operator can mend it.

use super::{Span, draw};

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
}

/// All mistakes found so far.
#[derive(Debug, Default)]
pub struct Problems(pub Vec<Problem>);

/// A problem has been put into [`Problems`]; there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported;

impl Problems {
    /// Adds an error and returns the mark that says so, to be used with `?`.
    pub fn error(&mut self, span: &Span, title: impl Into<String>, label: impl Into<String>) -> Reported {
        self.0.push(Problem { level: Level::Error, title: title.into(), span: Some(span.clone()), label: label.into() });
        Reported
    }

    /// Adds a warning.
    pub fn warning(&mut self, span: &Span, title: impl Into<String>, label: impl Into<String>) {
        self.0.push(Problem { level: Level::Warning, title: title.into(), span: Some(span.clone()), label: label.into() });
    }

    /// Adds an error that has no place: a file that is not there.
    pub fn missing(&mut self, title: impl Into<String>, label: impl Into<String>) -> Reported {
        self.0.push(Problem { level: Level::Error, title: title.into(), span: None, label: label.into() });
        Reported
    }

    /// Whether any of them is an error.
    #[must_use]
    pub fn any_error(&self) -> bool {
        self.0.iter().any(|problem| problem.level == Level::Error)
    }

    /// All of them as text, with file, line, column and excerpt; `color` adds ANSI escapes.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        self.0.iter().map(|problem| draw::draw(problem, color)).collect()
    }

    /// The line that ends a report: "2 errors; nothing was started".
    #[must_use]
    pub fn summary(&self, consequence: &str) -> String {
        match self.0.iter().filter(|problem| problem.level == Level::Error).count() {
            1 => format!("1 error; {consequence}"),
            count => format!("{count} errors; {consequence}"),
        }
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
