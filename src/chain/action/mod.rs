//! The list of actions.

use super::{Action, Entry};

/// Every action, in the order of the manual.
pub const ENTRIES: &[&Entry<dyn Action>] = &[];
