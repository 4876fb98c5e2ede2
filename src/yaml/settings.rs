//! Taking a mapping apart key by key, so that a leftover key is an unknown key with its place.

use super::{Edit, FromNode, Key, Kind, Node, Problems, Reported, Span, nearest, quoted};

/// The keys of one mapping that are not taken yet.
#[derive(Debug)]
pub struct Settings<'n> {
    /// What the mapping is, for messages: "`header.remove`".
    pub what: String,
    pub span: Span,
    entries: Vec<Entry<'n>>,
    valid: Vec<&'static str>,
    missing: Vec<&'static str>,
    failed: bool,
}

#[derive(Debug)]
struct Entry<'n> {
    key: &'n Key,
    node: &'n Node,
    taken: bool,
}

impl<'n> Settings<'n> {
    /// The keys of `node`, which must be a mapping (or null: no keys). Duplicate keys are already reported by the parser.
    ///
    /// # Errors
    /// [`Reported`] if it is anything else.
    pub fn of(what: impl Into<String>, node: &'n Node, problems: &mut Problems) -> Result<Settings<'n>, Reported> {
        let what = what.into();
        let entries = match &node.kind {
            Kind::Null => Vec::new(),
            Kind::Map(entries) => entries.iter().map(|(key, node)| Entry { key, node, taken: false }).collect(),
            _ => {
                return Err(problems.error(
                    &node.span,
                    format!("{what} wants a mapping, found {}", node.described()),
                    "`key: value`, or `{key: value}`",
                ));
            }
        };
        Ok(Settings { what, span: node.span.clone(), entries, valid: Vec::new(), missing: Vec::new(), failed: false })
    }

    /// The node under `key`, marked as known and taken.
    pub fn node(&mut self, key: &'static str) -> Option<&'n Node> {
        if !self.valid.contains(&key) {
            self.valid.push(key);
        }
        // The parser has reported a duplicate; taking all of them keeps it from being an unknown key as well.
        let mut found = None;
        for entry in self.entries.iter_mut().filter(|entry| entry.key.text == key) {
            entry.taken = true;
            found = found.or(Some(entry.node));
        }
        found
    }

    /// The value under `key`, or none if it is absent or null.
    ///
    /// # Errors
    /// [`Reported`] if it is there and wrong.
    pub fn take<T: FromNode>(&mut self, key: &'static str, problems: &mut Problems) -> Result<Option<T>, Reported> {
        match self.node(key).filter(|node| !matches!(node.kind, Kind::Null)) {
            Some(node) => self.read(key, node, problems).map(Some),
            None => Ok(None),
        }
    }

    /// The value under `key`, which must be there.
    ///
    /// # Errors
    /// [`Reported`] if it is absent or wrong.
    pub fn need<T: FromNode>(&mut self, key: &'static str, problems: &mut Problems) -> Result<T, Reported> {
        if let Some(node) = self.node(key) {
            return self.read(key, node, problems);
        }
        self.failed = true;
        self.missing.push(key);
        Err(problems.error(&self.span, self.lacks(key), format!("`{key}:` is needed here")))
    }

    fn lacks(&self, key: &str) -> String {
        format!("{} has no `{key}`", self.what)
    }

    /// The value under `key`, or `default`; a wrong one is reported, and [`finish`](Settings::finish) remembers it.
    pub fn or<T: FromNode>(&mut self, key: &'static str, default: T, problems: &mut Problems) -> T {
        self.take(key, problems).ok().flatten().unwrap_or(default)
    }

    fn read<T: FromNode>(&mut self, key: &str, node: &Node, problems: &mut Problems) -> Result<T, Reported> {
        let value = problems.naming(format!("`{key}`"), |problems| T::from_node(node, problems));
        self.failed |= value.is_err();
        value
    }

    /// Reports every key that was not taken, with the nearest one asked for.
    ///
    /// # Errors
    /// [`Reported`] if there was one, or if a value taken before was wrong.
    pub fn finish(self, problems: &mut Problems) -> Result<(), Reported> {
        let mut result = if self.failed { Err(Reported) } else { Ok(()) };
        for (at, entry) in self.entries.iter().enumerate().filter(|(_, entry)| !entry.taken && !entry.key.text.is_empty()) {
            // One mistake is told once: the key that is missing is there, with a slip in it.
            if let Some(meant) = nearest(&entry.key.text, self.valid.iter().copied()).filter(|meant| self.missing.contains(meant)) {
                problems.take_back(&self.span, &self.lacks(meant));
            }
            let valid = self.valid.iter().copied();
            result = Err(problems.unknown(&entry.key.span, &format!("key in {}:", self.what), &entry.key.text, valid));
            if let Some(edit) = self.comma(at) {
                problems.mend(&[edit]);
            }
        }
        result
    }

    /// `{reason: one, two}`: a word without a value after a plain text was probably part of it.
    fn comma(&self, at: usize) -> Option<Edit> {
        let (text, word) = (&self.entries.get(at.checked_sub(1)?)?.node, &self.entries[at]);
        let source = &word.key.span.source.text;
        let bare = matches!(word.node.kind, Kind::Null) && !source[word.key.span.end..].trim_start().starts_with(':');
        let plain = matches!(text.kind, Kind::Scalar { plain: true, .. });
        let between = source.get(text.span.end..word.key.span.start)?;
        (bare && plain && between.trim() == ",").then(|| {
            let range = text.span.start..word.key.span.end;
            (range.clone(), quoted(&source[range]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Source, parse};
    use super::*;

    fn with(text: &str, take: impl FnOnce(&mut Settings<'_>, &mut Problems)) -> Vec<String> {
        let mut problems = Problems::default();
        let node = parse(&Source::new("test.yaml", text), &mut problems).unwrap();
        let mut settings = Settings::of("`thing`", &node, &mut problems).unwrap();
        take(&mut settings, &mut problems);
        let _ = settings.finish(&mut problems);
        problems.iter().map(|problem| format!("{} | {}", problem.title, problem.label)).collect()
    }

    #[test]
    fn a_leftover_key_is_unknown_and_the_nearest_one_is_named() {
        let told = with("name: a\nvaleu: b\nlonger: c", |settings, problems| {
            let _: (Option<String>, Option<String>) = (settings.take("name", problems).unwrap(), settings.take("value", problems).unwrap());
        });
        assert_eq!(
            told,
            ["unknown key in `thing`: `valeu` | did you mean `value`?", "unknown key in `thing`: `longer` | known: name, value"]
        );
    }

    #[test]
    fn a_key_that_is_needed_and_has_a_slip_in_it_is_told_once() {
        let told = with("nmae: a\nother: b", |settings, problems| {
            assert!(settings.need::<String>("name", problems).is_err());
            assert!(settings.need::<String>("port", problems).is_err());
        });
        assert_eq!(
            told,
            [
                "`thing` has no `port` | `port:` is needed here",
                "unknown key in `thing`: `nmae` | did you mean `name`?",
                "unknown key in `thing`: `other` | known: name, port"
            ]
        );
    }

    #[test]
    fn all_mistakes_of_a_mapping_are_found_and_carry_the_name_of_their_key() {
        let told = with("count: many\nflag: yes\nlist: [1, x]", |settings, problems| {
            settings.or("count", 1_u32, problems);
            settings.or("flag", false, problems);
            settings.or("list", vec![1_u64], problems);
            assert!(settings.need::<String>("name", problems).is_err());
        });
        assert_eq!(
            told,
            [
                "`count` wants a whole number, found `many` | ",
                "`flag` wants true or false, found `yes` | ",
                "`list` wants a whole number, found `x` | ",
                "`thing` has no `name` | `name:` is needed here"
            ]
        );
    }

    #[test]
    fn a_text_that_a_comma_cut_is_shown_in_quotes() {
        let mut problems = Problems::default();
        let node = parse(&Source::new("test.yaml", "{reason: executable, it's bad, code: 1}"), &mut problems).unwrap();
        let mut settings = Settings::of("`thing`", &node, &mut problems).unwrap();
        let _: (Option<String>, u32) = (settings.take("reason", &mut problems).unwrap(), settings.or("code", 0, &mut problems));
        assert!(settings.finish(&mut problems).is_err());
        let problem = problems.iter().next().unwrap();
        assert_eq!(problem.title, "unknown key in `thing`: `it's bad`");
        assert_eq!(problem.fix.as_ref().unwrap().lines, ["{reason: 'executable, it''s bad', code: 1}"]);
    }

    #[test]
    fn finish_fails_when_a_value_was_wrong_although_a_default_stood_in() {
        let mut problems = Problems::default();
        let node = parse(&Source::new("test.yaml", "count: many"), &mut problems).unwrap();
        let mut settings = Settings::of("`thing`", &node, &mut problems).unwrap();
        assert_eq!(settings.or("count", 7_u32, &mut problems), 7);
        assert!(settings.finish(&mut problems).is_err());
    }

    #[test]
    fn a_text_where_a_mapping_belongs_is_reported() {
        let mut problems = Problems::default();
        let node = parse(&Source::new("test.yaml", "word"), &mut problems).unwrap();
        assert!(Settings::of("`thing`", &node, &mut problems).is_err());
        assert_eq!(problems.iter().next().unwrap().title, "`thing` wants a mapping, found `word`");
    }
}
