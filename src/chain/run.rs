//! The cursor over the rules, with the mail it works on.
//!
//! | a rule's conditions    | its actions      | what follows                                                  |
//! |------------------------|------------------|---------------------------------------------------------------|
//! | hold (or do not)       | `then` (`else`)  | the next rule; after `leave` the next file; after a verdict the end |
//! | fail, or an action fails | undone as a whole | `on_error`: hold or skip and go on, or reject or defer and end |

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::Limits;
use super::facts::Groups;
use super::rule::{OnError, Rule, RuleFile};
use super::ruling::{Failure, Hold, Outcome, Ruling, Verdict};
use super::trace::Trace;
use crate::base::clock;
use crate::mail::{Inside, Mail};
use crate::message::{Fault, Message, PartId};
use crate::smtp::reply::Enhanced;

/// What changes a mail, or ends its way. The struct *is* the settings.
pub trait Action: std::fmt::Debug + Send + Sync {
    /// # Errors
    /// Why it cannot be done; the rule's edits are undone then.
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError>;

    /// Whether nothing after it can run, so that an action written after it is a mistake.
    fn is_verdict(&self) -> bool {
        false
    }
}

/// Where the run goes after an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    /// To the next action.
    Next,
    /// To the next rule file.
    Leave,
    /// Out of the chain.
    End(Outcome),
}

/// Why a condition or an action could not be carried out. Whose fault it is decides what `on_error` defaults to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// The message's: hold it.
    #[error("{0}")]
    Message(String),
    /// The machine's: try again later.
    #[error("{0}")]
    Machine(String),
}

impl From<Fault> for ActionError {
    fn from(fault: Fault) -> ActionError {
        match fault {
            Fault::Message(text) => ActionError::Message(text),
            Fault::Disk(_) | Fault::NoMemory => ActionError::Machine(fault.to_string()),
        }
    }
}

/// What a failing rule puts back.
#[derive(Clone, Debug)]
struct State {
    mail: Mail,
    tags: Vec<String>,
    scores: BTreeMap<String, f64>,
    holds: Vec<Hold>,
    logs: Vec<(Arc<str>, String)>,
    added: u64,
}

/// One mail on its way through the chain.
#[derive(Debug)]
pub struct Run {
    /// The mail as it now stands; actions edit it.
    pub mail: Mail,
    /// The message as it came.
    pub received: Message,
    pub inside: Arc<Inside>,
    pub(super) tags: Vec<String>,
    pub(super) scores: BTreeMap<String, f64>,
    pub(super) trace: Option<RefCell<Trace>>,
    /// What the rule's `when` captured.
    pub(super) groups: RefCell<Groups>,
    /// HTML as a reader sees it, beside the source it was made from.
    pub(super) shown: RefCell<BTreeMap<PartId, (Arc<str>, Arc<str>)>>,
    rule: Arc<str>,
    holds: Vec<Hold>,
    logs: Vec<(Arc<str>, String)>,
    fired: Vec<Arc<str>>,
    failures: Vec<Failure>,
    limits: Limits,
    began: Instant,
    decoded: Cell<u64>,
    added: u64,
}

/// What an action may ask for and leave behind.
impl Run {
    /// A mail at the start of the chain.
    #[must_use]
    pub fn new(mail: Mail, limits: Limits, inside: Arc<Inside>, traced: bool) -> Run {
        Run {
            received: mail.message.clone(),
            mail,
            inside,
            tags: Vec::new(),
            scores: BTreeMap::new(),
            trace: traced.then(RefCell::default),
            groups: RefCell::default(),
            shown: RefCell::default(),
            rule: Arc::from(""),
            holds: Vec::new(),
            logs: Vec::new(),
            fired: Vec::new(),
            failures: Vec::new(),
            limits,
            began: clock::monotonic(),
            decoded: Cell::new(0),
            added: 0,
        }
    }

    /// Marks this copy as held. The chain goes on.
    pub fn hold(&mut self, reason: impl Into<String>) {
        self.holds.push(Hold { rule: Arc::clone(&self.rule), reason: reason.into() });
    }

    pub fn add_tag(&mut self, tag: impl Into<String>) {
        let tag = tag.into();
        if !self.tags.contains(&tag) {
            self.tags.push(tag);
        }
    }

    /// Adds to the score of that name; the unnamed total is "".
    pub fn add_score(&mut self, name: &str, points: f64) {
        *self.scores.entry(name.to_owned()).or_default() += points;
    }

    /// The score of that name; the unnamed total under "".
    #[must_use]
    pub fn score(&self, name: &str) -> f64 {
        self.scores.get(name).copied().unwrap_or_default()
    }

    /// Writes a line into the log when the run is over.
    pub fn log(&mut self, text: impl Into<String>) {
        self.logs.push((Arc::clone(&self.rule), text.into()));
    }

