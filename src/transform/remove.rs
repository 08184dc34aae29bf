//! `remove` and `rename`: fields go, or go by another name. Out of a JSON event a removed member is cut; a renamed one stands at the end.
use super::{BindTransform, OperatorFactory};
use crate::component::operator::{MAIN, Operator, Outputs};
use crate::component::{Bind, Kind, OutputNames};
use crate::config::{Field, INPUTS, Options, Type};
use crate::diagnostic::Diagnostic;
use crate::event::{Batch, Slot};

const REMOVE: &[Field] = &[Field::required("fields", Type::Texts, "fields to remove")];
const RENAME: &[Field] = &[Field::required("fields", Type::Map, "old name: new name")];

/// See the module.
pub static KIND: Kind<BindTransform> = Kind {
    name: "remove",
    summary: "takes fields out of events",
    fields: REMOVE,
    outputs: OutputNames::Main,
    bind: BindTransform::Step(bind_remove),
};

/// See the module.
pub static RENAME_KIND: Kind<BindTransform> = Kind {
    name: "rename",
    summary: "gives fields other names",
    fields: RENAME,
    outputs: OutputNames::Main,
    bind: BindTransform::Step(bind_rename),
};

fn bind_remove(options: &Options<'_>, bind: &mut Bind<'_, '_>) -> Option<OperatorFactory> {
    options.check(&[REMOVE, INPUTS]);
    for (field, _) in options.texts("fields") {
        // The new version of the field is one that nobody ever sets.
        bind.write(&field);
    }
    Some(Box::new(move || Box::new(Rename { moves: Vec::new() })))
}

fn bind_rename(options: &Options<'_>, bind: &mut Bind<'_, '_>) -> Option<OperatorFactory> {
    options.check(&[RENAME, INPUTS]);
    // All are read as the event came, so that two names can be swapped.
    let mut names = Vec::new();
    for (old, new) in options.entries("fields") {
        let new_name = new.text().unwrap_or_default();
        if names.iter().any(|(_, name, _)| *name == new_name) {
            options.fault(
                Diagnostic::error(&new.place, "duplicate", format!("two fields become `{new_name}`")).help("a name holds one value"),
            );
        }
        names.push((old.name.clone(), new_name, bind.read(&old.name)));
    }
    for (old, ..) in &names {
        bind.write(old);
    }
    let moves: Vec<(Slot, Option<Slot>, Slot)> = names
        .iter()
        .filter_map(|(_, new, from)| {
            let (before, to) = bind.write(new);
            Some(((*from)?, before, to))
        })
        .collect();
    Some(Box::new(move || Box::new(Rename { moves: moves.clone() })))
}

struct Rename {
    /// From where, what the new name held so far, to where.
    moves: Vec<(Slot, Option<Slot>, Slot)>,
}

impl Operator for Rename {
    fn on_batch(&mut self, batch: &mut Batch, rows: &[u16], out: &mut Outputs) {
        for (from, before, to) in &self.moves {
            if let Some(before) = before
                && batch.has_column(*before)
            {
                batch.copy_column(*before, *to);
            }
            for row in rows {
                let cell = batch.cell(*from, usize::from(*row));
                if cell.is_present() {
                    batch.set(*to, usize::from(*row), cell);
                }
            }
        }
        out.rows[MAIN].extend_from_slice(rows);
    }
}
