//! The event: rows of a batch, fields as columns of spans into one buffer that is never moved or copied.
//!
//! A source fills an [`Input`]; a decoder writes [`Span`]s into the columns of a [`Batch`]; what operators derive goes into the batch's
//! arena. Names exist only while the plan is bound: at run time a field is a [`Slot`].
pub mod address;
pub mod amount;
pub mod batch;
pub mod builder;
pub mod id;
pub mod span;
pub mod text;
pub mod time;
pub mod value;

pub use batch::{Batch, Column, Extra, Family, Slot, Tags};
pub use builder::{BatchBuilder, Input, Line, Lines, Origin};
pub use span::{Kind, Span};
pub use value::Value;
