//! Sections of the files in the manual: `transom reference tests`, `transom reference relay.tls`.

use serde::Serialize;

use super::{HEADING, NAME, table};
use crate::chain::rule;
use crate::config;
use crate::yaml::manual::{self, Holds, Key};

/// A mapping of transom.yaml or of rule files, with its keys.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Section {
    /// Where it stands: `listeners.tls`.
    pub name: String,
    file: &'static str,
    pub about: &'static str,
    keys: Vec<Row>,
    /// In YAML, each key with its default or an example.
    example: String,
}

#[derive(Clone, Debug, Serialize)]
struct Row {
    name: &'static str,
    wants: &'static str,
    default: &'static str,
    needed: bool,
    about: &'static str,
}

/// All there are.
pub(super) fn all() -> Vec<Section> {
    let mut all = Vec::new();
    below("", "transom.yaml", config::KEYS, &mut all);
    below("", "rule files", rule::KEYS, &mut all);
    all
}

fn below(path: &str, file: &'static str, keys: &'static [Key], all: &mut Vec<Section>) {
    for key in keys.iter().filter(|key| !key.keys().is_empty()) {
        let name = format!("{path}{}", key.name);
        let keys = key.keys().iter().map(Row::of).collect();
        all.push(Section { name: name.clone(), file, about: key.about, keys, example: manual::example(std::slice::from_ref(key)) });
        below(&format!("{name}."), file, key.keys(), all);
    }
}

impl Row {
    fn of(key: &Key) -> Row {
        let default = if let Holds::Default(value) = key.holds { value } else { "" };
        Row { name: key.name, wants: key.wants, default, needed: key.needed, about: key.about }
    }
}

impl Section {
    /// Whether it is called so: by its path, or by the last word of it.
    pub fn is_called(&self, name: &str) -> bool {
        let name = name.replace("[]", "");
        self.name == name || self.name.rsplit('.').next() == Some(&name)
    }

    pub fn text(&self, width: Option<u16>) -> String {
        let rows = self.keys.iter().map(|row| {
            let absent = match row.default {
                _ if row.needed => "needed".to_owned(),
                "" => String::new(),
                value => format!("else {value}"),
            };
            (row, absent)
        });
        let rows: Vec<_> = rows.collect();
        let rows = rows.iter().map(|(row, absent)| vec![row.name, row.wants, absent, row.about]);
        let example: String = self.example.lines().flat_map(|line| ["    ", line, "\n"]).collect();
        [
            format!("{NAME}{}{NAME:#} (in {})\n", self.name, self.file),
            table([vec![self.about]], width),
            format!("\n{HEADING}Keys{HEADING:#}\n"),
            table(rows, width),
            format!("\n{HEADING}With every key{HEADING:#}\n"),
            example,
        ]
        .concat()
    }
}
