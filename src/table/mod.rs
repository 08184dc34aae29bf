//! Tables: rows that events are joined with, read whole, never written, swapped whole.
pub mod csv;
pub mod json;
pub mod load;
pub mod mmdb;
pub mod networks;
pub mod rows;
pub mod shared;

pub use load::{Form, load};
pub use rows::Table;
pub use shared::{Handle, Local};
