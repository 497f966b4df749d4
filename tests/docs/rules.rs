//! When what the program writes is what a page shows. Ports and paths are put in place before: see
//! `world.rs`. Three rules are left:
//!
//! 1. a time or a size, as in `2 h 5 min`, `delay_ms=134` or `12 KiB`, is any time or size;
//! 2. two or more spaces are as good as any other number of them, since columns have the width of
//!    what is in them;
//! 3. `…` stands for any text within a line, and alone in a line for any lines.

const ANY: char = '…';
const TIMES: [&str; 6] = ["ms", "µs", "s", "min", "h", "d"];
const SIZES: [&str; 3] = ["B", "KiB", "MiB"];

/// Whether these lines are what the page shows, from the first to the last.
pub(super) fn is_whole(page: &str, real: &str) -> bool {
    let (page, real) = (lines(page), lines(real));
    lines_match(&page, &real)
}

/// Whether each line that the page shows is a line of the other text, or in one, in this order.
pub(super) fn is_in(page: &str, real: &str) -> bool {
    let real = lines(real);
    let mut rest = real.iter();
    lines(page)
        .iter()
        .filter(|line| !line.is_empty())
        .all(|line| rest.any(|real| is_part(line, real)))
}

fn lines_match(page: &[String], real: &[String]) -> bool {
    match page {
        [] => real.is_empty(),
        [any, page @ ..] if any.trim() == ANY.to_string() => {
            (0..=real.len()).any(|skipped| lines_match(page, &real[skipped..]))
        }
        [first, page @ ..] => match real {
            [line, real @ ..] => is_line(first, line) && lines_match(page, real),
            [] => false,
        },
    }
}

/// The lines of a text by the first two rules, without blanks at the ends of lines and of the text.
fn lines(text: &str) -> Vec<String> {
    let lines = text.trim_end().lines();
    lines.map(|line| spaces(&measures(line))).collect()
}

/// A line in which each run of spaces, but for a single one, is two.
fn spaces(line: &str) -> String {
    let mut kept = String::new();
    let mut run = 0;
    for c in line.trim_end().chars() {
        run = if c == ' ' { run + 1 } else { 0 };
        if run <= 2 {
            kept.push(c);
        }
    }
    kept
}

/// A line in which times and sizes are words.
fn measures(line: &str) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let starts = !kept.ends_with(|c: char| c.is_alphanumeric() || "._-".contains(c));
        if kept.ends_with("_ms=") {
            kept += "<time>";
            rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            continue;
        }
        match measure(rest).filter(|_| starts) {
            Some((word, length)) => {
                // `2 h 5 min` is one time.
                if !kept.ends_with(&format!("{word} ")) {
                    kept += word;
                } else {
                    kept.pop();
                }
                rest = &rest[length..];
            }
            None => {
                kept.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    kept
}

/// The time or size at the start of a text: the word for it, and how many bytes it has.
fn measure(text: &str) -> Option<(&'static str, usize)> {
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    let number = text.len() - text.trim_start_matches(digits).len();
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let behind = text[number..].strip_prefix(' ').unwrap_or(&text[number..]);
    let unit: String = behind.chars().take_while(|c| c.is_alphabetic()).collect();
    let word = match &*unit {
        unit if TIMES.contains(&unit) => "<time>",
        unit if SIZES.contains(&unit) => "<size>",
        _ => return None,
    };
    Some((word, text.len() - behind.len() + unit.len()))
}

/// Whether a line is what the page shows, with `…` for any text.
fn is_line(page: &str, real: &str) -> bool {
    let mut parts = page.split(ANY);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = real.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether a line that the page shows is somewhere in another.
fn is_part(page: &str, real: &str) -> bool {
    is_line(&format!("{ANY}{page}{ANY}"), real)
}

#[test]
fn what_differs_between_runs_makes_no_difference_and_all_else_does() {
    let page = "up 2 h 5 min, 12 KiB, id …, 7 calls\n\n…\nend  of   it\n";
    for same in [
        "up 3 s, 900 B, id abc, 7 calls\n\na\nb\nend    of  it",
        "up 1.5 ms, 12 KiB, id , 7 calls\n\nend  of  it",
    ] {
        assert!(is_whole(page, same), "{same}");
    }
    for other in [
        "up 3 s, 900 B, id abc, 8 calls\n\nend  of  it",
        "up 3 s, 900 B, abc, 7 calls\n\nend  of  it",
        "up 3 s, 900 B, id abc, 7 calls\n\nend of  it",
        "up 3 s, 900 B, id abc, 7 calls\n\nend  of  it\nmore",
        "up 3 s, 900 B, id abc, 7 calls\n\n",
        "up 3 KiB, 900 B, id abc, 7 calls\n\nend  of  it",
    ] {
        assert!(!is_whole(page, other), "{other}");
    }
    assert!(is_in(
        "waits 4 s …\nthen",
        "x waits 9 s long\n\nand then it"
    ));
    assert!(!is_in("waits 4 s\nthen", "then\nwaits 4 s"));
    assert_eq!(measures("a_ms=12 b=12"), "a_ms=<time> b=12");
    assert_eq!(measures("v1.2 s2 3 tools x5 s"), "v1.2 s2 3 tools x5 s");
}
