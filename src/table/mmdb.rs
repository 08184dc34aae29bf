//! MaxMind DB: networks of both versions, each with a record (GeoLite2, GeoIP2, IPinfo, IP2Location and others). Source: MaxMind DB file format 2.0.
//!
//! Many networks share a record, so a table has a row for each record and an index of the networks. A value is a column, named by its way through the
//! record (`country.iso_code`, `subdivisions.0.iso_code`); of names in several languages the English one is taken.
use std::collections::HashMap;
use std::net::IpAddr;

use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use serde_json::Value;

use super::networks::{Networks, V4};
use super::rows::{Builder, TOO_LARGE, Table};
use crate::event::address::Network;
use crate::limits::{TABLE_COLUMNS_MAX, TABLE_ROWS_MAX};

/// The column by which a row is found. It holds nothing: a row belongs to many networks.
pub const ADDRESS: &str = "ip";

/// The language of names.
const LANGUAGE: &str = "en";

/// Columns and the values of rows, while records are read.
struct Rows {
    columns: Vec<String>,
    numbers: HashMap<String, usize>,
    /// Other columns than these are left out.
    are_fixed: bool,
    rows: Vec<Vec<(usize, String)>>,
}

/// Reads a database. `columns`: those that the table is to have; what else is there is left out.
pub fn read(bytes: &[u8], columns: Option<&[String]>) -> Result<Table, String> {
    let failed = |e: MaxMindDbError| format!("this is no MaxMind DB that can be read: {e}");
    let reader = Reader::from_source(bytes).map_err(failed)?;
    let names = columns.map_or_else(|| vec![ADDRESS.to_owned()], <[String]>::to_vec);
    let numbers = names.iter().cloned().zip(0..).collect();
    let mut rows = Rows { columns: names, numbers, are_fixed: columns.is_some(), rows: Vec::new() };
    let mut known: HashMap<usize, u32> = HashMap::new();
    let mut networks: Vec<(Network, u32)> = Vec::new();
    for found in reader.networks(WithinOptions::default().skip_empty_values()).map_err(failed)? {
        let found = found.map_err(failed)?;
        let (Some(offset), network) = (found.offset(), found.network().map_err(failed)?) else { continue };
        let row = match known.get(&offset) {
            Some(row) => *row,
            None => {
                let record: Value = found.decode().map_err(failed)?.unwrap_or_default();
                let row = rows.add(&record)?;
                known.insert(offset, row);
                row
            }
        };
        networks.push((network_of(network.network(), network.prefix()), row));
    }
    let (index, _) = Networks::new(&networks);
    let count = rows.columns.len();
    let mut builder = Builder::new(rows.columns.clone(), vec![0]);
    let mut cells = vec![""; count];
    for row in &rows.rows {
        cells.fill("");
        row.iter().for_each(|(column, value)| cells[*column] = value);
        builder.push(cells.iter().copied()).ok_or(TOO_LARGE)?;
    }
    Ok(builder.finish_networks(index))
}

fn network_of(address: IpAddr, prefix: u8) -> Network {
    let (first, prefix) = match address {
        IpAddr::V4(v4) => (V4 << 32 | u128::from(v4.to_bits()), prefix + 96),
        IpAddr::V6(v6) => (v6.to_bits(), prefix),
    };
    let last = first | u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    Network { first, last, host_bits: false }
}

impl Rows {
    fn add(&mut self, record: &Value) -> Result<u32, String> {
        if self.rows.len() >= TABLE_ROWS_MAX {
            return Err(format!("more than {TABLE_ROWS_MAX} records"));
        }
        let mut row = Vec::new();
        self.put(&mut String::new(), record, &mut row)?;
        self.rows.push(row);
        Ok(self.rows.len() as u32 - 1)
    }

    /// Puts the values below a place of a record into its row.
    fn put(&mut self, path: &mut String, value: &Value, row: &mut Vec<(usize, String)>) -> Result<(), String> {
        let text = match value {
            Value::Null => return Ok(()),
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.clone(),
            Value::Array(items) => {
                return items.iter().enumerate().try_for_each(|(at, item)| self.descend(path, &at.to_string(), item, row));
            }
            Value::Object(members) => {
                let is_named = path.ends_with("names");
                let wanted = |key: &str| !is_named || key == LANGUAGE;
                return members.iter().filter(|(key, _)| wanted(key)).try_for_each(|(key, item)| self.descend(path, key, item, row));
            }
        };
        let column = match self.numbers.get(path.as_str()) {
            Some(column) => *column,
            None if self.are_fixed => return Ok(()),
            None if self.columns.len() >= TABLE_COLUMNS_MAX => return Err(format!("more than {TABLE_COLUMNS_MAX} columns")),
            None => {
                self.columns.push(path.clone());
                self.numbers.insert(path.clone(), self.columns.len() - 1);
                self.columns.len() - 1
            }
        };
        row.push((column, text));
        Ok(())
    }

    fn descend(&mut self, path: &mut String, key: &str, item: &Value, row: &mut Vec<(usize, String)>) -> Result<(), String> {
        let length = path.len();
        if length > 0 {
            path.push('.');
        }
        path.push_str(key);
        let outcome = self.put(path, item, row);
        path.truncate(length);
        outcome
    }
}

#[cfg(test)]
mod tests;
