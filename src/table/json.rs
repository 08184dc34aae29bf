//! Rows from JSON: an array of objects, or one object a line. Nested objects become dotted columns; what is no text is its JSON; null is no value.
use serde_json::{Deserializer, Map, Value};

/// Columns in the order in which they first appear, and the rows' cells in that order.
pub type Rows = (Vec<String>, Vec<Vec<String>>);

/// Reads a text. An error says the line on which it went wrong.
pub fn read(text: &str) -> Result<Rows, (usize, String)> {
    let mut columns: Vec<String> = Vec::new();
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut take = |value: Value, line: usize| -> Result<(), (usize, String)> {
        let Value::Object(object) = value else { return Err((line, "a row must be an object".into())) };
        let mut row = vec![String::new(); columns.len()];
        flatten("", object, &mut columns, &mut row);
        rows.push(row);
        Ok(())
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut values = Deserializer::from_str(text).into_iter::<Value>();
    while let Some(value) = values.next() {
        let line = text[..values.byte_offset()].lines().count().max(1);
        match value.map_err(|e| (e.line(), e.to_string()))? {
            Value::Array(items) => items.into_iter().try_for_each(|item| take(item, line))?,
            other => take(other, line)?,
        }
    }
    rows.iter_mut().for_each(|row| row.resize(columns.len(), String::new()));
    Ok((columns, rows))
}

fn flatten(prefix: &str, object: Map<String, Value>, columns: &mut Vec<String>, row: &mut Vec<String>) {
    for (key, value) in object {
        let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        let cell = match value {
            Value::Null => continue,
            Value::Object(inner) => {
                flatten(&name, inner, columns, row);
                continue;
            }
            Value::String(text) => text,
            other => other.to_string(),
        };
        let at = columns.iter().position(|c| *c == name).unwrap_or_else(|| {
            columns.push(name);
            columns.len() - 1
        });
        row.resize(columns.len(), String::new());
        row[at] = cell;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_and_lines_are_rows() {
        let want = (vec!["a".into(), "b.c".into()], vec![vec!["1".to_owned(), "x".into()], vec!["2".into(), String::new()]]);
        assert_eq!(read(r#"[{"a":1,"b":{"c":"x"}},{"a":2,"b":null}]"#), Ok(want.clone()));
        assert_eq!(read("{\"a\":1,\"b\":{\"c\":\"x\"}}\n{\"a\":2}\n"), Ok(want));
        assert_eq!(read("[]"), Ok((vec![], vec![])));
        assert_eq!(read("{\"a\":1}\n{\"a\":").unwrap_err().0, 2);
        assert_eq!(read("{\"a\":1}\n7").unwrap_err(), (2, "a row must be an object".into()));
    }
}
