//! How bytes become lines and lines become fields, and back.
pub mod format;
pub mod framing;
