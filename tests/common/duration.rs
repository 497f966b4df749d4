//! Durations on the command line of a test.

use std::time::Duration;

/// Reads one, as in 120s, 2m or 8h.
pub fn read(text: &str) -> Result<Duration, String> {
    let wrong = || format!("not a duration: {text:?}; write 120s, 2m or 8h");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let number: u64 = text[..text.len() - unit.len_utf8()]
        .parse()
        .map_err(|_| wrong())?;
    match unit {
        's' => Ok(Duration::from_secs(number)),
        'm' => Ok(Duration::from_secs(number * 60)),
        'h' => Ok(Duration::from_secs(number * 3600)),
        _ => Err(wrong()),
    }
}
