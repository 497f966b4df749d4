//! `install`: writes the entry.
//!
//! Owns what an entry has to hold for each client: executable, arguments, variables. Nothing is written before
//! the user has seen it and agreed.

mod found;

use std::path::Path;

use super::changes::changes;
use super::consent::wants;
use super::import::Import;
use super::{Machine, begin, failed, for_each, overview, print, rules, warn_if_running};
use crate::auth::store::mcp_remote::is_signed_in;
use crate::cli::args::{Install, Writing};
use crate::cli::exit::FAILED;
use crate::cli::terminal::{DIM, HEAD, one_line, warn};
use crate::client_config::clients::{CLIENTS, Client, Format};
use crate::client_config::entry::{Launch, Shape};
use crate::client_config::servers::PROXIES;
use crate::client_config::snippet::snippet;
use crate::config::{Environment, Overrides, load};
use crate::install::executable::Executable;
use crate::install::{Place, Wanted, plan_install};
use found::{Found, usable_config};

/// Writes the entry into each client's file, or shows what is here where none is named.
pub(in crate::cli) fn install(overrides: &Overrides, args: &Install) -> u8 {
    let (machine, clients) = match begin(&args.clients) {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    if clients.is_empty() {
        return overview::show(&machine, overrides, &args.writing);
    }
    let job = match Job::of(machine, &clients, overrides, args) {
        Ok(job) => job,
        Err(code) => return code,
    };
    for_each(clients, &args.writing, |client| job.install_into(client))
}

/// What every client of one command gets.
struct Job<'a> {
    machine: Machine,
    args: &'a Install,
    config: Found,
    executable: Executable,
    /// Without variables, which are each client's own.
    launch: Launch,
    import: Import,
}

