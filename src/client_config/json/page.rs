//! Where members of JSON objects are put and taken out in a text.
//!
//! Owns the layout that is found there: indent, line ends, commas, and which comments belong to a member.

use jsonc_parser::ast::Object;

use crate::client_config::entry::{Layout, quoted};
use crate::client_config::splice::{Splice, newline_of};

/// A text and how it is laid out.
pub(super) struct Page<'a> {
    text: &'a str,
    newline: &'static str,
    unit: String,
}

impl<'a> Page<'a> {
    pub(super) fn of(text: &'a str, root: &Object<'_>) -> Self {
        let mut page = Self {
            text,
            newline: newline_of(text),
            unit: "  ".to_owned(),
        };
        let first = root.properties.first().map(|first| first.range.start);
        if let Some(first) = first.filter(|first| page.is_own_line(*first)) {
            let unit = page.indent_at(first);
            if !unit.is_empty() {
                page.unit = unit.to_owned();
            }
        }
        page
    }

    pub(super) fn layout(&self, indent: &str, own_line: bool) -> Layout {
        Layout {
            indent: indent.to_owned(),
            unit: self.unit.clone(),
            newline: self.newline,
            compact: !own_line,
        }
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// The white space that begins the line of this place.
    pub(super) fn indent_at(&self, at: usize) -> &'a str {
        let line = &self.text[self.line_start(at)..at];
        let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
        &line[..blank]
    }

    /// Whether only white space precedes it on its line, which is not the first.
    pub(super) fn is_own_line(&self, at: usize) -> bool {
        let start = self.line_start(at);
        start > 0 && self.text[start..at].trim().is_empty()
    }

    /// The end of a comment at this place.
    fn comment_end(&self, at: usize) -> Option<usize> {
        let rest = &self.text[at..];
        if rest.starts_with("//") {
            return Some(at + rest.find(['\n', '\r']).unwrap_or(rest.len()));
        }
        let inside = rest.strip_prefix("/*")?;
        Some(at + 2 + inside.find("*/")? + 2)
    }

    /// The first place from here on that is neither white space nor in a comment.
    fn solid(&self, mut at: usize) -> usize {
        loop {
            let rest = &self.text[at..];
            at += rest.len() - rest.trim_start().len();
            match self.comment_end(at) {
                Some(end) => at = end,
                None => return at,
            }
        }
    }

    /// The place of the comma that follows this place.
    fn comma(&self, at: usize) -> Option<usize> {
        let solid = self.solid(at);
        self.text[solid..].starts_with(',').then_some(solid)
    }

    /// The end of the comments that begin on the line of this place, after blanks alone.
    fn after_comments(&self, mut at: usize) -> usize {
        loop {
            let rest = &self.text[at..];
            let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
            match self.comment_end(at + blank) {
                Some(end) => at = end,
                None => return at,
            }
        }
    }

    pub(super) fn insert(
        &self,
        object: &Object<'_>,
        name: &str,
        value: impl Fn(&Layout) -> String,
    ) -> Vec<Splice> {
        let member = |layout: &Layout| format!("{}: {}", quoted(name), value(layout));
        let Some(last) = object.properties.last() else {
            return self.insert_first(object, member);
        };
        let comma = self.comma(last.range.end);
        let end = comma.map_or(last.range.end, |comma| comma + 1);
        let after = if comma.is_some() { "," } else { "" };
        let at = self.after_comments(end);
        // What follows a comment to the end of the line has to stand on another line.
        let ends_line = at > end && self.text[at..].starts_with(['\n', '\r']);
        let own_line = self.is_own_line(last.range.start) || ends_line;
        let layout = self.layout(self.indent_at(last.range.start), own_line);
        let before = if own_line {
            format!("{}{}", self.newline, layout.indent)
        } else {
            " ".to_owned()
        };
        let entry = Splice::insert(at, format!("{before}{}{after}", member(&layout)));
        match comma {
            Some(_) => vec![entry],
            None => vec![Splice::insert(last.range.end, ",".to_owned()), entry],
        }
    }

    fn insert_first(&self, object: &Object<'_>, member: impl Fn(&Layout) -> String) -> Vec<Splice> {
        let range = object.range;
        let inside = &self.text[range.start + 1..range.end - 1];
        let outer = self.layout(self.indent_at(range.start), true);
        // A document on one line stays on one line, unless it is nothing but this object.
        if !self.text.trim_end().contains('\n') && range.start > self.solid(0) {
            let compact = self.layout("", false);
            return vec![Splice::insert(range.start + 1, member(&compact))];
        }
        let inner = outer.deeper();
        let mut text = format!("{}{}{}", self.newline, inner.indent, member(&inner));
        let at = self.after_comments(range.start + 1);
        if !self.text[at.min(range.end - 1)..range.end - 1].contains('\n') {
            text.push_str(self.newline);
            text.push_str(&outer.indent);
        }
        let at = if inside.trim().is_empty() {
            range.start + 1
        } else {
            at
        };
        vec![Splice::insert(at, text)]
    }

    pub(super) fn remove(&self, object: &Object<'_>, index: usize) -> Vec<Splice> {
        let range = object.properties[index].range;
        let comma = self.comma(range.end);
        let end = comma.map_or(range.end, |comma| comma + 1);
        let mut splices = Vec::new();
        let mut start = range.start;
        // Without a comma of its own the one before it has to go.
        let before = index.checked_sub(1).filter(|_| comma.is_none());
        let before = before.and_then(|before| self.comma(object.properties[before].range.end));
        let own_line = self.is_own_line(start);
        let rest = &self.text[end..];
        let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let mut end = end;
        if own_line {
            let after = &rest[blank..];
            if after.starts_with(['\n', '\r']) {
                end += blank;
                start = self.line_start(start) - 1;
                start -= usize::from(self.text[..start].ends_with('\r'));
            } else if !after.starts_with(['}', '/']) {
                end += blank;
            }
        } else if comma.is_some() && index + 1 < object.properties.len() {
            end += blank;
        } else if comma.is_some() {
            start = self.text[..start].trim_end_matches([' ', '\t']).len();
        }
        if let Some(before) = before {
            if self.text[before + 1..start.max(before + 1)]
                .trim()
                .is_empty()
                && !own_line
            {
                start = before;
            } else {
                splices.push(Splice::remove(before..before + 1));
            }
        }
        splices.push(Splice::remove(start..end));
        splices
    }
}
