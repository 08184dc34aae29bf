//! `encode`: what a sink writes of an event, where that is not JSON.
use std::sync::Arc;

use crate::codec::format::cef::Dialect;
use crate::codec::format::kv::KvOptions;
use crate::codec::format::text_out::TextWriter;
use crate::component::sink::OutRow;
use crate::config::{Data, Field, Options, Type};
use crate::diagnostic::{Diagnostic, suggest};
use crate::event::Value;

/// The option.
pub(super) const ENCODE: Field = Field::optional(
    "encode",
    Type::Any,
    "json (default), raw (the text as it came), or {type: csv|kv|cef|leef, fields: [..]}: lines of these fields, as the format of that name reads them",
);

const RAW: &[Field] = &[Field::required("type", Type::Text, "json or raw")];
const FIELDS: Field = Field::required("fields", Type::Texts, "fields whose values stand in a line");
const CSV: &[Field] = &[
    Field::required("type", Type::Text, "csv"),
    FIELDS,
    Field::optional("delimiter", Type::Text, "one character between cells; default a comma"),
];
const KV: &[Field] = &[
    Field::required("type", Type::Text, "kv"),
    FIELDS,
    Field::optional("separator", Type::Text, "one character between pairs; default a blank"),
    Field::optional("assign", Type::Text, "one character between a key and its value; default `=`"),
];
const HEADED: &[Field] = &[Field::required("type", Type::Text, "cef or leef"), FIELDS];

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) enum Encoding {
    #[default]
    Json,
    Raw,
    Text(Arc<TextWriter>),
}

impl Encoding {
    /// What the options of a sink say.
    pub(super) fn read(options: &Options<'_>) -> Encoding {
        let Some(node) = options.get("encode") else { return Encoding::Json };
        let section = Options::new("encode", node, options.faults());
        let (name, place) = match node.get("type") {
            Some(kind) => (kind.text().unwrap_or_default(), &kind.place),
            None => (node.text().unwrap_or_default(), &node.place),
        };
        if matches!(node.data, Data::Map(_)) {
            section.check(&[match name.as_str() {
                "csv" => CSV,
                "kv" => KV,
                "cef" | "leef" => HEADED,
                _ => RAW,
            }]);
        }
        let fields: Vec<String> = section.texts("fields").into_iter().map(|(field, _)| field).collect();
        if matches!(name.as_str(), "csv" | "kv" | "cef" | "leef") && fields.is_empty() {
            let fault = Diagnostic::error(place, "missing_key", format!("`{name}` needs its fields"));
            options.fault(fault.help(format!("write `{{type: {name}, fields: [host.name, user.name]}}`")));
            return Encoding::Json;
        }
        if let Some(bad) = fields.iter().find(|field| name != "csv" && !TextWriter::is_key(field)) {
            let fault = Diagnostic::error(place, "bad_value", format!("`{bad}` can be no key of a pair"));
            options.fault(fault.help("keys are made of letters, digits and `_ - . [ ]`: give the field another name with `rename`"));
        }
        Encoding::Text(Arc::new(match name.as_str() {
            "json" => return Encoding::Json,
            "raw" => return Encoding::Raw,
            "csv" => TextWriter::csv(fields, section.byte("delimiter").unwrap_or(b',')),
            "kv" => {
                let assign = section.byte("assign").unwrap_or(b'=');
                TextWriter::kv(fields, KvOptions { separator: section.byte("separator"), assign })
            }
            "cef" => TextWriter::headed(Dialect::Cef, fields),
            "leef" => TextWriter::headed(Dialect::Leef, fields),
            other => {
                let fault = Diagnostic::error(place, "unknown_format", format!("events cannot be written as `{other}`"));
                options.fault(fault.help(suggest(other, ["json", "raw", "csv", "kv", "cef", "leef"])));
                return Encoding::Json;
            }
        }))
    }

    pub(super) fn is_json(&self) -> bool {
        matches!(self, Encoding::Json)
    }

    /// The fields that it reads of each event.
    pub(super) fn reads(&self) -> Vec<String> {
        if let Encoding::Text(writer) = self { writer.fields.clone() } else { Vec::new() }
    }

    /// Appends an event and a line feed. What [`Encoding::reads`] says are all that the sink reads.
    pub(super) fn write(&self, row: &OutRow<'_>, out: &mut Vec<u8>) {
        match self {
            Encoding::Json => return row.write(out),
            Encoding::Raw => out.extend_from_slice(row.batch.input.line(row.row)),
            Encoding::Text(writer) => {
                let value = |slot: &Option<_>| slot.map_or(Value::Absent, |slot| row.batch.value(slot, row.row));
                writer.write(row.input.reads.iter().map(value), out);
            }
        }
        out.push(b'\n');
    }
}
