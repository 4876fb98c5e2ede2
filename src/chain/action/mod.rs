//! The list of actions.
