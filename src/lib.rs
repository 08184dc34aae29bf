//! tripline turns logs into incidents while they flow.
pub mod clock;
pub mod codec;
pub mod diagnostic;
pub mod event;
pub mod expr;
pub mod limits;
pub mod list;
pub mod mapfile;
pub mod metrics;
pub mod pattern;
pub mod simd;
pub mod state;
pub mod table;
pub mod window;
