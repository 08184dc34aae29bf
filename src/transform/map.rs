//! `map`: ArcSight map files, one over the other's output.
use std::path::PathBuf;
use std::sync::Arc;

use bumpalo::Bump;

use super::map_reload::{MapReload, load};
use super::{BindTransform, OperatorFactory};
use crate::component::operator::{MAIN, Operator, Outputs};
use crate::component::{Bind, Kind, OutputNames};
use crate::config::{Field, INPUTS, Options, Type};
use crate::diagnostic::{Diagnostic, Place};
use crate::event::{Batch, Kind as ValueKind, Slot};
use crate::expr::eval::BatchRow;
use crate::expr::{self, Program};
use crate::mapfile::functions::{self, Call};
use crate::mapfile::{CompiledMap, Scratch, SetterKind};
use crate::metrics::Registry;
use crate::pattern::Found;
use crate::table::{Handle, Local};

const FIELDS: &[Field] = &[
    Field::optional("files", Type::Texts, "map files, in order"),
    Field::optional("properties", Type::Text, "a folder of map.N.properties files, taken by N"),
    Field::optional("strict", Type::Bool, "true makes warnings about the files errors"),
];

/// See the module.
pub static KIND: Kind<BindTransform> = Kind {
    name: "map",
    summary: "categorises by ArcSight map files",
    fields: FIELDS,
    outputs: OutputNames::Main,
    bind: BindTransform::Step(bind),
};

/// A setter's cell that is computed.
#[derive(Clone)]
enum Computed {
    Program(Program),
    /// With its number among the calls of the file.
    Call(Call<Option<Slot>>, usize),
}

/// One file at its place in a lane.
#[derive(Clone)]
struct Step {
    map: Local<CompiledMap>,
    getters: Vec<Option<Slot>>,
    /// Old and new slot of each setter.
    setters: Vec<(Option<Slot>, Slot)>,
    /// Computed cells, by row and setter. They hold as long as the file is the one that was bound.
    computed: Arc<Vec<Vec<Option<Computed>>>>,
    reads: Vec<Slot>,
    hits: Vec<u64>,
    /// Where groups of patterns are put, by the number of the call.
    groups: Vec<Option<Found>>,
    /// A computed text.
    text: Vec<u8>,
}

fn bind(options: &Options<'_>, bind: &mut Bind<'_, '_>) -> Option<OperatorFactory> {
    options.check(&[FIELDS, INPUTS]);
    let strict = options.bool("strict", false);
    let mut steps = Vec::new();
    let files = files(options);
    if files.is_empty() {
        options.fault(
            Diagnostic::error(options.place(), "missing_key", format!("`{}` names no map files", bind.node))
                .help("`files: [maps/a.map.csv]` or `properties: FOLDER`"),
        );
    }
    for (path, place) in files {
        let mut faults = Vec::new();
        if !path.exists() {
            options.fault(
                Diagnostic::error(&place, "missing_file", format!("there is no file {}", path.display()))
                    .help("paths start from the folder of the pipeline file"),
            );
            continue;
        }
        let map = load(&path, strict, &mut faults);
        let text_place = faults.first().map(|f| f.place.clone());
        faults.into_iter().for_each(|f| options.fault(f));
        let Some(map) = map else { continue };
        steps.push(bind_file(map, &path, strict, text_place, options, bind));
    }
    let (node, registry) = (bind.node.to_owned(), bind.context.registry.clone());
    Some(Box::new(move || {
        Box::new(MapFiles {
            steps: steps.clone(),
            node: node.clone(),
            registry: registry.clone(),
            bump: Bump::new(),
            scratch: Scratch::default(),
        })
    }))
}

/// The files in order, each with the place that names it.
fn files(options: &Options<'_>) -> Vec<(PathBuf, Place)> {
    let mut out = options.paths("files");
    if let Some((properties, place)) = options.path("properties") {
        let number =
            |path: &PathBuf| -> Option<u32> { path.file_name()?.to_str()?.strip_prefix("map.")?.strip_suffix(".properties")?.parse().ok() };
        let entries = std::fs::read_dir(&properties).into_iter().flatten().flatten().map(|e| e.path());
        let mut found: Vec<(u32, PathBuf)> = entries.filter_map(|p| Some((number(&p)?, p))).collect();
        found.sort();
        if found.is_empty() {
            options.fault(
                Diagnostic::error(&place, "missing_file", format!("`{}` holds no map.N.properties", properties.display()))
                    .help("N is a number: map.0.properties"),
            );
        }
        out.extend(found.into_iter().map(|(_, p)| (p, place.clone())));
    }
    out
}

fn bind_file(
    map: CompiledMap,
    path: &std::path::Path,
    strict: bool,
    place: Option<Place>,
    options: &Options<'_>,
    bind: &mut Bind<'_, '_>,
) -> Step {
    let getters: Vec<Option<Slot>> = map.file.getters.iter().map(|g| bind.read(&g.field)).collect();
    let mut reads: Vec<Slot> = getters.iter().flatten().copied().collect();
    let base = place.unwrap_or_else(|| Place::start_of(&map.file.path));
    let mut computed = Vec::new();
    let mut calls = 0;
    if map.file.setters.iter().any(|s| matches!(s.kind, SetterKind::Expression(_))) {
        for row in &map.file.rows {
            let cells = map.file.setters.iter().zip(&row.values).map(|(setter, (cell, column))| {
                if setter.kind == SetterKind::Constant || cell.is_empty() {
                    return None;
                }
                let at = Place { line: row.line, column: *column, ..base.clone() };
                compute(cell, &at, &mut reads, &mut calls, options, bind)
            });
            computed.push(cells.collect());
        }
    }
    let setters = map.file.setters.iter().map(|s| bind.write(&s.field)).collect();
    let hits = vec![0; map.file.rows.len()];
    let reloadable = computed.is_empty();
    let handle = Handle::new(map);
    bind.context.maps.push((bind.node.to_owned(), Arc::clone(&handle)));
    if reloadable {
        bind.context.reloads.push(Box::new(MapReload::new(path.to_owned(), strict, Arc::clone(&handle))));
    }
    Step {
        map: Local::new(&handle),
        getters,
        setters,
        computed: Arc::new(computed),
        reads,
        hits,
        groups: vec![None; calls],
        text: Vec::new(),
    }
}

