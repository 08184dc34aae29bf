//! P2: framing, RFC 5424, RFC 3164 of Cisco, JSON in and out, each against what bounds it and against a parser into maps.
#![allow(clippy::expect_used)] // made-up data is as it was made

mod common;

use std::hint::black_box;
use std::sync::Arc;

use common::{Bench, Event, decode, per_line, strings, wanted};
use tripline::codec::format::json::JsonDecoder;
use tripline::codec::format::json_out::{EventWriter, OutField, RowFacts};
use tripline::codec::format::syslog::{Structured, SyslogDecoder};
use tripline::codec::format::time::TimeRule;
use tripline::event::{Batch, Kind, Slot};

/// The container style: a map of owned texts for every line.
fn rfc5424_map(line: &str) -> Event {
    let mut out = Event::new();
    let (pri, rest) = line[1..].split_once('>').expect("made here");
    out.insert("pri".into(), pri.into());
    let mut parts = rest.splitn(7, ' ');
    for name in ["version", "timestamp", "hostname", "appname", "procid", "msgid"] {
        out.insert(name.into(), parts.next().expect("made here").into());
    }
    let mut rest = parts.next().expect("made here");
    while let Some(element) = rest.strip_prefix('[') {
        let (inside, after) = element.split_once(']').expect("made here");
        let mut words = inside.split(' ');
        let id = words.next().expect("made here");
        for word in words {
            let (k, v) = word.split_once('=').expect("made here");
            out.insert(format!("sd.{id}.{k}"), v.trim_matches('"').to_owned());
        }
        rest = after;
    }
    out.insert("message".into(), rest.trim_start().into());
    let time = tripline::event::time::parse_rfc3339(out["timestamp"].as_bytes());
    black_box(time);
    out
}

fn cisco_map(line: &str) -> Event {
    let mut out = Event::new();
    let (pri, rest) = line[1..].split_once('>').expect("made here");
    out.insert("pri".into(), pri.into());
    let (head, body) = rest.split_once(": %").expect("made here");
    let (seq, time) = head.split_once(": *").expect("made here");
    out.insert("seq".into(), seq.into());
    out.insert("timestamp".into(), time.into());
    black_box(TimeRule::default().parse(time.as_bytes(), 1_772_000_000_000_000_000));
    let (code, text) = body.split_once(": ").expect("made here");
    for (name, part) in ["facility", "severity", "mnemonic"].iter().zip(code.splitn(3, '-')) {
        out.insert((*name).into(), part.into());
    }
    out.insert("message".into(), text.into());
    for part in text.split('[').skip(1) {
        let (k, v) = part.split_once(": ").expect("made here");
        out.insert(k.into(), v.split(']').next().expect("made here").into());
    }
    out
}

