//! `address.replace`: a domain or an address becomes another, in address fields and the envelope; only that word changes.

use super::envelope::{path_of, recipient, sender};
use super::header::mailboxes::{Mailbox, mailboxes};
use super::header::{Choice, edit};
use super::settings::needed;
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::chain::string::fold;
use crate::chain::text::{Text, is_field_name};
use crate::message::Field;
use crate::smtp::path::Path;
use crate::yaml::{FromNode, Kind, Node, Reported, Settings, nearest};

pub const REPLACE: Entry<dyn Action> = Entry {
    name: "address.replace",
    about: "Replaces a domain, or an address, where it stands as such in address fields and in the envelope. Only that word changes: names, comments and folds stay. A null sender (`<>`) stays; recipients that become one are one.",
    keys: &[
        KeyDoc {
            name: "in",
            wants: "field names, `sender`, `recipients`, or a list of them",
            about: "Where: address fields of the outer header, the envelope's sender, its recipients.",
        },
        KeyDoc { name: "domain", wants: "a domain, or a list of them", about: "Exactly this domain becomes `with`; not its subdomains." },
        KeyDoc { name: "address", wants: "an address, or a list of them", about: "Instead of `domain`: exactly this address does." },
        KeyDoc { name: "with", wants: "a domain, or with `address` an address", about: "What stands there instead." },
    ],
    example: "address.replace: {in: [From, Reply-To, To, Cc, sender, recipients], domain: old.example, with: new.example}",
    before: "(sender anna@old.example)\r\n(recipient bo@inside.example)\r\nFrom: \"anna@old.example\" <anna@Old.example> (Anna)\r\nTo: bo@inside.example,\r\n\tCy <cy@sub.old.example>\r\n\r\nbody\r\n",
    after: "(sender anna@new.example)\r\n(recipient bo@inside.example)\r\nFrom: \"anna@old.example\" <anna@new.example> (Anna)\r\nTo: bo@inside.example,\r\n\tCy <cy@sub.old.example>\r\n\r\nbody\r\n",
    load,
};

/// What becomes what, and where.
#[derive(Debug)]
struct Replace {
    places: Vec<Place>,
    what: What,
    with: String,
}

#[derive(Debug)]
enum Place {
    Field(String),
    Sender,
    Recipients,
}

/// What is looked for, folded.
#[derive(Debug)]
enum What {
    Domain(Vec<String>),
    Address(Vec<String>),
}

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let mut settings = load.settings("address.replace", node)?;
    let places = needed(&mut settings, "in", load).and_then(|node| each(node, load, place));
    let what = what(&mut settings, load);
    let with = needed(&mut settings, "with", load);
    settings.finish(load.problems)?;
    let what = what?;
    let with = match what {
        What::Domain(_) => domain(with?, load),
        What::Address(_) => address(with?, load),
    };
    Ok(Box::new(Replace { places: places?, what, with: with? }))
}

fn what(settings: &mut Settings<'_>, load: &mut Load<'_>) -> Result<What, Reported> {
    let folded = |texts: Vec<String>| texts.iter().map(|text| fold(text).into_owned()).collect();
    match (settings.node("domain"), settings.node("address")) {
        (Some(node), None) => each(node, load, domain).map(folded).map(What::Domain),
        (None, Some(node)) => each(node, load, address).map(folded).map(What::Address),
        (one, _) => {
            let title =
                if one.is_some() { "`domain` and `address` exclude each other" } else { "address.replace wants `domain` or `address`" };
            Err(load.problems.error(&settings.span, title, "either is what becomes `with`"))
        }
    }
}

