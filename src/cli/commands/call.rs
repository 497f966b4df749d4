//! `call`: one tool call through the whole gateway, with this command as its client.
//!
//! Owns how arguments become the params of the call, and how its result is printed. `read` and `prompt`
//! below are one request, too.

mod prompt;
mod read;

use std::io;

use crate::cli::args::Call;
use crate::cli::client::{Client, with_gateway};
use crate::cli::content;
use crate::cli::exit::{BAD_CONFIG, FAILED, OK};
use crate::cli::outcome::{print_error, print_gone, print_text};
use crate::cli::parameters::Parameters;
use crate::cli::parameters::arguments::{self, Arguments};
use crate::cli::terminal::{print_message, print_result};
use crate::config::Config;
use crate::protocol::error::is_tool_error;
use crate::protocol::raw::quoted;
use crate::protocol::{Outcome, RawJson};
pub(super) use prompt::prompt;
pub(super) use read::read;

/// Calls the tool and prints its result. Returns the exit status.
pub(super) async fn call(config: Config, args: &Call) -> u8 {
    let limit = config.gateway.max_message_bytes;
    let arguments = match arguments::parse(&args.arguments, limit) {
        Ok(arguments) => arguments,
        Err(why) => {
            print_message(&why);
            return BAD_CONFIG;
        }
    };
    let tool = args.tool.clone();
    let waiting = format!("calling {tool}");
    let called = with_gateway(config, waiting, move |client| {
        match object(client, &tool, arguments)? {
            Ok(arguments) => client
                .request("tools/call", &params(&tool, &arguments))
                .map(Ok),
            Err(why) => Ok(Err(format!("{tool}: {why}"))),
        }
    });
    match called.await {
        Ok(Ok(Outcome::Result(result))) => print(&result, args),
        Ok(Ok(Outcome::Error(error))) => print_error(&error),
        Ok(Err(why)) => {
            print_message(&why);
            BAD_CONFIG
        }
        Err(error) => print_gone(&error),
    }
}

/// The arguments as one object: pairs are read by the schema of the tool.
fn object(
    client: &mut Client,
    tool: &str,
    arguments: Arguments,
) -> io::Result<Result<RawJson, String>> {
    let pairs = match arguments {
        Arguments::Object(object) => return Ok(Ok(object)),
        Arguments::Pairs(pairs) => pairs,
    };
    let definition = client.definition("tools/list", "tools", tool)?;
    // The gateway has the words for an unknown tool.
    let parameters = definition.as_ref().map(Parameters::of_tool);
    Ok(match parameters {
        Some(parameters) => parameters.arguments(&pairs),
        None => Ok(RawJson::trusted("{}")),
    })
}

fn params(tool: &str, arguments: &RawJson) -> RawJson {
    RawJson::trusted(format!(
        r#"{{"name":{},"arguments":{},"_meta":{{"progressToken":1}}}}"#,
        RawJson::trusted(quoted(tool)).as_str(),
        arguments.as_str(),
    ))
}

fn print(result: &RawJson, args: &Call) -> u8 {
    let failed = is_tool_error(result);
    let text = if args.json {
        result.as_str().to_owned()
    } else {
        content::text(result)
    };
    let written = print_text(&text);
    if failed {
        print_message(&format!("the tool {} reports an error", args.tool));
    }
    print_result(written, if failed { FAILED } else { OK })
}
