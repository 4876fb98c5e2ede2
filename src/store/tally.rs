//! How often each rule was asked and what became of it, by day: gathered in memory, written in batches, off the way of the mail.
//!
//! | the counts of a rule and a day | where |
//! |---|---|
//! | since the last writing | [`Gathered`], in memory: at most [`MOST`] rules and days |
//! | being written | with the committer; come back if that fails |
//! | written | the table `tally`, for [`KEPT`] |
//!
//! Beside that the sums since this process began stay in memory, for whoever watches it ([`Store::since_start`]).
//!
//! What a crash loses is what came since the last writing; no mail depends on it.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

use super::committer::{Bench, Committer};
use super::content::Files;
use super::record::{damaged, json, parse};
use super::{Store, StoreError};

/// Rules and days held in memory at most: what a configuration has, many times over.
const MOST: usize = 20_000;
/// Messages that are named for a rule, the latest ones.
const NAMED: usize = 3;
/// Days that counts are kept.
const KEPT: i64 = 400;
const DAY: i64 = 86_400;

/// What became of one rule for one message.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is counted by itself")]
pub struct Count<'a> {
    pub rule: &'a Arc<str>,
    pub observed: bool,
    pub fired: bool,
    pub failed: bool,
    /// In force it would have made something else of the message.
    pub different: bool,
}

/// The counts of one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that it was asked about.
    pub seen: u64,
    pub fired: u64,
    pub errors: u64,
    /// Messages that would have come out differently were it in force.
    pub different: u64,
    /// When it fired last.
    pub last: Option<Timestamp>,
    /// The latest messages it fired for, newest first.
    pub messages: Vec<String>,
}

/// A rule with its counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub rule: String,
    pub observed: bool,
    pub tally: Tally,
}

/// A rule, whether it is only observed, and the day, counted from 1970. A rule is known by its place in memory, which is looked up sooner than its name; two of
/// one name, from before and after a reload, come together when they are written.
#[derive(Clone, Debug)]
pub(super) struct Key {
    rule: Arc<str>,
    observed: bool,
    day: i64,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Of one rule there are a few at most.
        self.rule.as_ptr().hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        Arc::ptr_eq(&self.rule, &other.rule) && (self.observed, self.day) == (other.observed, other.day)
    }
}

impl Eq for Key {}

/// The counts of one rule since this process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub seen: u64,
    pub fired: u64,
    pub errors: u64,
}

/// The sums by rule, and whether it is only observed.
pub type Sums = HashMap<(Arc<str>, bool), Sum>;

/// What was not written yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    new: HashMap<Key, Tally>,
    /// Of what was handed to the committer.
    before: Sums,
}

/// Adds counts to sums, or takes them away again. At most [`MOST`] rules have one.
fn sum_up(sums: &mut Sums, counts: &HashMap<Key, Tally>, with: fn(u64, u64) -> u64) {
    for (key, tally) in counts {
        let name = (Arc::clone(&key.rule), key.observed);
        if sums.len() < MOST || sums.contains_key(&name) {
            let sum = sums.entry(name).or_default();
            *sum = Sum { seen: with(sum.seen, tally.seen), fired: with(sum.fired, tally.fired), errors: with(sum.errors, tally.errors) };
        }
    }
}

impl Tally {
    /// Adds what became of the rule for one message.
    fn note(&mut self, count: &Count<'_>, message: &str, time: Timestamp) {
        self.seen += 1;
        self.errors += u64::from(count.failed);
        self.different += u64::from(count.different);
        if !count.fired {
            return;
        }
        self.fired += 1;
        if Some(time) < self.last {
            self.messages.push(message.to_owned());
            self.messages.truncate(NAMED);
            return;
        }
        self.last = Some(time);
        // The oldest one's room is used again.
        let mut newest = if self.messages.len() < NAMED { String::new() } else { self.messages.pop().unwrap_or_default() };
        newest.clear();
        newest.push_str(message);
        self.messages.insert(0, newest);
    }

    /// Adds counts of the same rule, from before or after these.
    fn add(&mut self, other: &Tally) {
        self.seen += other.seen;
        self.fired += other.fired;
        self.errors += other.errors;
        self.different += other.different;
        if other.last.is_none() {
            return;
        }
        let (newer, older) = if other.last >= self.last { (other, &*self) } else { (&*self, other) };
        let messages = newer.messages.iter().chain(&older.messages).take(NAMED).cloned().collect();
        (self.last, self.messages) = (newer.last, messages);
    }
}

