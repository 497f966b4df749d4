//! `init`: a first sentinel.toml, its servers tried at once.
//!
//! Owns the questions to a person on the terminal, and the file's name and place. A token that is typed is not
//! shown where the system allows it.

use std::io::{self, BufRead, IsTerminal, Read as _, Write};
use std::time::Duration;

use url::Url;

use super::consent::wants;
use super::import::Import;
use super::{Machine, failed, overview, print};
use crate::cli::args::Init;
use crate::cli::exit::{BAD_CONFIG, FAILED, OK};
use crate::cli::survey::BackendSurvey;
use crate::cli::terminal::{BAD, GOOD, HEAD, one_line, print_message, report_problems};
use crate::client_config::import::{Tokens, backend_name};
use crate::client_config::servers::{Remote, checked};
use crate::config::{Environment, Overrides, load};
use crate::files;
use crate::text::{for_output, keep_from_output};

const TOKEN: &str = "Token, if it wants one (empty: none, or sign in later): ";
const ENDED: &str = "nothing was written: the input has ended";

/// How long a new backend may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(15);

/// Writes a sentinel.toml of these servers, or of those that a person on the terminal types.
pub(in crate::cli) async fn init(overrides: &Overrides, args: &Init) -> u8 {
    let machine = match Machine::here() {
        Ok(machine) => machine,
        Err(why) => return failed(&why),
    };
    let named = overrides
        .config
        .as_ref()
        .map(|path| machine.env.absolute(path, None));
    let Some(path) = named.or_else(|| machine.env.user_file()) else {
        return failed("the folder for the config is not known: name a file with --config");
    };
    if files::exists(&path) {
        failed(&format!(
            "{} is there already: add [[backends]] to it, or name another file with --config",
            path.display()
        ));
        return BAD_CONFIG;
    }
    let servers = match args.servers.is_empty() && io::stdin().is_terminal() {
        true => asked(),
        false => given(overrides, &args.servers),
    };
    let servers = match servers {
        Ok(servers) => servers,
        Err(why) => {
            failed(&why);
            return BAD_CONFIG;
        }
    };
    let mut import = Import::of(&path, None);
    for (name, remote) in &servers {
        import.add_named(name, remote, Tokens::Files);
    }
    print(&format!(
        "{HEAD}Config{HEAD:#} {}\n{}",
        path.display(),
        import.shown()
    ));
    if !wants("Write it?", &args.writing()) {
        return if args.dry_run { OK } else { FAILED };
    }
    if let Err(why) = import.write(&path, args.writing().name()) {
        return failed(&why);
    }
    let code = try_backends(&path).await;
    print("\n");
    overview::show(&machine, overrides, &args.writing());
    code
}

/// Connects to each backend of the new file, and says how it is.
async fn try_backends(path: &std::path::Path) -> u8 {
    let overrides = Overrides {
        config: Some(path.to_owned()),
        ..Overrides::default()
    };
    let config = match load(&overrides, &Environment::of_process()) {
        Ok(config) => config,
        Err(problems) => return report_problems(&problems),
    };
    keep_from_output(config.backends.iter().map(|backend| &backend.scrubber));
    let survey = BackendSurvey::connect_all(config, TRY_TIMEOUT, |_, _| ()).await;
    let mut code = OK;
    for member in &survey.members {
        let name = &member.backend.config.name;
        let line = match &member.connection {
            Ok(_) => format!("{GOOD}{name}{GOOD:#} is up"),
            Err(_) if member.awaits_sign_in => {
                code = FAILED;
                format!("{name} asks for a sign-in: sentinel-gateway login {name}")
            }
            Err(why) => {
                code = FAILED;
                format!("{BAD}{name}{BAD:#} is down: {}", one_line(why))
            }
        };
        print(&format!("{}\n", for_output(&line)));
    }
    code
}

