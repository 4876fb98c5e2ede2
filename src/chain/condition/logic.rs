//! `all`, `any`, `not`, `true`, `false` and `condition`: what holds other conditions together.

use std::sync::Arc;

use super::Condition;
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::facts::Facts;
use crate::chain::run::ActionError;
use crate::yaml::{FromNode, Kind, Node, Reported, nearest};

/// All of them.
#[derive(Debug)]
pub struct All(pub Vec<Box<dyn Condition>>);

#[derive(Debug)]
struct Any(Vec<Box<dyn Condition>>);

#[derive(Debug)]
struct Not(Box<dyn Condition>);

#[derive(Debug)]
struct Constant(bool);

#[derive(Debug)]
struct Named(Arc<dyn Condition>);

/// A condition with the words it is told in.
#[derive(Debug)]
struct Told {
    words: String,
    condition: Box<dyn Condition>,
}

const LIST: KeyDoc = KeyDoc { name: "", wants: "a list of conditions", about: "Each item is a condition, or several as one mapping." };

pub const ALL: Entry<dyn Condition> = Entry {
    name: "all",
    about: "Holds if every condition of a list holds; the first that does not ends the question.",
    keys: &[LIST],
    example: "all: [{subject: {contains: invoice}}, {header: {name: X-Spam, exists: false}}]",
    before: "Subject: Your invoice\r\n\r\n",
    after: "Subject: Your invoice\r\nX-Spam: yes\r\n\r\n",
    load: |node, load| Ok(Box::new(All(list("all", node, load)?))),
};

pub const ANY: Entry<dyn Condition> = Entry {
    name: "any",
    about: "Holds if one condition of a list holds; the first that does ends the question.",
    keys: &[LIST],
    example: "any: [{subject: invoice}, {subject: receipt}]",
    before: "Subject: Receipt\r\n\r\n",
    after: "Subject: Greetings\r\n\r\n",
    load: |node, load| Ok(Box::new(Any(list("any", node, load)?))),
};

pub const NOT: Entry<dyn Condition> = Entry {
    name: "not",
    about: "Holds if a condition does not. A condition that cannot be answered stays an error.",
    keys: &[KeyDoc { name: "", wants: "a condition", about: "Several as one mapping: not all of them." }],
    example: "not: {subject: {starts_with: '[EXT]'}}",
    before: "Subject: hello\r\n\r\n",
    after: "Subject: [EXT] hello\r\n\r\n",
    load: |node, load| {
        // What a `not` matches is what is absent: its groups are nothing a text can use.
        let known = load.groups.clone();
        let condition = super::load(node, load);
        load.groups = known;
        Ok(Box::new(Not(condition?)))
    },
};

pub const TRUE: Entry<dyn Condition> = Entry {
    name: "true",
    about: "Always holds.",
    keys: &[],
    example: "any: [true, {subject: x}]",
    before: "Subject: hello\r\n\r\n",
    after: "",
    load: |node, load| nothing("true", node, load).map(|()| Box::new(Constant(true)) as Box<dyn Condition>),
};

pub const FALSE: Entry<dyn Condition> = Entry {
    name: "false",
    about: "Never holds.",
    keys: &[],
    example: "false",
    before: "",
    after: "Subject: hello\r\n\r\n",
    load: |node, load| nothing("false", node, load).map(|()| Box::new(Constant(false)) as Box<dyn Condition>),
};

pub const NAMED: Entry<dyn Condition> = Entry {
    name: "condition",
    about: "Holds if the condition of that name holds: one under `conditions:` of this rule file or of transom.yaml.",
    keys: &[KeyDoc { name: "", wants: "a name", about: "A named condition cannot use another one." }],
    example: "condition: from_partner",
    before: "(sender anna@partner.example)\r\nSubject: hi\r\n\r\n",
    after: "(sender anna@elsewhere.example)\r\nSubject: hi\r\n\r\n",
    load: named,
};

