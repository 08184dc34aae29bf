//! `replay --dead-letter FILE`: what was refused, once more, with the identities that it had.
//!
//! A row that a sink refused goes to that sink alone, as it was sent. A line that broke the program goes to its source, and through the whole pipeline.
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;

use super::arguments::Arguments;
use super::check::{environment, plan_of, print_faults};
use super::run::execute;
use crate::codec::format::json_members::members;
use crate::component::source::{Fill, Position, Source};
use crate::component::{BoxFuture, Outage};
use crate::diagnostic::suggest;
use crate::event::builder::Positions;
use crate::event::{BatchBuilder, Origin};
use crate::metrics::Registry;
use crate::plan::files::LETTERS;
use crate::plan::{self, Plan};
use crate::runtime::assemble::RunOptions;
use crate::state::MemoryStore;
use crate::window::watermark::Activity;

/// Where rows stand that are refused once more, beside the first file.
const AGAIN: &str = "again";

/// A line of a dead letter, as far as it is needed.
struct Letter {
    hash: u128,
    node: String,
    /// The event as it was sent; none: it never became one.
    event: Option<Vec<u8>>,
    raw: Option<Vec<u8>>,
}

impl Letter {
    /// Reads a line.
    fn read(line: &[u8]) -> Option<Letter> {
        let find = |name: &str| members(line).find(|(key, _)| key[1..key.len() - 1] == *name.as_bytes()).map(|(_, value)| value);
        let text = |name: &str| serde_json::from_slice::<String>(find(name)?).ok();
        let raw = text("raw").map(|raw| match text("raw_encoding").as_deref() {
            Some("base64") => base64::prelude::BASE64_STANDARD.decode(&raw).unwrap_or_default(),
            _ => raw.into_bytes(),
        });
        let event = find("event").filter(|event| *event != b"null").map(|event| match serde_json::from_slice::<String>(event) {
            // It was no JSON.
            Ok(text) => text.into_bytes(),
            Err(_) => event.to_vec(),
        });
        let id = text("id").filter(|id| id.len() == 32)?;
        Some(Letter { hash: u128::from_str_radix(&id, 16).ok()?, node: text("node")?, event, raw })
    }

    /// What goes out again: to a sink the event, to a source the raw line.
    fn line(&self) -> Option<&[u8]> {
        self.event.as_deref().or(self.raw.as_deref())
    }
}

/// The letters of some files, one after the other.
struct Letters {
    files: Vec<PathBuf>,
    open: Option<(PathBuf, BufReader<File>, u64)>,
}

impl Letters {
    fn new(files: &[PathBuf]) -> Letters {
        Letters { files: files.iter().rev().cloned().collect(), open: None }
    }

    fn next(&mut self) -> Result<Option<Letter>, String> {
        loop {
            let Some((path, reader, number)) = &mut self.open else {
                let Some(path) = self.files.pop() else { return Ok(None) };
                let file = File::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                self.open = Some((path, BufReader::new(file), 0));
                continue;
            };
            let mut line = Vec::new();
            *number += 1;
            if reader.read_until(b'\n', &mut line).map_err(|e| format!("{}: {e}", path.display()))? == 0 {
                self.open = None;
            } else if !line.trim_ascii().is_empty() {
                let letter = Letter::read(&line).filter(|letter| letter.line().is_some());
                return letter.map(Some).ok_or_else(|| format!("{}:{number}: this is no line of a dead letter", path.display()));
            }
        }
    }
}

/// Gives the letters of one node, each with the identity that it had.
struct LetterSource {
    name: String,
    /// The node, and whether it is a sink.
    of: (String, bool),
    letters: Letters,
    given: u64,
    started: u8,
}

impl Source for LetterSource {
    fn connect(&mut self, _from: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        Box::pin(async { Ok(()) })
    }

    fn fill<'a>(&'a mut self, builder: &'a mut BatchBuilder) -> BoxFuture<'a, Result<Fill, Outage>> {
        Box::pin(async move {
            let origin = |known| Arc::new(Origin { source: self.name.clone(), known, ..Origin::default() });
            self.started = self.started.saturating_add(1);
            match self.started {
                1 => return Ok(Fill::Partition(origin(None), Activity::Live)),
                2 => return Ok(Fill::Opened),
                _ => {}
            }
            while let Some(letter) = self.letters.next().map_err(Outage::new)? {
                let is_of_sink = letter.event.is_some();
                if let Some(line) = letter.line()
                    && (letter.node.as_str(), is_of_sink) == (self.of.0.as_str(), self.of.1)
                {
                    builder.push_line(line);
                    self.given += 1;
                    return Ok(Fill::Rows { origin: origin(Some(letter.hash)), base: self.given - 1, positions: Positions::Rows });
                }
            }
            Ok(Fill::End)
        })
    }

