//! Sizes, times, rates, as CONFIG.md spells them.

/// Bytes: `10MB` is 10⁶ bytes each, `10MiB` 2²⁰.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Bytes a second: `500B/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);
