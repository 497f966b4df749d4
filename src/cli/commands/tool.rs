//! `tools NAME`: one tool as clients see it, with its arguments and how to call it.
//!
//! Owns what is shown of a definition, and the example of a command line with the required arguments.

use std::io::{self, Write};

use super::list::{Listed, backend_of, warn_of_missing};
use crate::catalog::Entry;
use crate::cli::args::Output;
use crate::cli::exit::{FAILED, OK};
use crate::cli::parameters::{Parameter, Parameters};
use crate::cli::survey::BackendSurvey;
use crate::cli::terminal::{
    Cell, DIM, Fit, HEAD, Side, Table, lines, one_line, print_message, print_report, print_result,
    stdout_width, warn, width, wrap,
};
use crate::config::Config;
use crate::nearest::nearest_name;
use crate::protocol::{Kind, RawJson};
use crate::shell;

/// Shows the tool. Returns the exit status.
pub(super) async fn show(config: Config, name: &str, output: &Output) -> u8 {
    for warning in &config.warnings {
        warn(warning);
    }
    let survey = BackendSurvey::connect_all(config, output.timeout.duration(), |_, _| ()).await;
    let catalog = &survey.built.catalog;
    let Some(entry) = catalog.resolve(Kind::Tool, name) else {
        let known = catalog.entries(Kind::Tool).map(|entry| &*entry.exposed);
        let meant = nearest_name(name, known).map(|meant| format!("; did you mean {meant:?}?"));
        print_message(&format!(
            "there is no tool {name:?}{}",
            meant.unwrap_or_default()
        ));
        warn_of_missing(&survey, &[Kind::Tool]);
        return FAILED;
    };
    let result = if output.json {
        print_report(&mut io::stdout().lock(), |out| {
            serde_json::to_writer_pretty(&mut *out, &Listed::of(&survey, entry)?)?;
            writeln!(out)
        })
    } else {
        print_report(&mut anstream::stdout().lock(), |out| {
            print(&survey, entry, out)
        })
    };
    print_result(result, OK)
}

fn print(survey: &BackendSurvey, entry: &Entry, out: &mut impl Write) -> io::Result<()> {
    let definition = &entry.definition;
    let text = |key: &str| definition.get(key).and_then(|text| text.text());
    write!(out, "{HEAD}{}{HEAD:#}", entry.exposed)?;
    if let Some(title) = text("title") {
        write!(out, "  {}", one_line(&title))?;
    }
    let mut about = vec![format!("from {}", backend_of(survey, entry))];
    if entry.own_name != entry.exposed {
        about.push(format!("its own name is {}", one_line(&entry.own_name)));
    }
    about.extend(hints(definition).into_iter().map(str::to_owned));
    writeln!(out, "\n{DIM}{}{DIM:#}", about.join(", "))?;
    if let Some(description) = text("description") {
        let room = stdout_width().unwrap_or(usize::MAX);
        writeln!(out)?;
        for line in lines(description.trim()).lines() {
            // Lines that fit keep their indents.
            let fitted = match width(line) <= room {
                true => vec![line.to_owned()],
                false => wrap(line, room),
            };
            writeln!(out, "{}", fitted.join("\n"))?;
        }
    }
    let known = Parameters::of_tool(definition).known.into_iter();
    // Within both, by name.
    let (mut parameters, optional): (Vec<_>, Vec<_>) =
        known.partition(|parameter| parameter.required);
    parameters.extend(optional);
    writeln!(out)?;
    if parameters.is_empty() {
        writeln!(out, "It takes no arguments that it names.")?;
    } else {
        table(&parameters).print(out, stdout_width())?;
    }
    writeln!(
        out,
        "\n{DIM}call it:{DIM:#} {}",
        example(entry, &parameters)
    )
}

fn table(parameters: &[Parameter]) -> Table {
    let columns = [
        ("ARGUMENT", Side::Left),
        ("TYPE", Side::Left),
        ("", Side::Left),
        ("DESCRIPTION", Side::Left),
    ];
    let mut table = Table::new(&columns, Fit::Wrap);
    for parameter in parameters {
        let default = parameter.default.as_ref();
        let default = default.map(|default| format!("default {}", one_line(default)));
        let need = match parameter.required {
            true => "required".to_owned(),
            false => default.unwrap_or_default(),
        };
        let description = parameter.description.as_deref().unwrap_or_default();
        table.row(vec![
            Cell::new(one_line(&parameter.name), HEAD),
            Cell::from(one_line(&parameter.types.to_string())),
            Cell::from(need),
            Cell::from(one_line(description)),
        ]);
    }
    table
}

/// What its annotations say.
fn hints(definition: &RawJson) -> Vec<&'static str> {
    let said = |key: &str, value: &str| {
        let hint = definition.at(&["annotations", key]);
        hint.is_some_and(|hint| hint.as_str() == value)
    };
    [
        ("readOnlyHint", "true", "only reads"),
        ("destructiveHint", "true", "may destroy"),
        ("idempotentHint", "true", "may be repeated"),
        ("openWorldHint", "true", "reaches outside"),
    ]
    .into_iter()
    .filter(|(key, value, _)| said(key, value))
    .map(|(_, _, words)| words)
    .collect()
}

/// A command line with the required arguments.
fn example(entry: &Entry, parameters: &[Parameter]) -> String {
    let mut words = vec!["sentinel-gateway call".to_owned()];
    words.push(shell::word(&entry.exposed).into_owned());
    let required = parameters.iter().filter(|parameter| parameter.required);
    words.extend(required.map(|parameter| {
        let pair = format!("{}={}", parameter.name, parameter.types.example());
        shell::word(&one_line(&pair)).into_owned()
    }));
    words.join(" ")
}