impl Gathered {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count<'a>(&self, message: &str, time: Timestamp, counts: impl Iterator<Item = Count<'a>>) {
        let day = time.as_second().div_euclid(DAY);
        let known = &mut self.lock().new;
        for count in counts {
            let key = Key { rule: Arc::clone(count.rule), observed: count.observed, day };
            if known.len() >= MOST && !known.contains_key(&key) {
                continue;
            }
            known.entry(key).or_default().note(&count, message, time);
        }
    }

    /// Hands all that was gathered to the committer. What it cannot write is gathered again.
    pub(super) fn write(&self, committer: &Committer, today: i64) {
        let taken = {
            let Open { new, before } = &mut *self.lock();
            let taken = std::mem::take(new);
            sum_up(before, &taken, u64::wrapping_add);
            taken
        };
        if taken.is_empty() {
            return;
        }
        let taken = Arc::new(taken);
        let (written, back) = (Arc::clone(&taken), self.clone());
        let work = move |bench: &mut Bench<'_>| {
            let oldest = today - KEPT;
            bench.sql.prepare_cached("DELETE FROM tally WHERE day < ?1")?.execute([oldest])?;
            written.iter().try_for_each(|(key, tally)| add(bench.sql, key, tally))
        };
        committer.submit(Files::none(), work, move |done| {
            if done.is_err() {
                let Open { new, before } = &mut *back.lock();
                sum_up(before, &taken, u64::wrapping_sub);
                for (key, tally) in &*taken {
                    new.entry(key.clone()).or_default().add(tally);
                }
            }
        });
    }
}

fn add(sql: &rusqlite::Connection, Key { rule, observed, day }: &Key, tally: &Tally) -> Result<(), StoreError> {
    let known = "SELECT seen, fired, errors, different, last, messages FROM tally WHERE rule = ?1 AND observed = ?2 AND day = ?3";
    let known = sql.prepare_cached(known)?.query_row(params![rule, observed, day], |row| Ok(read(row, 0))).optional()?;
    let mut sum = known.transpose()?.unwrap_or_default();
    sum.add(tally);
    let Tally { seen, fired, errors, different, last, messages } = &sum;
    sql.prepare_cached("INSERT OR REPLACE INTO tally VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?.execute(params![
        rule,
        observed,
        day,
        seen,
        fired,
        errors,
        different,
        last.map(Timestamp::as_microsecond),
        json(messages)
    ])?;
    Ok(())
}

/// Six columns, the first at `first`.
fn read(row: &Row<'_>, first: usize) -> Result<Tally, StoreError> {
    let last: Option<i64> = row.get(first + 4)?;
    Ok(Tally {
        seen: row.get(first)?,
        fired: row.get(first + 1)?,
        errors: row.get(first + 2)?,
        different: row.get(first + 3)?,
        last: last.map(Timestamp::from_microsecond).transpose().map_err(|error| damaged(&error))?,
        messages: parse(&row.get::<_, String>(first + 5)?)?,
    })
}

/// The day of a time, counted from 1970.
pub(super) fn day(time: Timestamp) -> i64 {
    time.as_second().div_euclid(DAY)
}

