//! CSV with places: what map files, tables and lists are written in.
//!
//! Double-quoted cells are kept as they stand, may hold newlines and `""`; other cells are trimmed. Lines that begin with `#` are comments. A byte order
//! mark and CRLF are tolerated.

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Cell {
    /// Its text.
    pub text: String,
    /// 1-based column of its first character.
    pub column: usize,
    /// Whether it stood in quotes.
    pub quoted: bool,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Record {
    /// 1-based line on which it begins.
    pub line: usize,
    /// Its cells.
    pub cells: Vec<Cell>,
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
pub fn read(text: &str, delimiter: char, comments: bool) -> (Vec<Record>, Vec<CsvFault>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { chars: text.chars().peekable(), line: 1, column: 1, delimiter, faults: Vec::new() };
    let mut out = Vec::new();
    while reader.chars.peek().is_some() {
        if comments && reader.chars.peek() == Some(&'#') {
            reader.skip_line();
            continue;
        }
        let record = reader.record();
        let blank = record.cells.len() == 1 && record.cells[0].text.is_empty() && !record.cells[0].quoted;
        if !blank {
            out.push(record);
        }
    }
    (out, reader.faults)
}

struct Reader<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    column: usize,
    delimiter: char,
    faults: Vec<CsvFault>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn skip_line(&mut self) {
        while self.next().is_some_and(|c| c != '\n') {}
    }

    fn record(&mut self) -> Record {
        let mut record = Record { line: self.line, cells: Vec::new() };
        loop {
            let (cell, ended) = self.cell();
            record.cells.push(cell);
            if ended {
                return record;
            }
        }
    }

    /// Reads one cell and what ends it. Returns whether the record ends there.
    fn cell(&mut self) -> (Cell, bool) {
        while self.chars.peek().is_some_and(|c| *c != self.delimiter && matches!(c, ' ' | '\t')) {
            self.next();
        }
        let (line, column) = (self.line, self.column);
        let mut text = String::new();
        if self.chars.peek() != Some(&'"') {
            loop {
                match self.next() {
                    Some(c) if c == self.delimiter => return (bare(&text, column), false),
                    Some('\n') | None => return (bare(&text, column), true),
                    Some(c) => text.push(c),
                }
            }
        }
        self.next();
        loop {
            match self.next() {
                Some('"') if self.chars.peek() == Some(&'"') => {
                    self.next();
                    text.push('"');
                }
                Some('"') => break,
                Some(c) => text.push(c),
                None => {
                    self.faults.push(CsvFault { line, column, message: "a quoted cell without its closing quote" });
                    return (Cell { text, column, quoted: true }, true);
                }
            }
        }
        let cell = Cell { text, column, quoted: true };
        loop {
            let at = (self.line, self.column);
            match self.next() {
                Some(c) if c == self.delimiter => return (cell, false),
                Some('\n') | None => return (cell, true),
                Some(' ' | '\t' | '\r') => {}
                Some(_) => {
                    self.faults.push(CsvFault { line: at.0, column: at.1, message: "text behind the closing quote of a cell" });
                    while !matches!(self.chars.peek(), None | Some('\n')) && self.chars.peek() != Some(&self.delimiter) {
                        self.next();
                    }
                }
            }
        }
    }
}

fn bare(text: &str, column: usize) -> Cell {
    Cell { text: text.trim().to_owned(), column, quoted: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<Vec<String>> {
        read(source, ',', true).0.into_iter().map(|r| r.cells.into_iter().map(|c| c.text).collect()).collect()
    }

    #[test]
    fn quotes_blanks_comments_and_newlines() {
        assert_eq!(texts("\u{feff}# c\r\na , \" b\"\"c\n,\" ,d\r\n\n,\n"), [vec!["a", " b\"c\n,", "d"], vec!["", ""]]);
    }

    #[test]
    fn faults_have_places_and_do_not_hide_other_rows() {
        let (rows, faults) = read("a\n\"b\" x,c\nd\n\"e", ',', true);
        assert_eq!(rows.len(), 4);
        assert_eq!(faults.iter().map(|f| (f.line, f.column)).collect::<Vec<_>>(), [(2, 5), (4, 1)]);
    }
}
