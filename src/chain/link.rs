//! A link of the chain: the rule files of one `include`, when they apply, and whether they are in force.

use std::sync::Arc;

use serde::Serialize;

use super::class;
use super::condition::Condition;
use super::entry::Uses;
use super::facts::Facts;
use super::rule::{Rule, RuleFile};
use super::run::{ActionError, guarded};
use super::string::word;
use crate::yaml::{FromNode, Node, Problems, Reported};

/// Whether rules are in force. The later ones are the stricter: of an entry's mode and a rule's the stricter one holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Enforce,
    /// Evaluated, logged and counted; nothing of it reaches the mail.
    Observe,
    /// As if it were not written.
    Disabled,
}

/// What the manual says of `mode`.
pub const MODES: &str = "enforce, observe or disabled";

impl Mode {
    /// As the rule language spells it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Observe => "observe",
            Mode::Disabled => "disabled",
        }
    }
}

impl FromNode for Mode {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Mode, Reported> {
        let all = [Mode::Enforce, Mode::Observe, Mode::Disabled];
        word(node, &all.map(|one| (one.word(), one)), problems)
    }
}

/// One entry of `chain:`.
#[derive(Debug)]
pub struct Link {
    /// What it includes, as written: stands for a rule where the entry's own `when` fails.
    pub name: Arc<str>,
    /// `file:line`.
    pub place: String,
    pub mode: Mode,
    /// Absent: always.
    pub when: Option<When>,
    pub files: Vec<Arc<RuleFile>>,
}

/// When an entry applies.
#[derive(Debug)]
pub struct When {
    pub(super) condition: Box<dyn Condition>,
    pub(super) uses: Uses,
    /// As it is written.
    pub(super) node: Node,
}

impl When {
    /// Whether it asks for nothing but what is known of a recipient before the message is here.
    pub(super) fn is_of_recipient(&self) -> bool {
        self.uses.conditions.iter().all(|(name, _)| class::CONDITIONS.contains(name) && *name != "size")
    }
}

impl Link {
    /// Rule files that apply always and are in force.
    #[must_use]
    pub fn of(files: Vec<Arc<RuleFile>>) -> Link {
        Link { name: Arc::from(""), place: String::new(), mode: Mode::Enforce, when: None, files }
    }

    /// Whether its rules are to be asked.
    pub(super) fn applies(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        self.when.as_ref().map_or(Ok(true), |when| when.condition.holds(facts))
    }

    /// Whether its own `when` tells recipients apart.
    pub(super) fn tells_apart(&self) -> bool {
        self.when.as_ref().is_some_and(|when| when.uses.tell_apart())
    }

    /// The answers of its `when` that tell recipients apart, if it has any.
    pub(super) fn of_recipient(&self, facts: &dyn Facts) -> Result<Option<Vec<bool>>, (Arc<str>, ActionError)> {
        let Some(when) = self.when.as_ref().filter(|_| self.tells_apart()) else { return Ok(None) };
        let mut answers = Vec::new();
        let answered = guarded(|| when.condition.of_recipient(facts, &mut answers));
        answered.map(|()| Some(answers)).map_err(|error| (Arc::clone(&self.name), error))
    }

    /// Those that are not disabled.
    pub(super) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.files.iter().flat_map(|file| &file.rules).filter(|rule| rule.mode != Mode::Disabled)
    }
}
