//! `check`: reports the state of every backend, and what to do about those that are down.
//!
//! Owns when each row is printed, and the exit status: whether all backends are up.

mod aliases;
mod limits;
mod report;
mod row;

use std::io;

use crate::cli::args::Output;
use crate::cli::exit::{FAILED, OK};
use crate::cli::survey::BackendSurvey;
use crate::cli::terminal::{print_report, print_result, stdout_width};
use crate::config::Config;
use report::Report;
use row::{Row, expected_rows};

/// Prints a row for each backend: on a terminal as soon as its state is known, else all at the end in
/// config order.
pub(super) async fn check(config: Config, output: &Output) -> u8 {
    let timeout = output.timeout.duration();
    let width = stdout_width().filter(|_| !output.json);
    if width.is_none() {
        let survey = BackendSurvey::connect_all(config, timeout, |_, _| ()).await;
        let report = Report::of(&survey, timeout);
        let result = if output.json {
            print_report(&mut io::stdout().lock(), |out| report.print_json(out))
        } else {
            print_report(&mut anstream::stdout().lock(), |out| {
                report::print_head(&survey.config, out)?;
                report.print_rows(out)?;
                report.print_rest(out, None)
            })
        };
        return print_result(result, code(&report));
    }
    let layout = expected_rows(&config).layout(width);
    let mut result = print_report(&mut anstream::stdout().lock(), |out| {
        report::print_head(&config, out)?;
        layout.print_titles(out)
    });
    let survey = BackendSurvey::connect_all(config, timeout, |config, surveyed| {
        let row = Row::of_alone(config, surveyed);
        let printed = print_report(&mut anstream::stdout().lock(), |out| {
            layout.print(out, &row.cells())
        });
        if result.is_ok() {
            result = printed;
        }
    })
    .await;
    let report = Report::of(&survey, timeout);
    let rest = print_report(&mut anstream::stdout().lock(), |out| {
        report.print_rest(out, width)
    });
    print_result(result.and(rest), code(&report))
}

fn code(report: &Report) -> u8 {
    if report.is_all_up() { OK } else { FAILED }
}
