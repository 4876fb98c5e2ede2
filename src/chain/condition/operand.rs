//! Operands that test one element by several keys, with `all any not` inside; numbers; domains.

use std::fmt::Debug;

use crate::chain::entry::{KeyDoc, Load};
use crate::chain::facts::Facts;
use crate::chain::run::ActionError;
use crate::chain::string::StringTest;
use crate::mail::domain_matches;
use crate::yaml::{FromNode, Kind, Node, Reported, Settings};

/// Tests of one element. All keys speak of the same one.
#[derive(Debug)]
pub struct Operand<T> {
    own: T,
    all: Vec<Operand<T>>,
    any: Vec<Operand<T>>,
    not: Option<Box<Operand<T>>>,
}

/// Reads the keys that one element is tested by.
pub type Leaf<T> = fn(&mut Settings<'_>, &mut Load<'_>) -> Result<T, Reported>;

impl<T> Operand<T> {
    /// A mapping of tests. Nothing else may stand in it.
    ///
    /// # Errors
    /// [`Reported`], every mistake in it.
    pub fn load(what: &str, node: &Node, leaf: Leaf<T>, load: &mut Load<'_>) -> Result<Operand<T>, Reported> {
        let mut settings = load.settings(what, node)?;
        let operand = Operand::take(what, &mut settings, leaf, load);
        let left = settings.finish(load.problems);
        let operand = operand?;
        left?;
        Ok(operand)
    }

    /// Tests by one level of keys.
    #[must_use]
    pub fn of(own: T) -> Operand<T> {
        Operand { own, all: Vec::new(), any: Vec::new(), not: None }
    }

    /// The tests whose keys stand in `settings` beside others.
    ///
    /// # Errors
    /// [`Reported`], every mistake in them.
    pub fn take(what: &str, settings: &mut Settings<'_>, leaf: Leaf<T>, load: &mut Load<'_>) -> Result<Operand<T>, Reported> {
        let own = leaf(settings, load);
        let all = list(what, "all", settings, leaf, load);
        let any = list(what, "any", settings, leaf, load);
        let known = load.groups.clone();
        let not = settings.node("not").map(|node| Operand::load(what, node, leaf, load).map(Box::new)).transpose();
        load.groups = known;
        Ok(Operand { own: own?, all: all?, any: any?, not: not? })
    }

    /// Whether the element passes; `ask` tests it by the keys of one level.
    ///
    /// # Errors
    /// What `ask` says.
    pub fn holds(&self, ask: &mut dyn FnMut(&T) -> Result<bool, ActionError>) -> Result<bool, ActionError> {
        if !ask(&self.own)? {
            return Ok(false);
        }
        for one in &self.all {
            if !one.holds(ask)? {
                return Ok(false);
            }
        }
        let mut any = self.any.is_empty();
        for one in &self.any {
            any = any || one.holds(ask)?;
        }
        if !any {
            return Ok(false);
        }
        match &self.not {
            Some(not) => Ok(!not.holds(ask)?),
            None => Ok(true),
        }
    }
}

fn list<T>(
    what: &str,
    key: &'static str,
    settings: &mut Settings<'_>,
    leaf: Leaf<T>,
    load: &mut Load<'_>,
) -> Result<Vec<Operand<T>>, Reported> {
    let Some(node) = settings.node(key) else { return Ok(Vec::new()) };
    match &node.kind {
        Kind::List(items) if !items.is_empty() => {
            let read: Vec<_> = items.iter().map(|item| Operand::load(what, item, leaf, load)).collect();
            read.into_iter().collect()
        }
        _ => {
            Err(load.problems.error(&node.span, format!("`{key}` wants a list of tests"), "at least one, each with a `-`, or in brackets"))
        }
    }
}

/// The string test under `key`, if it is there.
///
/// # Errors
/// [`Reported`], every mistake in it.
pub fn string(settings: &mut Settings<'_>, key: &'static str, load: &mut Load<'_>) -> Result<Option<StringTest>, Reported> {
    settings.node(key).map(|node| StringTest::load(node, load)).transpose()
}

