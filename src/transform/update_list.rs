//! `update_list`: an event writes a list, and goes on.
use super::BindTransform;
use crate::component::list_write::{self, Write};
use crate::component::{Bind, Kind, OutputNames};
use crate::config::{Field, INPUTS, Options, Type};
use crate::diagnostic::Diagnostic;

const FIELDS: &[Field] = &[Field::optional("remove", Type::Bool, "the entry is taken away instead")];

/// See the module.
pub static KIND: Kind<BindTransform> = Kind {
    name: "update_list",
    summary: "puts a value into a list, or takes it out",
    fields: &[list_write::FIELDS[0], list_write::FIELDS[1], list_write::FIELDS[2], FIELDS[0]],
    outputs: OutputNames::Main,
    bind: BindTransform::Write(bind),
};

/// What is written, and whether it is taken away.
fn bind(options: &Options<'_>, bind: &mut Bind<'_, '_>) -> Option<(Write, bool)> {
    options.check(&[list_write::FIELDS, FIELDS, INPUTS]);
    let removes = options.bool("remove", false);
    if let Some(set) = options.get("set").filter(|_| removes) {
        let fault = Diagnostic::error(&set.place, "bad_write", "what is taken away has no values to set");
        options.fault(fault.help("take `set` or `remove` out"));
    }
    Some((Write::read(options, bind)?, removes))
}
