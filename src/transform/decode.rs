//! `decode`: a field's text into fields. What cannot be decoded is tagged, keeps its fields, and goes to `NODE.errors` where that is wired.
use std::rc::Rc;

use super::formats::Format;
use super::{BindTransform, OperatorFactory};
use crate::codec::format::{Decoder, Subject};
use crate::component::operator::{ERRORS, MAIN, Operator, Outputs};
use crate::component::{Bind, Kind, OutputNames};
use crate::config::{Field, INPUTS, Options, Type};
use crate::event::Batch;

const FIELDS: &[Field] = &[
    Field::required("format", Type::Any, "NAME, {type: NAME, …} or a list that unpacks `message` step by step"),
    Field::optional("field", Type::Text, "what is decoded; default `message`"),
];

/// See the module.
pub static KIND: Kind<BindTransform> = Kind {
    name: "decode",
    summary: "turns a field's text into fields",
    fields: FIELDS,
    outputs: OutputNames::MainAndErrors,
    bind: BindTransform::Step(bind),
};

fn bind(options: &Options<'_>, bind: &mut Bind<'_, '_>) -> Option<OperatorFactory> {
    options.check(&[FIELDS, INPUTS]);
    let formats = Format::read_chain(options.get("format")?, options);
    let mut field = options.text("field").unwrap_or_else(|| "message".to_owned());
    let mut steps = Vec::new();
    for format in formats {
        let subject = bind.read(&field).map(Subject::Field);
        let (shape, names) = format.shape();
        let plan = bind.lane.add_decoder(shape, names, bind.node);
        bind.view.push_decoder(&plan);
        steps.push((format, subject, plan));
        field = "message".to_owned();
    }
    let rule = bind.time_rule.clone();
    Some(Box::new(move || {
        let make = |(format, subject, plan): &(Format, Option<Subject>, Rc<std::cell::RefCell<crate::component::view::DecoderPlan>>)| {
            (format.decoder(plan.borrow().wanted.clone(), &rule), *subject)
        };
        Box::new(Decode { steps: steps.iter().map(make).collect(), rest: Vec::new() })
    }))
}

struct Decode {
    steps: Vec<(Box<dyn Decoder>, Option<Subject>)>,
    rest: Vec<u16>,
}

impl Operator for Decode {
    fn on_batch(&mut self, batch: &mut Batch, rows: &[u16], out: &mut Outputs) {
        self.rest.clear();
        self.rest.extend_from_slice(rows);
        for (decoder, subject) in &mut self.steps {
            let Some(subject) = subject else { continue };
            let before = batch.faults.len();
            decoder.decode(batch, &self.rest, *subject);
            let refused = &batch.faults[before..];
            if !refused.is_empty() {
                out.rows[ERRORS].extend(refused.iter().map(|(row, ..)| *row));
                self.rest.retain(|row| !refused.iter().any(|(r, ..)| r == row));
            }
        }
        out.rows[ERRORS].sort_unstable();
        out.rows[MAIN].extend_from_slice(&self.rest);
    }
}
