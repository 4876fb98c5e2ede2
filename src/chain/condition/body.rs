//! `body`: the readable text.

use super::Condition;
use super::operand::some;
use crate::chain::entry::{Entry, Load};
use crate::chain::facts::Facts;
use crate::chain::run::ActionError;
use crate::chain::string::{StringTest, VALUE_TESTS, VIEW, ValueTest, View};
use crate::yaml::{Kind, Node, Reported};

#[derive(Debug)]
struct Body {
    test: ValueTest,
    /// None: the text a reader sees, or the decoded source.
    view: Option<View>,
}

pub const BODY: Entry<dyn Condition> = Entry {
    name: "body",
    about: "Tests the inline text parts, those of attached messages too. Without `view` it holds if it holds in the text a reader sees or in the decoded source.",
    keys: &[VALUE_TESTS, VIEW],
    example: "body: {contains: wire transfer}",
    before: "Content-Type: text/html\r\n\r\n<p>Please make a <b>wire</b>\r\ntransfer today</p>\r\n",
    after: "Content-Type: text/html\r\n\r\n<p>Please make a wire-transfer today</p>\r\n",
    load: body,
};

fn body(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Condition>, Reported> {
    if !matches!(node.kind, Kind::Map(_)) {
        return Ok(Box::new(Body { test: StringTest::load(node, load)?, view: None }));
    }
    let mut settings = load.settings("`body`", node)?;
    let test = StringTest::take(&mut settings, load);
    let view = settings.take::<View>("view", load.problems);
    settings.finish(load.problems)?;
    let Some(test) = test? else {
        return Err(load.problems.error(&node.span, "`body` tests nothing", "a test such as `contains: text` is wanted"));
    };
    Ok(Box::new(Body { test, view: view? }))
}

impl Condition for Body {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        if self.view == Some(View::Raw) {
            let body = facts.raw_body()?;
            facts.saw(&format_args!("{} bytes", body.len()));
            return Ok(self.test.holds_in(Some(&body), facts));
        }
        let parts = facts.readable();
        if parts.is_empty() {
            return Ok(self.test.holds_in(None, facts));
        }
        some(parts, |part| {
            let test = |text: &str| self.test.holds_in(Some(text), facts);
            let source = facts.source(part)?;
            facts.saw(&beginning(&source));
            if self.view == Some(View::Decoded) {
                return Ok(test(&source));
            }
            let shown = facts.shown(part)?;
            // In plain text both are the same.
            Ok(test(&shown) || (self.view.is_none() && shown != source && test(&source)))
        })
    }
}

/// What there is room for in an explanation.
fn beginning(text: &str) -> String {
    const LETTERS: usize = 60;
    let mut start: String = text.trim_start().chars().take(LETTERS).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if start.len() < text.trim().len() {
        start.push('…');
    }
    start
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
