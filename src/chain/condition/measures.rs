//! `size`, `tag` and `score`: numbers and marks of the whole mail.

use super::Condition;
use super::operand::{NUMBER_TESTS, Number};
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::facts::Facts;
use crate::chain::run::ActionError;
use crate::chain::string::{StringTest, VALUE_TESTS};
use crate::yaml::Size as Bytes;
use crate::yaml::{Kind, Node, Reported};

#[derive(Debug)]
struct Size(Number<Bytes>);

pub const SIZE: Entry<dyn Condition> = Entry {
    name: "size",
    about: "Tests the size of the message as received, in bytes.",
    keys: &[KeyDoc {
        name: "over, under, at_least, at_most, equals",
        wants: "a size such as 10MB or 64KiB",
        about: "Several are all of them.",
    }],
    example: "size: {over: 40B}",
    before: "Subject: a message of more than forty bytes\r\n\r\n",
    after: "Subject: hi\r\n\r\n",
    load: |node, load| Ok(Box::new(Size(Number::load("`size`", node, load)?))),
};

impl Condition for Size {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        facts.saw(&facts.size());
        Ok(self.0.holds(Bytes(facts.size())))
    }
}

#[derive(Debug)]
struct Tag(StringTest);

pub const TAG: Entry<dyn Condition> = Entry {
    name: "tag",
    about: "Holds if an earlier rule set a tag that passes.",
    keys: &[VALUE_TESTS],
    example: "tag: newsletter",
    before: "(tag newsletter)\r\nSubject: hi\r\n\r\n",
    after: "(tag invoice)\r\nSubject: hi\r\n\r\n",
    load: |node, load| Ok(Box::new(Tag(StringTest::load(node, load)?))),
};

impl Condition for Tag {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        let tags = facts.tags();
        facts.saw(&if tags.is_empty() { "no tags".to_owned() } else { tags.join(", ") });
        Ok(self.0.some_in(tags.iter().map(String::as_str), facts))
    }
}

#[derive(Debug)]
struct Score {
    /// Empty: the unnamed total.
    name: String,
    test: Number<f64>,
}

pub const SCORE: Entry<dyn Condition> = Entry {
    name: "score",
    about: "Tests what earlier rules added up. Named scores are not in the unnamed total.",
    keys: &[KeyDoc { name: "name", wants: "a text", about: "Which score; absent: the unnamed total." }, NUMBER_TESTS],
    example: "score: {over: 10}",
    before: "(score 10.5)\r\nSubject: hi\r\n\r\n",
    after: "(score phish 12)\r\nSubject: hi\r\n\r\n",
    load: score,
};

fn score(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    if !matches!(node.kind, Kind::Map(_)) {
        return Ok(Box::new(Score { name: String::new(), test: Number::load("`score`", node, load)? }));
    }
    let mut settings = load.settings("`score`", node)?;
    let name = settings.take::<String>("name", load.problems);
    let test = Number::take(&mut settings, load);
    settings.finish(load.problems)?;
    let Some(test) = test? else {
        return Err(load.problems.error(&node.span, "`score` tests nothing", "a test such as `over: 10` is wanted"));
    };
    Ok(Box::new(Score { name: name?.unwrap_or_default(), test }))
}

impl Condition for Score {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        let score = facts.score(&self.name);
        facts.saw(&score);
        Ok(self.test.holds(score))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{holds, refused};

    #[test]
    fn numbers_are_compared_with_all_tests() {
        let mail = "(score 5)\r\n(score phish 2.5)\r\nSubject: hi\r\n\r\n";
        assert!(holds("score: 5", mail));
        assert!(holds("score: {over: 4, at_most: 5}", mail));
        assert!(!holds("score: {over: 5}", mail));
        assert!(holds("score: {name: phish, equals: 2.5}", mail));
        assert!(holds("size: {at_least: 15B, under: 1kB}", mail));
        assert!(refused("size: {over: big}").contains("size such as"));
        assert!(refused("score: {}").contains("nothing"));
    }

    #[test]
    fn a_tag_that_was_not_set_is_not_there() {
        assert!(holds("tag: {exists: false}", "Subject: hi\r\n\r\n"));
        assert!(holds("tag: {starts_with: new}", "(tag old)\r\n(tag newer)\r\n\r\n"));
    }
}
