//! The log of a gateway process, as far as suites that run for long need it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};

/// The number of lines that are kept.
const LOG_LINES: usize = 30;

/// What the gateway wrote to stderr.
#[derive(Default)]
pub struct GatewayLog {
    pub lines: u64,
    pub retries: u64,
    pub panics: u64,
    /// The number of live tasks at the end of the gateway.
    pub tasks: Option<u64>,
    pub latest: VecDeque<String>,
}

impl GatewayLog {
    /// Reads it to its end.
    pub fn read(errors: impl Read) -> Self {
        let mut log = Self::default();
        for line in BufReader::new(errors).lines().map_while(|line| line.ok()) {
            log.lines += 1;
            log.retries += retries_in(&line);
            let panicked = ["panicked at", "the gateway has a bug"];
            log.panics += u64::from(panicked.iter().any(|said| line.contains(said)));
            if let Some((_, tasks)) = line
                .split_once("the gateway ends")
                .and(line.split_once("tasks="))
            {
                let digits = tasks.split(|c: char| !c.is_ascii_digit()).next();
                log.tasks = digits.and_then(|digits| digits.parse().ok());
            }
            log.latest.push_back(line);
            if log.latest.len() > LOG_LINES {
                log.latest.pop_front();
            }
        }
        log
    }
}

/// How many retries a line of the log stands for: one, or a number of lines that were left out.
fn retries_in(line: &str) -> u64 {
    let Some((before, _)) = line.split_once("retrying after transient error") else {
        return 0;
    };
    match before.strip_suffix(" more: ") {
        Some(before) => {
            let number = before.rsplit(' ').next().unwrap_or_default();
            number.parse().expect("the number of lines left out")
        }
        None => 1,
    }
}