impl Store {
    /// Counts what became of the rules for one message. In memory only; costs no more than a look-up each.
    pub fn count<'a>(&self, message: &str, time: Timestamp, counts: impl Iterator<Item = Count<'a>>) {
        self.inner.gathered.count(message, time, counts);
    }

    /// What became of each rule since this process began. It costs a look at each; not for every message.
    pub fn since_start(&self) -> Sums {
        let Open { new, before } = &*self.inner.gathered.lock();
        let mut sums = before.clone();
        sum_up(&mut sums, new, u64::wrapping_add);
        sums
    }

    /// Queues what was counted since the last time to be written. Dropping the store does the same.
    pub fn write_counts(&self, now: Timestamp) {
        self.inner.gathered.write(&self.inner.committer, day(now));
    }

    /// The counts of every rule since the day of `now - since`, by name.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn counts(&self, now: Timestamp, since: Duration) -> Result<Vec<Told>, StoreError> {
        let first = day(now).saturating_sub_unsigned(since.as_secs().div_ceil(DAY.unsigned_abs()));
        self.read(|sql| {
            let query = "SELECT rule, observed, seen, fired, errors, different, last, messages FROM tally WHERE day >= ?1 ORDER BY rule, observed, day";
            let mut statement = sql.prepare_cached(query)?;
            let mut rows = statement.query([first])?;
            let mut told: Vec<Told> = Vec::new();
            while let Some(row) = rows.next()? {
                let (rule, observed): (String, bool) = (row.get(0)?, row.get(1)?);
                let tally = read(row, 2)?;
                match told.last_mut().filter(|known| known.rule == rule && known.observed == observed) {
                    Some(known) => known.tally.add(&tally),
                    None => told.push(Told { rule, observed, tally }),
                }
            }
            Ok(told)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Limits;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn count(rule: &Arc<str>, fired: bool) -> Count<'_> {
        Count { rule, observed: false, fired, failed: false, different: false }
    }

    fn open(dir: &tempfile::TempDir) -> Store {
        Store::open(dir.path(), Limits::default()).unwrap()
    }

    const WEEK: Duration = Duration::from_hours(7 * 24);

    #[test]
    fn counts_add_up_over_days_writings_and_processes() {
        let dir = tempfile::tempdir().unwrap();
        let rule = Arc::from("hold");
        for (number, day) in ["2026-11-01", "2026-11-19", "2026-11-20", "2026-11-20", "2026-11-21"].into_iter().enumerate() {
            let store = open(&dir);
            let at = time(&format!("{day}T10:00:0{number}Z"));
            store.count(&format!("M{number}"), at, [count(&rule, true)].into_iter());
            store.count("not", at, [Count { failed: true, ..count(&rule, false) }].into_iter());
            store.write_counts(at);
            store.count("not", at, [Count { observed: true, different: true, ..count(&rule, false) }].into_iter());
        }
        let told = open(&dir).counts(time("2026-11-21T12:00:00Z"), WEEK).unwrap();
        let tally = Tally {
            seen: 8,
            fired: 4,
            errors: 4,
            different: 0,
            last: Some(time("2026-11-21T10:00:04Z")),
            messages: vec!["M4".into(), "M3".into(), "M2".into()],
        };
        assert_eq!(told[0], Told { rule: "hold".into(), observed: false, tally });
        assert_eq!((told.len(), told[1].observed, told[1].tally.seen, told[1].tally.different), (2, true, 4, 4));
        let today = open(&dir).counts(time("2026-11-21T12:00:00Z"), Duration::ZERO).unwrap();
        assert_eq!(today[0].tally.fired, 1);
    }

    #[test]
    fn rules_of_one_name_come_together() {
        let dir = tempfile::tempdir().unwrap();
        let (store, now) = (open(&dir), time("2026-11-21T12:00:00Z"));
        let (before, after): (Arc<str>, Arc<str>) = (Arc::from("a"), Arc::from("a"));
        store.count("M1", now, [count(&before, true), count(&after, true)].into_iter());
        store.write_counts(now);
        store.change_blocking(|_| Ok(())).unwrap();
        let told = store.counts(now, WEEK).unwrap();
        assert_eq!((told.len(), told[0].tally.seen, told[0].tally.fired), (1, 2, 2));
    }

    #[test]
    fn what_cannot_be_written_is_kept_for_the_next_time() {
        let dir = tempfile::tempdir().unwrap();
        let (store, rule, now) = (open(&dir), Arc::from("a"), time("2026-11-21T12:00:00Z"));
        store.change_blocking(|bench| Ok(bench.sql.execute_batch("ALTER TABLE tally RENAME TO away")?)).unwrap();
        store.count("M1", now, [count(&rule, true)].into_iter());
        store.write_counts(now);
        store.change_blocking(|bench| Ok(bench.sql.execute_batch("ALTER TABLE away RENAME TO tally")?)).unwrap();
        let sum = |fired| Sum { seen: fired, fired, errors: 0 };
        assert_eq!(store.since_start()[&(Arc::clone(&rule), false)], sum(1));
        store.count("M2", time("2026-11-21T12:00:01Z"), [count(&rule, true)].into_iter());
        store.write_counts(now);
        store.change_blocking(|_| Ok(())).unwrap();
        let told = store.counts(now, WEEK).unwrap();
        assert_eq!(store.since_start(), Sums::from([((rule, false), sum(2))]));
        assert_eq!((told[0].tally.fired, &told[0].tally.messages), (2, &vec!["M2".to_owned(), "M1".to_owned()]));
    }

    #[test]
    fn what_is_gathered_is_bounded_and_old_days_go() {
        let dir = tempfile::tempdir().unwrap();
        let (store, now) = (open(&dir), time("2026-11-21T12:00:00Z"));
        let rules: Vec<Arc<str>> = (0..MOST + 10).map(|number| Arc::from(number.to_string())).collect();
        store.count("M", time("2025-01-01T00:00:00Z"), rules.iter().map(|rule| count(rule, false)));
        assert_eq!(store.inner.gathered.lock().new.len(), MOST);
        store.write_counts(now);
        store.count("M", now, rules[..1].iter().map(|rule| count(rule, false)));
        store.write_counts(now);
        store.change_blocking(|_| Ok(())).unwrap();
        assert_eq!(store.counts(now, Duration::from_hours(24 * 10_000)).unwrap().len(), 1);
    }
}
