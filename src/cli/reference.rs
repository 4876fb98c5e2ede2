//! `transom reference`: the manual of the rule language and of the files, from the lists beside the code that reads them.

mod markdown;
mod section;

use std::io::IsTerminal;

use anstyle::Style;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use self::section::Section;
use super::{Exit, Global, complain, say};
use crate::chain::entry::{Entry, KeyDoc};
use crate::chain::{action, condition};
use crate::yaml::nearest;

/// On a terminal, lines are broken here; in a pipe each stays whole.
const WIDTH: u16 = 100;

const HEADING: Style = Style::new().bold().underline();
const NAME: Style = Style::new().bold();

/// The manual: every condition and action, every section of the files
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  transom reference\n  transom reference header.replace\n  transom reference relay.tls\n  transom reference tests\n  transom reference --json | jq -r '.actions[].name'"
)]
pub struct Args {
    /// An action, a condition or a section of the files, such as relay.tls; all of them, a line each, if not given
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// All of it and every key of the files, as one page of Markdown: docs/reference.md
    #[arg(long, conflicts_with_all = ["name", "json"])]
    markdown: bool,
}

/// What the manual says of one action or condition.
#[derive(Clone, Debug, Serialize)]
struct Page {
    name: &'static str,
    about: &'static str,
    keys: Vec<Key>,
    example: &'static str,
    before: &'static str,
    after: &'static str,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Key {
    name: &'static str,
    wants: &'static str,
    about: &'static str,
}

/// The manual, or the pages of one name: `tag` is a condition and an action.
#[derive(Clone, Debug, Serialize)]
struct Manual {
    conditions: Vec<Page>,
    actions: Vec<Page>,
    sections: Vec<Section>,
}

/// Shows the manual.
pub fn run(args: Args, _: &Global) -> Exit {
    let Args { name, json, markdown } = args;
    let whole = Manual::whole();
    if markdown {
        return say(&markdown::page(&whole));
    }
    let manual = match &name {
        None => whole,
        Some(name) => match whole.about(name) {
            Ok(pages) => pages,
            Err(near) => {
                let hint = near.map_or_else(|| "`transom reference` lists them all".to_owned(), |near| format!("did you mean `{near}`?"));
                complain(&format!("error: no action, condition or section is called `{name}`: {hint}"));
                return Exit::Usage;
            }
        },
    };
    if json {
        let text = serde_json::to_string_pretty(&manual).expect("the manual has texts and lists only");
        return say(&(text + "\n"));
    }
    let width = std::io::stdout().is_terminal().then_some(WIDTH);
    say(&if name.is_some() { manual.in_full(width) } else { manual.listed(width) })
}

