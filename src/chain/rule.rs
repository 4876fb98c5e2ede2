//! Rules and rule files, as YAML spells them.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Limits;
use super::action;
use super::class;
use super::condition::{self, Condition};
use super::entry::{Load, Named, NamedConditions, Uses, find, no_settings, unknown};
use super::facts::Facts;
use super::link::{self, Mode, When};
use super::list::Lists;
use super::pattern::Patterns;
use super::route::Routes;
use super::run::{Action, ActionError};
use super::string::word;
use super::test::{self, Test};
use crate::base::disk;
use crate::mail::Inside;
use crate::yaml::manual::{self, Key};
use crate::yaml::{self, Edit, FromNode, Key as Word, Kind, Node, Problems, Reported, Settings, Source, Span};

/// Every key of a rule file, for the manual.
pub const KEYS: &[Key] = &[
    Key::may(
        "conditions",
        manual::CONDITIONS,
        "{from_office: {client: {address: 10.1.0.0/16}}}",
        "Seen in this file, as `condition: from_office`; they cannot use each other.",
    ),
    Key::list("rules", RULE, "Run in this order, each seeing what earlier ones did."),
    Key::list(
        "tests",
        test::KEYS,
        "Each sends one message through the rules of this file alone. A configuration with a failing test does not start.",
    ),
];

const RULE: &[Key] = &[
    Key::need("name", "a text", "hold programs", "What logs, tests and held mail call it; no two rules of a chain have the same."),
    Key::may("about", "a text", "Programs have no business in mail here.", "Why there is such a rule."),
    Key::or(
        "break_signatures",
        "true or false",
        "false",
        "Whether its body actions edit signed and encrypted parts; else these are left alone.",
    ),
    Key::may(
        "at",
        "recipient",
        "recipient",
        "Runs at RCPT, before the rules without it: its verdict is that recipient's reply; if absent when the message is here.",
    ),
    Key::may("when", manual::CONDITION, "{attachment: {extension: exe}}", "What it fires for; every mail if absent."),
    Key::may("unless", manual::CONDITION, "{client: {address: 10.0.0.0/8}}", "What it does not fire for, although `when` holds."),
    Key::may("then", manual::ACTIONS, "[quarantine: {reason: a program}]", "What is done when it fires; all or nothing."),
    Key::may("else", manual::ACTIONS, "[tag: harmless]", "What is done when it does not fire."),
    Key::or(
        "mode",
        link::MODES,
        "enforce",
        "Whether it is in force; `observe`: evaluated, logged and counted, and changes nothing. The stricter of this and the chain entry's holds.",
    ),
    Key::may(
        "on_error",
        "quarantine, defer, reject or skip",
        "quarantine",
        "What becomes of a mail that it cannot be carried out on; if absent `quarantine` where the message is to blame, `defer` where the machine is.",
    ),
];

/// What a failing rule leads to, after its edits are undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    Quarantine,
    Defer,
    Reject,
    Skip,
}

impl OnError {
    /// As the rule language spells it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            OnError::Quarantine => "quarantine",
            OnError::Defer => "defer",
            OnError::Reject => "reject",
            OnError::Skip => "skip",
        }
    }
}

impl FromNode for OnError {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<OnError, Reported> {
        let all = [OnError::Quarantine, OnError::Defer, OnError::Reject, OnError::Skip];
        word(node, &all.map(|one| (one.word(), one)), problems)
    }
}

/// One rule, compiled.
#[derive(Debug)]
pub struct Rule {
    pub name: Arc<str>,
    pub about: Option<String>,
    /// Its name in the file.
    pub span: Span,
    /// Absent: always.
    pub(super) when: Option<Box<dyn Condition>>,
    pub(super) unless: Option<Box<dyn Condition>>,
    pub(super) then: Vec<Step>,
    pub(super) otherwise: Vec<Step>,
    pub(super) on_error: Option<OnError>,
    /// Whether it is in force.
    pub mode: Mode,
    /// It runs at RCPT (`at: recipient`).
    pub(super) at_recipient: bool,
    /// Its conditions tell recipients apart.
    pub(super) tells_apart: bool,
    /// A text of it other than `log` names `${recipient}`.
    pub(super) names_recipient: bool,
}

/// An action and what it is called.
#[derive(Debug)]
pub struct Step {
    pub name: &'static str,
    pub span: Span,
    pub action: Box<dyn Action>,
}

