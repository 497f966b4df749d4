//! Tables with aligned columns.

use std::io::{self, Write};

use anstyle::Style;

use super::{HEAD, PLAIN};

/// Separates two columns.
const GAP: &str = "  ";

/// The alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Side {
    Left,
    /// For numbers.
    Right,
}

/// One cell of a row.
#[derive(Debug)]
pub(in crate::cli) struct Cell {
    text: String,
    style: Style,
    /// It is the last cell of its row and doesn't widen its column.
    runs_on: bool,
}

impl Cell {
    pub(in crate::cli) fn new(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
            runs_on: false,
        }
    }

    /// A cell that takes the rest of the row.
    pub(in crate::cli) fn rest(text: impl Into<String>, style: Style) -> Self {
        Self {
            runs_on: true,
            ..Self::new(text, style)
        }
    }

    /// In characters. Wide East Asian characters count as one, which only affects the alignment.
    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, PLAIN)
    }
}

/// Rows under column titles.
#[derive(Debug)]
pub(in crate::cli) struct Table {
    columns: Vec<(&'static str, Side)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(in crate::cli) fn new(columns: &[(&'static str, Side)]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(in crate::cli) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Prints the table, each line truncated to `width` characters if given.
    ///
    /// # Errors
    /// The error of writing to `out`.
    pub(in crate::cli) fn print(
        &self,
        out: &mut impl Write,
        width: Option<usize>,
    ) -> io::Result<()> {
        let titles: Vec<Cell> = self
            .columns
            .iter()
            .map(|(title, _)| Cell::new(*title, HEAD))
            .collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| {
                let cells = self.rows.iter().filter_map(|row| row.get(at));
                let wide = cells.filter(|cell| !cell.runs_on).map(Cell::width).max();
                wide.unwrap_or(0).max(titles[at].width())
            })
            .collect();
        for row in std::iter::once(&titles).chain(&self.rows) {
            self.line(out, row, &widths, width.unwrap_or(usize::MAX))?;
        }
        Ok(())
    }

    fn line(
        &self,
        out: &mut impl Write,
        row: &[Cell],
        widths: &[usize],
        mut room: usize,
    ) -> io::Result<()> {
        for (at, cell) in row.iter().enumerate() {
            let is_last = at + 1 == row.len();
            let pad = " ".repeat(widths[at].saturating_sub(cell.width()));
            let (before, after) = match self.columns[at].1 {
                Side::Right if !cell.runs_on => (pad.as_str(), ""),
                _ => ("", pad.as_str()),
            };
            let text = truncate(&cell.text, room.saturating_sub(before.len()));
            let style = cell.style;
            write!(out, "{before}{style}{text}{style:#}")?;
            if !is_last {
                write!(out, "{after}{GAP}")?;
            }
            room = room.saturating_sub(cell.width().max(widths[at]) + GAP.len());
        }
        writeln!(out)
    }
}

/// `text` truncated to `room` characters, with an ellipsis if something is missing.
fn truncate(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(room.saturating_sub(1)).collect();
    if room > 0 {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(width: Option<usize>) -> String {
        let mut table = Table::new(&[("NAME", Side::Left), ("N", Side::Right), ("X", Side::Left)]);
        let cell = |text: &str| Cell::from(text.to_owned());
        table.row(vec![cell("a"), cell("123"), cell("é")]);
        table.row(vec![cell("longer"), cell("4"), cell("last")]);
        table.row(vec![cell("b"), Cell::rest("runs on and on and on", PLAIN)]);
        let mut out = anstream::StripStream::new(Vec::new());
        table.print(&mut out, width).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let expected = "\
NAME      N  X
a       123  é
longer    4  last
b       runs on and on and on
";
        assert_eq!(print(None), expected);
    }

    #[test]
    fn lines_are_truncated_to_the_width_of_the_terminal() {
        let expected = "\
NAME      N  X
a       123  é
longer    4  l…
b       runs o…
";
        assert_eq!(print(Some(15)), expected);
    }

    #[test]
    fn truncation_counts_characters_not_bytes() {
        for (room, expected) in [(0, ""), (1, "…"), (3, "ää…"), (4, "ääää"), (9, "ääää")]
        {
            assert_eq!(truncate("ääää", room), expected, "{room}");
        }
    }
}
