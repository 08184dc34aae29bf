//! CSV with places: what map files, tables and lists are written in.
//!
//! Double-quoted cells are kept as they stand, may hold newlines and `""`; other cells are trimmed. Lines that begin with `#` are comments. A byte order
//! mark and CRLF are tolerated.
use std::borrow::Cow;

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Cell<'t> {
    /// Its text.
    pub text: Cow<'t, str>,
    /// 1-based column of its first character.
    pub column: usize,
    /// Whether it stood in quotes.
    pub quoted: bool,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Record<'t> {
    /// 1-based line on which it begins.
    pub line: usize,
    /// Its cells.
    pub cells: Vec<Cell<'t>>,
}

/// What is wrong with the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvFault {
    /// 1-based.
    pub line: usize,
    /// 1-based.
    pub column: usize,
    /// What.
    pub message: &'static str,
}

/// Splits a text into records. Every fault is reported; the rows around it are still read.
pub struct Reader<'t> {
    rest: &'t str,
    line: usize,
    column: usize,
    delimiter: char,
    /// Those of the records so far.
    pub faults: Vec<CsvFault>,
}

impl<'t> Iterator for Reader<'t> {
    type Item = Record<'t>;

    fn next(&mut self) -> Option<Record<'t>> {
        while !self.rest.is_empty() {
            if self.rest.starts_with('#') {
                self.take(self.rest.find('\n').map_or(self.rest.len(), |end| end + 1));
                continue;
            }
            let record = self.record();
            let is_blank = record.cells.len() == 1 && record.cells[0].text.is_empty() && !record.cells[0].quoted;
            if !is_blank {
                return Some(record);
            }
        }
        None
    }
}

impl<'t> Reader<'t> {
    /// Reads a text from its begin.
    pub fn new(text: &'t str, delimiter: char) -> Reader<'t> {
        Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1, column: 1, delimiter, faults: Vec::new() }
    }

    /// Lines and bytes that are still to come.
    pub fn rest(&self) -> (usize, usize) {
        (memchr::memchr_iter(b'\n', self.rest.as_bytes()).count(), self.rest.len())
    }

    /// Takes some bytes, and counts lines and columns.
    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        let last_line = match taken.rsplit_once('\n') {
            Some((before, last)) => {
                self.line += 1 + before.matches('\n').count();
                self.column = 1;
                last
            }
            None => taken,
        };
        self.column += last_line.chars().count();
        taken
    }

    fn record(&mut self) -> Record<'t> {
        let mut record = Record { line: self.line, cells: Vec::new() };
        loop {
            let (cell, ended) = self.cell();
            record.cells.push(cell);
            if ended {
                return record;
            }
        }
    }

    /// How far it is to what ends a cell.
    fn to_end(&self) -> usize {
        self.rest.find([self.delimiter, '\n']).unwrap_or(self.rest.len())
    }

    /// Takes what ends a cell, if it stands here. Whether the record ends there.
    fn end(&mut self) -> Option<bool> {
        let Some(next) = self.rest.chars().next() else { return Some(true) };
        (next == self.delimiter || next == '\n').then(|| {
            self.take(next.len_utf8());
            next != self.delimiter
        })
    }

    /// Reads one cell and what ends it. Returns whether the record ends there.
    fn cell(&mut self) -> (Cell<'t>, bool) {
        let delimiter = self.delimiter;
        let begin = self.rest.trim_start_matches(|c| c != delimiter && matches!(c, ' ' | '\t'));
        self.take(self.rest.len() - begin.len());
        let (line, column) = (self.line, self.column);
        if !begin.starts_with('"') {
            let text = self.take(self.to_end()).trim();
            return (Cell { text: Cow::Borrowed(text), column, quoted: false }, self.end().unwrap_or(true));
        }
        self.take(1);
        let mut text = Cow::Borrowed("");
        loop {
            let end = self.rest.find('"');
            text += self.take(end.unwrap_or(self.rest.len()));
            if end.is_none() {
                self.faults.push(CsvFault { line, column, message: "a quoted cell without its closing quote" });
                break;
            }
            self.take(1);
            if !self.rest.starts_with('"') {
                break;
            }
            text += self.take(1);
        }
        let cell = Cell { text, column, quoted: true };
        loop {
            if let Some(ended) = self.end() {
                return (cell, ended);
            }
            if self.rest.starts_with([' ', '\t', '\r']) {
                self.take(1);
            } else {
                self.faults.push(CsvFault { line: self.line, column: self.column, message: "text behind the closing quote of a cell" });
                self.take(self.to_end());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<Vec<String>> {
        Reader::new(source, ',').map(|r| r.cells.into_iter().map(|c| c.text.into_owned()).collect()).collect()
    }

    #[test]
    fn quotes_blanks_comments_and_newlines() {
        assert_eq!(texts("\u{feff}# c\r\na , \" b\"\"c\n,\" ,d\r\n\n,\n"), [vec!["a", " b\"c\n,", "d"], vec!["", ""]]);
    }

    #[test]
    fn faults_have_places_and_do_not_hide_other_rows() {
        let mut reader = Reader::new("a\n\"b\" x,c\nd\n\"e", ',');
        assert_eq!(reader.by_ref().count(), 4);
        assert_eq!(reader.faults.iter().map(|f| (f.line, f.column)).collect::<Vec<_>>(), [(2, 5), (4, 1)]);
    }

    #[test]
    fn places_are_lines_and_characters() {
        let places: Vec<(usize, usize, String)> = Reader::new("ä;\u{3000}b\r\n \"x\n\"\"y\" ; z", ';')
            .flat_map(|r| r.cells.into_iter().map(move |c| (r.line, c.column, c.text.into_owned())))
            .collect();
        let want = [(1, 1, "ä"), (1, 3, "b"), (2, 2, "x\n\"y"), (2, 8, "z")];
        assert_eq!(places, want.map(|(line, column, text)| (line, column, text.to_owned())));
    }
}