impl Rule {
    /// `file:line`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}:{}", self.span.source.name, self.span.line_column().0)
    }

    /// The answers of its conditions that tell recipients apart.
    pub(super) fn of_recipient(&self, facts: &dyn Facts) -> Result<Vec<bool>, ActionError> {
        let mut answers = Vec::new();
        self.when.iter().chain(&self.unless).try_for_each(|condition| condition.of_recipient(facts, &mut answers))?;
        Ok(answers)
    }

    /// Whether its conditions hold.
    pub(super) fn fires(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        if let Some(when) = &self.when
            && !when.holds(facts)?
        {
            return Ok(false);
        }
        match &self.unless {
            Some(unless) => Ok(!unless.holds(facts)?),
            None => Ok(true),
        }
    }
}

/// A file of rules.
#[derive(Debug)]
pub struct RuleFile {
    /// Where it lies; files that its tests name are relative to it.
    pub path: PathBuf,
    pub rules: Vec<Rule>,
    pub tests: Vec<Test>,
    /// As it is written, for the lints.
    pub(super) node: Node,
}

/// What all rule files of a configuration share while they are read.
#[derive(Debug, Default)]
pub struct Shared {
    pub limits: Limits,
    pub inside: Arc<Inside>,
    /// There is a configuration, and it does not say what is inside.
    pub without_inside: bool,
    /// `conditions:` of transom.yaml.
    pub conditions: NamedConditions,
    /// `lists:` of transom.yaml.
    pub lists: Lists,
    /// `routes:` of transom.yaml.
    pub routes: Arc<Routes>,
    pub patterns: Patterns,
}

impl Shared {
    /// Reads a `conditions:` mapping: the conditions it names, beside those known already. They cannot use each other.
    pub fn named(&mut self, node: &Node, problems: &mut Problems) -> NamedConditions {
        let mut named = NamedConditions::new();
        let Kind::Map(entries) = &node.kind else {
            problems.error(&node.span, "`conditions` wants a mapping", "names, each with its condition");
            return named;
        };
        for (name, node) in entries {
            if self.conditions.contains_key(&name.text) {
                problems.error(&name.span, format!("a second condition is called `{}`", name.text), "transom.yaml has one of that name");
                continue;
            }
            let nothing = NamedConditions::new();
            let mut load = self.load(&nothing, problems);
            if let Ok(condition) = condition::load(node, &mut load) {
                let groups = std::mem::take(&mut load.groups);
                let uses = std::mem::take(&mut load.uses);
                named.insert(name.text.clone(), Named { condition: Arc::from(condition), groups, uses });
            }
        }
        named
    }

    /// Reads the `when` of a chain entry.
    ///
    /// # Errors
    /// [`Reported`], every mistake in it.
    pub fn when(&mut self, node: &Node, problems: &mut Problems) -> Result<When, Reported> {
        let conditions = self.conditions.clone();
        let mut load = self.load(&conditions, problems);
        let condition = condition::load(node, &mut load)?;
        Ok(When { condition, uses: load.uses, node: node.clone() })
    }

    pub(super) fn load<'a>(&'a mut self, conditions: &'a NamedConditions, problems: &'a mut Problems) -> Load<'a> {
        Load {
            problems,
            limits: self.limits,
            inside: &self.inside,
            conditions,
            lists: &self.lists,
            routes: &self.routes,
            patterns: &mut self.patterns,
            groups: BTreeSet::default(),
            rule: Arc::from(""),
            break_signatures: false,
            without_inside: self.without_inside,
            uses: Uses::default(),
        }
    }
}

