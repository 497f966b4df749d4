//! `login`: a person signs in to a backend, and it is tried.
//!
//! Owns the order (the backend's challenge, the sign-in, the attempt with the token), and what is printed of
//! each step.

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use url::Url;

use super::browser;
use crate::auth::login::{Options, SignedIn, Step, Take, Taken, login as sign_in};
use crate::auth::oauth::challenge::BearerChallenge;
use crate::auth::oauth::token::DeviceAnswer;
use crate::auth::status::{SignInState, status};
use crate::cli::args::Login;
use crate::cli::exit::{BAD_CONFIG, FAILED, OK};
use crate::cli::survey::BackendSurvey;
use crate::cli::terminal::{HEAD, one_line, print_message};
use crate::config::{BackendConfig, Config};
use crate::nearest::nearest;
use crate::text::for_output;

/// Longest wait for the backend before and after the sign-in.
const TRY_TIMEOUT: Duration = Duration::from_secs(15);

/// Signs in to each backend, one after the other.
pub(in crate::cli::commands) async fn login(config: Config, args: &Login) -> u8 {
    let backends = match chosen(&config, &args.backends) {
        Ok(backends) => backends,
        Err(code) => return code,
    };
    let mut lines = typed_lines();
    let mut code = OK;
    for backend in backends {
        if let Err(why) = login_to(&config, &backend, args, &mut lines).await {
            let name = &backend.name;
            if args.json {
                print_json(&json!({ "backend": **name, "signed_in": false, "error": why }));
            } else {
                print_message(&one_line(&format!("{name}: {why}")));
            }
            code = FAILED;
        }
    }
    code
}

/// The backends of these names; what is wrong with one has been printed.
pub(super) fn chosen(config: &Config, names: &[String]) -> Result<Vec<Arc<BackendConfig>>, u8> {
    let find = |name: &String| {
        let known = || config.backends.iter();
        known()
            .find(|backend| *backend.name == **name)
            .cloned()
            .ok_or_else(|| {
                let meant = nearest(name, known().map(|backend| &*backend.name));
                let meant = meant.map(|meant| format!("; did you mean {meant:?}?"));
                print_message(&format!(
                    "there is no backend {name:?}{}",
                    meant.unwrap_or_default()
                ));
                BAD_CONFIG
            })
    };
    names.iter().map(find).collect()
}

async fn login_to(
    config: &Config,
    backend: &Arc<BackendConfig>,
    args: &Login,
    lines: &mut mpsc::UnboundedReceiver<String>,
) -> Result<(), String> {
    let challenge = challenge(config, backend).await?;
    let options = Options {
        device: args.device,
        scopes: args.scope.clone(),
        switch: args.switch,
        wait: Duration::from_secs(args.wait),
        instead_of: None,
        take: match args.take_tokens {
            true => Take::Yes,
            false if io::stdin().is_terminal() && !args.json => Take::Ask,
            false => Take::No,
        },
    };
    let mut step = |step: Step<'_>| show(step, args);
    let signed_in = sign_in(backend, challenge.as_ref(), &options, lines, &mut step).await?;
    let attempt = || {
        let one = with(config, Arc::clone(backend));
        BackendSurvey::connect_all(one, TRY_TIMEOUT, |_, _| ())
    };
    let mut tried = attempt().await;
    let mut signed_in = signed_in;
    if signed_in.taken == Taken::Tokens && is_refused(backend, &tried).await {
        print_message("mcp-remote's sign-in has ended: this one is a new one");
        let options = Options {
            take: Take::No,
            ..options
        };
        signed_in = sign_in(backend, challenge.as_ref(), &options, lines, &mut step).await?;
        tried = attempt().await;
    }
    let tools = tried
        .built
        .catalog
        .entries(crate::protocol::Kind::Tool)
        .count();
    let down = tried.down().next().map(|(_, why)| why.to_owned());
    report(backend, &signed_in, tools, down.as_deref(), args.json);
    match down {
        Some(why) => Err(format!("signed in, but it is down: {why}")),
        None => Ok(()),
    }
}

/// Whether the attempt has shown that a person has to sign in again.
async fn is_refused(backend: &BackendConfig, tried: &BackendSurvey) -> bool {
    let mut members = tried.members.iter();
    let is_challenged = members.any(|member| member.auth_challenge().is_some());
    let status = status(backend).await;
    is_challenged || status.is_some_and(|status| status.state == SignInState::SignIn)
}

/// The config with this backend alone.
fn with(config: &Config, backend: Arc<BackendConfig>) -> Config {
    Config {
        backends: vec![backend],
        ..config.clone()
    }
}

