//! Any bytes are decoded or refused by every format, alone and in a batch with their like, and what came of them can be written.
#![no_main]
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tripline::codec::format::cef::{CefDecoder, Dialect};
use tripline::codec::format::csv::{CsvDecoder, CsvOptions};
use tripline::codec::format::dissect::{DissectDecoder, DissectPattern};
use tripline::codec::format::json::JsonDecoder;
use tripline::codec::format::kv::{KvDecoder, KvOptions};
use tripline::codec::format::syslog::{Structured, SyslogDecoder};
use tripline::codec::format::time::TimeRule;
use tripline::codec::format::{Decoder, Subject, Wanted, WantedField};
use tripline::event::{Batch, Input, Slot};

fuzz_target!(|input: (u8, bool, Vec<Vec<u8>>)| {
    let (which, all, lines) = input;
    let lines: Vec<Vec<u8>> = lines.into_iter().map(|l| l.into_iter().filter(|b| *b != b'\n').collect()).take(64).collect();
    let names = ["message", "a", "b.c", "src", "sd.a.b", "timestamp", "structured_data"];
    let fields = names.iter().enumerate().map(|(i, n)| WantedField { name: (*n).into(), slot: Slot(i as u16), base: None }).collect();
    let wanted = Wanted { fields, all, event_time: true, ..Wanted::default() };
    let rule = TimeRule::default();
    let mut decoder: Box<dyn Decoder> = match which % 9 {
        0 => Box::new(JsonDecoder::new(wanted)),
        1 => Box::new(SyslogDecoder::new(Structured::Fields, wanted, rule)),
        2 => Box::new(CefDecoder::new(Dialect::Cef, wanted, rule)),
        3 => Box::new(CefDecoder::new(Dialect::Leef, wanted, rule)),
        4 => Box::new(KvDecoder::new(KvOptions::default(), wanted)),
        5 => Box::new(KvDecoder::new(KvOptions { separator: Some(b';'), assign: b':' }, wanted)),
        6 => Box::new(CsvDecoder::new(&CsvOptions { columns: vec!["a".into(), "b.c".into(), "src".into()], delimiter: b',' }, wanted)),
        7 => Box::new(SyslogDecoder::new(Structured::Text, wanted, rule)),
        _ => Box::new(DissectDecoder::new(DissectPattern::parse("%{a->} [%{+src}] %{+src}:%{message}").expect("a good pattern"), wanted)),
    };
    let mut batch = Batch::default();
    // Twice: what the first pass taught is used in the second.
    for _ in 0..2 {
        let input = Input::of_lines(lines.iter().map(Vec::as_slice), Arc::default(), 0);
        batch.reset(Arc::new(input), names.len());
        decoder.decode(&mut batch, &(0..lines.len() as u16).collect::<Vec<_>>(), Subject::Line);
        for row in 0..lines.len() {
            for slot in 0..names.len() as u16 {
                batch.bytes(batch.cell(Slot(slot), row));
                let mut text = Vec::new();
                batch.value(Slot(slot), row).write_text(&mut text);
            }
            for extra in batch.extras(0, row) {
                (batch.bytes(extra.name), batch.bytes(extra.value));
            }
        }
    }
});
