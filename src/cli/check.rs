//! `check`, `explain` and `graph`, and the loading that every command shares.
use std::path::PathBuf;

use super::arguments::Arguments;
use crate::clock::Clock;
use crate::diagnostic::{Diagnostic, Severity, suggest};
use crate::plan::picture::Drawing;
use crate::plan::{self, Plan};

/// Reads the files and makes a plan. All faults come back, sorted.
pub(super) fn plan_of(paths: &[PathBuf], clock: Clock) -> (Option<Plan>, Vec<Diagnostic>) {
    plan::load_plan(paths, clock, &environment, &[])
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

pub(super) fn check(arguments: &Arguments) -> u8 {
    let (_, faults) = plan_of(&arguments.paths, Clock::System);
    if arguments.has("--json") {
        faults.iter().for_each(|f| println!("{}", f.to_json()));
    } else {
        faults.iter().for_each(|f| print!("{}", f.render()));
    }
    let errors = faults.iter().filter(|f| f.severity == Severity::Error).count();
    let warnings = faults.len() - errors;
    if !arguments.has("--json") {
        println!("{errors} errors, {warnings} warnings");
    }
    if errors > 0 || (arguments.has("--strict") && warnings > 0) { 2 } else { 0 }
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
    let (plan, faults) = plan_of(&arguments.paths, Clock::System);
    let Some(plan) = plan else {
        print_faults(&faults);
        return 2;
    };
    print!("{}", plan.picture.draw(drawing));
    0
}

pub(super) fn explain(arguments: &Arguments) -> u8 {
    let (plan, faults) = plan_of(&arguments.paths, Clock::System);
    let Some(plan) = plan else {
        print_faults(&faults);
        return 2;
    };
    let cores = super::run::cores();
    if arguments.has("--json") {
        println!("{}", plan::explain::explain(&plan, cores, cores));
    } else {
        print!("{}", plan::explain::explain_text(&plan, cores, cores));
    }
    0
}
