//! How wide text is on a terminal, and text fitted to a width (Unicode Standard Annex 11).
//!
//! Owns where text may be divided: never within what is shown as one character, such as a letter and its marks
//! or an emoji of several code points. Widths are in columns.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Joins two characters into one.
const JOINER: char = '\u{200d}';

/// The columns that `text` takes: wide characters, such as Chinese ones and emoji, take two.
pub(in crate::cli) fn width(text: &str) -> usize {
    text.width()
}

/// `text` cut to `room` columns, with an ellipsis if something is missing.
pub(in crate::cli) fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let Some(room) = room.checked_sub(1) else {
        return String::new();
    };
    format!("{}…", text[..fitting(text, room)].trim_end())
}

/// `text` in lines of at most `room` columns, broken at spaces, and within words that are longer.
/// A character wider than `room` is a line of its own.
pub(in crate::cli) fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let gap = usize::from(!line.is_empty());
        if width(&line) + gap + width(word) <= room {
            line.push_str(&" "[..gap]);
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        let mut rest = word;
        while width(rest) > room {
            let end = fitting(rest, room).max(first(rest));
            lines.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
        rest.clone_into(&mut line);
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// The end of the longest beginning of `text` that fits into `room` columns.
fn fitting(text: &str, room: usize) -> usize {
    let mut end = 0;
    while end < text.len() {
        let next = end + first(&text[end..]);
        if width(&text[..next]) > room {
            break;
        }
        end = next;
    }
    end
}

/// The end of what is shown as the first character.
fn first(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    let mut is_joined = false;
    chars.next();
    while let Some((at, c)) = chars.peek().copied() {
        if !is_joined && c.width() != Some(0) && !is_modifier(c) {
            return at;
        }
        is_joined = c == JOINER;
        chars.next();
    }
    text.len()
}

/// A skin tone, which changes the emoji before it.
fn is_modifier(c: char) -> bool {
    ('\u{1f3fb}'..='\u{1f3ff}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILY: &str = "👨‍👩‍👧";
    const WAVE: &str = "👋🏽";

    #[test]
    fn wide_characters_take_two_columns_and_marks_none() {
        for (text, columns) in [
            ("", 0),
            ("abc", 3),
            ("äö", 2),
            ("a\u{308}", 1),
            ("日本", 4),
            ("한글", 4),
            ("🦀", 2),
            (FAMILY, 2),
            (WAVE, 2),
        ] {
            assert_eq!(width(text), columns, "{text}");
        }
    }

    #[test]
    fn text_is_cut_by_columns() {
        for (text, room, expected) in [
            ("ääää", 0, ""),
            ("ääää", 1, "…"),
            ("ääää", 3, "ää…"),
            ("ääää", 4, "ääää"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("日本語", 1, "…"),
            ("ab cd", 4, "ab…"),
            (&format!("{FAMILY}{FAMILY}x"), 4, &format!("{FAMILY}…")),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
        ] {
            assert_eq!(cut(text, room), expected, "{text} {room}");
        }
    }

    #[test]
    fn lines_are_broken_at_spaces_and_within_long_words() {
        for (text, room, expected) in [
            ("one two three", 7, &["one two", "three"][..]),
            ("one two three", 80, &["one two three"]),
            ("abcdefgh ij", 3, &["abc", "def", "gh", "ij"]),
            ("a abcdefgh", 3, &["a", "abc", "def", "gh"]),
            ("日本語です", 4, &["日本", "語で", "す"]),
            ("日", 1, &["日"]),
            (&format!("{WAVE}{WAVE}"), 3, &[WAVE, WAVE]),
            ("", 5, &[""]),
        ] {
            assert_eq!(wrap(text, room), expected, "{text} {room}");
        }
    }

    #[test]
    fn any_text_fits_and_nothing_is_lost() {
        let parts = [
            "a", "bc ", "日本", FAMILY, WAVE, "e\u{301}", "🦀", " ", "x-y_z",
        ];
        for seed in 0..2_000_usize {
            let mut state = seed;
            let text: String = (0..seed % 9)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    parts[(state >> 33) % parts.len()]
                })
                .collect();
            for room in [2, 3, 7, 20] {
                assert!(width(&cut(&text, room)) <= room, "{text:?} {room}");
                let lines = wrap(&text, room);
                assert!(
                    lines.iter().all(|line| width(line) <= room),
                    "{lines:?} {room}"
                );
                let letters = |text: &str| text.split_whitespace().collect::<String>();
                assert_eq!(letters(&lines.concat()), letters(&text));
            }
        }
    }
}
