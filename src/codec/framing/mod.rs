//! Finding the lines in a stream of bytes.
pub mod newline;
