//! `read`: one resource through the whole gateway.
//!
//! Owns the request, and what is printed: to a pipe the bytes of all contents, on a terminal text, and a line
//! for each binary.

use std::io::{self, IsTerminal, Write};

use crate::cli::args::Read;
use crate::cli::client::with_gateway;
use crate::cli::content::{self, Content};
use crate::cli::exit::{FAILED, OK};
use crate::cli::outcome::{print_error, print_gone, print_text};
use crate::cli::terminal::{print_message, print_result};
use crate::config::Config;
use crate::protocol::raw::quoted;
use crate::protocol::{Outcome, RawJson};

/// Reads the resource and prints its contents. Returns the exit status.
pub(in crate::cli::commands) async fn read(config: Config, args: &Read) -> u8 {
    let params = RawJson::trusted(format!(
        r#"{{"uri":{},"_meta":{{"progressToken":1}}}}"#,
        RawJson::trusted(quoted(&args.uri)).as_str(),
    ));
    let waiting = format!("reading {}", args.uri);
    let read = with_gateway(config, waiting, move |client| {
        client.request("resources/read", &params)
    });
    match read.await {
        Ok(Outcome::Result(result)) if args.json => print_result(print_text(result.as_str()), OK),
        Ok(Outcome::Result(result)) => print(&result),
        Ok(Outcome::Error(error)) => print_error(&error),
        Err(error) => print_gone(&error),
    }
}

/// A pipe gets the bytes of all contents, one after the other. A terminal gets text, and one line for
/// every binary.
fn print(result: &RawJson) -> u8 {
    let contents = match content::contents(result) {
        Ok(contents) => contents,
        Err(why) => {
            print_message(&why);
            return FAILED;
        }
    };
    if io::stdout().is_terminal() {
        let shown: Vec<String> = contents.iter().map(Content::summary).collect();
        return print_result(print_text(&shown.join("\n")), OK);
    }
    let mut stdout = io::stdout().lock();
    let mut parts = contents.iter().map(Content::as_bytes);
    let written = parts.try_for_each(|bytes| stdout.write_all(bytes));
    print_result(written.and_then(|()| stdout.flush()), OK)
}
