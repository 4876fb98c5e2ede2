//! What the README shows is what works.

use super::support::transom::transom;

#[test]
fn the_rule_file_and_the_configuration_of_the_readme_are_right() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let blocks: Vec<_> = text.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("rules")).unwrap();
    for block in blocks {
        let name = block.lines().next().unwrap().strip_prefix("# ").expect("a block begins with the name of its file");
        std::fs::write(directory.path().join(name), block).unwrap();
    }
    let run = |arguments: &[&str]| {
        let output = transom(directory.path()).args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    };
    run(&["test", "rules/outgoing.yaml"]);
    run(&["check"]);
}

#[test]
fn the_rule_file_in_the_operations_manual_is_right() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    let (_, rest) = text.split_once("```yaml\n# rules/disclaimer.yaml\n").unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("disclaimer.yaml"), rest.split_once("```").unwrap().0).unwrap();
    let output = transom(directory.path()).args(["test", "disclaimer.yaml"]).output().unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("4 passed"));
}
