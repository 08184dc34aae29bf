//! P0: instructions per event, counted by cachegrind: a guard that no noise can touch. Two runs of different lengths, so that what every run costs cancels out.
#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)] // a bench asks the machine

mod common;

use std::process::Command;
use std::sync::Arc;

use common::{strings, wanted};
use tripline::codec::format::cef::{CefDecoder, Dialect};
use tripline::codec::format::json::JsonDecoder;
use tripline::codec::format::kv::{KvDecoder, KvOptions};
use tripline::codec::format::regex::{self, RegexDecoder};
use tripline::codec::format::syslog::{Structured, SyslogDecoder};
use tripline::codec::format::time::TimeRule;
use tripline::codec::format::{Decoder, Subject, grok};
use tripline::event::Batch;

/// Case, most instructions per event, lines of the two runs.
const CASES: [(&str, f64, u64, u64); 5] = [
    ("rfc5424 with time", 1_800.0, 2_048, 10_240),
    ("json, all leaves", 14_000.0, 512, 2_560),
    ("cef, 26 extensions", 4_500.0, 1_024, 5_120),
    ("grok, a web server's line", 5_300.0, 1_024, 5_120),
    ("kv, 26 pairs", 3_000.0, 1_024, 5_120),
];

/// The lines of a case.
fn lines_of(case: &str, n: u64) -> Vec<u8> {
    match &case[..3] {
        "rfc" => common::rfc5424(n),
        "cef" => common::cef(n),
        "gro" => common::web(n),
        "kv," => common::kv(n),
        _ => common::json(n),
    }
}

/// The decoder of a case for all fields of its lines, and their number.
fn decoder_of(case: &str, lines: &[u8]) -> (Box<dyn Decoder>, usize) {
    let first = lines.split(|b| *b == b'\n').next().expect("made here");
    let pattern = || grok::compile("%{HTTPD_COMBINEDLOG}", &[]).unwrap_or_else(|e| panic!("{}", e.message));
    let names = match &case[..3] {
        "gro" => regex::names(&[pattern()]),
        "rfc" => strings(&common::RFC5424_FIELDS),
        "cef" => common::cef_fields(std::str::from_utf8(first).expect("made here")),
        "kv," => {
            let pairs = std::str::from_utf8(first).expect("made here").split(' ').filter_map(|pair| pair.split_once('='));
            pairs.map(|(key, _)| key.to_owned()).collect()
        }
        _ => common::leaves(first),
    };
    let (slots, wanted) = (names.len(), wanted(&names, true));
    let decoder: Box<dyn Decoder> = match &case[..3] {
        "rfc" => Box::new(SyslogDecoder::new(Structured::Fields, wanted, TimeRule::default())),
        "cef" => Box::new(CefDecoder::new(Dialect::Cef, wanted, TimeRule::default())),
        "gro" => Box::new(RegexDecoder::new(vec![pattern()], wanted)),
        "kv," => Box::new(KvDecoder::new(KvOptions::default(), wanted)),
        _ => Box::new(JsonDecoder::new(wanted)),
    };
    (decoder, slots)
}

fn work(case: &str, n: u64) {
    let lines = lines_of(case, n);
    let (mut decoder, slots) = decoder_of(case, &lines);
    let mut batch = Batch::default();
    // Framing is part of it; making the lines and copying them is not: the run decodes them `TIMES` over, and the difference of the two runs is divided by that.
    let inputs = common::inputs(&lines);
    let mut ends = Vec::new();
    for _ in 0..TIMES {
        for input in &inputs {
            ends.clear();
            tripline::simd::offsets(input.bytes(), b'\n', 0, &mut ends);
            let rows = input.lines.len() as u16;
            batch.reset(Arc::clone(input), slots);
            decoder.decode(&mut batch, &(0..rows).collect::<Vec<u16>>(), Subject::Line);
            assert!(batch.faults.is_empty());
        }
    }
}

const TIMES: u64 = 20;

/// Instructions of a run, by cachegrind.
fn count(case: &str, n: u64, times: bool) -> f64 {
    let own = std::env::current_exe().expect("own path");
    let mut command = Command::new("valgrind");
    command.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]).arg(own).args([
        "--work",
        case,
        &n.to_string(),
    ]);
    if !times {
        command.arg("--make-only");
    }
    let output = command.output().expect("valgrind runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let line = said.lines().find(|l| l.contains("I   refs:") || l.contains("I refs:")).expect("cachegrind counts");
    line.rsplit(':').next().expect("a number").trim().replace(',', "").parse().expect("a number")
}

fn main() {
    let flags: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = flags.iter().position(|f| f == "--work") {
        let (case, n) = (&flags[at + 1], flags[at + 2].parse().expect("a number"));
        if flags.iter().any(|f| f == "--make-only") {
            drop(common::inputs(&lines_of(case, n)));
        } else {
            work(case, n);
        }
        return;
    }
    let mut failed = false;
    for (case, bar, few, many) in CASES {
        let made = count(case, many, false) - count(case, few, false);
        let both = count(case, many, true) - count(case, few, true);
        let per_event = (both - made) / ((many - few) * TIMES) as f64;
        failed |= per_event > bar;
        if flags.iter().any(|f| f == "--json") {
            let line = serde_json::json!({"bench": "instructions", "case": case, "threads": 1, "events": (many - few) * TIMES, "bytes": null, "ns_per_event": null, "events_per_s": null, "bytes_per_s": null,
                "reference": "bar", "reference_ns_per_event": null, "ratio": (bar / per_event * 100.0).round() / 100.0, "runs": 1, "allocs_per_event": null, "instructions_per_event": per_event.round()});
            println!("{line}");
        } else {
            println!("instructions {case:30} {per_event:9.0} per event, at most {bar}");
        }
    }
    if failed && flags.iter().any(|f| f == "--check") {
        eprintln!("instructions: above a bar");
        std::process::exit(1);
    }
}
