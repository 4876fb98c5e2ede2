//! What the demo found, for people and for programs.

use std::path::Path;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use super::Outcome;

/// An array of objects, one a sample.
pub fn json(outcomes: &[Outcome]) -> String {
    let mut text = serde_json::to_string_pretty(outcomes).expect("names and texts are JSON");
    text.push('\n');
    text
}

/// A line a sample, what the signs mean, and where to look further.
pub fn text(outcomes: &[Outcome], directory: &Path) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["sample", "outcome", "rules fired", "changed", "next hop's reply"]);
    for outcome in outcomes {
        let verdict = outcome.reason.as_ref().map_or_else(|| outcome.verdict.to_owned(), |reason| format!("{}: {reason}", outcome.verdict));
        let reply = outcome.next_hop.clone().unwrap_or_else(|| {
            if outcome.told.starts_with('2') { "– (not sent on)".to_owned() } else { format!("– (sender told: {})", outcome.told) }
        });
        table.add_row([outcome.sample.clone(), verdict, few(&outcome.fired), few(&outcome.changed), reply]);
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    format!("{}\n\n{}", lines.join("\n"), rest(outcomes, directory))
}

fn rest(outcomes: &[Outcome], directory: &Path) -> String {
    let count = |word: &str| outcomes.iter().filter(|outcome| outcome.verdict == word).count();
    let unchanged = outcomes.iter().filter(|outcome| outcome.next_hop.is_some() && outcome.changed.is_empty()).count();
    let sum = format!(
        "{} samples: {} delivered ({unchanged} of them byte for byte as sent, below the one Received on top), {} held, {} refused.\n\
         +Field added  -Field taken out  ~Field or part changed\n",
        outcomes.len(),
        count("deliver"),
        count("quarantine"),
        count("reject") + count("defer"),
    );
    if count("quarantine") == 0 {
        return sum;
    }
    // As it was called, so that the line can be pasted.
    let program = std::env::args().next().unwrap_or_else(|| "transom".to_owned());
    let store = directory.join("store");
    let store = store.display();
    format!(
        "{sum}\nWhat is held, why, and what it looks like:\n  {program} quarantine list --store {store}\n  {program} quarantine show ID --store {store}\n"
    )
}

/// As many as fit into a column, and how many more there are; `--json` has them all.
fn few(words: &[String]) -> String {
    const WIDTH: usize = 48;
    let mut cell = words.first().map_or("–", String::as_str).to_owned();
    for (at, word) in words.iter().enumerate().skip(1) {
        if cell.chars().count() + word.chars().count() > WIDTH {
            return format!("{cell} and {} more", words.len() - at);
        }
        cell = format!("{cell}, {word}");
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let words: Vec<_> = ["a", "b", "c"].iter().map(|letter| letter.repeat(24)).collect();
        assert_eq!(few(&words), format!("{}, {} and 1 more", words[0], words[1]));
        assert_eq!((few(&words[..1]), few(&[])), (words[0].clone(), "–".to_owned()));
    }

    #[test]
    fn each_sample_has_a_line_with_everything_on_it() {
        let held = Outcome {
            sample: "exe.eml".into(),
            verdict: "quarantine",
            reason: Some("executable".into()),
            fired: vec!["hold programs".into()],
            changed: vec![],
            next_hop: None,
            told: "250 2.0.0 ok".into(),
        };
        let text = text(&[held], Path::new("/d"));
        let line = text.lines().find(|line| line.contains("exe.eml")).unwrap();
        assert!(line.contains("quarantine: executable") && line.contains("hold programs") && line.contains("not sent on"), "{line}");
        assert!(text.contains(" quarantine list --store /d/store"));
    }
}
