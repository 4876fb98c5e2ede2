//! The cursor over the rules, with the mail it works on.
//!
//! | a rule's conditions    | its actions      | what follows                                                  |
//! |------------------------|------------------|---------------------------------------------------------------|
//! | hold (or do not)       | `then` (`else`)  | the next rule; after `leave` the next file; after a verdict the end |
//! | fail, or an action fails | undone as a whole | `on_error`: hold or skip and go on, or reject or defer and end |
//!
//! A chain entry whose own `when` fails is like a rule that fails; its rules are not asked. What is only observed goes [aside](super::shadow).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::shadow::Effect;
use super::{ActionError, Flow, Run};
use crate::chain::link::{Link, Mode};
use crate::chain::rule::{OnError, Rule, Step};
use crate::chain::ruling::{Failure, Hold, Outcome, Ruling, Sight, Verdict};
use crate::chain::trace::Trace;
use crate::mail::Mail;
use crate::smtp::reply::Enhanced;

/// What a failing rule puts back.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) mail: Mail,
    tags: Vec<String>,
    scores: BTreeMap<String, f64>,
    pub(super) holds: Vec<Hold>,
    pub(super) route: Option<Arc<str>>,
    logs: Vec<(Arc<str>, String)>,
    added: u64,
}

impl Run {
    /// The way through.
    pub(in crate::chain) fn through(mut self, links: &[Arc<Link>]) -> (Ruling, Option<Trace>) {
        // What waited for the size goes first; `deliver` in it ends only these rules.
        let late = |run: &Run, rule: &Rule| rule.at_recipient && run.late.contains(&rule.name);
        let outcome = if self.late.is_empty() { Outcome::Deliver } else { self.walk(links, &late) };
        let outcome = if outcome == Outcome::Deliver { self.walk(links, &|_, rule| !rule.at_recipient) } else { outcome };
        let seen = self.sights(&outcome);
        let ruling = Ruling {
            mail: self.mail,
            outcome,
            holds: self.holds,
            route: self.route,
            fired: self.fired,
            failures: self.failures,
            last: self.rule,
            seen,
            tags: self.tags,
            scores: self.scores,
            logs: self.logs,
        };
        (ruling, self.trace.map(RefCell::into_inner))
    }

    /// The rules that are wanted, in order.
    pub(in crate::chain) fn walk(&mut self, links: &[Arc<Link>], wanted: &dyn Fn(&Run, &Rule) -> bool) -> Outcome {
        for link in links.iter().filter(|link| link.mode != Mode::Disabled) {
            // Without one there is nothing to ask its `when` for.
            if !link.rules().any(|rule| wanted(self, rule)) {
                continue;
            }
            match link.mode {
                Mode::Enforce => {
                    if let Flow::End(outcome) = self.link(link, wanted) {
                        return outcome;
                    }
                }
                Mode::Observe => self.aside(|run| run.link(link, wanted)),
                Mode::Disabled => {}
            }
        }
        Outcome::Deliver
    }

    /// The rules of one chain entry.
    fn link(&mut self, link: &Link, wanted: &dyn Fn(&Run, &Rule) -> bool) -> Flow {
        let applies = self.applies(link);
        if self.asked_for_a_size() {
            let waiting: Vec<_> = link.rules().filter(|rule| wanted(self, rule)).collect();
            for rule in waiting {
                self.put_off(&rule.name);
            }
            return Flow::Next;
        }
        match applies {
            Ok(true) => {}
            Ok(false) => return Flow::Next,
            Err(error) => return self.failed(&link.name, None, &error),
        }
        for file in &link.files {
            for rule in &file.rules {
                if !wanted(self, rule) {
                    continue;
                }
                match self.one(rule) {
                    Flow::Next => {}
                    Flow::Leave => break,
                    end @ Flow::End(_) => return end,
                }
            }
        }
        Flow::Next
    }

    fn applies(&mut self, link: &Link) -> Result<bool, ActionError> {
        if link.when.is_none() {
            return Ok(true);
        }
        self.groups.get_mut().clear();
        let observed = self.in_shadow();
        if let Some(trace) = &mut self.trace {
            trace.get_mut().begin_entry(&link.name, &link.place, observed);
        }
        let applies = guarded(|| {
            self.check_time()?;
            link.applies(self)
        })?;
        if let Some(trace) = &mut self.trace {
            trace.get_mut().decided(applies);
        }
        Ok(applies)
    }