impl RuleFile {
    /// Reads the rule file at `path`. None if it cannot be read as YAML; every problem is reported.
    pub fn read(path: &Path, shared: &mut Shared, problems: &mut Problems) -> Option<Arc<RuleFile>> {
        let name = path.display().to_string();
        let text = match disk::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                problems.missing(format!("cannot read {name}"), disk::cause(&error));
                return None;
            }
        };
        let node = yaml::parse(&Source::new(name, text), problems)?;
        Some(Arc::new(RuleFile::load(&node, path, shared, problems)))
    }

    /// Reads a rule file. Every problem in it is reported; what could be read is returned.
    pub fn load(node: &Node, path: &Path, shared: &mut Shared, problems: &mut Problems) -> RuleFile {
        let mut file = RuleFile { path: path.to_owned(), rules: Vec::new(), tests: Vec::new(), node: node.clone() };
        let Ok(mut settings) = Settings::of("a rule file", node, problems) else { return file };
        let mut conditions = shared.conditions.clone();
        if let Some(node) = settings.node("conditions") {
            conditions.extend(shared.named(node, problems));
        }
        let rules = list(&mut settings, "rules", problems);
        for node in rules {
            let mut load = shared.load(&conditions, problems);
            file.rules.extend(rule(node, &mut load));
        }
        // A rule that could not be read has a name all the same.
        let names = names(rules, problems);
        for node in list(&mut settings, "tests", problems) {
            let mut load = shared.load(&conditions, problems);
            file.tests.extend(Test::load(node, &names, &mut load));
        }
        settings.finish(problems).ok();
        file
    }
}

pub(super) fn list<'n>(settings: &mut Settings<'n>, key: &'static str, problems: &mut Problems) -> &'n [Node] {
    match settings.node(key) {
        None => &[],
        Some(Node { kind: Kind::List(items), .. }) => items,
        Some(node) => {
            problems.error(&node.span, format!("`{key}` wants a list"), "each item with a `-`");
            &[]
        }
    }
}

/// What the rules are called; no two alike.
fn names<'n>(rules: &'n [Node], problems: &mut Problems) -> Vec<&'n str> {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for node in rules.iter().filter_map(name_of) {
        let name = node.scalar().unwrap_or_default();
        if name.is_empty() {
            problems.error(&node.span, "a rule without a name", "logs, tests and what is held name the rule");
        } else if let Some(line) = first.get(name) {
            problems.error(&node.span, format!("a second rule is called `{name}`"), format!("the first one stands in line {line}"));
        } else {
            first.insert(name, node.span.line_column().0);
        }
    }
    rules.iter().filter_map(name_of).filter_map(Node::scalar).collect()
}

fn name_of(rule: &Node) -> Option<&Node> {
    Some(&rule.map()?.iter().find(|(key, node)| key.text == "name" && node.scalar().is_some())?.1)
}

fn rule(node: &Node, load: &mut Load<'_>) -> Result<Rule, Reported> {
    let mut settings = load.settings("a rule", node)?;
    let span = settings.node("name").map_or_else(|| node.span.clone(), |name| name.span.clone());
    let name = settings.need::<String>("name", load.problems);
    load.rule = Arc::from(name.as_deref().unwrap_or(""));
    let about = settings.take::<String>("about", load.problems);
    load.break_signatures = settings.or("break_signatures", false, load.problems);
    // The actions may use what `when` captures, so it is read first. `unless` holds for no mail that the actions see.
    let when = settings.node("when").map(|node| condition::load(node, load)).transpose();
    let groups = load.groups.clone();
    let unless = settings.node("unless").map(|node| condition::unless(node, load)).transpose();
    load.groups = groups;
    let then = steps(&mut settings, "then", load);
    load.groups.clear();
    let otherwise = steps(&mut settings, "else", load);
    let on_error = settings.take::<OnError>("on_error", load.problems);
    let at_recipient = settings.node("at").map(|node| word(node, &[("recipient", true)], load.problems)).transpose();
    let mode = settings.or("mode", Mode::default(), load.problems);
    settings.finish(load.problems)?;
    let (then, otherwise) = (then?, otherwise?);
    if then.is_empty() && otherwise.is_empty() {
        return Err(load.problems.error(&span, "a rule without actions", "`then` wants a list of actions"));
    }
    let at_recipient = at_recipient?.unwrap_or(false);
    if at_recipient {
        class::check_at_recipient(then.iter().chain(&otherwise), load)?;
    } else if mode == Mode::Enforce {
        class::warn_of_texts(load);
    }
    Ok(Rule {
        name: Arc::from(name?),
        about: about?,
        span,
        when: when?,
        unless: unless?,
        then,
        otherwise,
        on_error: on_error?,
        mode,
        at_recipient,
        tells_apart: load.uses.tell_apart(),
        names_recipient: !load.uses.recipient.is_empty(),
    })
}

