//! Recipients told apart (DESIGN decision 2): the rules at RCPT, the class of each recipient, and what both hand to the run.
//!
//! A chain reads as if it ran once per recipient. Recipients of one class share a run, so a class holds everything the chain can tell them apart by:
//!
//! | what                                                       | why                                             |
//! |------------------------------------------------------------|-------------------------------------------------|
//! | the answers of `recipient` and `direction`, rule by rule   | a rule fires for one and not for another        |
//! | tags, scores and holds that `at: recipient` rules left     | later rules ask for them                        |
//! | `at: recipient` rules that wait for the size, with answers | they decide in the run                          |
//! | its route                                                  | where its mail goes by a rule or by its domain  |
//! | the recipient itself                                       | a text of the message stage names `${recipient}`, or a group of a `recipient` test |

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::entry::Load;
use super::link::{Link, Mode, When};
use super::rule::{Rule, Step};
use super::ruling::{Failure, Hold, Outcome, Ruling, Sight};
use super::run::guarded;
use super::trace::Trace;
use super::{ActionError, Chain, Run, example};
use crate::mail::{Mail, Origin};
use crate::message::Message;
use crate::smtp::envelope::{Declared, Envelope, Recipient};
use crate::smtp::path::Path;
use crate::yaml::{Problems, Reported};

/// What a rule at RCPT may ask, and do.
pub(super) const CONDITIONS: [&str; 11] =
    ["all", "any", "not", "true", "false", "condition", "client", "sender", "recipient", "direction", "size"];
const ACTIONS: [&str; 11] =
    ["recipient.set", "recipient.replace", "route", "tag", "score", "quarantine", "log", "reject", "defer", "discard", "deliver"];

/// Stands for the rule where recipients part because a route has the domain of one.
const BY_DOMAIN: &str = "(routes)";

thread_local! {
    /// That of all recipients where no rule tells them apart.
    static NO_CLASS: Arc<Class> = Arc::default();
}

/// A recipient as a client gives it.
#[derive(Clone, Debug)]
pub struct Offer<'a> {
    pub origin: &'a Arc<Origin>,
    pub sender: &'a Path,
    /// With the size the client announced.
    pub declared: Declared,
    pub recipient: &'a Recipient,
}

/// Everything the chain can tell recipients apart by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Class {
    /// By rule, in the order of the chain.
    pub(super) answers: Vec<(Arc<str>, Vec<bool>)>,
    pub(super) tags: Vec<String>,
    pub(super) scores: BTreeMap<String, f64>,
    pub(super) holds: Vec<Hold>,
    /// Where its mail goes, by a rule or by its domain; none: as the listener says.
    pub route: Option<Arc<str>>,
    /// Rules that ask for a size that was not announced.
    pub(super) late: Vec<Arc<str>>,
    /// With the rule whose text names it.
    pub(super) recipient: Option<(Arc<str>, Path)>,
}

/// What the rules at RCPT said of one recipient.
#[derive(Clone, Debug)]
pub struct RecipientRuling {
    /// `Deliver`: it goes on. Otherwise its RCPT is answered so; a discarded one is accepted and dropped.
    pub outcome: Outcome,
    /// As the client gave it.
    pub given: Recipient,
    /// As the rules left it: whom the next hop is asked about.
    pub recipient: Recipient,
    pub class: Arc<Class>,
    pub fired: Vec<Arc<str>>,
    pub failures: Vec<Failure>,
    /// Every rule that was asked, in order.
    pub seen: Vec<Sight>,
    pub logs: Vec<(Arc<str>, String)>,
}

/// Recipients of one class, and what the chain does with their copy.
#[derive(Debug)]
pub struct Part {
    /// As given.
    pub recipients: Vec<Recipient>,
    /// Whether they got beyond RCPT.
    pub goes_on: bool,
    /// The rule that tells them from the first part.
    pub by: Option<Arc<str>>,
    pub ruling: Ruling,
    /// Empty unless it was asked for.
    pub trace: Trace,
}

impl RecipientRuling {
    /// Of a recipient that no rule has anything to say about.
    #[must_use]
    pub fn untouched(recipient: &Recipient) -> RecipientRuling {
        RecipientRuling {
            outcome: Outcome::Deliver,
            given: recipient.clone(),
            recipient: recipient.clone(),
            class: NO_CLASS.with(Arc::clone),
            fired: Vec::new(),
            failures: Vec::new(),
            seen: Vec::new(),
            logs: Vec::new(),
        }
    }

    /// Takes over the class of another one, if it is the same, and forgets what has been told: thousands of recipients of one message are not to cost a class each.
    pub fn settle_beside(&mut self, other: Option<&RecipientRuling>) {
        if let Some(other) = other.filter(|other| other.class == self.class) {
            self.class = Arc::clone(&other.class);
            // For the counts they are added up: what is the same adds nothing.
            self.seen.retain(|sight| !other.seen.contains(sight));
            self.seen.shrink_to_fit();
        }
        (self.failures, self.logs) = (Vec::new(), Vec::new());
    }

    /// Whether it goes on: neither refused nor dropped.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.outcome == Outcome::Deliver
    }

    #[must_use]
    pub fn is_rewritten(&self) -> bool {
        self.given.path() != self.recipient.path()
    }

    /// The rule that tells the two apart, if they are of two classes.
    #[must_use]
    pub fn parted_by(&self, other: &RecipientRuling) -> Option<Arc<str>> {
        let (one, two) = (&*self.class, &*other.class);
        if one == two {
            return None;
        }
        let answered = one.answers.iter().zip(&two.answers).find(|(one, two)| one != two).map(|(one, _)| &one.0);
        let fired_alone = || {
            let alone = |a: &'_ RecipientRuling, b: &'_ RecipientRuling| a.fired.iter().find(|rule| !b.fired.contains(rule)).cloned();
            alone(self, other).or_else(|| alone(other, self))
        };
        let waits = || one.late.iter().chain(&two.late).next().cloned();
        let named = || one.recipient.as_ref().or(two.recipient.as_ref()).map(|(rule, _)| Arc::clone(rule));
        let same_but_named = Class { recipient: None, ..one.clone() } == Class { recipient: None, ..two.clone() };
        let routed = || (one.route != two.route).then(|| Arc::from(BY_DOMAIN));
        if same_but_named { named() } else { answered.cloned().or_else(fired_alone).or_else(waits).or_else(routed) }
    }
}

