//! `check`, `explain` and `graph`, and the loading that every command shares.
use std::path::PathBuf;

use super::arguments::Arguments;
use super::check_maps;
use super::connect::connect;
use super::say::{line, put};
use crate::clock::Clock;
use crate::diagnostic::{Diagnostic, Severity, suggest};
use crate::metrics::Registry;
use crate::plan::picture::Drawing;
use crate::plan::{self, Plan};

/// Reads the files and makes a plan. All faults come back, sorted.
pub(super) fn plan_of(paths: &[PathBuf], registry: &Registry) -> (Option<Plan>, Vec<Diagnostic>) {
    plan::load_plan(paths, Clock::System, &environment, &[], registry)
}

/// A variable of the environment.
#[allow(clippy::disallowed_methods)] // the one place where the environment enters
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Prints faults as text on standard error.
pub(super) fn print_faults(faults: &[Diagnostic]) {
    for fault in faults {
        eprint!("{}", fault.render());
    }
}

/// Says why a command failed.
pub(super) fn print_error(command: &str, message: &str) -> u8 {
    eprintln!("tripline {command}: {message}");
    1
}

pub(super) fn check(arguments: &Arguments) -> u8 {
    let (plan, mut faults) = plan_of(&arguments.paths, &Registry::default());
    let mut samples = Vec::new();
    for wanted in arguments.values("--maps") {
        match check_maps::check(&arguments.paths, wanted) {
            Ok((found, rows)) => {
                samples.push(format!("{wanted}: {} of {rows} rows matched", rows - found.len()));
                faults.extend(found);
            }
            Err(message) => {
                eprintln!("tripline check: {message}");
                return 2;
            }
        }
    }
    if arguments.has("--json") {
        faults.iter().for_each(|f| line(f.to_json()));
    } else {
        faults.iter().for_each(|f| put(f.render()));
    }
    let errors = faults.iter().filter(|f| f.severity == Severity::Error).count();
    let warnings = faults.len() - errors;
    if !arguments.has("--json") {
        samples.iter().for_each(line);
        line(format_args!("{errors} errors, {warnings} warnings"));
    }
    if errors > 0 || (arguments.has("--strict") && warnings > 0) {
        return 2;
    }
    match plan.filter(|_| arguments.has("--connect")).map(|plan| connect(&plan, arguments.has("--json"))) {
        None | Some(Ok(true)) => 0,
        Some(Ok(false)) => 1,
        Some(Err(e)) => print_error("check", &e.0),
    }
}

pub(super) fn graph(arguments: &Arguments) -> u8 {
    let drawing = match arguments.value("--format") {
        None | Some("mermaid") => Drawing::Mermaid,
        Some("dot") => Drawing::Dot,
        Some(other) => {
            eprintln!("tripline graph: there is no format `{other}`: {}", suggest(other, ["mermaid", "dot"]));
            return 2;
        }
    };
    let (plan, faults) = plan_of(&arguments.paths, &Registry::default());
    let Some(plan) = plan else {
        print_faults(&faults);
        return 2;
    };
    put(plan.picture.draw(drawing));
    0
}

pub(super) fn explain(arguments: &Arguments) -> u8 {
    let (plan, faults) = plan_of(&arguments.paths, &Registry::default());
    let Some(plan) = plan else {
        print_faults(&faults);
        return 2;
    };
    if let Some(state) = arguments.value("--diff") {
        return super::diff::diff(&plan, std::path::Path::new(state), arguments.has("--json"));
    }
    let cores = super::run::cores();
    if arguments.has("--json") {
        line(plan::explain::explain(&plan, cores, cores));
    } else {
        put(plan::explain::explain_text(&plan, cores, cores));
    }
    0
}
