//! `check --maps NODE=FILE`: which rows of a node's map files never matched a line of a sample.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::plan_of;
use crate::cases;
use crate::diagnostic::{Diagnostic, Place, SourceText, suggest};
use crate::metrics::Registry;

/// Rows that a sample left untouched, as warnings, and how many rows there are in all.
pub(super) fn check(paths: &[PathBuf], wanted: &str) -> Result<(Vec<Diagnostic>, usize), String> {
    let (node, sample) = wanted.split_once('=').ok_or_else(|| format!("`--maps {wanted}`: NODE=FILE is expected"))?;
    let (plan, _) = plan_of(paths, &Registry::default());
    let Some(plan) = plan else { return Ok((Vec::new(), 0)) };
    let maps: Vec<_> = plan.maps.iter().filter(|(name, _)| name == node).map(|(_, map)| map.get()).collect();
    if maps.is_empty() {
        let known = plan.maps.iter().map(|(name, _)| name.as_str());
        return Err(format!("`--maps {wanted}`: there is no map `{node}`: {}", suggest(node, known)));
    }
    let registry = plan.registry.clone();
    cases::run_sample(plan, Path::new(sample))?;
    let mut seen: Vec<&str> = Vec::new();
    let (mut found, mut rows) = (Vec::new(), 0);
    for map in &maps {
        // A node on several paths has its files once for each.
        if seen.contains(&map.file.path.as_str()) {
            continue;
        }
        seen.push(&map.file.path);
        let text = std::fs::read_to_string(&map.file.path).unwrap_or_default();
        let source = Arc::new(SourceText { path: map.file.path.clone(), text });
        let hits = registry.by_labels("tripline_map_row_hits_total", "line", &[("node", node), ("file", &map.file.path)]);
        for row in &map.file.rows {
            rows += 1;
            if !hits.contains_key(&row.line.to_string()) {
                let place = Place { source: Arc::clone(&source), line: row.line, column: 1 };
                let message = format!("this row of `{node}` matched no line of {sample}");
                found.push(
                    Diagnostic::warning(&place, "never_matched", message)
                        .help("take it out, or add a line to the sample that it is meant for"),
                );
            }
        }
    }
    Ok((found, rows))
}
