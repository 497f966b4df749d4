//! The wall clock, and deadlines for libraries that know nothing of the runtime's clock.
//!
//! Owns the one place that reads it, and how its times are written. Waits and deadlines use [`tokio::time::Instant`], which tests
//! can pause and which never jumps; the wall clock is for dates in files and from other machines.

use std::time::{Duration, SystemTime};

/// The current time.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// The moment after this time, for a library that works until then; `None` if it is too far away.
#[allow(
    clippy::disallowed_types,
    reason = "the library takes no other, and the runtime's clock decides"
)]
pub(crate) fn std_deadline(time: Duration) -> Option<std::time::Instant> {
    tokio::time::Instant::now().into_std().checked_add(time)
}

/// A time as RFC 3339 has it, in UTC, with milliseconds. One before 1970 counts as its beginning.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Years that begin in March, in eras of 400 years: the leap day is the last one of a year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let day = day - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let millis = u64::from(since.subsec_millis());
    let parts = [
        (year, 1_000, '-'),
        (month, 10, '-'),
        (day, 10, 'T'),
        (hour, 10, ':'),
        (minute, 10, ':'),
        (second, 10, '.'),
        (millis, 100, 'Z'),
    ];
    // By hand: each record of a call has one, and formatting takes ten times as long.
    let mut text = String::with_capacity(24);
    for (number, mut place, end) in parts {
        while place > 0 {
            text.push(char::from(b'0' + (number / place % 10) as u8));
            place /= 10;
        }
        text.push(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_rfc_3339_has_it() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_001, "2024-02-29T00:00:00.001Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            assert_eq!(rfc3339(time), expected);
            // A second implementation.
            let seconds = SystemTime::UNIX_EPOCH + Duration::from_secs(millis / 1_000);
            let date = httpdate::fmt_http_date(seconds);
            assert!(
                date.contains(&expected[11..19]) && date.contains(&expected[..4]),
                "{date}"
            );
        }
    }
}
