//! P8b: rows of a `_bulk` body, 20 fields and an `_id`, against serde_json over a map for each event.
#![allow(clippy::expect_used)] // made-up data is as it was made

mod common;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use common::{Bench, Rng, inputs, of_options, strings, wanted};
use tripline::codec::format::json_out::{EventWriter, OutField, RowFacts};
use tripline::codec::format::kv::{KvDecoder, KvOptions};
use tripline::codec::format::{Decoder, Subject};
use tripline::component::Body;
use tripline::component::sink::{OutRow, SinkInput};
use tripline::event::{Batch, Slot, id};
use tripline::expr::{Environment, Template};
use tripline::sink::elasticsearch::KIND;
use tripline::table::{Handle, Table};

const FIELDS: usize = 20;
const TIME: i64 = 1_760_000_000_123_000_000;

/// A template without fields asks for nothing.
struct NoFields;

impl Environment for NoFields {
    fn slot(&mut self, _: &str) -> Option<Slot> {
        None
    }
    fn table(&mut self, _: &str, _: bool) -> Option<Arc<Handle<Table>>> {
        None
    }
    fn tables(&self, _: bool) -> Vec<String> {
        Vec::new()
    }
}

fn main() {
    let mut bench = Bench::new("bulk", true);
    let n: u64 = if bench.quick { 50_000 } else { 200_000 };
    let mut r = Rng(5);
    let mut text = String::new();
    let names: Vec<String> = (0..FIELDS).map(|f| format!("field_{f:02}")).collect();
    for _ in 0..n {
        let pairs: Vec<String> = names.iter().map(|name| format!("{name}=v{}", r.below(1_000_000_000))).collect();
        text.push_str(&(pairs.join(" ") + "\n"));
    }
    let refs: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut decoder = KvDecoder::new(KvOptions::default(), wanted(&strings(&refs), false));
    let decoded = |input| {
        let mut batch = Batch::default();
        batch.reset(input, FIELDS);
        let rows: Vec<u16> = (0..batch.rows() as u16).collect();
        decoder.decode(&mut batch, &rows, Subject::Line);
        batch
    };
    let batches: Vec<Batch> = inputs(text.as_bytes()).into_iter().map(decoded).collect();
    let maps: Vec<BTreeMap<&str, &str>> = text.lines().map(|l| l.split(' ').filter_map(|pair| pair.split_once('=')).collect()).collect();

    let options = "{type: elasticsearch, inputs: [x], endpoints: ['http://localhost:9200'], index: logs}";
    let bound = of_options(options.to_owned(), |options| (KIND.bind)(options));
    let sink = (bound.factory)(&[]);
    let writer = EventWriter {
        fields: names.iter().enumerate().map(|(f, name)| OutField::new(name, Slot(f as u16), None)).collect(),
        ..EventWriter::default()
    };
    let templates = vec![Template::compile("logs", &mut NoFields).expect("made here")];
    let input = SinkInput { writer, templates, reads: vec![None], ..SinkInput::default() };
    let facts = RowFacts { time: TIME, late: false };
    let mut body = Body::default();
    let ours = || {
        for batch in &batches {
            if body.bytes.len() > 5 << 20 {
                body.clear();
            }
            (0..batch.rows()).for_each(|row| sink.encode(&OutRow { input: &input, batch, row, facts }, &mut body));
        }
        black_box(&body);
    };
    let naive = || {
        let mut body = Vec::new();
        for (number, map) in maps.iter().enumerate() {
            if body.len() > 5 << 20 {
                body.clear();
            }
            // An event that is a map owns its texts.
            let mut event: BTreeMap<String, String> = map.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            event.insert("@timestamp".into(), jiff::Timestamp::from_nanosecond(TIME.into()).expect("in range").to_string());
            let id = id::hex(&id::event_hash(b"bench", b"", number as u64, b"").to_be_bytes());
            let action = serde_json::json!({"create": {"_index": "logs", "_id": std::str::from_utf8(&id).expect("digits")}});
            serde_json::to_writer(&mut body, &action).expect("to memory");
            body.push(b'\n');
            serde_json::to_writer(&mut body, &event).expect("to memory");
            body.push(b'\n');
        }
        black_box(&body);
    };
    let m = bench.interleave(ours, naive);
    bench.report("_bulk rows of 20 fields / serde_json", "serde_json of a BTreeMap", n, text.len() as u64, &m);
    bench.end();
}
