//! What is on a terminal after a program has written to it: as many control sequences as the gateway
//! writes.

/// The lines of a terminal, without blanks at their ends and without empty lines at its end.
pub(super) fn screen(written: &str) -> String {
    let mut screen = Screen::default();
    let mut rest = written;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\r' => screen.column = 0,
            '\n' => screen.row += 1,
            '\u{1b}' => rest = screen.control(rest),
            c => screen.put(c),
        }
    }
    let lines: Vec<String> = screen
        .lines
        .iter()
        .map(|line| line.iter().collect())
        .collect();
    let text = lines.iter().map(|line| line.trim_end());
    text.collect::<Vec<_>>().join("\n").trim_end().to_owned() + "\n"
}

#[derive(Default)]
struct Screen {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Screen {
    fn line(&mut self) -> &mut Vec<char> {
        if self.lines.len() <= self.row {
            self.lines.resize(self.row + 1, Vec::new());
        }
        &mut self.lines[self.row]
    }

    fn put(&mut self, c: char) {
        let column = self.column;
        let line = self.line();
        if line.len() <= column {
            line.resize(column + 1, ' ');
        }
        line[column] = c;
        self.column += 1;
    }

    /// Does what follows an escape character, and returns what follows that.
    fn control<'a>(&mut self, text: &'a str) -> &'a str {
        let text = text.strip_prefix('[').expect("a control sequence");
        let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap();
        let numbers: Vec<usize> = text[..end].split(';').flat_map(str::parse).collect();
        let first = numbers.first().copied().unwrap_or(0);
        let column = self.column;
        match &text[end..=end] {
            "m" | "h" | "l" => {}
            "A" => self.row = self.row.saturating_sub(first.max(1)),
            "K" => self.line().truncate(column),
            "J" if first == 0 => {
                self.line().truncate(column);
                let rows = self.row + 1;
                self.lines.truncate(rows);
            }
            "J" => self.lines.clear(),
            "H" => {
                self.row = first.max(1) - 1;
                self.column = numbers.get(1).copied().unwrap_or(1).max(1) - 1;
            }
            other => panic!("no meaning for the control sequence {other:?}"),
        }
        &text[end + 1..]
    }
}

#[test]
fn a_line_that_is_written_over_is_gone() {
    let written =
        "waiting…\r\u{1b}[K\u{1b}[1mname\u{1b}[0m\r\nlong one\rL\r\n\u{1b}[2Atop\u{1b}[K\r\n";
    assert_eq!(screen(written), "top\nLong one\n");
    assert_eq!(screen("a\r\nb\u{1b}[H\u{1b}[Jc\u{1b}[2;3Hd"), "c\n  d\n");
}
