//! The results as a table and as JSON.

use serde_json::{Value, json};

use crate::support::report::results::{Metric, Results, Route, Row};
use crate::support::report::stats::Spread;
use crate::support::report::targets::{Goal, TARGETS, Target};

const COLUMNS: usize = 9;

const HEAD: [&str; COLUMNS] = [
    "",
    "gateway",
    "relay",
    "direct",
    "ratio (spread)",
    "must",
    "ok",
    "aim",
    "ok",
];

/// A table with aligned columns, in Markdown.
pub(crate) fn text(results: &Results) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    for row in &results.rows {
        let mut targets = targets_of(row);
        lines.push(first_line(row, targets.next()));
        for target in targets {
            lines.push(line(Default::default(), comparison(row, Some(target))));
        }
    }
    let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max();
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut text = String::new();
    for (n, line) in lines.iter().enumerate() {
        text += &joined(|column| match column {
            1..=3 => format!("{:>1$}", line[column], widths[column]),
            _ => format!("{:<1$}", line[column], widths[column]),
        });
        if n == 0 {
            text += &joined(|column| match column {
                1..=3 => format!("{}:", "-".repeat(widths[column] - 1)),
                _ => "-".repeat(widths[column]),
            });
        }
    }
    text
}

/// All figures with their spread, as JSON.
pub(crate) fn json(results: &Results) -> Value {
    let rows = results.rows.iter().map(|row| {
        let goal = |goal: Option<Goal>| {
            goal.map(|goal| json!({"bound": goal.text(row.measure), "met": goal.is_met(row)}))
        };
        let targets = targets_of(row)
            .map(|t| json!({"name": t.name, "must": goal(t.must), "aim": goal(t.aim)}));
        json!({
            "section": row.section,
            "measure": row.measure,
            "unit": row.measure.unit(),
            "gateway": spread(row.value(Route::Gateway)),
            "relay": spread(row.value(Route::Relay)),
            "direct": spread(row.value(Route::Direct)),
            "ratio_to_relay": spread(row.ratio(Route::Relay)),
            "ratio_to_direct": spread(row.ratio(Route::Direct)),
            "ratio_to_legacy": spread(row.ratio(Route::Legacy)),
            "ratio_to_plain": spread(row.ratio(Route::Plain)),
            "targets": targets.collect::<Vec<_>>(),
        })
    });
    rows.collect()
}

/// The names of the targets whose goal of this kind was missed, with the goal.
pub(crate) fn missed(results: &Results, goal: impl Fn(&Target) -> Option<Goal>) -> Vec<String> {
    let mut missed = Vec::new();
    for row in &results.rows {
        for target in targets_of(row) {
            if let Some(goal) = goal(target)
                && goal.is_met(row) == Some(false)
            {
                missed.push(format!("{} ({})", target.name, goal.text(row.measure)));
            }
        }
    }
    missed
}

fn targets_of(row: &Row) -> impl Iterator<Item = &'static Target> {
    let (section, measure) = (row.section, row.measure);
    TARGETS
        .iter()
        .filter(move |t| t.section == section && t.measure == measure)
}

fn first_line(row: &Row, target: Option<&Target>) -> [String; COLUMNS] {
    let title = format!("{}: {}", row.section.title(), row.measure.title());
    let figures = [Route::Gateway, Route::Relay, Route::Direct].map(|route| figure(row, route));
    let [gateway, relay, direct] = figures;
    line([title, gateway, relay, direct], comparison(row, target))
}

fn line(figures: [String; 4], comparison: [String; 5]) -> [String; COLUMNS] {
    let mut cells = figures.into_iter().chain(comparison);
    std::array::from_fn(|_| cells.next().unwrap_or_default())
}

fn comparison(row: &Row, target: Option<&Target>) -> [String; 5] {
    let baseline = target
        .and_then(Target::baseline)
        .unwrap_or_else(|| row.baseline());
    let ratio = row.ratio(baseline).map_or(String::new(), |ratio| {
        // Of instructions, which hardly vary, small differences count.
        let digits = if row.measure == Metric::Instructions {
            3
        } else {
            2
        };
        format!(
            "{:.digits$} ({:.digits$}–{:.digits$})",
            ratio.median, ratio.min, ratio.max
        )
    });
    let [must, met] = goal(row, target.and_then(|target| target.must));
    let [aim, reached] = goal(row, target.and_then(|target| target.aim));
    [ratio, must, met, aim, reached]
}

fn goal(row: &Row, goal: Option<Goal>) -> [String; 2] {
    let Some(goal) = goal else {
        return Default::default();
    };
    let ok = match goal.is_met(row) {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "n/a",
    };
    [goal.text(row.measure), ok.to_owned()]
}

fn figure(row: &Row, route: Route) -> String {
    let Some(Spread { median, .. }) = row.value(route) else {
        return "n/a".to_owned();
    };
    let digits = match median.abs() {
        ..10.0 => 2,
        ..1000.0 => 1,
        _ => 0,
    };
    let text = format!("{median:.digits$} {}", row.measure.unit());
    text.trim_end().to_owned()
}

fn spread(figures: Option<Spread>) -> Value {
    figures.map_or(
        Value::Null,
        |s| json!({"median": s.median, "min": s.min, "max": s.max}),
    )
}

fn joined(cell: impl Fn(usize) -> String) -> String {
    let cells: [String; COLUMNS] = std::array::from_fn(cell);
    format!("| {} |\n", cells.join(" | "))
}
