//! `list --schema`: what a pipeline file may hold, as a JSON Schema (draft 7) for editors. It is made of the descriptions that `check` uses.
use serde_json::{Map, Value, json};

use crate::component::Kind;
use crate::config::{Field, INPUTS, ROOT, SINK_INPUTS, Type};
use crate::plan::graph::TOP;
use crate::plan::lists::LIST;
use crate::plan::tables::TABLE;

/// The schema of a pipeline file.
pub(super) fn schema() -> Value {
    let (mut properties, _) = members(&[TOP]);
    let mut put = |family: &str, node: Value| {
        let help = properties.get(family).and_then(|p| p["description"].as_str()).unwrap_or_default().to_owned();
        let names = json!({"pattern": "^[a-z0-9_]+$"});
        properties
            .insert(family.into(), json!({"type": "object", "description": help, "propertyNames": names, "additionalProperties": node}));
    };
    put("sources", one_of(crate::source::KINDS, &[ROOT, crate::source::COMMON]));
    put("transforms", one_of(crate::transform::KINDS, &[INPUTS]));
    put("correlations", one_of(crate::correlate::KINDS, &[INPUTS, crate::correlate::options::COMMON]));
    put("sinks", one_of(crate::sink::KINDS, &[SINK_INPUTS, crate::sink::COMMON]));
    put("tables", object(&[TABLE]));
    put("lists", object(&[LIST]));
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A pipeline file of tripline",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

/// A node whose `type` says what else it may hold.
fn one_of<F>(kinds: &[&Kind<F>], common: &[&[Field]]) -> Value {
    let names: Vec<&str> = kinds.iter().map(|k| k.name).collect();
    let cases = kinds.iter().map(|kind| {
        let fields: Vec<&[Field]> = common.iter().copied().chain([kind.fields]).collect();
        let mut then = object(&fields);
        then["description"] = kind.summary.into();
        json!({"if": {"properties": {"type": {"const": kind.name}}, "required": ["type"]}, "then": then})
    });
    json!({"type": "object", "required": ["type"], "properties": {"type": {"enum": names}}, "allOf": cases.collect::<Vec<_>>()})
}

fn object(fields: &[&[Field]]) -> Value {
    let (properties, required) = members(fields);
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// The members of an object, and which of them must be there.
fn members(fields: &[&[Field]]) -> (Map<String, Value>, Vec<&'static str>) {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in fields.iter().copied().flatten() {
        let mut value = of_type(field.kind);
        value["description"] = field.help.into();
        properties.insert(field.name.into(), value);
        required.extend(field.required.then_some(field.name));
    }
    (properties, required)
}

fn of_type(kind: Type) -> Value {
    let scalar = json!({"type": ["string", "number", "boolean"]});
    match kind {
        Type::Text | Type::Template | Type::Expression => scalar,
        Type::Secret => {
            json!({"anyOf": [scalar, {"type": "object", "properties": {"env": scalar, "file": scalar}, "additionalProperties": false, "maxProperties": 1}]})
        }
        Type::Bool => json!({"type": "boolean"}),
        Type::Count => json!({"type": "integer", "minimum": 0}),
        Type::CountOrExpression => json!({"type": ["integer", "string"]}),
        Type::Duration | Type::Size => json!({"type": ["string", "integer"]}),
        Type::Texts => json!({"anyOf": [scalar, {"type": "array", "items": scalar}]}),
        Type::Map => json!({"type": "object"}),
        Type::Word(words) => json!({"enum": words}),
        Type::Section(fields) => object(&[fields]),
        Type::Any => json!({}),
    }
}