fn main() {
    let mut bench = Bench::new("decode", true);
    let n = if bench.quick { 100_000 } else { 400_000 };

    let lines = common::rfc5424(n);
    let text = std::str::from_utf8(&lines).expect("made here");
    let inputs = common::inputs(&lines);
    let mut ends = Vec::new();
    let m = bench.interleave(
        || {
            lines.chunks(256 * 1024).for_each(|c| {
                ends.clear();
                tripline::simd::offsets(c, b'\n', 0, &mut ends);
                black_box(&ends);
            })
        },
        {
            let mut offsets: Vec<u32> = Vec::new();
            let lines = &lines;
            move || {
                lines.chunks(256 * 1024).for_each(|c| {
                    offsets.clear();
                    offsets.extend(memchr::memchr_iter(b'\n', c).map(|o| o as u32));
                    black_box(&offsets);
                })
            }
        },
    );
    bench.report("framing / memchr_iter", "memchr_iter offsets", n, lines.len() as u64, &m);

    let names = strings(&common::RFC5424_FIELDS);
    let mut decoder = SyslogDecoder::new(Structured::Fields, wanted(&names, true), TimeRule::default());
    let mut batch = Batch::default();
    let m = bench.interleave(|| decode(&inputs, &mut decoder, &mut batch, names.len()), || per_line(&lines));
    bench.report("rfc5424 / framing", "per-line memchr", n, lines.len() as u64, &m);
    let m = bench.interleave(
        || decode(&inputs, &mut decoder, &mut batch, names.len()),
        || text.lines().for_each(|l| drop(black_box(rfc5424_map(l)))),
    );
    bench.report("rfc5424 / map parser", "parser into a map", n, lines.len() as u64, &m);

    let lines = common::cisco(n);
    let text = std::str::from_utf8(&lines).expect("made here");
    let inputs = common::inputs(&lines);
    let names = strings(&[
        "timestamp",
        "facility",
        "severity",
        "message",
        "cisco.facility",
        "cisco.severity",
        "cisco.mnemonic",
        "cisco.user",
        "cisco.Source",
        "cisco.localport",
        "cisco.Reason",
    ]);
    let mut decoder = SyslogDecoder::new(Structured::Fields, wanted(&names, true), TimeRule::default());
    let m = bench.interleave(|| decode(&inputs, &mut decoder, &mut batch, names.len()), || per_line(&lines));
    bench.report("cisco / framing", "per-line memchr", n, lines.len() as u64, &m);
    let m = bench
        .interleave(|| decode(&inputs, &mut decoder, &mut batch, names.len()), || text.lines().for_each(|l| drop(black_box(cisco_map(l)))));
    bench.report("cisco / map parser", "parser into a map", n, lines.len() as u64, &m);

    let n = n / 4;
    let lines = common::json(n);
    let inputs = common::inputs(&lines);
    let first = lines.split(|b| *b == b'\n').next().expect("made here");
    let names = common::leaves(first);
    let mut decoder = JsonDecoder::new(wanted(&names, false));
    let m = bench.interleave(
        || decode(&inputs, &mut decoder, &mut batch, names.len()),
        || {
            lines
                .split(|b| *b == b'\n')
                .filter(|l| !l.is_empty())
                .for_each(|l| drop(black_box(serde_json::from_slice::<serde_json::Value>(l).expect("made here"))))
        },
    );
    bench.report(&format!("json {} leaves / serde_json::Value", names.len()), "serde_json::Value", n, lines.len() as u64, &m);
    let mut scratch = Vec::new();
    let mut buffers = simd_json::Buffers::default();
    let m = bench.interleave(
        || decode(&inputs, &mut decoder, &mut batch, names.len()),
        || {
            lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()).for_each(|l| {
                scratch.clear();
                scratch.extend_from_slice(l);
                black_box(simd_json::to_tape_with_buffers(&mut scratch, &mut buffers).expect("made here"));
            })
        },
    );
    bench.report(&format!("json {} leaves / simd-json tape", names.len()), "simd-json tape", n, lines.len() as u64, &m);

    // The event's own bytes and four short fields.
    let added = ["categoryOutcome", "deviceAction", "customer", "owner"];
    let names = strings(&added);
    let writer = EventWriter {
        splice: true,
        added: names.iter().enumerate().map(|(i, name)| OutField::new(name, Slot(i as u16), None)).collect(),
        ..EventWriter::default()
    };
    let batches: Vec<Batch> = inputs
        .iter()
        .map(|input| {
            let mut batch = Batch::default();
            batch.reset(Arc::clone(input), 4);
            for row in 0..batch.rows() {
                for (slot, value) in ["Failure", "Login", "north", "Jane Smith"].iter().enumerate() {
                    let span = batch.derive(Kind::Text, value.as_bytes());
                    batch.set(Slot(slot as u16), row, span);
                }
            }
            batch
        })
        .collect();
    let (mut out, mut copy) = (Vec::with_capacity(1 << 20), Vec::with_capacity(1 << 20));
    let m = bench.interleave(
        || {
            batches.iter().for_each(|batch| {
                out.clear();
                (0..batch.rows()).for_each(|row| writer.write(batch, row, RowFacts::default(), &mut out));
                black_box(&out);
            })
        },
        || {
            batches.iter().for_each(|batch| {
                copy.clear();
                (0..batch.rows()).for_each(|row| copy.extend_from_slice(batch.input.line(row)));
                black_box(&copy);
            })
        },
    );
    bench.report("json out + 4 fields / memcpy", "memcpy of the line", n, lines.len() as u64, &m);
    bench.end();
}
