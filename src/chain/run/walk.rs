//! The cursor over the rules, with the mail it works on.
//!
//! | a rule's conditions    | its actions      | what follows                                                  |
//! |------------------------|------------------|---------------------------------------------------------------|
//! | hold (or do not)       | `then` (`else`)  | the next rule; after `leave` the next file; after a verdict the end |
//! | fail, or an action fails | undone as a whole | `on_error`: hold or skip and go on, or reject or defer and end |

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{ActionError, Flow, Run};
use crate::chain::rule::{OnError, Rule, RuleFile, Step};
use crate::chain::ruling::{Failure, Hold, Outcome, Ruling, Verdict};
use crate::chain::trace::Trace;
use crate::mail::Mail;
use crate::smtp::reply::Enhanced;

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

impl Run {
    /// The way through.
    pub(in crate::chain) fn through(mut self, files: &[Arc<RuleFile>]) -> (Ruling, Option<Trace>) {
        // What waited for the size goes first; `deliver` in it ends only these rules.
        let outcome = self.walk(files, |run, rule| rule.at_recipient && run.late.contains(&rule.name));
        let outcome = if outcome == Outcome::Deliver { self.walk(files, |_, rule| !rule.at_recipient) } else { outcome };
        let ruling = Ruling {
            mail: self.mail,
            outcome,
            holds: self.holds,
            fired: self.fired,
            failures: self.failures,
            last: self.rule,
            tags: self.tags,
            scores: self.scores,
            logs: self.logs,
        };
        (ruling, self.trace.map(RefCell::into_inner))
    }

    /// The rules that are wanted, in order.
    pub(in crate::chain) fn walk(&mut self, files: &[Arc<RuleFile>], wanted: impl Fn(&Run, &Rule) -> bool) -> Outcome {
        for file in files {
            for rule in &file.rules {
                if !wanted(self, rule) {
                    continue;
                }
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
        let decided = guarded(|| self.decide(rule));
        if self.asked_for_a_size() {
            self.put_off(rule);
            return Flow::Next;
        }
        let steps = match decided {
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
            if !self.late.is_empty() && self.is_late(step) {
                let why = "the size was not announced, and once the message is here its recipients stand";
                return Err(ActionError::Message(why.to_owned()));
            }
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

    /// Whether the conditions just asked wanted a size that is not known yet.
    fn asked_for_a_size(&self) -> bool {
        self.announced.as_ref().is_some_and(|announced| announced.asked.take())
    }

    /// The rule is asked again when the message is here; what it said now counts for nothing.
    fn put_off(&mut self, rule: &Rule) {
        self.fired.retain(|fired| *fired != rule.name);
        self.late.push(Arc::clone(&rule.name));
        if let Some(trace) = &mut self.trace {
            trace.get_mut().put_off();
        }
    }

    /// What was not announced cannot be made up for: the next hop has been asked about the recipient.
    fn is_late(&self, step: &Step) -> bool {
        self.announced.is_none() && self.late.contains(&self.rule) && step.name.starts_with("recipient.")
    }

    /// A recipient whose class cannot be told must come again.
    pub(in crate::chain) fn not_now(&mut self, rule: Arc<str>, error: &ActionError) -> Outcome {
        self.failures.push(Failure { rule, error: error.to_string() });
        Outcome::Defer(try_again())
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
            OnError::Defer => Flow::End(Outcome::Defer(try_again())),
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

fn try_again() -> Verdict {
    Verdict { code: 451, enhanced: Enhanced(4, 3, 0), text: "This message cannot be processed now, try again later".to_owned() }
}

/// A panic is a failure of the machine. What it may have left half done is put back by the caller.
pub(in crate::chain) fn guarded<T>(step: impl FnOnce() -> Result<T, ActionError>) -> Result<T, ActionError> {
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
    use crate::chain::{Action, Limits};
    use crate::message::Field;
    use crate::yaml::{Kind, Node, Source, Span};

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
        let then = actions
            .iter()
            .map(|action| Step { name: "does", span: span.clone(), action: Box::new(Does(*action)) as Box<dyn Action> })
            .collect();
        Rule {
            name: Arc::from(name),
            about: None,
            span,
            when: None,
            unless: None,
            then,
            otherwise: Vec::new(),
            on_error: None,
            at_recipient: false,
            tells_apart: false,
            names_recipient: false,
        }
    }

    fn through(files: Vec<Vec<Rule>>) -> Ruling {
        let files: Vec<_> = files
            .into_iter()
            .map(|rules| {
                Arc::new(RuleFile {
                    path: "test.yaml".into(),
                    rules,
                    tests: Vec::new(),
                    node: Node { kind: Kind::Null, span: Source::new("test.yaml", "").span(0, 0) },
                })
            })
            .collect();
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
