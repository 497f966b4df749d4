//! Numbers as words for people.
//!
//! Owns the units and the digits: durations in their two largest units, counts in at most six characters,
//! times with two digits at least.

use std::time::{Duration, UNIX_EPOCH};

use crate::clock;

/// How long something lasts, in its two largest units.
pub(super) fn lasting(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{minutes} min"),
        3_600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// How long ago a moment of Unix time is.
pub(super) fn ago(at: u64) -> String {
    let at = UNIX_EPOCH + Duration::from_secs(at);
    let since = clock::wall().duration_since(at).unwrap_or_default();
    format!("{} ago", lasting(since.as_secs()))
}

/// A number of bytes.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes / 1_024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}

/// A number in at most six characters.
pub(super) fn count(number: u64) -> String {
    match number {
        0..100_000 => number.to_string(),
        100_000..10_000_000 => format!("{}k", number / 1_000),
        _ => format!("{}M", number / 1_000_000),
    }
}

/// A time in milliseconds, with two digits at least.
pub(super) fn time(milliseconds: f64) -> String {
    match milliseconds {
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 9_950.0 => format!("{ms:.0} ms"),
        ms => format!("{:.0} s", ms / 1_000.0),
    }
}

/// Calls a minute.
pub(super) fn rate(per_minute: f64) -> String {
    match per_minute {
        rate if rate < 0.05 => "0".to_owned(),
        rate if rate < 9.95 => format!("{rate:.1}"),
        rate => format!("{rate:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let seconds = [0, 59, 60, 3_599, 3_600, 86_399, 90_000, 8_640_000];
        assert_eq!(
            seconds.map(lasting),
            [
                "0 s",
                "59 s",
                "1 min",
                "59 min",
                "1 h 0 min",
                "23 h 59 min",
                "1 d 1 h",
                "100 d 0 h"
            ]
        );
        assert_eq!(
            [0, 1_023, 4_096, 268_435_456].map(bytes),
            ["0 B", "1023 B", "4 KiB", "256 MiB"]
        );
        assert_eq!(
            [0.04, 9.9, 9.96, 1_234.0, 300_000.0].map(time),
            ["0.0 ms", "9.9 ms", "10 ms", "1234 ms", "300 s"]
        );
        assert_eq!(
            [0, 99_999, 100_000, 9_999_999, 10_000_000].map(count),
            ["0", "99999", "100k", "9999k", "10M"]
        );
        assert_eq!([0.0, 1.25, 60.4].map(rate), ["0", "1.2", "60"]);
    }
}
