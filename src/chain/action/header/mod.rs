//! Actions on the outer header, and what they have in common: which fields are meant, and edits field by field.

pub mod add;
mod addresses;
pub mod append_text;
pub mod dedup;
pub mod hash;
pub mod mailboxes;
pub mod mask;
pub mod normalize_whitespace;
mod once;
pub mod prepend_text;
pub mod remove;
pub mod rename;
pub mod replace;
pub mod set;
pub mod sort;
pub mod sort_addresses;
pub mod sort_words;
pub mod strip_whitespace;
mod value;
mod whitespace;

use crate::chain::entry::{KeyDoc, Load};
use crate::chain::run::Run;
use crate::chain::string::{NameTest, StringTest, ValueTest, word};
use crate::chain::text::is_field_name;
use crate::message::Field;
use crate::message::received::is_own;
use crate::yaml::{FromNode, Node, Problems, Reported, Settings};

pub const NAME: KeyDoc = KeyDoc { name: "name", wants: "a field name, a list of them, or a string test", about: "Which fields are meant." };
pub const NAME_OR_ALL: KeyDoc =
    KeyDoc { name: "name", wants: "a field name, a list of them, or a string test", about: "Which fields are meant; all if absent." };
pub const ONE_NAME: KeyDoc = KeyDoc { name: "name", wants: "a field name", about: "The name of the field." };
pub const WHICH: KeyDoc =
    KeyDoc { name: "which", wants: "first, last or all", about: "Which of the fields that are meant; all if absent." };
pub const UNIQUE: KeyDoc =
    KeyDoc { name: "unique", wants: "true or false", about: "Whether only the first of equal ones stays; false if absent." };

pub const ONCE: KeyDoc = KeyDoc {
    name: "once",
    wants: "true or false",
    about: "Whether older copies of the text are taken out first: those at the same end of the value, in front also behind Re:, Fwd:, AW: and the like; false if absent.",
};

/// Which of several fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Which {
    First,
    Last,
    #[default]
    All,
}

impl FromNode for Which {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Which, Reported> {
        word(node, &[("first", Which::First), ("last", Which::Last), ("all", Which::All)], problems)
    }
}

/// Which fields an action means: those whose name and value both pass.
#[derive(Debug)]
pub struct Choice {
    name: Option<NameTest>,
    value: Option<ValueTest>,
    which: Which,
}

impl Choice {
    /// `name` and `which`.
    ///
    /// # Errors
    /// [`Reported`], every mistake in them.
    pub fn by_name(settings: &mut Settings<'_>, load: &mut Load<'_>) -> Result<Choice, Reported> {
        let name = super::settings::needed(settings, "name", load).and_then(|node| NameTest::load(node, load));
        let which = settings.take::<Which>("which", load.problems);
        Ok(Choice { name: Some(name?), value: None, which: which?.unwrap_or_default() })
    }

    /// `name`, value tests and `which`.
    ///
    /// # Errors
    /// [`Reported`], every mistake in them.
    pub fn by_name_and_value(settings: &mut Settings<'_>, load: &mut Load<'_>) -> Result<Choice, Reported> {
        let known = load.groups.clone();
        let choice = Choice::by_name(settings, load);
        let value = StringTest::take(settings, load);
        // Texts name groups of `when` and of the own `matches`, not of these tests.
        load.groups = known;
        Ok(Choice { value: value?, ..choice? })
    }

    /// `name`, which may be absent: all fields then.
    ///
    /// # Errors
    /// [`Reported`], every mistake in it.
    pub fn any_named(settings: &mut Settings<'_>, load: &mut Load<'_>) -> Result<Choice, Reported> {
        Ok(Choice { name: NameTest::take(settings, "name", load)?, value: None, which: Which::All })
    }

    /// `name`, which may be absent, and `which`.
    ///
    /// # Errors
    /// [`Reported`], every mistake in them.
    pub fn all_or_named(settings: &mut Settings<'_>, load: &mut Load<'_>) -> Result<Choice, Reported> {
        let name = NameTest::take(settings, "name", load);
        let which = settings.take::<Which>("which", load.problems);
        Ok(Choice { name: name?, value: None, which: which?.unwrap_or_default() })
    }

    /// All fields of that name.
    #[must_use]
    pub fn named(name: &str) -> Choice {
        Choice { name: Some(NameTest::of(name)), value: None, which: Which::All }
    }

