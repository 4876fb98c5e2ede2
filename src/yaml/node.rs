//! The tree a YAML file becomes.

use std::sync::Arc;

use super::{Problems, Reported, nearest};

/// A file that was read, kept for excerpts.
#[derive(Debug)]
pub struct Source {
    /// The name as shown to the operator.
    pub name: String,
    pub text: String,
}

impl Source {
    /// A text and its name. A byte order mark is taken off.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Source> {
        let mut text = text.into();
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        Arc::new(Source { name: name.into(), text })
    }

    /// A place in the text: bytes from `start` to `end`.
    #[must_use]
    pub fn span(self: &Arc<Source>, start: usize, end: usize) -> Span {
        Span { source: Arc::clone(self), start, end }
    }
}

/// A range of bytes in a [`Source`].
#[derive(Clone, Debug)]
pub struct Span {
    pub source: Arc<Source>,
    pub start: usize,
    pub end: usize,
}

impl Span {
    /// Line and column of the start, both from 1, column in characters.
    #[must_use]
    pub fn line_column(&self) -> (usize, usize) {
        let before = &self.source.text[..self.start];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    pub kind: Kind,
    pub span: Span,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Nothing, `~` or `null`, unquoted.
    Null,
    /// A scalar; `plain` is false if quoted or a block.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Clone, Debug)]
pub struct Key {
    pub text: String,
    pub span: Span,
}

impl Node {
    /// The text of a scalar, as it was written.
    #[must_use]
    pub fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The items of a list.
    #[must_use]
    pub fn list(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a mapping, in order.
    #[must_use]
    pub fn map(&self) -> Option<&[(Key, Node)]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value under `key`, if it is a mapping that has one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.map()?.iter().find(|(known, _)| known.text == key).map(|(_, node)| node)
    }

    /// What it is, for messages: "`fifty`", "a list".
    #[must_use]
    pub fn described(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Scalar { text, .. } if text.is_empty() => "an empty text".to_owned(),
            Kind::Scalar { text, .. } => format!("`{}`", shortened(text)),
            Kind::List(items) if items.is_empty() => "an empty list".to_owned(),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a mapping".to_owned(),
        }
    }

    /// Reports that something else should stand here: "`message_size` wants a size such as 50MB or 10MiB, found `fifty`".
    pub fn wants(&self, what: &str, problems: &mut Problems) -> Reported {
        let title = match problems.named() {
            Some(name) => format!("{name} wants {what}, found {}", self.described()),
            None => format!("{what} is wanted here, found {}", self.described()),
        };
        problems.error(&self.span, title, "")
    }

    /// The value of one of a few words.
    ///
    /// # Errors
    /// [`Reported`] if it is none of them; the nearest one is named.
    pub fn word<T: Copy>(&self, words: &[(&str, T)], problems: &mut Problems) -> Result<T, Reported> {
        let found = self.scalar().unwrap_or_default();
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == found) {
            return Ok(*value);
        }
        let quoted = words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>();
        let choice = match quoted.as_slice() {
            [one] => one.clone(),
            [first @ .., last] => format!("{} or {last}", first.join(", ")),
            [] => String::new(),
        };
        let title = format!("{} wants {choice}, found {}", problems.named().unwrap_or("this"), self.described());
        let label = nearest(found, words.iter().map(|(word, _)| *word)).map(|near| format!("did you mean `{near}`?"));
        Err(problems.error(&self.span, title, label.unwrap_or_default()))
    }
}

/// One line, not too long, without control characters: for a title.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text.chars().take(LONGEST).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}
