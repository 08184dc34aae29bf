//! `list`: what a pipeline file may use.
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::say::line;
use crate::config::{Field, Type};

fn describe(kind: Type) -> String {
    match kind {
        Type::Word(words) => words.join("|"),
        other => format!("{other:?}").split('(').next().unwrap_or_default().to_lowercase(),
    }
}

fn of_kinds<'k>(kinds: impl Iterator<Item = (&'k str, &'k str, &'k [Field])>) -> Vec<Value> {
    kinds
        .map(|(name, summary, fields)| {
            let fields: Vec<Value> =
                fields.iter().map(|f| json!({"name": f.name, "type": describe(f.kind), "required": f.required, "help": f.help})).collect();
            json!({"name": name, "summary": summary, "fields": fields})
        })
        .collect()
}

fn of_pairs(pairs: &[(&str, &str)]) -> Vec<Value> {
    pairs.iter().map(|(name, summary)| json!({"name": name, "summary": summary})).collect()
}

pub(super) fn list(arguments: &Arguments) -> u8 {
    if arguments.has("--schema") {
        line(format_args!("{:#}", super::schema::schema()));
        return 0;
    }
    let families: [(&str, Vec<Value>); 7] = [
        ("sources", of_kinds(crate::source::KINDS.iter().map(|k| (k.name, k.summary, k.fields)))),
        ("transforms", of_kinds(crate::transform::KINDS.iter().map(|k| (k.name, k.summary, k.fields)))),
        ("correlations", of_kinds(crate::correlate::KINDS.iter().map(|k| (k.name, k.summary, k.fields)))),
        ("sinks", of_kinds(crate::sink::KINDS.iter().map(|k| (k.name, k.summary, k.fields)))),
        ("formats", of_pairs(crate::transform::formats::LIST)),
        ("functions", of_pairs(crate::expr::functions::LIST)),
        ("metrics", of_pairs(crate::metrics::NAMES)),
    ];
    let wanted: Vec<String> = arguments.paths.iter().map(|p| p.display().to_string()).collect();
    if let Some(unknown) = wanted.iter().find(|w| !families.iter().any(|(f, _)| f == w)) {
        eprintln!(
            "tripline list: there is no family `{unknown}`: {}",
            crate::diagnostic::suggest(unknown, families.iter().map(|(f, _)| *f))
        );
        return 2;
    }
    let shown: Vec<&(&str, Vec<Value>)> = families.iter().filter(|(f, _)| wanted.is_empty() || wanted.iter().any(|w| w == f)).collect();
    if arguments.has("--json") {
        let object: serde_json::Map<String, Value> = shown.iter().map(|(f, items)| ((*f).to_owned(), json!(items))).collect();
        line(Value::Object(object));
        return 0;
    }
    for (family, items) in shown {
        line(family);
        for item in items {
            line(format_args!("  {:34} {}", item["name"].as_str().unwrap_or_default(), item["summary"].as_str().unwrap_or_default()));
            for field in item["fields"].as_array().into_iter().flatten() {
                let mark = if field["required"] == true { "!" } else { "" };
                line(format_args!(
                    "      {:30} {}",
                    format!("{}{mark}", field["name"].as_str().unwrap_or_default()),
                    field["help"].as_str().unwrap_or_default()
                ));
            }
        }
    }
    0
}
