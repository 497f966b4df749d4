//! From nothing to the first answer.

use std::fs;

use super::{Scale, USUAL, in_turn, millis};
use crate::support::Result;
use crate::support::call::Era;
use crate::support::parties::executable;
use crate::support::process::Program;
use crate::support::sheet::{Lane, Measure, Section, Sheet};
use crate::support::stats::percentile;
use crate::support::stdio::StdioClient;

impl Scale {
    pub(super) fn start(&self, round: usize, sheet: &mut Sheet) -> Result<()> {
        let gateway = self.alone(USUAL)?;
        let mut programs = [(Lane::Gateway, &gateway), (Lane::Relay, &self.relay)];
        programs.rotate_left(round % 2);
        let launch = |program: &mut &Program| Ok(StdioClient::launch(program, Era::Legacy)?.1);
        for (lane, mut times) in in_turn(&mut programs, self.effort.starts, launch)? {
            let time = millis(percentile(&mut times, 0.5));
            sheet.add(Section::Start, Measure::Initialized, lane, time);
        }
        if self.subject.is_gateway() {
            let size = fs::metadata(executable())?.len() as f64 / f64::from(1 << 20);
            sheet.add(Section::Start, Measure::Size, Lane::Gateway, size);
        }
        Ok(())
    }
}