/// One, or a list of them.
fn each<T>(node: &Node, load: &mut Load<'_>, read: fn(&Node, &mut Load<'_>) -> Result<T, Reported>) -> Result<Vec<T>, Reported> {
    let items = match &node.kind {
        Kind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if items.is_empty() {
        return Err(load.problems.error(&node.span, "an empty list", "at least one is wanted"));
    }
    let read: Vec<_> = items.iter().map(|item| read(item, load)).collect();
    read.into_iter().collect()
}

/// Fields are written with a capital, so that a misspelt word is not taken for one.
fn place(node: &Node, load: &mut Load<'_>) -> Result<Place, Reported> {
    let name = String::from_node(node, load.problems)?;
    match name.as_str() {
        "sender" => Ok(Place::Sender),
        "recipients" => Ok(Place::Recipients),
        _ if is_field_name(&name) && name.starts_with(|letter: char| letter.is_ascii_uppercase()) => Ok(Place::Field(name)),
        _ => {
            let label = match nearest(&name, ["sender", "recipients"]) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "a field such as From, `sender` or `recipients` is wanted".to_owned(),
            };
            Err(load.problems.error(&node.span, format!("no addresses stand in `{name}`"), label))
        }
    }
}

/// A text without values in it: an address that was put together belongs into `sender.set` and the like.
fn literal(node: &Node, load: &mut Load<'_>) -> Result<String, Reported> {
    let text = Text::load(node, None, load)?;
    let literal = text.as_literal().filter(|text| text.is_ascii()).map(str::to_owned);
    literal.ok_or_else(|| load.problems.error(&node.span, "only plain ASCII can stand here", "domains beyond ASCII are written as xn--…"))
}

fn domain(node: &Node, load: &mut Load<'_>) -> Result<String, Reported> {
    let text = literal(node, load)?;
    match Path::parse(&format!("a@{text}")) {
        Ok(path) if path.domain() == Some(&text) => Ok(text),
        _ => Err(load.problems.error(
            &node.span,
            format!("`{text}` is no domain"),
            "one such as example.org is wanted, exactly that is meant",
        )),
    }
}

fn address(node: &Node, load: &mut Load<'_>) -> Result<String, Reported> {
    let text = literal(node, load)?;
    match Path::parse(&text) {
        Ok(path) if path.domain().is_some() && path.address() == text => Ok(text),
        _ => {
            Err(load.problems.error(&node.span, format!("`{text}` is no address"), "one such as a@example.org is wanted, without < and >"))
        }
    }
}

impl Action for Replace {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        for place in &self.places {
            run.check_time()?;
            match place {
                Place::Field(name) => {
                    let places = Choice::named(name).places(run);
                    edit(run, &places, |field| self.field(field));
                }
                Place::Sender => {
                    if let Some(path) = self.path(&run.mail.envelope.sender, run)? {
                        sender::put(run, path);
                    }
                }
                Place::Recipients => recipient::replace_each(run, |path, run| self.path(path, run))?,
            }
        }
        Ok(Flow::Next)
    }
}

impl Replace {
    fn field(&self, field: &Field) -> Field {
        let raw = field.raw_value();
        let mut new = Vec::with_capacity(raw.len());
        let mut done = 0;
        for mailbox in mailboxes(raw) {
            let range = match &self.what {
                What::Domain(_) => mailbox.domain_range.clone(),
                What::Address(_) => mailbox.range.clone(),
            };
            // Where a comma was forgotten, one address may end in the next.
            if range.start >= done && self.means(&mailbox) {
                new.extend_from_slice(&raw[done..range.start]);
                new.extend_from_slice(self.with.as_bytes());
                done = range.end;
            }
        }
        if done == 0 {
            return field.clone();
        }
        new.extend_from_slice(&raw[done..]);
        field.with_raw_value(&new)
    }

    fn means(&self, mailbox: &Mailbox) -> bool {
        let (local, domain) = (String::from_utf8_lossy(&mailbox.local), String::from_utf8_lossy(&mailbox.domain));
        self.is(&local, &domain)
    }

    fn is(&self, local: &str, domain: &str) -> bool {
        match &self.what {
            What::Domain(domains) => domains.iter().any(|wanted| *wanted == fold(domain)),
            What::Address(addresses) => addresses.iter().any(|wanted| *wanted == fold(&format!("{local}@{domain}"))),
        }
    }

