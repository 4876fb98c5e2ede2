//! The manual as one page of Markdown: `docs/reference.md`.

use std::fmt::Write;

use super::{Key as Row, Manual, Page};
use crate::chain::rule;
use crate::config;
use crate::yaml::manual::{self, Holds, Key};

const HEAD: &str = "\
# Reference

Every key of the configuration and of rule files, every condition, every action. This page is made from the program (`make reference`); `transom reference NAME`
shows one condition, action or section, `transom schema` gives an editor what it needs to complete and check as you write.

Files are YAML 1.2: only `true` and `false` are true or false, and where a text is wanted a plain `1.10` or `no` is one. Patterns stand in single quotes. Sizes
are `10MB` (10⁶ bytes) or `10MiB` (2²⁰), times `200ms`, `30s`, `5m`, `1h` or `7d`, rates `500B/s`; an IPv6 address stands in quotes: `\"[::1]:25\"`. Paths are
relative to the file they stand in.
";

const TESTS: &str = "\
Where a key wants string tests, a text means exactly this, a list means one of these, and a mapping has tests by name: `{contains: [a, b], not: {ends_with: c}}`.
Case is ignored.
";

/// The whole page.
pub(super) fn page(rules: &Manual) -> String {
    let mut page = vec![HEAD.to_owned(), contents(rules)];
    page.push("\n## The configuration\n\n`transom.yaml`, with every key. What has a default shows it.\n".to_owned());
    page.push(block("yaml", &manual::example(config::KEYS)));
    page.extend(sections("", config::KEYS));
    page.push("\n## Rule files\n".to_owned());
    page.extend(sections("", rule::KEYS));
    page.push(format!("\n## Conditions\n\n{TESTS}"));
    page.extend(rules.conditions.iter().map(|entry| entry.section("condition", ("Holds for:", "Does not hold for:"))));
    page.push("\n## Actions\n".to_owned());
    page.extend(rules.actions.iter().map(|entry| entry.section("action", ("Makes of:", "this:"))));
    page.concat()
}

/// Links to every condition and action.
fn contents(rules: &Manual) -> String {
    let links = |kind: &str, pages: &[Page]| {
        let links: Vec<_> =
            pages.iter().map(|page| format!("[{name}](#{kind}-{anchor})", name = page.name, anchor = anchor(page.name))).collect();
        links.join(" · ")
    };
    format!(
        "\n- [The configuration](#the-configuration)\n- [Rule files](#rule-files)\n- [Conditions](#conditions): {}\n- [Actions](#actions): {}\n",
        links("condition", &rules.conditions),
        links("action", &rules.actions)
    )
}

/// A heading's anchor: without dots.
fn anchor(name: &str) -> String {
    name.replace('.', "")
}

/// A table of keys, then one for each mapping among them.
fn sections(path: &str, keys: &'static [Key]) -> Vec<String> {
    let mut rows = String::from("\n| key | wants | without it | |\n|---|---|---|---|\n");
    for key in keys {
        let absent = match key.holds {
            _ if key.needed => "needed".to_owned(),
            Holds::Default(value) => format!("`{}`", cell(value)),
            _ => String::new(),
        };
        let wants = if key.keys().is_empty() { cell(key.wants) } else { format!("{}: below", key.wants) };
        writeln!(rows, "| `{}` | {wants} | {absent} | {} |", key.name, cell(key.about)).expect("a text takes everything");
    }
    let mut sections = vec![rows];
    for key in keys.iter().filter(|key| !key.keys().is_empty()) {
        let name = match key.holds {
            Holds::List(_) => format!("{path}{}[]", key.name),
            Holds::Named(_) => format!("{path}{}.NAME", key.name),
            _ => format!("{path}{}", key.name),
        };
        sections.push(format!("\n### {name}\n\n{}\n", key.about));
        sections.extend(self::sections(&format!("{name}."), key.keys()));
    }
    sections
}

impl Page {
    fn section(&self, kind: &str, mails: (&str, &str)) -> String {
        let mut text = format!("\n### {kind} {}\n\n{}\n", self.name, self.about);
        if !self.keys.is_empty() {
            text.push_str("\n| key | wants | |\n|---|---|---|\n");
            self.keys.iter().for_each(|key| text.push_str(&row(key)));
        }
        text.push_str(&block("yaml", self.example));
        if self.before != self.after {
            for (words, mail) in [(mails.0, self.before), (mails.1, self.after)] {
                if !mail.is_empty() {
                    text.extend(["\n", words, "\n", &block("", mail)]);
                }
            }
        }
        text
    }
}

fn row(key: &Row) -> String {
    let names: Vec<_> = key.name.split(", ").map(|name| if name.is_empty() { String::new() } else { format!("`{name}`") }).collect();
    format!("| {} | {} | {} |\n", names.join(" "), cell(key.wants), cell(key.about))
}

/// What would end a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn block(language: &str, text: &str) -> String {
    format!("\n```{language}\n{}\n```\n", text.replace('\r', "").trim_end_matches('\n'))
}