    fn one(&mut self, rule: &Rule) -> Flow {
        match rule.mode {
            Mode::Enforce => self.rule(rule),
            // It takes part in what its entry observes.
            Mode::Observe if self.in_shadow() => self.rule(rule),
            Mode::Observe => {
                self.aside(|run| run.rule(rule));
                Flow::Next
            }
            Mode::Disabled => Flow::Next,
        }
    }

    /// One rule, all or nothing.
    fn rule(&mut self, rule: &Rule) -> Flow {
        let observed = self.in_shadow();
        self.rule = Arc::clone(&rule.name);
        let groups = self.groups.get_mut();
        if !groups.is_empty() {
            groups.clear();
        }
        if let Some(trace) = &mut self.trace {
            trace.get_mut().begin(&rule.name, rule.place(), observed);
        }
        let sight = Sight { rule: Arc::clone(&rule.name), observed, fired: false, error: None, different: false };
        self.seen.push((sight, Effect::None));
        let decided = guarded(|| self.decide(rule));
        if self.asked_for_a_size() {
            self.seen.pop();
            self.put_off(&rule.name);
            return Flow::Next;
        }
        let steps = match decided {
            Ok(true) => &rule.then,
            Ok(false) => &rule.otherwise,
            Err(error) => return self.failed(&rule.name, rule.on_error, &error),
        };
        if steps.is_empty() {
            return Flow::Next;
        }
        let before = self.state();
        match guarded(|| self.carry_out(steps)) {
            Ok(flow) => {
                if observed {
                    let effect = Effect::of(&before, self, &flow);
                    self.seen.last_mut().expect("it was added above").1 = effect;
                }
                flow
            }
            Err(error) => {
                self.put_back(before);
                self.failed(&rule.name, rule.on_error, &error)
            }
        }
    }

