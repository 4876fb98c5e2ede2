//! A secret is never written into the configuration: it says where it is to be had, `file:PATH` or `env:NAME`.

use std::path::Path;

use crate::base::secret::Secret;
use crate::base::{disk, machine};
use crate::yaml::{Node, Problems, Reported};

/// What the manual says of it.
pub(super) const WANTS: &str = "file:PATH or env:NAME";

/// The secret that a node names; paths are relative to `base`. What is written there is never told: it may be the secret itself.
pub(super) fn read(what: &str, node: &Node, base: &Path, problems: &mut Problems) -> Result<Secret, Reported> {
    let text = node.scalar().unwrap_or_default();
    let bytes = if let Some(path) = text.strip_prefix("file:").filter(|path| !path.is_empty()) {
        let path = base.join(path);
        disk::read(&path).map_err(|error| {
            problems.error(
                &node.span,
                format!("{what} cannot be read from {}: {error}", path.display()),
                "one line, readable by this server",
            )
        })?
    } else if let Some(name) = text.strip_prefix("env:").filter(|name| !name.is_empty()) {
        let label = "with systemd `Environment=` or `EnvironmentFile=`; or say `file:PATH`";
        let value = machine::variable(name);
        value.ok_or_else(|| problems.error(&node.span, format!("{what}: the environment has no `{name}`"), label))?
    } else {
        let label = "`file:PATH` or `env:NAME` is wanted: where it is, not what it is";
        return Err(problems.error(&node.span, format!("{what} is not to be written here"), label));
    };
    let bytes = bytes.strip_suffix(b"\n").map_or(bytes.as_slice(), |line| line.strip_suffix(b"\r").unwrap_or(line));
    if bytes.is_empty() {
        return Err(problems.error(&node.span, format!("{what} is empty"), ""));
    }
    Ok(Secret::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Source, parse};

    fn secret(text: &str, base: &Path) -> Result<Secret, String> {
        let mut problems = Problems::default();
        let node = parse(&Source::new("test.yaml", text), &mut problems).unwrap();
        read("`password`", &node, base, &mut problems).map_err(|Reported| problems.iter().next().unwrap().title.clone())
    }

    #[test]
    fn one_final_line_end_is_no_part_of_a_secret() {
        let directory = tempfile::tempdir().unwrap();
        for (content, wanted) in
            [("pencil", "pencil"), ("pencil\n", "pencil"), ("pencil\r\n", "pencil"), ("pencil\n\n", "pencil\n"), (" p ", " p ")]
        {
            disk::write(&directory.path().join("secret"), content.as_bytes()).unwrap();
            assert_eq!(secret("file:secret", directory.path()), Ok(Secret::new(wanted)));
        }
        disk::write(&directory.path().join("secret"), b"\n").unwrap();
        assert_eq!(secret("file:secret", directory.path()), Err("`password` is empty".to_owned()));
    }

    #[test]
    fn a_secret_comes_from_the_environment() {
        assert_eq!(secret("env:PATH", Path::new("")), Ok(Secret::new(std::env::var("PATH").unwrap())));
        assert_eq!(secret("env:NO_SUCH_NAME", Path::new("")), Err("`password`: the environment has no `NO_SUCH_NAME`".to_owned()));
    }

    #[test]
    fn what_is_written_in_its_place_is_not_told() {
        for wrong in ["hunter2", "file:", "env:", "[a]"] {
            assert_eq!(secret(wrong, Path::new("")), Err("`password` is not to be written here".to_owned()));
        }
        assert!(secret("file:none", Path::new("/")).unwrap_err().starts_with("`password` cannot be read from /none: "));
    }
}