/// Recipients in order, to find among many whom another one became one with: two are one where they are of one mailbox and a rule wrote one of them. What
/// the client itself gives twice stays as it is.
#[derive(Debug, Default)]
pub struct Mailboxes {
    count: usize,
    /// The first that has it, and the first of those that a rule wrote.
    known: HashMap<(String, Option<String>), (usize, Option<usize>)>,
}

impl Mailboxes {
    pub fn add(&mut self, ruling: &RecipientRuling) {
        let (_, rewritten) = self.known.entry(Self::mailbox(ruling)).or_insert((self.count, None));
        if rewritten.is_none() && ruling.is_rewritten() {
            *rewritten = Some(self.count);
        }
        self.count += 1;
    }

    /// The place of the first that this one became one with.
    #[must_use]
    pub fn one_with(&self, ruling: &RecipientRuling) -> Option<usize> {
        if self.known.is_empty() {
            return None;
        }
        let (first, rewritten) = *self.known.get(&Self::mailbox(ruling))?;
        if ruling.is_rewritten() { Some(first) } else { rewritten }
    }

    pub fn clear(&mut self) {
        (self.count, self.known) = (0, HashMap::new());
    }

    fn mailbox(RecipientRuling { recipient, .. }: &RecipientRuling) -> (String, Option<String>) {
        (recipient.local().to_owned(), recipient.domain().map(str::to_ascii_lowercase))
    }
}

/// The recipients that the next hop is asked about and the mail is for; two that became one are one.
#[must_use]
pub fn left(rulings: &[RecipientRuling]) -> Cow<'_, [Recipient]> {
    if let [only] = rulings {
        return Cow::Borrowed(if only.goes_on() { std::slice::from_ref(&only.recipient) } else { &[] });
    }
    let (mut left, mut mailboxes) = (Vec::new(), Mailboxes::default());
    for ruling in rulings.iter().filter(|ruling| ruling.goes_on()) {
        if mailboxes.one_with(ruling).is_none() {
            mailboxes.add(ruling);
            left.push(ruling.recipient.clone());
        }
    }
    Cow::Owned(left)
}

impl Chain {
    /// The entries in force: what is only observed parts no recipients.
    fn in_force(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().map(AsRef::as_ref).filter(|link| link.mode == Mode::Enforce)
    }

    /// Whether it has anything to say about a recipient before the message is here.
    #[must_use]
    pub fn looks_at_recipients(&self) -> bool {
        let at_recipient = |link: &Link| link.mode != Mode::Disabled && link.rules().any(|rule| rule.at_recipient);
        let apart = |rule: &Rule| rule.mode == Mode::Enforce && (rule.tells_apart || rule.names_recipient);
        self.routes.by_domain()
            || self.links.iter().any(|link| at_recipient(link))
            || self.in_force().any(|link| link.tells_apart() || link.rules().any(apart))
    }

    /// What the rules at RCPT say of a recipient, and its class.
    #[must_use]
    pub fn at_recipient(&self, offer: &Offer<'_>) -> RecipientRuling {
        if self.looks_at_recipients() { self.ask(offer, false).0 } else { RecipientRuling::untouched(offer.recipient) }
    }

    fn ask(&self, offer: &Offer<'_>, traced: bool) -> (RecipientRuling, Trace) {
        let message = Message::parse(Bytes::new(), &example::limits()).expect("nothing is within every limit");
        let envelope =
            Envelope { sender: offer.sender.clone(), recipients: vec![offer.recipient.clone()], declared: offer.declared.clone() };
        let mail = Mail { origin: Arc::clone(offer.origin), envelope, message };
        let mut run = Run::at_recipient(Run::new(mail, self.limits, Arc::clone(&self.inside), traced), offer.declared.size);
        let mut outcome = run.walk(&self.links, &|_, rule| rule.at_recipient);
        let mut class = Class::default();
        if outcome == Outcome::Deliver {
            match self.class(&mut run) {
                Ok(found) => class = found,
                Err((rule, error)) => outcome = run.not_now(rule, &error),
            }
        }
        if let Outcome::Reject(verdict) = &mut outcome
            && verdict.code == 552
        {
            // RFC 5321 4.5.3.1.10: at RCPT it says that there are too many recipients, and makes clients come again.
            verdict.code = 554;
        }
        run.ruled(outcome, offer.recipient, class)
    }

    /// The class of the recipient that a run is about.
    fn class(&self, run: &mut Run) -> Result<Class, (Arc<str>, ActionError)> {
        // These are no questions of a rule that `explain` tells about.
        let trace = run.trace.take();
        let mut class = Class { late: run.late.clone(), ..Class::default() };
        for link in self.in_force() {
            if let Some(answers) = link.of_recipient(run)? {
                class.answers.push((Arc::clone(&link.name), answers));
            }
            // Rules that are not asked tell nobody apart.
            if link.when.as_ref().is_some_and(When::is_of_recipient) && guarded(|| link.applies(run)) == Ok(false) {
                continue;
            }
            let asked = |rule: &&Rule| rule.mode == Mode::Enforce && (!rule.at_recipient || run.late.contains(&rule.name));
            for rule in link.rules().filter(asked) {
                if rule.tells_apart {
                    let answers = guarded(|| rule.of_recipient(run)).map_err(|error| (Arc::clone(&rule.name), error))?;
                    class.answers.push((Arc::clone(&rule.name), answers));
                }
                if rule.names_recipient && class.recipient.is_none() {
                    class.recipient = Some((Arc::clone(&rule.name), run.this_recipient().path().clone()));
                }
            }
        }
        // It is asked as whom the rules have left, for that one the next hop hears of.
        class.route = run.route.clone().or_else(|| self.routes.of(run.this_recipient()));
        run.trace = trace;
        Ok(class)
    }

