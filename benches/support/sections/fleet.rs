//! Many backends with many tools each: how long it takes to have them all, and to list them again.

use std::thread;
use std::time::{Duration, Instant};

use super::{SETTLING, Scale, millis};
use crate::support::Result;
use crate::support::call::Era;
use crate::support::direct::Direct;
use crate::support::drive::Drive;
use crate::support::mock::{FLEET, FLEET_TOOLS, Servers};
use crate::support::parties::{Mock, Setup};
use crate::support::sheet::{Lane, Measure, Section, Sheet};
use crate::support::stats::percentile;
use crate::support::stdio::StdioClient;

/// How often the list is asked for again in a round.
const AGAIN: usize = 20;

impl Scale {
    /// The direct figure is the slowest backend's own answer, handshake and list, with nobody else asking.
    pub(super) fn fleet(&self, sheet: &mut Sheet) -> Result<()> {
        let mock = Mock::start(Servers::Fleet)?;
        let setup = Setup {
            name: "fleet",
            gateway: "",
            urls: &mock.urls,
        };
        let Some(program) = self.subject.program(&setup)? else {
            return Ok(());
        };
        let mut add = |measure, lane, figure| sheet.add(Section::Fleet, measure, lane, figure);
        let slowest = slowest(&mock.urls)?;
        add(Measure::Listed, Lane::Direct, millis(slowest));

        let started = Instant::now();
        let (mut gateway, _) = StdioClient::launch(&program, Era::Legacy)?;
        gateway.begin()?;
        let before = started.elapsed();
        let listed = list(&mut gateway)?;
        add(Measure::Listed, Lane::Gateway, millis(before + listed));
        thread::sleep(SETTLING);
        if let Some(usage) = gateway.usage() {
            add(Measure::Idle, Lane::Gateway, usage.resident);
        }
        let mut again = (0..AGAIN)
            .map(|_| list(&mut gateway))
            .collect::<Result<Vec<_>>>()?;
        let again = millis(percentile(&mut again, 0.5));
        add(Measure::ListAgain, Lane::Gateway, again);
        Ok(())
    }
}

fn slowest(urls: &[String]) -> Result<Duration> {
    let mut slowest = Duration::ZERO;
    for url in urls {
        let asked = Instant::now();
        Direct::open(url)?.list_tools()?;
        slowest = slowest.max(asked.elapsed());
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
