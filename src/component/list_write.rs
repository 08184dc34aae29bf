//! Writes to lists on their way from a lane to whoever keeps a copy of the list: found as hits are, and given to every shard of every reader.
use std::sync::Arc;

use bumpalo::Bump;
use xxhash_rust::xxh3::xxh3_64;

use super::bind::compile_at;
use super::correlator::{Extractor, HitBatch, HitRef, RowTimes};
use crate::config::{Field, Options, Type};
use crate::diagnostic::{Diagnostic, suggest};
use crate::event::{Batch, Kind, Slot, Value};
use crate::expr::eval::{BatchRow, Op, key_of};
use crate::expr::{Environment, Program, Row};
use crate::list::{ListSpec, Merge};
use crate::state::{StateError, StateReader, StateWriter};

/// Options of what writes a list.
pub const FIELDS: &[Field] = &[
    Field::required("list", Type::Text, "the list"),
    Field::required("key", Type::Map, "column: expression, for every part of the key; where one is absent nothing is written"),
    Field::optional("set", Type::Map, "column: expression; where one is absent the column stays as it is"),
];

/// What a write says, over the fields of an event.
#[derive(Clone)]
pub struct Write {
    /// The list.
    pub list: Arc<ListSpec>,
    /// The parts of the key, the tenant among them.
    pub key: Vec<Program>,
    /// Values by column.
    pub set: Vec<(usize, Program)>,
    /// Fields that it reads.
    pub reads: Vec<Slot>,
}

impl Write {
    /// Reads the options `list`, `key` and `set`.
    pub fn read(options: &Options<'_>, env: &mut dyn Environment) -> Option<Write> {
        let (name, _) = options.placed("list")?;
        let list = env.list(&name)?.0;
        let (mut key, mut set, mut reads) = (Vec::new(), Vec::new(), Vec::new());
        if list.tenant.is_some() {
            let tenant = env.tenant();
            reads.extend(tenant);
            key.push(Program { root: Op::tenant(tenant), reads: Vec::new() });
        }
        let mut is_fine = true;
        let fault = |place, message: String, help: String| options.fault(Diagnostic::error(place, "bad_write", message).help(help));
        let mut compile = |source: &str, place: &_| {
            let program = compile_at(source, place, false, options, env);
            reads.extend(program.iter().flat_map(|p| p.reads.iter().copied()));
            program
        };
        let given = options.entries("key");
        for part in &list.key {
            let Some((_, node)) = given.iter().find(|(column, _)| column.name == *part) else {
                let place = options.get("key").map_or(options.place(), |n| &n.place);
                fault(place, format!("`key` lacks `{part}`"), format!("the key of `{name}` is {}", list.key.join(", ")));
                is_fine = false;
                continue;
            };
            match compile(&node.text().unwrap_or_default(), &node.place) {
                Some(program) => key.push(program),
                None => is_fine = false,
            }
        }
        for (column, _) in given.iter().filter(|(column, _)| !list.key.contains(&column.name)) {
            fault(
                &column.place,
                format!("`{}` is no part of the key of `{name}`", column.name),
                suggest(&column.name, list.key.iter().map(String::as_str)),
            );
            is_fine = false;
        }
        for (column, node) in options.entries("set") {
            let names = list.columns.iter().map(|(name, _)| name.as_str());
            match list.column(&column.name) {
                Some(number) if list.columns[number].1 == Merge::Count => {
                    let help = "take it out: every write of the entry is counted".to_owned();
                    fault(&column.place, format!("`{}` counts by itself", column.name), help);
                    is_fine = false;
                }
                Some(number) => match compile(&node.text().unwrap_or_default(), &node.place) {
                    Some(program) => set.push((number, program)),
                    None => is_fine = false,
                },
                None => {
                    fault(&column.place, format!("`{name}` has no column `{}`", column.name), suggest(&column.name, names));
                    is_fine = false;
                }
            }
        }
        is_fine.then_some(Write { list, key, set, reads })
    }

    /// Appends what it says of a row. False where a part of the key is absent.
    pub fn write<R: Row>(&self, row: &R, bump: &Bump, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let mut w = StateWriter { bytes: std::mem::take(out) };
        let parts = self.key.iter().map(|part| &part.root);
        let has_key = w.bytes_with(|key| key_of(parts, row, bump, &mut |part| key.extend_from_slice(part)));
        for (_, program) in self.set.iter().filter(|_| has_key) {
            let value = program.value(row, bump);
            w.u8(value.kind() as u8);
            w.bytes_with(|text| value.write_text(text));
        }
        *out = w.bytes;
        if !has_key {
            out.truncate(start);
        }
        has_key
    }

    /// Takes new tables where its expressions read some.
    pub fn refresh(&mut self) {
        self.key.iter_mut().chain(self.set.iter_mut().map(|(_, program)| program)).for_each(Program::refresh);
    }
}

/// A key, and values by column.
pub type Record<'r> = (&'r [u8], Vec<(usize, Value<'r>)>);

/// Reads what [`Write::write`] wrote: the key, and a value for each column that is set.
pub fn read<'r>(bytes: &'r [u8], columns: &[usize]) -> Result<Record<'r>, StateError> {
    let mut from = StateReader::new(bytes);
    let key = from.bytes()?;
    let mut set = Vec::with_capacity(columns.len());
    for column in columns {
        let (kind, bytes) = (Kind::of_saved(from.u8()?), from.bytes()?);
        set.push((*column, Value::of(kind, bytes)));
    }
    Ok((key, set))
}

/// Finds writes in a lane.
pub struct WriteExtractor {
    /// None: the lines of the lane are records.
    write: Option<Write>,
    /// Events without a part of the key.
    missing: metrics::Counter,
    bump: Bump,
    bytes: Vec<u8>,
}

impl Clone for WriteExtractor {
    fn clone(&self) -> WriteExtractor {
        WriteExtractor::new(self.write.clone(), self.missing.clone())
    }
}

impl WriteExtractor {
    /// Finds what `write` says of each event; without it, takes each line as what [`Write::write`] wrote.
    pub fn new(write: Option<Write>, missing: metrics::Counter) -> WriteExtractor {
        WriteExtractor { write, missing, bump: Bump::new(), bytes: Vec::new() }
    }

    /// Writes the record of a row. False where there is none.
    fn record(&mut self, batch: &Batch, row: usize) -> bool {
        self.bytes.clear();
        match &self.write {
            Some(write) => write.write(&BatchRow { batch, row }, &self.bump, &mut self.bytes),
            None => {
                self.bytes.extend_from_slice(batch.input.line(row));
                true
            }
        }
    }
}

impl Extractor for WriteExtractor {
    fn extract(&mut self, batch: &mut Batch, rows: &[u16], out: &mut [&mut HitBatch]) {
        self.write.iter().flat_map(|write| &write.reads).for_each(|slot| batch.resolve(*slot));
        self.bump.reset();
        let mut times = RowTimes::default();
        for row in rows {
            let before = times.pass_to(batch, usize::from(*row));
            if !self.record(batch, usize::from(*row)) {
                self.missing.increment(1);
                continue;
            }
            let hash = xxh3_64(&self.bytes);
            for hits in out.iter_mut() {
                let key = (hits.keys.len() as u32, self.bytes.len() as u32);
                hits.keys.extend_from_slice(&self.bytes);
                hits.hits.push(HitRef { row: *row, hash, key, before });
            }
        }
    }

    fn on_barrier(&mut self) {
        self.write.iter_mut().for_each(Write::refresh);
    }
}
