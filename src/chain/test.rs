//! Tests of rules: `tests:` in a rule file.

use super::entry::Load;
use super::rule::Rule;
use crate::yaml::{Node, Reported};

/// One test.
#[derive(Debug)]
pub struct Test {
    pub name: String,
}

impl Test {
    /// # Errors
    /// [`Reported`], every mistake in it.
    pub fn load(node: &Node, rules: &[Rule], load: &mut Load<'_>) -> Result<Test, Reported> {
        let _ = rules;
        let mut settings = load.settings("a test", node)?;
        Ok(Test { name: settings.need("name", load.problems)? })
    }
}
