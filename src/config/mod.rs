//! Pipeline files: YAML with a place for every node, and options read against a description of what a component knows.
pub mod fields;
pub mod load;
pub mod quantity;
pub mod tree;

pub use fields::{Field, Options, Type};
pub use tree::{Data, Key, Node};

/// Whether a text may name a node or one of its outputs.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Options of every node that takes events.
pub const INPUTS: &[Field] = &[
    Field::required("inputs", Type::Texts, "nodes whose events it takes: NODE or NODE.OUTPUT"),
    Field::required("type", Type::Text, "the kind of the node"),
    Field::optional("description", Type::Text, "for the reader"),
    Field::optional(
        "buffer",
        Type::Any,
        "where what its sources read waits for it: memory (default) or {disk: SIZE}, in the state folder, where it also outlives a kill -9",
    ),
    Field::optional(
        "when_full",
        Type::Word(&["wait", "drop_newest"]),
        "what becomes of what its sources read and finds no room: they wait (default), or it is dropped and counted",
    ),
];

/// Options of every sink: what takes only what another sink was refused has no inputs. The graph sees to it.
pub const SINK_INPUTS: &[Field] = &[Field { required: false, ..INPUTS[0] }, INPUTS[1], INPUTS[2]];

/// Options of every node that takes none.
pub const ROOT: &[Field] =
    &[Field::required("type", Type::Text, "the kind of the node"), Field::optional("description", Type::Text, "for the reader")];
