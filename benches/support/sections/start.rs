//! Time from exec to the first response.

use std::fs;

use super::{Benchmark, USUAL, interleave, millis};
use crate::support::Result;
use crate::support::call::Era;
use crate::support::client::stdio::StdioClient;
use crate::support::process::Program;
use crate::support::process::setup::executable;
use crate::support::report::results::{Metric, Results, Route, Section};
use crate::support::report::stats::percentile;

impl Benchmark {
    pub(super) fn start(&self, round: usize, results: &mut Results) -> Result<()> {
        let gateway = self.alone(USUAL)?;
        let mut programs = [(Route::Gateway, &gateway), (Route::Relay, &self.relay)];
        programs.rotate_left(round % 2);
        let launch = |program: &mut &Program| Ok(StdioClient::launch(program, Era::Legacy)?.1);
        for (route, mut times) in interleave(&mut programs, self.effort.starts, launch)? {
            let time = millis(percentile(&mut times, 0.5));
            results.add(Section::Start, Metric::Initialized, route, time);
        }
        if self.subject.is_gateway() {
            let size = fs::metadata(executable())?.len() as f64 / f64::from(1 << 20);
            results.add(Section::Start, Metric::Size, Route::Gateway, size);
        }
        Ok(())
    }
}
