//! `reject` and `defer`: refuse the mail, for good or for now.

use super::settings::spelled;
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::ruling::{Outcome, Verdict};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::chain::text::{Place, Text};
use crate::smtp::reply::Enhanced;
use crate::yaml::{FromNode, Node, Problems, Reported};

/// The reply, and whether it is final.
#[derive(Debug)]
struct Refuse {
    code: u16,
    enhanced: Enhanced,
    text: Text,
}

const MAIL: &str = "Subject: hi\r\n\r\nbody\r\n";
const TEXT: KeyDoc = KeyDoc {
    name: "text",
    wants: "a text of printable ASCII",
    about: "What the client is told. Alone it may be written short: `reject: x`.",
};

pub const REJECT: Entry<dyn Action> = Entry {
    name: "reject",
    about: "Ends the chain: the client hears a final refusal.",
    keys: &[
        KeyDoc {
            name: "code",
            wants: "a number from 500 to 599",
            about: "The reply code; 550 if absent. At RCPT 552 is told as 554: there it would say that there are too many recipients.",
        },
        KeyDoc { name: "enhanced", wants: "a code such as 5.7.1", about: "The enhanced status code, of the same class; 5.7.1 if absent." },
        TEXT,
    ],
    example: "reject: {code: 550, enhanced: 5.7.1, text: no such files here}",
    before: MAIL,
    after: MAIL,
    load: load_reject,
};

pub const DEFER: Entry<dyn Action> = Entry {
    name: "defer",
    about: "Ends the chain: the client hears that it should try again later (451 4.7.1).",
    keys: &[TEXT],
    example: "defer: {text: come back later}",
    before: MAIL,
    after: MAIL,
    load: load_defer,
};

fn load_reject(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = spelled(node, "text");
    let mut settings = load.settings("reject", &node)?;
    let code = settings.node("code").map(|node| code(node, load.problems)).transpose();
    let enhanced = settings.node("enhanced").map(|node| enhanced(node, load.problems)).transpose();
    let text = settings.node("text").map(|node| reply_text(node, load)).transpose();
    settings.finish(load.problems)?;
    let text = text?.unwrap_or_else(|| Text::literal("This message is refused by policy"));
    Ok(Box::new(Refuse { code: code?.unwrap_or(550), enhanced: enhanced?.unwrap_or(Enhanced(5, 7, 1)), text }))
}

fn load_defer(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = spelled(node, "text");
    let mut settings = load.settings("defer", &node)?;
    let text = settings.node("text").map(|node| reply_text(node, load)).transpose();
    settings.finish(load.problems)?;
    let text = text?.unwrap_or_else(|| Text::literal("This message cannot be taken now, try again later"));
    Ok(Box::new(Refuse { code: 451, enhanced: Enhanced(4, 7, 1), text }))
}

/// A code that says no for good.
fn code(node: &Node, problems: &mut Problems) -> Result<u16, Reported> {
    let text = String::from_node(node, problems)?;
    let number = text.parse::<u16>().ok();
    if let Some(code @ 500..=599) = number {
        return Ok(code);
    }
    let label =
        if matches!(number, Some(400..=499)) { "`defer` tells the client to try again" } else { "a number from 500 to 599 is wanted" };
    Err(problems.error(&node.span, format!("`reject` cannot answer with code `{text}`"), label))
}

/// RFC 3463 2: class, subject and detail, each without leading zeros, the last two of up to three digits.
fn enhanced(node: &Node, problems: &mut Problems) -> Result<Enhanced, Reported> {
    let text = String::from_node(node, problems)?;
    let number = |part: &str| part.parse::<u16>().ok().filter(|number| *number < 1000 && number.to_string() == part);
    let parts: Vec<Option<u16>> = text.split('.').map(number).collect();
    match parts.as_slice() {
        [Some(5), Some(subject), Some(detail)] => Ok(Enhanced(5, *subject, *detail)),
        [Some(_), Some(_), Some(_)] => {
            Err(problems.error(&node.span, format!("`{text}` is not of the class of a refusal"), "`reject` wants 5.x.x"))
        }
        _ => Err(problems.error(&node.span, format!("`{text}` is no enhanced status code"), "one such as 5.7.1 is wanted")),
    }
}

/// What is written in the file must be as it will be sent; what a message fills in is made so.
fn reply_text(node: &Node, load: &mut Load<'_>) -> Result<Text, Reported> {
    let source = String::from_node(node, load.problems)?;
    if source.trim().is_empty() || !source.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(load.problems.error(&node.span, "a reply wants a text of printable ASCII", "one line, no accents (RFC 5321 4.2)"));
    }
    if source.len() > crate::chain::text::REPLY_TEXT {
        let label = format!("at most {} characters fit into a reply line", crate::chain::text::REPLY_TEXT);
        return Err(load.problems.error(&node.span, "this text is too long for a reply", label));
    }
    Text::load(node, None, load)
}

impl Action for Refuse {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let mut text = self.text.fill(Place::Reply, None, run)?.into_owned();
        if text.trim().is_empty() {
            // Values that are not there leave nothing; a reply says something.
            "Refused".clone_into(&mut text);
        }
        let verdict = Verdict { code: self.code, enhanced: self.enhanced, text };
        Ok(Flow::End(if self.code < 500 { Outcome::Defer(verdict) } else { Outcome::Reject(verdict) }))
    }

    fn is_verdict(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::action::testing::{refused, ruling};

    #[test]
    fn what_is_not_said_has_a_default() {
        let Outcome::Reject(bare) = ruling("\r\n", &["reject"]).outcome else { panic!("not rejected") };
        assert_eq!((bare.code, bare.enhanced), (550, Enhanced(5, 7, 1)));
        let Outcome::Defer(verdict) = ruling("\r\n", &["defer: come back"]).outcome else { panic!("not deferred") };
        assert_eq!(verdict, Verdict { code: 451, enhanced: Enhanced(4, 7, 1), text: "come back".to_owned() });
    }

    #[test]
    fn values_in_a_reply_are_printable_ascii() {
        let outcome = ruling(
            "Subject: =?utf-8?Q?=C3=A4=0D=0A250_ok?=\r\n\r\n",
            &["reject: {code: 554, enhanced: 5.6.0, text: 'no ${header:Subject}'}"],
        )
        .outcome;
        let Outcome::Reject(verdict) = outcome else { panic!("not rejected") };
        assert!(verdict.text.starts_with("no ?") && verdict.text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{verdict:?}");
    }

    #[test]
    fn what_no_client_could_take_is_refused_at_load() {
        for (wrong, told) in [
            ("reject: {code: 450}", "`defer`"),
            ("reject: {code: 250}", "500 to 599"),
            ("reject: {enhanced: 4.7.1}", "5.x.x"),
            ("reject: {enhanced: 5.7}", "5.7.1 is wanted"),
            ("reject: {enhanced: 5.07.1}", "5.7.1 is wanted"),
            ("reject: {text: 'ä'}", "printable ASCII"),
            ("defer: {code: 451}", "code"),
        ] {
            assert!(refused(wrong)[0].contains(told), "{wrong}: {:?}", refused(wrong));
        }
        assert_eq!(refused("reject: {code: 450, enhanced: 4.7.1, text: ''}").len(), 3);
    }
}
