//! Problems drawn for a terminal.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level as Mark, Renderer, Snippet};

use super::{Level, Problem, Span};

/// One problem, with the line it stands on; ends with a line end.
pub(super) fn draw(problem: &Problem, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Unicode);
    let level = match problem.level {
        Level::Error => Mark::ERROR,
        Level::Warning => Mark::WARNING,
    };
    let mut report = Group::with_title(level.primary_title(problem.title.as_str()));
    match &problem.span {
        Some(span) => {
            let mut annotation = AnnotationKind::Primary.span(first_line(span));
            if !problem.label.is_empty() {
                annotation = annotation.label(problem.label.as_str());
            }
            report = report.element(Snippet::source(span.source.text.as_str()).path(span.source.name.as_str()).annotation(annotation));
        }
        None if !problem.label.is_empty() => report = report.element(Mark::HELP.message(problem.label.as_str())),
        None => {}
    }
    let mut text = renderer.render(&[report]) + "\n";
    if let Some(fix) = &problem.fix {
        text.push_str("help: write\n");
        text.extend(fix.lines.iter().zip(fix.line..).map(|(line, number)| format!("{number} │ {line}\n")));
    }
    text
}

/// What a place covers of its first line: a mapping of twenty lines needs no twenty lines of excerpt.
fn first_line(span: &Span) -> Range<usize> {
    let text = &span.source.text[span.start..span.end];
    let line = text.find(['\r', '\n']).map_or(text, |end| &text[..end]);
    span.start..span.start + line.trim_end().len()
}

#[cfg(test)]
mod tests {
    use super::super::{Problems, Source};

    fn drawn(text: &str, words: &str, label: &str) -> String {
        let source = Source::new("rules/clean.yaml", text);
        let start = text.find(words).unwrap();
        let mut problems = Problems::default();
        problems.error(&source.span(start, start + words.len()), "something is wrong", label);
        problems.render(false)
    }

    #[test]
    fn an_operator_sees_file_line_column_the_words_and_what_to_do() {
        let expected = "\
error: something is wrong
  ╭▸ rules/clean.yaml:2:4
  │
2 │ bä: fifty # more
  ╰╴    ━━━━━ a size is wanted
";
        assert_eq!(drawn("a: b\nbä: fifty # more\nc: d\n", "fifty", "a size is wanted"), expected.replace(":2:4", ":2:5"));
    }

    #[test]
    fn of_a_long_mapping_only_the_first_line_is_shown() {
        let text = drawn("a:\n  b: c\n  d: e\nf: g\n", "b: c\n  d: e", "");
        assert!(text.contains("━━━━\n") && !text.contains("d: e"), "{text}");
    }

    #[test]
    fn the_end_of_a_file_is_a_place() {
        for text in ["a: [", "a: [\n", "ä"] {
            let source = Source::new("x.yaml", text);
            let mut problems = Problems::default();
            problems.error(&source.span(text.len(), text.len()), "it ends too early", "here");
            assert!(problems.render(true).contains("x.yaml"), "{text}");
        }
    }

    #[test]
    fn the_report_ends_with_a_count() {
        let mut problems = Problems::default();
        problems.missing("no such file", "");
        assert_eq!(problems.summary("nothing was started"), "1 error; nothing was started");
        problems.missing("no such file", "");
        assert_eq!(problems.summary("nothing was started"), "2 errors; nothing was started");
        assert_eq!(problems.render(false), "error: no such file\nerror: no such file\n");
    }
}
