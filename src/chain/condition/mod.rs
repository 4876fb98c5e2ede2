//! The list of conditions.
