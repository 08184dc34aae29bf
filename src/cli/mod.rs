//! The commands: `run replay check explain graph test list`.
mod arguments;
mod check;
mod check_maps;
mod connect;
mod diff;
mod letters;
mod list;
mod reload;
mod replay;
mod run;
mod say;
mod schema;
mod test;

use std::process::ExitCode;

use arguments::Arguments;
use say::{line, put};

const USAGE: &str = "\
tripline turns logs into incidents while they flow

  tripline run PATH…      runs a pipeline
      --state DIR         where its state is kept (default: .tripline beside the file)
      --fresh             forgets the state first
      --until-end         files end at their end
      --close             closes open windows at the end
      --shards N          shards of each rule (default: one per core)
      --admin ADDR|off    address of metrics and health (default 127.0.0.1:9617)
      --watch             loads the pipeline again when a file of it changes (SIGHUP does so once)
  tripline replay PATH… --from SOURCE=FILE…
                          runs history through it once more; the alerts keep their ids
  tripline replay PATH… --dead-letter FILE…
                          gives what was refused to its sink or source again, with the identities that it had
  tripline check PATH…    finds all faults of a pipeline        [--json] [--strict]
      --connect           tries every source and sink
      --maps NODE=FILE    shows rows of a map that no line of a sample matched
  tripline explain PATH…  shows slots, stages and edges         [--json]
      --diff STATE_DIR    says what a run on this state would keep, and what would start anew
  tripline graph PATH…    draws the nodes                       [--format mermaid|dot]
  tripline test PATH…     runs the cases beside a pipeline      [--json] [--filter S] [--bless]
  tripline list [sources|transforms|correlations|sinks|formats|functions|metrics] [--json] | --schema

exit: 0 good, 1 a run or test failed, 2 configuration or usage is wrong
";

/// Runs the command line.
pub fn main(words: Vec<String>) -> ExitCode {
    let Some((command, rest)) = words.split_first() else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    let flags: &[&str] = match command.as_str() {
        "run" => &["--state=", "--fresh", "--until-end", "--close", "--shards=", "--admin=", "--watch"],
        "replay" => &["--from=", "--dead-letter=…", "--close", "--shards=", "--admin="],
        "check" => &["--json", "--strict", "--connect", "--maps="],
        "explain" => &["--json", "--diff="],
        "graph" => &["--format="],
        "test" => &["--json", "--filter=", "--bless"],
        "list" => &["--json", "--schema"],
        "help" | "--help" | "-h" => {
            put(USAGE);
            return ExitCode::SUCCESS;
        }
        "--version" | "-V" => {
            line(format_args!("tripline {}", env!("CARGO_PKG_VERSION")));
            return ExitCode::SUCCESS;
        }
        other => {
            let known = ["run", "replay", "check", "explain", "graph", "test", "list"];
            eprintln!("tripline: there is no command `{other}`: {}\n\n{USAGE}", crate::diagnostic::suggest(other, known));
            return ExitCode::from(2);
        }
    };
    let arguments = match Arguments::parse(rest, flags) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("tripline {command}: {message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if command != "list" && arguments.paths.is_empty() {
        eprintln!("tripline {command}: a pipeline file or its folder is expected\n\n{USAGE}");
        return ExitCode::from(2);
    }
    ExitCode::from(match command.as_str() {
        "run" => run::run(&arguments),
        "replay" => replay::replay(&arguments),
        "check" => check::check(&arguments),
        "explain" => check::explain(&arguments),
        "graph" => check::graph(&arguments),
        "test" => test::test(&arguments),
        _ => list::list(&arguments),
    })
}
