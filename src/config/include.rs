//! `include:` in a chain: a pattern becomes rule files, in byte order of their names.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::base::disk;
use crate::chain::link::{self, Link, Mode};
use crate::chain::rule::{RuleFile, Shared};
use crate::yaml::manual::{self, Key};
use crate::yaml::{Kind, Node, Problems, Settings};

pub(super) const ENTRY: &[Key] = &[
    Key::need(
        "include",
        "a path",
        "rules/*.yaml",
        "Rule files, in byte order of their names; `*` never crosses `/`; one that matches no file is an error.",
    ),
    Key::may("when", manual::CONDITION, "{direction: outbound}", "What its rules are asked for; every mail if absent."),
    Key::or(
        "mode",
        link::MODES,
        "enforce",
        "For all its rules, as for one: `observe` is a shadow whose rules see each other, and nobody else sees them. The stricter of this and a rule's own `mode` holds.",
    ),
];

/// Rule files read so far, by path: a file that stands in several chains is read, and tested, once.
pub(super) type Known = BTreeMap<PathBuf, Option<Arc<RuleFile>>>;

/// The links of a chain, in its order. Every problem in every one of their files is reported.
pub(super) fn links(chain: &Node, base: &Path, known: &mut Known, shared: &mut Shared, problems: &mut Problems) -> Vec<Link> {
    let entries = match &chain.kind {
        Kind::Null => &[],
        Kind::List(entries) => entries.as_slice(),
        _ => {
            problems.error(&chain.span, format!("`chain` wants a list, found {}", chain.described()), "such as `- include: rules/*.yaml`");
            &[]
        }
    };
    let mut seen = BTreeSet::new();
    let mut links = Vec::new();
    for entry in entries {
        if let Some(path) = entry.scalar() {
            let title = format!("a chain entry wants a mapping, found {}", entry.described());
            problems.error(&entry.span, title, format!("write `include: {path}`, in a list in brackets `{{include: {path}}}`"));
            continue;
        }
        let Ok(mut settings) = Settings::of("a chain entry", entry, problems) else { continue };
        let pattern = settings.need::<String>("include", problems);
        let when = settings.node("when").map(|node| shared.when(node, problems)).transpose();
        let mode = settings.or("mode", Mode::default(), problems);
        let place = entry.get("include").unwrap_or(entry);
        let finished = settings.finish(problems);
        let Ok(pattern) = pattern else { continue };
        let mut files = Vec::new();
        for path in matching(place, &pattern, base, problems) {
            if !seen.insert(path.clone()) {
                problems.error(&place.span, format!("{} is included twice", path.display()), "each rule file may stand in a chain once");
                continue;
            }
            files.extend(known.entry(path.clone()).or_insert_with(|| RuleFile::read(&path, shared, problems)).clone());
        }
        let (Ok(()), Ok(when)) = (finished, when) else { continue };
        let line = format!("{}:{}", place.span.source.name, place.span.line_column().0);
        links.push(Link { name: pattern.into(), place: line, mode, when, files });
    }
    links
}

/// The files a pattern names; none is an error.
pub(super) fn matching(place: &Node, pattern: &str, base: &Path, problems: &mut Problems) -> Vec<PathBuf> {
    match find(pattern, base) {
        Ok(found) if found.is_empty() => {
            problems.error(&place.span, format!("`{pattern}` matches no file"), format!("looked in {}", shown(base)));
            Vec::new()
        }
        Ok(found) => found,
        Err(error) => {
            problems.error(&place.span, format!("`{pattern}` cannot be looked up: {error}"), "");
            Vec::new()
        }
    }
}

fn shown(directory: &Path) -> String {
    if directory.as_os_str().is_empty() { "this directory".to_owned() } else { directory.display().to_string() }
}

/// The files whose path, seen from `base`, matches `pattern`, in byte order. `*` is any run and `?` one character within a name; neither begins a hidden one.
fn find(pattern: &str, base: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = vec![base.to_owned()];
    for component in Path::new(pattern).components() {
        match component {
            Component::Normal(name) if name.as_bytes().iter().any(|byte| b"*?".contains(byte)) => paths = expanded(&paths, name)?,
            Component::CurDir => {}
            plain => paths.iter_mut().for_each(|path| path.push(plain)),
        }
    }
    paths.retain(|path| path.is_file());
    paths.sort_by(|one, two| one.as_os_str().as_bytes().cmp(two.as_os_str().as_bytes()));
    Ok(paths)
}

/// Everything in these directories that matches one name of a pattern.
fn expanded(directories: &[PathBuf], pattern: &OsStr) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for directory in directories {
        let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        if !here.is_dir() {
            continue;
        }
        let names = disk::list(here)?;
        found.extend(names.into_iter().filter(|name| name_matches(pattern.as_bytes(), name.as_bytes())).map(|name| directory.join(name)));
    }
    Ok(found)
}

/// Whether a name matches, in linear space and without backing up further than the last `*`.
fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.starts_with(b".") && !pattern.starts_with(b".") {
        return false;
    }
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[seen] => (at, seen) = (at + 1, seen + 1),
            _ => match star {
                Some((place, from)) => {
                    star = Some((place, from + 1));
                    (at, seen) = (place + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_within_a_name() {
        for (pattern, name, expected) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", ".yaml", false),
            ("*.yaml", ".a.yaml", false),
            (".*", ".a", true),
            ("*.yaml", "a.yaml~", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("?.yaml", "a.yaml", true),
            ("?.yaml", "ab.yaml", false),
            ("**", "anything", true),
            ("a", "a", true),
        ] {
            assert_eq!(name_matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn files_come_in_byte_order_and_a_star_stays_in_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        for name in
            ["rules/b.yaml", "rules/B.yaml", "rules/a-1.yaml", "rules/a.yaml", "rules/deep/c.yaml", "rules/.hidden.yaml", "rules/readme.md"]
        {
            disk::create_dir_all(base.join(name).parent().unwrap()).unwrap();
            disk::write(&base.join(name), b"").unwrap();
        }
        let found = |pattern| -> Vec<String> {
            let found = find(pattern, base).unwrap();
            found.iter().map(|path| path.strip_prefix(base).unwrap().display().to_string()).collect()
        };
        assert_eq!(found("rules/*.yaml"), ["rules/B.yaml", "rules/a-1.yaml", "rules/a.yaml", "rules/b.yaml"]);
        assert_eq!(found("./rules/*/*.yaml"), ["rules/deep/c.yaml"]);
        assert_eq!(found("rules/a.yaml"), ["rules/a.yaml"]);
        assert_eq!(found("rules/none.yaml"), [""; 0]);
        assert_eq!(found("none/*.yaml"), [""; 0]);
        assert_eq!(found("rules/*"), ["rules/B.yaml", "rules/a-1.yaml", "rules/a.yaml", "rules/b.yaml", "rules/readme.md"]);
    }
}
