//! Instructions of a call, which hardly depend on other load on the machine.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Benchmark, CONCURRENCY, USUAL};
use crate::support::Result;
use crate::support::call::{Call, JSON_SMALL};
use crate::support::client::driver::CallDriver;
use crate::support::client::stdio::StdioClient;
use crate::support::process::{Program, log, scratch};
use crate::support::report::results::{Metric, Results, Route, Section};

/// Calls of the two runs. Their difference excludes the start.
const FEW: usize = 500;
const MANY: usize = 2500;

impl Benchmark {
    pub(super) fn instructions(&self, results: &mut Results) -> Result<()> {
        if !has_valgrind() {
            eprintln!("instructions are NOT COUNTED: valgrind is not installed");
            return Ok(());
        }
        let gateway = self.alone(USUAL)?;
        for (route, program) in [(Route::Gateway, &gateway), (Route::Relay, &self.relay)] {
            let per_call = per_call(program, JSON_SMALL.into(), |_| Ok(()))?;
            results.add(Section::Instructions, Metric::Instructions, route, per_call);
        }
        Ok(())
    }
}

/// The instructions of one call of a program that is run under valgrind. `prepare` comes before the first one.
pub(super) fn per_call(
    program: &Program,
    call: Call,
    prepare: impl Fn(&mut StdioClient) -> Result<()>,
) -> Result<f64> {
    let more = count(program, call, MANY, &prepare)? - count(program, call, FEW, &prepare)?;
    Ok(more / (MANY - FEW) as f64)
}

pub(super) fn has_valgrind() -> bool {
    let status = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// The instructions of a whole run with this many calls.
fn count(
    program: &Program,
    call: Call,
    calls: usize,
    prepare: impl Fn(&mut StdioClient) -> Result<()>,
) -> Result<f64> {
    let report = scratch().join("bench-callgrind.out");
    // Removes the report of an earlier run.
    let _ = fs::remove_file(&report);
    let mut client = StdioClient::open(&under_valgrind(program, &report), call)?;
    prepare(&mut client)?;
    client.concurrent(call, CONCURRENCY, calls)?;
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
