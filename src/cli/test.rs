//! `test`: runs the cases beside a pipeline and compares what its nodes gave.
use super::arguments::Arguments;
use super::check::{environment, print_faults};
use super::say::line;
use crate::cases::{self, CaseOutcome};
use crate::metrics::Registry;

pub(super) fn test(arguments: &Arguments) -> u8 {
    let (mut passed, mut failed) = (0, 0);
    for path in &arguments.paths {
        let found = match cases::find(path) {
            Ok(found) => found,
            Err(message) => {
                eprintln!("tripline test: {message}");
                return 2;
            }
        };
        for case in found.into_iter().filter(|c| arguments.value("--filter").is_none_or(|f| c.name.contains(f))) {
            let (plan, faults) = super::check::plan_of(std::slice::from_ref(&case.pipeline), &Registry::default());
            let Some(plan) = plan else {
                print_faults(&faults);
                return 2;
            };
            let make = |nodes: &[String]| {
                let (plan, faults) =
                    crate::plan::load_plan(std::slice::from_ref(&case.pipeline), case.clock(), &environment, nodes, &Registry::default());
                plan.ok_or_else(|| faults.iter().map(crate::diagnostic::Diagnostic::render).collect())
            };
            if arguments.has("--bless") {
                let rules: Vec<String> = plan.rules.iter().filter(|r| r.is_alerting).map(|r| r.name.clone()).collect();
                match cases::bless(&case, &rules, &make) {
                    Ok(()) => line(format_args!("blessed {}", case.name)),
                    Err(message) => line(format_args!("FAILED {}: {message}", case.name)),
                }
                continue;
            }
            let outcome = cases::run(&case, &make);
            if outcome.is_ok() {
                passed += 1;
            } else {
                failed += 1;
            }
            report(arguments, &case.name, &outcome);
        }
    }
    if !arguments.has("--json") {
        line(format_args!("{passed} passed, {failed} failed"));
    }
    u8::from(failed > 0)
}

fn report(arguments: &Arguments, name: &str, outcome: &CaseOutcome) {
    if arguments.has("--json") {
        line(format_args!(
            "{}",
            serde_json::json!({"case": name, "ok": outcome.is_ok(), "missing": outcome.missing, "unexpected": outcome.unexpected})
        ));
    } else if outcome.is_ok() {
        line(format_args!("ok {name}"));
    } else {
        line(format_args!("FAILED {name}"));
        outcome.missing.iter().for_each(|m| line(format_args!("  missing    {m}")));
        outcome.unexpected.iter().for_each(|u| line(format_args!("  unexpected {u}")));
    }
}