    fn position(&self) -> Position {
        Position::new()
    }
}

/// The nodes that letters are of.
#[derive(Default)]
struct Nodes {
    /// Sinks, and whether what they refused are alerts.
    sinks: BTreeMap<String, bool>,
    /// The others.
    sources: BTreeMap<String, u64>,
}

impl Nodes {
    /// Reads all letters once, so that a fault is found before the first one goes out.
    fn of(files: &[PathBuf]) -> Result<Nodes, String> {
        let mut out = Nodes::default();
        let mut letters = Letters::new(files);
        while let Some(letter) = letters.next()? {
            match &letter.event {
                Some(event) => *out.sinks.entry(letter.node).or_default() |= members(event).any(|(key, _)| key == b"\"alert\""),
                None => *out.sources.entry(letter.node).or_default() += 1,
            }
        }
        Ok(out)
    }

    /// Finds fault with nodes that are not in the pipeline.
    fn check(&self, plan: &Plan) -> Result<(), String> {
        let sinks: Vec<&str> = plan.sinks.iter().map(|s| s.name.as_str()).collect();
        let sources: Vec<&str> = plan.sources.iter().map(|s| s.name.as_str()).collect();
        let families = [("sink", self.sinks.keys().collect::<Vec<_>>(), sinks), ("source", self.sources.keys().collect(), sources)];
        for (family, wanted, known) in families {
            if let Some(missing) = wanted.into_iter().find(|name| !known.contains(&name.as_str())) {
                return Err(format!(
                    "there are letters of `{missing}`, and this pipeline has no {family} of that name: {}",
                    suggest(missing, known)
                ));
            }
        }
        Ok(())
    }
}

pub(super) fn replay(arguments: &Arguments, shards: usize) -> u8 {
    let files: Vec<PathBuf> = arguments.values("--dead-letter").map(PathBuf::from).collect();
    let usage = |message: String| {
        eprintln!("tripline replay: {message}");
        2
    };
    if arguments.has("--from") {
        return usage("`--from` and `--dead-letter` are two things: one at a time".to_owned());
    }
    let (whole, faults) = plan_of(&arguments.paths, &Registry::default());
    print_faults(&faults);
    let Some(whole) = whole else { return 2 };
    let nodes = match Nodes::of(&files).and_then(|nodes| nodes.check(&whole).map(|()| nodes)) {
        Ok(nodes) => nodes,
        Err(message) => return usage(message),
    };
    let folder = files[0].parent().unwrap_or(Path::new("")).join(AGAIN);
    let options = || RunOptions {
        shards,
        workers: 1,
        until_end: true,
        close: arguments.has("--close"),
        installation: vec![0; 16],
        folder: Some(folder.clone()),
    };
    let run = |mut plan: Plan, sinks: bool| {
        put_in_place(&mut plan, &files, sinks);
        execute(plan, &options(), Box::new(MemoryStore::default()), arguments, None)
    };
    if !nodes.sources.is_empty() {
        let code = run(whole, false);
        if code != 0 || nodes.sinks.is_empty() {
            return code;
        }
    }
    let sinks: Vec<(String, bool)> = nodes.sinks.into_iter().collect();
    let (plan, faults) = plan::load_letters_plan(&arguments.paths, &environment, &sinks, &Registry::default());
    let Some(mut plan) = plan else {
        print_faults(&faults);
        return 2;
    };
    for sink in &mut plan.sinks {
        let are_alerts = sinks.iter().any(|(name, are_alerts)| *name == sink.name && *are_alerts);
        sink.inputs.iter_mut().for_each(|input| input.of_sink.is_alert = are_alerts);
    }
    run(plan, true)
}

/// Each source gives letters, of its sink or its own.
fn put_in_place(plan: &mut Plan, files: &[PathBuf], sinks: bool) {
    for source in &mut plan.sources {
        let (name, files) = (source.name.clone(), files.to_vec());
        let of = (name.trim_start_matches(if sinks { LETTERS } else { "" }).to_owned(), sinks);
        source.factory = Box::new(move |_| {
            Box::new(LetterSource { name: name.clone(), of: of.clone(), letters: Letters::new(&files), given: 0, started: 0 })
        });
    }
    // Nothing of this run is continued: it waits for its peers.
    plan.sinks.iter_mut().for_each(|sink| sink.buffer = None);
}
