//! A list's CSV: a header that names the key columns, then one key a row; further columns (owner, comment) are carried along.
use crate::diagnostic::{Diagnostic, Place};
use crate::table::{Form, Table, load};

/// Reads a list. Faults point into the text that `place` belongs to.
pub fn read_list(text: &str, keys: &[String], place: &Place, faults: &mut Vec<Diagnostic>) -> Option<Table> {
    load(text, &Form::Csv { keys: keys.to_vec(), delimiter: ',' }, place, faults)
}
