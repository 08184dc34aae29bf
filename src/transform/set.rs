//! `set`: fields get the values of expressions. All are computed from the event as it came; an absent value sets nothing.
use bumpalo::Bump;

use super::{BindTransform, OperatorFactory};
use crate::component::bind::compile_at;
use crate::component::operator::{MAIN, Operator, Outputs};
use crate::component::{Bind, Kind, OutputNames};
use crate::config::{Field, INPUTS, Options, Type};
use crate::diagnostic::Place;
use crate::event::{Batch, Slot, Span};
use crate::expr::Program;
use crate::expr::eval::BatchRow;

const FIELDS: &[Field] = &[Field::required("fields", Type::Map, "field: expression")];

/// See the module.
pub static KIND: Kind<BindTransform> = Kind {
    name: "set",
    summary: "gives fields the values of expressions",
    fields: FIELDS,
    outputs: OutputNames::Main,
    bind: BindTransform::Step(bind),
};

fn bind(options: &Options<'_>, bind: &mut Bind<'_, '_>) -> Option<OperatorFactory> {
    options.check(&[FIELDS, INPUTS]);
    let mut programs = Vec::new();
    for (key, node) in options.entries("fields") {
        let source = node.text().unwrap_or_default();
        programs.push((key.name.clone(), compile_at(&source, &node.place, false, options, bind)?));
    }
    let steps: Vec<(Program, Option<Slot>, Slot)> = programs
        .into_iter()
        .map(|(name, program)| {
            let (old, new) = bind.write(&name);
            (program, old, new)
        })
        .collect();
    Some(factory(steps))
}

fn factory(steps: Vec<(Program, Option<Slot>, Slot)>) -> OperatorFactory {
    Box::new(move || Box::new(Set { steps: steps.clone(), bump: Bump::new(), text: Vec::new() }))
}

/// Values of expressions that stand beside the event, for a sink, and where they will be.
pub fn beside(
    expressions: &[(String, Place)],
    options: &Options<'_>,
    bind: &mut Bind<'_, '_>,
) -> Option<(Option<OperatorFactory>, Vec<Slot>)> {
    let mut steps = Vec::new();
    for (number, (source, place)) in expressions.iter().enumerate() {
        let program = compile_at(source, place, false, options, bind)?;
        let name = format!("{}.value{number}", bind.node);
        steps.push((program, None, bind.write(&name).1));
    }
    let slots = steps.iter().map(|(.., slot)| *slot).collect();
    Some(((!steps.is_empty()).then(|| factory(steps)), slots))
}

struct Set {
    steps: Vec<(Program, Option<Slot>, Slot)>,
    bump: Bump,
    text: Vec<u8>,
}

impl Operator for Set {
    fn on_batch(&mut self, batch: &mut Batch, rows: &[u16], out: &mut Outputs) {
        self.bump.reset();
        for (program, old, new) in &self.steps {
            for slot in &program.reads {
                batch.resolve(*slot);
            }
            if let Some(old) = old
                && batch.has_column(*old)
            {
                batch.copy_column(*old, *new);
            }
            for row in rows {
                let row = usize::from(*row);
                self.text.clear();
                let event = BatchRow { batch, row };
                let value = program.value(&event, &self.bump);
                let kind = kind_of(value);
                if !value.write_text(&mut self.text) {
                    continue;
                }
                let span: Span = batch.derive(kind, &self.text);
                batch.set(*new, row, span);
            }
        }
        out.rows[MAIN].extend_from_slice(rows);
    }

    fn on_barrier(&mut self) {
        self.steps.iter_mut().for_each(|(p, ..)| p.refresh());
    }
}

fn kind_of(value: crate::event::Value<'_>) -> crate::event::Kind {
    use crate::event::{Kind, Value};
    match value {
        Value::Absent => Kind::Absent,
        Value::Bool(_) => Kind::Bool,
        Value::Int(_) | Value::Float(_) | Value::Number(_) => Kind::Number,
        Value::Text(_) => Kind::Text,
        Value::Json(_) => Kind::Json,
    }
}
