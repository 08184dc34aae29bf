//! Expressions (the syntax of CEL) and templates: parsed once, checked, compiled to a tree over slots.
//!
//! Absent is a value here: any operator with an absent or ill-typed operand gives false where a truth is wanted and absent where a value is.
pub mod array;
pub mod ast;
pub mod compare;
pub mod compile;
pub mod eval;
pub mod functions;
pub mod lex;
pub mod parse;
pub mod set;
pub mod template;
#[cfg(test)]
mod tests;

pub use compile::{Environment, compile, compile_truth};
pub use eval::{Program, Row};
pub use parse::{Fault, parse};
pub use template::Template;
