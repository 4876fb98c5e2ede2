//! What is only observed: rules that run on the mail as it stands, beside those in force, and leave nothing behind but what became of them.
//!
//! | of an observed rule | what becomes of it |
//! |---|---|
//! | edits, tags, scores, holds, log lines | seen by the rules of the same chain entry if that is what is observed, gone after it |
//! | `leave`, a verdict | ends its file, or what is observed; never the chain |
//! | an error | noted, with what `on_error` would have made of it; that is for rules in force |
//! | time, decoded bytes | taken from a budget of their own, one for all that is observed |

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::walk::State;
use super::{Flow, Run, Seen};
use crate::base::clock;
use crate::chain::rule::OnError;
use crate::chain::ruling::{Outcome, Sight};
use crate::mail::Mail;
use crate::message::{Decoded, PartId};

/// What has been spent and looked at by the side that is not running now.
#[derive(Debug, Default)]
pub(super) struct Purse {
    used: Duration,
    decoded: Cell<u64>,
    texts: RefCell<BTreeMap<PartId, Seen>>,
    measured: RefCell<BTreeSet<PartId>>,
    raw: RefCell<Option<(Bytes, Arc<Decoded>)>>,
}

/// What an observed rule would have done, in force.
#[derive(Clone, Debug, Default)]
pub(super) enum Effect {
    /// Nothing that leaves the chain.
    #[default]
    None,
    Edits,
    Holds,
    /// `deliver`: with the mail as it stood, held or not.
    Delivers(Box<Mail>, bool),
    /// Another verdict.
    Ends(Outcome),
}

impl Effect {
    /// From the mail before the rule, and the run after it.
    pub(super) fn of(before: &State, run: &Run, flow: &Flow) -> Effect {
        match flow {
            Flow::End(Outcome::Deliver) => Effect::Delivers(Box::new(run.mail.clone()), !run.holds.is_empty()),
            Flow::End(outcome) => Effect::Ends(outcome.clone()),
            _ if !same(&before.mail, &run.mail) || before.route != run.route => Effect::Edits,
            _ if run.holds.len() > before.holds.len() => Effect::Holds,
            _ => Effect::None,
        }
    }

    /// Of a rule that failed.
    pub(super) fn of_failure(then: OnError, ends: Option<&Outcome>) -> Effect {
        match (then, ends) {
            (_, Some(outcome)) => Effect::Ends(outcome.clone()),
            (OnError::Quarantine, None) => Effect::Holds,
            (_, None) => Effect::None,
        }
    }

    /// Whether the mail would have come out otherwise than it did, with this outcome.
    fn differs(&self, run: &Run, outcome: &Outcome) -> bool {
        let (delivered, held) = (*outcome == Outcome::Deliver, !run.holds.is_empty());
        match self {
            Effect::None => false,
            Effect::Edits => delivered,
            Effect::Holds => delivered && !held,
            Effect::Delivers(mail, was_held) => !delivered || *was_held != held || !same(mail, &run.mail),
            Effect::Ends(other) => other != outcome,
        }
    }
}

fn same(one: &Mail, other: &Mail) -> bool {
    one.envelope == other.envelope && one.message.is_same_as(&other.message)
}

impl Run {
    /// Whether what runs now is only observed.
    pub(in crate::chain) fn in_shadow(&self) -> bool {
        self.shadow
    }

    /// Goes a way that leaves nothing behind.
    pub(super) fn aside(&mut self, way: impl FnOnce(&mut Run) -> Flow) {
        let before = self.state();
        self.change_purse();
        self.added = 0;
        self.shadow = true;
        way(self);
        self.shadow = false;
        self.change_purse();
        self.put_back(before);
    }

    fn change_purse(&mut self) {
        let now = clock::monotonic();
        let used = self.used + now.duration_since(self.began);
        (self.used, self.began) = (std::mem::replace(&mut self.other.used, used), now);
        std::mem::swap(&mut self.decoded, &mut self.other.decoded);
        std::mem::swap(&mut self.texts, &mut self.other.texts);
        std::mem::swap(&mut self.measured, &mut self.other.measured);
        std::mem::swap(&mut self.raw, &mut self.other.raw);
    }

