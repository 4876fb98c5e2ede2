//! The house rules that a compiler does not know, read from the source: layers, sizes, and who may do what.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers of `src/lib.rs`, from the top. A layer imports only from later rows; those of one row do not know each other.
const LAYERS: &[&[&str]] = &[
    &["cli"],
    &["admin"],
    &["server"],
    &["relay"],
    &["config"],
    &["chain", "store"],
    &["mail"],
    &["message", "smtp", "tls", "yaml"],
    &["base"],
];

/// The longest a file may be, its tests and tables of data not counted.
const LINES: usize = 400;

/// Longer files, each with its reason.
const LONGER: &[(&str, usize, &str)] = &[];

/// What may be said only in some places: the words, where they may stand, and where to go instead.
const PLACES: &[(&[&str], &[&str], &str)] = &[
    (
        &["println!", "eprintln!", "print!", "eprint!"],
        &["cli/", "main.rs"],
        "only the command line writes to the terminal; log with tracing",
    ),
    (&["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now"], &["base/"], "base::clock"),
    (&["SystemRandom", "Ulid::new"], &["base/"], "base::random"),
    (&["std::fs", "fs::File", "tokio::fs"], &["base/"], "base::disk"),
    (&["todo!", "unimplemented!"], &[], "finish it"),
];

struct Source {
    /// Below `src/`.
    name: String,
    /// Without the tests at its end and without comments.
    code: Vec<(usize, String)>,
}

