//! Lists: sets of keys that rules consult, such as exceptions. Read from CSV; a row's `expires` column (RFC 3339) is kept beside the key.
//!
//! A list that is only read is a table whose rows are keys.
pub mod import;
