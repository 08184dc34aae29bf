//! A pipeline file of any bytes is a plan or a list of faults, each of which can be shown.
#![no_main]
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tripline::clock::Clock;
use tripline::config::tree;
use tripline::diagnostic::{Diagnostics, SourceText};
use tripline::metrics::Registry;

fuzz_target!(|text: &str| {
    // What is named is never read: a made-up file must not find one that exists.
    let source = Arc::new(SourceText { path: "/nowhere/pipeline.yaml".into(), text: text.into() });
    let mut faults = Diagnostics::default();
    let Some(root) = tree::parse(&source, &mut faults) else { return };
    let (plan, faults) = tripline::plan::plan(&root, Path::new("/nowhere"), Clock::fixed(0), &Registry::default(), faults);
    let faults = RefCell::new(faults).into_inner();
    assert!(plan.is_some() != faults.has_errors());
    for fault in &faults.0 {
        fault.render();
        fault.to_json();
    }
});
