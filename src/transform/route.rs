//! `route`: events go to the output whose condition they meet, `NODE.OUTPUT`; the rest to `NODE.unmatched`.
use bumpalo::Bump;

use super::{BindTransform, OperatorFactory};
use crate::component::bind::compile_at;
use crate::component::operator::{Operator, Outputs};
use crate::component::{Bind, Kind, OutputNames};
use crate::config::{Field, INPUTS, Options, Type, is_name};
use crate::diagnostic::Diagnostic;
use crate::event::Batch;
use crate::expr::Program;
use crate::expr::eval::BatchRow;

const FIELDS: &[Field] = &[
    Field::required("routes", Type::Map, "output: expression, in order"),
    Field::optional("first", Type::Bool, "an event takes the first route that it meets (default), not all of them"),
];

const UNMATCHED: &str = "unmatched";

/// See the module.
pub static KIND: Kind<BindTransform> = Kind {
    name: "route",
    summary: "sends events to outputs by conditions",
    fields: FIELDS,
    outputs: OutputNames::Keys("routes", UNMATCHED),
    bind: BindTransform::Step(bind),
};

fn bind(options: &Options<'_>, bind: &mut Bind<'_, '_>) -> Option<OperatorFactory> {
    options.check(&[FIELDS, INPUTS]);
    let mut routes = Vec::new();
    for (key, node) in options.entries("routes") {
        if !is_name(&key.name) || key.name == UNMATCHED {
            let message = format!("`{}` is no name for a route", key.name);
            options
                .fault(Diagnostic::error(&key.place, "bad_name", message).help("names are made of a-z, 0-9 and _; `unmatched` is taken"));
        }
        routes.push(compile_at(&node.text().unwrap_or_default(), &node.place, true, options, bind)?);
    }
    let first = options.bool("first", true);
    Some(Box::new(move || Box::new(Route { routes: routes.clone(), first, bump: Bump::new() })))
}

struct Route {
    routes: Vec<Program>,
    first: bool,
    bump: Bump,
}

impl Operator for Route {
    fn on_batch(&mut self, batch: &mut Batch, rows: &[u16], out: &mut Outputs) {
        self.bump.reset();
        for slot in self.routes.iter().flat_map(|r| &r.reads) {
            batch.resolve(*slot);
        }
        let unmatched = self.routes.len() + 1;
        for row in rows {
            let event = BatchRow { batch, row: usize::from(*row) };
            let mut met = false;
            for (number, route) in self.routes.iter().enumerate() {
                if route.holds(&event, &self.bump) {
                    out.rows[number + 1].push(*row);
                    met = true;
                    if self.first {
                        break;
                    }
                }
            }
            if !met {
                out.rows[unmatched].push(*row);
            }
        }
    }

    fn on_barrier(&mut self) {
        self.routes.iter_mut().for_each(Program::refresh);
    }
}
