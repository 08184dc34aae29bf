//! The sinks of a pipeline file: what each is made of, and what stands between it and its inputs.
use super::bind::{Builder, kind_of};
use super::buffers::{EdgeOptions, SourceBuffer};
use super::graph::Family;
use crate::component::sink::{BoundSink, SinkFactory, SinkInput, WhenFull};
use crate::config::Options;
use crate::diagnostic::{Diagnostic, Place};
use crate::sink::PackingOptions;
use crate::window::watermark::TimePolicy;

/// A sink.
pub struct PlannedSink {
    /// Name of the node.
    pub name: String,
    /// Name of its kind.
    pub kind: &'static str,
    /// Makes it.
    pub factory: SinkFactory,
    /// How its bodies are packed and sent, as far as the file says it.
    pub packing: PackingOptions,
    /// Bytes of the disk buffer before it, if it has one.
    pub buffer: Option<u64>,
    /// What becomes of rows that find no room before it.
    pub when_full: WhenFull,
    /// How its peer may map what it writes: a name and JSON.
    pub index_template: Option<(String, String)>,
    /// Whether it holds an epoch in a transaction.
    is_transactional: bool,
    /// The lane of what its peer refuses, if another sink gets it.
    pub letters: Option<usize>,
    /// Its inputs.
    pub inputs: Vec<PlannedInput>,
    /// Texts with fields in braces, compiled for each input.
    pub(super) templates: Vec<(String, Place)>,
    /// Fields that it reads of each input.
    pub(super) reads: Vec<String>,
    /// Expressions whose values it wants of each event.
    pub(super) expressions: Vec<(String, Place)>,
}

/// An input of a sink.
#[derive(Clone, Debug)]
pub struct PlannedInput {
    /// What the sink knows of it.
    pub of_sink: SinkInput,
    /// How its times are judged.
    pub policy: TimePolicy,
    /// All its events are late.
    pub is_late: bool,
}

impl Builder<'_, '_> {
    /// Reads what the file says of them.
    pub(super) fn read_sinks(&mut self) {
        for (name, node) in self.members(Family::Sink) {
            let options = Options::new(name, node, self.faults);
            let Some(kind) = kind_of(&options, crate::sink::KINDS) else { continue };
            let packing = PackingOptions::read(&options);
            let edge = EdgeOptions::read(&options);
            if let Some(BoundSink { factory, templates, reads, expressions, buffer, index_template, is_transactional }) =
                (kind.bind)(&options)
            {
                if is_transactional {
                    self.check_transaction(&options, edge.buffer.flatten().is_some());
                }
                self.sink_places.push((name.to_owned(), self.sinks.len()));
                self.sinks.push(PlannedSink {
                    name: name.to_owned(),
                    kind: kind.name,
                    factory,
                    packing,
                    buffer: edge.buffer.unwrap_or(buffer),
                    when_full: edge.when_full,
                    index_template,
                    is_transactional,
                    letters: None,
                    inputs: Vec::new(),
                    templates,
                    reads,
                    expressions,
                });
            }
        }
    }

    /// What waits on the disk behind a source stands in no transaction.
    pub(super) fn check_claims(&self, buffer: &SourceBuffer) {
        if let (Some(place), Some(sink)) = (&buffer.place, self.sinks.iter().find(|s| s.is_transactional)) {
            let what = format!("`{}` is transactional, and what waits in a disk buffer cannot stand in a transaction", sink.name);
            self.faults.borrow_mut().push(Diagnostic::error(place, "transaction", what).help("leave out `buffer` or `transactional`"));
        }
    }

    /// One transaction holds an epoch, and what waits on the disk stands in none.
    fn check_transaction(&self, options: &Options<'_>, is_buffered: bool) {
        let fault = |key: &str, what: &str, help: &'static str| {
            if let Some(node) = options.get(key) {
                options.fault(Diagnostic::error(&node.place, "transaction", what).help(help));
            }
        };
        if is_buffered {
            fault("buffer", "what waits in a disk buffer cannot stand in a transaction", "leave out `buffer` or `transactional`");
        }
        if let Some(other) = self.sinks.iter().find(|s| s.is_transactional) {
            let what = format!("`{}` is transactional too, and one transaction holds an epoch", other.name);
            fault("transactional", &what, "one sink, with a field in its topic");
        }
    }
}
