//! The reference that is checked in is the one that the program makes.

use super::support::transom::transom;

#[test]
fn the_reference_is_what_the_program_makes() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = transom(root).args(["reference", "--markdown"]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made = String::from_utf8(made.stdout).unwrap();
    let kept = std::fs::read_to_string(root.join("docs/reference.md")).unwrap_or_default();
    let differs = made.lines().zip(kept.lines()).position(|(made, kept)| made != kept);
    let line = differs.unwrap_or_else(|| made.lines().count().min(kept.lines().count()));
    assert!(
        made == kept,
        "docs/reference.md is stale from line {} on: `make reference` renews it\n  made: {}\n  kept: {}",
        line + 1,
        made.lines().nth(line).unwrap_or("(the end)"),
        kept.lines().nth(line).unwrap_or("(the end)")
    );
}

#[test]
fn every_link_of_the_reference_leads_to_a_heading() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md")).unwrap();
    // As GitHub makes anchors: lower case, blanks to hyphens, dots and brackets out.
    let anchors: Vec<String> = text
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')))
        .map(|heading| heading.to_lowercase().replace(' ', "-").replace(['.', '[', ']'], ""))
        .collect();
    let links: Vec<&str> = text.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert!(links.len() > 40);
    for link in links {
        assert!(anchors.iter().any(|anchor| anchor == link), "#{link}");
    }
}
