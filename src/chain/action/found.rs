//! What a pattern finds in a text, as changes of that text.

use std::sync::Arc;

use crate::chain::pattern::{Pattern, Searched};
use crate::chain::run::{ActionError, Run};
use crate::chain::text::{Filling, Place, Text};
use crate::message::Change;

/// So many matches go by between two looks at the clock.
const MATCHES: usize = 16;

/// What these changes counted.
pub fn charged(changes: &[Change]) -> u64 {
    changes.iter().map(|change| room(&change.with)).sum()
}

fn room(with: &str) -> u64 {
    (with.len() + size_of::<Change>()) as u64
}

/// The matches that become something else, and what.
///
/// # Errors
/// The text cannot be filled, or time or room for it is spent.
pub fn changes(pattern: &Pattern, searched: Searched<'_>, with: &Text, place: Place, run: &Run) -> Result<Vec<Change>, ActionError> {
    let text = searched.text;
    let mut changes = Vec::new();
    let mut add = |range: std::ops::Range<usize>, with: Arc<str>| {
        // What a rule makes is bounded like what it reads: a long text for each of many matches would fill the memory.
        if text[range.clone()] != *with {
            run.charge(room(&with))?;
            changes.push(Change { range, with });
        }
        Ok::<(), ActionError>(())
    };
    let in_time = |count: usize| if count.is_multiple_of(MATCHES) { run.check_time() } else { Ok(()) };
    let mut with = Filling::of(with, place);
    if with.names_groups() {
        for (count, found) in pattern.regex().captures_iter(text).enumerate() {
            in_time(count)?;
            add(found.get_match().range(), with.fill(Some(&found), run)?)?;
        }
    } else {
        for (count, range) in pattern.ranges(searched).enumerate() {
            in_time(count)?;
            add(range, with.fill(None, run)?)?;
        }
    }
    Ok(changes)
}
