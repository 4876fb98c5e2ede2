//! Values that can be read but never be met, or not as they were meant: habits from other programs.

use std::sync::Arc;

use crate::chain::rule::RuleFile;
use crate::yaml::{Kind, Node, Problems, quoted};

pub(super) fn check(files: &[Arc<RuleFile>], configuration: &Node, problems: &mut Problems) {
    for file in files {
        visit(["", ""], &file.node, configuration, problems);
    }
}

/// `keys` are the two that lead to the node, the nearer one last.
fn visit(keys: [&str; 2], node: &Node, configuration: &Node, problems: &mut Problems) {
    match &node.kind {
        Kind::Map(entries) => entries.iter().for_each(|(key, node)| visit([keys[1], &key.text], node, configuration, problems)),
        // Texts of a list stand for themselves; below anything else a list begins anew.
        Kind::List(items) => items.iter().for_each(|item| match item.kind {
            Kind::Scalar { .. } => text(keys, item, problems),
            _ => visit(["", keys[1]], item, configuration, problems),
        }),
        Kind::Scalar { .. } if keys[1] == "in" => list(keys[0], node, configuration, problems),
        Kind::Scalar { .. } => text(keys, node, problems),
        Kind::Null => {}
    }
}

/// One text, by the key it stands under.
fn text(keys: [&str; 2], node: &Node, problems: &mut Problems) {
    let Kind::Scalar { text, plain } = &node.kind else { return };
    // `extension: {equals: .exe}` and `extension: .exe` say the same.
    let key = if ["equals", "in"].contains(&keys[1]) { keys[0] } else { keys[1] };
    let Some((title, label, meant)) = slip(keys, key, text) else { return };
    problems.warning(&node.span, title, label);
    if let Some(meant) = meant {
        let meant = if (*plain && !meant.is_empty()) || meant.starts_with('{') { meant } else { quoted(&meant) };
        problems.mend(&[(node.span.start..node.span.end, meant)]);
    }
}

/// What is wrong, what to do, and the text as it was meant.
fn slip(keys: [&str; 2], key: &str, text: &str) -> Option<(String, &'static str, Option<String>)> {
    let bare = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    match key {
        "extension" => {
            let meant = text.strip_prefix('.').filter(|rest| !rest.is_empty())?;
            Some((format!("no extension is `{text}`"), "it is what stands after the dot", Some(meant.to_owned())))
        }
        "domain" if text.contains('@') => {
            let meant = text.strip_prefix('@').filter(|rest| !rest.contains('@')).map(str::to_owned);
            Some((format!("no domain is `{text}`"), "it is what stands after the `@`; a whole address is asked for with `address`", meant))
        }
        "domain" if text.starts_with("*.") => {
            Some((format!("no domain is `{text}`"), "a leading dot means the subdomains", Some(text[1..].to_owned())))
        }
        "sender" | "recipient" | "address" => {
            let label = "an address stands without < and >; the null sender is an empty text, `''`";
            bare.map(|bare| (format!("no address is `{text}`"), label, Some(bare.to_owned())))
        }
        "name" if keys[0] == "header" => {
            let meant = text.strip_suffix(':')?;
            Some((format!("no field is called `{text}`"), "a name stands without its colon", Some(meant.to_owned())))
        }
        "matches" => {
            let (inner, flags) = text.strip_prefix('/')?.rsplit_once('/')?;
            let framed = !flags.is_empty() || inner.starts_with('^') || inner.ends_with('$');
            let meant = (framed && flags.bytes().all(|flag| b"gimsux".contains(&flag)) && !inner.is_empty()).then(|| inner.to_owned())?;
            Some((format!("`{text}` looks for the slashes, too"), "a pattern stands alone; case is ignored anyway", Some(meant)))
        }
        "with" => {
            let at = text.match_indices('\\').find(|(at, _)| text[at + 1..].starts_with(|next: char| next.is_ascii_digit()))?.0;
            let title = format!("`{}` stays as it is written", &text[at..at + 2]);
            Some((title, "a group of `matches` is `$1`", Some(groups(text))))
        }
        "reject" | "defer" | "text" if key != "text" || ["reject", "defer"].contains(&keys[0]) => {
            let code = text.split(' ').next().filter(|code| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit()))?;
            code.starts_with(['4', '5']).then_some(())?;
            Some((
                format!("the client hears `{code}` twice"),
                "the code stands under `code`, or is the one of the action: leave it out here",
                None,
            ))
        }
        "size" if text.ends_with(|last: char| last.is_ascii_alphabetic()) => {
            let meant = format!("{{over: {text}}}");
            Some((format!("this asks for exactly {text}"), "`over`, `under`, `at_least` and `at_most` ask for more or less", Some(meant)))
        }
        _ => None,
    }
}

/// `\1` as `$1`.
fn groups(text: &str) -> String {
    let mut meant = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let group = letter == '\\' && letters.peek().is_some_and(char::is_ascii_digit);
        meant.push(if group { '$' } else { letter });
    }
    meant
}

