//! `check --connect`: whether what the pipeline reads from and writes to can be reached, one line for each.
use serde_json::json;

use super::say::line;
use crate::plan::Plan;
use crate::runtime::assemble::RunError;
use crate::runtime::probe::probe;

/// Tries every source and sink and prints what came of it. True where all is well.
pub(super) fn connect(plan: &Plan, as_json: bool) -> Result<bool, RunError> {
    let mut all_well = true;
    for (node, result) in probe(plan)? {
        all_well &= result.is_ok();
        let (ok, message) = match &result {
            Ok(word) => (true, word.clone()),
            Err(outage) => (false, outage.to_string()),
        };
        if as_json {
            line(json!({"node": node, "ok": ok, "message": message}));
        } else {
            line(format_args!("{} {node}: {message}", if ok { "ok    " } else { "failed" }));
        }
    }
    Ok(all_well)
}
