//! Who did what with a held mail, and when: a list in its row, made longer by the UPDATE that does it.

use jiff::Timestamp;

use super::StoreError;
use super::record::{damaged, json, parse};
use crate::base::clock;

/// Longer lists lose their oldest entry: somebody may try a release every minute.
pub(super) const MOST: usize = 100;

/// The new value of the column `history`, with the entry of [`entry`] as parameter `:deed` and [`MOST`] as `:most`.
pub(super) const APPENDED: &str =
    "json_insert(CASE WHEN json_array_length(history) < :most THEN history ELSE json_remove(history, '$[0]') END, '$[#]', json(:deed))";

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    pub time: Timestamp,
    /// The user of the process.
    pub who: String,
    pub what: String,
}

/// Something done now, as it stands in the list.
pub(super) fn entry(who: &str, what: &str) -> String {
    json(&(clock::now().as_microsecond(), who, what))
}

pub(super) fn read(column: &str) -> Result<Vec<Deed>, StoreError> {
    let deeds: Vec<(i64, String, String)> = parse(column)?;
    let deed = |(time, who, what)| {
        let time = Timestamp::from_microsecond(time).map_err(|error| damaged(&error))?;
        Ok(Deed { time, who, what })
    };
    deeds.into_iter().map(deed).collect()
}
