//! How many instructions a call takes: nearly the same whatever else the machine does.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Scale, USUAL, WIDTH};
use crate::support::Result;
use crate::support::call::JSON_SMALL;
use crate::support::drive::Drive;
use crate::support::process::{Program, log, scratch};
use crate::support::sheet::{Lane, Measure, Section, Sheet};
use crate::support::stdio::StdioClient;

/// Calls of the two runs whose difference is counted, so that the start is not.
const FEW: usize = 500;
const MANY: usize = 2500;

impl Scale {
    pub(super) fn instructions(&self, sheet: &mut Sheet) -> Result<()> {
        if !has_valgrind() {
            eprintln!("instructions are NOT COUNTED: valgrind is not installed");
            return Ok(());
        }
        let gateway = self.alone(USUAL)?;
        for (lane, program) in [(Lane::Gateway, &gateway), (Lane::Relay, &self.relay)] {
            let more = count(program, MANY)? - count(program, FEW)?;
            let per_call = more / (MANY - FEW) as f64;
            sheet.add(Section::Instructions, Measure::Instructions, lane, per_call);
        }
        Ok(())
    }
}

fn has_valgrind() -> bool {
    let asked = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

/// The instructions of a whole run with so many calls.
fn count(program: &Program, calls: usize) -> Result<f64> {
    let report = scratch().join("bench-callgrind.out");
    // What an earlier run has left is not read for this one.
    let _ = fs::remove_file(&report);
    let call = JSON_SMALL.into();
    let mut client = StdioClient::open(&under_valgrind(program, &report), call)?;
    client.side_by_side(call, WIDTH, calls)?;
    drop(client);
    let text = fs::read_to_string(&report)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.ok_or("valgrind has counted nothing")?;
    Ok(total.trim().parse()?)
}

fn under_valgrind(program: &Program, report: &Path) -> Program {
    let mut args: Vec<OsString> = ["--tool=callgrind", "--quiet"].map(OsString::from).into();
    args.push(format!("--callgrind-out-file={}", report.display()).into());
    args.push(program.path.clone().into());
    args.extend(program.args.iter().cloned());
    Program {
        name: program.name,
        path: PathBuf::from("valgrind"),
        args,
        log: log("valgrind"),
    }
}
