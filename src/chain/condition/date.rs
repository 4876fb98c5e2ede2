//! `date`: how long ago the message says it was written.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

use super::Condition;
use super::operand::some;
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::facts::Facts;
use crate::chain::run::ActionError;
use crate::message::Field;
use crate::yaml::{Node, Reported};

#[derive(Debug)]
struct Date {
    older: Option<SignedDuration>,
    newer: Option<SignedDuration>,
}

pub const DATE: Entry<dyn Condition> = Entry {
    name: "date",
    about: "Tests how long before the message came in its Date lies. Without a Date that can be read it does not hold. A test says the `time`.",
    keys: &[
        KeyDoc { name: "older", wants: "a time such as 7d", about: "Dated longer ago than this." },
        KeyDoc { name: "newer", wants: "a time such as 1h", about: "Dated less long ago than this; `0s`: in the future." },
    ],
    example: "date: {older: 7d}",
    before: "(time 2026-11-21T12:00:00Z)\r\nDate: Sat, 14 Nov 2026 12:59:59 +0100\r\n\r\n",
    after: "(time 2026-11-21T12:00:00Z)\r\nDate: Sat, 14 Nov 2026 13:00:00 +0100\r\n\r\n",
    load: date,
};

fn date(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    let mut settings = load.settings("`date`", node)?;
    let older = settings.take::<Duration>("older", load.problems);
    let newer = settings.take::<Duration>("newer", load.problems);
    settings.finish(load.problems)?;
    let signed = |time: Duration| SignedDuration::try_from(time).expect("times in rules are at most ten years");
    let date = Date { older: older?.map(signed), newer: newer?.map(signed) };
    if date.older.is_none() && date.newer.is_none() {
        return Err(load.problems.error(&node.span, "`date` tests nothing", "`older` or `newer` is wanted, such as `older: 7d`"));
    }
    Ok(Box::new(date))
}

impl Condition for Date {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        let now = facts.time()?;
        some(facts.fields().iter().filter(|field| field.is("date")), |field| {
            facts.saw(&field.value());
            let Some(written) = written(field) else { return Ok(false) };
            let age = now.duration_since(written);
            Ok(self.older.is_none_or(|limit| age > limit) && self.newer.is_none_or(|limit| age < limit))
        })
    }
}

/// RFC 5322 3.3 and 4.3; else what can be made of it.
fn written(field: &Field) -> Option<Timestamp> {
    const PARSER: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
    if let Ok(date) = PARSER.parse_timestamp(field.source().as_ref()) {
        return Some(date);
    }
    let mut line = field.raw_value().to_vec();
    line.extend_from_slice(b"\r\n");
    match MessageStream::new(&line).parse_date() {
        HeaderValue::DateTime(date) if date.is_valid() => Timestamp::from_second(date.to_timestamp()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{asked, holds, refused};

    fn dated(date: &str) -> String {
        format!("(time 2026-11-21T12:00:00Z)\r\n{date}\r\n\r\n")
    }

    #[test]
    fn the_age_is_counted_from_when_the_message_came_in() {
        let hour = dated("Date: Sat, 21 Nov 2026 06:00:00 -0500");
        assert!(holds("date: {older: 59m, newer: 61m}", &hour));
        assert!(!holds("date: {older: 1h}", &hour));
        assert!(!holds("date: {newer: 1h}", &hour));
        assert!(holds("date: {newer: 0s}", &dated("Date: Sat, 21 Nov 2026 12:00:01 GMT")));
    }

    #[test]
    fn a_date_that_is_absent_or_cannot_be_read_is_a_value_that_is_not_there() {
        for date in ["Subject: x", "Date: yesterday", "Date:", "Date: Sat, 41 Nov 2026 12:00:00 GMT"] {
            assert!(!holds("any: [{date: {older: 0s}}, {date: {newer: 3000d}}]", &dated(date)), "{date}");
        }
        assert!(holds("date: {older: 7d}", &dated("Date: 1 Jan 99 00:00 EST")));
        assert!(holds("date: {older: 7d}", &dated("Date: never\r\nDate: 1 Jan 2020 00:00:00 +0000 (UTC)")));
    }

    #[test]
    fn without_a_clock_it_cannot_be_answered() {
        assert!(asked("date: {older: 7d}", "Date: Sat, 21 Nov 2026 12:00:00 GMT\r\n\r\n").unwrap_err().to_string().contains("time"));
        assert!(refused("date: {}").contains("older"));
        assert!(refused("date: {older: 7}").contains("7d"));
    }
}
