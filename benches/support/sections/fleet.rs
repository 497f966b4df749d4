//! Many backends with many tools each: time of the first list, and of later lists.

use std::thread;
use std::time::{Duration, Instant};

use super::{Benchmark, SETTLE_TIME, millis};
use crate::support::Result;
use crate::support::call::Era;
use crate::support::client::direct::Direct;
use crate::support::client::driver::CallDriver;
use crate::support::client::stdio::StdioClient;
use crate::support::mock::{FLEET, FLEET_TOOLS, Servers};
use crate::support::process::setup::{Mock, Setup};
use crate::support::report::results::{Metric, Results, Route, Section};
use crate::support::report::stats::percentile;

/// Number of later lists in a round.
const AGAIN: usize = 20;

impl Benchmark {
    /// The direct figure is the time of the slowest backend alone, handshake and list.
    pub(super) fn fleet(&self, results: &mut Results) -> Result<()> {
        let mock = Mock::start(Servers::Fleet)?;
        let setup = Setup {
            name: "fleet",
            urls: &mock.urls,
            ..Setup::default()
        };
        let Some(program) = self.subject.program(&setup)? else {
            return Ok(());
        };
        let mut add = |measure, route, figure| results.add(Section::Fleet, measure, route, figure);
        let slowest = slowest(&mock.urls)?;
        add(Metric::Listed, Route::Direct, millis(slowest));

        let started = Instant::now();
        let (mut gateway, _) = StdioClient::launch(&program, Era::Legacy)?;
        gateway.begin()?;
        let before = started.elapsed();
        let listed = list(&mut gateway)?;
        add(Metric::Listed, Route::Gateway, millis(before + listed));
        thread::sleep(SETTLE_TIME);
        if let Some(usage) = gateway.usage() {
            add(Metric::Idle, Route::Gateway, usage.resident);
        }
        let mut again = (0..AGAIN)
            .map(|_| list(&mut gateway))
            .collect::<Result<Vec<_>>>()?;
        let again = millis(percentile(&mut again, 0.5));
        add(Metric::ListAgain, Route::Gateway, again);
        Ok(())
    }
}

fn slowest(urls: &[String]) -> Result<Duration> {
    let mut slowest = Duration::ZERO;
    for url in urls {
        let started = Instant::now();
        Direct::open(url)?.list_tools()?;
        slowest = slowest.max(started.elapsed());
    }
    Ok(slowest)
}

fn list(gateway: &mut StdioClient) -> Result<Duration> {
    let (time, tools) = gateway.list_tools()?;
    if tools != FLEET * FLEET_TOOLS {
        return Err(format!("{tools} tools are listed of {}", FLEET * FLEET_TOOLS).into());
    }
    Ok(time)
}