    /// What an address of the envelope becomes, if it is meant.
    fn path(&self, path: &Path, run: &Run) -> Result<Option<Path>, ActionError> {
        let Some(domain) = path.domain().filter(|domain| self.is(path.local(), domain)) else { return Ok(None) };
        let new = match &self.what {
            What::Domain(_) if domain == self.with => return Ok(None),
            What::Domain(_) => path_of(&format!("{}@{}", path.local(), self.with), run)?,
            What::Address(_) => path_of(&self.with, run)?,
        };
        Ok((new != *path).then_some(new))
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::{after, mail, recipients, refused, ruling, ruling_of};
    use crate::smtp::path::Path;

    #[test]
    fn only_the_domain_itself_changes_in_a_field() {
        let before = "From: =?utf-8?Q?J=C3=B6rg?=  <j@OLD.example>\r\nTo: \"x@old.example, y\" <a.b@old.example>,\r\n\tTeam: b@old.example (of old.example), c@sub.old.example;\r\nCc: d@very-old.example, e@old.example.org,\r\n f@old.example\r\nSubject: a@old.example\r\n\r\n";
        let expected = before
            .replace("j@OLD.", "j@new.")
            .replace("a.b@old.", "a.b@new.")
            .replace("b@old.example (of", "b@new.example (of")
            .replace("f@old.", "f@new.");
        assert_eq!(after(before, &["address.replace: {in: [From, To, Cc], domain: old.example, with: new.example}"]), expected);
    }

    #[test]
    fn an_address_becomes_another_and_its_neighbours_stay() {
        let before = "To: Anna <Anna@old.example>, hanna@old.example,\r\n \"a b\"@old.example\r\nCc: anna @ old.example (x)\r\n\r\n";
        let left =
            after(before, &["address.replace: {in: [To, Cc], address: [anna@old.example, '\"a b\"@old.example'], with: desk@new.example}"]);
        assert_eq!(left, "To: Anna <desk@new.example>, hanna@old.example,\r\n desk@new.example\r\nCc: desk@new.example (x)\r\n\r\n");
    }

    #[test]
    fn the_envelope_changes_and_the_null_sender_stays() {
        let action = "address.replace: {in: [sender, recipients], domain: [old.example, outside.example], with: new.example}";
        assert_eq!(ruling("\r\n", &[action]).mail.envelope.sender.address(), "sender@new.example");
        assert_eq!(
            recipients(&["a@old.example", "a@new.example", "b@sub.old.example", "\"c d\"@OLD.example"], &[action]),
            ["a@new.example", "b@sub.old.example", "\"c d\"@new.example"]
        );
        let one = "address.replace: {in: recipients, address: A@old.example, with: c@x.example}";
        assert_eq!(recipients(&["a@old.example", "b@old.example"], &[one]), ["c@x.example", "b@old.example"]);
        let mut bounce = mail(b"\r\n");
        bounce.envelope.sender = Path::null();
        assert!(ruling_of(bounce, &[action]).mail.envelope.sender.is_null());
    }

    #[test]
    fn bytes_that_cannot_be_read_stay() {
        let before = "To: undisclosed-recipients:;\r\nCc: \"open <a@x.example\r\nTo: \r\n\r\n";
        assert_eq!(after(before, &["address.replace: {in: [To, Cc], domain: old.example, with: new.example}"]), before);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (settings, expected) in [
            ("{in: From, domain: .old.example, with: new.example}", "is no domain"),
            ("{in: From, domain: old.example, with: a@new.example}", "is no domain"),
            ("{in: From, domain: old.example, with: '${sender}'}", "only plain ASCII"),
            ("{in: From, address: a@old.example, with: new.example}", "is no address"),
            ("{in: From, address: a@x, domain: x, with: y}", "exclude each other"),
            ("{in: From, with: y}", "`domain` or `address`"),
            ("{in: recipient, domain: x, with: y}", "did you mean `recipients`?"),
            ("{in: [], domain: x, with: y}", "an empty list"),
            ("{domain: x, with: y}", "wants `in`"),
        ] {
            let told = refused(&format!("address.replace: {settings}"));
            assert!(told[0].contains(expected), "{settings}: {told:?}");
        }
    }
}