fn steps(settings: &mut Settings<'_>, key: &'static str, load: &mut Load<'_>) -> Result<Vec<Step>, Reported> {
    let Some(node) = settings.node(key) else { return Ok(Vec::new()) };
    let Kind::List(items) = &node.kind else {
        return Err(load.problems.error(&node.span, format!("`{key}` wants a list of actions"), "each with a `-` before it"));
    };
    let mut steps: Vec<Step> = Vec::with_capacity(items.len());
    let mut wrong = None;
    for item in items {
        if let Some(verdict) = steps.last().filter(|step| step.action.is_verdict()) {
            let title = format!("this action never runs: it stands after `{}`", verdict.name);
            wrong = Some(load.problems.error(&item.span, title, "a verdict ends the chain, `leave` this file: write it last"));
            break;
        }
        let known = load.groups.clone();
        match step(item, load) {
            Ok(step) => steps.push(step),
            Err(reported) => wrong = Some(reported),
        }
        // What one action's tests match is not kept for the next one.
        load.groups = known;
    }
    wrong.map_or(Ok(steps), Err)
}

/// One item of `then`: a mapping of one action and its settings, or a bare word.
///
/// # Errors
/// [`Reported`], every mistake in it.
pub fn step(node: &Node, load: &mut Load<'_>) -> Result<Step, Reported> {
    let (name, span, settings) = match &node.kind {
        Kind::Map(entries) if entries.len() == 1 => (entries[0].0.text.as_str(), &entries[0].0.span, entries[0].1.clone()),
        Kind::Scalar { text, .. } => (text.as_str(), &node.span, no_settings(node)),
        Kind::Map(entries) if entries.len() > 1 => {
            let label = "each action wants its own `-`; settings are indented below the action";
            let told = load.problems.error(&entries[1].0.span, "two actions in one item", label);
            if let Some(edits) = settings_below(entries) {
                load.problems.mend(&edits);
            }
            return Err(told);
        }
        _ => return Err(load.problems.error(&node.span, "an action is wanted", "such as `- discard` or `- tag: x`")),
    };
    match find(action::ENTRIES, name) {
        Some(entry) => {
            let uses = load.uses.recipient.len();
            let action = (entry.load)(&settings, load)?;
            if entry.name == "log" {
                // One line may name all of them.
                load.uses.recipient.truncate(uses);
            }
            Ok(Step { name: entry.name, span: span.clone(), action })
        }
        None => Err(unknown(action::ENTRIES, "action", name, span, load.problems)),
    }
}

