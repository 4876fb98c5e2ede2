//! The tree a YAML file becomes.

use std::sync::Arc;

/// A file that was read, kept for excerpts.
#[derive(Debug)]
pub struct Source {
    /// The name as shown to the operator.
    pub name: String,
    pub text: String,
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
