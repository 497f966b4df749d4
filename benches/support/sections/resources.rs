//! Resources with the same URIs in two backends: their list from memory, and what a call costs whose result links to one.

use std::time::Duration;

use super::instructions::{has_valgrind, per_call};
use super::{Benchmark, millis};
use crate::support::Result;
use crate::support::call::{Era, JSON_SMALL};
use crate::support::client::stdio::StdioClient;
use crate::support::mock::{FILES, Servers};
use crate::support::process::Program;
use crate::support::process::setup::{Mock, Setup};
use crate::support::report::results::{Metric, Results, Route, Section};
use crate::support::report::stats::percentile;

/// Number of later lists in a round.
const AGAIN: usize = 20;

impl Benchmark {
    /// The backend that is called is the last one. The others have its resources, or others.
    pub(super) fn resources(&self, results: &mut Results) -> Result<()> {
        if !self.subject.is_gateway() {
            return Ok(());
        }
        let mock = Mock::start(Servers::Files)?;
        let [one, two, same, called, others] = &mock.urls[..] else {
            return Err("the mock has other servers".into());
        };
        let program = |name, urls: &[&String]| -> Result<Program> {
            let urls: Vec<String> = urls.iter().map(|url| (*url).clone()).collect();
            let program = self.subject.program(&Setup {
                name,
                urls: &urls,
                ..Setup::default()
            })?;
            program.ok_or_else(|| "only the gateway has several backends".into())
        };
        let many = program("files", &[one, two])?;
        let again = listed_again(StdioClient::launch(&many, Era::Legacy)?.0)?;
        results.add(
            Section::Resources,
            Metric::ResourcesAgain,
            Route::Gateway,
            again,
        );
        if !has_valgrind() {
            eprintln!("instructions are NOT COUNTED: valgrind is not installed");
            return Ok(());
        }
        let aliased = program("aliased", &[same, called])?;
        let unaliased = program("unaliased", &[others, called])?;
        let alone = program("alone", &[called])?;
        // Before all resources are listed, no URI has an alias.
        let ready = |client: &mut StdioClient| list(client).map(|_| ());
        let plain = per_call(&alone, JSON_SMALL.into(), ready)?;
        for (section, program) in [(Section::Aliased, aliased), (Section::Unaliased, unaliased)] {
            let figure = per_call(&program, JSON_SMALL.into(), ready)?;
            results.add(section, Metric::Instructions, Route::Gateway, figure);
            results.add(section, Metric::Instructions, Route::Plain, plain);
        }
        Ok(())
    }
}

/// The median time of lists after the first one, in milliseconds.
fn listed_again(mut gateway: StdioClient) -> Result<f64> {
    gateway.begin()?;
    let mut times = Vec::new();
    for _ in 0..=AGAIN {
        let (time, resources) = list(&mut gateway)?;
        if resources != 2 * FILES {
            return Err(format!("{resources} resources are listed of {}", 2 * FILES).into());
        }
        times.push(time);
    }
    Ok(millis(percentile(&mut times[1..], 0.5)))
}

fn list(gateway: &mut StdioClient) -> Result<(Duration, usize)> {
    gateway.list("resources/list", "\"uri\"")
}
