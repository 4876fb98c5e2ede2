//! Taking a mapping apart key by key, so that a leftover key is an unknown key with its place.

use super::{Key, Kind, Node, Problems, Reported, Span};

/// What can be read from a node. An implementation reports its own problem at the node's span.
pub trait FromNode: Sized {
    /// # Errors
    /// [`Reported`] after at least one problem was added.
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported>;
}

/// The keys of one mapping that are not taken yet.
#[derive(Debug)]
pub struct Settings<'n> {
    /// What the mapping is, for messages: "`header.remove`".
    pub what: String,
    pub span: Span,
    entries: Vec<(&'n Key, &'n Node, bool)>,
    valid: Vec<&'static str>,
}

impl<'n> Settings<'n> {
    /// The keys of `node`, which must be a mapping (or null: no keys). Duplicate keys are already reported by the parser.
    ///
    /// # Errors
    /// [`Reported`] if it is anything else.
    pub fn of(what: impl Into<String>, node: &'n Node, problems: &mut Problems) -> Result<Settings<'n>, Reported> {
        let _ = (what.into(), node, problems);
        todo!("config helper")
    }

    /// The node under `key`, marked as known and taken.
    pub fn node(&mut self, key: &'static str) -> Option<&'n Node> {
        let _ = key;
        todo!("config helper")
    }

    /// The value under `key`, or none if it is absent.
    ///
    /// # Errors
    /// [`Reported`] if it is there and wrong.
    pub fn take<T: FromNode>(&mut self, key: &'static str, problems: &mut Problems) -> Result<Option<T>, Reported> {
        self.node(key).map(|node| T::from_node(node, problems)).transpose()
    }

    /// The value under `key`, which must be there.
    ///
    /// # Errors
    /// [`Reported`] if it is absent or wrong.
    pub fn need<T: FromNode>(&mut self, key: &'static str, problems: &mut Problems) -> Result<T, Reported> {
        let _ = (key, problems);
        todo!("config helper")
    }

    /// Reports every key that was not taken, with the nearest one asked for.
    ///
    /// # Errors
    /// [`Reported`] if there was one.
    pub fn finish(self, problems: &mut Problems) -> Result<(), Reported> {
        let _ = (problems, self.entries, self.valid);
        todo!("config helper")
    }
}

impl FromNode for String {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<String, Reported> {
        match &node.kind {
            Kind::Scalar { text, .. } => Ok(text.clone()),
            _ => Err(problems.error(&node.span, "a text is wanted", "")),
        }
    }
}

impl FromNode for bool {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<bool, Reported> {
        match &node.kind {
            Kind::Scalar { text, plain: true } if text == "true" => Ok(true),
            Kind::Scalar { text, plain: true } if text == "false" => Ok(false),
            _ => Err(problems.error(&node.span, "true or false is wanted", "")),
        }
    }
}
