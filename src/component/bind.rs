//! Binding: a component reads its options and asks for slots, tables and paths; what it returns makes its instances.
use std::collections::BTreeMap;
use std::sync::Arc;

use super::view::{Lane, View};
use crate::clock::Clock;
use crate::codec::format::time::TimeRule;
use crate::config::{Field, Node, Options};
use crate::diagnostic::Diagnostic;
use crate::event::Slot;
use crate::expr::ast::Expr;
use crate::expr::eval::ListRef;
use crate::expr::parse::Fault;
use crate::expr::{self, Environment, Program, Template};
use crate::list::{ListSpec, SharedList};
use crate::mapfile::CompiledMap;
use crate::metrics::Registry;
use crate::pattern::{Pattern, PatternFault};
use crate::table::{Handle, Table};

/// The one description of a component.
pub struct Kind<F> {
    /// Its name in `type:`.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// Its options.
    pub fields: &'static [Field],
    /// What its consumers may name.
    pub outputs: OutputNames,
    /// Reads the options.
    pub bind: F,
}

/// The outputs of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputNames {
    /// The main one.
    Main,
    /// The main one, and `errors` for what could not be treated.
    MainAndErrors,
    /// The main one, and `late` where the option of that name says `output`.
    MainAndLate,
    /// No main one: one for each key of an option, and one for the rest.
    Keys(&'static str, &'static str),
}

impl OutputNames {
    /// The names, in the order in which an operator fills them from 1 on; 0 is the main output.
    pub fn names(self, node: &Node) -> Vec<String> {
        match self {
            OutputNames::Main => Vec::new(),
            OutputNames::MainAndErrors => vec!["errors".to_owned()],
            OutputNames::MainAndLate if node.get("late").and_then(Node::text).as_deref() == Some("output") => vec!["late".to_owned()],
            OutputNames::MainAndLate => Vec::new(),
            OutputNames::Keys(option, rest) => {
                let keys = node.get(option).map(Node::entries).unwrap_or_default();
                keys.iter().map(|(key, _)| key.name.clone()).chain([rest.to_owned()]).collect()
            }
        }
    }

    /// Whether the bare name of a node stands for an output.
    pub fn has_main(self) -> bool {
        !matches!(self, OutputNames::Keys(..))
    }
}

/// Something that was read from a file and may be read again.
pub trait Reload: Send {
    /// Looks whether the file changed, and swaps it in whole or not at all. An error says why not.
    fn check(&mut self) -> Result<bool, String>;
}

/// Tables and lists by name.
pub type Tables = BTreeMap<String, Arc<Handle<Table>>>;

/// A list that events write.
pub struct WrittenList {
    /// What the pipeline file says of it.
    pub spec: Arc<ListSpec>,
    /// The copy that transforms look at.
    pub shared: Arc<SharedList>,
}

/// What every bind may use.
pub struct Context<'a> {
    /// Tables.
    pub tables: &'a Tables,
    /// Lists that nothing writes.
    pub lists: &'a Tables,
    /// Lists that events write.
    pub written: &'a [WrittenList],
    /// The field that separates customers.
    pub tenant: Option<String>,
    /// Counters.
    pub registry: Registry,
    /// The clock.
    pub clock: Clock,
    /// Files to watch.
    pub reloads: &'a mut Vec<Box<dyn Reload>>,
    /// Map files, with the nodes that use them.
    pub maps: &'a mut Vec<(String, Arc<Handle<CompiledMap>>)>,
}

/// A transform's bind: its place in a lane.
pub struct Bind<'a, 'c> {
    /// Name of the node.
    pub node: &'a str,
    /// The lane.
    pub lane: &'a mut Lane,
    /// Names above; writes change what stands below.
    pub view: &'a mut View,
    /// The rest.
    pub context: &'a mut Context<'c>,
    /// How the source's times are read, for nested decoders.
    pub time_rule: TimeRule,
    /// Of what keeps state: what a change of voids it.
    pub state: Option<String>,
}

