//! Words on standard error: JSON lines when piped, a readable form on a terminal.
use std::io::{IsTerminal as _, Write as _};

use serde_json::{Map, Value, json};

use crate::clock::Clock;
use crate::event::time::rfc3339;

/// Says something. Further members stand beside `ts`, `level`, `event` and `message`.
pub(super) fn say(level: &str, event: &str, message: &str, members: Value) {
    let mut err = std::io::stderr().lock();
    // Whoever reads standard error may be gone: there is nobody to tell.
    let _ = if err.is_terminal() {
        match event {
            "ready" => writeln!(err, "tripline: running {}", message),
            "summary" => writeln!(err, "tripline: {message}"),
            _ => writeln!(err, "tripline: {level}: {message}"),
        }
    } else {
        let mut line = Map::new();
        line.insert("ts".into(), json!(rfc3339(Clock::System.now())));
        line.insert("level".into(), json!(level));
        line.insert("event".into(), json!(event));
        line.insert("message".into(), json!(message));
        if let Value::Object(members) = members {
            line.extend(members);
        }
        writeln!(err, "{}", Value::Object(line))
    };
}

/// Prints a line on standard output. A reader that went away, as `head` does, ends the command quietly.
pub(super) fn line(text: impl std::fmt::Display) {
    put(format_args!("{text}\n"));
}

/// Prints a text on standard output, as [`line`] does.
pub(super) fn put(text: impl std::fmt::Display) {
    if write!(std::io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}