    fn decide(&mut self, rule: &Rule) -> Result<bool, ActionError> {
        // Conditions look at the clock themselves.
        if rule.when.is_none() && rule.unless.is_none() {
            self.check_time()?;
        }
        let fires = rule.fires(self)?;
        if fires && !self.in_shadow() {
            self.fired.push(Arc::clone(&rule.name));
        }
        if let Some((sight, _)) = self.seen.last_mut() {
            sight.fired = fires;
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

    /// The rule is asked again when the message is here; what it said now counts for nothing. One that is only observed parts no recipients, not even so.
    fn put_off(&mut self, rule: &Arc<str>) {
        if !self.in_shadow() {
            self.fired.retain(|fired| fired != rule);
            self.late.push(Arc::clone(rule));
        }
        if let Some(trace) = &mut self.trace {
            trace.get_mut().put_off();
        }
    }

    /// What was not announced cannot be made up for: the next hop has been asked about the recipient.
    fn is_late(&self, step: &Step) -> bool {
        self.announced.is_none() && self.late.contains(&self.rule) && (step.name == "route" || step.name.starts_with("recipient."))
    }

    /// A recipient whose class cannot be told must come again.
    pub(in crate::chain) fn not_now(&mut self, rule: Arc<str>, error: &ActionError) -> Outcome {
        self.failures.push(Failure { rule, error: error.to_string() });
        Outcome::Defer(try_again())
    }

    /// A rule, or the `when` of a chain entry, that failed.
    fn failed(&mut self, name: &Arc<str>, on_error: Option<OnError>, error: &ActionError) -> Flow {
        let default = match error {
            ActionError::Message(_) => OnError::Quarantine,
            ActionError::Machine(_) => OnError::Defer,
        };
        let then = on_error.unwrap_or(default);
        let ends = then.ends();
        let observed = self.in_shadow();
        if let Some((sight, effect)) = self.seen.last_mut().filter(|(sight, _)| sight.rule == *name) {
            sight.error = Some(error.to_string());
            if observed {
                *effect = Effect::of_failure(then, ends.as_ref());
            }
        }
        if let Some(trace) = &mut self.trace {
            trace.get_mut().failed(&error.to_string(), (!observed).then_some(then));
        }
        if observed {
            return Flow::Next;
        }
        self.failures.push(Failure { rule: Arc::clone(name), error: error.to_string() });
        self.rule = Arc::clone(name);
        if then == OnError::Quarantine {
            self.hold(format!("rule `{name}` failed: {error}"));
        }
        ends.map_or(Flow::Next, Flow::End)
    }

    pub(super) fn state(&self) -> State {
        State {
            mail: self.mail.clone(),
            tags: self.tags.clone(),
            scores: self.scores.clone(),
            holds: self.holds.clone(),
            route: self.route.clone(),
            logs: self.logs.clone(),
            added: self.added,
        }
    }

    pub(super) fn put_back(&mut self, state: State) {
        self.mail = state.mail;
        self.tags = state.tags;
        self.scores = state.scores;
        self.holds = state.holds;
        self.route = state.route;
        self.logs = state.logs;
        self.added = state.added;
    }
}

fn try_again() -> Verdict {
    Verdict { code: 451, enhanced: Enhanced(4, 3, 0), text: "This message cannot be processed now, try again later".to_owned() }
}

impl OnError {
    /// How it ends the chain, if it does.
    fn ends(self) -> Option<Outcome> {
        match self {
            OnError::Skip | OnError::Quarantine => None,
            OnError::Reject => {
                let text = "This message could not be processed".to_owned();
                Some(Outcome::Reject(Verdict { code: 554, enhanced: Enhanced(5, 6, 0), text }))
            }
            OnError::Defer => Some(Outcome::Defer(try_again())),
        }
    }
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
    use std::time::Duration;

    use super::*;
    use crate::chain::condition::Condition;
    use crate::chain::entry::Uses;
    use crate::chain::example;
    use crate::chain::facts::Facts;
    use crate::chain::link::When;
    use crate::chain::rule::RuleFile;
    use crate::chain::{Action, Limits};
    use crate::message::{Fault, Field};
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

    #[derive(Debug)]
    struct Panics;

    impl Condition for Panics {
        fn holds(&self, _: &dyn Facts) -> Result<bool, ActionError> {
            panic!("a bug")
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
            mode: Mode::Enforce,
        }
    }

    fn through(files: Vec<Vec<Rule>>) -> Ruling {
        links(vec![Link::of(files.into_iter().map(file).collect())])
    }

    fn file(rules: Vec<Rule>) -> Arc<RuleFile> {
        let node = Node { kind: Kind::Null, span: Source::new("test.yaml", "").span(0, 0) };
        Arc::new(RuleFile { path: "test.yaml".into(), rules, tests: Vec::new(), node })
    }

    fn links(links: Vec<Link>) -> Ruling {
        let links: Vec<_> = links.into_iter().map(Arc::new).collect();
        example::run("Subject: hi\r\n\r\nbody\r\n").through(&links).0
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
    fn a_condition_that_cannot_be_answered_is_an_error_and_no_firing() {
        let asks = Rule { when: Some(Box::new(Unanswerable)), ..rule("a", &[marks]) };
        let ruling = through(vec![vec![asks]]);
        assert_eq!(ruling.word(), "quarantine");
        assert!(ruling.fired.is_empty());
    }

    #[test]
    fn every_cause_of_an_error_has_its_default_and_leaves_nothing_half_done() {
        let causes: [(&str, Apply, &str); 8] = [
            ("fault of the message", |_| Err(ActionError::Message("undecodable".to_owned())), "quarantine"),
            ("fault of the machine", |_| Err(ActionError::Machine("disk".to_owned())), "defer"),
            ("content that cannot be read", |_| Err(Fault::Disk(std::io::ErrorKind::StorageFull.into()).into()), "defer"),
            ("no memory", |_| Err(Fault::NoMemory.into()), "defer"),
            ("panic", |_| panic!("a bug"), "defer"),
            ("decoded budget", |run| run.charge(u64::MAX).map(|()| Flow::Next), "quarantine"),
            (
                "recipients budget",
                |run| {
                    run.added = run.limits.added_recipients;
                    run.count_added_recipient().map(|()| Flow::Next)
                },
                "quarantine",
            ),
            (
                "time budget",
                |run| {
                    run.used = Duration::MAX / 2;
                    run.check_time().map(|()| Flow::Next)
                },
                "quarantine",
            ),
        ];
        for (cause, action, default) in causes {
            let ways = [None, Some(OnError::Quarantine), Some(OnError::Defer), Some(OnError::Reject), Some(OnError::Skip)];
            for (on_error, word) in ways.into_iter().zip([default, "quarantine", "defer", "reject", "deliver"]) {
                let ruling = through(vec![vec![Rule { on_error, ..rule("a", &[marks, action]) }]]);
                assert_eq!(ruling.word(), word, "{cause}, {on_error:?}");
                assert_eq!((marked(&ruling), ruling.tags.len(), ruling.logs.len()), (0, 0, 0), "{cause}, {on_error:?}");
                assert_eq!((ruling.failures.len(), ruling.seen[0].error.is_some()), (1, true), "{cause}, {on_error:?}");
                let reply = match word {
                    "defer" => Some("451 4.3.0 This message cannot be processed now, try again later".to_owned()),
                    "reject" => Some("554 5.6.0 This message could not be processed".to_owned()),
                    _ => None,
                };
                assert_eq!(ruling.reply(), reply);
            }
        }
    }

    #[test]
    fn a_condition_that_panics_is_an_error_of_its_rule_also_above_a_chain_entry() {
        let ruling = through(vec![vec![Rule { when: Some(Box::new(Panics)), ..rule("a", &[marks]) }, rule("b", &[marks])]]);
        assert_eq!((ruling.word(), ruling.failures[0].error.as_str()), ("defer", "the rule panicked: a bug"));
        let rules = || vec![file(vec![rule("a", &[marks])])];
        let entry = |when: Box<dyn Condition>| Link {
            name: Arc::from("strict/*.yaml"),
            when: Some(When {
                condition: when,
                uses: Uses::default(),
                node: Node { kind: Kind::Null, span: Source::new("test.yaml", "").span(0, 0) },
            }),
            ..Link::of(rules())
        };
        let ruling = links(vec![entry(Box::new(Panics))]);
        assert_eq!((ruling.word(), &*ruling.failures[0].rule, ruling.seen.len()), ("defer", "strict/*.yaml", 0));
        let ruling = links(vec![entry(Box::new(Unanswerable))]);
        assert_eq!((ruling.word(), ruling.holds[0].reason.as_str()), ("quarantine", "rule `strict/*.yaml` failed: cannot be told"));
        let ruling = links(vec![Link { mode: Mode::Observe, ..entry(Box::new(Panics)) }]);
        assert_eq!((ruling.word(), ruling.failures.len()), ("deliver", 0));
    }

    #[test]
    fn what_is_observed_has_a_budget_of_its_own() {
        let all: Apply = |run| run.charge(run.limits.decoded).map(|()| Flow::Next);
        let more: Apply = |run| run.charge(1).map(|()| Flow::Next);
        let long: Apply = |run| {
            run.used = Duration::from_hours(1);
            Ok(Flow::Next)
        };
        let recipients: Apply = |run| (0..run.limits.added_recipients).try_for_each(|_| run.count_added_recipient()).map(|()| Flow::Next);
        let observed = |name: &str, action| Rule { mode: Mode::Observe, ..rule(name, &[action]) };
        for (action, again) in [(all, more), (long, more)] {
            let ruling = through(vec![vec![
                observed("a", action),
                observed("b", again),
                rule("c", &[all]),
                observed("d", recipients),
                rule("e", &[recipients]),
            ]]);
            assert!(ruling.failures.is_empty(), "{:?}", ruling.failures);
            assert_eq!(ruling.word(), "deliver");
            assert!(ruling.seen[1].error.as_ref().is_some_and(|error| error.contains("limits.chain.")), "{:?}", ruling.seen);
        }
    }

    #[test]
    fn a_panic_in_what_is_observed_reaches_nothing() {
        let broken = Rule { mode: Mode::Observe, ..rule("a", &[marks, |_| panic!("a bug")]) };
        let ruling = through(vec![vec![broken, rule("b", &[marks])]]);
        assert_eq!((ruling.word(), marked(&ruling), ruling.failures.len()), ("deliver", 1, 0));
        assert_eq!(ruling.seen[0].error.as_deref(), Some("the rule panicked: a bug"));
        assert!(ruling.seen[0].different, "in force it would have been deferred");
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