/// Whether an absent test asks nothing, or the value passes.
pub fn passes(test: Option<&StringTest>, value: Option<&str>, facts: &dyn Facts) -> bool {
    test.is_none_or(|test| {
        if let Some(value) = value {
            facts.saw(&value);
        }
        test.holds_in(value, facts)
    })
}

/// As [`passes`] for an element that has several values: one of them.
pub fn one_passes<'v>(test: Option<&StringTest>, values: impl IntoIterator<Item = &'v str>, facts: &dyn Facts) -> bool {
    test.is_none_or(|test| test.some_in(values.into_iter().inspect(|value| facts.saw(value)), facts))
}

/// Whether some of many elements pass.
///
/// # Errors
/// What `test` says.
pub fn some<E>(elements: impl IntoIterator<Item = E>, mut test: impl FnMut(E) -> Result<bool, ActionError>) -> Result<bool, ActionError> {
    for element in elements {
        if test(element)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The key that asks it of all elements, for the manual.
pub const EVERY: KeyDoc = KeyDoc {
    name: "every",
    wants: "true or false",
    about: "Whether all have to pass, and at least one; `false` if absent: one is enough.",
};

/// Which of many elements have to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Some,
    /// All, and at least one.
    Every,
}

impl Which {
    /// The key `every`.
    ///
    /// # Errors
    /// [`Reported`] if it is neither true nor false.
    pub fn take(settings: &mut Settings<'_>, load: &mut Load<'_>) -> Result<Which, Reported> {
        let every = settings.take::<bool>("every", load.problems)?.unwrap_or(false);
        Ok(if every { Which::Every } else { Which::Some })
    }

    /// Whether the elements pass. `closed`: what a limit left unopened may hold any element, so that the answer may not be known.
    ///
    /// # Errors
    /// What `test` says, or it is not known.
    pub fn pass<E>(
        self,
        elements: impl IntoIterator<Item = E>,
        closed: bool,
        mut test: impl FnMut(E) -> Result<bool, ActionError>,
    ) -> Result<bool, ActionError> {
        let mut any = false;
        for element in elements {
            any = true;
            let passes = test(element)?;
            match self {
                Which::Some if passes => return Ok(true),
                Which::Every if !passes => return Ok(false),
                _ => {}
            }
        }
        if closed { Err(unopened()) } else { Ok(any && self == Which::Every) }
    }
}

/// What a limit kept closed may hold anything: the question has no answer then.
#[must_use]
pub fn unopened() -> ActionError {
    ActionError::Message("a part was left unopened, over limits.mime".to_owned())
}

/// A test of a number.
#[derive(Clone, Copy, Debug)]
pub struct Number<T> {
    over: Option<T>,
    under: Option<T>,
    at_least: Option<T>,
    at_most: Option<T>,
    equals: Option<T>,
}

/// The keys of a number test, as one line of the manual.
pub const NUMBER_TESTS: KeyDoc = KeyDoc {
    name: "over, under, at_least, at_most, equals",
    wants: "a number",
    about: "Several are all of them; a bare number means `equals`.",
};

impl<T: FromNode + PartialOrd + Copy> Number<T> {
    /// A number (equals) or a mapping of tests.
    ///
    /// # Errors
    /// [`Reported`], every mistake in it.
    pub fn load(what: &str, node: &Node, load: &mut Load<'_>) -> Result<Number<T>, Reported> {
        if !matches!(node.kind, Kind::Map(_)) {
            let equals = T::from_node(node, load.problems)?;
            return Ok(Number { over: None, under: None, at_least: None, at_most: None, equals: Some(equals) });
        }
        let mut settings = load.settings(what, node)?;
        let number = Number::take(&mut settings, load);
        let left = settings.finish(load.problems);
        let number = number?;
        left?;
        number.ok_or_else(|| load.problems.error(&node.span, "no test", "one such as `over: 10` is wanted"))
    }

    /// The tests whose keys stand in `settings` beside others.
    ///
    /// # Errors
    /// [`Reported`], every mistake in them.
    pub fn take(settings: &mut Settings<'_>, load: &mut Load<'_>) -> Result<Option<Number<T>>, Reported> {
        let mut one = |key: &'static str| settings.take::<T>(key, load.problems);
        let (over, under, at_least, at_most, equals) = (one("over"), one("under"), one("at_least"), one("at_most"), one("equals"));
        let number = Number { over: over?, under: under?, at_least: at_least?, at_most: at_most?, equals: equals? };
        let there = [&number.over, &number.under, &number.at_least, &number.at_most, &number.equals].iter().any(|test| test.is_some());
        Ok(there.then_some(number))
    }

    /// Whether the number passes.
    #[must_use]
    pub fn holds(&self, value: T) -> bool {
        self.over.is_none_or(|limit| value > limit)
            && self.under.is_none_or(|limit| value < limit)
            && self.at_least.is_none_or(|limit| value >= limit)
            && self.at_most.is_none_or(|limit| value <= limit)
            && self.equals.is_none_or(|limit| value == limit)
    }

    /// Whether every number from `least` on passes, or none does. None: it depends.
    #[must_use]
    pub fn holds_from(&self, least: T) -> Option<bool> {
        if self.under.is_some_and(|limit| least >= limit)
            || self.at_most.is_some_and(|limit| least > limit)
            || self.equals.is_some_and(|limit| least > limit)
        {
            return Some(false);
        }
        let bounded = self.under.is_some() || self.at_most.is_some() || self.equals.is_some();
        (!bounded && self.holds(least)).then_some(true)
    }
}

/// The number test under `key`, if it is there.
///
/// # Errors
/// [`Reported`], every mistake in it.
pub fn number<T: FromNode + PartialOrd + Copy>(
    settings: &mut Settings<'_>,
    key: &'static str,
    load: &mut Load<'_>,
) -> Result<Option<Number<T>>, Reported> {
    settings.node(key).map(|node| Number::load(key, node, load)).transpose()
}

/// A test of a domain: `x` is exactly x, `.x` its subdomains; or a string test.
#[derive(Debug)]
pub enum DomainTest {
    Domains(Vec<String>),
    Test(StringTest),
}

/// What the manual says a domain test wants.
pub const DOMAIN: &str = "a domain or a list of them (`.x`: the subdomains of x), or string tests";

impl DomainTest {
    /// The domain test under `key`, if it is there.
    ///
    /// # Errors
    /// [`Reported`], every mistake in it.
    pub fn take(settings: &mut Settings<'_>, key: &'static str, load: &mut Load<'_>) -> Result<Option<DomainTest>, Reported> {
        let Some(node) = settings.node(key) else { return Ok(None) };
        let items = match &node.kind {
            Kind::Map(_) => return StringTest::load(node, load).map(|test| Some(DomainTest::Test(test))),
            Kind::List(items) => items.iter().collect(),
            _ => vec![node],
        };
        let mut domains = Vec::with_capacity(items.len());
        for item in items {
            domains.push(bare(&String::from_node(item, load.problems)?));
        }
        if domains.iter().all(|domain| domain.trim_matches('.').is_empty()) {
            return Err(load.problems.error(&node.span, "no domain", "such as example.org, or .example.org for its subdomains"));
        }
        Ok(Some(DomainTest::Domains(domains)))
    }

    /// Whether the domain passes. One that is not there passes nothing but `exists: false`.
    pub fn holds(&self, domain: Option<&str>, facts: &dyn Facts) -> bool {
        if let Some(domain) = domain {
            facts.saw(&domain);
        }
        match self {
            DomainTest::Domains(known) => domain.is_some_and(|domain| {
                let domain = bare(domain);
                known.iter().any(|known| domain_matches(known, &domain))
            }),
            DomainTest::Test(test) => test.holds_in(domain, facts),
        }
    }
}

/// A domain without case and without the dot of the root.
#[must_use]
pub fn bare(domain: &str) -> String {
    domain.strip_suffix('.').unwrap_or(domain).to_lowercase()
}
