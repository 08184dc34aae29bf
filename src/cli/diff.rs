//! `explain --diff STATE_DIR`: what of a saved state a run of this pipeline would keep, and what would start anew.
use std::path::Path;

use serde_json::{Value, json};

use super::check::print_error;
use super::say::line;
use crate::plan::Plan;
use crate::runtime::checkpoint::Record;
use crate::state::{FolderStore, StateError, Store as _};

/// Prints what becomes of each rule, source, sink and table.
pub(super) fn diff(plan: &Plan, state: &Path, as_json: bool) -> u8 {
    let record = match read(state) {
        Ok(record) => record,
        Err(e) => return print_error("explain", &e.0),
    };
    let found = compare(plan, &record);
    if as_json {
        line(json!({"epoch": record.epoch, "nodes": found}));
        return 0;
    }
    line(format_args!("against epoch {} of {}", record.epoch, state.display()));
    for node in &found {
        let text = |key: &str| node[key].as_str().unwrap_or_default();
        line(format_args!("  {:8} {:24} {}", text("family"), text("name"), text("what")));
    }
    0
}

fn read(state: &Path) -> Result<Record, StateError> {
    // Opening would make the folder.
    if !state.join("store").is_dir() {
        return Err(StateError(format!("state folder {} holds no state", state.display())));
    }
    let bytes = FolderStore::open(state, false)?.record()?;
    bytes.map_or_else(|| Ok(Record::default()), |bytes| Record::from_bytes(&bytes))
}

fn compare(plan: &Plan, record: &Record) -> Vec<Value> {
    let mut out = Vec::new();
    let mut say = |family: &str, name: &str, kept: bool, what: String| {
        out.push(json!({"family": family, "name": name, "kept": kept, "what": what}));
    };
    let rules = plan.rules.iter().map(|r| (if r.is_alerting { "rule" } else { "node" }, r.name.as_str(), r.fingerprint.as_str()));
    let keepers: Vec<_> = rules.chain(plan.stateful_nodes().map(|(name, fingerprint)| ("node", name, fingerprint))).collect();
    for (family, name, fingerprint) in &keepers {
        match record.units.iter().find(|u| node_of(&u.name) == *name) {
            None => say(family, name, false, "is new: starts empty".into()),
            Some(unit) if unit.fingerprint == *fingerprint => say(family, name, true, "keeps its state".into()),
            Some(unit) => say(family, name, false, format!("starts empty: {}", changes(&unit.fingerprint, fingerprint))),
        }
    }
    let units = record.units.iter().map(|u| node_of(&u.name));
    let mut gone: Vec<&str> = units.filter(|n| keepers.iter().all(|(_, name, _)| name != n)).collect();
    gone.dedup();
    gone.iter().for_each(|name| say("node", name, false, "is gone: its state is forgotten".into()));
    let sources: Vec<&str> = plan.sources.iter().map(|s| s.name.as_str()).collect();
    let sinks: Vec<&str> = plan.sinks.iter().map(|s| s.name.as_str()).collect();
    let read: Vec<&str> = record.positions.iter().map(|(name, _)| name.as_str()).collect();
    let written: Vec<&str> = record.sinks.iter().map(|(name, _)| name.as_str()).collect();
    let families = [
        ("source", sources, read, "goes on where it was", "is new: reads from its start"),
        ("sink", sinks, written, "goes on where it was", "is new"),
    ];
    for (family, present, saved, kept, new) in families {
        for name in &present {
            let has = saved.contains(name);
            say(family, name, has, if has { kept } else { new }.into());
        }
        let gone = saved.iter().filter(|n| !present.contains(n));
        gone.for_each(|name| say(family, name, false, "is gone: where it was is forgotten".into()));
    }
    for (name, table) in &plan.contents {
        let (family, name_alone) = name.split_once('/').unwrap_or(("table", name));
        let what = match record.contents.iter().find(|(n, _)| n == name) {
            None => "is new",
            Some((_, hash)) if *hash == table.get().content_hash => "has the same content",
            Some(_) => "has other content than at that epoch",
        };
        say(family.trim_end_matches('s'), name_alone, what == "has the same content", what.into());
    }
    out
}

/// The node of a unit: those of rules are named `rule/shard`.
fn node_of(unit: &str) -> &str {
    unit.rsplit_once('/').map_or(unit, |(rule, _)| rule)
}

/// Which options differ between two fingerprints.
fn changes(before: &str, after: &str) -> String {
    let value = |text: &'_ str, option: &str| -> String {
        let found = text.lines().find_map(|l| l.strip_prefix(option)?.strip_prefix(": ").map(str::to_owned));
        found.unwrap_or_default()
    };
    let options = after.lines().filter_map(|l| l.split_once(": ").map(|(option, _)| option));
    let differing = options.filter_map(|option| {
        let (was, is) = (value(before, option), value(after, option));
        (was != is).then(|| format!("`{option}` was `{was}` and is `{is}`"))
    });
    differing.collect::<Vec<_>>().join("; ")
}
