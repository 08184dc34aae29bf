//! `enrich`: fields get cells of the table row whose key equals fields of the event.
use super::{BindTransform, OperatorFactory};
use crate::component::operator::{MAIN, Operator, Outputs};
use crate::component::{Bind, Kind, OutputNames};
use crate::config::{Field, INPUTS, Options, Type};
use crate::diagnostic::{Diagnostic, suggest};
use crate::event::{Batch, Kind as ValueKind, Slot};
use crate::table::rows::{KEY_SEPARATOR, Keys};
use crate::table::{Local, Table};

const FIELDS: &[Field] = &[
    Field::required("table", Type::Text, "the table"),
    Field::required("on", Type::Map, "table column: event field, for each column of the key"),
    Field::required("set", Type::Map, "event field: table column"),
    Field::optional("missing", Type::Word(&["ignore", "tag"]), "ignore (default), or tag: events without a row get the tag `NODE.missing`"),
];

/// See the module.
pub static KIND: Kind<BindTransform> = Kind {
    name: "enrich",
    summary: "joins events with a table",
    fields: FIELDS,
    outputs: OutputNames::Main,
    bind: BindTransform::Step(bind),
};

fn bind(options: &Options<'_>, bind: &mut Bind<'_, '_>) -> Option<OperatorFactory> {
    options.check(&[FIELDS, INPUTS]);
    let (name, place) = options.placed("table")?;
    let Some(handle) = bind.table_named(&name) else {
        let help = suggest(&name, bind.context.tables.keys().map(String::as_str));
        options.fault(Diagnostic::error(&place, "unknown_table", format!("there is no table `{name}`")).help(help));
        return None;
    };
    let table = Local::new(&handle);
    let columns: Vec<String> = table.get().columns.clone();
    let unknown = |column: &str, place| {
        Diagnostic::error(place, "unknown_column", format!("table `{name}` has no column `{column}`"))
            .help(suggest(column, columns.iter().map(String::as_str)))
    };
    let mut keys: Vec<Option<Option<Slot>>> = vec![None; table.get().keys.len()];
    for (column, field) in options.entries("on") {
        let key = table.get().column(&column.name).and_then(|c| table.get().keys.iter().position(|k| *k == c));
        match key {
            Some(key) => keys[key] = Some(bind.read(&field.text().unwrap_or_default())),
            None if table.get().column(&column.name).is_none() => options.fault(unknown(&column.name, &column.place)),
            None => options.fault(
                Diagnostic::error(&column.place, "not_a_key", format!("`{}` is no key of table `{name}`", column.name))
                    .help("name it in the table's `key`"),
            ),
        }
    }
    if let (Some(missing), Some(on)) = (keys.iter().position(Option::is_none), options.get("on")) {
        let column = &columns[table.get().keys[missing]];
        options.fault(
            Diagnostic::error(&on.place, "missing_key", format!("`on` lacks the key column `{column}`"))
                .help("all columns of the key are needed"),
        );
        return None;
    }
    let mut sets = Vec::new();
    for (field, column) in options.entries("set") {
        let column_name = column.text().unwrap_or_default();
        match table.get().column(&column_name) {
            Some(index) => {
                let (old, new) = bind.write(&field.name);
                sets.push((index, old, new));
            }
            None => options.fault(unknown(&column_name, &column.place)),
        }
    }
    let tag = (options.text("missing").as_deref() == Some("tag")).then(|| {
        let bit = bind.lane.tag(&format!("{}.missing", bind.node));
        bind.view.push_tag(bit);
        bit
    });
    let keys: Vec<Option<Slot>> = keys.into_iter().flatten().collect();
    Some(Box::new(move || {
        Box::new(Enrich {
            table: table.clone(),
            keys: keys.clone(),
            sets: sets.clone(),
            tag,
            keys_of_rows: Keys::default(),
            asked: Vec::new(),
        })
    }))
}

struct Enrich {
    table: Local<Table>,
    keys: Vec<Option<Slot>>,
    sets: Vec<(usize, Option<Slot>, Slot)>,
    tag: Option<u32>,
    /// Scratch memory: the keys of a batch, and the rows that have one.
    keys_of_rows: Keys,
    asked: Vec<u16>,
}

impl Operator for Enrich {
    fn on_batch(&mut self, batch: &mut Batch, rows: &[u16], out: &mut Outputs) {
        self.keys.iter().flatten().for_each(|slot| batch.resolve(*slot));
        for (_, old, new) in &self.sets {
            if let Some(old) = old
                && batch.has_column(*old)
            {
                batch.copy_column(*old, *new);
            }
        }
        let Enrich { table, keys, sets, tag, keys_of_rows, asked } = self;
        let miss = |batch: &mut Batch, row: u16| {
            if let Some(bit) = *tag {
                batch.tags[usize::from(row)] |= 1 << bit;
            }
        };
        keys_of_rows.clear();
        asked.clear();
        for row in rows {
            let is_whole = keys_of_rows.push(|key| {
                keys.iter().all(|slot| {
                    let is_present = slot.is_some_and(|slot| batch.value(slot, usize::from(*row)).write_text(key));
                    key.push(KEY_SEPARATOR);
                    is_present
                })
            });
            if is_whole { asked.push(*row) } else { miss(batch, *row) }
        }
        let table = table.get();
        table.find_each(keys_of_rows, |number, found| {
            let Some(found) = found else { return miss(batch, asked[number]) };
            for (column, _, new) in sets.iter() {
                if let Some(cell) = table.cell(found, *column) {
                    let span = batch.derive(ValueKind::Text, cell);
                    batch.set(*new, usize::from(asked[number]), span);
                }
            }
        });
        out.rows[MAIN].extend_from_slice(rows);
    }

    fn on_barrier(&mut self) {
        // Another header would put other cells into the fields: such a table is refused when it is read again.
        self.table.refresh();
    }
}
