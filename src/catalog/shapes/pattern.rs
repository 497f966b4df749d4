//! Regular expressions that every client reads alike.
//!
//! Owns a subset of ECMA-262's patterns with the `u` flag, as the TypeScript SDK compiles them, that
//! Python reads too. Conservative: a pattern outside of it may be valid.

/// Whether a pattern is in the subset.
pub(crate) fn is_portable_pattern(pattern: &str) -> bool {
    let mut reader = Reader {
        rest: pattern.chars().rev().collect(),
    };
    reader.read().is_some()
}

/// Reads a pattern from left to right; `None` is a pattern outside of the subset.
struct Reader {
    /// The rest of the pattern in reverse, so that the next character is the last.
    rest: Vec<char>,
}

impl Reader {
    fn next(&mut self) -> Option<char> {
        self.rest.pop()
    }

    fn peek(&self) -> Option<char> {
        self.rest.last().copied()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.rest.pop();
        }
        found
    }

    fn read(&mut self) -> Option<()> {
        // Whether there is something that a quantifier can repeat.
        let mut atom = false;
        // Whether a group can be repeated once it ends: a lookaround can't.
        let mut groups: Vec<bool> = Vec::new();
        while let Some(c) = self.next() {
            atom = match c {
                '^' | '$' | '|' => false,
                '.' => true,
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                '(' => {
                    groups.push(self.group()?);
                    false
                }
                ')' => groups.pop()?,
                '*' | '+' | '?' | '{' if atom => {
                    if c == '{' {
                        self.counts()?;
                    }
                    self.take('?');
                    false
                }
                '*' | '+' | '?' | '{' | '}' | ']' => return None,
                _ => true,
            };
        }
        groups.is_empty().then_some(())
    }

    /// What follows `(`; whether the group can be repeated.
    fn group(&mut self) -> Option<bool> {
        if !self.take('?') {
            return Some(true);
        }
        match self.next()? {
            ':' => Some(true),
            '=' | '!' => Some(false),
            _ => None,
        }
    }

    /// What follows `{`: `n}`, `n,}` or `n,m}`.
    fn counts(&mut self) -> Option<()> {
        let least = self.number()?;
        if self.take('}') {
            return Some(());
        }
        if !self.take(',') {
            return None;
        }
        if self.take('}') {
            return Some(());
        }
        let most = self.number()?;
        (self.take('}') && least <= most).then_some(())
    }

    fn number(&mut self) -> Option<u32> {
        let mut digits = String::new();
        while let Some(digit) = self.peek().filter(char::is_ascii_digit) {
            digits.push(digit);
            self.rest.pop();
        }
        digits.parse().ok().filter(|number| *number <= 65_535)
    }

    /// What follows `\`; whether it can be repeated.
    fn escape(&mut self, in_class: bool) -> Option<bool> {
        match self.next()? {
            'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'n' | 'r' | 't' | 'f' | 'v' => Some(true),
            'b' | 'B' if !in_class => Some(false),
            '^' | '$' | '\\' | '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|'
            | '/' => Some(true),
            '-' if in_class => Some(true),
            'x' => self.hex(2),
            'u' => self.hex(4),
            _ => None,
        }
    }

    fn hex(&mut self, width: usize) -> Option<bool> {
        for _ in 0..width {
            self.next().filter(char::is_ascii_hexdigit)?;
        }
        Some(true)
    }

    /// What follows `[`. A range is taken only between two plain characters.
    fn class(&mut self) -> Option<bool> {
        self.take('^');
        let mut last: Option<char> = None;
        let mut is_first = true;
        loop {
            let c = self.next()?;
            last = match c {
                ']' if is_first => return None,
                ']' => return Some(true),
                '[' => return None,
                '\\' => {
                    self.escape(true)?;
                    if self.peek() == Some('-') && !self.ends_after_dash() {
                        return None;
                    }
                    None
                }
                '-' if !is_first && self.peek() != Some(']') => {
                    let (from, to) = (last?, self.next()?);
                    if matches!(to, '\\' | '[' | '-') || from > to {
                        return None;
                    }
                    None
                }
                // Set operations of other dialects.
                '&' | '~' | '|' if self.peek() == Some(c) => return None,
                c => Some(c),
            };
            is_first = false;
        }
    }

    fn ends_after_dash(&self) -> bool {
        self.rest.len() >= 2 && self.rest[self.rest.len() - 2] == ']'
    }
}