    /// A mail as it came, its recipients parted by class, each class with its ruling.
    #[must_use]
    pub fn parts(&self, mail: &Mail, traced: bool) -> Vec<Part> {
        let Envelope { sender, recipients, declared } = &mail.envelope;
        let mut classes: Vec<(Vec<RecipientRuling>, Vec<Trace>)> = Vec::new();
        for recipient in recipients {
            let offer = Offer { origin: &mail.origin, sender, declared: declared.clone(), recipient };
            let (ruling, trace) = self.ask(&offer, traced);
            let same = |known: &RecipientRuling| known.goes_on() && ruling.goes_on() && known.class == ruling.class;
            match classes.iter_mut().find(|(known, _)| same(&known[0])) {
                Some((known, told)) => {
                    known.push(ruling);
                    told.push(trace);
                }
                None => classes.push((vec![ruling], vec![trace])),
            }
        }
        let parts = classes.iter().map(|(rulings, before)| {
            let first = &classes[0].0[0];
            let by = rulings[0].parted_by(first).or_else(|| rulings[0].fired.last().filter(|_| !rulings[0].goes_on()).cloned());
            self.part(mail, rulings, before, traced, by)
        });
        parts.collect()
    }

    fn part(&self, mail: &Mail, rulings: &[RecipientRuling], before: &[Trace], traced: bool, by: Option<Arc<str>>) -> Part {
        let recipients: Vec<Recipient> = rulings.iter().map(|ruling| ruling.given.clone()).collect();
        let listener = Arc::clone(&mail.origin.listener);
        let mut mail = mail.clone();
        mail.envelope.recipients.clone_from(&recipients);
        let mut trace = before[0].clone();
        for (ruling, other) in rulings.iter().zip(before).skip(1) {
            trace.rules.extend(other.of_another(&before[0], &ruling.given.to_string()));
        }
        let mut ruling = if rulings[0].goes_on() {
            let (ruling, of_run) = self.run_traced(mail, rulings, traced);
            trace.rules.extend(of_run.rules);
            ruling
        } else {
            let RecipientRuling { outcome, fired, seen, .. } = rulings[0].clone();
            Ruling { outcome, fired, seen, ..Ruling::discarded(mail) }
        };
        ruling.route.get_or_insert_with(|| self.routes.of_listener(&listener));
        // The server has told these when the recipients came.
        ruling.logs.splice(0..0, rulings.iter().flat_map(|ruling| ruling.logs.iter().cloned()));
        ruling.failures.splice(0..0, rulings.iter().flat_map(|ruling| ruling.failures.iter().cloned()));
        Part { recipients, goes_on: rulings[0].goes_on(), by, ruling, trace }
    }

    /// Runs a mail to its ruling, for the recipients that these rulings left; without any, for its own. Blocks only for the message's own file. Never panics: a rule that does has failed.
    #[must_use]
    pub fn run(&self, mail: Mail, recipients: &[RecipientRuling]) -> Ruling {
        self.run_traced(mail, recipients, false).0
    }

    fn run_traced(&self, mut mail: Mail, recipients: &[RecipientRuling], traced: bool) -> (Ruling, Trace) {
        if !recipients.is_empty() {
            mail.envelope.recipients = left(recipients).into_owned();
            if mail.envelope.recipients.is_empty() {
                return (Ruling::discarded(mail), Trace::default());
            }
        }
        let (ruling, trace) = Run::new(mail, self.limits, Arc::clone(&self.inside), traced).handed(recipients).through(&self.links);
        (ruling, trace.unwrap_or_default())
    }
}

/// A rule at RCPT has no message, and may do only what concerns its recipient.
///
/// # Errors
/// [`Reported`], all that it may not.
pub fn check_at_recipient<'r>(steps: impl Iterator<Item = &'r Step>, load: &mut Load<'_>) -> Result<(), Reported> {
    let mut wrong = Ok(());
    for (name, span) in &load.uses.conditions {
        if !CONDITIONS.contains(name) {
            let label = "it may ask for client, sender, recipient, direction, condition and the announced size";
            wrong =
                Err(load.problems.error(span, format!("a rule with `at: recipient` runs before the message is here: no `{name}`"), label));
        }
    }
    for span in &load.uses.header {
        let label = "take `at: recipient` away, or the value";
        wrong =
            Err(load.problems.error(span, "a rule with `at: recipient` runs before the message is here: there is no header yet", label));
    }
    for step in steps.filter(|step| !ACTIONS.contains(&step.name)) {
        let label = "at RCPT: reject, defer, discard, deliver, recipient.set, recipient.replace, route, tag, score, quarantine, log";
        wrong = Err(load.problems.error(&step.span, format!("a rule with `at: recipient` cannot do `{}`", step.name), label));
    }
    wrong
}

/// Reports what the `when` of a chain entry asks for too early, where a rule under it runs at RCPT.
pub fn check_entry(link: &Link, problems: &mut Problems) {
    let Some((when, rule)) = link.when.as_ref().zip(link.rules().find(|rule| rule.at_recipient)) else { return };
    for (name, span) in when.uses.conditions.iter().filter(|(name, _)| !CONDITIONS.contains(name)) {
        let label = format!("`{}` under it has `at: recipient`, which runs before the message is here", rule.name);
        problems.error(span, format!("this chain entry cannot ask for `{name}`"), label);
    }
}

