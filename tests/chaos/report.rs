//! The report: the figures, whether each promise was kept, and the story of each call that shows
//! otherwise.

use std::io::Write;
use std::time::Duration;

use super::client::Ended;
use super::ledger::{BREAKER, Ledger};

/// A run of fewer calls shows nothing.
const FEWEST: u64 = 1_000;

/// A check, its figure, and whether it passed.
type Line = (&'static str, String, bool);

/// Prints everything. Returns whether every promise was kept.
pub(crate) fn print(ledger: &Ledger, ended: &Ended, took: Duration, seed: u64) -> bool {
    let mut text = figures(ledger, ended, took, seed) + "\n";
    let lines = verdict(ledger, ended);
    for (check, figure, held) in &lines {
        let result = if *held { "passed" } else { "FAILED" };
        text += &format!("{result}  {check:<52}  {figure}\n");
    }
    for story in &ledger.broken {
        text += &format!("\n{story}\n");
    }
    let passed = lines.iter().all(|(.., held)| *held);
    if !passed {
        text += "\nthe end of the gateway's log:\n";
        for line in &ended.log.latest {
            text += &format!("  {line}\n");
        }
    }
    // If stdout is closed, the exit code still shows the result.
    let _ = std::io::stdout().write_all(text.as_bytes());
    passed
}

fn figures(ledger: &Ledger, ended: &Ended, took: Duration, seed: u64) -> String {
    let counts = &ledger.counts;
    let mut rows = vec![
        ("seed".to_owned(), seed.to_string()),
        ("took".into(), format!("{:.1} s", took.as_secs_f64())),
        (
            "unsafe calls, cancelled".into(),
            format!("{}, {}", counts.calls, counts.cancelled),
        ),
        (
            "requests that came to a server".into(),
            counts.arrivals.to_string(),
        ),
        ("calls that ran".into(), counts.ran.to_string()),
        (
            "results, errors of servers".into(),
            format!("{}, {}", counts.results, counts.server_errors),
        ),
        ("retries in the log".into(), ended.log.retries.to_string()),
    ];
    let errors = counts.errors.iter();
    rows.extend(errors.map(|(what, count)| (what.clone(), count.to_string())));
    let faults = counts.faults.iter();
    rows.extend(faults.map(|(what, count)| (format!("servers: {what}"), count.to_string())));
    rows.iter()
        .map(|(what, figure)| format!("{what:<48}  {figure}\n"))
        .collect()
}

fn verdict(ledger: &Ledger, ended: &Ended) -> Vec<Line> {
    let counts = &ledger.counts;
    let none = |count: u64| (count.to_string(), count == 0);
    let line = |check, (figure, held)| (check, figure, held);
    let status = ended
        .status
        .map_or("it had to be killed".into(), |status| status.to_string());
    let ran = (counts.ran.to_string(), counts.ran >= FEWEST);
    let series = (
        counts.longest_series.to_string(),
        counts.longest_series < BREAKER,
    );
    vec![
        line("calls ran", ran),
        line("no call ran twice", none(counts.twice)),
        line(
            "no `executed` is wrong, no result without a run",
            none(counts.lies),
        ),
        line("`attempts` has every request", none(counts.miscounted)),
        line("no call is sent after its answer", none(counts.late)),
        line("no answer is lost", none(ledger.unanswered().len() as u64)),
        line("no answer is doubled", none(counts.stray)),
        line("no five calls of a backend fail in a row", series),
        line("the circuit breaker refused no call", none(counts.refused)),
        line(
            "no other promise is broken",
            none(ledger.broken.len() as u64),
        ),
        line("no panic", none(ended.log.panics)),
        (
            "the gateway exits successfully",
            status,
            ended.status.is_some_and(|status| status.success()),
        ),
    ]
}
