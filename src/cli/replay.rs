//! `replay --from SOURCE=FILE`: history once more, from files in the place of a source, at full speed. Time comes from the events, so the alerts are those of
//! the live run, ids and all. It starts without state and leaves none.
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::arguments::Arguments;
use super::check::{plan_of, print_faults};
use super::letters;
use super::run::{execute, shards};
use crate::component::source::SourceContext;
use crate::diagnostic::suggest;
use crate::metrics::Registry;
use crate::plan::Plan;
use crate::runtime::assemble::RunOptions;
use crate::source::file;
use crate::state::MemoryStore;

pub(super) fn replay(arguments: &Arguments) -> u8 {
    let Some(shards) = shards(arguments) else { return 2 };
    if arguments.has("--dead-letter") {
        return letters::replay(arguments, shards);
    }
    let (plan, faults) = plan_of(&arguments.paths, &Registry::default());
    print_faults(&faults);
    let Some(mut plan) = plan else { return 2 };
    match files(arguments, &plan) {
        Ok(files) => put_in_place(&mut plan, files),
        Err(message) => {
            eprintln!("tripline replay: {message}");
            return 2;
        }
    }
    let options = RunOptions {
        shards,
        workers: super::run::cores(),
        until_end: true,
        close: arguments.has("--close"),
        installation: vec![0; 16],
        folder: None,
    };
    execute(plan, &options, Box::new(MemoryStore::default()), arguments, None)
}

/// The files of each source.
fn files(arguments: &Arguments, plan: &Plan) -> Result<BTreeMap<String, Vec<PathBuf>>, String> {
    let mut out: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for wanted in arguments.values("--from") {
        let (source, path) = wanted.split_once('=').ok_or_else(|| format!("`--from {wanted}`: SOURCE=FILE is expected"))?;
        if plan.sources.iter().all(|s| s.name != source) {
            let known = suggest(source, plan.sources.iter().map(|s| s.name.as_str()));
            return Err(format!("`--from {wanted}`: there is no source `{source}`: {known}"));
        }
        let path = PathBuf::from(path);
        if !path.is_file() {
            return Err(format!("`--from {wanted}`: there is no file {}", path.display()));
        }
        out.entry(source.to_owned()).or_default().push(path);
    }
    if out.is_empty() { Err("`--from SOURCE=FILE` or `--dead-letter FILE` says what is to be replayed".into()) } else { Ok(out) }
}

/// Each source reads its files; one without files gives nothing.
fn put_in_place(plan: &mut Plan, mut files: BTreeMap<String, Vec<PathBuf>>) {
    for source in &mut plan.sources {
        let paths = files.remove(&source.name).unwrap_or_default();
        let other = file::of_no_path(&source.name);
        // A source of files goes on to join the lines of one event.
        let own = if source.kind == file::KIND.name { std::mem::replace(&mut source.factory, other) } else { other };
        source.factory = Box::new(move |context| own(SourceContext { instead: Some(paths.clone()), ..context }));
    }
}
