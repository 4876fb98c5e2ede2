//! The transforms that the systems before Transom had, row by row, through a whole chain, with the exact strings they gave.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use transom::chain::link::Link;
use transom::chain::rule::{RuleFile, Shared};
use transom::chain::ruling::Ruling;
use transom::chain::{Chain, Limits, example, test};
use transom::mail::Inside;
use transom::message::Message;
use transom::smtp::envelope::Recipient;
use transom::yaml::{Problems, Source, parse};

/// What comes out of a message after these actions, each in one rule.
fn ruling(message: &str, actions: &[&str]) -> Ruling {
    let rules = actions.iter().enumerate().map(|(number, action)| format!("  - {{name: r{number}, then: [{{{action}}}]}}\n"));
    let yaml = "rules:\n".to_owned() + &rules.collect::<String>();
    let (mut shared, mut problems) = (Shared::default(), Problems::default());
    let source: Arc<Source> = Source::new("parity.yaml".to_owned(), yaml);
    let file = parse(&source, &mut problems).map(|node| RuleFile::load(&node, Path::new("parity.yaml"), &mut shared, &mut problems));
    assert!(problems.is_empty(), "{}", problems.render(false));
    let chain = Chain::build(vec![Link::of(vec![Arc::new(file.unwrap())])], &shared, &mut problems);
    let mut mail = example::run("").mail;
    mail.message = Message::parse(Bytes::copy_from_slice(message.as_bytes()), &example::limits()).unwrap();
    let ruling = chain.run(mail, &[]);
    assert!(ruling.failures.is_empty(), "{:?}", ruling.failures);
    ruling
}

fn bytes(ruling: &Ruling) -> String {
    let mut bytes = Vec::new();
    let put = &mut |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    ruling.mail.message.for_each(put).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn after(message: &str, actions: &[&str]) -> String {
    bytes(&ruling(message, actions))
}

/// SHA-256 in upper-case hexadecimal, by other means than the chain's.
fn sha256(text: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    hash.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(b"0123456789ABCDEF"[usize::from(digit)])).collect()
}

#[test]
fn strip_whitespace_trims_each_line_and_keeps_folds() {
    let left = after("A:  one \r\n\t two  \r\n three\t\r\nB:x\r\n\r\n  body  \r\n", &["header.strip_whitespace: {}"]);
    assert_eq!(left, "A: one\r\n two\r\n three\r\nB: x\r\n\r\n  body  \r\n");
}

#[test]
fn normalize_whitespace_gives_the_string_the_forebear_gave() {
    // The value of the table, its line ends as they travel.
    let left =
        after("To:  a b   c\r\n d, e  \r  , \r\n f,g  \r\n \r\nSubject:  a  b\r\n\r\n", &["header.normalize_whitespace: {name: To}"]);
    assert_eq!(left, "To: a b c d, e, f, g\r\nSubject:  a  b\r\n\r\n");
}

#[test]
fn filter_removes_by_name_and_by_a_text_in_the_value() {
    let mail = "X-A: keep\r\nX-A: drop me\r\nX-B: drop\r\n\r\n";
    assert_eq!(after(mail, &["header.remove: {name: X-A, contains: drop}"]), "X-A: keep\r\nX-B: drop\r\n\r\n");
    assert_eq!(after(mail, &["header.remove: {name: X-A}"]), "X-B: drop\r\n\r\n");
}

#[test]
fn mask_writes_xxx_or_the_text_of_its_setting() {
    let mail = "X-Key: abc\r\n def\r\n\r\n";
    assert_eq!(after(mail, &["header.mask: {name: X-Key}"]), "X-Key: XXX\r\n\r\n");
    assert_eq!(after(mail, &["header.mask: {name: X-Key, with: '***'}"]), "X-Key: ***\r\n\r\n");
}

#[test]
fn hash_is_over_the_raw_value_with_its_blank_and_folds() {
    let left = after("X-Key: abc\r\n\tdef\r\n\r\n", &["header.hash: {name: X-Key}"]);
    assert_eq!(left, format!("X-Key: [hidden : sha256 = {}]\r\n\r\n", sha256(" abc\n\tdef")));
}

#[test]
fn dedup_leaves_the_last_of_a_run() {
    let left = after("A: 1\r\nA: 2\r\na: 3\r\nB: 1\r\nA: 4\r\n\r\n", &["header.dedup: {name: A}"]);
    assert_eq!(left, "a: 3\r\nB: 1\r\nA: 4\r\n\r\n");
}

#[test]
fn sort_addresses_sorts_joins_and_drops_duplicates() {
    let mail = "To: c@x.example,\r\n \"B, b\" <B@x.example>, a@x.example,c@x.example\r\nCc: not; addresses\r\n\r\n";
    let sorted = ruling(mail, &["header.sort_addresses: {name: [To, Cc]}"]);
    assert_eq!(bytes(&sorted), "To: a@x.example, \"B, b\" <B@x.example>, c@x.example, c@x.example\r\nCc: not; addresses\r\n\r\n");
    assert!(sorted.logs.iter().any(|(_, text)| text.contains("Cc")), "{:?}", sorted.logs);
    let unique = after(mail, &["header.sort_addresses: {name: To, unique: true}"]);
    assert!(unique.starts_with("To: a@x.example, \"B, b\" <B@x.example>, c@x.example\r\n"), "{unique}");
}

#[test]
fn sort_words_sorts_and_drops_duplicates() {
    let mail = "Keywords: pear fig  apple fig\r\n\r\n";
    assert_eq!(after(mail, &["header.sort_words: {name: Keywords}"]), "Keywords: apple fig fig pear\r\n\r\n");
    assert_eq!(after(mail, &["header.sort_words: {name: Keywords, unique: true}"]), "Keywords: apple fig pear\r\n\r\n");
}

