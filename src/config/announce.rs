//! `relay.announce`: which extensions clients are told of that need every server on the way.

use crate::smtp::extension::{Extension, Extensions};
use crate::yaml::{FromNode, Node, Problems, Reported};

/// What EHLO announces end to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Announce {
    /// What every next hop that could be reached has.
    #[default]
    Mirror,
    /// These, whatever the next hops say.
    These(Extensions),
}

impl FromNode for Announce {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Announce, Reported> {
        if node.scalar() == Some("mirror") {
            return Ok(Announce::Mirror);
        }
        if node.list().is_none() {
            return Err(node.wants("mirror, or a list such as [SMTPUTF8, DSN]", problems));
        }
        let listed = Vec::<Extension>::from_node(node, problems)?;
        Ok(Announce::These(listed.into_iter().fold(Extensions::default(), |set, one| set.and(one, true))))
    }
}

impl FromNode for Extension {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Extension, Reported> {
        node.word(&Extension::ALL.map(|extension| (extension.keyword(), extension)), problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Source, parse};

    fn read(text: &str) -> Option<Announce> {
        let mut problems = Problems::default();
        let node = parse(&Source::new("test.yaml", text.to_owned()), &mut problems)?;
        Announce::from_node(&node, &mut problems).ok()
    }

    #[test]
    fn mirror_or_a_list() {
        assert_eq!(read("mirror"), Some(Announce::Mirror));
        assert_eq!(read("[]"), Some(Announce::These(Extensions::default())));
        let some = Extensions::default().and(Extension::Dsn, true).and(Extension::SmtpUtf8, true);
        assert_eq!(read("[SMTPUTF8, DSN]"), Some(Announce::These(some)));
        for wrong in ["all", "DSN", "[dsn]", "[8BITMIME]"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
