//! Sign-ins of mcp-remote: `login` takes over its registration, and its tokens only with consent.

use std::path::Path;

use md5::{Digest, Md5};

use super::*;

const CLIENT: &str = "client-of-mcp-remote";

/// A layout of its files: the folder, and what its tokens have besides.
const LAYOUTS: [(&str, Extra); 3] = [
    // 0.0.9
    ("", |_| json!({})),
    // One folder for each release.
    ("mcp-remote-0.1.29", |_| json!({ "scope": "notes:read" })),
    // 0.15.1
    ("mcp-remote-v1", |issuer| {
        json!({
            "scope": "notes:read", "requested_scope": "notes:read", "issuer": issuer,
            "expires_at": 4_102_444_800_000_u64,
        })
    }),
];

type Extra = fn(&str) -> Value;

/// Puts a registration there, which the authorization server knows. Returns its redirect URI.
fn put_client(machine: &Machine, folder: &str, host: &str) -> String {
    put_client_in(machine.folder.path(), &machine.server, folder, host)
}

fn put_client_in(home: &Path, server: &AuthorizationServer, folder: &str, host: &str) -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port();
    let uri = format!("http://{host}:{port}/oauth/callback");
    server.put_client_at(CLIENT, &uri);
    let mut client = json!({
        "redirect_uris": [uri], "token_endpoint_auth_method": "none", "client_id": CLIENT,
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "client_name": "MCP CLI Proxy", "client_id_issued_at": 1_700_000_000,
    });
    if folder == "mcp-remote-v1" {
        client["issuer"] = issuer(server).into();
    }
    write(home, server, folder, "client_info", &client);
    uri
}

/// Puts tokens there, which the authorization server has issued to that client.
fn put_tokens(machine: &Machine, folder: &str, more: Value) {
    put_tokens_in(machine.folder.path(), &machine.server, folder, more);
}

fn put_tokens_in(home: &Path, server: &AuthorizationServer, folder: &str, more: Value) {
    let mut tokens = server.issue_to(CLIENT);
    for (name, value) in more.as_object().unwrap() {
        tokens[name] = value.clone();
    }
    write(home, server, folder, "tokens", &tokens);
}

/// Signs mcp-remote in for a user with this home.
pub(crate) fn sign_in(home: &Path, server: &AuthorizationServer) {
    put_client_in(home, server, "mcp-remote-v1", "localhost");
    put_tokens_in(home, server, "mcp-remote-v1", json!({}));
}

fn issuer(server: &AuthorizationServer) -> String {
    server.mcp.url().replace("/mcp", "")
}

fn path(machine: &Machine, folder: &str, what: &str) -> PathBuf {
    path_in(machine.folder.path(), &machine.server, folder, what)
}

fn path_in(home: &Path, server: &AuthorizationServer, folder: &str, what: &str) -> PathBuf {
    let digest: String = Md5::digest(server.mcp.url())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let folder = home.join(".mcp-auth").join(folder);
    folder.join(format!("{digest}_{what}.json"))
}

fn write(home: &Path, server: &AuthorizationServer, folder: &str, what: &str, document: &Value) {
    let path = path_in(home, server, folder, what);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("{document:#}")).unwrap();
}

fn tokens(machine: &Machine, folder: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path(machine, folder, "tokens")).unwrap()).unwrap()
}

#[test]
fn a_registration_is_used_and_the_sign_in_is_a_new_one() {
    for ((folder, extra), host) in LAYOUTS
        .into_iter()
        .zip(["127.0.0.1", "127.0.0.1", "localhost"])
    {
        let machine = Machine::new(AuthorizationServer::start());
        let uri = put_client(&machine, folder, host);
        put_tokens(&machine, folder, extra(&issuer(&machine.server)));
        let before = tokens(&machine, folder);
        let ended = machine.login(&[]);
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
        let last = ended.out.lines().last().unwrap();
        assert!(last.contains("with mcp-remote's registration"), "{last}");
        let beside = "mcp-remote is signed in to it, and stays so: this sign-in is a new one";
        assert!(ended.err.contains(beside), "{}", ended.err);
        let state = machine.server.state();
        assert!(state.registrations.is_empty());
        let query = &state.authorizations[0];
        assert_eq!(
            (&*query["client_id"], &query["redirect_uri"]),
            (CLIENT, &uri)
        );
        drop(state);
        assert_eq!(tokens(&machine, folder), before);
        // The second sign-in is as the first.
        let ended = machine.login(&[]);
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
        assert!(machine.server.state().registrations.is_empty());
    }
}

