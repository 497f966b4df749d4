//! `prompt`: one prompt, filled in, through the whole gateway.
//!
//! Owns the request, and how the prompt's messages are printed.

use crate::cli::args::Prompt;
use crate::cli::client::with_gateway;
use crate::cli::content;
use crate::cli::exit::{BAD_CONFIG, OK};
use crate::cli::outcome::{print_error, print_gone, print_text};
use crate::cli::parameters::Parameters;
use crate::cli::parameters::arguments::pairs_of;
use crate::cli::terminal::{print_message, print_result};
use crate::config::Config;
use crate::protocol::raw::quoted;
use crate::protocol::{Outcome, RawJson};

/// Gets the prompt and prints its messages. Returns the exit status.
pub(in crate::cli::commands) async fn prompt(config: Config, args: &Prompt) -> u8 {
    let pairs = match pairs_of(&args.arguments) {
        Ok(pairs) => pairs,
        Err(why) => {
            print_message(&why);
            return BAD_CONFIG;
        }
    };
    let name = args.prompt.clone();
    let waiting = format!("getting {name}");
    let got = with_gateway(config, waiting, move |client| {
        let definition = client.definition("prompts/list", "prompts", &name)?;
        let parameters = definition.as_ref().map(Parameters::of_prompt);
        // The gateway has the words for an unknown prompt.
        let parameters = parameters.unwrap_or_default();
        let arguments = match (parameters.arguments(&pairs), definition) {
            (Ok(arguments), _) => arguments,
            (Err(why), Some(_)) => return Ok(Err(format!("{name}: {why}"))),
            (Err(_), None) => RawJson::trusted("{}"),
        };
        client
            .request("prompts/get", &params(&name, &arguments))
            .map(Ok)
    });
    match got.await {
        Ok(Ok(Outcome::Result(result))) => {
            let text = if args.json {
                result.as_str().to_owned()
            } else {
                content::messages(&result)
            };
            print_result(print_text(&text), OK)
        }
        Ok(Ok(Outcome::Error(error))) => print_error(&error),
        Ok(Err(why)) => {
            print_message(&why);
            BAD_CONFIG
        }
        Err(error) => print_gone(&error),
    }
}

fn params(name: &str, arguments: &RawJson) -> RawJson {
    RawJson::trusted(format!(
        r#"{{"name":{},"arguments":{},"_meta":{{"progressToken":1}}}}"#,
        RawJson::trusted(quoted(name)).as_str(),
        arguments.as_str(),
    ))
}
