//! The index template of a sink: how what it writes is mapped. `explain --json` prints it; with `install_template: true` it is put where none of its name is.
//!
//! Texts are keywords, so that they can be counted; what looks like a number or a date in one event decides nothing about the next one. Names that tripline
//! gives have the types that they have here. Source: the vendors' reference of composable index templates (Elasticsearch 7.8, OpenSearch 1.0 and later).
use serde_json::{Value, json};

use super::options::Target;

/// Above the templates that Elastic ships for `logs-*-*`.
const PRIORITY: u32 = 200;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexTemplate {
    pub(super) name: String,
    pub(super) body: String,
}

impl IndexTemplate {
    /// That of a node which writes to these names; none where they could be any, and for aliases, which have indices of their own.
    /// `takes_letters`: what it writes are dead letters.
    pub(super) fn new(node: &str, target: Target, names: &str, takes_letters: bool) -> Option<IndexTemplate> {
        let pattern = pattern(names);
        if target == Target::Alias || pattern.bytes().all(|b| b == b'*' || b == b'-') {
            return None;
        }
        let mut body = json!({
            "index_patterns": [pattern],
            "priority": PRIORITY,
            "template": {"mappings": mappings(takes_letters)},
            "_meta": {"made_by": "tripline", "node": node},
        });
        if target == Target::DataStream {
            body["data_stream"] = json!({});
        }
        Some(IndexTemplate { name: format!("tripline-{node}"), body: body.to_string() })
    }
}

/// The names of a text with fields in braces.
fn pattern(names: &str) -> String {
    let mut out = String::new();
    let mut rest = names;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        if !out.ends_with('*') {
            out.push('*');
        }
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    out + rest
}

fn mappings(takes_letters: bool) -> Value {
    let kept = json!({"type": "keyword", "index": false, "doc_values": false});
    let time = json!({"type": "date", "ignore_malformed": true});
    let event = match takes_letters {
        // What one mapping refused must not be refused here.
        true => json!({"type": "object", "enabled": false}),
        false => json!({"properties": {"original": kept}}),
    };
    json!({
        "date_detection": false,
        "dynamic_templates": [{"texts": {"match_mapping_type": "string", "mapping": {"type": "keyword", "ignore_above": 1024}}}],
        "properties": {
            "@timestamp": {"type": "date"},
            "time": time,
            "first_seen": time,
            "last_seen": time,
            "message": {"type": "text"},
            "error": {"properties": {"message": {"type": "text"}}},
            "raw": kept,
            "event": event,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_in_braces_are_any_name() {
        for (names, wanted) in [
            ("logs-auth-default", "logs-auth-default"),
            ("logs-{a.b}-default", "logs-*-default"),
            ("{a}{b}-x", "*-x"),
            ("x-{a}", "x-*"),
            ("{a", "*"),
        ] {
            assert_eq!(pattern(names), wanted);
        }
        assert_eq!(IndexTemplate::new("n", Target::Index, "{a}-{b}", false), None);
        assert_eq!(IndexTemplate::new("n", Target::Alias, "a", false), None);
        let stream = IndexTemplate::new("n", Target::DataStream, "logs-x-y", true).unwrap();
        assert!(stream.name == "tripline-n" && stream.body.contains("\"data_stream\":{}") && stream.body.contains("\"enabled\":false"));
    }
}
