//! `transom schema`: JSON Schema for editors, from the lists of keys, conditions and actions.
//!
//! It is made to accept whatever Transom accepts: where the manual's words for a value are none that are known here, anything may stand.

use serde_json::{Map, Value, json};

use super::{Exit, Global, say};
use crate::chain::entry::{Entry, KeyDoc};
use crate::chain::string::VALUE_TESTS;
use crate::chain::{action, condition, rule};
use crate::config;
use crate::yaml::manual::{self, Holds, Key};

const EXAMPLES: &str = "\
Examples:
  transom schema > transom.schema.json
  transom schema rules > rules.schema.json

An editor that knows YAML takes it, the Red Hat extension by a first line such as
  # yaml-language-server: $schema=rules.schema.json";

/// JSON Schema for editors: completes keys and marks mistakes as you write
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Of which file
    #[arg(default_value = "configuration")]
    file: File,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum File {
    /// transom.yaml
    Configuration,
    /// Rule files
    Rules,
}

/// Shows the schema.
pub fn run(Args { file }: Args, _: &Global) -> Exit {
    let schema = match file {
        File::Configuration => document("The configuration of Transom", config::KEYS),
        File::Rules => document("A rule file of Transom", rule::KEYS),
    };
    say(&format!("{schema:#}\n"))
}

fn document(title: &str, keys: &[Key]) -> Value {
    let mut schema = mapping(keys);
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    schema["title"] = title.into();
    schema["definitions"] = definitions();
    schema
}

/// Keys that stand beside the documented ones wherever values are tested.
const LOGIC: [&str; 5] = ["all", "any", "not", "case", "unicode"];

fn definitions() -> Value {
    let mut all = Map::new();
    let text = || json!({"type": ["string", "number", "boolean"]});
    let mut tests = properties(&[VALUE_TESTS]);
    tests.extend(LOGIC.iter().map(|name| ((*name).to_owned(), json!({}))));
    let tests = json!({"type": "object", "properties": tests, "additionalProperties": false, "minProperties": 1});
    all.insert("tests".to_owned(), json!({"anyOf": [text(), {"type": "array", "items": text(), "minItems": 1}, tests]}));
    let conditions = entries("condition", condition::ENTRIES, &mut all);
    all.insert(
        "condition".to_owned(),
        json!({"anyOf": [{"type": "boolean"}, {
            "type": "object", "minProperties": 1, "additionalProperties": false, "properties": conditions,
        }]}),
    );
    let actions = entries("action", action::ENTRIES, &mut all);
    let names: Vec<&str> = action::ENTRIES.iter().map(|entry| entry.name).collect();
    all.insert(
        "action".to_owned(),
        json!({"anyOf": [{"enum": names}, {
            "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false, "properties": actions,
        }]}),
    );
    Value::Object(all)
}

