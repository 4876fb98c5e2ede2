//! Texts that YAML reads otherwise than they look: brackets that make a list of one, a `#` that begins a comment.

use std::sync::Arc;

use crate::chain::rule::RuleFile;
use crate::yaml::{Kind, Node, Problems, quoted};

/// Keys whose text may well begin with a bracket. For others `[exe]` is what it says.
const TEXTS: [&str; 6] = ["subject", "equals", "contains", "starts_with", "ends_with", "matches"];

pub(super) fn check(files: &[Arc<RuleFile>], problems: &mut Problems) {
    for file in files {
        visit("", &file.node, problems);
    }
}

fn visit(key: &str, node: &Node, problems: &mut Problems) {
    match &node.kind {
        Kind::Map(entries) => entries.iter().for_each(|(key, node)| visit(&key.text, node, problems)),
        Kind::List(items) => {
            bracket(key, node, items, problems);
            for item in items {
                visit("", item, problems);
            }
        }
        Kind::Scalar { plain: true, .. } => comment(node, problems),
        _ => {}
    }
}

/// `starts_with: [EXT]`
fn bracket(key: &str, node: &Node, items: &[Node], problems: &mut Problems) {
    let [Node { kind: Kind::Scalar { text, plain: true }, span }] = items else { return };
    let source = &node.span.source.text;
    let written = source.get(node.span.start..).and_then(|rest| rest.split_inclusive(']').next()).filter(|text| text.starts_with('['));
    let Some(written) = written.filter(|written| !written.contains('\n') && node.span.start + written.len() >= span.end) else { return };
    let mark = text.bytes().all(|byte| byte.is_ascii_uppercase() || b" -_".contains(&byte));
    if !TEXTS.contains(&key) || !(mark || (key == "matches" && text.contains('-'))) {
        return;
    }
    let title = format!("`{written}` is a list of one text, `{text}`");
    problems.warning(&node.span, title, "brackets that belong to the text want quotes; else leave them out");
    problems.mend(&[(node.span.start..node.span.start + written.len(), quoted(written))]);
}

/// `text: ticket #5`
fn comment(node: &Node, problems: &mut Problems) {
    let rest = node.span.source.text[node.span.end..].split('\n').next().unwrap_or("").trim_end();
    let Some(after) = rest.trim_start().strip_prefix('#').filter(|_| rest.starts_with(' ')) else { return };
    if after.starts_with(|first: char| first.is_alphanumeric()) {
        let title = format!("the text ends before `#{}`: a comment begins there", after.split(' ').next().unwrap_or(after));
        problems.warning(&node.span, title, "a text with ` #` in it wants quotes; a comment, a blank after the `#`");
        let range = node.span.start..node.span.end + rest.len();
        let meant = quoted(&node.span.source.text[range.clone()]);
        problems.mend(&[(range, meant)]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::fixes;

    #[test]
    fn a_text_in_brackets_is_told_and_shown_in_quotes() {
        let rule = |when: &str| format!("rules:\n  - name: a\n    when: {when}\n    then: [discard]\n");
        assert_eq!(
            fixes(&rule("{subject: {starts_with: [EXT]}}")),
            ["`[EXT]` is a list of one text, `EXT`\n    when: {subject: {starts_with: '[EXT]'}}"]
        );
        assert_eq!(
            fixes(&rule("{subject: {matches: [a-z]}}")),
            ["`[a-z]` is a list of one text, `a-z`\n    when: {subject: {matches: '[a-z]'}}"]
        );
        assert_eq!(fixes(&rule("{attachment: {extension: [EXE]}, subject: {contains: [casino]}}")), [""; 0]);
    }

    #[test]
    fn a_comment_that_cuts_a_text_is_told_and_shown_in_quotes() {
        let told = fixes("rules:\n  - name: a # one\n    about: ticket #5 of many\n    then: [discard]\n");
        assert_eq!(told, ["the text ends before `#5`: a comment begins there\n    about: 'ticket #5 of many'"]);
    }
}