    /// Whether the name of a field passes. A line without a name never does.
    #[must_use]
    pub fn takes_name(&self, name: &[u8]) -> bool {
        !name.is_empty() && self.name.as_ref().is_none_or(|test| test.holds(name))
    }

    /// The places of the fields meant, in order. A `Received` of our own is never meant: without it a loop would not be seen (SEMANTICS 19).
    #[must_use]
    pub fn places(&self, run: &Run) -> Vec<usize> {
        let mut places = self.passing(run);
        places.retain(|place| !is_own(&run.mail.message.fields()[*place], &run.mail.origin.token));
        match self.which {
            Which::First => places.truncate(1),
            Which::Last => drop(places.drain(..places.len().saturating_sub(1))),
            Which::All => {}
        }
        places
    }

    /// The places of all fields that pass, for an action that takes none away.
    #[must_use]
    pub fn passing(&self, run: &Run) -> Vec<usize> {
        let value = |field: &Field| self.value.as_ref().is_none_or(|test| test.holds(Some(&field.value())));
        let passes = |field: &Field| self.takes_name(field.name()) && value(field);
        run.mail.message.fields().iter().enumerate().filter(|(_, field)| passes(field)).map(|(place, _)| place).collect()
    }
}

/// The name of a field to be made.
///
/// # Errors
/// [`Reported`] if it is absent or no field could bear it.
pub fn new_name(settings: &mut Settings<'_>, key: &'static str, load: &mut Load<'_>) -> Result<String, Reported> {
    let node = super::settings::needed(settings, key, load)?;
    let name = String::from_node(node, load.problems)?;
    if is_field_name(&name) {
        return Ok(name);
    }
    Err(load.problems.error(
        &node.span,
        format!("`{name}` is no field name"),
        "letters, digits and dashes are wanted, without colon or blank",
    ))
}

/// Replaces the fields at `places` by what `edit` makes of each; where that is the same bytes, nothing happens.
pub fn edit(run: &mut Run, places: &[usize], mut edit: impl FnMut(&Field) -> Field) {
    for &place in places {
        let before = &run.mail.message.fields()[place];
        let after = edit(before);
        if after.raw() != before.raw() {
            let before = run.is_traced().then(|| before.clone());
            tell(run, before.as_ref(), Some(&after));
            run.mail.message.replace_field(place, after);
        }
    }
}

/// A text that is put to the Subject makes one where there is none; for after the edit, so that it does not stand there twice.
pub fn make_missing_subject(run: &mut Run, fields: &Choice, text: &str) {
    let missing = !run.mail.message.fields().iter().any(|field| field.is("Subject"));
    if missing && fields.takes_name(b"Subject") {
        let field = Field::new("Subject", text.trim());
        tell(run, None, Some(&field));
        run.mail.message.insert_field(0, field);
    }
}

/// Takes the fields at `places`, which are in order, out.
pub fn take_out(run: &mut Run, places: &[usize]) {
    let told = if run.is_traced() { places } else { &[] };
    for &place in told {
        let field = run.mail.message.fields()[place].clone();
        tell(run, Some(&field), None);
    }
    for &place in places.iter().rev() {
        run.mail.message.remove_field(place);
    }
}

/// Puts a new field on top (SEMANTICS 21: above the existing ones).
pub fn put_on_top(run: &mut Run, name: &str, value: &str) {
    let field = Field::new(name, value);
    tell(run, None, Some(&field));
    run.mail.message.insert_field(0, field);
}

/// Tells `explain` of a field that came, went or changed.
fn tell(run: &mut Run, before: Option<&Field>, after: Option<&Field>) {
    if !run.is_traced() {
        return;
    }
    let name = before.or(after).map(|field| String::from_utf8_lossy(field.name()).into_owned()).unwrap_or_default();
    let shown = |field: Option<&Field>| field.map(|field| field.value().into_owned()).unwrap_or_default();
    let (old, new) = (shown(before), shown(after));
    if old == new {
        // Only folds, blanks or the name differ: then the bytes are what there is to see.
        let raw = |field: Option<&Field>| field.map(|field| String::from_utf8_lossy(field.raw()).trim_end().to_owned()).unwrap_or_default();
        run.edited(&name, &raw(before), &raw(after));
    } else {
        run.edited(&name, &old, &new);
    }
}