/// What puts the settings of an action below it, where they stand beside it.
fn settings_below(entries: &[(Word, Node)]) -> Option<Vec<Edit>> {
    let ((action, nothing), settings) = entries.split_first()?;
    find(action::ENTRIES, &action.text).filter(|_| matches!(nothing.kind, Kind::Null))?;
    let lines = settings.iter().flat_map(|(key, value)| {
        let source = &key.span.source.text;
        let start = source[..key.span.start].rfind('\n').map_or(0, |end| end + 1);
        let ends = source[start..value.span.end.max(key.span.end)].trim_end().match_indices('\n').map(move |(at, _)| start + at + 1);
        std::iter::once(start).chain(ends)
    });
    Some(lines.map(|at| (at..at, "  ".to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> (RuleFile, Vec<String>) {
        let mut problems = Problems::default();
        let node = yaml::parse(&Source::new("rules.yaml", text), &mut problems).unwrap();
        let file = RuleFile::load(&node, Path::new("rules.yaml"), &mut Shared::default(), &mut problems);
        (file, problems.iter().map(|problem| format!("{} / {}", problem.title, problem.label)).collect())
    }

    fn problems(text: &str) -> String {
        load(text).1.join("\n")
    }

    #[test]
    fn a_rule_file_is_read() {
        let (file, problems) = load(
            "conditions:\n  big: {size: {over: 10MB}}\nrules:\n  - name: hold\n    about: why\n    when: {condition: big, subject: {contains: x}}\n    unless: {tag: fine}\n    then: [{tag: big}, discard]\n    else: [{tag: small}]\n    on_error: skip\ntests:\n  - name: t\n    inline: |\n      Subject: x\n\n      y\n    expect: {outcome: deliver, fired: []}\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        let rule = &file.rules[0];
        assert_eq!(
            (rule.then.len(), rule.otherwise.len(), rule.on_error, rule.place()),
            (2, 1, Some(OnError::Skip), "rules.yaml:4".to_owned())
        );
        assert_eq!(file.tests.len(), 1);
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let told = problems(
            "rules:\n  - name: a\n    when: {subjet: x}\n    then: [{tagg: x}]\n  - name: b\n    mood: odd\n    then: [discard]\n  - name: b\n    then: [discard]\n    when: {body: {contains: ''}}\n  - then: [tag]\ntests:\n  - name: t\n    inline: x\n    expect: {fired: [c], outcome: delivered}\nruels: []\n",
        );
        for part in [
            "unknown condition `subjet` / did you mean `subject`?",
            "unknown action `tagg` / did you mean `tag`?",
            "mood",
            "an empty text is in every value",
            "no rule is called `c`",
            "unknown word `delivered` / did you mean `deliver`?",
            "ruels",
        ] {
            assert!(told.contains(part), "{part}\n---\n{told}");
        }
    }

    #[test]
    fn who_asks_for_a_field_as_a_condition_is_told_how() {
        let told = problems("rules: [{name: a, when: {from: x}, then: [discard]}]");
        assert!(told.contains("unknown condition `from` / ") && told.contains("address: {header: From, …}"), "{told}");
    }

    #[test]
    fn the_manual_has_every_key_that_is_read_and_no_other() {
        manual::assert_agree(KEYS, |text| {
            let mut problems = Problems::default();
            let node = yaml::parse(&Source::new("rules.yaml", text), &mut problems).unwrap();
            RuleFile::load(&node, Path::new("rules.yaml"), &mut Shared::default(), &mut problems);
            problems
        });
    }

    #[test]
    fn settings_beside_their_action_are_shown_below_it() {
        let text =
            "rules:\n  - name: a\n    then:\n      - header.add:\n        name: X-A\n        value: |\n          b\n      - discard\n";
        let mut problems = Problems::default();
        let node = yaml::parse(&Source::new("rules.yaml", text), &mut problems).unwrap();
        RuleFile::load(&node, Path::new("rules.yaml"), &mut Shared::default(), &mut problems);
        let problem = problems.iter().next().unwrap();
        assert_eq!(
            (problem.title.as_str(), problem.label.split(';').next()),
            ("two actions in one item", Some("each action wants its own `-`"))
        );
        let fix = problem.fix.as_ref().unwrap();
        assert_eq!((fix.line, fix.lines.join("\n").as_str()), (5, "          name: X-A\n          value: |\n            b"));
    }

    #[test]
    fn two_rules_of_one_name_are_a_mistake() {
        assert!(problems("rules: [{name: a, then: [discard]}, {name: a, then: [discard]}]").contains("a second rule is called `a`"));
        assert!(problems("rules: [{name: a, then: [discrad]}, {name: a, then: [discard]}]").contains("a second rule is called `a`"));
        assert!(problems("rules: [{name: '', then: [discard]}]").contains("a rule without a name"));
    }

    #[test]
    fn an_action_after_a_verdict_is_a_mistake() {
        let told = problems("rules:\n  - name: a\n    then:\n      - discard\n      - tag: x\n");
        assert!(told.contains("this action never runs: it stands after `discard`"), "{told}");
        let told = problems("rules:\n  - name: a\n    then:\n      - leave\n      - tag: x\n");
        assert!(told.contains("after `leave`"), "{told}");
        assert_eq!(problems("rules:\n  - name: a\n    then:\n      - quarantine: {reason: x}\n      - tag: x\n"), "");
    }

    #[test]
    fn a_list_of_conditions_does_not_say_all_or_any() {
        assert!(problems("rules: [{name: a, when: [{tag: x}], then: [discard]}]").contains("all or any"));
    }

    #[test]
    fn named_conditions_do_not_use_each_other() {
        let told = problems("conditions: {a: {tag: x}, b: {condition: a}}\nrules: [{name: r, when: {condition: b}, then: [discard]}]");
        assert!(told.contains("no condition is called `a`"), "{told}");
    }

    #[test]
    fn a_group_of_when_can_be_used_in_then_and_not_in_else() {
        let rule = |key: &str| {
            format!(
                "rules:\n  - name: r\n    when: {{subject: {{matches: '#(?<ticket>[0-9]+)'}}}}\n    {key}:\n      - header.add: {{name: X-Ticket, value: '${{ticket}}'}}\n"
            )
        };
        assert_eq!(problems(&rule("then")), "");
        assert!(problems(&rule("else")).contains("ticket"));
    }
}
