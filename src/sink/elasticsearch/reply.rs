//! What the answers of a node say.
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::component::Outage;
use crate::component::sink::{Outcome, Sent};

#[derive(Deserialize)]
struct Bulk {
    errors: Option<bool>,
    #[serde(default)]
    items: Vec<BTreeMap<String, Item>>,
}

#[derive(Deserialize)]
struct Item {
    status: u16,
    error: Option<Value>,
}

impl Item {
    /// Type and reason of the error, and what caused it.
    fn reason(&self) -> String {
        let Some(error) = &self.error else { return String::new() };
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let own = match error {
            Value::String(text) => text.clone(),
            error => format!("{}: {}", text(error, "type"), text(error, "reason")),
        };
        match error.get("caused_by") {
            Some(cause) => format!("{own} ({}: {})", text(cause, "type"), text(cause, "reason")),
            None => own,
        }
    }

    fn outcome(&self) -> Outcome {
        match self.status {
            200 | 201 => Outcome::Accepted,
            // Only `create` is sent: what is there already is the same event.
            409 => Outcome::Duplicate,
            // A blocked index and a missing right are not the event's fault.
            401 | 403 | 429 | 500.. => Outcome::Retry,
            status => Outcome::Rejected { status: Some(status), reason: self.reason() },
        }
    }
}

/// What became of the rows of a body.
pub fn outcomes(reply: &[u8], rows: usize) -> Result<Sent, String> {
    let bulk: Bulk = serde_json::from_slice(reply).map_err(|_| "answers something that is no reply to _bulk".to_owned())?;
    match bulk.errors {
        Some(false) => return Ok(Sent::All),
        Some(true) => {}
        None => return Err("answers something that is no reply to _bulk".to_owned()),
    }
    let items: Vec<&Item> = bulk.items.iter().filter_map(|item| item.values().next()).collect();
    if items.len() != rows {
        return Err(format!("answers {} items for {rows} rows", items.len()));
    }
    let outcomes: Vec<Outcome> = items.iter().map(|item| item.outcome()).collect();
    let first = items.iter().zip(&outcomes).find(|(_, outcome)| **outcome == Outcome::Retry).map(|(item, _)| item);
    let outage = first.map(|item| Outage::new(format!("puts rows off with {}: {}", item.status, item.reason())));
    Ok(Sent::Rows(outcomes, outage))
}

/// Name and version of the product, from its answer to `GET /`.
pub fn product(reply: &[u8]) -> String {
    let root: Value = serde_json::from_slice(reply).unwrap_or_default();
    let version = &root["version"];
    let name = match version["distribution"].as_str() {
        Some("opensearch") => "OpenSearch",
        _ => "Elasticsearch",
    };
    format!(
        "{name} {}, cluster `{}`",
        version["number"].as_str().unwrap_or("of unknown version"),
        root["cluster_name"].as_str().unwrap_or("?")
    )
}

/// Whom the product takes us for, from its answer to `GET /_security/_authenticate`.
pub fn known_as(reply: &[u8]) -> String {
    let who: Value = serde_json::from_slice(reply).unwrap_or_default();
    let name = who["username"].as_str().unwrap_or("?");
    let key = who["api_key"]["name"].as_str().map(|key| format!(" by its API key `{key}`")).unwrap_or_default();
    format!("Elasticsearch knows `{name}`{key}, and does not tell it its version (cluster privilege `monitor`)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_judged_one_by_one() {
        let reply = br#"{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"r"}}},
            {"create":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"full"}}},
            {"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"[1:9] failed","caused_by":{"type":"number_format_exception","reason":"x"}}}},
            {"create":{"status":403,"error":{"type":"cluster_block_exception","reason":"blocked"}}}]}"#;
        let Ok(Sent::Rows(rows, outage)) = outcomes(reply, 5) else { panic!("rows are told") };
        let rejected =
            Outcome::Rejected { status: Some(400), reason: "document_parsing_exception: [1:9] failed (number_format_exception: x)".into() };
        assert_eq!(rows, [Outcome::Accepted, Outcome::Duplicate, Outcome::Retry, rejected, Outcome::Retry]);
        assert_eq!(outage.map(|o| o.message), Some("puts rows off with 429: es_rejected_execution_exception: full".into()));
        assert_eq!(outcomes(br#"{"errors":false,"items":[{"create":{"status":201}}]}"#, 1), Ok(Sent::All));
        assert!(outcomes(reply, 4).unwrap_err().contains("5 items for 4 rows"));
        for bad in ["<html>", "{}", "[]", r#"{"errors":true}"#] {
            assert!(outcomes(bad.as_bytes(), 1).is_err(), "{bad}");
        }
    }
}
