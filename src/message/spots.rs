//! The stretches of a field's text that changes write anew. Encoded words are written as a whole, with what touches them; every other byte stays.

use std::ops::Range;

use super::field::Change;
use super::words::{self, Kind, Reading, Unit};

/// A stretch of the text that is written anew, with the changes inside it.
pub struct Spot<'a> {
    text: Range<usize>,
    changes: Vec<(Range<usize>, &'a str)>,
    /// Whether it must be written as encoded words.
    pub encode: bool,
}

impl<'a> Spot<'a> {
    fn new(reading: &Reading, change: &'a Change, lead: usize) -> Spot<'a> {
        let range = change.range.start + lead..change.range.end + lead;
        let with = &*change.with;
        let mut spot = Spot { text: range.clone(), changes: vec![(range, with)], encode: !words::is_plain(&words::in_one_line(with)) };
        // Encoded words are written as a whole; so are those that would touch the new text.
        for unit in near(reading, &spot.text).iter().filter(|unit| unit.kind == Kind::Word) {
            let Range { start, end } = unit.text;
            let overlaps = spot.text.start < end && start < spot.text.end;
            let inside = spot.text.is_empty() && start < spot.text.start && spot.text.start < end;
            let touches_left = end == spot.text.start && !with.starts_with([' ', '\t']) && !with.is_empty();
            let touches_right = start == spot.text.end && !with.ends_with([' ', '\t']) && !with.is_empty();
            if overlaps || inside || touches_left || touches_right {
                spot.text = spot.text.start.min(start)..spot.text.end.max(end);
                spot.encode = true;
            }
        }
        // Blanks between encoded words are no text: where nothing else is left between two, they become one.
        spot.encode |= (spot.text.is_empty() || with.trim_matches([' ', '\t']).is_empty()) && spot.is_between_words(reading);
        if spot.encode {
            spot.widen(reading);
        }
        spot
    }

    fn is_between_words(&self, reading: &Reading) -> bool {
        let around = self.with_blanks(&reading.text);
        let words = || near(reading, &around).iter().filter(|unit| unit.kind == Kind::Word);
        words().any(|unit| (around.start..=self.text.start).contains(&unit.text.end))
            && words().any(|unit| (self.text.end..=around.end).contains(&unit.text.start))
    }

    /// The stretch with the blanks around it.
    fn with_blanks(&self, text: &str) -> Range<usize> {
        let blank = [' ', '\t'];
        let left = text[..self.text.start].trim_end_matches(blank).len();
        let right = text.len() - text[self.text.end..].trim_start_matches(blank).len();
        left..right
    }

    /// Encoded words stand between blanks (RFC 2047 5): the stretch goes on to the next ones, and takes blanks between it and another encoded word in.
    fn widen(&mut self, reading: &Reading) {
        let text = &reading.text;
        let blank = [' ', '\t'];
        self.text.start = text[..self.text.start].rfind(blank).map_or(0, |at| at + 1);
        self.text.end = text[self.text.end..].find(blank).map_or(text.len(), |at| self.text.end + at);
        for unit in near(reading, &self.with_blanks(text)).iter().filter(|unit| unit.kind == Kind::Word) {
            let Range { start, end } = unit.text;
            if end <= self.text.start && text[end..self.text.start].trim_matches(blank).is_empty() {
                self.text.start = self.text.start.min(start);
            }
            if start >= self.text.end && text[self.text.end..start].trim_matches(blank).is_empty() {
                self.text.end = self.text.end.max(end);
            }
            if start < self.text.end && self.text.start < end {
                self.text = self.text.start.min(start)..self.text.end.max(end);
            }
        }
    }

    /// The bytes it stands for. Folds at its edges stay outside.
    pub fn raw(&self, reading: &Reading) -> Range<usize> {
        let last = |at: usize| reading.units.partition_point(|unit| unit.text.start < at);
        let before =
            |at: usize| reading.units[..last(at)].iter().rev().find(|unit| !unit.text.is_empty()).map_or(0, |unit| place(unit, at));
        let end = before(self.text.end);
        if self.text.is_empty() {
            return end..end;
        }
        let first = reading.units.partition_point(|unit| unit.text.end <= self.text.start);
        let start = reading.units.get(first).map_or(end, |unit| place(unit, self.text.start));
        start..end.max(start)
    }

    pub fn new_text(&self, reading: &Reading) -> String {
        let mut out = String::new();
        let mut at = self.text.start;
        for (range, with) in &self.changes {
            out.push_str(&reading.text[at..range.start]);
            out.push_str(&words::in_one_line(with));
            at = range.end;
        }
        out.push_str(&reading.text[at..self.text.end]);
        out
    }
}

/// The units that overlap or touch a stretch of the text.
fn near<'a>(reading: &'a Reading, text: &Range<usize>) -> &'a [Unit] {
    let first = reading.units.partition_point(|unit| unit.text.end < text.start);
    let last = reading.units.partition_point(|unit| unit.text.start <= text.end);
    &reading.units[first..last.max(first)]
}

/// The byte at which a place in a unit's text lies.
fn place(unit: &Unit, at: usize) -> usize {
    if at >= unit.text.end {
        unit.raw.end
    } else if unit.raw.len() == unit.text.len() {
        unit.raw.start + (at - unit.text.start)
    } else {
        unit.raw.start
    }
}

/// The stretches to write anew; those that overlap are one.
#[must_use]
pub fn spots<'a>(reading: &Reading, changes: impl Iterator<Item = &'a Change>, lead: usize) -> Vec<Spot<'a>> {
    let mut merged: Vec<Spot<'a>> = Vec::new();
    for change in changes {
        let range = change.range.start + lead..change.range.end + lead;
        // Inside one that is written anew anyway: no need to look around again.
        if let Some(last) = merged.last_mut().filter(|last| last.encode && range.end < last.text.end) {
            last.changes.push((range, &change.with));
            continue;
        }
        let spot = Spot::new(reading, change, lead);
        match merged.last_mut() {
            Some(last) if spot.text.start < last.text.end || (spot.text.start == last.text.end && (spot.encode || last.encode)) => {
                last.text = last.text.start.min(spot.text.start)..last.text.end.max(spot.text.end);
                last.encode |= spot.encode;
                last.changes.extend(spot.changes);
            }
            _ => merged.push(spot),
        }
    }
    merged
}
