//! What rules use by its name: `lists`, `patterns`, `conditions`.

use std::path::Path;

use crate::chain::list::Lists;
use crate::chain::rule::Shared;
use crate::yaml::{Node, Problems, Settings};

/// The sections that give names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Definitions<'n> {
    lists: Option<&'n Node>,
    patterns: Option<&'n Node>,
    conditions: Option<&'n Node>,
}

impl<'n> Definitions<'n> {
    /// Takes the sections; they are read later.
    pub(super) fn take(settings: &mut Settings<'n>) -> Definitions<'n> {
        Definitions { lists: settings.node("lists"), patterns: settings.node("patterns"), conditions: settings.node("conditions") }
    }

    /// Reads them into what rule files share. Conditions may use lists and patterns, so they come last.
    pub(super) fn read(self, base: &Path, shared: &mut Shared, problems: &mut Problems) {
        if let Some(node) = self.lists {
            shared.lists = Lists::load(node, base, shared.limits, problems);
        }
        if let Some(node) = self.patterns {
            shared.patterns.load_named(node, shared.limits.pattern_size, problems);
        }
        if let Some(node) = self.conditions {
            shared.conditions = shared.named(node, problems);
        }
    }
}
