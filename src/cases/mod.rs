//! Cases: `cases/NAME/{in.SOURCE.EXT…, out.json, case.yaml?}` beside a pipeline file. The same runner serves `tripline test` and the project's own tests.
mod feed;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use serde_json::Value;

use crate::clock::Clock;
use crate::config::load::load;
use crate::config::{Data, Node};
use crate::diagnostic::Diagnostics;
use crate::event::time::parse_rfc3339;
use crate::plan::Plan;
use crate::plan::files::CAPTURE;
use crate::runtime::assemble::RunOptions;
use crate::runtime::topology::run as run_plan;
use crate::state::MemoryStore;
use feed::{Captured, Inputs, Quiet};

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name of its folder.
    pub name: String,
    /// The pipeline file.
    pub pipeline: PathBuf,
    folder: PathBuf,
    clock: Option<i64>,
    ordered: bool,
    close: bool,
    crash_after: Vec<usize>,
}

/// What came of a case.
#[derive(Clone, Debug, Default)]
pub struct CaseOutcome {
    /// Expected and not there.
    pub missing: Vec<String>,
    /// There and not expected.
    pub unexpected: Vec<String>,
}

impl CaseOutcome {
    /// Whether all is as expected.
    pub fn is_ok(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty()
    }
}

impl Case {
    /// The clock that the case asks for.
    pub fn clock(&self) -> Clock {
        self.clock.map_or(Clock::System, Clock::fixed)
    }

    /// The same case with crashes after so many rows.
    pub fn with_crashes(mut self, rows: &[usize]) -> Case {
        self.crash_after = rows.to_vec();
        self
    }
}

/// The cases beside a pipeline file or in its folder, by name.
pub fn find(path: &Path) -> Result<Vec<Case>, String> {
    let pipeline = if path.is_dir() { path.join("pipeline.yaml") } else { path.to_owned() };
    let folder = pipeline.parent().unwrap_or(Path::new(".")).join("cases");
    let entries = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut out = Vec::new();
    for entry in entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()) {
        let name = entry.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let mut case = Case {
            name,
            pipeline: pipeline.clone(),
            folder: entry.clone(),
            clock: None,
            ordered: false,
            close: false,
            crash_after: Vec::new(),
        };
        let options = entry.join("case.yaml");
        if options.exists() {
            read_options(&mut case, &options)?;
        }
        out.push(case);
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}

fn read_options(case: &mut Case, path: &Path) -> Result<(), String> {
    let mut faults = Diagnostics::default();
    let loaded = load(path, &|_| None, &mut faults);
    let Some(loaded) = loaded.filter(|_| !faults.has_errors()) else {
        return Err(faults.sorted().iter().map(crate::diagnostic::Diagnostic::render).collect());
    };
    for (key, node) in loaded.root.entries() {
        match (key.name.as_str(), &node.data) {
            ("clock", _) => case.clock = node.text().and_then(|t| parse_rfc3339(t.as_bytes())),
            ("ordered", Data::Bool(b)) => case.ordered = *b,
            ("close", Data::Bool(b)) => case.close = *b,
            ("crash_after", _) => case.crash_after = node.items().iter().filter_map(Node::text).filter_map(|t| t.parse().ok()).collect(),
            (other, _) => {
                return Err(format!(
                    "{}:{}: `{other}` is not known here: clock, ordered, close, crash_after",
                    path.display(),
                    key.place.line
                ));
            }
        }
    }
    Ok(())
}

/// Reads `in.SOURCE.EXT` of a case.
fn inputs(case: &Case) -> Result<Inputs, String> {
    let mut out = BTreeMap::new();
    for path in std::fs::read_dir(&case.folder).map_err(|e| e.to_string())?.flatten().map(|e| e.path()) {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(source) = name.strip_prefix("in.").map(|r| r.split('.').next().unwrap_or(r)) {
            out.insert(source.to_owned(), feed::lines_of(&path)?);
        }
    }
    Ok(out)
}

/// Makes a plan in which some outputs of nodes have sinks of their own.
pub type Make<'m> = dyn Fn(&[String]) -> Result<Plan, String> + 'm;

