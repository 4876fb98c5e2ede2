//! Problems drawn for a terminal.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level as Mark, Renderer, Snippet};

use super::{Level, Problem};

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
            let mut annotation = AnnotationKind::Primary.span(span.start..span.end);
            if !problem.label.is_empty() {
                annotation = annotation.label(problem.label.as_str());
            }
            report = report.element(Snippet::source(span.source.text.as_str()).path(span.source.name.as_str()).annotation(annotation));
        }
        None if !problem.label.is_empty() => report = report.element(Mark::HELP.message(problem.label.as_str())),
        None => {}
    }
    renderer.render(&[report]) + "\n"
}