/// A definition for each entry, and the properties that refer to them.
fn entries<T: ?Sized>(kind: &str, entries: &[&'static Entry<T>], all: &mut Map<String, Value>) -> Map<String, Value> {
    let mut properties = Map::new();
    for entry in entries {
        let name = format!("{kind}.{}", entry.name);
        properties.insert(entry.name.to_owned(), json!({"$ref": format!("#/definitions/{name}")}));
        let mut schema = settings(entry.keys);
        schema["description"] = format!("{}\n\nExample:\n{}", entry.about, entry.example).into();
        all.insert(name, schema);
    }
    properties
}

/// What stands under the name of an action or a condition.
fn settings(keys: &[KeyDoc]) -> Value {
    match keys {
        [] => json!({"type": ["null", "object"], "maxProperties": 0}),
        [KeyDoc { name: "", wants, .. }] => value(wants),
        _ => {
            let mut properties = properties(keys);
            for name in LOGIC {
                properties.entry(name).or_insert_with(|| json!({}));
            }
            // One needed value may be written short.
            let short = json!({"type": ["string", "number", "boolean", "array", "null"]});
            json!({"anyOf": [short, {"type": "object", "properties": properties, "additionalProperties": false}]})
        }
    }
}

fn properties(keys: &[KeyDoc]) -> Map<String, Value> {
    let mut properties = Map::new();
    for key in keys {
        let names: Vec<&str> = key.name.split(", ").collect();
        for name in &names {
            // Words about several keys at once are too wide for each of them, but for numbers.
            let mut schema = if names.len() == 1 || key.wants.starts_with("a number") { value(key.wants) } else { json!({}) };
            schema["description"] = format!("{} ({})", key.about, key.wants).into();
            properties.insert((*name).to_owned(), schema);
        }
    }
    properties
}

/// A mapping of documented keys.
fn mapping(keys: &[Key]) -> Value {
    let property = |key: &Key| {
        let mut schema = match key.holds {
            // A section may be empty: then all its keys are as if absent.
            Holds::Section(keys) if keys.iter().all(|key| !key.needed) => json!({"anyOf": [{"type": "null"}, mapping(keys)]}),
            Holds::Section(keys) => mapping(keys),
            Holds::List(keys) => json!({"type": ["array", "null"], "items": mapping(keys)}),
            Holds::Named(keys) => json!({"type": ["object", "null"], "additionalProperties": mapping(keys)}),
            Holds::Default(_) | Holds::Example(_) => value(key.wants),
        };
        schema["description"] = key.about.into();
        if let Holds::Default(default) = key.holds {
            schema["default"] = default.into();
        }
        (key.name.to_owned(), schema)
    };
    let needed: Vec<&str> = keys.iter().filter(|key| key.needed).map(|key| key.name).collect();
    let mut schema =
        json!({"type": "object", "properties": keys.iter().map(property).collect::<Map<_, _>>(), "additionalProperties": false});
    if !needed.is_empty() {
        schema["required"] = needed.into();
    }
    schema
}

/// The schema of what the manual says is wanted.
fn value(wants: &str) -> Value {
    let text = || json!({"type": ["string", "number", "boolean"]});
    let condition = || json!({"$ref": "#/definitions/condition"});
    let begins = |words: &[&str]| words.iter().any(|word| wants == *word || wants.starts_with(&format!("{word} such as")));
    if let Some(name) = wants.strip_prefix("the settings of the condition `") {
        let name = name.trim_end_matches('`');
        return json!({"$ref": format!("#/definitions/condition.{name}")});
    }
    match wants {
        // A number where it has no quotes.
        "a domain or an address" | "a host name or an address" | "a SHA-256 in hex or base64" => return text(),
        "1.2 or 1.3" => return json!({"enum": ["1.2", "1.3", 1.2, 1.3]}),
        "true or false" => return json!({"type": "boolean"}),
        "file:PATH or env:NAME" => return json!({"type": "string", "pattern": "^(file|env):."}),
        "string tests" => return json!({"$ref": "#/definitions/tests"}),
        manual::CONDITION => return condition(),
        manual::CONDITIONS => return json!({"type": "object", "additionalProperties": condition()}),
        manual::ACTIONS => return json!({"type": "array", "items": {"$ref": "#/definitions/action"}}),
        "a list of conditions" => return json!({"type": "array", "items": condition(), "minItems": 1}),
        _ => {}
    }
    if let Some(words) = words(wants) {
        return json!({"enum": words});
    }
    if begins(&["a size"]) {
        json!({"type": ["string", "integer"], "pattern": r"^[0-9]+(\.[0-9]+)? *(B|kB|KB|MB|GB|TB|KiB|MiB|GiB)?$"})
    } else if begins(&["a time"]) {
        json!({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? *(ms|s|m|h|d|w)$"})
    } else if begins(&["a rate"]) {
        json!({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? *(B|kB|KB|MB|GB|TB|KiB|MiB|GiB)?/s$"})
    } else if begins(&["a whole number", "a number"]) {
        json!({"type": ["number", "string"]})
    } else if begins(&[
        "a text",
        "a word",
        "a name",
        "a path",
        "a host name",
        "a name under `routes`",
        "a field name",
        "a regular expression",
        "an address",
    ]) {
        text()
    } else if wants.starts_with("a list of ") {
        json!({"type": ["array", "null"]})
    } else {
        json!({})
    }
}

/// The words of "reject or normalize", "`a`, `b` or `c`"; none if other things may stand there.
fn words(wants: &str) -> Option<Vec<&str>> {
    let words: Vec<&str> = wants.split(" or ").flat_map(|part| part.split(", ")).map(|word| word.trim_matches('`')).collect();
    let plain = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    words.iter().all(plain).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::rule::{RuleFile, Shared};
    use crate::yaml::{Problems, Source, parse};

    #[test]
    fn words_are_taken_from_the_manual() {
        assert_eq!(words("reject or normalize"), Some(vec!["reject", "normalize"]));
        assert_eq!(words("`a`, `b` or `c`"), Some(vec!["a", "b", "c"]));
        assert_eq!(words("relay"), Some(vec!["relay"]));
        for other in ["a text", "`sender` or the name of a field", "a flag, or a list: one of them"] {
            assert_eq!(words(other), None, "{other}");
        }
    }

    #[test]
    fn every_entry_and_every_key_of_the_configuration_is_in_the_schema() {
        let schema = document("x", config::KEYS);
        let properties = |name: &str| &schema["definitions"][name]["anyOf"][1]["properties"];
        assert!(condition::ENTRIES.iter().all(|entry| properties("condition")[entry.name].is_object()));
        assert!(action::ENTRIES.iter().all(|entry| properties("action")[entry.name].is_object()));
        assert!(config::KEYS.iter().all(|key| schema["properties"][key.name].is_object()));
        assert_eq!(schema["required"], json!(["listeners", "relay"]));
    }

    /// The keys that a condition or an action knows, as it tells them when one is wrong.
    fn known(rules: &str) -> Option<Vec<String>> {
        let mut problems = Problems::default();
        let node = parse(&Source::new("rules.yaml", rules), &mut problems)?;
        RuleFile::load(&node, "rules.yaml".as_ref(), &mut Shared::default(), &mut problems);
        let told = problems.iter().find(|problem| problem.title.ends_with("`zzzzzzzz`"))?;
        Some(told.label.strip_prefix("known: ")?.split(", ").map(str::to_owned).collect())
    }

    #[test]
    fn every_key_that_a_condition_or_an_action_reads_is_in_the_manual() {
        let schema = definitions();
        let conditions = condition::ENTRIES.iter().map(|entry| ("condition", entry.name));
        let actions = action::ENTRIES.iter().map(|entry| ("action", entry.name));
        let mut checked = 0;
        for (kind, name) in conditions.chain(actions) {
            let rules = match kind {
                "condition" => format!("rules: [{{name: a, when: {{{name}: {{zzzzzzzz: 1}}}}, then: [discard]}}]"),
                _ => format!("rules: [{{name: a, then: [{{{name}: {{zzzzzzzz: 1}}}}]}}]"),
            };
            for key in known(&rules).unwrap_or_default() {
                checked += 1;
                let properties = &schema[format!("{kind}.{name}")]["anyOf"][1]["properties"];
                assert!(properties[&key].is_object(), "the {kind} `{name}` reads `{key}`, which its `keys` do not name");
            }
        }
        assert!(checked > 100, "{checked}");
    }

    /// What has a value of its own is narrower than "anything", so that an editor can complete it.
    #[test]
    fn what_the_configuration_wants_is_known() {
        fn check(keys: &[Key]) {
            for key in keys {
                let leaf = key.keys().is_empty();
                assert!(!leaf || key.wants.contains("list") || value(key.wants) != json!({}), "`{}` wants {}", key.name, key.wants);
                check(key.keys());
            }
        }
        check(config::KEYS);
    }
}
