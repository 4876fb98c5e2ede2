//! What the lists of actions and conditions are made of. The reference manual, "did you mean" and the example tests come from these entries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Limits;
use super::condition::Condition;
use super::list::Lists;
use super::pattern::Patterns;
use super::route::Routes;
use crate::mail::Inside;
use crate::yaml::{Kind, Node, Problems, Reported, Settings, Span, nearest};

/// One action or condition: what it is called, what the manual says, and how it is read.
pub struct Entry<T: ?Sized + 'static> {
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    pub keys: &'static [KeyDoc],
    /// YAML, as it stands in a rule: for an action one item of `then`, for a condition what stands under `when`.
    pub example: &'static str,
    /// A mail. For a condition: one that the example holds for.
    pub before: &'static str,
    /// What the action makes of it, byte for byte. For a condition: a mail that the example does not hold for.
    pub after: &'static str,
    /// Reads the settings; every problem is reported at its place.
    pub load: fn(&Node, &mut Load<'_>) -> Result<Box<T>, Reported>,
}

impl<T: ?Sized> std::fmt::Debug for Entry<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A key of an entry, for the manual.
#[derive(Clone, Copy, Debug)]
pub struct KeyDoc {
    pub name: &'static str,
    /// What stands there: "a text", "a size such as 10MB".
    pub wants: &'static str,
    pub about: &'static str,
}

/// A condition with a name, and the groups its patterns capture.
#[derive(Clone, Debug)]
pub struct Named {
    pub condition: Arc<dyn Condition>,
    pub groups: BTreeSet<String>,
    /// What it asks for.
    pub uses: Uses,
}

/// What was used while something was read, each with its place.
#[derive(Clone, Debug, Default)]
pub struct Uses {
    pub conditions: Vec<(&'static str, Span)>,
    /// Named groups of what `recipient` tests: their values are other ones for another recipient.
    pub groups: BTreeSet<String>,
    /// Texts with `${recipient}` or such a group, and how they name it.
    pub recipient: Vec<(String, Span)>,
    /// Texts with `${header:…}`.
    pub header: Vec<Span>,
}

impl Uses {
    /// A condition was used.
    pub fn condition(&mut self, name: &'static str, span: &Span) {
        self.conditions.push((name, span.clone()));
    }

    /// Whether a condition is among them that tells recipients apart.
    #[must_use]
    pub fn tell_apart(&self) -> bool {
        self.conditions.iter().any(|(name, _)| ["recipient", "direction"].contains(name))
    }
}

/// Conditions by name, as `condition: NAME` uses them.
pub type NamedConditions = BTreeMap<String, Named>;

/// What reading a rule needs and fills in.
#[derive(Debug)]
pub struct Load<'a> {
    pub problems: &'a mut Problems,
    pub limits: Limits,
    pub inside: &'a Inside,
    /// Named conditions that may be used here.
    pub conditions: &'a NamedConditions,
    /// Named lists that may be used here.
    pub lists: &'a Lists,
    /// Named next hops.
    pub routes: &'a Routes,
    /// All patterns of the chain, each compiled once.
    pub patterns: &'a mut Patterns,
    /// Named groups captured so far: complete when the actions are read.
    pub groups: BTreeSet<String>,
    /// Name of the rule being read.
    pub rule: Arc<str>,
    /// Whether that rule may edit signed parts.
    pub break_signatures: bool,
    /// The configuration does not say what is inside.
    pub without_inside: bool,
    /// Conditions and values used so far.
    pub uses: Uses,
}

impl Load<'_> {
    /// The keys of a mapping. See [`Settings::of`].
    ///
    /// # Errors
    /// [`Reported`] if it is no mapping.
    pub fn settings<'n>(&mut self, what: &str, node: &'n Node) -> Result<Settings<'n>, Reported> {
        Settings::of(what, node, self.problems)
    }
}

/// The entry called `name`.
#[must_use]
pub fn find<T: ?Sized>(entries: &'static [&'static Entry<T>], name: &str) -> Option<&'static Entry<T>> {
    entries.iter().copied().find(|entry| entry.name == name)
}

/// Reports that `name` is none of `entries`; `kind` is "action" or "condition".
pub fn unknown<T: ?Sized>(
    entries: &'static [&'static Entry<T>],
    kind: &str,
    name: &str,
    span: &crate::yaml::Span,
    problems: &mut Problems,
) -> Reported {
    let field = ["from", "to", "cc", "bcc", "reply-to", "reply_to"].contains(&name.to_ascii_lowercase().as_str());
    let label = match nearest(name, entries.iter().map(|entry| entry.name)) {
        _ if field && kind == "condition" => {
            "`sender` and `recipient` are those of the envelope; a field is asked with `address: {header: From, …}` or `header: {name: From, …}`"
                .to_owned()
        }
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("`transom reference` lists every {kind}"),
    };
    problems.error(span, format!("unknown {kind} `{name}`"), label)
}

/// A node for the settings of an entry written as a bare word: nothing, at the word's place.
#[must_use]
pub fn no_settings(word: &Node) -> Node {
    Node { kind: Kind::Null, span: word.span.clone() }
}
