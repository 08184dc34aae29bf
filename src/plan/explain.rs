//! The plan in words: slots and who touches them, stages, edges and their bounds.
use serde_json::{Value, json};

use super::bind::{Plan, PlannedTap};
use super::lists::Readings;
use crate::limits::EDGE_BYTES_MAX;

/// The plan as JSON.
pub fn explain(plan: &Plan, workers: usize, shards: usize) -> Value {
    let mut slots = Vec::new();
    let mut stages = Vec::new();
    let mut edges = Vec::new();
    for (number, lane) in plan.lanes.iter().enumerate() {
        for slot in &lane.slots {
            slots.push(
                json!({"name": slot.name, "type": "text", "lane": lane.name, "read_by": slot.read_by, "written_by": slot.written_by}),
            );
        }
        let count = match plan.rule_of(number) {
            Some(rule) if rule.is_sharded => shards,
            Some(_) => 1,
            None => workers,
        };
        // The way of a sink's letters is a part of its own stage.
        if plan.sinks.iter().all(|sink| sink.letters != Some(number)) {
            let mut nodes = vec![lane.name.clone()];
            nodes.extend(lane.nodes.iter().map(|n| n.name.clone()));
            stages.push(json!({"id": lane.name, "nodes": nodes, "shards": count}));
        }
        if let Some(bytes) = plan.sources.get(number).and_then(|source| source.buffer.disk) {
            edges.push(json!({"from": "intake", "to": lane.name, "kind": "deal", "bytes_max": EDGE_BYTES_MAX, "disk": bytes}));
        }
        for tap in &lane.taps {
            let (to, kind, disk) = match tap {
                PlannedTap::Sink(sink, _) => (&plan.sinks[*sink].name, "forward", plan.sinks[*sink].buffer),
                PlannedTap::Rule(rule, ..) => (&plan.rules[*rule].name, "key_by", None),
            };
            edges.push(json!({"from": lane.name, "to": to, "kind": kind, "bytes_max": EDGE_BYTES_MAX, "disk": disk}));
        }
    }
    for sink in &plan.sinks {
        stages.push(json!({"id": sink.name, "nodes": [sink.name], "shards": 1}));
    }
    let of = |(name, body): &(String, String)| Some((name.clone(), serde_json::from_str(body).ok()?));
    let templates: serde_json::Map<String, Value> = plan.sinks.iter().filter_map(|s| s.index_template.as_ref().and_then(of)).collect();
    let readings =
        |r: &Readings| json!({"name": r.list, "written_by": r.writers, "read_in_order_by": r.in_order, "read_on_arrival_by": r.on_arrival});
    let lists: Vec<Value> = plan.readings.iter().map(readings).collect();
    json!({"slots": slots, "stages": stages, "edges": edges, "lists": lists, "index_templates": templates})
}

/// The plan for a reader.
pub fn explain_text(plan: &Plan, workers: usize, shards: usize) -> String {
    let json = explain(plan, workers, shards);
    let list = |key: &str| json[key].as_array().cloned().unwrap_or_default();
    let words = |v: &Value| v.as_array().map(|a| a.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")).unwrap_or_default();
    let mut out = String::from("stages (nodes of one stage are fused; a thread each, and one for all rules' shards of a number)\n");
    for stage in list("stages") {
        out.push_str(&format!("  {:20} × {}  {}\n", stage["id"].as_str().unwrap_or_default(), stage["shards"], words(&stage["nodes"])));
    }
    out.push_str("edges\n");
    for edge in list("edges") {
        let text = |key: &str| edge[key].as_str().unwrap_or_default().to_owned();
        let disk = edge["disk"].as_u64().map_or_else(String::new, |bytes| format!(", then {bytes} on the disk"));
        out.push_str(&format!("  {} → {}  {}  at most {} bytes{disk}\n", text("from"), text("to"), text("kind"), edge["bytes_max"]));
    }
    if !plan.readings.is_empty() {
        out.push_str(
            "lists that events write (rules read them as of a hit's place in the order, the others as of when an event comes by)\n",
        );
    }
    for list in &plan.readings {
        let words = |names: &[String]| if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
        let Readings { list, writers, in_order, on_arrival } = list;
        out.push_str(&format!(
            "  {list:20} written by {}  read in order by {}  on arrival by {}\n",
            words(writers),
            words(in_order),
            words(on_arrival)
        ));
    }
    out.push_str("slots\n");
    for slot in list("slots") {
        let text = |key: &str| slot[key].as_str().unwrap_or_default().to_owned();
        out.push_str(&format!("  {:30} written by {:16} read by {}\n", text("name"), text("written_by"), words(&slot["read_by"])));
    }
    out
}
