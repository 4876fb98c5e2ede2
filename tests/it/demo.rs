//! What a newcomer sees first.

use std::path::Path;

use super::support::transom::transom;

#[test]
fn the_demo_sends_every_sample_and_tells_what_became_of_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    let output = transom(root).args(["demo", "--json", "--directory"]).arg(directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let samples = std::fs::read_dir(root.join("samples")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(rows.len(), samples.filter(|path| path.extension().is_some_and(|extension| extension == "eml")).count());

    let row = |name: &str| rows.iter().find(|row| row["sample"] == name).unwrap();
    let untouched = row("dkim-signed.eml");
    assert_eq!((untouched["outcome"].as_str(), untouched["changed"].as_array().map(Vec::len)), (Some("deliver"), Some(0)));
    assert!(untouched["next_hop"].as_str().unwrap().starts_with("250 2.0.0 taken"));
    let held = row("exe-attachment.eml");
    assert_eq!((held["outcome"].as_str(), held["reason"].as_str()), (Some("quarantine"), Some("executable attachment")));
    assert!(held["next_hop"].is_null());
    assert_eq!(row("internal-received.eml")["changed"][0], "-Received ×2");
    assert_eq!(row("secrets-in-base64.eml")["changed"], serde_json::json!(["~text/plain", "~text/html"]));
}
