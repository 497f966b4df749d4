//! `install`: writes the entry.

use std::path::{Path, PathBuf};

use super::changes::changes;
use super::consent::wants;
use super::{Machine, failed, named, overview, print};
use crate::cli::args::{Install, Writing};
use crate::cli::exit::{BAD_CONFIG, FAILED, OK};
use crate::cli::terminal::{DIM, HEAD, report_problems, warn};
use crate::client_config::clients::{Client, Format};
use crate::client_config::entry::Launch;
use crate::client_config::snippet::snippet;
use crate::config::{Environment, Overrides, load};
use crate::install::executable::Executable;
use crate::install::running::is_claude_desktop_running;
use crate::install::{Place, Wanted, plan_install};
use crate::text::keep_from_output;

/// Writes the entry into each client's file, or shows what is here where none is named.
pub(in crate::cli) fn install(overrides: &Overrides, args: &Install) -> u8 {
    let machine = match Machine::here() {
        Ok(machine) => machine,
        Err(why) => return failed(&why),
    };
    let clients = match named(&args.clients) {
        Ok(clients) => clients,
        Err(why) => {
            failed(&why);
            return BAD_CONFIG;
        }
    };
    if clients.is_empty() {
        return overview::show(&machine, &args.writing);
    }
    let config = match usable_config(overrides) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let executable = match executable(&machine.env) {
        Ok(executable) => executable,
        Err(why) => return failed(&why),
    };
    let launch = match launch(&executable, &config, overrides) {
        Ok(launch) => launch,
        Err(why) => return failed(&why),
    };
    let mut code = OK;
    for client in clients {
        let installed = install_into(client, &machine, &executable, &launch, &args.writing);
        match installed {
            Ok(true) => {}
            Ok(false) if args.writing.dry_run => {}
            Ok(false) => code = FAILED,
            Err(why) => code = failed(&why),
        }
    }
    code
}

/// The path of the config that the flags and the environment name, which must be one that runs.
fn usable_config(overrides: &Overrides) -> Result<PathBuf, u8> {
    if !overrides.backends.is_empty()
        || !overrides.headers.is_empty()
        || !overrides.bearer_env.is_empty()
    {
        failed("an entry names a config file: put the backends into sentinel.toml, not into flags");
        return Err(BAD_CONFIG);
    }
    let config = load(overrides, &Environment::of_process())
        .map_err(|problems| report_problems(&problems))?;
    keep_from_output(config.backends.iter().map(|backend| &backend.scrubber));
    for warning in &config.warnings {
        warn(warning);
    }
    config.source.ok_or(BAD_CONFIG)
}

fn executable(env: &Environment) -> Result<Executable, String> {
    let program = env.program();
    if !program.is_absolute() {
        return Err(
            "the path of this executable is not known: start it by its full path".to_owned(),
        );
    }
    let data = env
        .data_folder()
        .ok_or("the home folder of this user is not known: set HOME")?;
    Ok(Executable::of(program, &std::env::temp_dir(), data))
}

fn launch(executable: &Executable, config: &Path, overrides: &Overrides) -> Result<Launch, String> {
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| format!("{} is not Unicode: use another path", path.display()))
    };
    let mut args = vec!["--config".to_owned(), text(config)?];
    if let Some(only) = &overrides.only {
        args.extend(["--only".to_owned(), only.join(",")]);
    }
    Ok(Launch {
        command: text(&executable.path)?,
        args,
        env: Vec::new(),
        passed: Vec::new(),
    })
}

/// Returns whether the client has the entry now.
fn install_into(
    client: &'static Client,
    machine: &Machine,
    executable: &Executable,
    launch: &Launch,
    writing: &Writing,
) -> Result<bool, String> {
    let file = machine.file(client, writing.project)?;
    if client.format == Format::Yaml {
        show_snippet(client, &file, launch, &writing.name);
        return settled(executable, writing);
    }
    let place = Place::read(client, &file, &machine.state)?;
    let entry = launch.entry(client.shape, &writing.name);
    let plan = plan_install(
        place,
        &Wanted {
            name: &writing.name,
            entry: &entry,
            remove: &[],
        },
    )?;
    let file = plan.place().file.display().to_string();
    print(&format!("{HEAD}{}{HEAD:#} {file}\n", client.name));
    if plan.changes_nothing() {
        print("it has this entry already\n");
        return settled(executable, writing);
    }
    print(&format!("{}\n", changes(&plan)));
    if let Some(note) = executable.note() {
        print(&format!("{DIM}note:{DIM:#} {note}\n"));
    }
    let runs = client.id == "claude-desktop" && is_claude_desktop_running();
    if runs {
        warn(
            "Claude Desktop is running, and may write its file anew from memory: quit it first. \
             The same command puts an entry back that is gone",
        );
    }
    if !wants("Write it?", writing) {
        return Ok(false);
    }
    executable.settle()?;
    let done = plan.apply()?;
    let backup = match &done.backup {
        Some(path) => format!("; backup: {}", path.display()),
        None => String::new(),
    };
    print(&format!(
        "written{backup}\nStart {} anew to see it. `sentinel-gateway uninstall {}` takes it out again.\n",
        client.name, client.id
    ));
    Ok(true)
}

/// What is to be pasted by hand.
fn show_snippet(client: &Client, file: &Path, launch: &Launch, name: &str) {
    print(&format!(
        "{HEAD}{}{HEAD:#}: this command does not edit YAML; put this into {}:\n\n{}\n",
        client.name,
        file.display(),
        snippet(client, launch, name)
    ));
}

/// Where no file is to be written, the executable still has to be there.
fn settled(executable: &Executable, writing: &Writing) -> Result<bool, String> {
    if !writing.dry_run {
        executable.settle()?;
    }
    Ok(true)
}
