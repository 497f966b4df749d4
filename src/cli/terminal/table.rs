//! Tables with aligned columns.
//!
//! Owns the widths of columns, measured on a terminal, and the form of a row that doesn't fit: its last cell is
//! cut or wrapped, and where the terminal is too narrow each row is a card.

use std::io::{self, Write};

use anstyle::Style;

use super::width::{cut, width, wrap};
use super::{DIM, HEAD, PLAIN};

/// Separates two columns.
const GAP: &str = "  ";
/// Columns that the last cell of a row needs, if its text is that long. With less there are cards.
const LEAST_LAST: usize = 16;

/// The alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Side {
    Left,
    /// Right-aligned, for numbers.
    Right,
}

/// What happens to the last cell of a row that is wider than the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Fit {
    /// It is cut: each row is one line.
    Cut,
    /// It goes on in the next line.
    Wrap,
}

/// One cell of a row.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Cell {
    text: String,
    style: Style,
    /// It is the last cell of its row and doesn't widen its column; in a card it has this label.
    runs_on: Option<&'static str>,
}

impl Cell {
    pub(in crate::cli) fn new(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
            runs_on: None,
        }
    }

    /// A cell that takes the rest of the row. `label` names it in a card.
    pub(in crate::cli) fn rest(text: impl Into<String>, style: Style, label: &'static str) -> Self {
        Self {
            runs_on: Some(label),
            ..Self::new(text, style)
        }
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
    fit: Fit,
    rows: Vec<Vec<Cell>>,
}

