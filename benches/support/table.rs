//! The sheet as people and as programs read it.

use serde_json::{Value, json};

use super::sheet::{Lane, Row, Section, Sheet};
use super::stats::Spread;
use super::targets::{TARGETS, Target};

const HEAD: [&str; 7] = [
    "",
    "gateway",
    "relay",
    "direct",
    "ratio (spread)",
    "target",
    "ok",
];

/// Aligned columns, which are Markdown as well.
pub(crate) fn text(sheet: &Sheet) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    for row in &sheet.rows {
        let mut targets = targets_of(row).peekable();
        let figures = [Lane::Gateway, Lane::Relay, Lane::Direct].map(|lane| figure(row, lane));
        let [gateway, relay, direct] = figures;
        let first = targets.next();
        let baseline = first.map_or(Lane::Relay, Target::baseline);
        let title = format!("{}: {}", section(row.section), row.measure.title());
        let [ratio, target, ok] = judged(row, baseline, first);
        lines.push([title, gateway, relay, direct, ratio, target, ok]);
        for target in targets {
            let [ratio, target, ok] = judged(row, target.baseline(), Some(target));
            let empty = String::new;
            lines.push([empty(), empty(), empty(), empty(), ratio, target, ok]);
        }
    }
    let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max();
    let widths: [usize; 7] = std::array::from_fn(|column| width(column).unwrap_or(0));
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

/// Every figure with its spread.
pub(crate) fn json(sheet: &Sheet) -> Value {
    let rows = sheet.rows.iter().map(|row| {
        let targets = targets_of(row)
            .map(|t| json!({"name": t.name, "bound": t.text(), "met": t.is_met(row)}));
        json!({
            "section": row.section,
            "measure": row.measure,
            "unit": row.measure.unit(),
            "gateway": spread(row.value(Lane::Gateway)),
            "relay": spread(row.value(Lane::Relay)),
            "direct": spread(row.value(Lane::Direct)),
            "ratio_to_relay": spread(row.ratio(Lane::Relay)),
            "ratio_to_direct": spread(row.ratio(Lane::Direct)),
            "targets": targets.collect::<Vec<_>>(),
        })
    });
    rows.collect()
}

/// The names of the targets that weren't reached.
pub(crate) fn missed(sheet: &Sheet) -> Vec<&'static str> {
    let rows = sheet.rows.iter();
    rows.flat_map(|row| targets_of(row).filter(|t| t.is_met(row) == Some(false)))
        .map(|target| target.name)
        .collect()
}

fn targets_of(row: &Row) -> impl Iterator<Item = &'static Target> {
    let (section, measure) = (row.section, row.measure);
    TARGETS
        .iter()
        .filter(move |t| t.section == section && t.measure == measure)
}

fn judged(row: &Row, baseline: Lane, target: Option<&Target>) -> [String; 3] {
    let ratio = row.ratio(baseline).map_or("n/a".to_owned(), |ratio| {
        format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.min, ratio.max)
    });
    let Some(target) = target else {
        return [ratio, String::new(), String::new()];
    };
    let ok = match target.is_met(row) {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "n/a",
    };
    [ratio, target.text(), ok.to_owned()]
}

fn figure(row: &Row, lane: Lane) -> String {
    let Some(Spread { median, .. }) = row.value(lane) else {
        return "n/a".to_owned();
    };
    let digits = match median {
        ..10.0 => 2,
        ..1000.0 => 1,
        _ => 0,
    };
    format!("{median:.digits$} {}", row.measure.unit())
}

fn section(section: Section) -> &'static str {
    match section {
        Section::Small => "1 KiB JSON",
        Section::Sse => "1 KiB SSE",
        Section::Progress => "progress",
        Section::Large => "8 MiB JSON",
        Section::Start => "start",
    }
}

fn spread(figures: Option<Spread>) -> Value {
    figures.map_or(
        Value::Null,
        |s| json!({"median": s.median, "min": s.min, "max": s.max}),
    )
}

fn joined(cell: impl Fn(usize) -> String) -> String {
    let cells: [String; 7] = std::array::from_fn(cell);
    format!("| {} |\n", cells.join(" | "))
}
