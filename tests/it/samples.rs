//! Every sample through the real server: what no rule names leaves as the same bytes.

use std::path::PathBuf;

use super::support::recorder::Recorder;
use super::support::transom::{Transom, basics};

#[test]
fn without_a_rule_every_sample_arrives_as_it_was_sent_below_the_received_field() {
    let next_hop = Recorder::start();
    let transom = Transom::start(next_hop.address(), "");
    for (name, message) in send_all(&transom) {
        let taken = next_hop.taken().pop().unwrap();
        assert_same(&name, &message, taken.without_received());
    }
    assert_eq!(next_hop.taken().len(), samples().len());
}

#[test]
fn with_one_header_rule_every_other_byte_is_the_same() {
    let rules =
        "rules: [{name: stamp, then: [{header.add: {name: X-Checked, value: 'by the test'}}, {header.remove: {name: Message-ID}}]}]\n";
    let next_hop = Recorder::start();
    let configuration = basics(next_hop.address()) + "chain: [{include: rules/*.yaml}]\n";
    let transom = Transom::start_with(&configuration, &[("rules/stamp.yaml", rules)]);
    for (name, message) in send_all(&transom) {
        let taken = next_hop.taken().pop().unwrap();
        let expected = [b"X-Checked: by the test\r\n".to_vec(), without_message_id(&message)].concat();
        assert_same(&name, &expected, taken.without_received());
    }
}

#[test]
fn a_next_hop_without_any_extension_gets_seven_bit_samples_as_they_are() {
    let next_hop = Recorder::start_with(&[]);
    let transom = Transom::start(next_hop.address(), "");
    let mut client = transom.client();
    client.hello();
    for (name, message) in samples().into_iter().filter(|(_, message)| message.is_ascii()) {
        let reply = client.send("sender@outside.example", &["recipient@inside.example"], &message);
        assert!(reply.starts_with("250 "), "{name}: {reply}");
        assert_same(&name, &message, next_hop.taken().pop().unwrap().without_received());
    }
}

#[test]
fn there_are_enough_samples_and_each_is_described() {
    let readme = std::fs::read_to_string(directory().join("README.md")).unwrap();
    let samples = samples();
    assert!(samples.len() >= 32);
    for (name, _) in &samples {
        assert!(readme.contains(&format!("| `{name}` |")), "{name} is not in samples/README.md");
    }
}

/// Sends them over one connection, giving each back once the server has said 250 to it.
fn send_all(transom: &Transom) -> impl Iterator<Item = (String, Vec<u8>)> {
    let mut client = transom.client();
    client.hello();
    samples().into_iter().map(move |(name, message)| {
        let reply = client.send("sender@outside.example", &["recipient@inside.example"], &message);
        assert!(reply.starts_with("250 "), "{name}: {reply}");
        (name, message)
    })
}

/// Name and bytes; a last line without its line end gets one, as SMTP must.
fn samples() -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let mut samples: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| {
            let mut message = std::fs::read(&path).unwrap();
            if !message.ends_with(b"\r\n") {
                message.extend_from_slice(b"\r\n");
            }
            (path.file_name().unwrap().to_str().unwrap().to_owned(), message)
        })
        .collect();
    samples.sort();
    samples
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("samples")
}

/// Says where they part, not only that they do.
#[track_caller]
fn assert_same(name: &str, expected: &[u8], found: &[u8]) {
    if expected == found {
        return;
    }
    let at = expected.iter().zip(found).take_while(|(one, other)| one == other).count();
    let around = |bytes: &[u8]| String::from_utf8_lossy(&bytes[at.saturating_sub(40)..bytes.len().min(at + 40)]).into_owned();
    panic!("{name} differs from byte {at} on ({} and {} bytes):\n{:?}\n{:?}", expected.len(), found.len(), around(expected), around(found));
}

/// Takes the field out as one would by hand: its line, and the lines after it that begin with a blank, as far as the header goes.
fn without_message_id(message: &[u8]) -> Vec<u8> {
    let (mut out, mut in_header, mut dropping) = (Vec::new(), true, false);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        in_header &= line != b"\r\n";
        let continues = line.starts_with(b" ") || line.starts_with(b"\t");
        dropping = in_header && if continues { dropping } else { line.to_ascii_lowercase().starts_with(b"message-id:") };
        if !dropping {
            out.extend_from_slice(line);
        }
    }
    out
}