/// Tells that each recipient is a class of its own for these texts.
pub fn warn_of_texts(load: &mut Load<'_>) {
    for (name, span) in &load.uses.recipient {
        let title = format!("`{name}` makes every recipient a class of its own: a message to several of them comes in once for each");
        load.problems.warning(
            span,
            title,
            "only the first is taken, the others hear 452 4.5.3 and come again; a `log` text may name it freely",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::action::testing::chain;
    use crate::mail::Standing;
    use crate::smtp::reply::Enhanced;
    use crate::yaml::Problems;

    fn path(address: &str) -> Path {
        Path::parse(address).unwrap()
    }

    /// The ruling at RCPT of a client outside.
    fn ask(chain: &Chain, recipient: &str, size: Option<u64>) -> RecipientRuling {
        let declared = Declared { size, ..Declared::default() };
        let (origin, sender) = (Arc::new(example::origin()), path(example::SENDER));
        chain.at_recipient(&Offer { origin: &origin, sender: &sender, declared, recipient: &path(recipient).into() })
    }

    /// What became of these recipients of one message.
    fn parts(chain: &Chain, recipients: &[&str]) -> Vec<(Vec<String>, &'static str, Option<String>)> {
        let mut mail = example::run("Subject: hi\r\n\r\nbody\r\n").mail;
        mail.envelope.recipients = recipients.iter().map(|one| path(one).into()).collect();
        let told = |part: Part| {
            let recipients = part.ruling.mail.envelope.recipients.iter().map(ToString::to_string).collect();
            (recipients, part.ruling.word(), part.by.map(|rule| rule.to_string()))
        };
        chain.parts(&mail, false).into_iter().map(told).collect()
    }

    fn rules(rules: &[&str]) -> Chain {
        let yaml = rules.iter().fold("rules:\n".to_owned(), |yaml, rule| format!("{yaml}  - {{{rule}}}\n"));
        chain(&yaml).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    fn refused(rule: &str) -> String {
        format!("{:?}", chain(&format!("rules:\n  - {{{rule}}}\n")).unwrap_err())
    }

    fn part(recipients: &[&str], word: &'static str, by: Option<&str>) -> (Vec<String>, &'static str, Option<String>) {
        (recipients.iter().map(|path| format!("<{path}>")).collect(), word, by.map(str::to_owned))
    }

    #[test]
    fn a_chain_that_tells_nobody_apart_asks_nothing_at_rcpt() {
        let chain = rules(&["name: a, when: {recipients: {over: 1}}, then: [discard]", "name: b, then: [{log: 'for ${recipient}'}]"]);
        assert!(!chain.looks_at_recipients());
        assert_eq!(ask(&chain, "a@inside.example", None).class, ask(&chain, "b@outside.example", None).class);
        assert_eq!(parts(&chain, &["a@x.example", "b@x.example"]), [part(&["a@x.example", "b@x.example"], "discard", None)]);
    }

    #[test]
    fn recipients_part_where_a_condition_answers_otherwise_and_only_there() {
        let chain = rules(&[
            "name: all, then: [{tag: seen}]",
            "name: sales, when: {recipient: {local: [sales, support]}}, then: [{quarantine: sales}]",
            "name: out, when: {any: [{subject: nothing}, {direction: transit}]}, then: [discard]",
        ]);
        assert!(chain.looks_at_recipients());
        let given = ["anna@inside.example", "sales@inside.example", "bob@inside.example", "support@inside.example", "x@outside.example"];
        let wanted = [
            part(&["anna@inside.example", "bob@inside.example"], "deliver", None),
            part(&["sales@inside.example", "support@inside.example"], "quarantine", Some("sales")),
            part(&["x@outside.example"], "discard", Some("out")),
        ];
        assert_eq!(parts(&chain, &given), wanted);
    }

    /// Where the mail of these recipients goes.
    fn routes(chain: &Chain, recipients: &[&str]) -> Vec<(Vec<String>, Option<String>)> {
        let mut mail = example::run("Subject: hi\r\n\r\nbody\r\n").mail;
        mail.envelope.recipients = recipients.iter().copied().map(|address| path(address).into()).collect();
        let told = |part: Part| {
            let recipients = part.ruling.mail.envelope.recipients.iter().map(ToString::to_string).collect();
            (recipients, part.ruling.route.map(|route| route.to_string()))
        };
        chain.parts(&mail, false).into_iter().map(told).collect()
    }

    /// The same where a route has a domain.
    fn by_domain(chain: Chain) -> Chain {
        let routes = crate::chain::route::Routes::new(vec![("partner".into(), vec!["partner.example".to_owned()])], Vec::new());
        Chain { routes: Arc::new(routes), ..chain }
    }

    fn way(recipients: &[&str], route: &str) -> (Vec<String>, Option<String>) {
        (recipients.iter().map(|path| format!("<{path}>")).collect(), Some(route.to_owned()))
    }

    #[test]
    fn a_domain_that_has_a_route_parts_recipients_though_no_rule_does() {
        let chain = by_domain(rules(&["name: a, then: [tag: x]"]));
        assert!(chain.looks_at_recipients());
        let given = ["a@inside.example", "b@partner.example", "c@outside.example", "d@Partner.example."];
        let wanted =
            [way(&["a@inside.example", "c@outside.example"], "relay"), way(&["b@partner.example", "d@Partner.example."], "partner")];
        assert_eq!(routes(&chain, &given), wanted);
        assert_eq!(ask(&chain, "b@partner.example", None).class.route.as_deref(), Some("partner"));
        assert_eq!(ask(&chain, "a@inside.example", None).class.route, None);
        assert_eq!(parts(&chain, &["a@inside.example", "b@partner.example"])[1].2.as_deref(), Some(BY_DOMAIN));
    }

    #[test]
    fn a_rule_at_rcpt_says_where_its_recipient_goes_whatever_the_domain() {
        let chain = by_domain(rules(&[
            "name: back, at: recipient, when: {recipient: {local: back}}, then: [{route: relay}]",
            "name: there, at: recipient, when: {recipient: {local: there}}, then: [{route: partner}]",
            "name: anew, at: recipient, when: {recipient: {local: anew}}, then: [{recipient.set: new@partner.example}]",
        ]));
        let given = ["back@partner.example", "there@inside.example", "anew@inside.example", "x@partner.example"];
        let wanted = [
            way(&["back@partner.example"], "relay"),
            way(&["there@inside.example", "new@partner.example", "x@partner.example"], "partner"),
        ];
        // By its domain and by a rule is the same way.
        assert_eq!(routes(&chain, &given), wanted);
    }

    #[test]
    fn in_the_message_stage_a_route_moves_all_and_what_is_rewritten_stays() {
        let chain = rules(&["name: moved, then: [{route: partner}]"]);
        assert_eq!(routes(&chain, &["a@inside.example"]), [way(&["a@inside.example"], "partner")]);
        let chain = by_domain(rules(&["name: anew, then: [{recipient.set: x@partner.example}]"]));
        assert_eq!(routes(&chain, &["a@inside.example"]), [way(&["x@partner.example"], "relay")]);
        let chain = rules(&[
            "name: seen, mode: observe, then: [{route: partner}]",
            "name: broken, on_error: skip, then: [{route: partner}, {recipient.set: '${header:Subject}'}]",
        ]);
        assert_eq!(routes(&chain, &["a@inside.example"]), [way(&["a@inside.example"], "relay")]);
    }

    #[test]
    fn a_route_that_waits_for_the_size_comes_too_late() {
        let chain = rules(&["name: late, at: recipient, when: {size: {over: 1}}, then: [{route: partner}]"]);
        let ruling = chain.run(example::run("Subject: hi\r\n\r\nbody\r\n").mail, &[ask(&chain, "a@inside.example", None)]);
        assert_eq!((ruling.word(), ruling.route, ruling.failures.len()), ("quarantine", None, 1));
        let told = ask(&chain, "a@inside.example", Some(1000));
        assert_eq!(told.class.route.as_deref(), Some("partner"));
    }

    /// One entry of the chain.
    fn entry(mode: Mode, when: &str, rules: &str) -> Link {
        let file = crate::chain::action::testing::file(&format!("rules:\n  - {{{rules}}}\n")).unwrap();
        let mut problems = Problems::default();
        let node = crate::yaml::parse(&crate::yaml::Source::new("transom.yaml", when.to_owned()), &mut problems).unwrap();
        let mut shared = crate::chain::rule::Shared { inside: example::inside(), ..Default::default() };
        Link { mode, name: "entry".into(), when: Some(shared.when(&node, &mut problems).unwrap()), ..Link::of(vec![Arc::new(file)]) }
    }

    fn linked(links: Vec<Link>) -> (Chain, Problems) {
        let mut problems = Problems::default();
        let shared = crate::chain::rule::Shared { inside: example::inside(), ..Default::default() };
        (Chain::build(links, &shared, &mut problems), problems)
    }

    #[test]
    fn what_is_only_observed_or_disabled_parts_no_recipients() {
        let given = ["sales@inside.example", "x@outside.example"];
        let together = [part(&given, "deliver", None)];
        for mode in ["observe", "disabled"] {
            let chain = rules(&[
                &format!("name: a, mode: {mode}, when: {{recipient: {{local: sales}}}}, then: [discard]"),
                &format!("name: b, mode: {mode}, then: [{{header.add: {{name: X-For, value: '${{recipient}}'}}}}]"),
            ]);
            assert!(!chain.looks_at_recipients());
            assert_eq!(parts(&chain, &given), together);
        }
        for (mode, when) in
            [(Mode::Observe, "direction: inbound"), (Mode::Observe, "recipient: {local: x}"), (Mode::Disabled, "direction: inbound")]
        {
            let rule = "name: a, when: {recipient: {local: sales}}, then: [discard]";
            assert_eq!(parts(&linked(vec![entry(mode, when, rule)]).0, &given), together);
        }
    }

    #[test]
    fn what_is_only_observed_does_not_fail_where_recipients_differ() {
        let rule = "name: a, when: {recipient: {local: sales}}, then: [discard]";
        let observed = linked(vec![entry(Mode::Observe, "recipient: {domain: inside.example}", rule)]).0;
        for chain in [rules(&["name: a, mode: observe, when: {recipient: {local: sales}}, then: [discard]"]), observed] {
            let rulings = ["sales@inside.example", "x@outside.example"].map(|path| ask(&chain, path, None));
            let ruling = chain.run(example::run("Subject: hi\r\n\r\n").mail, &rulings);
            let seen: Vec<_> = ruling.seen.iter().map(|sight| (sight.observed, sight.fired, sight.error.as_deref())).collect();
            assert_eq!((ruling.word(), seen), ("deliver", vec![(true, true, None)]));
        }
    }

    #[test]
    fn a_rule_at_rcpt_that_is_only_observed_changes_nothing_and_is_told_of() {
        let chain = rules(&[
            "name: a, mode: observe, at: recipient, when: {recipient: {local: sales}}, then: [reject]",
            "name: b, mode: observe, at: recipient, when: {size: {over: 1}}, then: [{recipient.set: c@inside.example}, {tag: t}]",
        ]);
        let ruling = ask(&chain, "sales@inside.example", Some(100));
        assert!(ruling.goes_on() && !ruling.is_rewritten() && ruling.fired.is_empty() && *ruling.class == Class::default());
        let told: Vec<_> = ruling.seen.iter().map(|sight| (&*sight.rule, sight.observed, sight.fired, sight.different)).collect();
        assert_eq!(told, [("a", true, true, true), ("b", true, true, true)]);
        let unannounced = ask(&chain, "sales@inside.example", None);
        assert_eq!((&*unannounced.class, unannounced.seen.len()), (&Class::default(), 1));
        // Once for the message, whichever recipients they were asked about.
        let (anna, sales) = (ask(&chain, "anna@inside.example", Some(1)), ask(&chain, "sales@inside.example", Some(1)));
        let mut beside = sales.clone();
        beside.settle_beside(Some(&anna));
        for sales in [sales, beside] {
            let ruling = chain.run(example::run("Subject: hi\r\n\r\n").mail, &[anna.clone(), sales]);
            assert_eq!(ruling.seen.iter().map(|sight| sight.fired).collect::<Vec<_>>(), [true, false]);
        }
    }

    #[test]
    fn the_when_of_an_entry_parts_recipients_and_what_it_leaves_out_does_not() {
        let rule = "name: sales, when: {recipient: {local: sales}}, then: [discard]";
        let chain = linked(vec![entry(Mode::Enforce, "direction: transit", rule)]).0;
        let given = ["sales@inside.example", "anna@inside.example", "sales@outside.example", "x@outside.example"];
        let wanted =
            [part(&given[..2], "deliver", None), part(&given[2..3], "discard", Some("entry")), part(&given[3..], "deliver", Some("entry"))];
        assert_eq!(parts(&chain, &given), wanted);
    }

    #[test]
    fn the_when_of_an_entry_holds_for_rules_at_rcpt_and_asks_no_more_than_they_may() {
        let rule = "name: a, at: recipient, then: [reject]";
        let chain = linked(vec![entry(Mode::Enforce, "direction: transit", rule)]).0;
        assert!(ask(&chain, "a@inside.example", None).goes_on() && !ask(&chain, "a@outside.example", None).goes_on());
        let chain = linked(vec![entry(Mode::Enforce, "size: {over: 50}", rule)]).0;
        assert!(ask(&chain, "a@inside.example", Some(10)).goes_on() && !ask(&chain, "a@inside.example", Some(100)).goes_on());
        let late = ask(&chain, "a@inside.example", None);
        assert_eq!((late.goes_on(), late.class.late.len()), (true, 1));
        let mail = |text: &str| example::run(text).mail;
        assert_eq!(chain.run(mail("A: b\r\n\r\n"), std::slice::from_ref(&late)).word(), "deliver");
        assert_eq!(chain.run(mail(&format!("A: {}\r\n\r\n", "b".repeat(60))), &[late]).word(), "reject");
        let (_, problems) = linked(vec![entry(Mode::Enforce, "subject: x", rule)]);
        let told: Vec<_> = problems.iter().map(|problem| problem.title.as_str()).collect();
        assert_eq!(told, ["this chain entry cannot ask for `subject`"]);
    }

    #[test]
    fn a_text_that_names_the_recipient_makes_each_its_own_class() {
        for rule in [
            "name: named, then: [{header.add: {name: X-For, value: '${recipient}'}}]",
            "name: named, when: {recipient: {local: {matches: '^(?<who>.*)$'}}}, then: [{header.add: {name: X-For, value: '${who}'}}]",
        ] {
            let wanted = [part(&["a@x.example"], "deliver", None), part(&["b@x.example"], "deliver", Some("named"))];
            assert_eq!(parts(&rules(&[rule]), &["a@x.example", "b@x.example"]), wanted, "{rule}");
        }
        let logged = "name: logged, when: {recipient: {local: {matches: '^(?<who>.*)$'}}}, then: [{log: '${who} ${recipient}'}]";
        assert_eq!(parts(&rules(&[logged]), &["a@x.example", "b@x.example"]).len(), 1);
    }

    #[test]
    fn such_a_text_is_warned_of() {
        let read = |rule: &str| {
            let mut problems = Problems::default();
            let source = crate::yaml::Source::new("a.yaml", format!("rules:\n  - {{name: a, {rule}}}\n"));
            let node = crate::yaml::parse(&source, &mut problems).unwrap();
            crate::chain::rule::RuleFile::load(
                &node,
                std::path::Path::new("a.yaml"),
                &mut crate::chain::rule::Shared::default(),
                &mut problems,
            );
            assert!(!problems.any_error());
            problems.iter().map(|problem| problem.title.clone()).collect::<Vec<_>>()
        };
        assert!(
            read("then: [{header.add: {name: X-For, value: '${recipient}'}}]")[0]
                .starts_with("`${recipient}` makes every recipient a class")
        );
        assert!(read("then: [{log: '${recipient}'}]").is_empty());
        assert!(read("at: recipient, then: [{reject: {text: 'no ${recipient}'}}]").is_empty());
    }

    #[test]
    fn rules_at_rcpt_run_first_and_see_what_they_left_each_other() {
        let chain = rules(&[
            "name: later, when: {tag: moved}, then: [{score: 5}]",
            "name: move, at: recipient, when: {recipient: {domain: old.example}}, then: [{recipient.replace: {matches: '@old\\.example$', with: '@new.example'}}, {tag: moved}]",
            "name: gone, at: recipient, when: {recipient: gone@new.example}, then: [{reject: {text: 'no ${recipient}'}}]",
            "name: new, when: {recipient: {domain: new.example}}, then: [{tag: new}]",
        ]);
        let moved = ask(&chain, "anna@old.example", None);
        assert_eq!((moved.recipient.address(), moved.given.address()), ("anna@new.example", "anna@old.example"));
        assert_eq!((moved.outcome.clone(), moved.class.tags.clone()), (Outcome::Deliver, vec!["moved".to_owned()]));
        assert!(matches!(ask(&chain, "gone@old.example", None).outcome, Outcome::Reject(verdict) if verdict.text == "no gone@new.example"));
        // Whoever was moved is of another class than who was there: the tag is seen later.
        let (native, other) = (ask(&chain, "bob@new.example", None), ask(&chain, "x@else.example", None));
        assert!(native.class != moved.class && native.class != other.class);
        assert_eq!(moved.parted_by(&native).as_deref(), Some("move"));
        assert_eq!(native.parted_by(&other).as_deref(), Some("new"));
        let mail = example::run("Subject: hi\r\n\r\n").mail;
        let ruling = chain.run(mail, &[moved]);
        assert_eq!(ruling.fired.iter().map(AsRef::as_ref).collect::<Vec<_>>(), ["move", "later", "new"]);
        assert_eq!((ruling.tags, ruling.scores[""]), (vec!["moved".to_owned(), "new".to_owned()], 5.0));
        assert_eq!(ruling.mail.envelope.recipients, [path("anna@new.example")]);
    }

    #[test]
    fn later_changes_of_the_recipient_do_not_change_the_answer() {
        let chain = rules(&[
            "name: away, when: {recipient: a@x.example}, then: [{recipient.set: b@x.example}]",
            "name: still, when: {recipient: a@x.example}, then: [{quarantine: 'for ${recipient}'}]",
        ]);
        let mut mail = example::run("Subject: hi\r\n\r\n").mail;
        mail.envelope.recipients = vec![path("a@x.example").into()];
        let ruling = chain.run(mail, &[ask(&chain, "a@x.example", None)]);
        assert_eq!((ruling.holds[0].reason.as_str(), ruling.mail.envelope.recipients[0].address()), ("for a@x.example", "b@x.example"));
    }

    #[test]
    fn verdicts_at_rcpt_speak_for_one_recipient() {
        let chain = rules(&[
            "name: closed, at: recipient, when: {recipient: {local: closed}}, then: [{reject: {code: 553, enhanced: 5.1.3, text: closed}}]",
            "name: full, at: recipient, when: {recipient: {local: full}}, then: [{defer: {text: later}}]",
            "name: sink, at: recipient, when: {recipient: {local: sink}}, then: [discard]",
            "name: vip, at: recipient, when: {recipient: {local: vip}}, then: [deliver]",
            "name: rest, at: recipient, then: [{quarantine: all}]",
            "name: message, then: [{tag: late}]",
        ]);
        let outcome = |local: &str| ask(&chain, &format!("{local}@x.example"), None).outcome;
        assert!(matches!(outcome("closed"), Outcome::Reject(verdict) if (verdict.code, verdict.enhanced) == (553, Enhanced(5, 1, 3))));
        assert!(matches!(outcome("full"), Outcome::Defer(verdict) if verdict.code == 451));
        assert_eq!((outcome("sink"), outcome("vip"), outcome("any")), (Outcome::Discard, Outcome::Deliver, Outcome::Deliver));
        let wanted = [
            part(&["vip@x.example"], "deliver", None),
            part(&["any@x.example", "more@x.example"], "quarantine", Some("rest")),
            part(&["sink@x.example"], "discard", Some("sink")),
        ];
        assert_eq!(parts(&chain, &["vip@x.example", "any@x.example", "sink@x.example", "more@x.example"]), wanted);
        let all_dropped = chain.run(example::run("\r\n").mail, &[ask(&chain, "sink@x.example", None)]);
        assert_eq!(all_dropped.word(), "discard");
    }

    #[test]
    fn a_size_that_was_not_announced_is_asked_for_again_with_the_message() {
        let chain = rules(&[
            "name: big, at: recipient, when: {size: {over: 20}, recipient: {local: small}}, then: [{reject: {text: too big}}]",
            "name: late, then: [{tag: late}]",
        ]);
        assert!(matches!(ask(&chain, "small@x.example", Some(21)).outcome, Outcome::Reject(_)));
        assert_eq!(ask(&chain, "small@x.example", Some(20)).outcome, Outcome::Deliver);
        let (small, other) = (ask(&chain, "small@x.example", None), ask(&chain, "other@x.example", None));
        assert_eq!((small.outcome.clone(), small.class.late.len()), (Outcome::Deliver, 1));
        assert_eq!(small.parted_by(&other).as_deref(), Some("big"));
        let run = |message: &str, ruling: &RecipientRuling| chain.run(example::run(message).mail, std::slice::from_ref(ruling)).word();
        assert_eq!(run("Subject: much too long a line\r\n\r\n", &small), "reject");
        assert_eq!(run("Subject: x\r\n\r\n", &small), "deliver");
        assert_eq!(run("Subject: much too long a line\r\n\r\n", &other), "deliver");
    }

    #[test]
    fn a_552_is_told_as_554_at_rcpt_and_as_it_is_after_the_data() {
        let chain =
            rules(&["name: big, at: recipient, when: {size: {over: 20}}, then: [{reject: {code: 552, enhanced: 5.3.4, text: big}}]"]);
        assert!(
            matches!(ask(&chain, "a@x.example", Some(21)).outcome, Outcome::Reject(verdict) if (verdict.code, verdict.enhanced) == (554, Enhanced(5, 3, 4)))
        );
        let ruling = chain.run(example::run("Subject: much too long a line\r\n\r\n").mail, &[ask(&chain, "a@x.example", None)]);
        assert!(matches!(ruling.outcome, Outcome::Reject(verdict) if verdict.code == 552));
    }

    #[test]
    fn what_comes_too_late_for_the_recipient_is_an_error_of_the_rule() {
        let chain = rules(&[
            "name: move, at: recipient, when: {size: {over: 5}}, then: [{recipient.set: big@x.example}]",
            "name: pass, at: recipient, when: {size: {over: 5}}, then: [deliver]",
            "name: after, then: [{tag: after}]",
        ]);
        assert_eq!(ask(&chain, "a@x.example", Some(9)).recipient, path("big@x.example"));
        let ruling = chain.run(example::run("Subject: hi\r\n\r\n").mail, &[ask(&chain, "a@x.example", None)]);
        assert_eq!((ruling.word(), ruling.failures.len()), ("quarantine", 1));
        assert!(ruling.failures[0].error.contains("the size was not announced"), "{:?}", ruling.failures);
        // `deliver` ends these rules only.
        assert_eq!((ruling.tags, ruling.mail.envelope.recipients), (vec!["after".to_owned()], vec![path("a@x.example").into()]));
    }

    #[test]
    fn two_that_become_one_are_one() {
        let chain = rules(&["name: one, at: recipient, when: {recipient: {local: [a, b]}}, then: [{recipient.set: c@x.example}]"]);
        let rulings = ["a@x.example", "b@x.example", "c@x.example", "d@x.example", "d@x.example"].map(|path| ask(&chain, path, None));
        assert_eq!(*left(&rulings), ["c@x.example", "d@x.example", "d@x.example"].map(path));
        let rulings = ["c@X.example", "c@x.example", "b@x.example", "C@x.example"].map(|path| ask(&chain, path, None));
        assert_eq!(*left(&rulings), ["c@X.example", "c@x.example", "C@x.example"].map(path));
    }

    #[test]
    fn who_is_left_of_many_is_the_same_as_one_by_one() {
        let chain = rules(&[
            "name: one, at: recipient, when: {recipient: {local: [a, b]}}, then: [{recipient.set: c@x.example}]",
            "name: none, at: recipient, when: {recipient: {local: e}}, then: [discard]",
        ]);
        let names = ["a", "b", "c", "C", "d", "e"];
        for seed in 0..names.len().pow(4) {
            let given = (0..4).map(|at| names[seed / names.len().pow(at) % names.len()]);
            let rulings: Vec<_> = given.map(|name| ask(&chain, &format!("{name}@x.example"), None)).collect();
            let one =
                |a: &RecipientRuling, b: &RecipientRuling| (a.is_rewritten() || b.is_rewritten()) && a.recipient.same_mailbox(&b.recipient);
            let mut one_by_one: Vec<&RecipientRuling> = Vec::new();
            for ruling in rulings.iter().filter(|ruling| ruling.goes_on()) {
                if !one_by_one.iter().any(|known| one(known, ruling)) {
                    one_by_one.push(ruling);
                }
            }
            let one_by_one: Vec<_> = one_by_one.into_iter().map(|ruling| ruling.recipient.clone()).collect();
            assert_eq!(left(&rulings), one_by_one);
        }
    }

    #[test]
    fn recipients_of_one_class_share_it() {
        let chain =
            rules(&["name: a, when: {direction: inbound}, then: [discard]", "name: b, at: recipient, then: [{log: 'for ${recipient}'}]"]);
        let (one, mut two, mut other) =
            (ask(&chain, "a@inside.example", None), ask(&chain, "b@inside.example", None), ask(&chain, "c@outside.example", None));
        assert_eq!(two.logs.len(), 1);
        two.settle_beside(Some(&one));
        assert!(Arc::ptr_eq(&one.class, &two.class) && two.logs.is_empty() && two.seen.capacity() == 0);
        other.settle_beside(Some(&one));
        assert_ne!(one.class, other.class);
        assert_eq!(other.parted_by(&one).as_deref(), Some("a"));
    }

    #[test]
    fn a_rule_at_rcpt_asks_and_does_only_what_can_be_there() {
        assert!(refused("name: a, at: recipient, when: {subject: x}, then: [discard]").contains("no `subject`"));
        assert!(refused("name: a, at: recipient, when: {all: [{recipients: {over: 1}}]}, then: [discard]").contains("no `recipients`"));
        assert!(refused("name: a, at: recipient, then: [{header.remove: X-Mailer}]").contains("cannot do `header.remove`"));
        assert!(refused("name: a, at: recipient, then: [{reject: {text: 'no ${header:Subject}'}}]").contains("there is no header yet"));
        assert!(refused("name: a, at: message, then: [discard]").contains("recipient"));
        let named = "conditions: {spam: {subject: x}}\nrules:\n  - {name: a, at: recipient, when: {condition: spam}, then: [discard]}\n";
        assert!(format!("{:?}", chain(named).unwrap_err()).contains("no `subject`"));
    }

    #[test]
    fn a_list_that_changed_since_the_rcpts_does_not_do_to_all_what_it_says_of_one() {
        let mut problems = Problems::default();
        let mut read = |text: &str| crate::yaml::parse(&crate::yaml::Source::new("a.yaml", text), &mut problems).unwrap();
        let (lists, before) = (read("{known: {kind: address, values: [anna@x.example, bob@x.example]}}"), read("{known: []}"));
        let after = [read("{known: [anna@x.example]}"), read("{known: [bob@x.example]}")];
        let file = read("rules: [{name: known, when: {recipient: {address: {in: known}}}, then: [{log: '${recipient}'}, discard]}]");
        let lists = crate::chain::list::Lists::load(&lists, std::path::Path::new("."), crate::chain::Limits::default(), &mut problems);
        let mut shared = crate::chain::rule::Shared { lists, ..Default::default() };
        let file = crate::chain::rule::RuleFile::load(&file, std::path::Path::new("a.yaml"), &mut shared, &mut problems);
        let chain = Chain::build(vec![Link::of(vec![Arc::new(file)])], &shared, &mut problems);

        let asked = || {
            let none = shared.lists.instead(&before, &mut Problems::default()).unwrap();
            let _put = none.put();
            ["anna@x.example", "bob@x.example"].map(|path| ask(&chain, path, None))
        };
        let run = |rulings: &[RecipientRuling]| chain.run(example::run("Subject: hi\r\n\r\n").mail, rulings);
        for after in &after {
            let rulings = asked();
            assert_eq!(rulings[0].class, rulings[1].class);
            let one = shared.lists.instead(after, &mut Problems::default()).unwrap();
            let _put = one.put();
            let ruling = run(&rulings);
            assert!(matches!(&ruling.outcome, Outcome::Defer(verdict) if verdict.code == 451), "{:?}", ruling.outcome);
            assert!(ruling.failures[0].error.contains("a list that has changed"), "{:?}", ruling.failures);
            // When they come again they are of two classes.
            assert_ne!(ask(&chain, "anna@x.example", None).class, ask(&chain, "bob@x.example", None).class);
        }
        // Where it says the same of all there is nothing to tell apart.
        assert_eq!(run(&asked()).word(), "discard");
    }

    #[test]
    fn a_client_inside_sends_out_and_within() {
        let chain = rules(&["name: out, when: {direction: outbound}, then: [{tag: out}]"]);
        let (origin, sender) = (Arc::new(Origin { standing: Standing::Inside, ..example::origin() }), path(example::SENDER));
        let class = |to: &str| {
            chain
                .at_recipient(&Offer { origin: &origin, sender: &sender, declared: Declared::default(), recipient: &path(to).into() })
                .class
        };
        assert_eq!(class("a@outside.example"), class("b@elsewhere.example"));
        assert_ne!(class("a@outside.example"), class("a@inside.example"));
    }
}
