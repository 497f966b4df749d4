//! `check --client`: the gateway as a client would start it.
//!
//! Owns whether the client's entry is there, which variables and folder its gateway would have, and
//! whether the client's own rules about tools hold. What the backends say then is the usual check.

use std::path::Path;

use clap::Parser;

use super::rules::{self, Rule};
use super::{Machine, failed, named, warn_if_running};
use crate::cli::args::{Check, Cli};
use crate::cli::exit::BAD_CONFIG;
use crate::cli::terminal::{one_line, print_message, report_problems, warn};
use crate::client_config::clients::{Client, Format};
use crate::client_config::edit::Entry;
use crate::client_config::servers::{command_line, is_ours, passed, tool_rules, variables};
use crate::config::{Config, Environment, SearchExposes, ToolMode, load};
use crate::files;
use crate::install::{Place, plan_fix};
use crate::snapshot::searches_itself;

/// The config that the client's gateway would run with. With `--fix` an entry that is gone is put back.
///
/// # Errors
/// The exit status, once the reason has been printed.
pub(in crate::cli) fn config_of_client(id: &str, args: &Check) -> Result<Config, u8> {
    let machine = Machine::here().map_err(|why| failed(&why))?;
    let client = named(&[id.to_owned()]).map_err(|why| {
        failed(&why);
        BAD_CONFIG
    })?[0];
    let (entry, file) = entry(&machine, client, args).map_err(|why| failed(&why))?;
    print_message(&one_line(&format!(
        "client: {}, entry {} of {file}",
        client.name, entry.name
    )));
    let words = command_line(&entry.value).unwrap_or_default();
    let program = words.first().map_or("", String::as_str);
    if Path::new(program).is_absolute() && !files::is_file(Path::new(program)) {
        return Err(failed(&format!(
            "its program {program} is gone: `sentinel-gateway install {id}{}` names the one that runs now",
            of_project(args)
        )));
    }
    if !Path::new(program).is_absolute() && client.is_desktop {
        warn(&format!(
            "{} may not find {program}, since it has another PATH than a shell",
            client.name
        ));
    }
    let overrides = Cli::try_parse_from(&words)
        .map_err(|_| failed("the arguments of the entry are none of this gateway"))?
        .overrides()
        .map_err(|problems| report_problems(&problems))?;
    let env = surroundings(client, &entry, &machine, args);
    let mut config = load(&overrides, &env).map_err(|problems| report_problems(&problems))?;
    let rules = past_rules(&config, client, || {
        own_rules(&machine, client, &entry, &file)
    });
    config.warnings.extend(rules);
    if let (Some(used), Some(own)) = (&config.source, machine.env.user_file())
        && *used != own
        && files::exists(&own)
    {
        warn(&format!(
            "the entry uses {}, a shell {}",
            used.display(),
            own.display()
        ));
    }
    Ok(config)
}

/// The client's rules about single tools of this gateway.
fn own_rules(machine: &Machine, client: &Client, entry: &Entry, file: &str) -> Vec<Rule> {
    let in_entry = tool_rules::in_entry(&entry.value).into_iter();
    let in_entry = in_entry.map(|tool| (tool, file.to_owned()));
    let further = rules::rules(machine, client, &entry.name, Path::new(file)).into_iter();
    in_entry
        .chain(further.filter(|(tool, _)| tool != tool_rules::ALL))
        .collect()
}

/// What to know of these rules where this client calls tools by `call_tool`; `None` where they hold.
fn past_rules(
    config: &Config,
    client: &Client,
    rules: impl FnOnce() -> Vec<Rule>,
) -> Option<String> {
    let listing = &config.gateway.tool_listing;
    let mode = match listing.mode {
        ToolMode::All => return None,
        // It is never given the tools that search.
        ToolMode::Auto if searches_itself(client.id) => return None,
        ToolMode::Search => "search",
        ToolMode::Auto => "auto",
    };
    let activates = listing.exposes == SearchExposes::Activate;
    let instead = match client.list_is_fixed {
        false if activates => return None,
        false => r#"search_exposes = "activate" lists a found tool under its own name"#,
        true => r#"tool_mode = "all" lists tools under their own names"#,
    };
    let shown = rules::shown(&rules())?;
    Some(one_line(&format!(
        "the client has rules of its own about tools ({shown}). With tool_mode = \"{mode}\" it calls tools through call_tool: its rules about a single tool have no effect then, and a rule about call_tool applies to every tool. \
         tools.deny works in any case; {instead}"
    )))
}

/// The flag as it is typed, where the file is that of a project.
fn of_project(args: &Check) -> &'static str {
    if args.project { " --project" } else { "" }
}

/// The client's entry of this gateway, and the file that it stands in.
fn entry(
    machine: &Machine,
    client: &'static Client,
    args: &Check,
) -> Result<(Entry, String), String> {
    if client.format == Format::Yaml {
        return Err(format!(
            "files of {} are not read by this command",
            client.name
        ));
    }
    let file = machine.file(client, args.project)?;
    let (id, project) = (client.id, of_project(args));
    let place = Place::read(client, &file, &machine.state)?;
    let shown = place.file.display().to_string();
    let entries = place.entries()?;
    if let Some(found) = entries.iter().find(|entry| is_ours(entry)) {
        return Ok((found.clone(), shown));
    }
    let is_there = |name: &String| entries.iter().any(|entry| entry.name == *name);
    match place.installed() {
        Some(name) if is_there(&name) => Err(format!(
            "the entry {name} of {shown} starts another program, not this gateway, and nothing was changed: \
             `sentinel-gateway install {id}{project} --name {name}` shows what it would write in its place, and asks"
        )),
        None => Err(format!(
            "{shown} has no entry of this gateway: `sentinel-gateway install {id}{project}` writes one"
        )),
        Some(name) if !args.fix => Err(format!(
            "the entry {name} is gone from {shown}: some clients write their file anew. \
             Quit {} and type `sentinel-gateway check --client {id}{project} --fix`",
            client.name
        )),
        Some(name) => {
            warn_if_running(
                client,
                "If the entry is gone again afterwards, type this command again",
            );
            plan_fix(place)?.apply()?;
            print_message(&format!("the entry {name} is back in {shown}"));
            let place = Place::read(client, &file, &machine.state)?;
            let found = place.entries()?.into_iter().find(is_ours);
            found
                .map(|entry| (entry, shown))
                .ok_or_else(|| format!("the entry {name} starts another program"))
        }
    }
}

/// The variables and the folder that the client starts its servers with.
fn surroundings(client: &Client, entry: &Entry, machine: &Machine, args: &Check) -> Environment {
    let own = variables(&entry.value);
    let named = passed(&entry.value);
    let passes = client.passes();
    let env = Environment::of_process().with_variables(move |name| {
        let set = own.iter().find(|(known, _)| known == name);
        let is_passed = passes.is_none_or(|passes| passes.contains(&name))
            || named.iter().any(|known| known == name);
        let inherited = || std::env::var(name).ok().filter(|_| is_passed);
        set.map(|(_, value)| value.clone()).or_else(inherited)
    });
    match client.is_desktop && !args.project {
        true => env.with_working_folder(&machine.home),
        false => env,
    }
}
