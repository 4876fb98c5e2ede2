//! What the chain decided about one mail.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::mail::Mail;
use crate::smtp::reply::Enhanced;

/// The way out of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Deliver,
    Reject(Verdict),
    Defer(Verdict),
    Discard,
}

/// The reply a rule asks for: printable ASCII, one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub code: u16,
    pub enhanced: Enhanced,
    pub text: String,
}

/// Why a copy is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub rule: Arc<str>,
    pub reason: String,
}

/// A rule that failed, and what that led to is in the outcome or the holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub rule: Arc<str>,
    pub error: String,
}

/// What became of one rule that a mail came to, for the counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    pub rule: Arc<str>,
    /// It was not in force.
    pub observed: bool,
    pub fired: bool,
    pub error: Option<String>,
    /// In force, it would have made something else of this mail. Of an observed rule only.
    pub different: bool,
}

impl Sight {
    /// What became of it for another recipient of the same mail.
    pub(super) fn add(&mut self, other: &Sight) {
        self.fired |= other.fired;
        self.different |= other.different;
        if self.error.is_none() {
            self.error.clone_from(&other.error);
        }
    }
}

/// Everything that came out of a run.
#[derive(Clone, Debug)]
pub struct Ruling {
    /// The mail as the chain left it: edited message, edited envelope.
    pub mail: Mail,
    pub outcome: Outcome,
    /// Non-empty: this copy is held (unless the outcome is a reject, defer or discard). In order; the first reason stands.
    pub holds: Vec<Hold>,
    /// The route that rules or the recipients' domain gave it; none: as the listener says.
    pub route: Option<Arc<str>>,
    /// Names of the rules in force that fired, in order.
    pub fired: Vec<Arc<str>>,
    pub failures: Vec<Failure>,
    /// The rule that was asked last: it ended the chain if the outcome is a verdict.
    pub last: Arc<str>,
    /// Every rule that was asked, in order, those that are only observed as well.
    pub seen: Vec<Sight>,
    pub tags: Vec<String>,
    /// Scores by name; the unnamed total under "".
    pub scores: BTreeMap<String, f64>,
    /// Texts of `log` actions, with the rule that wrote each.
    pub logs: Vec<(Arc<str>, String)>,
}

impl Ruling {
    /// Of a mail that is for nobody.
    #[must_use]
    pub fn discarded(mail: Mail) -> Ruling {
        Ruling { outcome: Outcome::Discard, ..Ruling::of(mail) }
    }

    /// Of a mail that no rule has seen.
    #[must_use]
    pub fn of(mail: Mail) -> Ruling {
        Ruling {
            mail,
            outcome: Outcome::Deliver,
            holds: Vec::new(),
            route: None,
            fired: Vec::new(),
            failures: Vec::new(),
            last: Arc::from(""),
            seen: Vec::new(),
            tags: Vec::new(),
            scores: BTreeMap::new(),
            logs: Vec::new(),
        }
    }

    /// Names of the rules that fired and were only observed, in order.
    pub fn observed(&self) -> impl Iterator<Item = &str> {
        self.seen.iter().filter(|sight| sight.observed && sight.fired).map(|sight| &*sight.rule)
    }

    /// Names of all rules whose conditions held, in order, in force or not.
    pub fn all_fired(&self) -> impl Iterator<Item = &Arc<str>> {
        self.seen.iter().filter(|sight| sight.fired).map(|sight| &sight.rule)
    }

    /// What the client hears if the rules reject or defer: code, enhanced code and text.
    #[must_use]
    pub fn reply(&self) -> Option<String> {
        let (Outcome::Reject(verdict) | Outcome::Defer(verdict)) = &self.outcome else { return None };
        Some(format!("{} {} {}", verdict.code, verdict.enhanced, verdict.text))
    }

    /// The word tests and logs use: `deliver`, `quarantine`, `reject`, `defer` or `discard`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match &self.outcome {
            Outcome::Deliver if self.holds.is_empty() => "deliver",
            Outcome::Deliver => "quarantine",
            Outcome::Reject(_) => "reject",
            Outcome::Defer(_) => "defer",
            Outcome::Discard => "discard",
        }
    }
}
