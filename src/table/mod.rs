//! Tables: rows that events are joined with, read whole, never written, swapped whole.
pub mod csv;
pub mod rows;
pub mod shared;

pub use rows::Table;
pub use shared::{Handle, Local};
