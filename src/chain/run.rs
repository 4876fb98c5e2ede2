//! The cursor over the rules, with the mail it works on.
//!
//! | a rule's conditions    | its actions      | what follows                                                  |
//! |------------------------|------------------|---------------------------------------------------------------|
//! | hold (or do not)       | `then` (`else`)  | the next rule; after `leave` the next file; after a verdict the end |
//! | fail, or an action fails | undone as a whole | `on_error`: hold or skip and go on, or reject or defer and end |

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::Limits;
use super::facts::Groups;
use super::rule::{OnError, Rule, RuleFile, Step};
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

/// A text part as it was decoded last.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub source: Arc<str>,
    /// The same as a reader sees it, once it was asked for.
    pub shown: Option<Arc<str>>,
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
    raw: RefCell<Option<(Bytes, Arc<str>)>>,
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
            texts: RefCell::default(),
            measured: RefCell::default(),
            raw: RefCell::default(),
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

    /// The decoded text of a part, counted once for as long as it stays the same.
    ///
    /// # Errors
    /// As [`Message::text`], or the budget is spent.
    pub fn text(&self, part: PartId) -> Result<Arc<str>, ActionError> {
        let source = self.mail.message.text(part)?;
        let mut texts = self.texts.borrow_mut();
        if !texts.get(&part).is_some_and(|seen| Arc::ptr_eq(&seen.source, &source) || seen.source == source) {
            self.charge(source.len() as u64)?;
            texts.insert(part, Seen { source: Arc::clone(&source), shown: None });
        }
        Ok(source)
    }

    /// The whole body as it stands, as text, counted once for as long as it stays the same. Bytes that are no UTF-8 are replaced.
    pub(super) fn raw_text(&self) -> Result<Arc<str>, ActionError> {
        let body = self.mail.message.raw_body()?;
        let mut raw = self.raw.borrow_mut();
        if let Some((_, text)) = raw.as_ref().filter(|(known, _)| *known == body) {
            return Ok(Arc::clone(text));
        }
        self.charge(body.len() as u64)?;
        let text: Arc<str> = Arc::from(String::from_utf8_lossy(&body));
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
        let steps = match guarded(|| self.decide(rule)) {
            Ok(true) => &rule.then,
            Ok(false) => &rule.otherwise,
            Err(error) => return self.failed(rule, &error),
        };
        if steps.is_empty() {
            return Flow::Next;
        }
        let before = self.state();
        match guarded(|| self.carry_out(steps)) {
            Ok(flow) => flow,
            Err(error) => {
                self.put_back(before);
                self.failed(rule, &error)
            }
        }
    }

    fn decide(&mut self, rule: &Rule) -> Result<bool, ActionError> {
        self.check_time()?;
        let fires = rule.fires(self)?;
        if fires {
            self.fired.push(Arc::clone(&rule.name));
        }
        if let Some(trace) = &mut self.trace {
            trace.get_mut().decided(fires);
        }
        Ok(fires)
    }

    fn carry_out(&mut self, steps: &[Step]) -> Result<Flow, ActionError> {
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

/// A panic is a failure of the machine. What it may have left half done is put back by the caller.
fn guarded<T>(step: impl FnOnce() -> Result<T, ActionError>) -> Result<T, ActionError> {
    catch_unwind(AssertUnwindSafe(step))
        .unwrap_or_else(|cause| Err(ActionError::Machine(format!("the rule panicked: {}", panic_text(&*cause)))))
}

fn panic_text(cause: &(dyn std::any::Any + Send)) -> &str {
    cause.downcast_ref::<&str>().copied().or_else(|| cause.downcast_ref::<String>().map(String::as_str)).unwrap_or("no cause given")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::condition::Condition;
    use crate::chain::example;
    use crate::chain::facts::Facts;
    use crate::message::Field;
    use crate::yaml::{Source, Span};

    /// What a test makes a rule do.
    struct Does(Apply);

    impl std::fmt::Debug for Does {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Does")
        }
    }

    impl Action for Does {
        fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
            (self.0)(run)
        }
    }

    #[derive(Debug)]
    struct Unanswerable;

    impl Condition for Unanswerable {
        fn holds(&self, _: &dyn Facts) -> Result<bool, ActionError> {
            Err(ActionError::Message("cannot be told".to_owned()))
        }
    }

    type Apply = fn(&mut Run) -> Result<Flow, ActionError>;

    fn rule(name: &str, actions: &[Apply]) -> Rule {
        let span = Span { source: Source::new("test.yaml", "x"), start: 0, end: 1 };
        let then = actions.iter().map(|action| Step { name: "does", action: Box::new(Does(*action)) as Box<dyn Action> }).collect();
        Rule { name: Arc::from(name), about: None, span, when: None, unless: None, then, otherwise: Vec::new(), on_error: None }
    }

    fn through(files: Vec<Vec<Rule>>) -> Ruling {
        let files: Vec<_> =
            files.into_iter().map(|rules| Arc::new(RuleFile { path: "test.yaml".into(), rules, tests: Vec::new() })).collect();
        example::run("Subject: hi\r\n\r\nbody\r\n").through(&files).0
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is what an action is")]
    fn marks(run: &mut Run) -> Result<Flow, ActionError> {
        run.mail.message.insert_field(0, Field::new("X-Mark", "1"));
        run.add_tag("marked");
        run.add_score("", 1.0);
        run.log("marked");
        Ok(Flow::Next)
    }

    fn fails(_: &mut Run) -> Result<Flow, ActionError> {
        Err(ActionError::Message("no".to_owned()))
    }

    fn marked(ruling: &Ruling) -> usize {
        ruling.mail.message.fields().iter().filter(|field| field.is("X-Mark")).count()
    }

    #[test]
    fn rules_run_in_order_and_the_end_delivers() {
        let ruling = through(vec![vec![rule("a", &[marks]), rule("b", &[marks])]]);
        assert_eq!(ruling.word(), "deliver");
        assert_eq!(ruling.fired, [Arc::from("a"), Arc::from("b")]);
        assert_eq!(marked(&ruling), 2);
        assert!((ruling.scores[""] - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_failing_rule_is_undone_as_a_whole_and_the_message_is_held() {
        let ruling = through(vec![vec![
            rule("a", &[marks, fails]),
            rule(
                "b",
                &[|run| {
                    run.add_tag("later");
                    Ok(Flow::Next)
                }],
            ),
        ]]);
        assert_eq!(ruling.word(), "quarantine");
        assert_eq!(marked(&ruling), 0);
        assert_eq!(ruling.tags, ["later"]);
        assert!(ruling.logs.is_empty() && ruling.scores.is_empty());
        assert_eq!(ruling.failures.len(), 1);
    }

    #[test]
    fn a_fault_of_the_machine_defers_and_so_does_a_panic() {
        for action in [(|_: &mut Run| Err(ActionError::Machine("disk".to_owned()))) as Apply, |run| {
            run.mail.message.insert_field(0, Field::new("X-Mark", "1"));
            panic!("a bug")
        }] {
            let ruling = through(vec![vec![rule("a", &[action]), rule("b", &[marks])]]);
            assert!(matches!(&ruling.outcome, Outcome::Defer(verdict) if verdict.code == 451), "{:?}", ruling.outcome);
            assert_eq!(marked(&ruling), 0);
        }
    }

    #[test]
    fn on_error_says_what_a_failing_rule_leads_to() {
        for (on_error, word) in
            [(OnError::Skip, "deliver"), (OnError::Quarantine, "quarantine"), (OnError::Reject, "reject"), (OnError::Defer, "defer")]
        {
            let failing = Rule { on_error: Some(on_error), ..rule("a", &[marks, fails]) };
            assert_eq!(through(vec![vec![failing]]).word(), word);
        }
    }

    #[test]
    fn a_condition_that_cannot_be_answered_is_an_error_and_no_firing() {
        let asks = Rule { when: Some(Box::new(Unanswerable)), ..rule("a", &[marks]) };
        let ruling = through(vec![vec![asks]]);
        assert_eq!(ruling.word(), "quarantine");
        assert!(ruling.fired.is_empty());
    }

    #[test]
    fn leave_ends_only_its_file_and_a_verdict_the_chain() {
        let leaves: Apply = |_| Ok(Flow::Leave);
        let ends: Apply = |_| Ok(Flow::End(Outcome::Discard));
        let ruling = through(vec![
            vec![rule("a", &[leaves]), rule("skipped", &[marks])],
            vec![rule("b", &[ends]), rule("never", &[marks])],
            vec![rule("never either", &[marks])],
        ]);
        assert_eq!(ruling.word(), "discard");
        assert_eq!(ruling.fired, [Arc::from("a"), Arc::from("b")]);
        assert_eq!(marked(&ruling), 0);
    }

    #[test]
    fn a_hold_stays_through_deliver_and_yields_to_a_reject() {
        let holds: Apply = |run| {
            run.hold("odd");
            Ok(Flow::Next)
        };
        let delivers: Apply = |_| Ok(Flow::End(Outcome::Deliver));
        let discards: Apply = |_| Ok(Flow::End(Outcome::Discard));
        assert_eq!(through(vec![vec![rule("a", &[holds]), rule("b", &[delivers])]]).word(), "quarantine");
        let ruling = through(vec![vec![rule("a", &[holds]), rule("b", &[discards])]]);
        assert_eq!((ruling.word(), ruling.holds.len()), ("discard", 1));
    }

    #[test]
    fn what_is_spent_is_an_error() {
        let run = example::run("Subject: hi\r\n\r\n");
        assert!(run.charge(Limits::default().decoded).is_ok());
        assert!(matches!(run.charge(1), Err(ActionError::Message(_))));
        let mut run = example::run("Subject: hi\r\n\r\n");
        for _ in 0..Limits::default().added_recipients {
            run.count_added_recipient().unwrap();
        }
        assert!(run.count_added_recipient().is_err());
        run.limits.time = std::time::Duration::ZERO;
        assert!(run.check_time().is_err());
    }
}
