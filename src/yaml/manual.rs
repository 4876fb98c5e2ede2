//! What the manual says of the keys of a mapping. The lists stand beside the code that reads them; a test holds both together.

#[cfg(test)]
use super::Problems;

/// What values want, where several keys want the same: the schema for editors knows these.
pub const SIZE: &str = "a size such as 50MB or 10MiB";
pub const TIME: &str = "a time such as 30s, 5m or 7d";
pub const RATE: &str = "a rate such as 500B/s";
pub const COUNT: &str = "a whole number";
pub const ADDRESS: &str = "an address such as 127.0.0.1:10025, \"[::1]:25\", unix:/run/transom.sock or systemd:NAME";
pub const CONDITION: &str = "a condition";
pub const CONDITIONS: &str = "names, each with a condition";
pub const ACTIONS: &str = "a list of actions";

/// One key: what it wants, what holds without it, and one sentence.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    /// "a size such as 50MB"; of a section: what kind it is.
    pub wants: &'static str,
    pub holds: Holds,
    pub about: &'static str,
    /// Whether it must be there.
    pub needed: bool,
}

/// What stands under a key.
#[derive(Clone, Copy, Debug)]
pub enum Holds {
    /// A value; this one, in YAML, if the key is absent.
    Default(&'static str),
    /// A value such as this one, in YAML; empty for a key that does not go with the others.
    Example(&'static str),
    /// A mapping of these keys.
    Section(&'static [Key]),
    /// A list of such mappings.
    List(&'static [Key]),
    /// Names of the operator's own, each with such a mapping.
    Named(&'static [Key]),
}

impl Key {
    /// A value that has a default.
    #[must_use]
    pub const fn or(name: &'static str, wants: &'static str, default: &'static str, about: &'static str) -> Key {
        Key { name, wants, holds: Holds::Default(default), about, needed: false }
    }

    /// A value that may be absent; `about` says what holds then.
    #[must_use]
    pub const fn may(name: &'static str, wants: &'static str, example: &'static str, about: &'static str) -> Key {
        Key { name, wants, holds: Holds::Example(example), about, needed: false }
    }

    /// A value that must be there.
    #[must_use]
    pub const fn need(name: &'static str, wants: &'static str, example: &'static str, about: &'static str) -> Key {
        Key { name, wants, holds: Holds::Example(example), about, needed: true }
    }

    /// A mapping.
    #[must_use]
    pub const fn section(name: &'static str, keys: &'static [Key], about: &'static str) -> Key {
        Key { name, wants: "a mapping", holds: Holds::Section(keys), about, needed: false }
    }

    /// A list of mappings.
    #[must_use]
    pub const fn list(name: &'static str, keys: &'static [Key], about: &'static str) -> Key {
        Key { name, wants: "a list of mappings", holds: Holds::List(keys), about, needed: false }
    }

    /// Names, each with a mapping.
    #[must_use]
    pub const fn named(name: &'static str, keys: &'static [Key], about: &'static str) -> Key {
        Key { name, wants: "names, each with a mapping", holds: Holds::Named(keys), about, needed: false }
    }

    /// The same, and it must be there.
    #[must_use]
    pub const fn needed(self) -> Key {
        Key { needed: true, ..self }
    }

    /// The keys below it.
    #[must_use]
    pub fn keys(&self) -> &'static [Key] {
        match self.holds {
            Holds::Section(keys) | Holds::List(keys) | Holds::Named(keys) => keys,
            Holds::Default(_) | Holds::Example(_) => &[],
        }
    }
}

/// All keys as a file in YAML, each with its default, else with an example.
#[must_use]
pub fn example(keys: &[Key]) -> String {
    let mut lines = Vec::new();
    write(keys, 0, &mut lines);
    lines.iter().map(|line| line.clone() + "\n").collect()
}

fn write(keys: &[Key], depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    for key in keys {
        match key.holds {
            Holds::Default(value) | Holds::Example(value) => {
                if !value.is_empty() {
                    let mut value = value.lines();
                    lines.push(format!("{indent}{}: {}", key.name, value.next().unwrap_or_default()));
                    lines.extend(value.map(|line| format!("{indent}{line}")));
                }
            }
            Holds::Section(inner) => {
                lines.push(format!("{indent}{}:", key.name));
                write(inner, depth + 1, lines);
            }
            Holds::List(inner) => {
                lines.push(format!("{indent}{}:", key.name));
                let start = lines.len();
                write(inner, depth + 2, lines);
                lines[start].replace_range(indent.len() + 2..indent.len() + 3, "-");
            }
            Holds::Named(inner) => {
                lines.extend([format!("{indent}{}:", key.name), format!("{indent}  example:")]);
                write(inner, depth + 2, lines);
            }
        }
    }
}

/// Compares a list with the code that reads it, both ways, one mapping after the other: `read` reads a file and reports what is wrong with it. For tests.
///
/// # Panics
/// When they differ.
#[cfg(test)]
pub fn assert_agree(keys: &'static [Key], mut read: impl FnMut(&str) -> Problems) {
    for (text, keys) in probes(keys) {
        let problems = read(&text);
        let told = problems.iter().find(|problem| problem.title.ends_with("`zzzzzzzz`"));
        let told = told.unwrap_or_else(|| panic!("{text} was read:\n{}", problems.render(false)));
        let mut known: Vec<_> =
            told.label.strip_prefix("known: ").unwrap_or_else(|| panic!("{text}: {}", told.label)).split(", ").collect();
        let mut documented: Vec<_> = keys.iter().map(|key| key.name).collect();
        known.sort_unstable();
        documented.sort_unstable();
        assert_eq!(
            known, documented,
            "{}: the keys that are read, and those the manual has: the list of `Key`s beside the reader",
            told.title
        );
        for key in keys {
            assert!(key.about.ends_with('.') && !key.wants.is_empty(), "`{}` is documented in whole sentences", key.name);
        }
    }
}

/// Files of one unknown key each, one for every mapping there is, with the keys that are documented for it.
#[cfg(test)]
fn probes(keys: &'static [Key]) -> Vec<(String, &'static [Key])> {
    fn visit(keys: &'static [Key], before: &str, after: &str, probes: &mut Vec<(String, &'static [Key])>) {
        probes.push((format!("{before}{{zzzzzzzz: 1}}{after}"), keys));
        for key in keys {
            let (open, close) = match key.holds {
                Holds::Section(_) => ("", ""),
                Holds::List(_) => ("[", "]"),
                Holds::Named(_) => ("{example: ", "}"),
                Holds::Default(_) | Holds::Example(_) => continue,
            };
            visit(key.keys(), &format!("{before}{{{}: {open}", key.name), &format!("{close}}}{after}"), probes);
        }
    }
    let mut probes = Vec::new();
    visit(keys, "", "", &mut probes);
    probes
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[Key] = &[
        Key::or("size", "a size such as 50MB", "50MB", "How big."),
        Key::list("doors", &[Key::need("address", "an address", "a:1", "Where."), Key::may("name", "a text", "x", "What.")], "Doors.")
            .needed(),
        Key::named("lists", &[Key::section("deep", &[Key::or("on", "true or false", "true", "Whether.")], "Deep.")], "Lists."),
    ];

    #[test]
    fn all_keys_make_a_file() {
        let expected = "size: 50MB\ndoors:\n  - address: a:1\n    name: x\nlists:\n  example:\n    deep:\n      on: true\n";
        assert_eq!(example(KEYS), expected);
    }

    #[test]
    fn every_mapping_is_probed_where_it_stands() {
        let probes: Vec<_> = probes(KEYS).into_iter().map(|(text, keys)| (text, keys.len())).collect();
        let expected = [
            ("{zzzzzzzz: 1}", 3),
            ("{doors: [{zzzzzzzz: 1}]}", 2),
            ("{lists: {example: {zzzzzzzz: 1}}}", 1),
            ("{lists: {example: {deep: {zzzzzzzz: 1}}}}", 1),
        ];
        assert_eq!(probes, expected.map(|(text, count)| (text.to_owned(), count)));
    }
}
