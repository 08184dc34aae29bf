//! Finding the lines in a stream of bytes.
pub mod multiline;
pub mod newline;
