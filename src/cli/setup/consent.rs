//! Asks whether to go on.
//!
//! Owns when that is not asked: with `--yes`, with `--dry-run`, and without a terminal, where the answer is no.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::cli::args::Writing;
use crate::cli::terminal::print_message;

/// Whether the user wants it. Without a terminal nobody can be asked.
pub(super) fn wants(question: &str, writing: &Writing) -> bool {
    if writing.dry_run {
        return false;
    }
    if writing.yes {
        return true;
    }
    if !io::stdin().is_terminal() {
        print_message("nothing was written: add --yes to write it without being asked");
        return false;
    }
    let mut out = anstream::stderr().lock();
    let _ = write!(out, "{question} [y/N] ").and_then(|()| out.flush());
    drop(out);
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.is_ok() && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
}