impl<'a> Job<'a> {
    /// Finds the config, and takes over the servers of the clients if that is asked for.
    fn of(
        machine: Machine,
        clients: &[&'static Client],
        overrides: &Overrides,
        args: &'a Install,
    ) -> Result<Self, u8> {
        let config = usable_config(overrides, &machine.env, args.import, &args.clients)?;
        let executable = executable(&machine.env).map_err(|why| failed(&why))?;
        let import = match args.import {
            true => imported(&machine, clients, &config, args).map_err(|why| failed(&why))?,
            false => Import::default(),
        };
        // Where the administrator's config is the only one, a gateway finds it without being told.
        let named = config.is_there() || !import.is_empty();
        let named = named.then_some(config.path.as_path());
        let launch = launch(&executable, named, overrides).map_err(|why| failed(&why))?;
        let job = Self {
            machine,
            args,
            config,
            executable,
            launch,
            import,
        };
        job.write_config()?;
        Ok(job)
    }

    /// How this client starts the gateway.
    fn launch_of(&self, client: &Client) -> Launch {
        let env = self.import.env(client);
        Launch {
            passed: self.to_pass(&env),
            env,
            ..self.launch.clone()
        }
    }

    /// The variables that Codex has to pass on: those of the config and of what is taken over, and those for
    /// proxies, which it passes only by name. The other clients ignore them.
    fn to_pass(&self, set: &[(String, String)]) -> Vec<String> {
        let codex = CLIENTS.iter().find(|client| client.shape == Shape::Codex);
        let passes = codex.and_then(Client::passes).unwrap_or_default();
        let mut names: Vec<String> = self.import.needs();
        names.extend(self.config.variables.iter().cloned());
        names.extend(self.import.passed().iter().cloned());
        let proxies = PROXIES.into_iter();
        let proxies = proxies.flat_map(|name| [name.to_owned(), name.to_lowercase()]);
        names.extend(proxies.filter(|name| self.machine.env.variable(name).is_some()));
        names.retain(|name| {
            let is_set = set.iter().any(|(known, _)| known == name);
            !is_set && !passes.contains(&name.as_str())
        });
        names.sort();
        names.dedup();
        names
    }

    fn write_config(&self) -> Result<(), u8> {
        if !self.args.import {
            return Ok(());
        }
        let config = &self.config;
        print(&format!(
            "{HEAD}Backends{HEAD:#} {}\n{}",
            config.path.display(),
            self.import.shown()
        ));
        if self.import.is_empty() {
            if config.config.is_none() {
                failed(
                    "there is no server to take over, and no config yet: `sentinel-gateway init` writes one; it asks for the URL of a server",
                );
                return Err(FAILED);
            }
            return Ok(());
        }
        if self.args.writing.dry_run {
            return Ok(());
        }
        if !wants("Write these backends?", &self.args.writing) {
            return Err(FAILED);
        }
        self.import
            .write(&config.path, self.args.writing.name())
            .map_err(|why| failed(&why))?;
        offer_sign_ins(&config.path, &self.machine.env, &self.import);
        Ok(())
    }

    /// The entries of a client that go, since they are backends now; only with consent.
    fn to_remove(&self, client: &Client) -> Vec<String> {
        let became = self.import.became(client);
        if self.args.keep || became.is_empty() {
            return Vec::new();
        }
        if self.args.writing.dry_run || self.args.writing.yes {
            return became;
        }
        let question = format!(
            "Take {} out of {}, which would start them twice? `uninstall` puts them back.",
            one_line(&became.join(", ")),
            client.name
        );
        if wants(&question, &self.args.writing) {
            became
        } else {
            Vec::new()
        }
    }

    /// Returns whether the client has the entry now.
    fn install_into(&self, client: &'static Client) -> Result<bool, String> {
        let (executable, writing) = (&self.executable, &self.args.writing);
        let launch = &self.launch_of(client);
        let file = self.machine.file(client, writing.project)?;
        if client.format == Format::Yaml {
            show_snippet(client, &file, launch, writing.name());
            return settled(executable, writing);
        }
        let place = Place::read(client, &file, &self.machine.state)?;
        let entry = launch.entry(client.shape, writing.name());
        let plan = plan_install(
            place,
            &Wanted {
                name: writing.name(),
                entry: &entry,
                remove: &self.to_remove(client),
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
        warn_if_running(
            client,
            "`sentinel-gateway check --client claude-desktop --fix` puts an entry back that is gone",
        );
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
            "written{backup}\nStart {} anew to see it.\n`sentinel-gateway uninstall {}` takes it out again.\n",
            client.name, client.id
        ));
        Ok(true)
    }
}

/// The servers of the clients, as far as they can be backends.
fn imported(
    machine: &Machine,
    clients: &[&'static Client],
    config: &Found,
    args: &Install,
) -> Result<Import, String> {
    let known = config.config.as_ref();
    let mut import = Import::of(&config.path, known);
    let mut read = Vec::new();
    let edited = clients
        .iter()
        .filter(|client| client.format != Format::Yaml);
    for client in edited {
        let file = machine.file(client, args.writing.project)?;
        let place = Place::read(client, &file, &machine.state)?;
        let entries = place.entries()?;
        import.reserve(&entries);
        read.push((place, entries));
    }
    for (place, entries) in &read {
        import.add(place.client, entries, known, args.tokens.tokens());
    }
    import.try_out(&config.path, &machine.env);
    for (place, _) in &read {
        warn_of_rules(machine, place, &import.became(place.client));
    }
    Ok(import)
}

/// Says where the client has rules of its own about servers that become backends: they are about a name
/// that its calls no longer have.
fn warn_of_rules(machine: &Machine, place: &Place, servers: &[String]) {
    for server in servers {
        let found = rules::rules(machine, place.client, server, &place.file);
        if let Some(shown) = rules::shown(&found) {
            warn(&one_line(&format!(
                "{} has rules of its own about tools of {server} ({shown}). They do not hold for calls through the gateway: \
                 write them for the gateway's entry, or what is denied into tools.deny of the backend",
                place.client.name
            )));
        }
    }
}

/// Says which sign-ins of mcp-remote can be taken over, and how.
fn offer_sign_ins(config: &Path, env: &Environment, import: &Import) {
    let overrides = Overrides {
        config: Some(config.to_owned()),
        ..Overrides::default()
    };
    let Ok(config) = load(&overrides, env) else {
        return; // It was loaded right before.
    };
    for backend in config.backends.iter().filter(|one| import.has(&one.name)) {
        if let (Some(sign_in), Ok(url)) = (&backend.sign_in, &backend.url)
            && is_signed_in(sign_in, url)
        {
            print(&format!(
                "{}: mcp-remote is signed in to it. This takes that sign-in over, and mcp-remote has to sign in anew then:\n  {} --take-tokens\n",
                backend.name, sign_in.command
            ));
        }
    }
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

fn launch(
    executable: &Executable,
    config: Option<&Path>,
    overrides: &Overrides,
) -> Result<Launch, String> {
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| format!("{} is not Unicode: use another path", path.display()))
    };
    let mut args = Vec::new();
    if let Some(config) = config {
        args.extend(["--config".to_owned(), text(config)?]);
    }
    if let Some(only) = &overrides.only {
        args.extend(["--only".to_owned(), only.join(",")]);
    }
    if let Some(profile) = &overrides.profile {
        args.extend(["--profile".to_owned(), profile.clone()]);
    }
    Ok(Launch {
        command: text(&executable.path)?,
        args,
        env: Vec::new(),
        passed: Vec::new(),
    })
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
