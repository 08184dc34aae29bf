//! The section `time:` of a source: how times are read, and what they are trusted to be.
use crate::codec::format::time::{FORMATS, TimeFormat, TimeRule, Zone};
use crate::config::Options;
use crate::diagnostic::{Diagnostic, nearest};
use crate::limits::{IDLE_TIMEOUT, JUMP_MAX, SKEW_MAX};
use crate::window::watermark::TimePolicy;

/// What `time:` says.
pub(super) struct TimeSection {
    /// How times are read.
    pub(super) rule: TimeRule,
    /// How late they may come, and how far they may jump.
    pub(super) policy: TimePolicy,
    /// The field that holds them, if one is named.
    pub(super) field: Option<String>,
    /// Silence after which a partition is idle.
    pub(super) idle_timeout: i64,
    /// How far partitions may run ahead.
    pub(super) skew_max: i64,
}

/// Reads it.
pub(super) fn time_options(options: &Options<'_>) -> TimeSection {
    let section = options.section("time");
    let s = section.as_ref();
    let mut format = TimeFormat::default();
    if let Some((text, place)) = s.and_then(|s| s.placed("format")) {
        match TimeFormat::read(&text) {
            Ok(found) => format = found,
            Err(message) => {
                let known = nearest(&text, FORMATS.iter().copied()).map(|k| format!("did you mean `{k}`? ")).unwrap_or_default();
                let help = format!("{known}one of {}, or a form as that of strftime: \"%d/%b/%Y:%H:%M:%S %z\"", FORMATS.join(", "));
                options.fault(Diagnostic::error(&place, "bad_time_format", message).help(help));
            }
        }
    }
    let mut rule = TimeRule { format, ..TimeRule::default() };
    if let Some((zone, place)) = s.and_then(|s| s.placed("zone")) {
        match Zone::named(&zone) {
            Some(zone) => rule.zone = zone,
            None => options.fault(
                Diagnostic::error(&place, "unknown_zone", format!("there is no time zone `{zone}`"))
                    .help("a name of the IANA database, as in Europe/Paris"),
            ),
        }
    }
    rule.year = s.and_then(|s| s.count("year")).map(|y| y as i64);
    let duration = |key: &str, default: i64| s.and_then(|s| s.duration(key)).unwrap_or(default);
    TimeSection {
        policy: TimePolicy { lateness: duration("lateness", 0), jump_max: duration("jump_max", JUMP_MAX) },
        field: s.and_then(|s| s.text("field")),
        idle_timeout: duration("idle_timeout", IDLE_TIMEOUT),
        skew_max: duration("skew_max", SKEW_MAX),
        rule,
    }
}
