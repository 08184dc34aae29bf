//! `filter`: events go on where the condition is true.
use bumpalo::Bump;

use super::{BindTransform, OperatorFactory};
use crate::component::operator::{MAIN, Operator, Outputs};
use crate::component::{Bind, Kind, OutputNames};
use crate::config::{Field, INPUTS, Options, Type};
use crate::event::{Batch, Slot};
use crate::expr::Program;
use crate::expr::eval::{BatchRow, Op};

const FIELDS: &[Field] = &[Field::required("where", Type::Expression, "which events go on")];

/// See the module.
pub static KIND: Kind<BindTransform> = Kind {
    name: "filter",
    summary: "lets events pass where a condition is true",
    fields: FIELDS,
    outputs: OutputNames::Main,
    bind: BindTransform::Step(bind),
};

fn bind(options: &Options<'_>, bind: &mut Bind<'_, '_>) -> Option<OperatorFactory> {
    options.check(&[FIELDS, INPUTS]);
    of_option(options, bind)
}

/// A filter from the option `where` of any node.
pub fn of_option(options: &Options<'_>, bind: &mut Bind<'_, '_>) -> Option<OperatorFactory> {
    let program = bind.expression(options, "where", true)?;
    Some(Box::new(move || Box::new(Filter { program: program.clone(), bump: Bump::new(), rest: Vec::new() })))
}

struct Filter {
    program: Program,
    bump: Bump,
    rest: Vec<u16>,
}

impl Operator for Filter {
    fn on_batch(&mut self, batch: &mut Batch, rows: &[u16], out: &mut Outputs) {
        for slot in &self.program.reads {
            batch.resolve(*slot);
        }
        self.bump.reset();
        self.rest.clear();
        self.rest.extend_from_slice(rows);
        // Conjuncts narrow the selection one after another: the first, usually cheap, saves the others their rows.
        let conjuncts = match &self.program.root {
            Op::All(items) => items.as_slice(),
            other => std::slice::from_ref(other),
        };
        for op in conjuncts {
            let (batch, bump) = (&*batch, &self.bump);
            self.rest.retain(|row| op.holds(&BatchRow { batch, row: usize::from(*row) }, bump));
        }
        out.rows[MAIN].extend_from_slice(&self.rest);
    }

    fn on_barrier(&mut self) {
        self.program.refresh();
    }
}

/// Lets all events pass, with some of their fields ready to be read where no batch can be changed any more.
pub fn resolving(slots: Vec<Slot>) -> OperatorFactory {
    Box::new(move || Box::new(Resolving { slots: slots.clone() }))
}

struct Resolving {
    slots: Vec<Slot>,
}

impl Operator for Resolving {
    fn on_batch(&mut self, batch: &mut Batch, rows: &[u16], out: &mut Outputs) {
        self.slots.iter().for_each(|slot| batch.resolve(*slot));
        out.rows[MAIN].extend_from_slice(rows);
    }
}