fn list(name: &str, node: &Node, load: &mut Load<'_>) -> Result<Vec<Box<dyn Condition>>, Reported> {
    let Kind::List(items) = &node.kind else {
        return Err(load.problems.error(
            &node.span,
            format!("`{name}` wants a list of conditions"),
            "each item with a `-`, or in brackets",
        ));
    };
    if items.is_empty() {
        return Err(load.problems.error(&node.span, format!("`{name}` is empty"), "at least one condition is wanted"));
    }
    let conditions: Vec<_> = items.iter().map(|item| super::load(item, load)).collect();
    conditions.into_iter().collect()
}

fn nothing(name: &str, node: &Node, load: &mut Load<'_>) -> Result<(), Reported> {
    match &node.kind {
        Kind::Null => Ok(()),
        Kind::Map(entries) if entries.is_empty() => Ok(()),
        _ => Err(load.problems.error(&node.span, format!("`{name}` has no settings"), "write the bare word")),
    }
}

fn named(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    let name = String::from_node(node, load.problems)?;
    if let Some(known) = load.conditions.get(&name) {
        load.groups.extend(known.groups.iter().cloned());
        known.uses.conditions.iter().for_each(|(name, _)| load.uses.condition(name, &node.span));
        load.uses.groups.extend(known.uses.groups.iter().cloned());
        return Ok(Box::new(Named(Arc::clone(&known.condition))));
    }
    let label = match nearest(&name, load.conditions.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "it has to stand under `conditions:` of this file or of transom.yaml; named conditions cannot use each other".to_owned(),
    };
    Err(load.problems.error(&node.span, format!("no condition is called `{name}`"), label))
}

/// The condition as `explain` tells it, in the operator's own words.
pub fn told(name: &str, node: &Node, condition: Box<dyn Condition>) -> Box<dyn Condition> {
    let mut words = name.to_owned();
    if !matches!(node.kind, Kind::Null) {
        words.push_str(": ");
        flow(node, &mut words);
    }
    Box::new(Told { words, condition })
}

/// A node on one line, as YAML spells it between brackets.
fn flow(node: &Node, words: &mut String) {
    match &node.kind {
        Kind::Null => words.push('~'),
        Kind::Scalar { text, .. } => words.push_str(&text.replace('\n', "\\n")),
        Kind::List(items) => {
            words.push('[');
            for (number, item) in items.iter().enumerate() {
                words.push_str(if number > 0 { ", " } else { "" });
                flow(item, words);
            }
            words.push(']');
        }
        Kind::Map(entries) => {
            words.push('{');
            for (number, (key, value)) in entries.iter().enumerate() {
                words.push_str(if number > 0 { ", " } else { "" });
                words.push_str(&key.text);
                words.push_str(": ");
                flow(value, words);
            }
            words.push('}');
        }
    }
}

impl Condition for All {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        for condition in &self.0 {
            if !condition.holds(facts)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn of_recipient(&self, facts: &dyn Facts, answers: &mut Vec<bool>) -> Result<(), ActionError> {
        self.0.iter().try_for_each(|condition| condition.of_recipient(facts, answers))
    }
}

impl Condition for Any {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        for condition in &self.0 {
            if condition.holds(facts)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn of_recipient(&self, facts: &dyn Facts, answers: &mut Vec<bool>) -> Result<(), ActionError> {
        self.0.iter().try_for_each(|condition| condition.of_recipient(facts, answers))
    }
}

impl Condition for Not {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        Ok(!self.0.holds(facts)?)
    }

    fn of_recipient(&self, facts: &dyn Facts, answers: &mut Vec<bool>) -> Result<(), ActionError> {
        self.0.of_recipient(facts, answers)
    }
}

impl Condition for Constant {
    fn holds(&self, _: &dyn Facts) -> Result<bool, ActionError> {
        Ok(self.0)
    }
}

impl Condition for Named {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        self.0.holds(facts)
    }

    fn of_recipient(&self, facts: &dyn Facts, answers: &mut Vec<bool>) -> Result<(), ActionError> {
        self.0.of_recipient(facts, answers)
    }
}

impl Condition for Told {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        facts.check_time()?;
        facts.asked(&self.words);
        let answer = self.condition.holds(facts);
        facts.answered(answer.as_ref().ok().copied());
        answer
    }

    fn of_recipient(&self, facts: &dyn Facts, answers: &mut Vec<bool>) -> Result<(), ActionError> {
        self.condition.of_recipient(facts, answers)
    }
}