    /// What the named group `name` of the rule's `when` matched.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<String> {
        self.groups.borrow().get(name).cloned()
    }

    /// Whether anybody reads what [`Run::edited`] is told.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// Tells `explain` of an edit: what was edited, how it read before and after. Empty: it was not there.
    pub fn edited(&mut self, what: &str, before: &str, after: &str) {
        if let Some(trace) = &mut self.trace {
            trace.get_mut().edited(what, before, after);
        }
    }

    /// Tells `explain` something else that an action did or left alone.
    pub fn noted(&mut self, text: &str) {
        if let Some(trace) = &mut self.trace {
            trace.get_mut().noted(text);
        }
    }

    /// Counts `bytes` that are about to be decoded.
    ///
    /// # Errors
    /// `limits.chain.decoded` is spent.
    pub fn charge(&self, bytes: u64) -> Result<(), ActionError> {
        let decoded = self.decoded.get().saturating_add(bytes);
        if decoded > self.limits.decoded {
            return Err(ActionError::Message("more to decode than limits.chain.decoded".to_owned()));
        }
        self.decoded.set(decoded);
        Ok(())
    }

    /// The decoded text of a part, counted.
    ///
    /// # Errors
    /// As [`Message::text`], or the budget is spent.
    pub fn text(&self, part: PartId) -> Result<Arc<str>, ActionError> {
        let text = self.mail.message.text(part)?;
        self.charge(text.len() as u64)?;
        Ok(text)
    }

    /// Counts a recipient that a rule adds.
    ///
    /// # Errors
    /// `limits.chain.added_recipients` is spent.
    pub fn count_added_recipient(&mut self) -> Result<(), ActionError> {
        self.added += 1;
        if self.added > self.limits.added_recipients {
            return Err(ActionError::Message("more recipients added than limits.chain.added_recipients".to_owned()));
        }
        Ok(())
    }

    /// Stops a rule when the chain has taken too long. Whatever loops over a message asks now and then.
    ///
    /// # Errors
    /// `limits.chain.time` is spent.
    pub fn check_time(&self) -> Result<(), ActionError> {
        if clock::monotonic().duration_since(self.began) > self.limits.time {
            return Err(ActionError::Message("the chain took longer than limits.chain.time".to_owned()));
        }
        Ok(())
    }
}

/// The way through.
impl Run {
    pub(super) fn through(mut self, files: &[Arc<RuleFile>]) -> (Ruling, Option<Trace>) {
        let outcome = self.walk(files);
        let ruling = Ruling {
            mail: self.mail,
            outcome,
            holds: self.holds,
            fired: self.fired,
            failures: self.failures,
            tags: self.tags,
            scores: self.scores,
            logs: self.logs,
        };
        (ruling, self.trace.map(RefCell::into_inner))
    }

    fn walk(&mut self, files: &[Arc<RuleFile>]) -> Outcome {
        for file in files {
            for rule in &file.rules {
                match self.one(rule) {
                    Flow::Next => {}
                    Flow::Leave => break,
                    Flow::End(outcome) => return outcome,
                }
            }
        }
        Outcome::Deliver
    }

    /// One rule, all or nothing.
    fn one(&mut self, rule: &Rule) -> Flow {
        self.rule = Arc::clone(&rule.name);
        self.groups.get_mut().clear();
        if let Some(trace) = &mut self.trace {
            trace.get_mut().begin(rule);
        }
        let before = self.state();
        // Everything a panic could leave half done is in `before`.
        let result = catch_unwind(AssertUnwindSafe(|| self.attempt(rule)))
            .unwrap_or_else(|cause| Err(ActionError::Machine(format!("the rule panicked: {}", panic_text(&*cause)))));
        match result {
            Ok(flow) => flow,
            Err(error) => {
                self.put_back(before);
                self.failed(rule, &error)
            }
        }
    }

    fn attempt(&mut self, rule: &Rule) -> Result<Flow, ActionError> {
        self.check_time()?;
        let fires = rule.fires(self)?;
        let steps = if fires {
            self.fired.push(Arc::clone(&rule.name));
            &rule.then
        } else {
            &rule.otherwise
        };
        if let Some(trace) = &mut self.trace {
            trace.get_mut().decided(fires);
        }
        for step in steps {
            self.check_time()?;
            if let Some(trace) = &mut self.trace {
                trace.get_mut().action(step.name);
            }
            match step.action.apply(self)? {
                Flow::Next => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::Next)
    }

    fn failed(&mut self, rule: &Rule, error: &ActionError) -> Flow {
        let default = match error {
            ActionError::Message(_) => OnError::Quarantine,
            ActionError::Machine(_) => OnError::Defer,
        };
        let then = rule.on_error.unwrap_or(default);
        self.failures.push(Failure { rule: Arc::clone(&rule.name), error: error.to_string() });
        if let Some(trace) = &mut self.trace {
            trace.get_mut().failed(&error.to_string(), then);
        }
        match then {
            OnError::Skip => Flow::Next,
            OnError::Quarantine => {
                self.hold(format!("rule `{}` failed: {error}", rule.name));
                Flow::Next
            }
            OnError::Reject => Flow::End(Outcome::Reject(Verdict {
                code: 554,
                enhanced: Enhanced(5, 6, 0),
                text: "This message could not be processed".to_owned(),
            })),
            OnError::Defer => Flow::End(Outcome::Defer(Verdict {
                code: 451,
                enhanced: Enhanced(4, 3, 0),
                text: "This message cannot be processed now, try again later".to_owned(),
            })),
        }
    }

    fn state(&self) -> State {
        State {
            mail: self.mail.clone(),
            tags: self.tags.clone(),
            scores: self.scores.clone(),
            holds: self.holds.clone(),
            logs: self.logs.clone(),
            added: self.added,
        }
    }

    fn put_back(&mut self, state: State) {
        self.mail = state.mail;
        self.tags = state.tags;
        self.scores = state.scores;
        self.holds = state.holds;
        self.logs = state.logs;
        self.added = state.added;
    }
}

fn panic_text(cause: &(dyn std::any::Any + Send)) -> &str {
    cause.downcast_ref::<&str>().copied().or_else(|| cause.downcast_ref::<String>().map(String::as_str)).unwrap_or("no cause given")
}
