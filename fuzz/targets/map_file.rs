//! A map file of any text is read, and what was read finds rows without a panic.
#![no_main]
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tripline::diagnostic::{Place, SourceText};
use tripline::mapfile::{CompiledMap, Scratch, read};

fuzz_target!(|text: &str| {
    let source = Arc::new(SourceText { path: "any.map.csv".into(), text: text.into() });
    let mut faults = Vec::new();
    let file = read(&Place { source: Arc::clone(&source), line: 1, column: 1 }, &source.text, &mut faults);
    faults.iter().for_each(|f| drop(f.render()));
    let getters = file.getters.len();
    let rows: Vec<Vec<String>> = file.rows.iter().map(|r| r.values.iter().map(|(v, _)| v.clone()).collect()).collect();
    let map = CompiledMap::new(file);
    let mut scratch = Scratch::default();
    for value in ["", "a", "10.0.0.1", "-5", "login failed"] {
        let values = vec![Some(value.as_bytes()); getters];
        assert!(map.find(&values, &mut scratch).is_none_or(|row| (row as usize) < rows.len()));
    }
});
