//! One mail on its way through the chain: what actions change, what conditions look at, and what may be spent.

mod shadow;
mod walk;

pub(super) use walk::guarded;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Limits;
use super::class::{Class, RecipientRuling};
use super::facts::Groups;
use super::ruling::{Failure, Hold, Outcome, Sight};
use super::trace::Trace;
use crate::base::clock;
use crate::mail::{Inside, Mail};
use crate::message::{Decoded, Fault, Message, PartId};
use crate::smtp::envelope::Recipient;
use crate::smtp::path::Path;
use shadow::{Effect, Purse};

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
            Fault::Disk(_) | Fault::Write(_) | Fault::NoMemory | Fault::NoDisk => ActionError::Machine(fault.to_string()),
        }
    }
}

/// A text part as it was decoded last.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub source: Arc<Decoded>,
    /// The same as a reader sees it, once it was asked for.
    pub shown: Option<Arc<Decoded>>,
    /// That, as the eye takes it, once it was asked for.
    pub skeleton: Option<Arc<Decoded>>,
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
    /// Texts that were decoded and counted.
    pub(super) texts: RefCell<BTreeMap<PartId, Seen>>,
    /// Parts whose content was decoded as a whole and counted.
    pub(super) measured: RefCell<BTreeSet<PartId>>,
    raw: RefCell<Option<(Bytes, Arc<Decoded>)>>,
    rule: Arc<str>,
    holds: Vec<Hold>,
    pub(super) route: Option<Arc<str>>,
    logs: Vec<(Arc<str>, String)>,
    fired: Vec<Arc<str>>,
    failures: Vec<Failure>,
    seen: Vec<(Sight, Effect)>,
    /// What runs now is only observed.
    shadow: bool,
    /// What the rules in force have spent while others are observed, and the other way round.
    other: Purse,
    limits: Limits,
    began: Instant,
    /// Time used before `began`.
    used: Duration,
    decoded: Cell<u64>,
    added: u64,
    /// Whom this run is for, as the rules at RCPT left them: one class.
    class: Vec<Recipient>,
    /// The message is not here yet: a run at RCPT.
    announced: Option<Announced>,
    /// Rules at RCPT that ask for a size that was not announced.
    pub(super) late: Vec<Arc<str>>,
}

/// The size that a client announced, and whether a condition asked for it.
#[derive(Debug)]
struct Announced {
    size: Option<u64>,
    asked: Cell<bool>,
}

/// What an action may ask for and leave behind.
impl Run {
    /// A mail at the start of the chain.
    #[must_use]
    pub fn new(mail: Mail, limits: Limits, inside: Arc<Inside>, traced: bool) -> Run {
        Run {
            received: mail.message.clone(),
            class: if mail.envelope.recipients.is_empty() { vec![Path::null().into()] } else { mail.envelope.recipients.clone() },
            announced: None,
            late: Vec::new(),
            mail,
            inside,
            tags: Vec::new(),
            scores: BTreeMap::new(),
            trace: traced.then(RefCell::default),
            groups: RefCell::default(),
            texts: RefCell::default(),
            measured: RefCell::default(),
            raw: RefCell::default(),
            rule: Arc::from(""),
            holds: Vec::new(),
            route: None,
            logs: Vec::new(),
            fired: Vec::new(),
            failures: Vec::new(),
            seen: Vec::new(),
            shadow: false,
            other: Purse::default(),
            limits,
            began: clock::monotonic(),
            used: Duration::ZERO,
            decoded: Cell::new(0),
            added: 0,
        }
    }

    /// The same before the message is here, for one recipient.
    #[must_use]
    pub(super) fn at_recipient(self, size: Option<u64>) -> Run {
        Run { announced: Some(Announced { size, asked: Cell::new(false) }), ..self }
    }

    /// With what the rules at RCPT left to the recipients of this class.
    #[must_use]
    pub(super) fn handed(mut self, recipients: &[RecipientRuling]) -> Run {
        for ruling in recipients.iter().filter(|ruling| ruling.goes_on()) {
            for rule in &ruling.fired {
                if !self.fired.contains(rule) {
                    self.fired.push(Arc::clone(rule));
                }
            }
            for sight in &ruling.seen {
                match self.seen.iter_mut().find(|(known, _)| known.rule == sight.rule) {
                    Some((known, _)) => known.add(sight),
                    None => self.seen.push((sight.clone(), Effect::None)),
                }
            }
        }
        if let Some(first) = recipients.iter().find(|ruling| ruling.goes_on()) {
            let Class { tags, scores, holds, route, late, .. } = Class::clone(&first.class);
            (self.tags, self.scores, self.holds, self.route, self.late) = (tags, scores, holds, route, late);
        }
        self
    }