/// Runs the pipeline over a case's inputs. Returns what each of the nodes gave.
fn gather(case: &Case, nodes: &[String], make: &Make<'_>) -> Result<BTreeMap<String, Vec<Value>>, String> {
    let inputs = inputs(case)?;
    let captured: Captured = Arc::default();
    let store = MemoryStore::default();
    let mut ends: Vec<Option<usize>> = case.crash_after.iter().map(|n| Some(*n)).collect();
    ends.push(None);
    for end in ends {
        let mut plan = make(nodes)?;
        feed::give(&mut plan, &inputs, end);
        feed::capture(&mut plan, &captured);
        run_plan(plan, &options(case.close && end.is_none()), Box::new(store.clone()), &mut Quiet).map_err(|e| e.0)?;
    }
    let captured = captured.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = BTreeMap::new();
    for (number, node) in nodes.iter().enumerate() {
        let rows = captured.get(&format!("{CAPTURE}{number}")).map(Vec::as_slice).unwrap_or_default();
        let parsed: Result<Vec<Value>, _> = rows.iter().map(|r| serde_json::from_slice(r)).collect();
        out.insert(node.clone(), parsed.map_err(|e| format!("{node} gave what is no JSON: {e}"))?);
    }
    Ok(out)
}

/// Gives a sample's lines to all sources of a plan, and keeps nothing of what comes out: for what is counted on the way.
pub fn run_sample(mut plan: Plan, sample: &Path) -> Result<(), String> {
    let lines = feed::lines_of(sample)?;
    let inputs = plan.sources.iter().map(|s| (s.name.clone(), Arc::clone(&lines))).collect();
    feed::give(&mut plan, &inputs, None);
    feed::capture(&mut plan, &Captured::default());
    run_plan(plan, &options(false), Box::new(MemoryStore::default()), &mut Quiet).map(drop).map_err(|e| e.0)
}

fn options(close: bool) -> RunOptions {
    RunOptions { shards: 2, workers: 1, until_end: true, close, installation: vec![0; 16], folder: None }
}

/// Runs a case.
pub fn run(case: &Case, make: &Make<'_>) -> CaseOutcome {
    let mut outcome = CaseOutcome::default();
    let got = expected(case).and_then(|want| {
        let nodes: Vec<String> = want.keys().cloned().collect();
        Ok((gather(case, &nodes, make)?, want))
    });
    match got {
        Ok((got, want)) => {
            for (node, want) in &want {
                let got = got.get(node).map(Vec::as_slice).unwrap_or_default();
                compare(node, want, got, case.ordered, &mut outcome);
            }
        }
        Err(message) => outcome.missing.push(message),
    }
    outcome
}

fn expected(case: &Case) -> Result<BTreeMap<String, Vec<Value>>, String> {
    let path = case.folder.join("out.json");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Writes what the pipeline gives now as what is expected: of the nodes that `out.json` names, or of all rules.
pub fn bless(case: &Case, rules: &[String], make: &Make<'_>) -> Result<(), String> {
    let nodes: Vec<String> = expected(case).map_or_else(|_| rules.to_vec(), |want| want.into_keys().collect());
    let got = gather(case, &nodes, make)?;
    let text = serde_json::to_string_pretty(&got).map_err(|e| e.to_string())?;
    std::fs::write(case.folder.join("out.json"), text + "\n").map_err(|e| e.to_string())
}

/// Each expected event is a part of one that is there, and there are as many.
fn compare(node: &str, want: &[Value], got: &[Value], ordered: bool, outcome: &mut CaseOutcome) {
    let mut left: Vec<&Value> = got.iter().collect();
    for (i, want) in want.iter().enumerate() {
        let at = if ordered {
            got.get(i).filter(|g| is_part(want, g)).and_then(|g| left.iter().position(|l| std::ptr::eq(*l, g)))
        } else {
            left.iter().position(|g| is_part(want, g))
        };
        match at {
            Some(at) => drop(left.remove(at)),
            None => outcome.missing.push(format!("{node}: {want}")),
        }
    }
    outcome.unexpected.extend(left.into_iter().map(|g| format!("{node}: {g}")));
}

fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => part.iter().all(|(k, v)| whole.get(k).is_some_and(|w| is_part(v, w))),
        (Value::Array(part), Value::Array(whole)) => part.len() == whole.len() && part.iter().zip(whole).all(|(p, w)| is_part(p, w)),
        (part, whole) => part == whole,
    }
}
