//! The chain: rules in order, actions in order, each seeing what earlier ones did. Pure: a mail of one class in, a [`ruling::Ruling`] out.
//!
//! A rule file becomes a [`rule::RuleFile`], files become a [`Chain`], a [`Run`] takes one mail through it. Conditions see values through [`facts::Facts`]; an
//! action edits the run's mail. What either may be called with stands in the lists [`condition::ENTRIES`] and `action::ENTRIES`.
pub mod action;
pub mod class;
pub mod condition;
pub mod entry;
pub mod example;
pub mod facts;
pub mod html;
pub mod link;
pub mod lint;
pub mod list;
pub mod named;
mod network;
pub mod pattern;
pub mod route;
pub mod rule;
pub mod ruling;
mod run;
pub mod skeleton;
pub mod string;
pub mod test;
pub mod text;
pub mod trace;

pub use entry::{Entry, KeyDoc, Load};
pub use run::{Action, ActionError, Flow, Run};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::mail::Inside;
use crate::yaml::Problems;
use entry::NamedConditions;
use link::Link;
use list::Lists;
use named::NamedPatterns;
use pattern::Patterns;
use route::Routes;
use rule::{Rule, RuleFile, Shared};

/// What a run may spend (CONFIG `limits.chain`). What a limit cuts is an error of the rule, never a shorter look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub time: Duration,
    /// Bytes decoded over the whole run.
    pub decoded: u64,
    /// Bytes of a compiled pattern.
    pub pattern_size: u64,
    /// Entries of one named list.
    pub list_entries: u64,
    /// Recipients that rules may add.
    pub added_recipients: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            time: Duration::from_secs(10),
            decoded: 200_000_000,
            pattern_size: 1_000_000,
            list_entries: 1_000_000,
            added_recipients: 100,
        }
    }
}

/// Rules, compiled and ready.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    links: Vec<Arc<Link>>,
    /// Those of all links.
    files: Vec<Arc<RuleFile>>,
    limits: Limits,
    inside: Arc<Inside>,
    without_inside: bool,
    conditions: NamedConditions,
    lists: Lists,
    routes: Arc<Routes>,
    patterns: NamedPatterns,
}

impl Chain {
    /// A chain of links in the order given. Reports names that two rules bear.
    pub fn build(links: Vec<Link>, shared: &Shared, problems: &mut Problems) -> Chain {
        let files: Vec<_> = links.iter().flat_map(|link| link.files.iter().map(Arc::clone)).collect();
        let mut seen: HashMap<Arc<str>, &Rule> = HashMap::new();
        for rule in files.iter().flat_map(|file| &file.rules) {
            let first = *seen.entry(Arc::clone(&rule.name)).or_insert(rule);
            // Two of one file were reported when it was read.
            if !Arc::ptr_eq(&first.span.source, &rule.span.source) {
                let label = format!("the first one stands in {}", first.place());
                problems.error(&rule.span, format!("a second rule is called `{}`", rule.name), label);
            }
        }
        for link in &links {
            class::check_entry(link, problems);
        }
        let links = links.into_iter().map(Arc::new).collect();
        Chain {
            links,
            files,
            limits: shared.limits,
            inside: Arc::clone(&shared.inside),
            without_inside: shared.without_inside,
            conditions: shared.conditions.clone(),
            lists: shared.lists.clone(),
            routes: Arc::clone(&shared.routes),
            patterns: shared.patterns.named.clone(),
        }
    }

    /// What another rule file needs to be read as if it stood in this chain.
    #[must_use]
    pub fn shared(&self) -> Shared {
        let patterns = Patterns::with_named(self.patterns.clone());
        Shared {
            limits: self.limits,
            inside: Arc::clone(&self.inside),
            without_inside: self.without_inside,
            conditions: self.conditions.clone(),
            lists: self.lists.clone(),
            routes: Arc::clone(&self.routes),
            patterns,
        }
    }

    /// The rule files, in order.
    #[must_use]
    pub fn files(&self) -> &[Arc<RuleFile>] {
        &self.files
    }

    /// What a run of it may spend.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What is inside for its rules.
    #[must_use]
    pub fn inside(&self) -> &Inside {
        &self.inside
    }

    /// Its links, in order.
    #[must_use]
    pub fn links(&self) -> &[Arc<Link>] {
        &self.links
    }
}