    /// This recipient: at RCPT as it now stands, later as the rules there left it.
    pub(super) fn this_recipient(&self) -> &Recipient {
        self.these_recipients().first().expect("a run is for somebody")
    }

    /// All of this class.
    pub(super) fn these_recipients(&self) -> &[Recipient] {
        if self.announced.is_some() { &self.mail.envelope.recipients } else { &self.class }
    }

    /// As received; at RCPT as announced.
    pub(super) fn size_of_message(&self) -> u64 {
        match &self.announced {
            None => self.mail.message.received_size(),
            Some(Announced { size, asked }) => size.unwrap_or_else(|| {
                asked.set(true);
                0
            }),
        }
    }

    /// What a run at RCPT came to.
    pub(super) fn ruled(mut self, outcome: Outcome, given: &Recipient, class: Class) -> (RecipientRuling, Trace) {
        let seen = self.sights(&outcome);
        let ruling = RecipientRuling {
            seen,
            outcome,
            given: given.clone(),
            recipient: self.this_recipient().clone(),
            class: Arc::new(Class {
                tags: std::mem::take(&mut self.tags),
                scores: std::mem::take(&mut self.scores),
                holds: std::mem::take(&mut self.holds),
                ..class
            }),
            fired: self.fired,
            failures: self.failures,
            logs: self.logs,
        };
        (ruling, self.trace.map(RefCell::into_inner).unwrap_or_default())
    }

    /// Marks this copy as held. The chain goes on.
    pub fn hold(&mut self, reason: impl Into<String>) {
        self.holds.push(Hold { rule: Arc::clone(&self.rule), reason: reason.into() });
    }

    /// Where this copy goes: at RCPT for this recipient, later the whole mail.
    pub fn take_route(&mut self, route: &Arc<str>) {
        self.route = Some(Arc::clone(route));
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

    /// Takes back what was counted for work that is done once more in another way.
    pub(super) fn uncharge(&self, bytes: u64) {
        self.decoded.set(self.decoded.get().saturating_sub(bytes));
    }

    /// The decoded text of a part, counted once for as long as it stays the same.
    ///
    /// # Errors
    /// As [`Message::text`], or the budget is spent.
    pub fn text(&self, part: PartId) -> Result<Arc<Decoded>, ActionError> {
        let source = self.mail.message.text(part)?;
        let mut texts = self.texts.borrow_mut();
        match texts.get_mut(&part) {
            Some(seen) if Arc::ptr_eq(&seen.source, &source) => {}
            // The message knows a text in a file only as long as somebody has it.
            Some(seen) if seen.source == source => seen.source = Arc::clone(&source),
            _ => {
                self.charge(source.len() as u64)?;
                texts.insert(part, Seen { source: Arc::clone(&source), shown: None, skeleton: None });
            }
        }
        Ok(source)
    }

    /// The whole body as it stands, as text, counted once for as long as it stays the same. Bytes that are no UTF-8 are replaced.
    pub(super) fn raw_text(&self) -> Result<Arc<Decoded>, ActionError> {
        let body = self.mail.message.raw_body()?;
        let mut raw = self.raw.borrow_mut();
        if let Some((_, text)) = raw.as_ref().filter(|(known, _)| *known == body) {
            return Ok(Arc::clone(text));
        }
        self.charge(body.len() as u64)?;
        let text = Arc::new(Decoded::from(String::from_utf8_lossy(&body).into_owned()));
        *raw = Some((body, Arc::clone(&text)));
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
        if self.used + clock::monotonic().duration_since(self.began) > self.limits.time {
            return Err(ActionError::Message("the chain took longer than limits.chain.time".to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::example;
    use crate::message::tests::parse_into_file;
    use crate::message::{Field, PartId};
    use std::sync::Arc;

    #[test]
    fn a_text_in_a_file_that_reads_as_before_is_not_decoded_at_every_ask() {
        let directory = tempfile::tempdir().unwrap();
        let mut run = example::run("");
        run.mail.message = parse_into_file(&[b"\r\n".as_slice(), &b"line\r\n".repeat(1000)].concat(), 100, directory.path());
        let part = PartId(0);
        run.text(part).unwrap();
        run.mail.message.insert_field(0, Field::new("Content-Type", "text/plain; charset=utf-8"));
        let again = Arc::downgrade(&run.text(part).unwrap());
        assert!(again.upgrade().is_some_and(|text| Arc::ptr_eq(&text, &run.text(part).unwrap())));
        assert_eq!(run.decoded.get(), 5000);
    }
}
