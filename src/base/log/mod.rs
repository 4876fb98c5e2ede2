//! The log: one line an event, to standard error, as text or JSON.
//!
//! An event becomes a line in the thread it happens in (`line`) and is put into a queue (`queue`) that a thread of its own writes out: a reader of our standard
//! error that stands still never stops the mail.

mod line;
mod queue;

use std::cell::Cell;
use std::sync::Arc;

use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use super::clock;
use line::Line;
use queue::Queue;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// What is worth a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl Level {
    /// How the levels are spelled.
    pub const WORDS: [(&str, Level); 5] =
        [("error", Level::Error), ("warn", Level::Warn), ("info", Level::Info), ("debug", Level::Debug), ("trace", Level::Trace)];

    fn word(self) -> &'static str {
        Level::WORDS.iter().find(|(_, level)| *level == self).map_or("info", |(word, _)| word)
    }
}

/// Ends logging: dropped, it waits until every line is written, but not for ever.
#[derive(Debug)]
#[must_use = "the last lines are written when it is dropped"]
pub struct Guard {
    queue: Arc<Queue>,
    /// None where `RUST_LOG` decides.
    filter: Option<reload::Handle<EnvFilter, Registry>>,
}

impl Guard {
    /// Another format and level from the next line on. `RUST_LOG` still wins.
    pub fn change(&self, format: Format, level: Level) {
        self.queue.set_format(format);
        if let Some(filter) = &self.filter {
            // It fails only where the process has stopped logging.
            let _ = filter.reload(filter_of(level));
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.queue.end();
    }
}

/// Starts logging to standard error, for the whole process; `everywhere` are fields that every line carries. `RUST_LOG` wins over `level`. A process that logs already goes on as it does.
pub fn start(format: Format, level: Level, everywhere: &'static [(&'static str, &'static str)]) -> Guard {
    let queue = Queue::start(format, Box::new(std::io::stderr()));
    let wanted = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = wanted.as_deref().map(EnvFilter::try_new).and_then(Result::ok);
    let (misread, fixed) = (wanted.is_some() && filter.is_none(), filter.is_some());
    let (filter, handle) = reload::Layer::new(filter.unwrap_or_else(|| filter_of(level)));
    let lines = Lines { everywhere, queue: Arc::clone(&queue) };
    if tracing_subscriber::registry().with(lines.with_filter(filter)).try_init().is_ok() && misread {
        tracing::warn!("RUST_LOG is no filter such as `debug` or `transom::relay=debug`: log.level of the configuration counts");
    }
    Guard { queue, filter: (!fixed).then_some(handle) }
}

/// Libraries speak to programmers, not to operators.
fn filter_of(level: Level) -> EnvFilter {
    EnvFilter::new(format!("off,transom={}", level.word()))
}

thread_local! {
    /// The room for the lines of this thread.
    static LINE: Cell<Line> = Cell::default();
}

/// Events → lines → queue.
struct Lines {
    everywhere: &'static [(&'static str, &'static str)],
    queue: Arc<Queue>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Taken, not borrowed: a value that logs while it is written gets a line of its own.
        let mut line = LINE.try_with(Cell::take).unwrap_or_default();
        line.begin(self.queue.format(), clock::now(), *event.metadata().level());
        event.record(&mut line);
        self.queue.put(line.end(self.everywhere));
        // A thread that ends keeps nothing.
        let _ = LINE.try_with(|kept| kept.set(line.kept()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(format: Format, log: impl FnOnce()) -> String {
        let (queue, written) = queue::tests::queue();
        queue.set_format(format);
        let lines = Lines { everywhere: &[("chain", "off")], queue: Arc::clone(&queue) };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), log);
        drop(Guard { queue, filter: None });
        let text = written.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    }

    /// A line without its time.
    fn rest(line: &str) -> &str {
        line.split_once(' ').unwrap().1
    }

    #[test]
    fn a_line_is_time_level_message_and_fields() {
        let text = logged(Format::Text, || {
            tracing::info!(id = "01JD", from = "<a@outside.example>", n = 1, reply = "250 2.0.0 Ok", held = false, "mail");
        });
        assert_eq!(rest(&text), "INFO mail id=01JD from=<a@outside.example> n=1 reply=\"250 2.0.0 Ok\" held=false chain=off\n");
        let time: jiff::Timestamp = text.split(' ').next().unwrap().parse().unwrap();
        assert!(text.starts_with(&format!("{time:.3} ")));
    }

    #[test]
    fn a_peer_can_forge_no_line_and_no_field() {
        let reply = "250 ok\r\n2026-11-21T10:14:03.120Z INFO mail outcome=deliver \u{1b}[2J\u{202e} \"quoted\" \\";
        let text = logged(Format::Text, || tracing::warn!(reply, helo = %"a=b", "said {reply}"));
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}') && !text.contains('\r'));
        assert!(
            text.contains(r#"reply="250 ok\r\n2026-11-21T10:14:03.120Z INFO mail outcome=deliver \u{1b}[2J\u{202e} \"quoted\" \\""#),
            "{text}"
        );
        assert!(text.contains(r#"helo="a=b""#), "{text}");
    }

    #[test]
    fn json_keeps_numbers_and_the_order_of_fields() {
        let text = logged(Format::Json, || tracing::error!(bytes = 18_208_u64, ms = 1.5, to = ?["a", "b"], ok = true, "it \"failed\"\n"));
        let (_, fields) = text.split_once(',').unwrap();
        assert_eq!(
            fields,
            "\"level\":\"error\",\"message\":\"it \\\"failed\\\"\\n\",\"bytes\":18208,\"ms\":1.5,\"to\":\"[\\\"a\\\", \\\"b\\\"]\",\"ok\":true,\"chain\":\"off\"}\n"
        );
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(value["time"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn format_and_level_change_from_one_line_to_the_next() {
        let (queue, written) = queue::tests::queue();
        let (filter, handle) = reload::Layer::new(filter_of(Level::Info));
        let guard = Guard { queue: Arc::clone(&queue), filter: Some(handle) };
        let lines = Lines { everywhere: &[], queue };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines.with_filter(filter)), || {
            tracing::debug!("not wanted");
            tracing::info!("one");
            guard.change(Format::Json, Level::Debug);
            tracing::debug!("two");
            guard.change(Format::Text, Level::Warn);
            tracing::info!("not wanted any more");
        });
        drop(guard);
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(matches!(lines[..], [one, two] if one.ends_with("INFO one") && two.ends_with("\"message\":\"two\"}")), "{text}");
    }

    #[test]
    fn a_value_of_no_end_is_cut() {
        let text = logged(Format::Text, || tracing::info!(to = "x".repeat(1_000_000), "mail"));
        assert!(text.len() < 20_000 && text.contains("x… chain=off"), "{}", text.len());
    }
}