#[test]
fn tokens_are_taken_over_with_consent_and_have_one_user() {
    for (folder, extra) in LAYOUTS {
        let machine = Machine::new(AuthorizationServer::start());
        name_issuer(&machine);
        put_client(&machine, folder, "localhost");
        put_tokens(&machine, folder, extra(&issuer(&machine.server)));
        let mut before = tokens(&machine, folder);
        let ended = machine.run(&["login", "notes", "--take-tokens", "--json"]);
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
        let report: Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(report["from_mcp_remote"], "tokens");
        assert_eq!(report["tools"], 2);
        let refresh = before.as_object_mut().unwrap().remove("refresh_token");
        assert_eq!(tokens(&machine, folder), before);
        // Nothing has it but our own file.
        let refresh = refresh.unwrap().as_str().unwrap().to_owned();
        let holders = files_with(machine.folder.path(), &refresh);
        assert_eq!(holders, [machine.token_file()]);
        // It is renewed as the client that it was issued to.
        machine.expire_token();
        let mut gateway = machine.gateway();
        gateway.client.wait_for_tool("act");
        assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
        finish(gateway);
        let state = machine.server.state();
        assert!(state.authorizations.is_empty() && state.registrations.is_empty());
        assert_eq!(state.token_requests.last().unwrap()["client_id"], CLIENT);
        assert_eq!(state.reused, 0);
    }
}

/// The config names the issuer.
fn name_issuer(machine: &Machine) {
    let path = machine.folder.path().join("sentinel.toml");
    let toml = std::fs::read_to_string(&path).unwrap();
    let issuer = issuer(&machine.server);
    std::fs::write(path, format!("{toml}oauth = {{ issuer = \"{issuer}\" }}\n")).unwrap();
}

/// The server may name another authorization server by now.
#[test]
fn secrets_of_a_file_that_names_no_issuer_are_not_sent() {
    let folder = "mcp-remote-0.1.29";
    let machine = Machine::new(AuthorizationServer::start());
    put_client(&machine, folder, "localhost");
    put_tokens(&machine, folder, json!({}));
    let path = path(&machine, folder, "client_info");
    let mut client: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    client["client_secret"] = "hidden-of-mcp-remote".into();
    client["token_endpoint_auth_method"] = "client_secret_post".into();
    std::fs::write(path, client.to_string()).unwrap();
    let before = tokens(&machine, folder);
    let ended = machine.login(&["--take-tokens"]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let said = "its file doesn't say at which authorization server";
    assert!(ended.err.contains(said), "{}", ended.err);
    assert_eq!(tokens(&machine, folder), before);
    let state = machine.server.state();
    assert_ne!(state.authorizations[0]["client_id"], CLIENT);
    let sent = format!("{:?}", state.token_requests);
    assert!(!sent.contains("of-mcp-remote"), "{sent}");
}

/// The files below a folder that hold this text.
fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains(text) {
            found.push(path);
        }
    }
    found
}

#[cfg(unix)]
#[test]
fn on_a_terminal_the_person_is_asked() {
    use crate::common::pseudo_terminal::{OnTerminal, PseudoTerminal};

    for answer in ["y", ""] {
        let machine = Machine::new(AuthorizationServer::start());
        put_client(&machine, "mcp-remote-v1", "localhost");
        put_tokens(&machine, "mcp-remote-v1", json!({}));
        let mut command = machine.command(&["login", "notes", "--no-browser"]);
        let mut terminal = PseudoTerminal::start(&mut command, 200, OnTerminal::All);
        terminal.wait_for("Take that sign-in over?");
        terminal.type_line(answer);
        if answer.is_empty() {
            terminal.wait_for("this sign-in is a new one");
            terminal.wait_for("paste the address");
            let start = terminal.seen().find("http://127.0.0.1").unwrap();
            let url = terminal.seen()[start..]
                .split_whitespace()
                .next()
                .unwrap()
                .to_owned();
            visit(&url);
        } else {
            terminal.wait_for("taken over from mcp-remote");
        }
        assert!(terminal.child.wait().unwrap().success());
        let has_refresh = tokens(&machine, "mcp-remote-v1")
            .get("refresh_token")
            .is_some();
        assert_eq!(has_refresh, answer.is_empty());
    }
}

