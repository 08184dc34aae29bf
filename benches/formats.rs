//! P2d and P2e: CEF, LEEF, kv, CSV, dissect and grok to slots, against framing, against parsers into maps, against the csv and grok crates.
#![allow(clippy::expect_used, clippy::panic)] // made-up data is as it was made

mod common;

use std::hint::black_box;

use common::{Bench, Event, cef_map, decode, per_line, wanted};
use grok::Grok;
use tripline::codec::format::Decoder;
use tripline::codec::format::cef::{CefDecoder, Dialect};
use tripline::codec::format::csv::{CsvDecoder, CsvOptions};
use tripline::codec::format::dissect::{DissectDecoder, DissectPattern};
use tripline::codec::format::grok as own_grok;
use tripline::codec::format::kv::{KvDecoder, KvOptions};
use tripline::codec::format::regex::{self, NamedPattern, RegexDecoder};
use tripline::codec::format::time::TimeRule;
use tripline::event::Batch;

/// The container style, with [`cef_map`].
fn kv_map(line: &str) -> Event {
    let mut out = Event::new();
    let mut rest = line;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').expect("made here"),
            None => after.split_once(' ').unwrap_or((after, "")),
        };
        out.insert(key.trim_start().into(), value.into());
        rest = after;
    }
    out
}

fn csv_map(line: &str, names: &[String]) -> Event {
    let mut out = Event::new();
    let mut cell = String::new();
    let mut names = names.iter();
    let (mut quoted, mut chars) = (false, line.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                cell.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => drop(out.insert(names.next().expect("made here").clone(), std::mem::take(&mut cell))),
            other => cell.push(other),
        }
    }
    out.insert(names.next().expect("made here").clone(), cell);
    out
}

/// Names of the pairs of a line, by the parser into maps.
fn names(event: &Event, without: &str) -> Vec<String> {
    event.keys().filter(|k| *k != without).cloned().collect()
}

fn main() {
    let mut bench = Bench::new("formats", true);
    let n = if bench.quick { 100_000 } else { 400_000 };
    let mut batch = Batch::default();
    let mut run = |case: &str, lines: &[u8], decoder: &mut dyn Decoder, slots: usize, map: Option<&dyn Fn(&str)>| {
        let inputs = common::inputs(lines);
        let bytes = lines.len() as u64;
        let m = bench.interleave(|| decode(&inputs, decoder, &mut batch, slots), || per_line(lines));
        bench.report(&format!("{case} / framing"), "per-line memchr", n, bytes, &m);
        if let Some(map) = map {
            let text = std::str::from_utf8(lines).expect("made here");
            let m = bench.interleave(|| decode(&inputs, decoder, &mut batch, slots), || text.lines().for_each(map));
            bench.report(&format!("{case} / map parser"), "parser into a map", n, bytes, &m);
        }
    };

    let lines = common::cef(n);
    let keys = common::cef_fields(std::str::from_utf8(&lines).expect("made here").lines().next().expect("made here"));
    let mut decoder = CefDecoder::new(Dialect::Cef, wanted(&keys, true), TimeRule::default());
    run("cef 26 extensions", &lines, &mut decoder, keys.len(), Some(&|l| drop(black_box(cef_map(l)))));

    let lines = common::kv(n);
    let first = std::str::from_utf8(&lines).expect("made here").lines().next().expect("made here");
    let keys = names(&kv_map(first), "");
    let mut decoder = KvDecoder::new(KvOptions::default(), wanted(&keys, false));
    run("kv 26 pairs", &lines, &mut decoder, keys.len(), Some(&|l| drop(black_box(kv_map(l)))));

    let lines = common::leef(n);
    let mut decoder = CefDecoder::new(Dialect::Leef, wanted(&keys, true), TimeRule::default());
    run("leef 26 pairs", &lines, &mut decoder, keys.len(), None);

    let lines = common::csv(n);
    let columns: Vec<String> = (0..34).map(|i| format!("column_{i:02}")).collect();
    let options = CsvOptions { columns: columns.clone(), delimiter: b',' };
    let mut decoder = CsvDecoder::new(&options, wanted(&columns, false));
    run("csv 34 columns", &lines, &mut decoder, 34, Some(&|l| drop(black_box(csv_map(l, &columns)))));

    let syslog = common::rfc5424(n);
    let pattern = DissectPattern::parse("<%{pri}>%{version} %{timestamp} %{host} %{app} %{pid} %{msgid} [%{auth}][%{meta}] %{message}")
        .expect("made here");
    let fields = pattern.shape().1;
    let mut dissect = DissectDecoder::new(pattern, wanted(&fields, false));
    run("dissect 10 parts", &syslog, &mut dissect, fields.len(), None);

    // A hundred patterns, of which the last one matches.
    let (n_web, web) = (n / 4, common::web(n / 4));
    let last = "%{HTTPD_COMBINEDLOG}";
    let others = (0..99)
        .map(|i| format!("^job{i} %{{WORD:job.name}} %{{LOGLEVEL:log.level}} %{{IP:source.ip}} took %{{NUMBER:job.seconds:float}}$"));
    let hundred: Vec<NamedPattern> =
        others.chain([last.to_owned()]).map(|p| own_grok::compile(&p, &[]).unwrap_or_else(|e| panic!("{}", e.message))).collect();
    let fields = regex::names(&hundred);
    let one = hundred[99..].to_vec();
    let mut of_hundred = RegexDecoder::new(hundred, wanted(&fields, false));
    let mut of_one = RegexDecoder::new(one, wanted(&fields, false));
    let inputs = common::inputs(&web);
    let m = bench.interleave(|| decode(&inputs, &mut of_hundred, &mut batch, fields.len()), || per_line(&web));
    bench.report("grok 100 patterns / framing", "per-line memchr", n_web, web.len() as u64, &m);
    let peer = Grok::with_default_patterns().compile("%{COMBINEDAPACHELOG}", true).expect("its own pattern");
    let text = std::str::from_utf8(&web).expect("made here");
    let m = bench.interleave(
        || decode(&inputs, &mut of_one, &mut batch, fields.len()),
        || text.lines().for_each(|l| drop(black_box(peer.match_against(l).expect("it matches").collect::<Vec<_>>()))),
    );
    bench.report("grok / grok crate", "grok crate", n_web, web.len() as u64, &m);

    let inputs = common::inputs(&lines);
    let mut decoder = CsvDecoder::new(&options, wanted(&columns, false));
    let m = bench.interleave(
        || decode(&inputs, &mut decoder, &mut batch, 34),
        || {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(lines.as_slice());
            let mut record = csv::ByteRecord::new();
            while reader.read_byte_record(&mut record).expect("made here") {
                black_box(&record);
            }
        },
    );
    bench.report("csv 34 columns / csv ByteRecord", "csv crate, ByteRecord", n, lines.len() as u64, &m);
    bench.end();
}
