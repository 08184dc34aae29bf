//! `format:` as it is written: a name, a map with options, or a list that unpacks `message` step by step.
use crate::codec::format::cef::{self, CefDecoder, Dialect};
use crate::codec::format::container::{self, Container, ContainerDecoder};
use crate::codec::format::csv::{self, CsvDecoder, CsvOptions};
use crate::codec::format::dissect::{DissectDecoder, DissectPattern};
use crate::codec::format::grok;
use crate::codec::format::json::JsonDecoder;
use crate::codec::format::kv::{self, KvDecoder, KvOptions};
use crate::codec::format::raw::RawDecoder;
use crate::codec::format::regex::{NamedPattern, RegexDecoder};
use crate::codec::format::syslog::{Structured, SyslogDecoder};
use crate::codec::format::time::TimeRule;
use crate::codec::format::{Decoder, Shape, Wanted, json, raw, regex, syslog};
use crate::component::bind::{pattern_at, pattern_fault};
use crate::config::{Data, Field, Node, Options, Type};
use crate::diagnostic::{Diagnostic, Place, suggest};

/// Names and meanings, for `tripline list formats`.
pub const LIST: &[(&str, &str)] = &[
    ("raw", "the line is `message`"),
    ("json", "one JSON object a line; its own bytes come out again"),
    ("syslog", "RFC 5424 and RFC 3164, Cisco forms included"),
    ("cef", "ArcSight's common event format; short keys become full names"),
    ("leef", "QRadar's log event extended format, 1.0 and 2.0"),
    ("csv", "the cells of a line become `columns`"),
    ("cri", "lines of Kubernetes containers; long ones are joined from their parts"),
    ("docker", "JSON lines of Docker's json-file driver; long ones are joined from their parts"),
    ("kv", "key=value pairs, quoted values included"),
    ("regex", "named groups of `pattern` become fields"),
    ("grok", "patterns made of named ones, as in %{IP:source.ip}"),
    ("dissect", "a line cut at fixed texts, as in %{ts} [%{level}] %{message}"),
];

const PLAIN: &[Field] = &[Field::required("type", Type::Text, "the format")];
const SYSLOG: &[Field] = &[
    Field::required("type", Type::Text, "the format"),
    Field::optional(
        "structured_data",
        Type::Word(&["fields", "text"]),
        "`fields`: each parameter is `sd.ID.NAME`; `text`: all of it is `structured_data`",
    ),
];
const REGEX: &[Field] = &[
    Field::required("type", Type::Text, "the format"),
    Field::required("pattern", Type::Texts, "patterns with named groups, tried in order; `__` in a group's name is a dot"),
];
const GROK: &[Field] = &[
    Field::required("type", Type::Text, "the format"),
    Field::required("pattern", Type::Texts, "patterns, tried in order"),
    Field::optional("definitions", Type::Map, "name: pattern, beside the standard ones"),
];
const DISSECT: &[Field] =
    &[Field::required("type", Type::Text, "the format"), Field::required("pattern", Type::Text, "parts and the texts between them")];
const CSV: &[Field] = &[
    Field::required("type", Type::Text, "the format"),
    Field::required("columns", Type::Texts, "names of the columns, in order"),
    Field::optional("delimiter", Type::Text, "one character between cells; default a comma"),
];
const KV: &[Field] = &[
    Field::required("type", Type::Text, "the format"),
    Field::optional("separator", Type::Text, "one character between pairs; default white space"),
    Field::optional("assign", Type::Text, "one character between a key and its value; default `=`"),
];

