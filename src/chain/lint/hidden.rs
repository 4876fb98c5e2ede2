//! Hashes and masks that hide less than they seem to, or break what they hide.

use super::Written;
use crate::yaml::{Kind, Node, Problems};

/// Fields that programs read: a hash or a mask in their place is no address, no id, no time.
const FORMED: [&str; 14] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "message-id",
    "in-reply-to",
    "references",
    "date",
    "resent-from",
    "resent-to",
    "return-path",
    "content-type",
];

/// Fields that hold an address: of mail or of a machine.
const GUESSABLE: [&str; 12] = [
    "received",
    "delivered-to",
    "x-original-to",
    "envelope-to",
    "x-envelope-from",
    "x-envelope-to",
    "errors-to",
    "x-originating-ip",
    "x-sender-ip",
    "x-originating-client",
    "x-sender",
    "x-original-sender",
];

pub(super) fn check(rules: &[Written<'_>], problems: &mut Problems) {
    let actions = rules.iter().flat_map(Written::all_actions);
    for (action, node) in actions.filter(|(name, _)| ["header.hash", "header.mask"].contains(name)) {
        let named = names(node.get("name").unwrap_or(node));
        let one_of = |known: &[&str]| named.iter().copied().find(|name| known.contains(&name.to_ascii_lowercase().as_str()));
        if let Some(name) = one_of(&FORMED) {
            let label = "mail programs read this field: remove it, or leave it as it is";
            problems.warning(&node.span, format!("`{action}` leaves a `{name}` that is none"), label);
        } else if let Some(name) = one_of(&GUESSABLE).filter(|_| *action == "header.hash" && node.get("key").is_none()) {
            let label = "who hashes all addresses there are finds the one: `header.mask` or `header.remove` hides it";
            problems.warning(&node.span, format!("the address in `{name}` can be guessed from its hash"), label);
        }
    }
}

/// The field names that are written out.
fn names(node: &Node) -> Vec<&str> {
    match &node.kind {
        Kind::Scalar { text, .. } => vec![text],
        Kind::List(items) => items.iter().filter_map(Node::scalar).collect(),
        Kind::Map(_) => ["equals", "in"].iter().filter_map(|key| node.get(key)).flat_map(names).collect(),
        Kind::Null => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::told;

    fn of(action: &str) -> Vec<String> {
        told(&[&format!("rules:\n  - name: a\n    then:\n      - {action}\n")])
    }

    #[test]
    fn a_hash_of_what_can_be_guessed_is_told() {
        let expected = "a.yaml:4: the address in `X-Originating-IP` can be guessed from its hash: who hashes all addresses there are finds the one: \
                        `header.mask` or `header.remove` hides it";
        for action in [
            "header.hash: X-Originating-IP",
            "header.hash: {name: [X-A, X-Originating-IP]}",
            "header.hash: {name: {equals: X-Originating-IP}}",
        ] {
            assert_eq!(of(action), [expected], "{action}");
        }
        assert_eq!(of("header.mask: {name: X-Originating-IP, with: XXX}"), [""; 0]);
        assert_eq!(of("header.hash: X-Customer"), [""; 0]);
    }

    #[test]
    fn a_field_that_programs_read_is_told() {
        let expected =
            "a.yaml:4: `header.mask` leaves a `Message-ID` that is none: mail programs read this field: remove it, or leave it as it is";
        assert_eq!(of("header.mask: {name: Message-ID, with: XXX}"), [expected]);
        assert!(of("header.hash: [X-A, from]")[0].contains("`header.hash` leaves a `from` that is none"));
    }
}
