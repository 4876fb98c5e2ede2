//! What tests of actions share: a rule of given actions run over a message, and what is wrong with settings.

use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;

use crate::chain::link::Link;
use crate::chain::route::Routes;
use crate::chain::rule::{RuleFile, Shared};
use crate::chain::ruling::Ruling;
use crate::chain::trace::Trace;
use crate::chain::{Chain, example};
use crate::mail::Mail;
use crate::message::Message;
use crate::smtp::path::Path;
use crate::yaml::{Problems, Source, parse};

/// A mail from outside, as rule tests have it where nothing else is said.
pub fn mail(message: &[u8]) -> Mail {
    let mut mail = example::run("").mail;
    mail.message = Message::parse(Bytes::copy_from_slice(message), &example::limits()).unwrap();
    mail
}

/// A rule file, or what is wrong with it.
pub fn file(yaml: &str) -> Result<RuleFile, Vec<String>> {
    let mut problems = Problems::default();
    let source = Arc::new(Source { name: "test.yaml".to_owned(), text: yaml.to_owned() });
    let file = parse(&source, &mut problems).map(|node| RuleFile::load(&node, FilePath::new("test.yaml"), &mut shared(), &mut problems));
    match file {
        Some(file) if !problems.any_error() => Ok(file),
        _ => Err(problems.iter().map(|problem| format!("{}; {}", problem.title, problem.label)).collect()),
    }
}

fn shared() -> Shared {
    let routes = Routes::new(vec![("partner".into(), Vec::new())], Vec::new());
    Shared { inside: example::inside(), routes: Arc::new(routes), ..Shared::default() }
}

/// A chain of one rule file.
pub fn chain(yaml: &str) -> Result<Chain, Vec<String>> {
    file(yaml).map(|file| Chain::build(vec![Link::of(vec![Arc::new(file)])], &shared(), &mut Problems::default()))
}

/// A rule file of one rule with these actions.
pub fn rules(actions: &[&str]) -> String {
    actions.iter().fold("rules:\n  - name: test\n    then:\n".to_owned(), |yaml, action| {
        yaml + "      - " + &action.replace('\n', "\n        ") + "\n"
    })
}

/// What comes out of a mail after these actions.
pub fn ruling_of(mail: Mail, actions: &[&str]) -> Ruling {
    chain(&rules(actions)).unwrap_or_else(|problems| panic!("{problems:#?}")).run(mail, &[])
}

/// What comes out of a message after these actions.
pub fn ruling(message: &str, actions: &[&str]) -> Ruling {
    ruling_of(mail(message.as_bytes()), actions)
}

/// What `explain` tells of these actions on a message.
pub fn trace(message: &str, actions: &[&str]) -> Trace {
    chain(&rules(actions)).unwrap().parts(&mail(message.as_bytes()), true).remove(0).trace
}

/// The bytes of the message that came out.
pub fn raw(ruling: &Ruling) -> Vec<u8> {
    let mut bytes = Vec::new();
    let put = &mut |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    ruling.mail.message.for_each(put).unwrap();
    bytes
}

/// As [`raw`], as text.
pub fn bytes(ruling: &Ruling) -> String {
    String::from_utf8(raw(ruling)).unwrap()
}

/// A message after these actions, none of which fails.
pub fn after(message: &str, actions: &[&str]) -> String {
    let ruling = ruling(message, actions);
    assert!(ruling.failures.is_empty(), "{:?}", ruling.failures);
    bytes(&ruling)
}

/// As [`after`], by a rule that says `break_signatures: true`.
pub fn after_breaking(message: &str, actions: &[&str]) -> String {
    let yaml = rules(actions).replacen("    then:", "    break_signatures: true\n    then:", 1);
    let ruling = chain(&yaml).unwrap_or_else(|problems| panic!("{problems:#?}")).run(mail(message.as_bytes()), &[]);
    assert!(ruling.failures.is_empty(), "{:?}", ruling.failures);
    bytes(&ruling)
}

/// A message with these recipients after these actions, none of which fails: the recipients that are left.
pub fn recipients(given: &[&str], actions: &[&str]) -> Vec<String> {
    let mut mail = mail(b"Subject: hi\r\n\r\n");
    mail.envelope.recipients = given.iter().map(|address| Path::parse(address).unwrap().into()).collect();
    let ruling = ruling_of(mail, actions);
    assert!(ruling.failures.is_empty(), "{:?}", ruling.failures);
    ruling.mail.envelope.recipients.iter().map(|path| path.address().to_owned()).collect()
}

/// What is wrong with an action.
pub fn refused(action: &str) -> Vec<String> {
    chain(&rules(&[action])).map(|_| ()).expect_err("the action loads")
}
