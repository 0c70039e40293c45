//! Logs on stderr: one line for each event of `tracing`, with its fields.
//!
//! A subscriber of our own: `tracing-subscriber` would be a fifth more crates for this.

use std::fmt::{self, Write as _};
use std::io::{IsTerminal, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::args::Verbosity;

/// Sends logs of this verbosity to stderr from now on. With `problems` false, the problems that a node
/// reports are left out, because somebody else prints them.
pub(crate) fn start(verbosity: Verbosity, problems: bool) {
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // It fails only the second time.
    let _ = tracing::subscriber::set_global_default(Stderr {
        level: level(verbosity),
        color,
        problems,
    });
}

fn level(verbosity: Verbosity) -> LevelFilter {
    match verbosity {
        Verbosity::Quiet => LevelFilter::ERROR,
        Verbosity::Normal => LevelFilter::WARN,
        Verbosity::Verbose => LevelFilter::DEBUG,
        Verbosity::Everything => LevelFilter::TRACE,
    }
}

struct Stderr {
    level: LevelFilter,
    color: bool,
    problems: bool,
}

impl Stderr {
    /// Who was let in for the first time is told unless only errors are.
    fn most(&self) -> LevelFilter {
        if self.level == LevelFilter::ERROR {
            self.level
        } else {
            self.level.max(LevelFilter::INFO)
        }
    }
}

/// Whom the allowlist refused and, in mode learn, noted.
const ADMISSION: &str = "pinhole_node::admission";

impl Subscriber for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The libraries beneath speak of single packets; that is for -vv.
        let target = metadata.target();
        let ours = target.starts_with("pinhole") || target.starts_with("node::");
        let limit = if target == ADMISSION {
            self.most()
        } else if ours || self.level == LevelFilter::TRACE {
            self.level
        } else {
            self.level.min(LevelFilter::ERROR)
        };
        metadata.is_event() && *metadata.level() <= limit
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.most())
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if !self.problems && fields.message == "problem" {
            return;
        }
        let line = line(*event.metadata().level(), &fields, self.color);
        // A stderr that nobody reads is no reason to stop.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    // Spans are not enabled, so that these are not called.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn line(level: Level, fields: &Fields, color: bool) -> String {
    let (word, paint) = match level {
        Level::ERROR => ("error", "31"),
        Level::WARN => ("warn ", "33"),
        Level::INFO => ("info ", "32"),
        Level::DEBUG => ("debug", "2"),
        Level::TRACE => ("trace", "2"),
    };
    let mut text = clock();
    let _ = match color {
        true => write!(text, " \x1b[{paint}m{word}\x1b[0m "),
        false => write!(text, " {word} "),
    };
    text.push_str(&printable(&fields.message));
    if !fields.what.is_empty() {
        let _ = write!(text, ": {}; {}", printable(&fields.what), printable(&fields.hint));
    }
    let _ = writeln!(text, "{}", printable(&fields.others));
    text
}

#[derive(Default)]
struct Fields {
    message: String,
    /// What is wrong and what to do, of a problem.
    what: String,
    hint: String,
    others: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.others, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            "what" => write!(self.what, "{value}"),
            "hint" => write!(self.hint, "{value}"),
            name => write!(self.others, " {name}={value}"),
        };
    }
}

/// Text that may come from a peer, without what a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_format(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Characters that turn the direction of text or hide in it.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The time of day in UTC.
fn clock() -> String {
    #[expect(clippy::disallowed_methods, reason = "a log line has a time")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let day = now.as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}.{:03}", day / 3600, day / 60 % 60, day % 60, now.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_peer_cannot_command_the_terminal() {
        assert_eq!(printable("a\x1b[31mb\r\n\u{202e}ü"), r"a\u{1b}[31mb\r\n\u{202e}ü");
    }

    #[test]
    fn other_crates_are_heard_only_when_everything_is() {
        assert_eq!(level(Verbosity::Quiet), LevelFilter::ERROR);
        assert!(level(Verbosity::Everything) > level(Verbosity::Verbose));
    }
}
