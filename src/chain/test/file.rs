//! `chain_tests` of transom.yaml: files of tests that run the whole chain.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Report, Test, example};
use crate::base::disk;
use crate::chain::Chain;
use crate::chain::rule::{Shared, list};
use crate::mail::{Inside, Standing};
use crate::yaml::{self, Node, Problems, Settings, Source};

/// A file with nothing but tests.
#[derive(Debug)]
pub struct TestFile {
    /// Where it lies; files that its tests name are relative to it.
    pub path: PathBuf,
    pub tests: Vec<Test>,
}

impl TestFile {
    /// Reads the file at `path`; `rules` are the names that `fired` may use. None if it cannot be read as YAML; every problem is reported.
    pub fn read(path: &Path, rules: &[&str], shared: &mut Shared, problems: &mut Problems) -> Option<TestFile> {
        let name = path.display().to_string();
        let text = match disk::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                problems.missing(format!("cannot read {name}"), disk::cause(&error));
                return None;
            }
        };
        let node = yaml::parse(&Source::new(name, text), problems)?;
        Some(TestFile::load(&node, path, rules, shared, problems))
    }

    fn load(node: &Node, path: &Path, rules: &[&str], shared: &mut Shared, problems: &mut Problems) -> TestFile {
        let mut file = TestFile { path: path.to_owned(), tests: Vec::new() };
        let Ok(mut settings) = Settings::of("a file of chain tests", node, problems) else { return file };
        let conditions = shared.conditions.clone();
        for node in list(&mut settings, "tests", problems) {
            file.tests.extend(Test::load(node, rules, &mut shared.load(&conditions, problems)));
        }
        settings.finish(problems).ok();
        file
    }
}

/// What a listener gives its mail: its chain, and where its clients stand if that does not go by their address.
pub type Seat = (Arc<Chain>, Option<Standing>);

/// Runs each test of a file through the whole chain of the listener that it names; the seat of none is that of mail that names none.
#[must_use]
pub fn run_whole(file: &TestFile, seat: &dyn Fn(Option<&str>) -> Option<Seat>) -> Vec<Report> {
    let directory = file.path.parent().unwrap_or(Path::new(""));
    let unnamed = example::origin().listener;
    let one = |test: &Test| {
        let listener = &test.origin.listener;
        let found = seat(Some(listener)).or_else(|| seat(None).filter(|_| *listener == unnamed));
        let Some((chain, standing)) = found else {
            return test.not_run(format!("no listener is called `{listener}`"));
        };
        let chain = Chain::clone(&chain);
        let inside = with_examples(&chain.inside);
        test.run(&Chain { inside, ..chain }, standing, directory)
    };
    file.tests.iter().map(one).collect()
}

/// What is inside, and what is where a test says nothing else.
pub(super) fn with_examples(inside: &Inside) -> Arc<Inside> {
    let mut inside = inside.clone();
    inside.domains.extend(example::inside().domains.iter().cloned());
    Arc::new(inside)
}
