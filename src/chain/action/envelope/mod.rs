//! Actions on the envelope, and what makes their addresses safe.

pub mod recipient;
pub mod sender;

use std::ops::Range;

use regex::Captures;

use super::settings::needed;
use crate::chain::entry::{KeyDoc, Load};
use crate::chain::run::{ActionError, Run};
use crate::chain::text::{Filled, Place, Text};
use crate::smtp::path::Path;
use crate::yaml::{Reported, Settings};

pub const ADDRESS: KeyDoc = KeyDoc {
    name: "address",
    wants: "an address, without < and >",
    about: "The address. Alone it may be written short: `sender.set: a@example.org`.",
};

/// An address written in a rule file: itself, or a text that makes one.
#[derive(Debug)]
pub enum Address {
    Fixed(Path),
    Filled(Text),
}

impl Address {
    /// The address under `address`. One without values in it is checked now; only a sender may be null (`''` or `<>`).
    ///
    /// # Errors
    /// [`Reported`] if it is absent or none.
    pub fn load(settings: &mut Settings<'_>, may_be_null: bool, load: &mut Load<'_>) -> Result<Address, Reported> {
        let node = needed(settings, "address", load)?;
        let text = Text::load(node, None, load)?;
        let Some(literal) = text.as_literal() else { return Ok(Address::Filled(text)) };
        let bare = if literal == "<>" { "" } else { literal };
        match Path::parse(bare) {
            Ok(path) if may_be_null || !path.is_null() => Ok(Address::Fixed(path)),
            Ok(_) => Err(load.problems.error(&node.span, "a recipient cannot be empty", "an address such as a@example.org is wanted")),
            Err(wrong) => Err(load.problems.error(
                &node.span,
                format!("`{literal}` is no address: {wrong}"),
                "one such as a@example.org is wanted, without < and >",
            )),
        }
    }

    /// The address for this mail.
    ///
    /// # Errors
    /// The values do not make an address, or, for a recipient, one whose domain comes from the message and is not inside.
    pub fn of(&self, run: &Run, recipient: bool) -> Result<Path, ActionError> {
        match self {
            Address::Fixed(path) if path.is_null() => Ok(path.clone()),
            Address::Fixed(path) => path_of(path.address(), run),
            Address::Filled(text) => {
                let filled = text.fill_tracked(Place::Envelope, None, run)?;
                if recipient { recipient_of(&filled, run).and_then(|path| straight(&filled, path)) } else { path_of(&filled.text, run) }
            }
        }
    }
}

/// An address that was put together. What came out empty is none: only a rule file says `<>`.
pub fn path_of(text: &str, run: &Run) -> Result<Path, ActionError> {
    match Path::parse(text) {
        // RFC 6531 3.4: without SMTPUTF8 said for this message, no next hop could be told.
        Ok(path) if !path.is_ascii() && !run.mail.envelope.declared.smtputf8 => {
            Err(ActionError::Message(format!("`{path}` needs SMTPUTF8, which this message does not have")))
        }
        Ok(path) if !path.is_null() => Ok(path),
        Ok(_) => Err(ActionError::Message("the address came out empty".to_owned())),
        Err(wrong) => Err(ActionError::Message(format!("`{}` is no address: {wrong}", text.escape_debug()))),
    }
}

/// Letters by which a local part asks to be sent elsewhere.
const ROUTES: [char; 3] = ['%', '!', '@'];

/// A recipient that was put together. A stranger must not choose where mail goes (DESIGN decision 13), so a domain that is not wholly written in the rule file must be inside.
pub fn recipient_of(filled: &Filled, run: &Run) -> Result<Path, ActionError> {
    let path = path_of(&filled.text, run)?;
    let domain = path.domain().unwrap_or_default();
    // The path may have lost a source route in front, never anything behind: the domain is the end of the text.
    let start = filled.text.len() - domain.len();
    let chosen = filled.values.iter().any(|value| value.end > start && !value.is_empty());
    if chosen && !run.inside.has_domain(domain) {
        return Err(ActionError::Message(format!("`{path}` is not inside, and its domain comes from the message")));
    }
    Ok(path)
}

/// The recipient, unless a value brought a route into its local part: `victim%elsewhere@inside` asks the next hop to relay in our name, and permission lets no
/// stranger say it.
fn straight(filled: &Filled, path: Path) -> Result<Path, ActionError> {
    let local = filled.text.len() - path.domain().map_or(0, |domain| domain.len() + 1);
    let brought = |value: &Range<usize>| filled.text[value.start.min(local)..value.end.min(local)].contains(ROUTES);
    if filled.values.iter().any(brought) {
        return Err(ActionError::Message(format!("`{path}` hides a route in its local part, and that comes from the message")));
    }
    Ok(path)
}

/// An address with every match of a pattern replaced, and which of its bytes the rule file did not write; none if nothing matches.
pub fn replaced(address: &str, pattern: &regex::Regex, with: &Text, run: &Run) -> Result<Option<Filled>, ActionError> {
    let mut filled = Filled::default();
    let mut done = 0;
    let kept = |filled: &mut Filled, bytes: &str| {
        let start = filled.text.len();
        filled.text.push_str(bytes);
        filled.values.push(start..filled.text.len());
    };
    let found: Vec<Captures> = pattern.captures_iter(address).collect();
    for captures in &found {
        let range = captures.get_match().range();
        kept(&mut filled, &address[done..range.start]);
        let start = filled.text.len();
        let with = with.fill_tracked(Place::Envelope, Some(captures), run)?;
        filled.text.push_str(&with.text);
        filled.values.extend(with.values.into_iter().map(|value| start + value.start..start + value.end));
        done = range.end;
    }
    kept(&mut filled, &address[done..]);
    Ok((!found.is_empty()).then_some(filled))
}