/// How the rows of a table are printed.
#[derive(Debug)]
pub(in crate::cli) struct Layout {
    columns: Vec<(&'static str, Side)>,
    fit: Fit,
    /// The width of each column.
    widths: Vec<usize>,
    /// The width of the terminal; `None` where nothing is cut or wrapped.
    room: Option<usize>,
    is_cards: bool,
}

impl Table {
    pub(in crate::cli) fn new(columns: &[(&'static str, Side)], fit: Fit) -> Self {
        Self {
            columns: columns.to_vec(),
            fit,
            rows: Vec::new(),
        }
    }

    pub(in crate::cli) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// How its rows are printed in `room` columns. Other rows that are no wider may be printed so.
    pub(in crate::cli) fn layout(&self, room: Option<usize>) -> Layout {
        let columns = self.columns.clone();
        let widths: Vec<usize> = (columns.iter().enumerate())
            .map(|(at, (title, _))| {
                let cells = self.rows.iter().filter_map(|row| row.get(at));
                let cells = cells.filter(|cell| cell.runs_on.is_none());
                let widest = cells.map(|cell| width(&cell.text)).max();
                widest.unwrap_or(0).max(width(title))
            })
            .collect();
        let (last, others) = widths.split_last().map_or((0, &[][..]), |(l, o)| (*l, o));
        let runs_on = self.rows.iter().flatten().filter(|c| c.runs_on.is_some());
        let last = runs_on.map(|cell| width(&cell.text)).fold(last, usize::max);
        let needed: usize = others.iter().map(|width| width + GAP.len()).sum();
        let needed = needed + last.min(LEAST_LAST);
        Layout {
            columns,
            fit: self.fit,
            is_cards: room.is_some_and(|room| needed > room),
            widths,
            room,
        }
    }

    /// Prints the table in `room` columns; with `None` nothing is cut or wrapped.
    ///
    /// # Errors
    /// The error of writing to `out`.
    pub(in crate::cli) fn print(
        &self,
        out: &mut impl Write,
        room: Option<usize>,
    ) -> io::Result<()> {
        let layout = self.layout(room);
        layout.print_titles(out)?;
        self.rows.iter().try_for_each(|row| layout.print(out, row))
    }
}

impl Layout {
    /// # Errors
    /// The error of writing to `out`.
    pub(in crate::cli) fn print_titles(&self, out: &mut impl Write) -> io::Result<()> {
        if self.is_cards {
            return Ok(());
        }
        let titles = self
            .columns
            .iter()
            .map(|(title, _)| Cell::new(*title, HEAD));
        self.line(out, &titles.collect::<Vec<Cell>>())
    }

    /// Prints a row.
    ///
    /// # Errors
    /// The error of writing to `out`.
    pub(in crate::cli) fn print(&self, out: &mut impl Write, row: &[Cell]) -> io::Result<()> {
        match self.is_cards {
            true => self.card(out, row),
            false => self.line(out, row),
        }
    }

    fn line(&self, out: &mut impl Write, row: &[Cell]) -> io::Result<()> {
        let last = row.iter().rposition(|cell| !cell.text.is_empty());
        let last = last.unwrap_or(0);
        let mut indent = 0;
        for (at, cell) in row.iter().enumerate().take(last + 1) {
            let style = cell.style;
            let pad = " ".repeat(self.widths[at].saturating_sub(width(&cell.text)));
            let (before, after) = match self.columns[at].1 {
                Side::Right if cell.runs_on.is_none() => (pad.as_str(), ""),
                _ => ("", pad.as_str()),
            };
            if at < last {
                write!(out, "{before}{style}{}{style:#}{after}{GAP}", cell.text)?;
                indent += self.widths[at] + GAP.len();
                continue;
            }
            let room = self
                .room
                .map(|room| room.saturating_sub(indent + before.len()));
            let lines = fitted(&cell.text, room, self.fit);
            write!(out, "{before}")?;
            print_lines(out, &lines, style, indent)?;
        }
        writeln!(out)
    }

    /// The first cell and those without a title in one line; below it the others, each with its title.
    fn card(&self, out: &mut impl Write, row: &[Cell]) -> io::Result<()> {
        let room = self.room.unwrap_or(usize::MAX);
        let label = |at: usize, cell: &Cell| cell.runs_on.unwrap_or(self.columns[at].0);
        let is_head = |at: usize, cell: &Cell| at == 0 || label(at, cell).is_empty();
        let cells = || (row.iter().enumerate()).filter(|(_, cell)| !cell.text.is_empty());
        let head = cells().filter(|(at, cell)| is_head(*at, cell));
        for (place, (_, cell)) in head.enumerate() {
            let gap = if place == 0 { "" } else { GAP };
            let style = cell.style;
            let lines = wrap(&cell.text, room);
            write!(out, "{gap}")?;
            print_lines(out, &lines, style, 0)?;
        }
        writeln!(out)?;
        let body = || cells().filter(|(at, cell)| !is_head(*at, cell));
        let labels = self.columns.iter().map(|(title, _)| width(title));
        let widest = body()
            .map(|(at, cell)| width(label(at, cell)))
            .chain(labels);
        let indent = GAP.len() + widest.max().unwrap_or(0) + GAP.len();
        for (at, cell) in body() {
            let label = label(at, cell).to_lowercase();
            let pad = " ".repeat(indent - GAP.len() - width(&label));
            write!(out, "{GAP}{DIM}{label}{DIM:#}{pad}")?;
            let lines = wrap(&cell.text, room.saturating_sub(indent).max(2));
            print_lines(out, &lines, cell.style, indent)?;
            writeln!(out)?;
        }
        Ok(())
    }
}

fn fitted(text: &str, room: Option<usize>, fit: Fit) -> Vec<String> {
    match (room, fit) {
        (None, _) => vec![text.to_owned()],
        (Some(room), Fit::Cut) => vec![cut(text, room)],
        (Some(room), Fit::Wrap) => wrap(text, room.max(2)),
    }
}

/// Prints lines, all but the first indented.
fn print_lines(
    out: &mut impl Write,
    lines: &[String],
    style: Style,
    indent: usize,
) -> io::Result<()> {
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            write!(out, "\n{}", " ".repeat(indent))?;
        }
        write!(out, "{style}{line}{style:#}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(fit: Fit) -> Table {
        let columns = [("NAME", Side::Left), ("N", Side::Right), ("X", Side::Left)];
        let mut table = Table::new(&columns, fit);
        let cell = |text: &str| Cell::from(text.to_owned());
        table.row(vec![cell("a"), cell("123"), cell("é")]);
        table.row(vec![
            cell("名前"),
            cell("4"),
            cell("the last 最後 of all the cells"),
        ]);
        table.row(vec![cell("b"), Cell::rest("runs on and on", PLAIN, "why")]);
        table.row(vec![cell("empty"), cell("5"), cell("")]);
        table
    }

    fn print(table: &Table, room: Option<usize>) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        table.print(&mut out, room).unwrap();
        let text = String::from_utf8(out.into_inner()).unwrap();
        for line in text.lines() {
            assert!(width(line) <= room.unwrap_or(usize::MAX), "{text}");
            assert_eq!(line, line.trim_end());
        }
        text
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_nothing_is_cut_in_a_pipe() {
        let expected = "\
NAME     N  X
a      123  é
名前     4  the last 最後 of all the cells
b      runs on and on
empty    5
";
        assert_eq!(print(&table(Fit::Cut), None), expected);
        assert_eq!(print(&table(Fit::Wrap), None), expected);
        assert_eq!(print(&table(Fit::Cut), Some(80)), expected);
    }

    #[test]
    fn the_last_cell_is_cut_or_wrapped() {
        let cut = "\
NAME     N  X
a      123  é
名前     4  the last 最後 of all th…
b      runs on and on
empty    5
";
        assert_eq!(print(&table(Fit::Cut), Some(36)), cut);
        let wrapped = "\
NAME     N  X
a      123  é
名前     4  the last 最後 of all the
            cells
b      runs on and on
empty    5
";
        assert_eq!(print(&table(Fit::Wrap), Some(36)), wrapped);
    }

    #[test]
    fn a_terminal_that_is_too_narrow_gets_cards() {
        let expected = "\
a
  n     123
  x     é
名前
  n     4
  x     the last 最後 of
        all the cells
b
  why   runs on and on
empty
  n     5
";
        assert_eq!(print(&table(Fit::Cut), Some(24)), expected);
        for room in 12..60 {
            print(&table(Fit::Wrap), Some(room));
        }
    }
}