/// Asks the backend without a token. `None` where its 401 has no challenge.
async fn challenge(
    config: &Config,
    backend: &Arc<BackendConfig>,
) -> Result<Option<BearerChallenge>, String> {
    let Some(sign_in) = &backend.sign_in else {
        return Ok(None); // The sign-in says why it can't be.
    };
    let anonymous = BackendConfig {
        sign_in: None,
        ..(**backend).clone()
    };
    let anonymous = with(config, Arc::new(anonymous));
    let survey = BackendSurvey::connect_all(anonymous, TRY_TIMEOUT, |_, _| ()).await;
    let Some(surveyed) = survey.members.first() else {
        return Ok(None);
    };
    match (surveyed.auth_challenge(), &surveyed.connection) {
        (Some(challenge), _) => Ok(challenge.and_then(|challenge| challenge.bearer())),
        (None, Err(why)) => Err(format!("it is down: {why}")),
        (None, Ok(_)) if sign_in.is_configured => Ok(None),
        (None, Ok(_)) => Err(
            "it asks for no sign-in; an oauth table in its config tries one all the same"
                .to_owned(),
        ),
    }
}

fn show(step: Step<'_>, args: &Login) {
    match step {
        Step::Visit(url) => visit(url, args),
        Step::Enter(answer) => enter(answer, args),
        Step::Busy => print_message("somebody else is signing in to it: waiting for that"),
        Step::Offer => {
            print(
                "mcp-remote is signed in to it. Take that sign-in over? mcp-remote has to sign in anew then. [y/N]\n",
            );
        }
        Step::Beside => print_message(
            "mcp-remote is signed in to it, and stays so: this sign-in is a new one (--take-tokens takes that one over)",
        ),
        Step::Uncertain => print_message(
            "mcp-remote is signed in to it, and stays so: this sign-in is a new one (its file doesn't say at which authorization server: with oauth.issuer in the config --take-tokens takes that one over)",
        ),
        Step::NothingToTake => {
            print_message("mcp-remote has no sign-in for it: this one is a new one");
        }
        Step::NotAnAnswer(why) => print_message(&one_line(&why)),
    }
}

fn visit(url: &Url, args: &Login) {
    if args.json {
        return print_json(&json!({ "url": url.as_str() }));
    }
    print(&format!(
        "{HEAD}Open this address in a browser:{HEAD:#}\n{url}\n"
    ));
    let opened = !args.no_browser && browser::is_there() && browser::open(url);
    let more = match opened {
        true => "A browser has been started.\n",
        false => "",
    };
    print(&format!(
        "{more}If the browser is on another machine, paste the address that it ends at here.\n"
    ));
}

fn enter(answer: &DeviceAnswer, args: &Login) {
    let complete = answer.complete_uri.as_ref();
    if args.json {
        return print_json(&json!({
            "url": answer.verification_uri.as_str(),
            "user_code": answer.user_code,
            "complete_url": complete.map(Url::as_str),
        }));
    }
    print(&format!(
        "{HEAD}Open{HEAD:#} {} {HEAD}and enter{HEAD:#} {}\n",
        answer.verification_uri, answer.user_code
    ));
    if let Some(url) = complete {
        print(&format!("or open {url}\n"));
    }
}

fn report(
    backend: &BackendConfig,
    signed_in: &SignedIn,
    tools: usize,
    down: Option<&str>,
    as_json: bool,
) {
    let name = &*backend.name;
    if as_json {
        return print_json(&json!({
            "backend": name,
            "signed_in": true,
            "issuer": signed_in.issuer,
            "scopes": signed_in.scopes,
            "expires_at": signed_in.expires_at,
            "renewable": signed_in.renewable,
            "from_mcp_remote": match signed_in.taken {
                Taken::Nothing => None,
                Taken::Client => Some("registration"),
                Taken::Tokens => Some("tokens"),
            },
            "tools": down.is_none().then_some(tools),
        }));
    }
    let host = Url::parse(&signed_in.issuer).ok();
    let host = host
        .as_ref()
        .and_then(Url::host_str)
        .unwrap_or(&signed_in.issuer);
    let scopes = match signed_in.scopes.as_slice() {
        [] => String::new(),
        scopes => format!(": {}", scopes.join(" ")),
    };
    let renews = match signed_in.renewable {
        true => "renews itself",
        false => "no refresh token, so it has to be repeated",
    };
    let tools = match down {
        None => format!("; {tools} tools"),
        Some(_) => String::new(),
    };
    let taken = match signed_in.taken {
        Taken::Nothing => "",
        Taken::Client => ", with mcp-remote's registration",
        Taken::Tokens => ", taken over from mcp-remote",
    };
    let line = one_line(&format!(
        "signed in to {name} at {host}{scopes}, {renews}{taken}{tools}"
    ));
    print(&format!("{line}\n"));
}

pub(super) fn print_json(value: &Value) {
    print(&format!("{value}\n"));
}

/// At once, since the reader may wait for it. A reader that has gone is no reason to stop.
fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    let written = out.write_all(for_output(text).as_bytes());
    let _ = written.and_then(|()| out.flush());
}

/// What the person types, line by line. The thread ends with the process.
fn typed_lines() -> mpsc::UnboundedReceiver<String> {
    let (typed, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if typed.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
