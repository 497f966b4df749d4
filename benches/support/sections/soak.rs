//! Whether memory grows with the calls that have been made.

use super::{Scale, USUAL, WIDTH};
use crate::support::Result;
use crate::support::call::JSON_SMALL;
use crate::support::drive::Drive;
use crate::support::sheet::{Lane, Measure, Section, Sheet};
use crate::support::stdio::StdioClient;

impl Scale {
    /// A tenth of the calls beforehand, so that everything has the size that it keeps.
    pub(super) fn soak(&self, sheet: &mut Sheet) -> Result<()> {
        let call = JSON_SMALL.into();
        let count = self.effort.soak;
        let mut gateway = StdioClient::open(&self.alone(USUAL)?, call)?;
        gateway.side_by_side(call, WIDTH, count / 10)?;
        let before = gateway.usage();
        let wall = gateway.side_by_side(call, WIDTH, count)?.wall;
        let mut add = |measure, figure| sheet.add(Section::Soak, measure, Lane::Gateway, figure);
        let rate = count as f64 / wall.as_secs_f64();
        add(Measure::CallsPerSecond(WIDTH), rate);
        if let (Some(before), Some(after)) = (before, gateway.usage()) {
            add(Measure::Growth, after.resident - before.resident);
            add(Measure::Peak, after.peak);
        }
        Ok(())
    }
}