#[test]
fn sort_orders_the_header_and_the_recipients() {
    let left = after("b: 2\r\nC: 1\r\nB: 1\r\na: 1\r\n\r\nbody\r\n", &["header.sort: {}"]);
    assert_eq!(left, "a: 1\r\nB: 1\r\nb: 2\r\nC: 1\r\n\r\nbody\r\n");
    let sorted = ruling("A: 1\r\n\r\n", &["recipient.add: b@x.example", "recipient.add: a@x.example", "recipient.sort: {}"]);
    let recipients: Vec<&str> = sorted.mail.envelope.recipients.iter().map(Recipient::address).collect();
    assert_eq!(recipients, ["a@x.example", "b@x.example", "recipient@inside.example"]);
}

#[test]
fn body_rewrites_run_in_order_on_the_raw_body() {
    let mail = "A: 1\r\n\r\nkey=abc\r\nkey=def\r\n";
    let first = "body.replace: {view: raw, matches: 'key=(\\w)(\\w+)', with: '$2-$1'}";
    assert_eq!(after(mail, &[first]), "A: 1\r\n\r\nbc-a\r\nef-d\r\n");
    let second = "body.replace: {view: raw, matches: '^bc-a\\nef', whole: \"gone\\n\"}";
    assert_eq!(after(mail, &[first, second]), "A: 1\r\n\r\ngone\r\n");
    assert_eq!(after(mail, &[second]), mail);
}

#[test]
fn body_hash_whole_hides_the_body_behind_one_hash() {
    let ruling = ruling("B: 1\r\nA: 2\r\n\r\nsecret\r\n", &["header.sort: {}", "body.hash: whole"]);
    let part = ruling.mail.message.parts()[0].clone();
    assert_eq!((&*part.media_type, &*part.encoding), ("text/plain", "quoted-printable"));
    let text = ruling.mail.message.text(part.id).unwrap();
    assert_eq!(*text, *format!("\nBODY HIDDEN.\nHASH={}\n", sha256("A: 2\nB: 1\n\nsecret\n")));
    assert!(bytes(&ruling).contains("A: 2\r\nB: 1\r\n"));
}

#[test]
fn body_hash_parts_hides_each_leaf_and_keeps_the_structure() {
    let mail = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\none\r\ntwo\r\n--b\r\nContent-Type: \
                image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n";
    let ruling = ruling(mail, &["body.hash: parts"]);
    let leaves: Vec<_> = ruling.mail.message.parts().iter().filter(|part| part.leaf).cloned().collect();
    let types: Vec<&str> = leaves.iter().map(|part| &*part.media_type).collect();
    assert_eq!(types, ["text/plain", "image/png"]);
    for (part, (encoding, content)) in leaves.iter().zip([("7bit", "one\ntwo"), ("base64", "AAAA")]) {
        let decoded = ruling.mail.message.decoded(part.id).unwrap();
        let wanted = format!("\nPART HIDDEN.\nORIGINAL_ENCODING:{encoding}\nHASH:{}\n", sha256(content));
        assert_eq!(String::from_utf8(decoded.to_vec()).unwrap().replace("\r\n", "\n"), wanted);
        assert_eq!(part.encoding, "quoted-printable");
    }
    let unparsable = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed\r\n\r\n--b\r\n\r\none\r\n--b--\r\n";
    assert_eq!(after(unparsable, &["body.hash: parts"]), unparsable);
}

/// The rows of the table, in its order.
const ROWS: [&str; 12] = [
    "strip whitespace",
    "normalise whitespace",
    "filter",
    "mask",
    "hash",
    "dedup",
    "sort emails",
    "sort words",
    "sort",
    "body rewrites",
    "body hash, whole",
    "body hash, parts",
];

#[test]
fn every_row_has_its_rule_tests_and_they_pass() {
    let (mut shared, mut problems) = (Shared::default(), Problems::default());
    let file = RuleFile::read(Path::new("tests/parity/transforms.yaml"), &mut shared, &mut problems);
    let chain = Chain::build(vec![Link::of(file.into_iter().collect())], &shared, &mut problems);
    assert!(!problems.any_error(), "{}", problems.render(false));
    let reports = test::run(&chain.files()[0], Limits::default(), &Inside::default());
    for row in ROWS {
        assert!(chain.files()[0].rules.iter().any(|rule| *rule.name == *row), "no rule of the row {row}");
        assert!(reports.iter().any(|report| report.test.starts_with(&format!("{row} "))), "no test of the row {row}");
    }
    let failures: Vec<_> =
        reports.iter().filter(|report| !report.failures.is_empty()).map(|report| (&report.test, &report.failures)).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn the_canonical_pack_keeps_the_order_of_the_forebear() {
    let pack = std::fs::read_to_string("rules/canonical.yaml").unwrap();
    let actions = pack.split_once("then:").unwrap().1.split_once("tests:").unwrap().0;
    let names: Vec<&str> =
        actions.lines().filter_map(|line| line.trim().strip_prefix("- ")).map(|line| line.split(':').next().unwrap()).collect();
    let order =
        ["strip_whitespace", "normalize_whitespace", "remove", "sort", "dedup", "hash", "mask", "sort_addresses", "sort_words", "sort"];
    let expected: Vec<String> = order.iter().map(|name| format!("header.{name}")).chain(["recipient.sort".to_owned()]).collect();
    assert_eq!(names, expected);
}