#[test]
fn layers_import_only_downward() {
    let mut broken = Vec::new();
    for source in sources() {
        let own = source.name.split(['/', '.']).next().unwrap();
        let Some(own_row) = row(own) else { continue };
        for (number, other) in imports(&source.code) {
            if other != own && row(&other).is_some_and(|other_row| other_row <= own_row) {
                broken.push(format!("src/{}:{number}: `{own}` imports `{other}`, which is not below it", source.name));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_module_of_the_library_has_a_layer() {
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let modules = library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let strays: Vec<_> = modules.filter(|module| row(module).is_none()).collect();
    assert!(strays.is_empty(), "give {strays:?} a place in LAYERS and in the map of src/lib.rs");
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for source in sources() {
        let limit = LONGER.iter().find(|(name, ..)| *name == source.name).map_or(LINES, |(_, limit, _)| *limit);
        let lines = source.code.len() - data_lines(&source.code);
        if lines > limit {
            long.push(format!("src/{} has {lines} lines; {limit} are allowed", source.name));
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn each_file_begins_by_saying_what_it_is() {
    let silent: Vec<_> = files().into_iter().filter(|path| !fs::read_to_string(path).unwrap().starts_with("//! ")).collect();
    assert!(silent.is_empty(), "no module line on top of {silent:?}");
}

#[test]
fn things_are_done_in_their_place() {
    let mut strays = Vec::new();
    for source in sources() {
        for (words, places, instead) in PLACES {
            if places.iter().any(|place| source.name.starts_with(place)) {
                continue;
            }
            for (number, line) in &source.code {
                if let Some(word) = words.iter().find(|word| says(line, word)) {
                    strays.push(format!("src/{}:{number}: `{word}`: {instead}", source.name));
                }
            }
        }
    }
    assert!(strays.is_empty(), "{}", strays.join("\n"));
}

/// The fields of a `Reply` are private to its module, so the compiler lets nobody else make one; this keeps it so, and nobody writes one as text.
#[test]
fn replies_are_made_in_one_module() {
    let mut strays = Vec::new();
    for source in sources().iter().filter(|source| ["server/", "smtp/"].iter().any(|layer| source.name.starts_with(layer))) {
        if source.name == "smtp/reply.rs" {
            let fields =
                source.code.iter().skip_while(|(_, line)| !line.starts_with("pub struct Reply ")).take_while(|(_, line)| line != "}");
            let public = fields.filter(|(_, line)| line.trim_start().starts_with("pub ") && line.contains(':'));
            strays.extend(public.map(|(number, _)| format!("src/{}:{number}: a public field of `Reply`", source.name)));
        } else if !source.name.starts_with("smtp/reply/") {
            let written = source.code.iter().filter(|(_, line)| writes_a_reply(line));
            strays.extend(written.map(|(number, _)| format!("src/{}:{number}: a reply as text: name it in smtp/reply.rs", source.name)));
        }
    }
    assert!(strays.is_empty(), "{}", strays.join("\n"));
}

#[test]
fn the_rules_above_see_what_they_should() {
    let code: Vec<_> = ["use crate::{message::Message, smtp::path::Path};", "    crate::store::Store::open()", "use crate::base::clock;"]
        .iter()
        .enumerate()
        .map(|(number, line)| (number + 1, (*line).to_owned()))
        .collect();
    let seen: Vec<_> = imports(&code).into_iter().map(|(_, module)| module).collect();
    assert_eq!(seen, ["message", "smtp", "store", "base"]);
    assert!(says("    eprintln!(\"x\");", "eprintln!") && !says("    eprintln!(\"x\");", "println!"));
    assert!(says("use std::fs::File;", "fs::File") && !says("use std::os::unix::fs::FileTypeExt;", "fs::File"));
    assert!(writes_a_reply(r#"out.write(b"250 2.0.0 ok")"#) && !writes_a_reply(r#""2500 bytes", "25 ""#));
    assert!(row("cli") < row("base") && row("message") == row("smtp") && row("lib").is_none());
}

/// The place of a module in the order of layers.
fn row(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Line and module of each `crate::module` and of each module in `use crate::{…}`.
fn imports(code: &[(usize, String)]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = code.iter();
    while let Some((number, line)) = lines.next() {
        for (at, _) in line.match_indices("crate::") {
            let mut rest = line[at + "crate::".len()..].to_owned();
            if !rest.starts_with('{') {
                found.push((*number, word(&rest)));
                continue;
            }
            while rest.matches('{').count() > rest.matches('}').count() {
                let Some((_, more)) = lines.next() else { break };
                rest.push_str(more.trim());
            }
            found.extend(members(&rest).into_iter().map(|member| (*number, member)));
        }
    }
    found
}

/// The first words of what stands between the outermost braces, split at the commas that belong to them.
fn members(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut found) = (0, 1, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' if depth == 1 => {
                found.push(word(&group[start..at]));
                start = at + 1;
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    found.push(word(&group[start..at]));
                    break;
                }
            }
            _ => {}
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Whether the words stand in this line, not as a piece of a longer name.
fn says(line: &str, words: &str) -> bool {
    let of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(words).any(|(at, _)| {
        let begins_inside = line[..at].ends_with(of_name);
        let ends_inside = words.ends_with(of_name) && line[at + words.len()..].starts_with(of_name);
        !begins_inside && !ends_inside
    })
}

/// Whether a string in this line begins as a reply does: `"250 `, `b"554-`.
fn writes_a_reply(line: &str) -> bool {
    line.split('"').skip(1).any(|text| {
        let bytes = text.as_bytes();
        bytes.len() > 3 && b"245".contains(&bytes[0]) && bytes[1..3].iter().all(u8::is_ascii_digit) && b" -".contains(&bytes[3])
    })
}

/// Lines inside constants that are lists: `const NAME: … = &[` up to the `];` at the same indent.
fn data_lines(code: &[(usize, String)]) -> usize {
    let (mut count, mut until) = (0, None::<String>);
    for (_, line) in code {
        if let Some(end) = &until {
            count += 1;
            if line.starts_with(end.as_str()) {
                until = None;
            }
        } else if (line.contains("const ") || line.contains("static ")) && line.trim_end().ends_with('[') {
            let indent = line.len() - line.trim_start().len();
            until = Some(format!("{}]", " ".repeat(indent)));
        }
    }
    count
}

fn sources() -> Vec<Source> {
    let base = root().join("src");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(&base).unwrap().to_str().unwrap().to_owned();
        // By house rule the tests stand at the end of a file.
        let tests = ["mod tests {", "pub(super) mod tests {"].iter().find_map(|line| text.find(&format!("\n#[cfg(test)]\n{line}")));
        let without_tests = tests.map_or(&*text, |at| &text[..at]);
        let code = without_tests.lines().enumerate().map(|(at, line)| (at + 1, without_comment(line).to_owned())).collect();
        Source { name, code }
    };
    files().into_iter().map(read).collect()
}

fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with("//") {
        return "";
    }
    line.split_once(" // ").map_or(line, |(code, _)| code)
}

fn files() -> Vec<PathBuf> {
    let (mut open, mut found) = (vec![root().join("src")], Vec::new());
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                // A file of nothing but tests, declared under `#[cfg(test)]` by its parent, is no code of the product.
                if path.file_name().is_none_or(|name| name != "tests.rs") {
                    found.push(path);
                }
            }
        }
    }
    found.sort();
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
