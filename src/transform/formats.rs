//! `format:` as it is written: a name, a map with options, or a list that unpacks `message` step by step.
use crate::codec::format::json::JsonDecoder;
use crate::codec::format::raw::RawDecoder;
use crate::codec::format::regex::RegexDecoder;
use crate::codec::format::syslog::SyslogDecoder;
use crate::codec::format::time::TimeRule;
use crate::codec::format::{Decoder, Shape, Wanted, json, raw, regex, syslog};
use crate::config::{Data, Field, Node, Options, Type};
use crate::diagnostic::{Diagnostic, suggest};
use crate::pattern::Pattern;

/// Names and meanings, for `tripline list formats`.
pub const LIST: &[(&str, &str)] = &[
    ("raw", "the line is `message`"),
    ("json", "one JSON object a line; its own bytes come out again"),
    ("syslog", "RFC 5424 and RFC 3164, Cisco forms included"),
    ("regex", "named groups of `pattern` become fields"),
];

const PLAIN: &[Field] = &[Field::required("type", Type::Text, "the format")];
const REGEX: &[Field] = &[
    Field::required("type", Type::Text, "the format"),
    Field::required("pattern", Type::Texts, "patterns with named groups, tried in order; `__` in a group's name is a dot"),
];

/// A format with its options.
#[derive(Clone, Debug)]
pub enum Format {
    /// `raw`
    Raw,
    /// `json`
    Json,
    /// `syslog`
    Syslog,
    /// `regex`
    Regex(Vec<Pattern>),
}

impl Format {
    /// Reads one format.
    pub fn read(node: &Node, options: &Options<'_>) -> Option<Format> {
        let (name, place) = match &node.data {
            Data::Map(_) => {
                let Some(kind) = node.get("type") else {
                    options.fault(
                        Diagnostic::error(&node.place, "missing_key", "`format` lacks `type`").help("as in `{type: regex, pattern: …}`"),
                    );
                    return None;
                };
                (kind.text().unwrap_or_default(), &kind.place)
            }
            _ => (node.text().unwrap_or_default(), &node.place),
        };
        let section = Options::new("format", node, options.faults());
        let is_map = matches!(node.data, Data::Map(_));
        if is_map {
            section.check(&[if name == "regex" { REGEX } else { PLAIN }]);
        }
        match name.as_str() {
            "raw" => Some(Format::Raw),
            "json" => Some(Format::Json),
            "syslog" => Some(Format::Syslog),
            "regex" => {
                if !is_map {
                    options.fault(
                        Diagnostic::error(place, "missing_key", "`regex` needs its pattern")
                            .help("write `{type: regex, pattern: '(?P<user>\\w+) …'}`"),
                    );
                    return None;
                }
                let mut patterns = Vec::new();
                for (pattern, place) in section.texts("pattern") {
                    match Pattern::new(&pattern) {
                        Ok(pattern) => patterns.push(pattern),
                        Err(e) => section
                            .fault(Diagnostic::error(&place.plus(e.at), "bad_pattern", format!("bad pattern: {}", e.message)).help(e.help)),
                    }
                }
                Some(Format::Regex(patterns))
            }
            other => {
                let help = suggest(other, LIST.iter().map(|(n, _)| *n));
                options.fault(Diagnostic::error(place, "unknown_format", format!("there is no format `{other}`")).help(help));
                None
            }
        }
    }

    /// A format without options.
    pub fn by_name(name: &str) -> Option<Format> {
        match name {
            "raw" => Some(Format::Raw),
            "json" => Some(Format::Json),
            "syslog" => Some(Format::Syslog),
            _ => None,
        }
    }

    /// Reads a format or a list of them.
    pub fn read_chain(node: &Node, options: &Options<'_>) -> Vec<Format> {
        match &node.data {
            Data::List(items) => items.iter().filter_map(|n| Format::read(n, options)).collect(),
            _ => Format::read(node, options).into_iter().collect(),
        }
    }

    /// What it yields.
    pub fn shape(&self) -> (Shape, Vec<String>) {
        match self {
            Format::Raw => (raw::SHAPE, Vec::new()),
            Format::Json => (json::SHAPE, Vec::new()),
            Format::Syslog => (syslog::SHAPE, Vec::new()),
            Format::Regex(patterns) => (Shape::Named, regex::names(patterns)),
        }
    }

    /// Whether it tells the time of its events.
    pub fn has_time(&self) -> bool {
        matches!(self, Format::Syslog)
    }

    /// A decoder for one worker.
    pub fn decoder(&self, wanted: Wanted, rule: &TimeRule) -> Box<dyn Decoder> {
        match self {
            Format::Raw => Box::new(RawDecoder::new(wanted)),
            Format::Json => Box::new(JsonDecoder::new(wanted)),
            Format::Syslog => Box::new(SyslogDecoder::new(wanted, rule.clone())),
            Format::Regex(patterns) => Box::new(RegexDecoder::new(patterns.clone(), wanted)),
        }
    }
}
