//! What the settings of actions have in common: short spelling, an own `matches`, texts.

use std::borrow::Cow;
use std::sync::Arc;

use crate::chain::entry::{KeyDoc, Load};
use crate::chain::pattern::{Flags, Pattern};
use crate::chain::text::Text;
use crate::yaml::{FromNode, Key, Kind, Node, Reported, Settings};

/// The manual's line on an action's own pattern.
pub const MATCHES: KeyDoc = KeyDoc {
    name: "matches",
    wants: "a regular expression",
    about: "What is looked for. Case is ignored unless `case: exact`; `unicode: true` lets \\w \\d \\s \\b know all scripts.",
};

/// The settings with their one needed value spelled out: `tag: x` is `tag: {name: x}`.
#[must_use]
pub fn spelled<'n>(node: &'n Node, key: &str) -> Cow<'n, Node> {
    match node.kind {
        Kind::Scalar { .. } | Kind::List(_) => {
            let key = Key { text: key.to_owned(), span: node.span.clone() };
            Cow::Owned(Node { kind: Kind::Map(vec![(key, node.clone())]), span: node.span.clone() })
        }
        Kind::Null | Kind::Map(_) => Cow::Borrowed(node),
    }
}

/// The pattern under `matches`, with `case` and `unicode` beside it.
///
/// # Errors
/// [`Reported`], every mistake in them.
pub fn own_pattern(settings: &mut Settings<'_>, load: &mut Load<'_>) -> Result<Arc<Pattern>, Reported> {
    let exact = settings
        .node("case")
        .map(|node| crate::chain::string::word(node, &[("exact", true), ("ignore", false)], load.problems))
        .transpose();
    let unicode = settings.take::<bool>("unicode", load.problems);
    let text = needed(settings, "matches", load).and_then(|node| Ok((String::from_node(node, load.problems)?, node)));
    let flags = Flags { exact: exact?.unwrap_or(false), unicode: unicode?.unwrap_or(false), ..Flags::default() };
    let (text, node) = text?;
    load.patterns
        .compile(&text, flags, load.limits.pattern_size)
        .map_err(|wrong| load.problems.error(&node.span, "`matches` wants a regular expression", wrong))
}

/// The node under a key that must be there.
///
/// # Errors
/// [`Reported`] if it is not.
pub fn needed<'n>(settings: &mut Settings<'n>, key: &'static str, load: &mut Load<'_>) -> Result<&'n Node, Reported> {
    match settings.node(key) {
        Some(node) => Ok(node),
        None => Err(load.problems.error(&settings.span, format!("{} wants `{key}`", settings.what), format!("`{key}` is missing"))),
    }
}

/// The text under a key that must be there. `own` is the action's own pattern: with one that did not load, groups cannot be judged, so nothing is said of them.
///
/// # Errors
/// [`Reported`] if it is not there or names what is not there.
pub fn text(
    settings: &mut Settings<'_>,
    key: &'static str,
    own: Option<&Result<Arc<Pattern>, Reported>>,
    load: &mut Load<'_>,
) -> Result<Text, Reported> {
    let node = needed(settings, key, load)?;
    match own {
        None => Text::load(node, None, load),
        Some(Ok(pattern)) => Text::load(node, Some(pattern.regex()), load),
        Some(Err(reported)) => Err(*reported),
    }
}