    /// What became of every rule, now that the outcome is known.
    pub(super) fn sights(&mut self, outcome: &Outcome) -> Vec<Sight> {
        let seen = std::mem::take(&mut self.seen);
        seen.into_iter().map(|(sight, effect)| Sight { different: sight.different || effect.differs(self, outcome), ..sight }).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::{file, mail};
    use crate::chain::link::{Link, Mode};
    use crate::chain::rule::Shared;
    use crate::chain::ruling::Ruling;
    use crate::chain::trace::Trace;
    use crate::chain::{Chain, example};
    use crate::yaml::{Problems, Source, parse};
    use std::sync::Arc;

    const MESSAGE: &[u8] = b"Subject: offer\r\n\r\nhello\r\n";

    fn link(mode: Mode, rules: &str) -> Link {
        let file = file(&format!("rules:\n{rules}")).unwrap_or_else(|problems| panic!("{problems:#?}"));
        Link { mode, name: "rules/*.yaml".into(), place: "transom.yaml:7".into(), ..Link::of(vec![Arc::new(file)]) }
    }

    fn when(condition: &str, link: Link) -> Link {
        let mut problems = Problems::default();
        let node = parse(&Source::new("transom.yaml", condition.to_owned()), &mut problems).unwrap();
        let when = Shared { inside: example::inside(), ..Shared::default() }.when(&node, &mut problems);
        Link { when: Some(when.unwrap()), ..link }
    }

    fn explained(links: Vec<Link>) -> (Ruling, Trace) {
        let chain = Chain::build(links, &Shared::default(), &mut Problems::default());
        let part = chain.parts(&mail(MESSAGE), true).remove(0);
        (part.ruling, part.trace)
    }

    fn ruling(links: Vec<Link>) -> Ruling {
        explained(links).0
    }

    /// Each rule that was asked: `+` fired, `!` failed, `~` only observed, `*` would have changed what came out.
    fn sights(ruling: &Ruling) -> String {
        let sight = |sight: &super::Sight| {
            let marks = [(sight.fired, '+'), (sight.error.is_some(), '!'), (sight.observed, '~'), (sight.different, '*')];
            marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).chain(sight.rule.chars()).collect::<String>()
        };
        ruling.seen.iter().map(sight).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_observed_rule_leaves_nothing_behind_and_is_told_of() {
        let rules = "
  - {name: a, mode: observe, then: [{header.set: {name: Subject, value: x}}, {sender.set: x@y.example}, {tag: t}, {score: 3}, {log: l}, {quarantine: {reason: r}}, reject]}
  - {name: b, when: {tag: t}, then: [discard]}
";
        let (ruling, trace) = explained(vec![link(Mode::Enforce, rules)]);
        assert_eq!(ruling.word(), "deliver");
        assert!(ruling.mail.message.is_same_as(&mail(MESSAGE).message));
        assert_eq!(ruling.mail.envelope.sender.address(), example::SENDER);
        assert!(ruling.tags.is_empty() && ruling.scores.is_empty() && ruling.logs.is_empty() && ruling.holds.is_empty());
        assert!(ruling.fired.is_empty());
        assert_eq!(ruling.observed().collect::<Vec<_>>(), ["a"]);
        assert_eq!(sights(&ruling), "+~*a b");
        let told: Vec<_> = trace.rules.iter().map(|rule| (rule.observed, rule.fired, rule.edits.len())).collect();
        assert_eq!(told, [(true, true, 7), (false, false, 0)]);
    }

    #[test]
    fn rules_of_an_observed_entry_see_each_other_and_nobody_else_sees_them() {
        let shadow = "
  - {name: a, when: {tag: before}, then: [{tag: t}, {score: 5}, {header.set: {name: Subject, value: changed}}]}
  - {name: b, when: {tag: t, score: {over: 4}, subject: changed}, then: [reject]}
  - {name: not asked, then: [discard]}
";
        let first = "  - {name: first, then: [{tag: before}]}\n";
        let last = "  - {name: last, when: {any: [{tag: t}, {subject: changed}, {score: {over: 4}}]}, then: [discard]}\n";
        let ruling = ruling(vec![link(Mode::Enforce, first), link(Mode::Observe, shadow), link(Mode::Enforce, last)]);
        assert_eq!((ruling.word(), sights(&ruling).as_str()), ("deliver", "+first +~*a +~*b last"));
        assert_eq!(ruling.tags, ["before"]);
    }

    #[test]
    fn observed_rules_of_an_entry_in_force_do_not_see_each_other() {
        let rules = "
  - {name: a, mode: observe, then: [{tag: t}]}
  - {name: b, mode: observe, when: {tag: t}, then: [discard]}
";
        assert_eq!(sights(&ruling(vec![link(Mode::Enforce, rules)])), "+~a ~b");
    }

    #[test]
    fn leave_ends_its_file_in_the_shadow_too() {
        let entry = link(Mode::Observe, "  - {name: a, then: [leave]}\n  - {name: b, then: [discard]}\n");
        let other = link(Mode::Observe, "  - {name: c, then: [discard]}\n");
        let entry = Link { files: [entry.files, other.files].concat(), ..Link::of(Vec::new()) };
        assert_eq!(sights(&ruling(vec![Link { mode: Mode::Observe, ..entry }])), "+~a +~*c");
    }

    #[test]
    fn the_stricter_of_entry_and_rule_holds() {
        use Mode::{Disabled, Enforce, Observe};
        for (entry, rule, seen) in [
            (Enforce, Enforce, "+a"),
            (Enforce, Observe, "+~*a"),
            (Enforce, Disabled, ""),
            (Observe, Enforce, "+~*a"),
            (Observe, Observe, "+~*a"),
            (Observe, Disabled, ""),
            (Disabled, Enforce, ""),
            (Disabled, Observe, ""),
            (Disabled, Disabled, ""),
        ] {
            let rules = format!("  - {{name: a, mode: {}, then: [discard]}}\n", rule.word());
            let ruling = ruling(vec![link(entry, &rules)]);
            assert_eq!(sights(&ruling), seen, "{entry:?} {rule:?}");
            assert_eq!(ruling.word(), if seen == "+a" { "discard" } else { "deliver" });
        }
    }

    #[test]
    fn what_would_have_been_different_is_told_by_what_came_out() {
        for (observed, enforced, different) in [
            ("{tag: t}", "{tag: u}", false),
            ("{log: l}", "{tag: u}", false),
            ("leave", "{tag: u}", false),
            ("{header.set: {name: Subject, value: offer}}", "{tag: u}", false),
            ("{header.set: {name: Subject, value: other}}", "{tag: u}", true),
            ("{header.set: {name: Subject, value: other}}", "discard", false),
            ("{sender.set: x@y.example}", "{tag: u}", true),
            ("{quarantine: {reason: r}}", "{tag: u}", true),
            ("{quarantine: {reason: r}}", "{quarantine: {reason: s}}", false),
            ("{quarantine: {reason: r}}", "reject", false),
            ("deliver", "{tag: u}", false),
            ("deliver", "discard", true),
            ("deliver", "{quarantine: {reason: s}}", true),
            ("deliver", "{header.remove: {name: Subject}}", true),
            ("reject", "reject", false),
            ("reject", "{reject: {code: 551}}", true),
            ("reject", "defer", true),
            ("discard", "discard", false),
            // Cannot be carried out: the mail would have been held.
            ("{sender.set: '${header:Subject}'}", "{tag: u}", true),
            ("{sender.set: '${header:Subject}'}", "{quarantine: {reason: s}}", false),
        ] {
            let rules = format!("  - {{name: a, mode: observe, then: [{observed}]}}\n  - {{name: b, then: [{enforced}]}}\n");
            let ruling = ruling(vec![link(Mode::Enforce, &rules)]);
            assert_eq!(ruling.seen[0].different, different, "{observed} before {enforced}: {ruling:?}");
            assert!(!ruling.seen[1].different && ruling.failures.is_empty());
        }
    }

    #[test]
    fn an_error_in_the_shadow_is_noted_and_its_on_error_is_not_followed() {
        for (on_error, different) in [("quarantine", '*'), ("defer", '*'), ("reject", '*'), ("skip", ' ')] {
            let rules = format!(
                "  - {{name: a, on_error: {on_error}, then: [{{tag: t}}, {{sender.set: '${{header:Subject}}'}}]}}\n  - {{name: b, when: {{tag: t}}, then: [discard]}}\n"
            );
            let (ruling, trace) = explained(vec![link(Mode::Observe, &rules)]);
            assert_eq!((ruling.word(), ruling.failures.len(), ruling.holds.len()), ("deliver", 0, 0));
            assert_eq!(sights(&ruling), format!("+!~{different}a ~b").replace(' ', "").replace("~b", " ~b"));
            assert!(trace.rules[0].error.as_ref().unwrap().ends_with("→ nothing, as it is only observed"));
        }
    }

    #[test]
    fn an_entry_whose_when_does_not_hold_asks_none_of_its_rules() {
        let rules = "  - {name: a, then: [discard]}\n";
        let (ruling, trace) = explained(vec![when("subject: offer", link(Mode::Enforce, rules))]);
        assert_eq!((ruling.word(), sights(&ruling).as_str()), ("discard", "+a"));
        assert_eq!((trace.rules[0].name.as_str(), trace.rules[0].entry, trace.rules[0].fired), ("include rules/*.yaml", true, true));
        assert_eq!(trace.rules[0].conditions[0].saw, ["offer"]);
        let (ruling, trace) = explained(vec![when("subject: order", link(Mode::Enforce, rules))]);
        assert_eq!((ruling.word(), sights(&ruling).as_str()), ("deliver", ""));
        assert_eq!((trace.rules.len(), trace.rules[0].fired), (1, false));
    }

    #[test]
    fn the_when_of_an_entry_sees_what_rules_before_it_did() {
        let tags = "  - {name: tags, then: [{tag: t}]}\n";
        let discards = "  - {name: discards, then: [discard]}\n";
        assert_eq!(ruling(vec![link(Mode::Enforce, tags), when("tag: t", link(Mode::Enforce, discards))]).word(), "discard");
        assert_eq!(ruling(vec![link(Mode::Observe, tags), when("tag: t", link(Mode::Enforce, discards))]).word(), "deliver");
    }
}