#[test]
fn tokens_that_have_ended_make_way_for_a_new_sign_in() {
    // The access token looks as if it held, or it has ended, too.
    for more in [json!({}), json!({ "expires_at": 1_700_000_000_000_u64 })] {
        let machine = Machine::new(AuthorizationServer::start());
        put_client(&machine, "mcp-remote-v1", "127.0.0.1");
        put_tokens(&machine, "mcp-remote-v1", more);
        machine.server.end_all();
        let ended = machine.login(&["--take-tokens"]);
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
        let said = "mcp-remote's sign-in has ended";
        assert!(ended.err.contains(said), "{}", ended.err);
        assert!(ended.out.contains("signed in to notes"), "{}", ended.out);
        assert_eq!(machine.server.state().authorizations.len(), 1);
    }
}

#[test]
fn a_registration_that_the_server_has_forgotten_stops_one_sign_in_at_most() {
    let machine = Machine::new(AuthorizationServer::start());
    put_client(&machine, "mcp-remote-0.1.29", "127.0.0.1");
    machine.server.remove_client(CLIENT);
    let mut login = machine.start_login(&[]);
    assert!(visit(&login.url).contains("bad authorization request"));
    login.child.kill().unwrap();
    login.child.wait().unwrap();
    machine.sign_in();
    let state = machine.server.state();
    assert_eq!(state.registrations.len(), 1);
    assert_ne!(state.authorizations.last().unwrap()["client_id"], CLIENT);
}

#[test]
fn what_is_not_ours_to_use_is_left_alone() {
    // Another issuer, a port that is taken, a client of the config, and no file at all.
    for case in ["issuer", "port", "config", "none"] {
        let more = match case {
            "config" => "oauth = { client_id = \"by-hand\" }",
            _ => "",
        };
        let machine = Machine::with(AuthorizationServer::start(), more);
        machine.server.put_client("by-hand", None);
        let mut taken = None;
        if case != "none" {
            let uri = put_client(&machine, "mcp-remote-v1", "127.0.0.1");
            put_tokens(&machine, "mcp-remote-v1", json!({}));
            let port = Url::parse(&uri).unwrap().port().unwrap();
            if case == "port" {
                taken = Some(std::net::TcpListener::bind(("127.0.0.1", port)).unwrap());
            }
        }
        if case == "issuer" {
            let path = path(&machine, "mcp-remote-v1", "client_info");
            let text = std::fs::read_to_string(&path).unwrap();
            let other = text.replace(&issuer(&machine.server), "https://other.example");
            std::fs::write(path, other).unwrap();
        }
        // A terminal is not there, so nobody is asked.
        let args: &[&str] = match case {
            "port" => &[],
            _ => &["--take-tokens"],
        };
        let ended = machine.login(args);
        drop(taken);
        assert_eq!(ended.code, 0, "{case} {}{}", ended.out, ended.err);
        let state = machine.server.state();
        assert_ne!(state.authorizations[0]["client_id"], CLIENT, "{case}");
        let registrations = usize::from(case != "config");
        assert_eq!(state.registrations.len(), registrations, "{case}");
        if case != "none" {
            assert!(tokens(&machine, "mcp-remote-v1")["refresh_token"].is_string());
        }
        if case == "port" {
            assert!(!ended.out.contains("with mcp-remote's"), "{}", ended.out);
            assert_eq!(machine.record()["tried_client"], Value::Null);
        } else {
            let said = "mcp-remote has no sign-in for it";
            assert!(ended.err.contains(said), "{case} {}", ended.err);
        }
    }
}
