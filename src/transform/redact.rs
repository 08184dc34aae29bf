//! `redact`: what a pattern matches in a field is replaced; without a pattern, the whole field. `event.original` still holds the raw text: a sink leaves it
//! out with `original: false`.
use super::{BindTransform, OperatorFactory};
use crate::component::bind::pattern_at;
use crate::component::operator::{MAIN, Operator, Outputs};
use crate::component::{Bind, Kind, OutputNames};
use crate::config::{Field, INPUTS, Options, Type};
use crate::event::{Batch, Kind as ValueKind, Slot};
use crate::pattern::Pattern;

const FIELDS: &[Field] = &[
    Field::required("fields", Type::Texts, "fields to look into"),
    Field::optional("pattern", Type::Text, "what is replaced; default: the whole field"),
    Field::optional("with", Type::Text, "what stands there instead; default `[redacted]`"),
];

/// See the module.
pub static KIND: Kind<BindTransform> = Kind {
    name: "redact",
    summary: "blackens parts of fields",
    fields: FIELDS,
    outputs: OutputNames::Main,
    bind: BindTransform::Step(bind),
};

fn bind(options: &Options<'_>, bind: &mut Bind<'_, '_>) -> Option<OperatorFactory> {
    options.check(&[FIELDS, INPUTS]);
    let pattern = match options.placed("pattern") {
        None => None,
        Some((source, place)) => Some(pattern_at(&source, &place, options)?),
    };
    let with = options.text("with").unwrap_or_else(|| "[redacted]".to_owned()).into_bytes();
    // A field that cannot exist needs no blackening.
    let fields: Vec<(Slot, Slot)> = options
        .texts("fields")
        .into_iter()
        .filter_map(|(field, _)| {
            bind.read(&field)?;
            let (old, new) = bind.write(&field);
            Some((old?, new))
        })
        .collect();
    Some(Box::new(move || Box::new(Redact { fields: fields.clone(), pattern: pattern.clone(), with: with.clone(), text: Vec::new() })))
}

struct Redact {
    fields: Vec<(Slot, Slot)>,
    pattern: Option<Pattern>,
    with: Vec<u8>,
    text: Vec<u8>,
}

impl Operator for Redact {
    fn on_batch(&mut self, batch: &mut Batch, rows: &[u16], out: &mut Outputs) {
        for (old, new) in &self.fields {
            if !batch.has_column(*old) {
                continue;
            }
            batch.resolve(*old);
            batch.copy_column(*old, *new);
            for row in rows {
                let span = batch.plain(*old, usize::from(*row));
                if !span.is_present() {
                    continue;
                }
                self.text.clear();
                let changed = match &self.pattern {
                    None => {
                        self.text.extend_from_slice(&self.with);
                        true
                    }
                    Some(pattern) => pattern.replace_all(batch.bytes(span), &self.with, &mut self.text),
                };
                if changed {
                    let blackened = batch.derive(ValueKind::Text, &self.text);
                    batch.set(*new, usize::from(*row), blackened);
                }
            }
        }
        out.rows[MAIN].extend_from_slice(rows);
    }
}