/// A list whose entries are never what this key holds.
fn list(key: &str, node: &Node, configuration: &Node, problems: &mut Problems) {
    let kind = |name: &str| configuration.get("lists")?.get(name)?.get("kind")?.scalar();
    let Some((name, kind)) = node.scalar().and_then(|name| Some((name, kind(name)?))) else { return };
    let label = match (key, kind) {
        ("domain", "address") => "a whole address is asked for with `address: {in: …}`",
        ("subject", "address" | "domain" | "cidr") => {
            "a list of `kind: regex` is looked for in a text, one of `kind: text` is the whole of it"
        }
        ("body", "address" | "domain" | "cidr" | "text") => "the whole text is looked up; a list of `kind: regex` is looked for in it",
        _ => return,
    };
    let what = if key == "domain" { "a domain" } else { "such a text" };
    problems.warning(&node.span, format!("`{name}` is of `kind: {kind}`: {what} is never in it"), label);
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fixes, told_with};

    /// The line as it was meant.
    fn meant(line: &str) -> String {
        let told = fixes(&format!("rules:\n  - name: a\n    {line}\n"));
        told.first().map_or_else(String::new, |told| told.split_once('\n').unwrap().1.trim().to_owned())
    }

    #[test]
    fn what_can_never_be_met_is_told_with_what_was_meant() {
        let when = |condition: &str| format!("{{when: {{{condition}}}, then: [discard]}}");
        for (condition, wanted) in [
            ("attachment: {extension: .exe}", "attachment: {extension: exe}"),
            ("attachment: {extension: [exe, '.scr']}", "attachment: {extension: [exe, 'scr']}"),
            ("sender: {domain: '@x.example'}", "sender: {domain: 'x.example'}"),
            ("sender: {domain: ['*.x.example']}", "sender: {domain: ['.x.example']}"),
            ("address: {header: From, domain: '*.x.example'}", "address: {header: From, domain: '.x.example'}"),
            ("sender: {address: <>}", "sender: {address: ''}"),
            ("sender: {address: '<>'}", "sender: {address: ''}"),
            ("recipient: <a@x.example>", "recipient: a@x.example"),
            ("header: {name: 'X-Spam:', contains: yes}", "header: {name: 'X-Spam', contains: yes}"),
            ("subject: {matches: '/^foo bar/i'}", "subject: {matches: '^foo bar'}"),
            ("size: 10MB", "size: {over: 10MB}"),
        ] {
            let line = when(condition).replacen('{', "", 1);
            let line = line.strip_suffix('}').unwrap().replace(", then: [discard]", "\n    then: [discard]");
            assert_eq!(meant(&line), format!("when: {{{wanted}}}"), "{condition}");
        }
        let line = r"then: [{header.replace: {name: Subject, matches: '(a)b', with: '<\1>'}}]";
        assert_eq!(meant(line), r"then: [{header.replace: {name: Subject, matches: '(a)b', with: '<$1>'}}]");
    }

    #[test]
    fn what_may_be_meant_as_it_stands_is_left_in_peace() {
        for when in [
            "{attachment: {name: {ends_with: .exe}}}",
            "{sender: {domain: .x.example}}",
            "{sender: {address: ''}}",
            "{header: {name: X-A, contains: 'a:'}}",
            "{body: {matches: '/cgi-bin/'}}",
            "{size: {over: 10MB}}",
            "{size: 386}",
        ] {
            assert_eq!(meant(&format!("when: {when}\n    then: [{{reject: {{text: no 550 here}}}}]")), "", "{when}");
        }
    }

    #[test]
    fn a_reply_code_in_the_text_of_a_refusal_is_told() {
        for action in ["reject: 550 go away", "reject: {text: 550 go away}", "defer: 451 later"] {
            let told =
                told_with("{}", &[&format!("rules: [{{name: a, when: {{client: {{address: 10.0.0.1}}}}, then: [{action}]}}]")], None);
            assert!(told.iter().any(|line| line.contains("twice: the code stands")), "{action}: {told:?}");
        }
    }

    #[test]
    fn a_list_that_can_never_have_what_is_looked_up_is_told() {
        let lists =
            "lists: {mails: {kind: address, values: [a@b.example]}, words: {kind: text, values: [x]}, res: {kind: regex, values: [x]}}";
        for (when, name) in [("sender: {domain: {in: mails}}", "mails"), ("body: {in: words}", "words"), ("subject: {in: mails}", "mails")]
        {
            let told = told_with(lists, &[&format!("rules: [{{name: a, when: {{{when}}}, then: [tag: x]}}]")], None);
            assert!(told.iter().any(|line| line.contains(&format!("`{name}` is of `kind: "))), "{when}: {told:?}");
        }
        for when in ["sender: {address: {in: mails}}", "body: {in: res}", "subject: {in: words}", "body: {in: [x]}"] {
            let told = told_with(lists, &[&format!("rules: [{{name: a, when: {{{when}}}, then: [tag: x]}}]")], None);
            assert!(!told.iter().any(|line| line.contains("never in it")), "{when}: {told:?}");
        }
    }
}
