//! `parts`, `hops` and `longest_line`: numbers that say how a message is built.

use super::Condition;
use super::operand::{NUMBER_TESTS, Number, unopened};
use crate::chain::entry::Entry;
use crate::chain::facts::Facts;
use crate::chain::run::ActionError;
use crate::yaml::Size;

#[derive(Debug)]
struct Parts(Number<u64>);

pub const PARTS: Entry<dyn Condition> = Entry {
    name: "parts",
    about: "Tests how many parts have content of their own; containers are not counted, those of attached messages are.",
    keys: &[NUMBER_TESTS],
    example: "parts: {over: 1}",
    before: "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n",
    after: "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b--\r\n",
    load: |node, load| Ok(Box::new(Parts(Number::load("`parts`", node, load)?))),
};

impl Condition for Parts {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        let parts = facts.parts();
        let count = parts.iter().filter(|part| part.leaf).count();
        facts.saw(&count);
        if !parts.iter().any(|part| part.opaque) {
            return Ok(self.0.holds(count as u64));
        }
        // What was left unopened is one part at least.
        self.0.holds_from(count as u64).ok_or_else(unopened)
    }
}

#[derive(Debug)]
struct Hops(Number<u64>);

pub const HOPS: Entry<dyn Condition> = Entry {
    name: "hops",
    about: "Tests how many servers the message came through: its Received fields, before Transom adds its own.",
    keys: &[NUMBER_TESTS],
    example: "hops: {at_least: 2}",
    before: "Received: from b by c\r\nReceived: from a by b\r\nSubject: hi\r\n\r\n",
    after: "Received: from a by b\r\nSubject: hi\r\n\r\n",
    load: |node, load| Ok(Box::new(Hops(Number::load("`hops`", node, load)?))),
};

impl Condition for Hops {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        let hops = facts.fields().iter().filter(|field| field.is("received")).count();
        facts.saw(&hops);
        Ok(self.0.holds(hops as u64))
    }
}

#[derive(Debug)]
struct LongestLine(Number<Size>);

pub const LONGEST_LINE: Entry<dyn Condition> = Entry {
    name: "longest_line",
    about: "Tests the length of the longest line of header and body in bytes, without its line end.",
    keys: &[NUMBER_TESTS],
    example: "longest_line: {over: 20}",
    before: "Subject: hi\r\n\r\na line of 22 characters\r\n",
    after: "Subject: hello there\r\n\r\na line of 20 letters\r\n",
    load: |node, load| Ok(Box::new(LongestLine(Number::load("`longest_line`", node, load)?))),
};

impl Condition for LongestLine {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        let longest = facts.longest_line()?;
        facts.saw(&longest);
        Ok(self.0.holds(Size(longest)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::holds;
    use crate::chain::condition::testing::asked;

    #[test]
    fn parts_are_those_with_content_of_their_own() {
        assert!(holds("parts: 1", "Subject: hi\r\n\r\n"));
        let attached = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny\r\n--b--\r\n";
        assert!(holds("parts: {equals: 2, under: 3}", attached));
    }

    #[test]
    fn what_was_left_unopened_may_be_any_number_of_parts() {
        let deep = (0..60).fold(String::new(), |mail, _| mail + "Content-Type: message/rfc822\r\n\r\n");
        assert!(holds("parts: {at_least: 1}", &deep));
        assert!(!holds("parts: {under: 1}", &deep));
        assert!(asked("parts: {over: 1}", &deep).is_err());
        assert!(asked("parts: 1", &deep).is_err());
    }

    #[test]
    fn the_longest_line_may_stand_anywhere() {
        let line = "x".repeat(30);
        for mail in [
            format!("Subject: {}\r\n\r\n", "x".repeat(21)),
            format!("Subject: x\r\n {}\r\n\r\n", "x".repeat(29)),
            format!("Subject: x\r\n\r\na\r\n{line}\r\nb\r\n"),
            format!("Subject: x\r\n\r\n{line}"),
            format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nA: {}\r\n\r\nx\r\n--b--\r\n", "x".repeat(38)),
        ] {
            let length = if mail.starts_with("Content") { 41 } else { 30 };
            assert!(holds(&format!("longest_line: {length}"), &mail), "{mail:?}");
        }
    }
}
