//! `body`: the readable text.

use std::fmt::{self, Display, Formatter, Write as _};

use super::Condition;
use super::operand::some;
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::facts::Facts;
use crate::chain::run::ActionError;
use crate::chain::string::{StringTest, VALUE_TESTS, ValueTest, word};
use crate::yaml::{Kind, Node, Reported};

#[derive(Debug)]
struct Body {
    test: ValueTest,
    view: View,
}

/// What a test sees of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    /// No `view`: the text a reader sees, or the decoded source.
    Either,
    Decoded,
    Text,
    Raw,
    Line,
    Skeleton,
}

const VIEWS: [(&str, View); 5] =
    [("decoded", View::Decoded), ("text", View::Text), ("raw", View::Raw), ("line", View::Line), ("skeleton", View::Skeleton)];

pub const BODY: Entry<dyn Condition> = Entry {
    name: "body",
    about: "Tests the inline text parts, those of attached messages too. Without `view` it holds if it holds in the text a reader sees or in the decoded source.",
    keys: &[
        VALUE_TESTS,
        KeyDoc {
            name: "view",
            wants: "decoded, text, raw, line or skeleton",
            about: "Which form is meant: `decoded` (transfer encoding and charset undone), `text` (what a reader sees: HTML without its tags), `raw` (the body as it is \
                sent), `line` (that, a line at a time, as body_checks sees it) or `skeleton` (text with compatibility forms made plain, invisible characters removed and look-alikes folded).",
        },
    ],
    example: "body: {contains: wire transfer}",
    before: "Content-Type: text/html\r\n\r\n<p>Please make a <b>wire</b>\r\ntransfer today</p>\r\n",
    after: "Content-Type: text/html\r\n\r\n<p>Please make a wire-transfer today</p>\r\n",
    load: body,
};

fn body(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    if !matches!(node.kind, Kind::Map(_)) {
        return Ok(Box::new(Body { test: StringTest::load(node, load)?, view: View::Either }));
    }
    let mut settings = load.settings("`body`", node)?;
    let view = settings.node("view").map(|node| word(node, &VIEWS, load.problems)).transpose();
    let test = match view {
        Ok(Some(View::Skeleton)) => StringTest::take_skeleton(&mut settings, load),
        _ => StringTest::take(&mut settings, load),
    };
    settings.finish(load.problems)?;
    let Some(test) = test? else {
        return Err(load.problems.error(&node.span, "`body` tests nothing", "a test such as `contains: text` is wanted"));
    };
    Ok(Box::new(Body { test, view: view?.unwrap_or(View::Either) }))
}

impl Condition for Body {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        if matches!(self.view, View::Raw | View::Line) {
            let body = facts.raw_body()?;
            facts.saw(&format_args!("{} bytes", body.len()));
            return match self.view {
                View::Line => some(lines(&body), |line| Ok(self.test.holds_in(Some(line), facts))),
                _ => Ok(self.test.holds_in(Some(&body), facts)),
            };
        }
        let parts = facts.readable();
        if parts.is_empty() {
            return Ok(self.test.holds_in(None, facts));
        }
        some(parts, |part| {
            let test = |text: &str| self.test.holds_in(Some(text), facts);
            let source = facts.source(part)?;
            facts.saw(&Beginning(&source));
            Ok(match self.view {
                View::Decoded => test(&source),
                View::Text => test(&facts.shown(part)?),
                View::Skeleton => test(&facts.skeleton(part)?),
                _ => {
                    let shown = facts.shown(part)?;
                    // In plain text both are the same.
                    test(&shown) || (shown != source && test(&source))
                }
            })
        })
    }
}

/// The lines of a text without their line ends; CR alone is text.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_terminator('\n').map(|line| line.strip_suffix('\r').unwrap_or(line))
}

/// What there is room for in an explanation.
struct Beginning<'a>(&'a str);

impl Display for Beginning<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const LETTERS: usize = 60;
        let shown = self.0.trim_start().chars().take(LETTERS).map(|letter| if letter.is_control() { ' ' } else { letter });
        let mut length = 0;
        for letter in shown {
            f.write_char(letter)?;
            length += letter.len_utf8();
        }
        if length < self.0.trim().len() { f.write_char('…') } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{asked, holds};

    const HTML: &str = "Content-Type: text/html\r\n\r\n<p>pass<b>word</b> &amp; key</p><!-- hidden -->\r\n";

    #[test]
    fn each_view_sees_its_own_text() {
        assert!(holds("body: {contains: 'password & key', view: text}", HTML));
        assert!(!holds("body: {contains: 'password & key', view: decoded}", HTML));
        assert!(holds("body: {contains: '<b>', view: decoded}", HTML));
        assert!(!holds("body: {contains: '<b>', view: text}", HTML));
    }

    #[test]
    fn without_a_view_both_the_shown_text_and_the_source_count() {
        assert!(holds("body: {contains: password}", HTML));
        assert!(holds("body: {contains: hidden}", HTML));
        assert!(!holds("body: {contains: elsewhere}", HTML));
    }

    #[test]
    fn text_is_decoded_and_raw_is_not() {
        let mail =
            "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9 =\r\nau lait\r\n";
        assert!(holds("body: {matches: '^café au lait$'}", mail));
        assert!(holds("body: {contains: caf=E9, view: raw}", mail));
        assert!(!holds("body: {contains: café, view: raw}", mail));
    }

    #[test]
    fn a_line_is_tested_by_itself_as_it_is_sent() {
        let mail = "Content-Transfer-Encoding: quoted-printable\r\n\r\none =\r\ntwo\r\nthree\r\n";
        assert!(holds("body: {contains: t, not: {contains: w}, view: line}", mail));
        assert!(holds("body: {equals: 'one =', view: line}", mail));
        assert!(!holds("body: {contains: [one two], view: line}", mail));
        assert!(!holds("body: {all: [{contains: two}, {contains: three}], view: line}", mail));
    }

    #[test]
    fn a_skeleton_is_what_the_eye_takes_the_text_for() {
        let mail = "Content-Type: text/html; charset=utf-8\r\n\r\n<p>p\u{430}ss&#8203;w<b>\u{43e}</b>rd</p>\r\n";
        assert!(holds("body: {contains: password, view: skeleton}", mail));
        assert!(!holds("body: {contains: password}", mail));
        assert!(!holds("body: {contains: '<b>', view: skeleton}", mail));
    }

    #[test]
    fn attachments_are_no_body_and_attached_messages_are() {
        let with = |part: &str| format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{part}--b--\r\n");
        assert!(!holds("body: {contains: word}", &with("Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nword\r\n")));
        assert!(holds("body: {contains: word}", &with("Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nword\r\n")));
    }

    #[test]
    fn a_text_that_does_not_decode_is_an_error_and_not_false() {
        let mail = "Content-Transfer-Encoding: x-unknown\r\n\r\nword\r\n";
        assert!(asked("body: {contains: word}", mail).is_err());
    }
}
