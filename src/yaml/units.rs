//! Sizes, times, rates, as the manual spells them.

use std::fmt;
use std::time::Duration;

use super::{FromNode, Node, Problems, Reported};

/// Bytes: `10MB` is 10⁶ bytes each, `10MiB` 2²⁰.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Bytes a second: `500B/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);

const SIZES: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

const TIMES: [(&str, u64); 6] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 7 * 86_400_000)];

/// A number with a unit of the table, as a whole number of the smallest; a fraction may stand before the unit: `1.5MB`.
fn measured(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = units.iter().find(|(name, _)| *name == unit.trim_start_matches(' '))?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 6 || fraction.contains('.') || number.ends_with('.') {
        return None;
    }
    let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<u64>().ok()?.checked_mul(factor)? / scale };
    whole.parse::<u64>().ok()?.checked_mul(factor)?.checked_add(part)
}

impl FromNode for Size {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Size, Reported> {
        let size = node.scalar().and_then(|text| measured(text, &SIZES)).filter(|size| i64::try_from(*size).is_ok());
        size.map(Size).ok_or_else(|| node.wants("a size such as 50MB or 10MiB", problems))
    }
}

impl FromNode for Rate {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Rate, Reported> {
        let size = node.scalar().and_then(|text| text.strip_suffix("/s")).and_then(|text| measured(text, &SIZES));
        size.map(Rate).ok_or_else(|| node.wants("a rate such as 500B/s or 1kB/s", problems))
    }
}

/// A length of time: at most ten years, so that a sum of two is always a time.
#[must_use]
pub fn time(text: &str) -> Option<Duration> {
    const LONGEST: u64 = 3660 * 86_400_000;
    measured(text, &TIMES).filter(|time| *time <= LONGEST).map(Duration::from_millis)
}

impl FromNode for Duration {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Duration, Reported> {
        node.scalar().and_then(time).ok_or_else(|| node.wants("a time such as 30s, 5m or 7d", problems))
    }
}

/// As an operator would write it: `50MB`, else `1048577B`.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SIZES
            .iter()
            .rev()
            .filter(|(name, _)| !["", "KB"].contains(name))
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        let (name, factor) = exact.unwrap_or(&("B", 1));
        write!(f, "{}{name}", self.0 / factor)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Size(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Source, parse};
    use super::*;

    fn read<T: FromNode>(text: &str) -> Option<T> {
        let mut problems = Problems::default();
        let node = parse(&Source::new("test.yaml", text), &mut problems).unwrap();
        T::from_node(&node, &mut problems).ok()
    }

    #[test]
    fn sizes_are_decimal_or_binary_by_their_unit() {
        for (text, bytes) in [
            ("50MB", 50_000_000),
            ("1MiB", 1 << 20),
            ("512", 512),
            ("0B", 0),
            ("1.5kB", 1500),
            ("10 MB", 10_000_000),
            ("50GB", 50_000_000_000),
        ] {
            assert_eq!(read::<Size>(text), Some(Size(bytes)), "{text}");
        }
        for wrong in ["fifty", "MB", "1.MB", ".5MB", "50mb", "50M", "-1B", "1e3", "99999999999GB", "1.2.3MB", "[1]"] {
            assert_eq!(read::<Size>(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_need_a_unit() {
        for (text, time) in [("30s", 30_000), ("5m", 300_000), ("7d", 604_800_000), ("200ms", 200), ("1.5h", 5_400_000), ("0s", 0)] {
            assert_eq!(read::<Duration>(text), Some(Duration::from_millis(time)), "{text}");
        }
        for wrong in ["30", "5 minutes", "m", "-1s", "9999999d", "1M"] {
            assert_eq!(read::<Duration>(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_rate_is_a_size_a_second() {
        assert_eq!(read::<Rate>("500B/s"), Some(Rate(500)));
        assert_eq!(read::<Rate>("500"), None);
        assert_eq!(read::<Rate>("500B"), None);
    }

    #[test]
    fn a_size_is_shown_as_it_would_be_written() {
        for text in ["50MB", "1MiB", "1GB", "1048577B", "500B", "0B"] {
            assert_eq!(read::<Size>(text).unwrap().to_string(), text);
        }
        assert_eq!(Rate(500).to_string(), "500B/s");
    }
}