fn pages<T: ?Sized>(entries: &[&'static Entry<T>]) -> Vec<Page> {
    let key = |key: &KeyDoc| Key { name: key.name, wants: key.wants, about: key.about };
    let page = |entry: &&Entry<T>| Page {
        name: entry.name,
        about: entry.about,
        keys: entry.keys.iter().map(key).collect(),
        example: entry.example,
        before: entry.before,
        after: entry.after,
    };
    entries.iter().map(page).collect()
}

impl Manual {
    fn whole() -> Manual {
        Manual { conditions: pages(condition::ENTRIES), actions: pages(action::ENTRIES), sections: section::all() }
    }

    /// The pages of that name, or the nearest name there is.
    fn about(&self, name: &str) -> Result<Manual, Option<&str>> {
        let of = |pages: &[Page]| pages.iter().filter(|page| page.name == name).cloned().collect::<Vec<_>>();
        let sections = self.sections.iter().filter(|section| section.is_called(name)).cloned().collect();
        let found = Manual { conditions: of(&self.conditions), actions: of(&self.actions), sections };
        if found.conditions.is_empty() && found.actions.is_empty() && found.sections.is_empty() {
            let pages = self.conditions.iter().chain(&self.actions).map(|page| page.name);
            return Err(nearest(name, pages.chain(self.sections.iter().map(|section| section.name.as_str()))));
        }
        Ok(found)
    }

    /// A line for each.
    fn listed(&self, width: Option<u16>) -> String {
        let rows = |pages: &[Page]| table(pages.iter().map(|page| vec![page.name, page.about]), width);
        let sections = table(self.sections.iter().map(|section| vec![section.name.as_str(), section.about]), width);
        let head = |text: &str| format!("{HEADING}{text}{HEADING:#}\n");
        let foot = "`transom reference NAME` shows keys and an example.\n";
        let (conditions, actions) = (rows(&self.conditions), rows(&self.actions));
        let parts = [("Conditions", conditions), ("Actions", actions), ("Sections of transom.yaml and of rule files", sections)];
        parts.into_iter().map(|(title, rows)| head(title) + &rows + "\n").collect::<String>() + foot
    }

    /// All that is known of each.
    fn in_full(&self, width: Option<u16>) -> String {
        let conditions = self.conditions.iter().map(|page| page.text("condition", ("It holds for", "and not for"), width));
        let actions = self.actions.iter().map(|page| page.text("action", ("Before", "After"), width));
        let sections = self.sections.iter().map(|section| section.text(width));
        conditions.chain(actions).chain(sections).collect::<Vec<_>>().join("\n")
    }
}

impl Page {
    fn text(&self, kind: &str, mails: (&str, &str), width: Option<u16>) -> String {
        let indented = |text: &str| {
            text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") }).collect::<String>()
        };
        let head = |text: &str| format!("\n{HEADING}{text}{HEADING:#}\n");
        let mut text = vec![format!("{NAME}{}{NAME:#} ({kind})\n", self.name), table([vec![self.about]], width)];
        if !self.keys.is_empty() {
            text.extend([head("Keys"), table(self.keys.iter().map(|key| vec![key.name, key.wants, key.about]), width)]);
        }
        text.extend([head("Example"), indented(self.example)]);
        if self.before != self.after {
            text.extend([head(mails.0), indented(self.before), head(mails.1), indented(self.after)]);
        }
        text.concat()
    }
}

/// Rows in columns, without lines around them.
fn table<'t>(rows: impl IntoIterator<Item = Vec<&'t str>>, width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table.add_rows(rows);
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Manual {
        Manual::whole()
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn every_entry_has_a_line_and_a_page() {
        let list = plain(&whole().listed(None));
        for page in whole().conditions.iter().chain(&whole().actions) {
            assert!(list.lines().any(|line| line.split_whitespace().next() == Some(page.name)), "{}", page.name);
            assert!(plain(&whole().about(page.name).unwrap().in_full(Some(WIDTH))).contains("Example\n"), "{}", page.name);
        }
    }

    #[test]
    fn a_name_that_is_both_shows_both() {
        let pages = whole().about("tag").unwrap();
        assert_eq!((pages.conditions.len(), pages.actions.len()), (1, 1));
    }

    #[test]
    fn an_unknown_name_is_told_with_the_nearest() {
        assert_eq!(whole().about("header.remov").unwrap_err(), Some("header.remove"));
        assert_eq!(whole().about("zzzzzzzzzzzz").unwrap_err(), None);
        assert_eq!(whole().about("relay.tsl").unwrap_err(), Some("relay.tls"));
    }

    #[test]
    fn a_section_is_found_by_its_path_and_by_its_last_word() {
        let manual = whole();
        let names = |name: &str| manual.about(name).unwrap().sections.iter().map(|section| section.name.clone()).collect::<Vec<_>>();
        assert_eq!(names("relay.tls"), ["relay.tls"]);
        assert_eq!(names("listeners[].tls"), ["listeners.tls"]);
        assert_eq!(names("expect"), ["tests.expect"]);
        let text = plain(&manual.about("tests").unwrap().in_full(None));
        assert!(text.contains("tests (in rule files)") && text.contains("inline") && text.contains("    tests:\n"), "{text}");
    }

    #[test]
    fn a_terminal_gets_lines_it_can_show() {
        assert!(plain(&whole().listed(Some(WIDTH))).lines().all(|line| line.chars().count() <= usize::from(WIDTH)));
    }
}
