//! `transom man`: manual pages, one for each subcommand.

use std::path::PathBuf;

use clap::builder::Resettable;

use super::{Exit, Global, command, complain, say};
use crate::base::disk;

const EXAMPLES: &str = "\
Examples:
  transom man /usr/local/share/man/man1
  transom man . && man ./transom-serve.1";

/// Writes manual pages into a directory
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Made if it is not there
    directory: PathBuf,
}

/// Writes `transom.1` and `transom-SUBCOMMAND.1`.
pub fn run(Args { directory }: Args, _: &Global) -> Exit {
    let written = disk::create_dir_all(&directory).and_then(|()| {
        let mut names = Vec::new();
        for (name, page) in pages()? {
            let path = directory.join(name);
            disk::write(&path, &page)?;
            names.push(path.display().to_string());
        }
        Ok(names)
    });
    match written {
        Ok(names) => say(&(names.join("\n") + "\n")),
        Err(error) => {
            complain(&format!("error: cannot write manual pages into {}: {error}", directory.display()));
            Exit::Io
        }
    }
}

/// Each page with its file name.
fn pages() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut all = Vec::new();
    let mut root = command();
    root.build();
    let mut open = vec![("transom".to_owned(), root)];
    while let Some((name, command)) = open.pop() {
        open.extend(command.get_subcommands().map(|inner| (format!("{name}-{}", inner.get_name()), inner.clone())));
        let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let mut page = Vec::new();
        clap_mangen::Man::new(command.after_help(Resettable::Reset))
            .title(name.to_uppercase())
            .source(concat!("transom ", env!("CARGO_PKG_VERSION")))
            .render(&mut page)?;
        page.extend(verbatim(&examples).into_bytes());
        all.push((format!("{name}.1"), page));
    }
    all.sort();
    Ok(all)
}

/// What stands below a command's help, each line as it is: `clap_mangen` would fill the examples into a paragraph.
fn verbatim(text: &str) -> String {
    let Some((_, text)) = text.split_once("Examples:\n") else { return String::new() };
    let line = |line: &str| format!("\\&{}\n", line.replace('\\', "\\e").replace('-', "\\-"));
    format!(".SH EXAMPLES\n.nf\n{}.fi\n", text.lines().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subcommand_has_a_page() {
        let names: Vec<String> = pages().unwrap().into_iter().map(|(name, _)| name).collect();
        for name in ["transom.1", "transom-serve.1", "transom-check.1", "transom-quarantine.1", "transom-user-add.1", "transom-man.1"] {
            assert!(names.iter().any(|page| page == name), "{name} in {names:?}");
        }
    }

    #[test]
    fn what_stands_below_the_options_is_no_wider_than_a_terminal() {
        fn look(command: &clap::Command) {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in text.lines() {
                assert!(line.chars().count() <= 100, "{}: {line}", command.get_name());
            }
            command.get_subcommands().for_each(look);
        }
        look(&super::super::command());
    }

    #[test]
    fn an_example_stays_on_its_line() {
        let (_, page) = pages().unwrap().into_iter().find(|(name, _)| name == "transom-check.1").unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("\n.SH EXAMPLES\n.nf\n\\&  transom check\n\\&  transom check \\-\\-config"), "{page}");
        assert!(!page.contains(".SH EXTRA"), "{page}");
    }
}
