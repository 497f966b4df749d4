//! Whether memory grows with the number of calls.

use super::{Benchmark, CONCURRENCY, USUAL};
use crate::support::Result;
use crate::support::call::JSON_SMALL;
use crate::support::client::driver::CallDriver;
use crate::support::client::stdio::StdioClient;
use crate::support::report::results::{Metric, Results, Route, Section};

impl Benchmark {
    /// A tenth of the calls precede the measurement, so that buffers have their final size.
    pub(super) fn soak(&self, results: &mut Results) -> Result<()> {
        let call = JSON_SMALL.into();
        let count = self.effort.soak;
        let mut gateway = StdioClient::open(&self.alone(USUAL)?, call)?;
        gateway.concurrent(call, CONCURRENCY, count / 10)?;
        let before = gateway.usage();
        let wall = gateway.concurrent(call, CONCURRENCY, count)?.wall;
        let mut add = |measure, figure| results.add(Section::Soak, measure, Route::Gateway, figure);
        let rate = count as f64 / wall.as_secs_f64();
        add(Metric::CallsPerSecond(CONCURRENCY), rate);
        if let (Some(before), Some(after)) = (before, gateway.usage()) {
            add(Metric::Growth, after.resident - before.resident);
            add(Metric::Peak, after.peak);
        }
        Ok(())
    }
}