fn compute(
    cell: &str,
    at: &Place,
    reads: &mut Vec<Slot>,
    calls: &mut usize,
    options: &Options<'_>,
    bind: &mut Bind<'_, '_>,
) -> Option<Computed> {
    if cell.starts_with("__") {
        return match functions::parse(cell) {
            Ok(call) => {
                let call = call.map(|name| bind.read(&name));
                reads.extend(call.fields().flatten());
                *calls += 1;
                Some(Computed::Call(call, *calls - 1))
            }
            Err((offset, message)) => {
                options.fault(Diagnostic::error(&at.plus(offset), "bad_function", message).help("see docs/map-files.md"));
                None
            }
        };
    }
    let compiled = expr::parse(cell).map_err(|f| vec![f]).and_then(|tree| expr::compile(&tree, bind));
    match compiled {
        Ok(program) => {
            reads.extend(program.reads.iter().copied());
            Some(Computed::Program(program))
        }
        Err(faults) => {
            for fault in faults {
                options.fault(Diagnostic::error(&at.plus(fault.at), "bad_expression", fault.message).help(fault.help));
            }
            None
        }
    }
}

struct MapFiles {
    steps: Vec<Step>,
    node: String,
    registry: Registry,
    bump: Bump,
    scratch: Scratch,
}

impl Operator for MapFiles {
    fn on_batch(&mut self, batch: &mut Batch, rows: &[u16], out: &mut Outputs) {
        for step in &mut self.steps {
            self.bump.reset();
            step.apply(batch, rows, &mut self.scratch, &self.bump);
        }
        out.rows[MAIN].extend_from_slice(rows);
    }

    fn on_barrier(&mut self) {
        for step in &mut self.steps {
            step.count(&self.node, &self.registry);
            if step.map.refresh() {
                step.hits = vec![0; step.map.get().file.rows.len()];
            }
        }
    }
}

impl Drop for MapFiles {
    fn drop(&mut self) {
        self.steps.iter_mut().for_each(|s| s.count(&self.node, &self.registry));
    }
}

impl Step {
    fn count(&mut self, node: &str, registry: &Registry) {
        let file = &self.map.get().file;
        for (row, hits) in file.rows.iter().zip(&mut self.hits) {
            if *hits > 0 {
                registry
                    .counter("tripline_map_row_hits_total", &[("node", node), ("file", &file.path), ("line", &row.line.to_string())])
                    .increment(std::mem::take(hits));
            }
        }
    }

    fn apply(&mut self, batch: &mut Batch, rows: &[u16], scratch: &mut Scratch, bump: &Bump) {
        self.reads.iter().for_each(|slot| batch.resolve(*slot));
        for (old, new) in &self.setters {
            if let Some(old) = old
                && batch.has_column(*old)
            {
                batch.copy_column(*old, *new);
            }
        }
        let text = &mut self.text;
        let map = self.map.get();
        for row in rows {
            let at = usize::from(*row);
            let found = {
                let mut values = [None; 8];
                let values: &[Option<&[u8]>] = if self.getters.len() <= 8 {
                    for (value, slot) in values.iter_mut().zip(&self.getters) {
                        *value = text_of(batch, *slot, at, bump);
                    }
                    &values[..self.getters.len()]
                } else {
                    bump.alloc_slice_fill_iter(self.getters.iter().map(|slot| text_of(batch, *slot, at, bump)))
                };
                map.find(values, scratch)
            };
            let Some(found) = found else { continue };
            self.hits[found as usize] += 1;
            for (i, ((_, new), (cell, _))) in self.setters.iter().zip(&map.file.rows[found as usize].values).enumerate() {
                if cell.is_empty() {
                    continue;
                }
                text.clear();
                let computed = self.computed.get(found as usize).and_then(|row| row[i].as_ref());
                let span = match computed {
                    None => batch.derive(ValueKind::Text, cell.as_bytes()),
                    Some(Computed::Program(program)) => {
                        let event = BatchRow { batch, row: at };
                        let value = program.value(&event, bump);
                        let kind = if value.is_numeric() { ValueKind::Number } else { ValueKind::Text };
                        if !value.write_text(text) {
                            continue;
                        }
                        batch.derive(kind, text)
                    }
                    Some(Computed::Call(call, number)) => {
                        let value = |slot: &Option<Slot>| slot.map_or(crate::event::Value::Absent, |slot| batch.value(slot, at));
                        if !call.write(value, &mut self.groups[*number], text) {
                            continue;
                        }
                        batch.derive(if call.is_number() { ValueKind::Number } else { ValueKind::Text }, text)
                    }
                };
                batch.set(*new, at, span);
            }
        }
    }
}

/// The canonical text of a field.
#[inline(always)]
fn text_of<'b>(batch: &'b Batch, slot: Option<Slot>, row: usize, bump: &'b Bump) -> Option<&'b [u8]> {
    let value = batch.value(slot?, row);
    if let Some(text) = value.plain_text() {
        return Some(text);
    }
    let mut text = Vec::new();
    value.write_text(&mut text).then(|| &*bump.alloc_slice_copy(&text))
}