impl Bind<'_, '_> {
    /// Says that the operator keeps state, which a change of the fingerprint voids: one `option: value` a line.
    pub fn keeps_state(&mut self, fingerprint: String) {
        self.state = Some(fingerprint);
    }

    /// The slot of a field that is read.
    pub fn read(&mut self, name: &str) -> Option<Slot> {
        self.view.read(self.lane, name, self.node)
    }

    /// A table that is read.
    pub fn table_named(&mut self, name: &str) -> Option<Arc<Handle<Table>>> {
        let table = self.context.tables.get(name)?;
        self.view.tables.insert(name.to_owned(), Arc::clone(table));
        Some(Arc::clone(table))
    }

    /// Slots of a field that is written: the old and the new one.
    pub fn write(&mut self, name: &str) -> (Option<Slot>, Slot) {
        self.view.write(self.lane, name, self.node)
    }

    /// Compiles an option as an expression.
    pub fn expression(&mut self, options: &Options<'_>, key: &str, truth: bool) -> Option<Program> {
        let (source, place) = options.placed(key)?;
        compile_at(&source, &place, truth, options, self)
    }

    /// Compiles an option as a template.
    pub fn template(&mut self, options: &Options<'_>, source: &str, place: &crate::diagnostic::Place) -> Option<Template> {
        match Template::compile(source, self) {
            Ok(template) => Some(template),
            Err(fault) => {
                options.fault(Diagnostic::error(&place.plus(fault.at), "bad_template", fault.message).help(fault.help));
                None
            }
        }
    }
}

/// Compiles a pattern that stands at a place.
pub fn pattern_at(source: &str, place: &crate::diagnostic::Place, options: &Options<'_>) -> Option<Pattern> {
    Pattern::new(source).map_err(|fault| pattern_fault(fault, place, options)).ok()
}

/// Says what is wrong with a pattern that stands at a place.
pub fn pattern_fault(fault: PatternFault, place: &crate::diagnostic::Place, options: &Options<'_>) {
    let message = format!("bad pattern: {}", fault.message);
    options.fault(Diagnostic::error(&place.plus(fault.at), "bad_pattern", message).help(fault.help));
}

/// Parses and compiles an expression that stands at a place.
pub fn compile_at(
    source: &str,
    place: &crate::diagnostic::Place,
    truth: bool,
    options: &Options<'_>,
    env: &mut dyn Environment,
) -> Option<Program> {
    compile_tree_at(expr::parse(source), place, truth, options, env)
}

/// Compiles an expression that was parsed at a place.
pub fn compile_tree_at(
    parsed: Result<Expr, Fault>,
    place: &crate::diagnostic::Place,
    truth: bool,
    options: &Options<'_>,
    env: &mut dyn Environment,
) -> Option<Program> {
    let compiled =
        parsed.map_err(|f| vec![f]).and_then(|tree| if truth { expr::compile_truth(&tree, env) } else { expr::compile(&tree, env) });
    compiled
        .map_err(|faults| {
            for fault in faults {
                options.fault(Diagnostic::error(&place.plus(fault.at), "bad_expression", fault.message).help(fault.help));
            }
        })
        .ok()
}

impl Environment for Bind<'_, '_> {
    fn slot(&mut self, name: &str) -> Option<Slot> {
        self.read(name)
    }
    fn table(&mut self, name: &str, list: bool) -> Option<Arc<Handle<Table>>> {
        if list { self.context.lists.get(name).cloned() } else { self.table_named(name) }
    }
    fn tables(&self, list: bool) -> Vec<String> {
        let tables = if list { self.context.lists } else { self.context.tables };
        let written = self.context.written.iter().filter(|_| list).map(|list| list.spec.name.clone());
        tables.keys().cloned().chain(written).collect()
    }
    fn list(&mut self, name: &str) -> Option<(Arc<ListSpec>, ListRef)> {
        let found = self.context.written.iter().find(|list| list.spec.name == name)?;
        Some((Arc::clone(&found.spec), ListRef::Shared(Arc::clone(&found.shared))))
    }
    fn tenant(&mut self) -> Option<Slot> {
        let tenant = self.context.tenant.clone()?;
        self.read(&tenant)
    }
}