/// A format with its options.
#[derive(Clone, Debug)]
pub enum Format {
    /// `raw`
    Raw,
    /// `json`
    Json,
    /// `syslog`
    Syslog(Structured),
    /// `cef` or `leef`
    Cef(Dialect),
    /// `csv`
    Csv(CsvOptions),
    /// `cri` or `docker`
    Container(Container),
    /// `kv`
    Kv(KvOptions),
    /// `regex` or `grok`
    Regex(Vec<NamedPattern>),
    /// `dissect`
    Dissect(DissectPattern),
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
            section.check(&[match name.as_str() {
                "syslog" => SYSLOG,
                "regex" => REGEX,
                "csv" => CSV,
                "kv" => KV,
                "grok" => GROK,
                "dissect" => DISSECT,
                _ => PLAIN,
            }]);
        }
        match name.as_str() {
            "kv" => {
                let default = KvOptions::default();
                let separator = section.byte("separator").or(default.separator);
                Some(Format::Kv(KvOptions { separator, assign: section.byte("assign").unwrap_or(default.assign) }))
            }
            "csv" => {
                let columns: Vec<String> = if is_map { section.texts("columns").into_iter().map(|(c, _)| c).collect() } else { Vec::new() };
                if columns.is_empty() {
                    options.fault(
                        Diagnostic::error(place, "missing_key", "`csv` needs its columns")
                            .help("write `{type: csv, columns: [time, user, host]}`"),
                    );
                    return None;
                }
                Some(Format::Csv(CsvOptions { columns, delimiter: section.byte("delimiter").unwrap_or(b',') }))
            }
            "syslog" if section.text("structured_data").as_deref() == Some("text") => Some(Format::Syslog(Structured::Text)),
            "regex" | "grok" | "dissect" if !is_map => {
                let message = format!("`{name}` needs its pattern");
                options.fault(Diagnostic::error(place, "missing_key", message).help(format!("write `{{type: {name}, pattern: '…'}}`")));
                None
            }
            "regex" => {
                let patterns = section.texts("pattern");
                let named = |(pattern, place): &(String, Place)| Some(pattern_at(pattern, place, &section)?.into());
                Some(Format::Regex(patterns.iter().filter_map(named).collect()))
            }
            "grok" => {
                let definitions: Vec<(String, String)> =
                    section.entries("definitions").iter().filter_map(|(name, node)| Some((name.name.clone(), node.text()?))).collect();
                let compile = |(pattern, place): &(String, Place)| {
                    grok::compile(pattern, &definitions).map_err(|fault| pattern_fault(fault, place, &section)).ok()
                };
                Some(Format::Regex(section.texts("pattern").iter().filter_map(compile).collect()))
            }
            "dissect" => {
                let (pattern, place) = section.placed("pattern")?;
                let parsed = DissectPattern::parse(&pattern).map_err(|(at, message)| {
                    options.fault(Diagnostic::error(&place.plus(at), "bad_pattern", message).help("as in `%{ts} [%{level}] %{message}`"));
                });
                parsed.ok().map(Format::Dissect)
            }
            other => Format::by_name(other).or_else(|| {
                let help = suggest(other, LIST.iter().map(|(n, _)| *n));
                options.fault(Diagnostic::error(place, "unknown_format", format!("there is no format `{other}`")).help(help));
                None
            }),
        }
    }

    /// A format without options.
    pub fn by_name(name: &str) -> Option<Format> {
        match name {
            "raw" => Some(Format::Raw),
            "json" => Some(Format::Json),
            "syslog" => Some(Format::Syslog(Structured::Fields)),
            "cef" => Some(Format::Cef(Dialect::Cef)),
            "leef" => Some(Format::Cef(Dialect::Leef)),
            "kv" => Some(Format::Kv(KvOptions::default())),
            "cri" => Some(Format::Container(Container::Cri)),
            "docker" => Some(Format::Container(Container::Docker)),
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
            Format::Syslog(Structured::Fields) => (syslog::SHAPE, Vec::new()),
            Format::Syslog(Structured::Text) => (syslog::TEXT_SHAPE, Vec::new()),
            Format::Cef(Dialect::Cef) => (cef::CEF_SHAPE, Vec::new()),
            Format::Cef(Dialect::Leef) => (cef::LEEF_SHAPE, Vec::new()),
            Format::Csv(options) => csv::shape(options),
            Format::Container(Container::Cri) => (container::CRI_SHAPE, Vec::new()),
            Format::Container(Container::Docker) => (container::DOCKER_SHAPE, Vec::new()),
            Format::Kv(_) => (kv::SHAPE, Vec::new()),
            Format::Regex(patterns) => (Shape::Named, regex::names(patterns)),
            Format::Dissect(pattern) => pattern.shape(),
        }
    }

    /// Whether it tells the time of its events.
    pub fn has_time(&self) -> bool {
        matches!(self, Format::Syslog(_) | Format::Cef(_) | Format::Container(_))
    }

    /// A decoder for one worker.
    pub fn decoder(&self, wanted: Wanted, rule: &TimeRule) -> Box<dyn Decoder> {
        match self {
            Format::Raw => Box::new(RawDecoder::new(wanted)),
            Format::Json => Box::new(JsonDecoder::new(wanted)),
            Format::Syslog(structured) => Box::new(SyslogDecoder::new(*structured, wanted, rule.clone())),
            Format::Cef(dialect) => Box::new(CefDecoder::new(*dialect, wanted, rule.clone())),
            Format::Csv(options) => Box::new(CsvDecoder::new(options, wanted)),
            Format::Container(container) => Box::new(ContainerDecoder::new(*container, wanted)),
            Format::Kv(options) => Box::new(KvDecoder::new(*options, wanted)),
            Format::Regex(patterns) => Box::new(RegexDecoder::new(patterns.clone(), wanted)),
            Format::Dissect(pattern) => Box::new(DissectDecoder::new(pattern.clone(), wanted)),
        }
    }
}
