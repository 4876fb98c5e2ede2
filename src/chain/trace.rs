//! What `explain` tells: each rule, each condition with the value it saw, each edit before and after.

use serde::Serialize;

use super::rule::OnError;

/// A run, told rule by rule.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Trace {
    pub rules: Vec<RuleTrace>,
    /// How deep the conditions being asked stand in each other.
    #[serde(skip)]
    open: Vec<usize>,
    #[serde(skip)]
    action: &'static str,
}

/// One rule.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RuleTrace {
    pub name: String,
    /// `file:line`.
    pub place: String,
    /// A chain entry with a `when` of its own, no rule.
    pub entry: bool,
    /// Evaluated only: nothing of it reached the mail.
    pub observed: bool,
    pub fired: bool,
    /// The recipient that it was asked about at RCPT, where others of the same copy were answered otherwise.
    pub recipient: Option<String>,
    pub conditions: Vec<Asked>,
    pub edits: Vec<Edit>,
    /// Why it failed, and what that led to.
    pub error: Option<String>,
}

/// A condition that was asked.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    pub depth: usize,
    /// As the operator wrote it, on one line.
    pub condition: String,
    /// The values it looked at.
    pub saw: Vec<String>,
    /// None: it could not be answered.
    pub holds: Option<bool>,
}

/// Something an action did.
#[derive(Clone, Debug, Serialize)]
pub struct Edit {
    pub action: &'static str,
    /// What was edited: "Subject", "body".
    pub what: String,
    pub before: String,
    pub after: String,
    /// What there is to say beside or instead of an edit.
    pub note: Option<String>,
}

/// More values than this are not listed; the manual part of an explanation stays readable.
const VALUES: usize = 20;

impl Trace {
    /// What these rules said of one recipient, where it is not what they said of the one before it.
    pub(super) fn of_another(&self, first: &Trace, recipient: &str) -> Vec<RuleTrace> {
        let other = |rule: &&RuleTrace| {
            let known = first.rules.iter().find(|known| known.name == rule.name);
            !rule.entry && known.is_none_or(|known| known.fired != rule.fired || known.error != rule.error)
        };
        self.rules.iter().filter(other).map(|rule| RuleTrace { recipient: Some(recipient.to_owned()), ..rule.clone() }).collect()
    }

    pub(super) fn begin(&mut self, name: &str, place: String, observed: bool) {
        self.open.clear();
        self.rules.push(RuleTrace { name: name.to_owned(), place, observed, ..RuleTrace::default() });
    }

    pub(super) fn begin_entry(&mut self, name: &str, place: &str, observed: bool) {
        self.begin(&format!("include {name}"), place.to_owned(), observed);
        if let Some(entry) = self.rules.last_mut() {
            entry.entry = true;
        }
    }

    pub(super) fn asked(&mut self, condition: &str) {
        let depth = self.open.len();
        if let Some(rule) = self.rules.last_mut() {
            self.open.push(rule.conditions.len());
            rule.conditions.push(Asked { depth, condition: condition.to_owned(), saw: Vec::new(), holds: None });
        }
    }

    pub(super) fn saw(&mut self, value: String) {
        if let (Some(rule), Some(&at)) = (self.rules.last_mut(), self.open.last())
            && let Some(asked) = rule.conditions.get_mut(at)
            && asked.saw.len() < VALUES
            && !asked.saw.contains(&value)
        {
            asked.saw.push(value);
        }
    }

    pub(super) fn answered(&mut self, holds: Option<bool>) {
        if let (Some(rule), Some(at)) = (self.rules.last_mut(), self.open.pop())
            && let Some(asked) = rule.conditions.get_mut(at)
        {
            asked.holds = holds;
        }
    }

    pub(super) fn decided(&mut self, fired: bool) {
        if let Some(rule) = self.rules.last_mut() {
            rule.fired = fired;
        }
    }

    /// The rule is asked again later.
    pub(super) fn put_off(&mut self) {
        if let Some(rule) = self.rules.last_mut() {
            rule.fired = false;
            rule.error = Some("the size was not announced: asked again when the message is here".to_owned());
        }
    }

    pub(super) fn action(&mut self, name: &'static str) {
        self.action = name;
        if let Some(rule) = self.rules.last_mut() {
            rule.edits.push(Edit { action: name, what: String::new(), before: String::new(), after: String::new(), note: None });
        }
    }

    /// The line of the running action that nothing was written into yet, or a new one.
    fn line(&mut self) -> Option<&mut Edit> {
        let action = self.action;
        let edits = &mut self.rules.last_mut()?.edits;
        if !edits.last().is_some_and(|edit| edit.what.is_empty() && edit.note.is_none()) {
            edits.push(Edit { action, what: String::new(), before: String::new(), after: String::new(), note: None });
        }
        edits.last_mut()
    }

    pub(super) fn edited(&mut self, what: &str, before: &str, after: &str) {
        if let Some(edit) = self.line() {
            what.clone_into(&mut edit.what);
            before.clone_into(&mut edit.before);
            after.clone_into(&mut edit.after);
        }
    }

    pub(super) fn noted(&mut self, text: &str) {
        if let Some(edit) = self.line() {
            edit.note = Some(text.to_owned());
        }
    }

    /// Without `then`: it was only observed.
    pub(super) fn failed(&mut self, error: &str, then: Option<OnError>) {
        if let Some(rule) = self.rules.last_mut() {
            // The rule is all or nothing: none of these edits stands.
            rule.edits.clear();
            rule.error = Some(format!("{error} → {}", then.map_or("nothing, as it is only observed", OnError::word)));
        }
    }
}