/// The servers of the arguments, with the headers and tokens of the flags.
fn given(overrides: &Overrides, servers: &[String]) -> Result<Vec<(String, Remote)>, String> {
    if servers.is_empty() {
        return Err(
            "name the servers, as in `sentinel-gateway init notes=https://example.com/mcp`"
                .to_owned(),
        );
    }
    let mut given = Vec::new();
    for server in servers {
        let (name, url) = server
            .split_once('=')
            .filter(|(name, _)| !name.contains(':'))
            .unwrap_or(("", server));
        let name = if name.is_empty() {
            name_of(url)
        } else {
            name.to_owned()
        };
        if backend_name(&name, &[]) != name {
            return Err("the name of a backend has lower-case letters, digits, - and _".to_owned());
        }
        let bearer = overrides.bearer_env.iter().filter(|(own, _)| *own == name);
        let bearer = bearer.map(|(_, variable)| {
            (
                "Authorization".to_owned(),
                format!("Bearer ${{{variable}}}"),
            )
        });
        let headers = overrides.headers.iter().filter(|(own, ..)| *own == name);
        let headers = headers.map(|(_, key, value)| (key.clone(), value.clone()));
        given.push((
            name.clone(),
            server_at(url, bearer.chain(headers).collect())?,
        ));
    }
    Ok(given)
}

fn server_at(url: &str, headers: Vec<(String, String)>) -> Result<Remote, String> {
    checked(Remote {
        url: url.to_owned(),
        headers,
        ..Remote::default()
    })
}

/// A name for the server at this URL: of its host what tells most.
fn name_of(url: &str) -> String {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or("server");
    let parts: Vec<&str> = host
        .split('.')
        .filter(|part| !["www", "mcp", "api"].contains(part))
        .collect();
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    backend_name(
        if is_address {
            "server"
        } else {
            parts.first().copied().unwrap_or(host)
        },
        &[],
    )
}

/// Asks for servers until an empty line.
fn asked() -> Result<Vec<(String, Remote)>, String> {
    let mut servers: Vec<(String, Remote)> = Vec::new();
    loop {
        let again = if servers.is_empty() {
            "URL of an MCP server: "
        } else {
            "URL of another one (empty: no more): "
        };
        let url = answer(again)?;
        if url.is_empty() {
            if !servers.is_empty() {
                return Ok(servers);
            }
            print_message("type a URL, such as https://example.com/mcp");
            continue;
        }
        if let Err(why) = server_at(&url, Vec::new()) {
            print_message(&one_line(&why));
            continue;
        }
        let taken: Vec<String> = servers.iter().map(|(name, _)| name.clone()).collect();
        let proposed = backend_name(&name_of(&url), &taken);
        let name = answer(&format!("Name (empty: {proposed}): "))?;
        let name = backend_name(if name.is_empty() { &proposed } else { &name }, &taken);
        let token = hidden_answer()?;
        let headers = match token.is_empty() {
            true => Vec::new(),
            false => vec![("Authorization".to_owned(), format!("Bearer {token}"))],
        };
        servers.push((name, server_at(&url, headers)?));
    }
}

/// Asks for a token, which the terminal does not show.
#[cfg(unix)]
fn hidden_answer() -> Result<String, String> {
    use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
    /// What Ctrl-C types.
    const END: u8 = 3;

    let stdin = io::stdin();
    let Ok(before) = tcgetattr(&stdin) else {
        return answer(TOKEN);
    };
    let mut silent = before.clone();
    // Ctrl-C ends the line and not the program, which would leave the terminal silent.
    silent
        .local_modes
        .remove(LocalModes::ECHO | LocalModes::ISIG);
    silent.local_modes.insert(LocalModes::ECHONL);
    silent.special_codes[SpecialCodeIndex::VEOL] = END;
    if tcsetattr(&stdin, OptionalActions::Now, &silent).is_err() {
        return answer(TOKEN);
    }
    ask(TOKEN);
    let mut line = Vec::new();
    let mut bytes = stdin.lock().bytes().map_while(Result::ok);
    let end = bytes.find(|byte| {
        let is_end = matches!(*byte, b'\n' | END);
        if !is_end {
            line.push(*byte);
        }
        is_end
    });
    let _ = tcsetattr(&stdin, OptionalActions::Now, &before);
    match (end, String::from_utf8(line)) {
        (Some(b'\n'), Ok(line)) => Ok(line.trim().to_owned()),
        (Some(b'\n'), Err(_)) => Err("nothing was written: the token is not UTF-8".to_owned()),
        _ => Err(ENDED.to_owned()),
    }
}

#[cfg(not(unix))]
fn hidden_answer() -> Result<String, String> {
    answer(&format!("(The token is shown as you type it.) {TOKEN}"))
}

fn ask(question: &str) {
    let mut out = anstream::stderr().lock();
    let _ = write!(out, "{question}").and_then(|()| out.flush());
}

fn answer(question: &str) -> Result<String, String> {
    ask(question);
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(1..) => Ok(line.trim().to_owned()),
        _ => Err(ENDED.to_owned()),
    }
}
