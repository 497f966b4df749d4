//! Aligned columns. Knows nothing of what stands in them.

use std::io::{self, Write};

use anstyle::Style;

use super::style::{HEAD, PLAIN};

/// Between two columns.
const GAP: &str = "  ";

/// Which side of its column a text keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    /// For numbers.
    Right,
}

/// One text of a row.
#[derive(Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
    /// It begins at its column, but makes no column wider and is the last of its row.
    runs_on: bool,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
            runs_on: false,
        }
    }

    /// A text that has the rest of the row for itself.
    pub(super) fn rest(text: impl Into<String>, style: Style) -> Self {
        Self {
            runs_on: true,
            ..Self::new(text, style)
        }
    }

    /// In characters; East Asian ones take two places, which only costs alignment.
    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, PLAIN)
    }
}

/// Columns under their titles.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<(&'static str, Side)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn new(columns: &[(&'static str, Side)]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Prints it, every line cut to `width` characters if there is one.
    ///
    /// # Errors
    /// What writing to `out` reports.
    pub(super) fn print(&self, out: &mut impl Write, width: Option<usize>) -> io::Result<()> {
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
            let text = cut(&cell.text, room.saturating_sub(before.len()));
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

/// The beginning of a text that fits into `room` characters, marked where something is missing.
fn cut(text: &str, room: usize) -> String {
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
    fn columns_are_as_wide_as_what_stands_in_them() {
        let expected = "\
NAME      N  X
a       123  é
longer    4  last
b       runs on and on and on
";
        assert_eq!(print(None), expected);
    }

    #[test]
    fn lines_end_where_the_terminal_does() {
        let expected = "\
NAME      N  X
a       123  é
longer    4  l…
b       runs o…
";
        assert_eq!(print(Some(15)), expected);
    }

    #[test]
    fn a_cut_counts_characters() {
        for (room, cut_to) in [(0, ""), (1, "…"), (3, "ää…"), (4, "ääää"), (9, "ääää")]
        {
            assert_eq!(cut("ääää", room), cut_to, "{room}");
        }
    }
}
