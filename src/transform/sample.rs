//! `sample`: one event of so many goes on. Which one follows from the event's identity, so a replay picks the same.
use xxhash_rust::xxh3::xxh3_64;

use super::{BindTransform, OperatorFactory};
use crate::component::operator::{MAIN, Operator, Outputs};
use crate::component::{Bind, Kind, OutputNames};
use crate::config::{Field, INPUTS, Options, Type};
use crate::diagnostic::Diagnostic;
use crate::event::Batch;

const FIELDS: &[Field] = &[Field::required("one_in", Type::Count, "how many events one stands for")];

/// See the module.
pub static KIND: Kind<BindTransform> = Kind {
    name: "sample",
    summary: "lets one event of so many pass",
    fields: FIELDS,
    outputs: OutputNames::Main,
    bind: BindTransform::Step(bind),
};

fn bind(options: &Options<'_>, _: &mut Bind<'_, '_>) -> Option<OperatorFactory> {
    options.check(&[FIELDS, INPUTS]);
    let one_in = options.count("one_in")?;
    if one_in == 0 {
        let place = options.get("one_in").map_or(options.place(), |n| &n.place);
        options.fault(Diagnostic::error(place, "bad_value", "`one_in` is at least 1").help("10 lets a tenth pass"));
        return None;
    }
    Some(Box::new(move || Box::new(Sample { one_in })))
}

struct Sample {
    one_in: u64,
}

impl Operator for Sample {
    fn on_batch(&mut self, batch: &mut Batch, rows: &[u16], out: &mut Outputs) {
        let input = &batch.input;
        let is_picked = |row: &&u16| {
            let row = usize::from(**row);
            let id = input.origin.event_id(input.position(row), input.line(row));
            xxh3_64(&id).is_multiple_of(self.one_in)
        };
        out.rows[MAIN].extend(rows.iter().filter(is_picked));
    }
}
