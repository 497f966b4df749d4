//! `tools --tokens`: what the definitions of tools cost a model.
//!
//! Owns the sums by backend and in all, in estimated tokens, and their order, the largest first.

use std::io::{self, Write};

use serde::Serialize;

use super::{backend_of, warn_of_missing};
use crate::catalog::search::estimate_tokens;
use crate::cli::args::Output;
use crate::cli::survey::BackendSurvey;
use crate::cli::terminal::{
    Cell, DIM, Fit, HEAD, Side, Table, print_report, print_result, stdout_width, warn,
};
use crate::config::Config;
use crate::protocol::Kind;

/// What `tools --tokens --json` prints.
#[derive(Serialize)]
struct Costs<'a> {
    /// The tokens of all definitions together.
    total: usize,
    /// The largest first.
    backends: Vec<BackendCost<'a>>,
    /// The largest first.
    tools: Vec<ToolCost<'a>>,
}

#[derive(Serialize)]
struct BackendCost<'a> {
    name: &'a str,
    tools: usize,
    tokens: usize,
}

#[derive(Serialize)]
struct ToolCost<'a> {
    name: &'a str,
    backend: &'a str,
    tokens: usize,
}

/// Prints the cost of each backend and tool. Returns the exit status.
pub(in crate::cli::commands) async fn tokens(config: Config, output: &Output) -> u8 {
    for warning in &config.warnings {
        warn(warning);
    }
    let survey = BackendSurvey::connect_all(config, output.timeout.duration(), |_, _| ()).await;
    let costs = Costs::of(&survey);
    let result = if output.json {
        print_report(&mut io::stdout().lock(), |out| {
            serde_json::to_writer_pretty(&mut *out, &costs)?;
            writeln!(out)
        })
    } else {
        print_report(&mut anstream::stdout().lock(), |out| costs.print(out))
    };
    print_result(result, warn_of_missing(&survey, &[Kind::Tool]))
}

impl<'a> Costs<'a> {
    fn of(survey: &'a BackendSurvey) -> Self {
        let entries = survey.built.catalog.entries(Kind::Tool);
        let mut tools: Vec<ToolCost<'_>> = entries
            .map(|entry| ToolCost {
                name: &entry.exposed,
                backend: backend_of(survey, entry),
                tokens: estimate_tokens(entry.definition.as_str()),
            })
            .collect();
        let mut backends: Vec<BackendCost<'_>> = survey
            .members
            .iter()
            .map(|surveyed| {
                let name = surveyed.backend.name();
                let own = tools.iter().filter(|tool| tool.backend == name);
                let own: Vec<usize> = own.map(|tool| tool.tokens).collect();
                BackendCost {
                    name,
                    tools: own.len(),
                    tokens: own.iter().sum(),
                }
            })
            .collect();
        // Stable: equal ones stay in config order.
        tools.sort_by_key(|tool| std::cmp::Reverse(tool.tokens));
        backends.sort_by_key(|backend| std::cmp::Reverse(backend.tokens));
        Self {
            total: tools.iter().map(|tool| tool.tokens).sum(),
            backends,
            tools,
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let width = stdout_width();
        let columns = [
            ("TOKENS", Side::Right),
            ("BACKEND", Side::Left),
            ("TOOLS", Side::Right),
        ];
        let mut table = Table::new(&columns, Fit::Cut);
        for backend in &self.backends {
            table.row(vec![
                Cell::from(backend.tokens.to_string()),
                Cell::new(backend.name, HEAD),
                Cell::from(backend.tools.to_string()),
            ]);
        }
        table.print(out, width)?;
        writeln!(out)?;
        let columns = [
            ("TOKENS", Side::Right),
            ("NAME", Side::Left),
            ("BACKEND", Side::Left),
        ];
        let mut table = Table::new(&columns, Fit::Cut);
        for tool in &self.tools {
            table.row(vec![
                Cell::from(tool.tokens.to_string()),
                Cell::new(tool.name, HEAD),
                Cell::from(tool.backend.to_owned()),
            ]);
        }
        table.print(out, width)?;
        writeln!(
            out,
            "\n{DIM}total:{DIM:#} about {} tokens for {} tools",
            self.total,
            self.tools.len()
        )
    }
}
